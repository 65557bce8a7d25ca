//! Copying an assessment as JSON.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlDocument, HtmlTextAreaElement};

use crate::state::App;

/// Copies the assessment that the image page shows.
pub fn copy_shown(app: App) {
    let Some(answer) = app.shown.get_untracked() else {
        return app.toasts.say("There is nothing to copy yet.");
    };
    let json = answer.assessment.with_untracked(serde_json::to_string_pretty);
    spawn_local(async move {
        match json {
            Ok(json) if write(&json).await => app.toasts.say("Copied the assessment as JSON."),
            _ => app.toasts.complain("The browser did not allow copying."),
        }
    });
}

/// Copies a text; whether the browser allowed it.
pub async fn write(text: &str) -> bool {
    // Browsers offer a clipboard only to pages from localhost or over HTTPS.
    let navigator = window().navigator();
    let has_clipboard = js_sys::Reflect::get(&navigator, &JsValue::from_str("clipboard"))
        .is_ok_and(|clipboard| !clipboard.is_undefined());
    if has_clipboard && JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok() {
        return true;
    }
    write_by_selection(text).unwrap_or(false)
}

/// The way before there was a clipboard interface: select text in a field, and let the browser copy.
fn write_by_selection(text: &str) -> Option<bool> {
    let document = document();
    let field: HtmlTextAreaElement = document.create_element("textarea").ok()?.dyn_into().ok()?;
    field.set_value(text);
    field.set_class_name("sr");
    document.body()?.append_child(&field).ok()?;
    field.select();
    let is_copied = document.unchecked_into::<HtmlDocument>().exec_command("copy").unwrap_or(false);
    field.remove();
    Some(is_copied)
}
