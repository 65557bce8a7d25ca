//! Assessments that the page knows: asked for here, or made earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gloo_timers::future::sleep;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qponder_shared::api::{
    Assessment, AssessmentStatus, AssessmentSummary, CreateAssessment, Mode, Sampling,
};
use qponder_shared::{AssessmentId, ImageId, Scope, grammar, transcript};

use crate::api::{self, Failure};
use crate::route::Route;
use crate::state::App;
use crate::stream;

/// Pause before asking a full server again, where it does not name one; in seconds.
const FULL_PAUSE: u32 = 2;

/// One assessment. While it runs its signals grow with the stream.
#[derive(Clone)]
pub struct Answer {
    pub id: AssessmentId,
    pub image_id: ImageId,
    pub assessment: ArcRwSignal<Assessment>,
    /// How many run before it.
    pub ahead: ArcRwSignal<usize>,
    /// The stream broke and is being opened again.
    pub interrupted: ArcRwSignal<bool>,
}

impl Answer {
    fn new(assessment: Assessment) -> Self {
        Self {
            id: assessment.id,
            image_id: assessment.image_id,
            assessment: ArcRwSignal::new(assessment),
            ahead: ArcRwSignal::new(0),
            interrupted: ArcRwSignal::new(false),
        }
    }

    /// A part of the assessment that tells of changes only when it changes itself: the text grows
    /// many times a second, its status hardly ever.
    #[must_use]
    pub fn watch<T>(&self, part: impl Fn(&Assessment) -> T + Send + Sync + 'static) -> Memo<T>
    where
        T: PartialEq + Send + Sync + 'static,
    {
        let assessment = self.assessment.clone();
        Memo::new(move |_| assessment.with(&part))
    }

    /// Where it stands.
    #[must_use]
    pub fn watch_status(&self) -> Memo<AssessmentStatus> {
        self.watch(|assessment| assessment.status)
    }

    /// Whether it still grows.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.assessment.with(|assessment| assessment.status.is_final())
    }
}

/// All known assessments.
#[derive(Clone, Copy)]
pub struct Answers {
    /// Newest first.
    of_image: RwSignal<BTreeMap<ImageId, Vec<Answer>>>,
    /// Images, and the models that were named, whose next assessment the server has not taken yet.
    asking: RwSignal<BTreeSet<(ImageId, Option<String>)>>,
}

