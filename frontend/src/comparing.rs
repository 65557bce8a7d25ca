//! Comparing: calls, images that were picked in the gallery, and viewers that lie side by side.

use leptos::prelude::*;
use qponder_shared::ImageId;
use qponder_shared::api::Page;
use qponder_shared::compare::{ComparedImage, ComparisonStatistics, ImageComparison};

use crate::api::{self, Failure};
use crate::parts::viewer::Viewer;
use crate::route::{self, Route};
use crate::state::App;

/// Images that can lie side by side at most.
const MOST: usize = 4;

/// Orders of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairSort {
    #[default]
    Disagreement,
    Left,
    Right,
    Newest,
}

impl PairSort {
    /// In the order in which they are offered.
    pub const ALL: [PairSort; 4] =
        [PairSort::Disagreement, PairSort::Left, PairSort::Right, PairSort::Newest];

    /// The name in the query.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PairSort::Disagreement => "disagreement",
            PairSort::Left => "left",
            PairSort::Right => "right",
            PairSort::Newest => "newest",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            PairSort::Disagreement => "Largest difference first",
            PairSort::Left => "Left: highest first",
            PairSort::Right => "Right: highest first",
            PairSort::Newest => "Newest first, also unanswered",
        }
    }
}

/// What every model says of an image.
pub async fn of_image(id: ImageId) -> Result<ImageComparison, Failure> {
    api::get(&format!("{}/{id}/comparison", api::IMAGES)).await
}

/// One page of images with what two models say of them.
pub async fn list(
    left: &str,
    right: &str,
    sort: PairSort,
    cursor: Option<&str>,
) -> Result<Page<ComparedImage>, Failure> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", js_sys::encode_uri_component(cursor)));
    let query = sides(left, right);
    api::get(&format!("/api/v1/comparison?{query}&sort={}{}", sort.name(), cursor.unwrap_or_default())).await
}

/// How far two models agree.
pub async fn statistics(left: &str, right: &str) -> Result<ComparisonStatistics, Failure> {
    api::get(&format!("/api/v1/comparison/statistics?{}", sides(left, right))).await
}

/// Models that have readable answers.
pub async fn models() -> Result<Vec<String>, Failure> {
    api::get("/api/v1/comparison/models").await
}

fn sides(left: &str, right: &str) -> String {
    let encoded = js_sys::encode_uri_component;
    format!("left={}&right={}", encoded(left), encoded(right))
}

/// What is being compared.
#[derive(Clone, Copy)]
pub struct Comparing {
    /// Images that were picked in the gallery, in that order.
    pub picked: RwSignal<Vec<ImageId>>,
    /// Whether viewers side by side move together.
    pub is_linked: RwSignal<bool>,
    /// Counts how often a key asked for the missing answers.
    pub ask_missing: RwSignal<u32>,
    panes: StoredValue<Vec<Viewer>>,
}

impl Comparing {
    /// Nothing is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            picked: RwSignal::new(Vec::new()),
            is_linked: RwSignal::new(true),
            ask_missing: RwSignal::new(0),
            panes: StoredValue::new(Vec::new()),
        }
    }

    /// Whether an image was picked.
    #[must_use]
    pub fn is_picked(self, id: ImageId) -> bool {
        self.picked.with(|picked| picked.contains(&id))
    }

    /// Picks an image, or lets go of it.
    pub fn pick(self, app: App, id: ImageId) {
        let mut is_full = false;
        self.picked.update(|picked| match picked.iter().position(|other| *other == id) {
            Some(at) => drop(picked.remove(at)),
            None if picked.len() < MOST => picked.push(id),
            None => is_full = true,
        });
        if is_full {
            app.toasts.say("Four images fit side by side: let go of one first.");
        }
    }

    /// Shows the picked images side by side; says what is missing where they are too few.
    pub fn view(self, app: App) -> bool {
        let picked = self.picked.get_untracked();
        if picked.len() < 2 {
            app.toasts.say("Pick two to four images first, with S or their checkboxes.");
            return true;
        }
        let mut images = [None; MOST];
        images.iter_mut().zip(picked).for_each(|(slot, id)| *slot = Some(id));
        route::go(app, Route::SideBySide(images));
        true
    }

    /// Takes the viewers of the page, which move together while they are linked.
    pub fn lay_out(self, panes: Vec<Viewer>) {
        self.panes.set_value(panes);
        Effect::new(move || {
            let is_linked = self.is_linked.get();
            let panes = self.panes.get_value();
            for (at, pane) in panes.iter().enumerate() {
                let others = panes.iter().enumerate().filter(|(other, _)| is_linked && *other != at);
                pane.lead(others.map(|(_, pane)| *pane).collect());
            }
            if let (true, Some(first)) = (is_linked, panes.first()) {
                first.show_the_way();
            }
        });
        on_cleanup(move || self.panes.set_value(Vec::new()));
    }

    /// The viewer that has the focus, or the first one.
    #[must_use]
    pub fn focused_pane(self) -> Option<Viewer> {
        let pane =
            document().active_element().and_then(|active| active.closest("[data-pane]").ok().flatten());
        let at = pane.and_then(|pane| pane.get_attribute("data-pane")?.parse().ok()).unwrap_or(0);
        self.panes.with_value(|panes: &Vec<Viewer>| panes.get(at).copied())
    }
}
