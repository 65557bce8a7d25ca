//! Everything that the page knows, as signals. One value, handed to every component by context.

use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::Scope;
use qponder_shared::api::{Mode, ServerInfo};

use crate::accounts;
use crate::annotating::Annotating;
use crate::answers::{Answer, Answers};
use crate::api::{self, Failure};
use crate::comparing::Comparing;
use crate::dropped::Found;
use crate::gallery::Gallery;
use crate::parts::viewer::Viewer;
use crate::quick::Quick;
use crate::route::Route;
use crate::session::Session;
use crate::settings::{self, Theme};
use crate::toasts::Toasts;
use crate::upload::Uploads;

/// Longest pause between two attempts to reach the server, in seconds.
const LONGEST_PAUSE: u32 = 30;

/// Whether the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not known yet.
    Connecting,
    Up,
    /// It does not; the next attempt comes in this many seconds.
    Down {
        retry_in: u32,
    },
}

/// The state of the page.
#[derive(Clone, Copy)]
pub struct App {
    pub route: RwSignal<Route>,
    /// How new photos are assessed.
    pub mode: RwSignal<Mode>,
    pub theme: RwSignal<Theme>,
    pub session: Session,
    pub info: RwSignal<Option<ServerInfo>>,
    pub link: RwSignal<Link>,
    pub gallery: Gallery,
    pub answers: Answers,
    pub uploads: Uploads,
    /// Photos that are scored on this device.
    pub quick: Quick,
    pub toasts: Toasts,
    pub viewer: Viewer,
    /// The study that somebody works on.
    pub annotating: Annotating,
    /// Images that were picked, and those that lie side by side.
    pub comparing: Comparing,
    /// The assessment that the image page shows.
    pub shown: RwSignal<Option<Answer>>,
    /// Whether the list of keys is open.
    pub help: RwSignal<bool>,
    /// What screen readers are told.
    pub announcement: RwSignal<String>,
    is_reaching: StoredValue<bool>,
    is_impatient: StoredValue<bool>,
}

impl App {
    /// The state at the start: the address, stored settings, nothing loaded.
    #[must_use]
    pub fn new() -> Self {
        Self {
            route: RwSignal::new(Route::current()),
            mode: RwSignal::new(settings::mode()),
            theme: RwSignal::new(settings::theme()),
            session: Session::new(),
            info: RwSignal::new(None),
            link: RwSignal::new(Link::Connecting),
            gallery: Gallery::new(),
            answers: Answers::new(),
            uploads: Uploads::new(),
            quick: Quick::new(),
            toasts: Toasts::new(),
            viewer: Viewer::new(),
            annotating: Annotating::new(),
            comparing: Comparing::new(),
            shown: RwSignal::new(None),
            help: RwSignal::new(false),
            announcement: RwSignal::new(String::new()),
            is_reaching: StoredValue::new(false),
            is_impatient: StoredValue::new(false),
        }
    }

    /// The state, within a component.
    #[must_use]
    pub fn get() -> Self {
        expect_context()
    }

    /// Takes files that were dropped or pasted: on the page *Quick score* they stay on this device.
    pub fn take(self, files: Vec<Found>) {
        match self.route.get_untracked() {
            Route::QuickScore => self.quick.add(self, files),
            _ => self.uploads.add(self, files),
        }
    }

    /// Whether whoever is signed in may do that; says so when not.
    pub fn allows(self, scope: Scope) -> bool {
        let may = self.session.may_untracked(scope);
        if !may {
            self.toasts.complain(format!("Your role does not have the scope {scope}. Ask an administrator."));
        }
        may
    }

    /// Asks the server again which models it has, after that changed.
    pub fn learn(self) {
        spawn_local(async move {
            if let Ok(info) = api::info().await {
                let _ = self.info.try_set(Some(info));
            }
        });
    }

    /// Says what went wrong; when the server is away, starts to wait for it instead.
    pub fn report(self, failure: &Failure) {
        match failure {
            Failure::Unreachable => self.reach(),
            Failure::Refused { .. } | Failure::Unreadable(_) => self.toasts.complain(failure.to_string()),
        }
    }

    /// Asks the server who is signed in, and then for its model and limits, until it answers, with growing
    /// pauses.
    pub fn reach(self) {
        if self.is_reaching.get_value() {
            return;
        }
        self.is_reaching.set_value(true);
        spawn_local(async move {
            let mut pause = 1;
            loop {
                match self.look().await {
                    Ok(()) => break,
                    Err(_) => self.wait(pause).await,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            self.is_reaching.set_value(false);
            self.link.set(Link::Up);
            if self.session.is_in_untracked() {
                self.gallery.load_if_needed(self);
            }
        });
    }

    async fn look(self) -> Result<(), Failure> {
        let Some(me) = accounts::me().await? else {
            self.session.leave();
            return Ok(());
        };
        self.session.enter(me);
        self.info.set(Some(api::info().await?));
        Ok(())
    }

    /// Ends the pause before the next attempt.
    pub fn reach_now(self) {
        self.is_impatient.set_value(true);
    }

    async fn wait(self, seconds: u32) {
        for left in (1..=seconds).rev() {
            self.link.set(Link::Down { retry_in: left });
            for _ in 0..10 {
                if self.is_impatient.get_value() {
                    self.is_impatient.set_value(false);
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
