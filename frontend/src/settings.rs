//! What a person chose, kept in the browser between visits.

use leptos::prelude::*;
use qponder_shared::api::Mode;

use crate::api::Sort;

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the system has it.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    /// The value of `data-theme` and of the setting.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// What the toggle offers next.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Theme::System => Theme::Light,
            Theme::Light => Theme::Dark,
            Theme::Dark => Theme::System,
        }
    }
}

/// The stored theme.
#[must_use]
pub fn theme() -> Theme {
    stored("theme", [Theme::System, Theme::Light, Theme::Dark], Theme::name)
}

/// The stored mode of new assessments.
#[must_use]
pub fn mode() -> Mode {
    stored("mode", [Mode::Reason, Mode::Quick], Mode::name)
}

/// The stored order of the gallery.
#[must_use]
pub fn sort() -> Sort {
    stored("sort", Sort::ALL, Sort::name)
}

/// What the browser keeps for this page; browsers may forbid it.
pub fn storage() -> Option<web_sys::Storage> {
    window().local_storage().ok().flatten()
}

/// What the browser keeps for this tab alone, until it is closed.
pub fn tab_storage() -> Option<web_sys::Storage> {
    window().session_storage().ok().flatten()
}

/// Keeps a choice. Browsers may forbid storage; then it lasts until the page closes.
pub fn store(key: &str, value: &str) {
    if let Some(storage) = storage() {
        let _ = storage.set_item(&format!("qponder.{key}"), value);
    }
}

/// A stored text; empty where there is none.
#[must_use]
pub fn text(key: &str) -> String {
    let storage = window().local_storage().ok().flatten();
    storage.and_then(|storage| storage.get_item(&format!("qponder.{key}")).ok().flatten()).unwrap_or_default()
}

fn stored<T: Copy + Default, const N: usize>(key: &str, all: [T; N], name: fn(T) -> &'static str) -> T {
    let value = storage().and_then(|storage| storage.get_item(&format!("qponder.{key}")).ok().flatten());
    value.and_then(|value| all.into_iter().find(|choice| name(*choice) == value)).unwrap_or_default()
}
