//! Calls of `/api/v1` about imports and exports.

use gloo_net::http::Request;
use js_sys::Promise;
use leptos::prelude::*;
use qponder_shared::TransferId;
use qponder_shared::api::{Page, Problem};
use qponder_shared::transfer::{CreateExport, CreateImport, Transfer};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{File, FormData, ProgressEvent, XmlHttpRequest};

use crate::api::{Failure, NOTHING, get, read, send};
use crate::session;

const TRANSFERS: &str = "/api/v1/transfers";

/// One page of imports and exports, newest first.
pub async fn transfers(cursor: Option<&str>) -> Result<Page<Transfer>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}"));
    get(&format!("{TRANSFERS}?limit=25{}", cursor.unwrap_or_default())).await
}

/// One import or export.
pub async fn transfer(id: TransferId) -> Result<Transfer, Failure> {
    get(&format!("{TRANSFERS}/{id}")).await
}

/// Begins an export.
pub async fn export(body: &CreateExport) -> Result<Transfer, Failure> {
    read(send(Request::post, "/api/v1/exports", Some(body)).await?).await
}

/// Cancels what runs, or removes the file of an export.
pub async fn cancel(id: TransferId) -> Result<Transfer, Failure> {
    read(send(Request::delete, &format!("{TRANSFERS}/{id}"), NOTHING).await?).await
}

/// Where the file of an export is.
#[must_use]
pub fn file_url(id: TransferId) -> String {
    format!("{TRANSFERS}/{id}/file")
}

/// Sends a file that is to be imported; `sent` gets the share of its bytes that is out, 0 to 1.
pub async fn import(body: &CreateImport, file: &File, sent: RwSignal<f64>) -> Result<Transfer, Failure> {
    let broken = |_: JsValue| Failure::Unreadable("the file could not be read; was it moved?".to_owned());
    let query = serde_json::to_string(body).map_err(|error| Failure::Unreadable(error.to_string()))?;
    loop {
        let form = FormData::new().map_err(broken)?;
        form.append_with_str("query", &query).map_err(broken)?;
        form.append_with_blob_and_filename("file", file, &file.name()).map_err(broken)?;
        let request = XmlHttpRequest::new().map_err(broken)?;
        request.open("POST", "/api/v1/imports").map_err(broken)?;
        let on_progress = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
            let _ = sent.try_set(event.loaded() / event.total().max(1.0));
        });
        if let Ok(sending) = request.upload() {
            sending.set_onprogress(Some(on_progress.as_ref().unchecked_ref()));
        }
        let ended = Promise::new(&mut |resolve, _| request.set_onloadend(Some(&resolve)));
        request.send_with_opt_form_data(Some(&form)).map_err(broken)?;
        // `loadend` comes after success, failure and abort alike; the status tells them apart.
        let _ = JsFuture::from(ended).await;
        let text = request.response_text().ok().flatten().unwrap_or_default();
        match request.status().unwrap_or(0) {
            0 => return Err(Failure::Unreachable),
            200..300 => {
                return serde_json::from_str(&text).map_err(|error| Failure::Unreadable(error.to_string()));
            }
            status => {
                let problem = serde_json::from_str(&text).unwrap_or_else(|_| Problem {
                    kind: "about:blank".to_owned(),
                    title: format!("The server answered with status {status}."),
                    status,
                    detail: String::new(),
                });
                if problem.kind != session::NOT_SIGNED_IN {
                    return Err(Failure::Refused { problem, retry_after: None });
                }
                // The session ended: the file is sent again once there is another.
                session::wait().await;
            }
        }
    }
}
