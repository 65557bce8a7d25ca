//! What the browser keeps of the page itself, so that it opens without a network: the service worker
//! (`offline.js`) and its cache.

use js_sys::{Array, Reflect};
use leptos::prelude::window;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{ServiceWorkerContainer, ServiceWorkerRegistration};

/// As in `offline.js`.
const PREFIX: &str = "qponder-page-";

/// Registers the service worker and waits until it has the page's files.
///
/// # Errors
/// What the browser says, also where it has no service workers.
pub(super) async fn keep() -> Result<(), JsValue> {
    let container = container().ok_or("this browser keeps no pages")?;
    JsFuture::from(container.register("/offline.js")).await?;
    JsFuture::from(container.ready()?).await.map(drop)
}

/// Removes its files and unregisters it.
///
/// # Errors
/// What the browser says.
pub(super) async fn forget() -> Result<(), JsValue> {
    let caches = window().caches()?;
    let names: Array = JsFuture::from(caches.keys()).await?.unchecked_into();
    for name in names.iter().filter_map(|name| name.as_string()).filter(|name| name.starts_with(PREFIX)) {
        JsFuture::from(caches.delete(&name)).await?;
    }
    let Some(container) = container() else { return Ok(()) };
    let registrations: Array = JsFuture::from(container.get_registrations()).await?.unchecked_into();
    for registration in registrations.iter() {
        JsFuture::from(registration.unchecked_into::<ServiceWorkerRegistration>().unregister()?).await?;
    }
    Ok(())
}

/// The browser's service workers, where it has any for this page.
fn container() -> Option<ServiceWorkerContainer> {
    let navigator = window().navigator();
    let has_them = Reflect::has(&navigator, &"serviceWorker".into()).unwrap_or(false);
    (has_them && window().is_secure_context()).then(|| navigator.service_worker())
}
