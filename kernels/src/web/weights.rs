//! Weights over the network, piece by piece, each checked and kept by the browser.

use js_sys::{Function, Promise, Reflect, Uint8Array};
use qponder_shared::quick::Tell;
use qponder_shared::weights::{Manifest, Shard};
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, ReadableStreamDefaultReader, Response};

use super::{scope, tell};

/// What the browser calls the kept weights.
const CACHE: &str = "qponder-weights";

/// Where it is kept what computes faster on this device.
pub const WINNER: &str = "/quick-score/winner";

/// A model's files.
pub struct Weights {
    pub manifest: Manifest,
    pub files: Vec<Vec<u8>>,
    /// Bytes that came over the network.
    pub fetched: u64,
    /// Why the browser does not keep them, if so.
    pub not_kept: Option<String>,
}

/// Counts bytes and tells the page.
struct Progress {
    loaded: u64,
    total: u64,
}

impl Progress {
    fn add(&mut self, bytes: u64) {
        self.loaded += bytes;
        tell(&Tell::Loading { loaded: self.loaded, total: self.total });
    }
}

/// Loads the files that a manifest lists, from what the browser kept or from the server.
pub async fn load(path: &str) -> Result<Weights, String> {
    let broken = |error: &str| format!("The model’s manifest cannot be read ({error}).");
    let text = fetch(path, &mut |_| {}).await?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| broken(&error.to_string()))?;
    let (cache, mut not_kept) = match open().await {
        Ok(cache) => (Some(cache), None),
        Err(reason) => (None, Some(reason)),
    };
    let mut progress = Progress { loaded: 0, total: manifest.bytes() };
    let (mut files, mut fetched) = (Vec::new(), 0);
    for file in &manifest.files {
        let mut bytes = Vec::with_capacity(usize::try_from(file.bytes()).unwrap_or(0));
        for shard in &file.shards {
            if let Some(kept) = kept(cache.as_ref(), shard).await {
                progress.add(shard.bytes);
                bytes.extend(kept);
                continue;
            }
            let fresh = fetch_checked(shard, &mut progress).await?;
            fetched += shard.bytes;
            if let Some(cache) = &cache
                && not_kept.is_none()
            {
                not_kept = keep(cache, shard, &fresh).await.err();
            }
            bytes.extend(fresh);
        }
        files.push(bytes);
    }
    if let Some(cache) = &cache {
        remove_others(cache, &manifest).await;
    }
    Ok(Weights { manifest, files, fetched, not_kept })
}

/// Removes everything that was kept.
pub async fn forget() {
    if let Ok(caches) = scope().caches() {
        let _ = JsFuture::from(caches.delete(CACHE)).await;
    }
}

/// A text that was kept.
pub async fn kept_text(name: &str) -> Option<String> {
    let response = JsFuture::from(open().await.ok()?.match_with_str(name)).await.ok()?;
    let response: Response = response.dyn_into().ok()?;
    JsFuture::from(response.text().ok()?).await.ok()?.as_string()
}

/// Keeps a text, where the browser keeps anything.
pub async fn keep_text(name: &str, text: &str) {
    if let (Ok(cache), Ok(response)) = (open().await, Response::new_with_opt_str(Some(text))) {
        let _ = JsFuture::from(cache.put_with_str(name, &response)).await;
    }
}

async fn open() -> Result<Cache, String> {
    let reason = "this browser keeps nothing for pages without https";
    let is_there = Reflect::has(&scope(), &"caches".into()).unwrap_or(false);
    let caches = if is_there { scope().caches().ok() } else { None }.ok_or(reason)?;
    let cache = JsFuture::from(caches.open(CACHE)).await;
    cache.map(|cache| cache.unchecked_into()).map_err(|error| name_of(&error))
}

/// A piece that was kept whole; a damaged one is removed.
async fn kept(cache: Option<&Cache>, shard: &Shard) -> Option<Vec<u8>> {
    let cache = cache?;
    let response = JsFuture::from(cache.match_with_str(&shard.path())).await.ok()?;
    let response: Response = response.dyn_into().ok()?;
    let bytes = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
    let bytes = Uint8Array::new(&bytes).to_vec();
    if is_whole(shard, &bytes) {
        return Some(bytes);
    }
    let _ = JsFuture::from(cache.delete_with_str(&shard.path())).await;
    None
}

async fn keep(cache: &Cache, shard: &Shard, bytes: &[u8]) -> Result<(), String> {
    let body = Uint8Array::from(bytes);
    let response = Response::new_with_opt_buffer_source(Some(&body)).map_err(|error| name_of(&error))?;
    let done = JsFuture::from(cache.put_with_str(&shard.path(), &response)).await;
    done.map(drop).map_err(|error| name_of(&error))
}

/// Pieces of earlier models only take up space.
async fn remove_others(cache: &Cache, manifest: &Manifest) {
    let Ok(keys) = JsFuture::from(cache.keys()).await else { return };
    let wanted: Vec<String> = manifest.files.iter().flat_map(|file| &file.shards).map(Shard::path).collect();
    for request in js_sys::Array::from(&keys) {
        let request: web_sys::Request = request.unchecked_into();
        let url = request.url();
        if !url.ends_with(WINNER) && !wanted.iter().any(|path| url.ends_with(path)) {
            let _ = JsFuture::from(cache.delete_with_request(&request)).await;
        }
    }
}

/// What the browser calls an error.
fn name_of(error: &JsValue) -> String {
    let field = |name: &str| Reflect::get(error, &name.into()).ok()?.as_string();
    match field("name").as_deref() {
        Some("QuotaExceededError") => "the browser has no space left for it".into(),
        _ => field("message").unwrap_or_else(|| "the browser refuses".into()),
    }
}

fn is_whole(shard: &Shard, bytes: &[u8]) -> bool {
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hash == shard.sha256
}

async fn fetch_checked(shard: &Shard, progress: &mut Progress) -> Result<Vec<u8>, String> {
    let path = shard.path();
    let before = progress.loaded;
    let bytes = fetch(&path, &mut |bytes| progress.add(bytes)).await?;
    if is_whole(shard, &bytes) {
        return Ok(bytes);
    }
    progress.loaded = before;
    Err(format!(
        "A piece of the model arrived damaged: {path} has {} bytes with another hash than the manifest says. \
         Load the page again; if that does not help, the server’s files are damaged.",
        bytes.len()
    ))
}

/// Fetches a file; `on_bytes` hears of the bytes as they come.
async fn fetch(path: &str, on_bytes: &mut dyn FnMut(u64)) -> Result<Vec<u8>, String> {
    let unreachable = |_| format!("The server cannot be reached for {path}.");
    let cut = |_| format!("The connection broke while {path} was loading.");
    let response = JsFuture::from(scope().fetch_with_str(path)).await.map_err(unreachable)?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!("The server answers with status {} for {path}.", response.status()));
    }
    let Some(body) = response.body() else { return Ok(Vec::new()) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = JsFuture::from(read(&reader)).await.map_err(cut)?;
        let field = |name: &str| Reflect::get(&chunk, &name.into()).unwrap_or_default();
        if field("done").is_truthy() {
            return Ok(bytes);
        }
        let chunk: Uint8Array = field("value").unchecked_into();
        on_bytes(chunk.length().into());
        bytes.extend(chunk.to_vec());
    }
}

fn read(reader: &ReadableStreamDefaultReader) -> Promise {
    let method = Reflect::get(reader, &"read".into()).unwrap_or_default();
    method
        .dyn_into::<Function>()
        .and_then(|method| method.call0(reader))
        .map_or_else(|error| Promise::reject(&error), |promise| promise.unchecked_into())
}
