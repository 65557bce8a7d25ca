//! Who is signed in, and what happens when nobody is any more.
//!
//! A call that the server refuses for want of a session waits here: the page stays as it is, with all that
//! was typed and picked, a dialog asks for the password, and the call is made again. So no other part of the
//! page has to know that sessions end.

use std::cell::{Cell, RefCell};

use js_sys::{Function, Promise};
use leptos::prelude::*;
use qponder_shared::Scope;
use qponder_shared::account::Me;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::accounts;

/// The type of the problem that says that nobody is signed in.
pub const NOT_SIGNED_IN: &str = "/problems/not-signed-in";

/// How it stands.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionState {
    /// The server was not asked yet.
    Unknown,
    /// Nobody was signed in when the page was opened.
    Out,
    /// Somebody is, or this is local mode.
    In(Me),
    /// They were, and the session has ended.
    Lost(Me),
}

/// The session, as a signal.
#[derive(Clone, Copy)]
pub struct Session {
    state: RwSignal<SessionState>,
}

thread_local! {
    /// The one session of the page, for calls, which know no state.
    static CURRENT: Cell<Option<Session>> = const { Cell::new(None) };
    /// Resolves the promises of the calls that wait.
    static WAITING: RefCell<Vec<Function>> = const { RefCell::new(Vec::new()) };
}

impl Session {
    /// Not known yet.
    #[must_use]
    pub fn new() -> Self {
        let session = Self { state: RwSignal::new(SessionState::Unknown) };
        CURRENT.set(Some(session));
        session
    }

    /// How it stands now.
    #[must_use]
    pub fn state(self) -> SessionState {
        self.state.get()
    }

    /// Who is signed in, or was until their session ended.
    #[must_use]
    pub fn me(self) -> Option<Me> {
        match self.state.get() {
            SessionState::In(me) | SessionState::Lost(me) => Some(me),
            SessionState::Unknown | SessionState::Out => None,
        }
    }

    /// Whether they may do that.
    #[must_use]
    pub fn may(self, scope: Scope) -> bool {
        self.me().is_some_and(|me| me.may(scope))
    }

    /// The same, outside of what is drawn.
    #[must_use]
    pub fn may_untracked(self, scope: Scope) -> bool {
        untrack(|| self.may(scope))
    }

    /// Whether the page is of use: somebody is signed in, and no dialog lies over it.
    #[must_use]
    pub fn is_in_untracked(self) -> bool {
        self.state.with_untracked(|state| matches!(state, SessionState::In(_)))
    }

    /// Somebody is signed in. Calls that waited go on, unless it is somebody else: then the page starts
    /// over, since what it shows belongs to the one before.
    pub fn enter(self, me: Me) {
        let before = self.state.get_untracked();
        if let SessionState::In(earlier) | SessionState::Lost(earlier) = before
            && earlier.user.as_ref().map(|user| user.id) != me.user.as_ref().map(|user| user.id)
        {
            return start_over("");
        }
        self.state.set(SessionState::In(me));
        for resolve in WAITING.take() {
            let _ = resolve.call0(&JsValue::NULL);
        }
    }

    /// Nobody is signed in, or no more.
    pub fn leave(self) {
        self.state.update(|state| {
            *state = match std::mem::replace(state, SessionState::Unknown) {
                SessionState::In(me) | SessionState::Lost(me) => SessionState::Lost(me),
                SessionState::Unknown | SessionState::Out => SessionState::Out,
            };
        });
    }
}

/// Called when the server refuses for want of a session: returns once somebody is signed in again.
pub async fn wait() {
    // They may be already: in another window, or since this call was sent.
    if let (Some(session), Ok(Some(me))) = (CURRENT.get(), accounts::me().await) {
        return session.enter(me);
    }
    let promise = Promise::new(&mut |resolve, _| WAITING.with_borrow_mut(|waiting| waiting.push(resolve)));
    if let Some(session) = CURRENT.get() {
        session.leave();
    }
    let _ = JsFuture::from(promise).await;
}

/// Whose work it is that this browser keeps: the user's id, or `local`.
pub fn owner() -> String {
    let me = CURRENT.get().and_then(|session| untrack(|| session.me()));
    me.and_then(|me| me.user).map_or_else(|| "local".to_owned(), |user| user.id.to_string())
}

/// Loads the page anew, at an address or where it is.
pub fn start_over(address: &str) {
    let location = window().location();
    let _ = if address.is_empty() { location.reload() } else { location.assign(address) };
}
