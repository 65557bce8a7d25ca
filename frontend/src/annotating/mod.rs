//! One person's work on a study: what they see, what they are about to vote, and the way back.
//!
//! The next tasks are fetched while one is rated, and votes are sent from a tray that outlives the page
//! (see [`tray`]): nobody waits for the server, and nothing is lost with it.

mod drafts;
mod tabs;
mod tray;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::Assessment;
use qponder_shared::study::{
    Conditions, Correction, CreateAnnotation, CreateVote, Feedback, Progress, Rating, Reveal, Sheet, Study,
    StudyTask, Task, Thread,
};
use qponder_shared::{ItemId, StudyId};

use crate::api::{self, Failure};
use crate::clock;
use crate::format::sentence;
use crate::parts::viewer;
use crate::state::App;
use crate::studies;

pub use drafts::{Saved, leave_name};

/// Tasks that wait beside the one in view.
const AHEAD: usize = 4;
/// Milliseconds in a minute.
const MINUTE: f64 = 60_000.0;

/// What the page asks for now.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing yet.
    Loading,
    /// A vote.
    Rate,
    /// The vote must arrive before it goes on.
    Sending,
    /// The expected answer of a training item was shown.
    Feedback(Feedback),
    /// The correction of what a model says.
    Correct(Box<Shown>),
    /// A pause.
    Break,
    /// Nothing: all is done.
    Done,
    /// The study could not be opened.
    Failed(String),
}

/// What a model says, and what became of one's correction before.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub assessments: Vec<Assessment>,
    /// One's own annotation, where it came back.
    pub thread: Option<Thread>,
}

/// A small form over the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Why it is not rated.
    Skip,
    /// What is wrong with it.
    Flag,
}

/// A task and what was made of it.
#[derive(Clone)]
struct Visit {
    task: Task,
    sheet: Sheet,
}

/// The work, as signals. Kept in the app, so that keys reach it.
#[derive(Clone, Copy)]
pub struct Annotating {
    pub study: RwSignal<Option<Study>>,
    pub task: RwSignal<Option<Task>>,
    pub sheet: RwSignal<Sheet>,
    pub step: RwSignal<Step>,
    pub progress: RwSignal<Progress>,
    pub saved: RwSignal<Saved>,
    pub asking: RwSignal<Option<Asking>>,
    /// Which image of a pair is in view.
    pub side: RwSignal<usize>,
    pub can_undo: RwSignal<bool>,
    pub can_redo: RwSignal<bool>,
    /// Votes that have not arrived yet.
    pub unsent: RwSignal<usize>,
    /// Whether another tab saved a draft of what is in view.
    pub is_contested: RwSignal<bool>,
    /// Whether another tab voted on what is in view.
    pub is_rated_elsewhere: RwSignal<bool>,
    waiting: StoredValue<VecDeque<Task>>,
    /// What was voted on, and the versions of corrections that were sent: a list of tasks that was asked for earlier
    /// may still hold them.
    voted: StoredValue<BTreeSet<(ItemId, u8)>>,
    corrected: StoredValue<BTreeMap<ItemId, u32>>,
    past: StoredValue<Vec<Visit>>,
    future: StoredValue<Vec<Visit>>,
    /// Revision of the draft that the server has, and the number of changes made here.
    revision: StoredValue<i64>,
    changes: StoredValue<u32>,
    /// Drafts of what is in view that got no answer: one of them may be what the server has.
    unanswered: StoredValue<Vec<serde_json::Value>>,
    /// Votes that have arrived since the page was loaded.
    arrived: StoredValue<u64>,
    is_keeping: StoredValue<bool>,
    is_sending: StoredValue<bool>,
    is_correcting: StoredValue<bool>,
    shown_at: StoredValue<f64>,
    began_at: StoredValue<f64>,
}

impl Annotating {
    /// Nothing is open.
    #[must_use]
    pub fn new() -> Self {
        Self {
            study: RwSignal::new(None),
            task: RwSignal::new(None),
            sheet: RwSignal::new(Sheet::default()),
            step: RwSignal::new(Step::Loading),
            progress: RwSignal::new(Progress::default()),
            saved: RwSignal::new(Saved::Nothing),
            asking: RwSignal::new(None),
            side: RwSignal::new(0),
            can_undo: RwSignal::new(false),
            can_redo: RwSignal::new(false),
            unsent: RwSignal::new(0),
            is_contested: RwSignal::new(false),
            is_rated_elsewhere: RwSignal::new(false),
            waiting: StoredValue::new(VecDeque::new()),
            voted: StoredValue::new(BTreeSet::new()),
            corrected: StoredValue::new(BTreeMap::new()),
            past: StoredValue::new(Vec::new()),
            future: StoredValue::new(Vec::new()),
            revision: StoredValue::new(0),
            changes: StoredValue::new(0),
            unanswered: StoredValue::new(Vec::new()),
            arrived: StoredValue::new(0),
            is_keeping: StoredValue::new(false),
            is_sending: StoredValue::new(false),
            is_correcting: StoredValue::new(false),
            shown_at: StoredValue::new(0.0),
            began_at: StoredValue::new(0.0),
        }
    }

