//! The engine as a browser's worker: weights come from the server once, photos never go there.
//!
//! Messages are those of [`qponder_shared::quick`]. What is asked is done one after the other; a `Stop` is
//! heard between two pieces of text.

mod places;
mod weights;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Promise, Reflect, Uint8Array};
use qponder_shared::quick::{Ask, Key, Place, Ready, Runs, Scored, Tell};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, DedicatedWorkerGlobalScope, MessageEvent};

use crate::engine::{Engine, EngineError, Sampler};
use crate::pixels::{Decoded, Limits, decode};

/// Longest explanation in tokens.
const MOST_TOKENS: usize = 512;

/// After so many milliseconds of writing the worker hears what was asked meanwhile.
const PATIENCE: f64 = 30.0;

/// Something to do.
struct Task {
    ask: Ask,
    file: Option<Blob>,
}

/// What waits and what runs.
#[derive(Default)]
struct Desk {
    waiting: RefCell<VecDeque<Task>>,
    /// The photo that is worked on.
    current: Cell<Option<Key>>,
    is_stopped: Cell<bool>,
    is_busy: Cell<bool>,
    /// Whether the graphics card has yet to do its first task.
    is_on_trial: Cell<bool>,
    engine: RefCell<Option<Engine>>,
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

fn tell(message: &Tell) {
    if let Ok(text) = serde_json::to_string(message) {
        let _ = scope().post_message(&text.into());
    }
}

fn now() -> f64 {
    scope().performance().map_or(0.0, |clock| clock.now())
}

/// Lets the browser deliver what has come meanwhile.
async fn breathe() {
    let promise = Promise::new(&mut |resolve, _| {
        let _ = scope().set_timeout_with_callback(&resolve);
    });
    let _ = JsFuture::from(promise).await;
}

/// Loads the model whose manifest is at `manifest`, then does what the page asks. After a crash the processor
/// computes until the page asks for something else.
#[wasm_bindgen]
pub async fn start(manifest: String, is_after_crash: bool) {
    console_error_panic_hook::set_once();
    let desk = Rc::new(Desk::default());
    let listen = {
        let desk = desk.clone();
        Closure::<dyn FnMut(MessageEvent)>::new(move |event| hear(&desk, &event))
    };
    scope().set_onmessage(Some(listen.as_ref().unchecked_ref()));
    // The worker listens for as long as it lives.
    listen.forget();
    match load(&manifest, is_after_crash).await {
        Ok((engine, ready)) => {
            desk.is_on_trial.set(ready.runs.on != places::PROCESSOR);
            desk.engine.replace(Some(engine));
            tell(&Tell::Ready(ready));
            work(desk);
        }
        Err(reason) => tell(&Tell::Broken { reason }),
    }
}

/// Compares every kernel with the processor's on this device's graphics card, as the tests do natively.
///
/// # Errors
/// Names the first number that differs.
#[wasm_bindgen]
pub async fn check_kernels() -> Result<(), String> {
    console_error_panic_hook::set_once();
    crate::engine::gpu::check::everything().await.map_err(|error| error.to_string())
}

async fn load(manifest: &str, is_after_crash: bool) -> Result<(Engine, Ready), String> {
    let weights = weights::load(manifest).await?;
    let [text, vision] = weights.files.as_slice() else {
        return Err("The model’s manifest names other files than this page expects.".into());
    };
    let engine = Engine::read(text, vision);
    let mut engine = engine.map_err(|error| format!("The model cannot be read: {error}."))?;
    let runs = match is_after_crash {
        true => places::after_crash(&mut engine).await,
        false => places::choose(&mut engine, Place::default()).await,
    };
    if runs.on == places::PROCESSOR {
        tell(&Tell::Tries { card: false });
    }
    let ready = Ready {
        bytes: weights.manifest.bytes(),
        model: weights.manifest.model,
        quant: weights.manifest.quant,
        runs,
        fetched: weights.fetched,
        not_kept: weights.not_kept,
    };
    Ok((engine, ready))
}

/// Takes a message of the page.
fn hear(desk: &Rc<Desk>, event: &MessageEvent) {
    let data = event.data();
    let field = |name: &str| Reflect::get(&data, &name.into()).ok();
    let text = field("ask").and_then(|text| text.as_string()).unwrap_or_default();
    let Ok(ask) = serde_json::from_str::<Ask>(&text) else { return };
    match ask {
        Ask::Stop { key } => {
            desk.waiting.borrow_mut().retain(|task| task.ask.key() != Some(key));
            if desk.current.get() == Some(key) {
                desk.is_stopped.set(true);
            }
        }
        ask => {
            let file = field("file").and_then(|file| file.dyn_into().ok());
            desk.waiting.borrow_mut().push_back(Task { ask, file });
            work(desk.clone());
        }
    }
}

/// The photo that an ask is about.
trait About {
    fn key(&self) -> Option<Key>;
}

impl About for Ask {
    fn key(&self) -> Option<Key> {
        match *self {
            Ask::Score { key } | Ask::Explain { key } | Ask::Stop { key } => Some(key),
            Ask::Use { .. } | Ask::Forget => None,
        }
    }
}

/// Does what waits, unless that is being done, or there is no engine yet.
fn work(desk: Rc<Desk>) {
    if desk.is_busy.get() || desk.engine.borrow().is_none() {
        return;
    }
    desk.is_busy.set(true);
    spawn_local(async move {
        let Some(mut engine) = desk.engine.take() else { return };
        while let Some(task) = next(&desk) {
            desk.current.set(task.ask.key());
            desk.is_stopped.set(false);
            act(&desk, &mut engine, task).await;
            desk.current.set(None);
            breathe().await;
        }
        desk.engine.replace(Some(engine));
        desk.is_busy.set(false);
    });
}

/// Somebody waits for everything but scores, which come by themselves: that goes first.
fn next(desk: &Desk) -> Option<Task> {
    let mut waiting = desk.waiting.borrow_mut();
    let urgent = waiting.iter().position(|task| !matches!(task.ask, Ask::Score { .. }));
    waiting.remove(urgent.unwrap_or(0))
}

async fn act(desk: &Desk, engine: &mut Engine, task: Task) {
    let outcome = match task.ask {
        Ask::Score { key } => (key, score(engine, key, task.file).await),
        Ask::Explain { key } => (key, explain(desk, engine, key, task.file).await),
        Ask::Use { place } => {
            let runs = places::choose(engine, place).await;
            desk.is_on_trial.set(runs.on != places::PROCESSOR);
            if !desk.is_on_trial.get() {
                tell(&Tell::Tries { card: false });
            }
            return tell(&Tell::Switched(runs));
        }
        Ask::Forget => {
            weights::forget().await;
            return tell(&Tell::Forgotten);
        }
        Ask::Stop { .. } => return,
    };
    if let (key, Err(reason)) = outcome {
        tell(&Tell::Failed { key, reason });
    }
    if desk.is_on_trial.replace(false) {
        tell(&Tell::Tries { card: false });
    }
}

/// After the loss of the graphics card the processor does what it was doing; other errors are about the photo.
fn recover(engine: &mut Engine, error: EngineError) -> Result<(), String> {
    let EngineError::Gpu(reason) = error else { return Err(sentence(&error.to_string())) };
    engine.use_cpu();
    let reason = format!("the graphics card failed: {reason}");
    tell(&Tell::Switched(Runs { on: places::PROCESSOR.into(), reason, is_after_loss: true }));
    Ok(())
}

/// Reads and decodes a file as the server does.
async fn open(file: Option<Blob>) -> Result<Decoded, String> {
    let file = file.ok_or("The file did not arrive; choose it again.")?;
    let limits = Limits::default();
    if file.size() > limits.max_bytes as f64 {
        return Err(format!("It has more than {} MB.", limits.max_bytes >> 20));
    }
    let bytes = JsFuture::from(file.array_buffer()).await;
    let bytes = bytes.map_err(|_| "It cannot be read any more: was it moved, changed or deleted?")?;
    decode(&Uint8Array::new(&bytes).to_vec(), &limits).map_err(|error| sentence(&error.to_string()))
}

/// An error as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

async fn score(engine: &mut Engine, key: Key, file: Option<Blob>) -> Result<(), String> {
    tell(&Tell::Working { key });
    let begun = now();
    let image = open(file).await?.image;
    let probabilities = loop {
        match engine.score(&image).await {
            Ok(probabilities) => break probabilities,
            Err(error) => recover(engine, error)?,
        }
    };
    let (width, height) = (image.width(), image.height());
    tell(&Tell::Scored(Scored { key, probabilities, width, height, ms: now() - begun }));
    Ok(())
}

async fn explain(desk: &Desk, engine: &mut Engine, key: Key, file: Option<Blob>) -> Result<(), String> {
    let begun = now();
    let image = open(file).await?.image;
    let answer = loop {
        tell(&Tell::Working { key });
        let mut breathed = now();
        let answer = engine.explain(&image, Sampler::greedy(), MOST_TOKENS, async |text: &str| {
            tell(&Tell::Text { key, text: text.to_owned() });
            if now() - breathed > PATIENCE {
                breathe().await;
                breathed = now();
            }
            !desk.is_stopped.get()
        });
        match answer.await {
            Ok(answer) => break answer,
            Err(error) => recover(engine, error)?,
        }
    };
    let (tokens, is_complete) = (answer.new_tokens, answer.is_complete);
    tell(&Tell::Explained { key, tokens, ms: now() - begun, is_complete });
    Ok(())
}
