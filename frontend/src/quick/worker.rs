//! The worker that computes: started from the address that the page names, spoken to in JSON.

use std::cell::RefCell;

use js_sys::{Object, Reflect};
use leptos::prelude::*;
use qponder_shared::quick::{Ask, Tell};
use wasm_bindgen::prelude::*;
use web_sys::{File, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::message_of;

/// What `quick.js` looks for at the end of its address.
const PROCESSOR: &str = "#processor";

/// A worker with what listens to it.
struct Running {
    worker: Worker,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(JsValue)>,
}

thread_local! {
    static WORKER: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// A field of one of the browser's objects, where it is a text.
pub fn text_field(object: &JsValue, name: &str) -> Option<String> {
    Reflect::get(object, &name.into()).ok()?.as_string()
}

/// Starts a worker in place of one that may be there, after a crash without the graphics card. `on_broken` hears
/// why it stopped by itself.
///
/// # Errors
/// Says why there can be none.
pub fn start(
    is_after_crash: bool,
    on_tell: impl Fn(Tell) + 'static,
    on_broken: impl Fn(String) + 'static,
) -> Result<(), String> {
    let refused = "This browser cannot run the engine: it has no module workers.";
    let address = document()
        .query_selector("meta[name=quick-worker]")
        .ok()
        .flatten()
        .and_then(|meta| meta.get_attribute("content"))
        .ok_or("The page does not name its engine; load it again.")?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let address = if is_after_crash { address + PROCESSOR } else { address };
    let worker = Worker::new_with_options(&address, &options).map_err(|_| refused)?;
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        if let Ok(tell) = serde_json::from_str(&text) {
            on_tell(tell);
        }
    });
    let on_error = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| on_broken(message_of(&event)));
    worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    let running = Running { worker, _on_message: on_message, _on_error: on_error };
    let old = WORKER.with_borrow_mut(|worker| worker.replace(running));
    if let Some(old) = old {
        old.worker.terminate();
        // This may run inside of the old worker's own listener.
        queue_microtask(move || drop(old));
    }
    Ok(())
}

/// Asks the worker, with the file that the ask is about.
pub fn ask(ask: &Ask, file: Option<&File>) {
    let Ok(text) = serde_json::to_string(ask) else { return };
    let message = Object::new();
    let _ = Reflect::set(&message, &"ask".into(), &text.into());
    if let Some(file) = file {
        let _ = Reflect::set(&message, &"file".into(), file);
    }
    WORKER.with_borrow(|running| {
        if let Some(running) = running {
            let _ = running.worker.post_message(&message);
        }
    });
}