    /// Opens a study: sends what an earlier page left, and begins with the first task.
    pub fn open(self, app: App, id: StudyId) {
        self.study.set(None);
        self.task.set(None);
        self.step.set(Step::Loading);
        self.waiting.set_value(VecDeque::new());
        self.voted.set_value(BTreeSet::new());
        self.corrected.set_value(BTreeMap::new());
        self.past.set_value(Vec::new());
        self.future.set_value(Vec::new());
        self.progress.set(Progress::default());
        self.began_at.set_value(clock::now());
        self.tell_ways();
        spawn_local(async move {
            match studies::study(id).await {
                Ok(study) => self.study.set(Some(study)),
                Err(failure) => return self.step.set(Step::Failed(sentence(&failure))),
            }
            self.send_tray(app, id).await;
            // For going back beyond the page's beginning.
            if let Ok(page) = studies::given(id).await {
                self.voted.update_value(|voted| {
                    voted.extend(page.items.iter().map(|given| (given.task.item, given.task.repeat)));
                });
                let past = page.items.into_iter().rev().map(|given| {
                    let flag = given.flag.unwrap_or_default();
                    Visit { sheet: Sheet { flag, ..Sheet::of_rating(&given.rating) }, task: given.task }
                });
                self.past.set_value(past.collect());
                self.tell_ways();
            }
            self.advance(app).await;
        });
    }

    /// Votes with what the sheet says; says what is missing.
    pub fn submit(self, app: App) {
        if self.step.get_untracked() != Step::Rate {
            return;
        }
        let Some(task) = self.task.get_untracked() else { return };
        match self.sheet.with_untracked(|sheet| sheet.rating(task.task)) {
            Some(rating) => self.give(app, task, rating),
            None if task.task == StudyTask::Pairs => {
                app.toasts.say("Choose which is better first: 1, 2 or 3.")
            }
            None => app.toasts.say("Rate the whole image first: 1 to 5."),
        }
    }

    /// Goes on without a rating.
    pub fn skip(self, app: App, reason: &str) {
        self.asking.set(None);
        if let Some(task) = self.task.get_untracked().filter(|_| self.step.get_untracked() == Step::Rate) {
            self.give(app, task, Rating::Skipped { reason: reason.to_owned() });
        }
    }

    fn give(self, app: App, task: Task, rating: Rating) {
        let (zoom, stage) = (app.viewer.view.get_untracked().zoom, app.viewer.stage.get_untracked());
        let sheet = self.sheet.get_untracked();
        let flag = Some(sheet.flag.trim().to_owned()).filter(|flag| !flag.is_empty());
        let is_skipped = matches!(rating, Rating::Skipped { .. });
        let vote = CreateVote {
            item: task.item,
            repeat: task.repeat,
            rating,
            conditions: Conditions {
                zoom,
                device_pixel_ratio: viewer::ratio(),
                viewport_width: stage.width.max(1.0) as u32,
                viewport_height: stage.height.max(1.0) as u32,
            },
            ms: (clock::now() - self.shown_at.get_value()).max(0.0) as u64,
            key: format!("{}-{}-{}", task.item, task.repeat, clock::unique()),
            flag,
        };
        drafts::forget(&task);
        let is_first = self.voted.try_update_value(|voted| voted.insert((task.item, task.repeat)));
        tray::put(task.study, &vote);
        self.unsent.update(|unsent| *unsent += 1);
        // Whatever the clock says: a draft that was on its way must not come after the vote.
        self.changes.update_value(|changes| *changes += 1);
        self.past.update_value(|past| past.push(Visit { task: task.clone(), sheet }));
        if is_first == Some(true) {
            self.progress.update(|progress| progress.done = (progress.done + 1).min(progress.total));
        }
        let must_arrive = !is_skipped && (task.is_training || task.task == StudyTask::Reasoning);
        // Until the next one is in view, the same keys mean nothing: a second Enter is no second vote.
        self.step.set(Step::Sending);
        spawn_local(async move {
            if !must_arrive {
                spawn_local(async move {
                    let _ = self.send_tray(app, task.study).await;
                });
                return self.advance(app).await;
            }
            let feedback = self.send_tray(app, task.study).await;
            match feedback {
                Some(feedback) if task.is_training => self.step.set(Step::Feedback(feedback)),
                _ if task.task == StudyTask::Reasoning && !task.is_training => self.reveal(app, task).await,
                _ => self.advance(app).await,
            }
        });
    }

