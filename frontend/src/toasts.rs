//! Short messages at the edge of the page, each with at most one thing to do about it.

use std::sync::Arc;
use std::time::Duration;

use leptos::prelude::*;

/// What a message offers to do.
#[derive(Clone)]
pub struct Offer {
    pub label: &'static str,
    pub act: Arc<dyn Fn() + Send + Sync>,
}

/// A message that is shown.
#[derive(Clone)]
pub struct Toast {
    pub key: u32,
    pub text: String,
    pub is_error: bool,
    pub offer: Option<Offer>,
}

/// The messages that are shown, oldest first.
#[derive(Clone, Copy)]
pub struct Toasts {
    shown: RwSignal<Vec<Toast>>,
    last_key: StoredValue<u32>,
}

impl Toasts {
    /// No messages.
    #[must_use]
    pub fn new() -> Self {
        Self { shown: RwSignal::new(Vec::new()), last_key: StoredValue::new(0) }
    }

    /// What is shown now.
    #[must_use]
    pub fn all(self) -> Vec<Toast> {
        self.shown.get()
    }

    /// Says that something went as wished.
    pub fn say(self, text: impl Into<String>) {
        self.show(text.into(), false, None, Duration::from_secs(4));
    }

    /// Says what went wrong; stays longer.
    pub fn complain(self, text: impl Into<String>) {
        self.show(text.into(), true, None, Duration::from_secs(10));
    }

    /// Says something that can be acted on until it goes away; returns its key.
    pub fn offer(self, text: impl Into<String>, is_error: bool, offer: Offer, stay: Duration) -> u32 {
        self.show(text.into(), is_error, Some(offer), stay)
    }

    /// Takes a message away.
    pub fn dismiss(self, key: u32) {
        self.shown.update(|shown| shown.retain(|toast| toast.key != key));
    }

    fn show(self, text: String, is_error: bool, offer: Option<Offer>, stay: Duration) -> u32 {
        let key = self.last_key.get_value() + 1;
        self.last_key.set_value(key);
        self.shown.update(|shown| {
            // The same complaint twice is one complaint.
            shown.retain(|toast| toast.text != text || toast.offer.is_some());
            shown.push(Toast { key, text, is_error, offer });
        });
        set_timeout(move || self.dismiss(key), stay);
        key
    }
}
