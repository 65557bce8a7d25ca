//! Server-sent events of running assessments.
//!
//! A browser opens six connections to one host over HTTP/1.1, and each stream holds one: only a few
//! are followed at a time, in the order in which they were asked for, which is the order in which
//! the server finishes them. Events replay from the beginning, so that a late stream misses nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::AssessmentId;
use qponder_shared::api::{AssessmentEvent, AssessmentStatus};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

use crate::answers::Answer;
use crate::api::{self, Failure};
use crate::state::App;

/// Streams open at a time, besides one that a person is watching.
const SLOTS: usize = 3;
/// Pause before looking after a stream that the server refused.
const PAUSE: Duration = Duration::from_secs(2);

type OnEvent = Closure<dyn FnMut(MessageEvent)>;

struct Stream {
    id: AssessmentId,
    source: EventSource,
    _listeners: [OnEvent; 3],
    _on_error: Closure<dyn FnMut()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.close();
    }
}

#[derive(Default)]
struct Streams {
    open: Vec<Stream>,
    waiting: VecDeque<Answer>,
}

thread_local! {
    static STREAMS: RefCell<Streams> = RefCell::default();
}

/// Follows an assessment to its end; at once when a person is watching it.
pub fn follow(app: App, answer: Answer, is_watched: bool) {
    let id = answer.id;
    STREAMS.with_borrow_mut(|streams| {
        if streams.open.iter().any(|stream| stream.id == id) {
            return;
        }
        streams.waiting.retain(|waiting| waiting.id != id);
        if is_watched {
            streams.waiting.push_front(answer);
        } else {
            streams.waiting.push_back(answer);
        }
    });
    fill(app, if is_watched { SLOTS + 1 } else { SLOTS });
}

fn fill(app: App, slots: usize) {
    loop {
        let next = STREAMS.with_borrow_mut(|streams| {
            if streams.open.len() < slots { streams.waiting.pop_front() } else { None }
        });
        let Some(answer) = next else { return };
        match open(app, &answer) {
            Ok(stream) => STREAMS.with_borrow_mut(|streams| streams.open.push(stream)),
            Err(_) => look_after(app, answer),
        }
    }
}

/// Closes a stream once the callback that decided so has returned.
fn close(app: App, id: AssessmentId) {
    spawn_local(async move {
        STREAMS.with_borrow_mut(|streams| streams.open.retain(|stream| stream.id != id));
        fill(app, SLOTS);
    });
}

fn open(app: App, answer: &Answer) -> Result<Stream, JsValue> {
    let source = EventSource::new(&api::events_url(answer.id))?;
    let listen = |name: &str| -> Result<OnEvent, JsValue> {
        let answer = answer.clone();
        let listener = OnEvent::new(move |message: MessageEvent| {
            let data = message.data().as_string().unwrap_or_default();
            match serde_json::from_str(&data) {
                Ok(event) => receive(app, &answer, event),
                Err(error) => {
                    app.report(&Failure::Unreadable(error.to_string()));
                    close(app, answer.id);
                }
            }
        });
        source.add_event_listener_with_callback(name, listener.as_ref().unchecked_ref())?;
        Ok(listener)
    };
    let listeners = [listen("queued")?, listen("token")?, listen("done")?];
    let on_error = {
        let (source, answer) = (source.clone(), answer.clone());
        Closure::<dyn FnMut()>::new(move || {
            answer.interrupted.set(true);
            if source.ready_state() == EventSource::CLOSED {
                close(app, answer.id);
                look_after(app, answer.clone());
            } else {
                // The browser connects again by itself and names the last event that it saw.
                app.reach();
            }
        })
    };
    source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    Ok(Stream { id: answer.id, source, _listeners: listeners, _on_error: on_error })
}

fn receive(app: App, answer: &Answer, event: AssessmentEvent) {
    if answer.interrupted.get_untracked() {
        answer.interrupted.set(false);
    }
    match event {
        AssessmentEvent::Queued { ahead } => answer.ahead.set(ahead),
        AssessmentEvent::Token { offset, text } => {
            if app.answers.grow(answer, offset, &text).is_err() {
                close(app, answer.id);
                look_after(app, answer.clone());
            }
        }
        AssessmentEvent::Done { assessment } => {
            close(app, answer.id);
            app.answers.finished(app, answer, *assessment);
        }
    }
}

/// Reads an assessment whose stream gave up, and follows it again unless it is over.
fn look_after(app: App, answer: Answer) {
    spawn_local(async move {
        loop {
            sleep(PAUSE).await;
            match api::assessment(answer.id).await {
                Ok(assessment) if assessment.status.is_final() => {
                    return app.answers.finished(app, &answer, assessment);
                }
                Ok(assessment) => {
                    answer.assessment.set(assessment);
                    return follow(app, answer, false);
                }
                Err(Failure::Refused { problem, .. }) if problem.status < 500 => {
                    let mut lost = answer.assessment.get_untracked();
                    lost.status = AssessmentStatus::Failed;
                    lost.error = Some(api::sentence(&problem).to_owned());
                    return app.answers.finished(app, &answer, lost);
                }
                Err(_) => app.reach(),
            }
        }
    });
}