    /// Goes on after feedback, a pause, or an answer that is not there.
    pub fn go_on(self, app: App) {
        if self.step.get_untracked() == Step::Break {
            self.began_at.set_value(clock::now());
            return self.step.set(Step::Rate);
        }
        self.step.set(Step::Sending);
        spawn_local(self.advance(app));
    }

    /// Shows what models say of the task.
    async fn reveal(self, app: App, task: Task) {
        let thread = match &task.returned {
            Some(thread) => studies::thread(thread.id).await.ok(),
            None => None,
        };
        match studies::reveal(task.item).await {
            Ok(Reveal { assessments, thread: known }) => {
                let thread = match (thread, known) {
                    (None, Some(known)) => studies::thread(known.id).await.ok(),
                    (thread, _) => thread,
                };
                self.correct(Shown { assessments, thread });
            }
            Err(Failure::Unreachable) => {
                app.reach();
                self.step.set(Step::Failed(
                    "The server can’t be reached. Your vote is kept and is sent when it is back.".into(),
                ));
            }
            Err(failure) => self.step.set(Step::Failed(sentence(&failure))),
        }
    }

    fn correct(self, shown: Shown) {
        let own = shown.thread.as_ref().and_then(|thread| {
            let newest = thread.versions.last()?;
            Some(Correction::of(&newest.response, thread.source.as_ref().map(|source| source.id)))
        });
        let model = shown.assessments.first().map(|one| Correction::of(&one.response, Some(one.id)));
        self.sheet.update(|sheet| {
            if sheet.correction.is_none() {
                sheet.correction = own.or(model);
            }
        });
        self.step.set(Step::Correct(Box::new(shown)));
    }

    /// Sends the correction; on a conflict shows the newer version beside it, and keeps what was typed.
    pub fn send_correction(self, app: App) {
        let Step::Correct(shown) = self.step.get_untracked() else { return };
        let Some(task) = self.task.get_untracked() else { return };
        let Some(correction) = self.sheet.with_untracked(|sheet| sheet.correction.clone()) else { return };
        let text = match correction.text() {
            Ok(text) => text,
            Err(why) => return app.toasts.complain(sentence(&why)),
        };
        let base = shown.thread.as_ref().map_or(0, |thread| thread.summary.version);
        let body = CreateAnnotation { text, source: correction.source, base };
        if self.is_correcting.get_value() {
            return;
        }
        self.is_correcting.set_value(true);
        spawn_local(async move {
            let outcome = studies::annotate(task.item, &body).await;
            self.is_correcting.set_value(false);
            match outcome {
                Ok(thread) => {
                    let version = thread.summary.version;
                    self.corrected.update_value(|corrected| {
                        corrected.insert(task.item, version);
                    });
                    self.changes.update_value(|changes| *changes += 1);
                    drafts::forget(&task);
                    app.toasts.say("Sent. A reviewer looks at it next.");
                    self.advance(app).await;
                }
                Err(failure) => {
                    app.report(&failure);
                    if failure.status() == Some(409) {
                        let kept = self.sheet.with_untracked(|sheet| sheet.correction.clone());
                        self.reveal(app, task).await;
                        self.sheet.update(|sheet| sheet.correction = kept);
                    }
                }
            }
        });
    }

    /// Back to the task before, to vote anew.
    pub fn undo(self) {
        self.turn(self.past, self.future);
    }

    /// Forward again.
    pub fn redo(self) {
        self.turn(self.future, self.past);
    }

    fn turn(self, from: StoredValue<Vec<Visit>>, to: StoredValue<Vec<Visit>>) {
        let can_leave = matches!(self.step.get_untracked(), Step::Rate | Step::Done | Step::Correct(_));
        if !can_leave {
            return;
        }
        let Some(visit) = from.try_update_value(Vec::pop).flatten() else { return };
        if let Some(task) = self.task.get_untracked().filter(|_| self.step.get_untracked() != Step::Done) {
            let here = Visit { task, sheet: self.sheet.get_untracked() };
            to.update_value(|to| to.push(here));
        }
        self.show(visit.task, visit.sheet, 0);
        self.step.set(Step::Rate);
        self.tell_ways();
    }

