//! The images that were uploaded, in the chosen order, loaded page by page.

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::{AssessmentSummary, Image};
use qponder_shared::{ImageId, Scope};

use crate::api::{self, Failure, Sort};
use crate::settings;
use crate::state::App;

/// One image of the gallery. Its signal changes when it is assessed.
#[derive(Clone)]
pub struct Card {
    pub id: ImageId,
    pub image: ArcRwSignal<Image>,
}

impl Card {
    fn new(image: Image) -> Self {
        Self { id: image.id, image: ArcRwSignal::new(image) }
    }
}

/// How loading stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Loading {
    /// Nothing was asked for yet.
    Idle,
    Busy,
    Ready,
    Failed(Failure),
}

/// The gallery's state.
#[derive(Clone, Copy)]
pub struct Gallery {
    cards: RwSignal<Vec<Card>>,
    next: RwSignal<Option<String>>,
    pub loading: RwSignal<Loading>,
    pub sort: RwSignal<Sort>,
    /// How far the gallery was scrolled when it was left.
    pub scroll: StoredValue<f64>,
    /// The image whose page was left last: focus returns to it.
    pub left_for: StoredValue<Option<ImageId>>,
    /// Whether scores have changed since images were sorted by them.
    is_unsorted: StoredValue<bool>,
    /// Counts reloads, so that an answer to an earlier one is dropped.
    generation: StoredValue<u32>,
}

impl Gallery {
    /// Nothing loaded, in the stored order.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cards: RwSignal::new(Vec::new()),
            next: RwSignal::new(None),
            loading: RwSignal::new(Loading::Idle),
            sort: RwSignal::new(settings::sort()),
            scroll: StoredValue::new(0.0),
            left_for: StoredValue::new(None),
            is_unsorted: StoredValue::new(false),
            generation: StoredValue::new(0),
        }
    }

    /// What is loaded.
    #[must_use]
    pub fn cards(self) -> Vec<Card> {
        self.cards.get()
    }

    /// Whether nothing is loaded.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.cards.with(Vec::is_empty)
    }

    /// Whether the server has more.
    #[must_use]
    pub fn has_more(self) -> bool {
        self.next.with(Option::is_some)
    }

    /// A loaded image.
    #[must_use]
    pub fn find(self, id: ImageId) -> Option<Card> {
        self.cards.with(|cards| cards.iter().find(|card| card.id == id).cloned())
    }

    /// The image `step` places after this one; `None` at the ends.
    #[must_use]
    pub fn neighbour(self, id: ImageId, step: isize) -> Option<ImageId> {
        self.cards.with(|cards| {
            let at = cards.iter().position(|card| card.id == id)?;
            cards.get(at.checked_add_signed(step)?).map(|card| card.id)
        })
    }

    /// Loads the first page unless that was done.
    pub fn load_if_needed(self, app: App) {
        if matches!(self.loading.get_untracked(), Loading::Idle | Loading::Failed(_)) {
            self.reload(app);
        }
    }

    /// Loads the first page anew where new scores have changed the order. For when the gallery is come
    /// back to: while it is looked at it keeps its order, so that nothing moves under the pointer.
    pub fn sort_if_needed(self, app: App) {
        if self.is_unsorted.get_value() {
            self.reload(app);
        }
    }

    /// Starts over in another order.
    pub fn sort_by(self, app: App, sort: Sort) {
        settings::store("sort", sort.name());
        self.sort.set(sort);
        self.reload(app);
    }

    /// Loads the first page anew.
    pub fn reload(self, app: App) {
        self.fetch(app, None);
    }

    /// The order that was chosen, unless it tells scores to somebody who is not shown them.
    fn order(self, app: App) -> Sort {
        match self.sort.get_untracked() {
            Sort::Best | Sort::Worst if !app.session.may_untracked(Scope::Assess) => Sort::Newest,
            sort => sort,
        }
    }

    /// Loads the next page, if there is one and nothing is being loaded.
    pub fn load_more(self, app: App) {
        if self.loading.get_untracked() == Loading::Busy {
            return;
        }
        if let Some(cursor) = self.next.get_untracked() {
            self.fetch(app, Some(cursor));
        }
    }

    fn fetch(self, app: App, cursor: Option<String>) {
        let generation = self.generation.get_value() + 1;
        self.generation.set_value(generation);
        if cursor.is_none() {
            self.is_unsorted.set_value(false);
        }
        self.loading.set(Loading::Busy);
        spawn_local(async move {
            let page = api::images(self.order(app), cursor.as_deref()).await;
            if self.generation.get_value() != generation {
                return;
            }
            match page {
                Ok(page) => {
                    self.cards.update(|cards| {
                        if cursor.is_none() {
                            cards.clear();
                        }
                        // An image that was uploaded meanwhile may come a second time.
                        let fresh = page.items.into_iter().filter(|image| !app.is_removed(image.id));
                        for image in fresh {
                            if !cards.iter().any(|card| card.id == image.id) {
                                cards.push(Card::new(image));
                            }
                        }
                    });
                    self.next.set(page.next);
                    self.loading.set(Loading::Ready);
                }
                Err(failure) => {
                    if failure == Failure::Unreachable {
                        app.reach();
                    }
                    self.loading.set(Loading::Failed(failure));
                }
            }
        });
    }

    /// Puts a new image first, whatever the order: that is where its owner looks for it.
    pub fn put_first(self, image: Image) {
        self.cards.update(|cards| {
            cards.retain(|card| card.id != image.id);
            cards.insert(0, Card::new(image));
        });
    }

    /// Takes an image out and says where it was.
    pub fn take(self, id: ImageId) -> Option<(usize, Card)> {
        let at = self.cards.with_untracked(|cards| cards.iter().position(|card| card.id == id))?;
        self.cards.try_update(|cards| (at, cards.remove(at)))
    }

    /// Puts an image back.
    pub fn put_back(self, at: usize, card: Card) {
        self.cards.update(|cards| cards.insert(at.min(cards.len()), card));
    }

    /// Notes an image's newest assessment.
    pub fn assessed(self, id: ImageId, summary: AssessmentSummary) {
        if let Some(card) = self.find_untracked(id) {
            if matches!(self.sort.get_untracked(), Sort::Best | Sort::Worst) {
                self.is_unsorted.set_value(true);
            }
            card.image.update(|image| image.latest = Some(summary));
        }
    }

    fn find_untracked(self, id: ImageId) -> Option<Card> {
        self.cards.with_untracked(|cards| cards.iter().find(|card| card.id == id).cloned())
    }
}