impl Answers {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self { of_image: RwSignal::new(BTreeMap::new()), asking: RwSignal::new(BTreeSet::new()) }
    }

    /// The known assessments of an image, newest first.
    #[must_use]
    pub fn of(self, image: ImageId) -> Vec<Answer> {
        self.of_image.with(|all| all.get(&image).cloned().unwrap_or_default())
    }

    /// The newest assessment of an image, while it runs.
    #[must_use]
    pub fn live(self, image: ImageId) -> Option<Answer> {
        self.of_image.with(|all| all.get(&image)?.first().cloned()).filter(Answer::is_live)
    }

    /// Whether the newest assessment of an image failed.
    #[must_use]
    pub fn has_failed(self, image: ImageId) -> bool {
        let newest = self.of_image.with(|all| all.get(&image)?.first().cloned());
        newest
            .is_some_and(|answer| answer.assessment.with(|newest| newest.status == AssessmentStatus::Failed))
    }

    /// Whether an assessment is being asked for.
    #[must_use]
    pub fn is_asking(self, image: ImageId) -> bool {
        self.asking.with(|asking| asking.iter().any(|(asked, _)| *asked == image))
    }

    /// The newest assessment of an image by a model in reason mode, unless it was cancelled.
    #[must_use]
    pub fn reason_of(self, image: ImageId, model: &str) -> Option<Answer> {
        let is_of = |answer: &&Answer| {
            answer.assessment.with(|assessment| {
                assessment.model == model
                    && assessment.mode == Mode::Reason
                    && assessment.status != AssessmentStatus::Cancelled
            })
        };
        self.of_image.with(|all| all.get(&image)?.iter().find(is_of).cloned())
    }

    /// Whether a model is being asked.
    #[must_use]
    pub fn is_asking_model(self, image: ImageId, model: &str) -> bool {
        let asked = (image, Some(model.to_owned()));
        self.asking.with(|asking| asking.contains(&asked))
    }

    /// Asks the default model for an assessment and follows it.
    pub fn ask(self, app: App, image: ImageId, mode: Mode, sampling: Sampling) {
        self.ask_model(app, image, None, mode, sampling);
    }

    /// Asks a model, or the default one, for an assessment and follows it. A full server is asked again until it
    /// has a place.
    pub fn ask_model(self, app: App, image: ImageId, model: Option<String>, mode: Mode, sampling: Sampling) {
        let asked = (image, model.clone());
        if !app.allows(Scope::Assess) || self.asking.with_untracked(|asking| asking.contains(&asked)) {
            return;
        }
        self.asking.update(|asking| {
            asking.insert(asked.clone());
        });
        spawn_local(async move {
            let body = CreateAssessment { image_id: image, model, mode, sampling };
            let answer = loop {
                match api::create_assessment(&body).await {
                    Err(Failure::Refused { problem, retry_after }) if problem.status == 503 => {
                        sleep(Duration::from_secs(retry_after.unwrap_or(FULL_PAUSE).clamp(1, 30).into()))
                            .await;
                    }
                    answer => break answer,
                }
            };
            self.asking.update(|asking| {
                asking.remove(&asked);
            });
            match answer {
                Ok(assessment) => {
                    let answer = self.note(assessment);
                    let route = app.route.get_untracked();
                    let is_watched =
                        matches!(route, Route::Image(id) | Route::CompareImage(id) if id == image);
                    if is_watched {
                        app.shown.set(Some(answer.clone()));
                    }
                    app.announcement.set(format!("Assessing in {} mode.", mode.name()));
                    if answer.assessment.with_untracked(|a| a.status.is_final()) {
                        self.finished(app, &answer, answer.assessment.get_untracked());
                    } else {
                        stream::follow(app, answer, is_watched);
                    }
                }
                Err(failure) => app.report(&failure),
            }
        });
    }

    /// Loads an image's earlier assessments; those that still run are followed.
    pub async fn load(self, app: App, image: ImageId) -> Result<(), Failure> {
        for assessment in api::assessments(image).await?.items {
            let is_final = assessment.status.is_final();
            let answer = self.note(assessment);
            if !is_final {
                stream::follow(app, answer, true);
            }
        }
        Ok(())
    }

    /// Stops an assessment. The stream then brings its last event.
    pub fn cancel(self, app: App, answer: &Answer) {
        let id = answer.id;
        spawn_local(async move {
            match api::cancel_assessment(id).await {
                // Too late to cancel is no failure: it is done.
                Err(failure) if failure.status() == Some(409) => {}
                Err(failure) => app.report(&failure),
                Ok(()) => app.announcement.set("Cancelled.".to_owned()),
            }
        });
    }

    /// Joins a streamed piece.
    ///
    /// # Errors
    /// When an earlier piece is missing.
    pub fn grow(self, answer: &Answer, offset: usize, piece: &str) -> Result<(), transcript::Gap> {
        answer
            .assessment
            .try_update(|assessment| {
                transcript::join(&mut assessment.text, offset, piece)?;
                assessment.status = AssessmentStatus::Running;
                if assessment.mode == Mode::Reason {
                    assessment.response = grammar::parse(transcript::settled(&assessment.text));
                }
                Ok(())
            })
            .unwrap_or(Ok(()))
    }

    /// Takes the final state of an assessment.
    pub fn finished(self, app: App, answer: &Answer, assessment: Assessment) {
        if assessment.status == AssessmentStatus::Done {
            let summary = AssessmentSummary {
                id: assessment.id,
                mode: assessment.mode,
                model: assessment.model.clone(),
                score: assessment.score,
            };
            app.gallery.assessed(assessment.image_id, summary);
            app.announcement.set(match assessment.score {
                Some(score) => {
                    format!("Score {score} of 5, {}. {}", score.level(), assessment.response.summary)
                }
                None => "The answer holds no score that could be read.".to_owned(),
            });
        }
        answer.interrupted.set(false);
        answer.assessment.set(assessment);
        // Tiles ask for the newest one that runs: tell them that this one no longer does.
        self.of_image.notify();
    }

    /// Takes complete assessments that came another way.
    pub fn take(self, assessments: impl IntoIterator<Item = Assessment>) {
        assessments.into_iter().for_each(|assessment| drop(self.note(assessment)));
    }

    /// Adds or refreshes one; a text that has grown further here is kept.
    fn note(self, assessment: Assessment) -> Answer {
        let image = assessment.image_id;
        let known = self
            .of_image
            .with_untracked(|all| all.get(&image)?.iter().find(|answer| answer.id == assessment.id).cloned());
        if let Some(answer) = known {
            let is_news = assessment.status.is_final()
                || answer.assessment.with_untracked(|known| known.text.len() < assessment.text.len());
            if is_news {
                answer.assessment.set(assessment);
            }
            return answer;
        }
        let answer = Answer::new(assessment);
        self.of_image.update(|all| {
            let answers = all.entry(image).or_default();
            // Ids are UUIDv7: later ones sort after earlier ones.
            let at = answers.partition_point(|other| other.id > answer.id);
            answers.insert(at, answer.clone());
        });
        answer
    }
}