    /// Shows the next task, fetching more where few are left.
    async fn advance(self, app: App) {
        let Some(study) = self.study.get_untracked() else { return };
        if let Some(visit) = self.future.try_update_value(Vec::pop).flatten() {
            self.show(visit.task, visit.sheet, 0);
            self.step.set(Step::Rate);
            return self.tell_ways();
        }
        if self.waiting.with_value(VecDeque::is_empty)
            && let Err(failure) = self.fetch(study.id).await
        {
            if failure == Failure::Unreachable {
                app.reach();
            }
            return self.step.set(Step::Failed(sentence(&failure)));
        }
        let Some(task) = self.waiting.try_update_value(VecDeque::pop_front).flatten() else {
            self.task.set(None);
            self.step.set(Step::Done);
            return self.tell_ways();
        };
        let begun = drafts::begin(&task);
        self.show(task.clone(), begun.sheet, begun.revision);
        self.is_contested.set(begun.is_contested);
        self.tell_ways();
        if task.is_rated {
            self.step.set(Step::Sending);
            return self.reveal(app, task).await;
        }
        let worked = clock::now() - self.began_at.get_value();
        let is_tired = study.break_minutes > 0 && worked > f64::from(study.break_minutes) * MINUTE;
        self.step.set(if is_tired { Step::Break } else { Step::Rate });
        if self.waiting.with_value(VecDeque::len) < AHEAD / 2 {
            spawn_local(async move {
                let _ = self.fetch(study.id).await;
            });
        }
    }

    /// Fetches tasks, leaving out those that are in view or whose votes are on their way.
    async fn fetch(self, study: StudyId) -> Result<(), Failure> {
        let (before, arrived) = (tray::waiting(study), self.arrived.get_value());
        let tasks = studies::tasks(study, AHEAD + 2).await?;
        let sent = tray::waiting(study);
        // Whether a vote that was under way meanwhile is counted there, nobody knows; here it is.
        let is_settled = before.is_empty() && sent.is_empty() && self.arrived.get_value() == arrived;
        let here = self.task.get_untracked();
        let is_known = |task: &Task| {
            let same = |item, repeat| (item, repeat) == (task.item, task.repeat);
            if here.as_ref().is_some_and(|here| same(here.item, here.repeat)) {
                return true;
            }
            if !task.is_rated {
                return sent.iter().any(|vote| same(vote.item, vote.repeat))
                    || self.voted.with_value(|voted| voted.contains(&(task.item, task.repeat)));
            }
            let seen = task.returned.as_ref().map_or(0, |thread| thread.version);
            self.corrected.with_value(|corrected| corrected.get(&task.item).is_some_and(|sent| *sent > seen))
        };
        let fresh: VecDeque<Task> = tasks.items.into_iter().filter(|task| !is_known(task)).collect();
        for image in fresh.iter().flat_map(|task| &task.images) {
            preload(&api::rendering_url(image.id));
        }
        self.waiting.set_value(fresh);
        self.progress.update(|progress| {
            let done = if is_settled || progress.total == 0 { tasks.progress.done } else { progress.done };
            *progress = Progress { done: done.min(tasks.progress.total), ..tasks.progress };
        });
        Ok(())
    }

    fn show(self, task: Task, sheet: Sheet, revision: i64) {
        self.revision.set_value(revision);
        self.unanswered.set_value(Vec::new());
        self.is_contested.set(false);
        self.is_rated_elsewhere.set(false);
        self.changes.update_value(|changes| *changes += 1);
        self.saved.set(if sheet == Sheet::default() { Saved::Nothing } else { Saved::Kept });
        self.asking.set(None);
        self.side.set(0);
        self.sheet.set(sheet);
        self.task.set(Some(task));
        self.shown_at.set_value(clock::now());
    }

    /// Whether two images are compared.
    #[must_use]
    pub fn is_pair(self) -> bool {
        self.task.with_untracked(|task| task.as_ref().is_some_and(|task| task.images.len() == 2))
    }

    fn tell_ways(self) {
        self.can_undo.set(self.past.with_value(|past| !past.is_empty()));
        self.can_redo.set(self.future.with_value(|future| !future.is_empty()));
    }
}

/// Has the browser fetch an image, so that it is there when it is shown.
fn preload(url: &str) {
    if let Ok(image) = web_sys::HtmlImageElement::new() {
        image.set_src(url);
    }
}
