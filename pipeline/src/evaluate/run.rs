//! An evaluation from beginning to end, as `qponder evaluate` and jobs make it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use qponder_shared::api::Mode;
use qponder_shared::manifest::Split;
use qponder_shared::recipe::{EvaluateRecipe, FitOn};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::determinism::ANSWERS_TO_CHECK;
use super::report::page;
use super::{
    Case, EvaluateError, Kept, ModelReport, Plan, Provenance, Scored, Suite, cases, check_determinism,
    consistency, evaluate, judge_answers, spread, swap,
};
use crate::assess::Assessor;
use crate::calls::Event;
use crate::device::Place;
use crate::judge::Judge;
use crate::train::TrainError;

/// Answers of an evaluation that has not come to its end, beside what it will write.
pub const ANSWERS: &str = "answers.jsonl";
/// Decides which image lends its reasoning to which.
const SWAP_SEED: u64 = 0;

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Model directories; several are set against each other.
    pub models: Vec<PathBuf>,
    /// Manifests of labelled images, each a dataset.
    pub manifests: Vec<PathBuf>,
    pub split: Split,
    /// At most so many images, spread evenly over the manifests.
    pub limit: Option<usize>,
    pub modes: Vec<Mode>,
    /// Where the logistic is fitted.
    pub fit_on: FitOn,
    /// Images of the determinism check; 0 makes none.
    pub determinism: usize,
    /// Images whose reasoning is swapped; 0 swaps none.
    pub swap: usize,
    pub device: Place,
    /// Where answers are kept as they come, so that an evaluation that was interrupted goes on from them, until
    /// [`Evaluation::forget_answers`]. `None` keeps none.
    pub answers: Option<PathBuf>,
}

impl Evaluation {
    /// What a recipe says.
    #[must_use]
    pub fn of(recipe: &EvaluateRecipe, device: Place) -> Self {
        let EvaluateRecipe { models, data, measure, out } = recipe;
        let paths = |names: &[String]| names.iter().map(PathBuf::from).collect();
        Self {
            models: paths(models),
            manifests: paths(&data.manifests),
            split: data.split,
            limit: data.limit,
            modes: measure.modes.clone(),
            fit_on: measure.fit_on,
            determinism: measure.determinism,
            swap: measure.swap,
            device,
            answers: Some(Path::new(out).join(ANSWERS)),
        }
    }

    /// Removes the answers that were kept, once what was found is written down: the next evaluation asks anew.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_answers(&self) -> Result<(), EvaluateError> {
        let Some(path) = &self.answers else { return Ok(()) };
        std::fs::remove_file(path).map_err(failed(path))
    }
}

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Its answers in a mode.
    Answers(Mode),
    /// The same answers once more.
    Determinism,
    /// Scores after another image's reasoning.
    Swap,
    /// Verdicts of a judge.
    Judge,
}

/// What an evaluation tells as it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress<'a> {
    /// There will be so many answers of all models in their modes.
    Started { step: usize, steps: usize },
    /// Something begins that takes `of` steps of its own.
    Began { model: &'a str, work: Work, of: usize },
    /// So many of them are done. `step` counts the answers of [`Progress::Started`].
    #[serde(rename = "progress")]
    Advanced { step: usize, done: usize },
    /// What the judge's calls tell.
    #[serde(untagged)]
    Judging(Event),
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Evaluated {
    pub suite: Suite,
    /// The images, in the order of the scores.
    pub cases: Vec<Case>,
    /// Every model's scores, a mode after another.
    pub scored: Vec<Vec<Scored>>,
}

/// Evaluates. A judge that does not get to the end is no error: its report says so.
///
/// # Errors
/// When a manifest, an image, a model or the answers kept cannot be read, the model fails on an image, a judge is
/// asked about modes that write no reasoning or cannot be asked at all, or `stop` was set.
pub fn run(
    evaluation: &Evaluation,
    mut judge: Option<&mut Judge>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Evaluated, EvaluateError> {
    let Evaluation { models, manifests, split, limit, modes, .. } = evaluation;
    if judge.is_some() && !modes.contains(&Mode::Reason) {
        return Err(EvaluateError::NothingToJudge);
    }
    models.iter().try_for_each(|dir| Assessor::glance(dir))?;
    let tested = cases(manifests, *split, *limit)?;
    let fits_elsewhere = evaluation.fit_on == FitOn::Val && *split != Split::Val;
    let validation = fits_elsewhere.then(|| cases(manifests, Split::Val, *limit)).transpose()?;
    let plan = Plan { cases: &tested, fit_on: validation.as_deref(), consistency: consistency(manifests)? };
    judge.as_deref().map(Judge::reach).transpose()?;
    let mut kept = Kept::open(evaluation.answers.as_deref(), evaluation.device)?;
    progress(Progress::Started { step: 0, steps: models.len() * modes.len() * plan.images() });
    let mut teller = Teller { stop, progress, step: 0 };
    let (mut reports, mut scored) = (Vec::new(), Vec::new());
    for dir in models {
        let (report, scores) =
            one_model(evaluation, dir, &plan, &mut kept, judge.as_deref_mut(), &mut teller)?;
        reports.push(report);
        scored.push(scores);
    }
    name_apart(&mut reports, models);
    let mut provenance = Provenance::of(manifests, &tested, split.name(), now())?;
    provenance.judge_calls = judge.map(|judge| judge.calls().clone());
    Ok(Evaluated { suite: Suite::new(provenance, reports, &scored)?, cases: tested, scored })
}

impl Evaluated {
    /// Writes `report.json`, `index.html` and, for the model of index `i` from 1, `scores-{i}.jsonl`.
    ///
    /// # Errors
    /// When a file cannot be written or a picture cannot be drawn.
    pub fn write(&self, dir: &Path) -> Result<(), EvaluateError> {
        for (index, scores) in self.scored.iter().enumerate() {
            let path = dir.join(format!("scores-{}.jsonl", index + 1));
            let mut lines = Vec::new();
            write_scores(&mut lines, scores).map_err(failed(&path))?;
            std::fs::write(&path, lines).map_err(failed(&path))?;
        }
        self.write_page(dir)?;
        let path = dir.join("report.json");
        let text = serde_json::to_string(&self.suite).map_err(|error| failed(&path)(error.into()))?;
        std::fs::write(&path, text).map_err(failed(&path))
    }

    /// Writes `index.html`.
    ///
    /// # Errors
    /// When it cannot be written or a picture cannot be drawn.
    pub fn write_page(&self, dir: &Path) -> Result<(), EvaluateError> {
        let path = dir.join("index.html");
        let page = page(&self.suite, &self.cases, &self.scored)?;
        std::fs::write(&path, page).map_err(failed(&path))
    }
}

/// Writes scores and texts as JSON lines.
///
/// # Errors
/// When they cannot be written.
pub fn write_scores(file: &mut impl Write, scores: &[Scored]) -> io::Result<()> {
    scores.iter().try_for_each(|row| writeln!(file, "{}", serde_json::to_string(row)?))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> EvaluateError {
    move |source| TrainError::Io { path: path.to_owned(), source }.into()
}

/// Passes on how far it is.
struct Teller<'a> {
    stop: &'a AtomicBool,
    progress: &'a mut dyn FnMut(Progress<'_>),
    /// Answers of the modes so far.
    step: usize,
}

impl Teller<'_> {
    fn begin(&mut self, model: &str, work: Work, of: usize) {
        (self.progress)(Progress::Began { model, work, of });
    }

    /// So much of what began is done, and so many answers of the mode.
    fn advance(&mut self, done: usize, answers: usize) -> Result<(), EvaluateError> {
        (self.progress)(Progress::Advanced { step: self.step + answers, done });
        self.go_on()
    }

    fn go_on(&self) -> Result<(), EvaluateError> {
        if self.stop.load(Ordering::Relaxed) { Err(EvaluateError::Stopped) } else { Ok(()) }
    }
}

fn one_model(
    evaluation: &Evaluation,
    dir: &Path,
    plan: &Plan<'_>,
    kept: &mut Kept,
    judge: Option<&mut Judge>,
    teller: &mut Teller<'_>,
) -> Result<(ModelReport, Vec<Scored>), EvaluateError> {
    let assessor = Assessor::load(dir, evaluation.device)?;
    teller.go_on()?;
    let model = assessor.info().clone();
    let (mut modes, mut scored) = (Vec::new(), Vec::new());
    for &mode in &evaluation.modes {
        teller.begin(&model.name, Work::Answers(mode), plan.images());
        let (report, scores) = evaluate(&assessor, plan, mode, kept, &mut |done| teller.advance(done, done))?;
        teller.step += plan.images();
        modes.push(report);
        scored.extend(scores);
    }
    let cases: &[Case] = plan.cases;
    let Evaluation { determinism, swap: swapped, .. } = *evaluation;
    let checked = determinism.min(cases.len());
    let determinism = (checked > 0).then(|| {
        teller.begin(&model.name, Work::Determinism, ANSWERS_TO_CHECK * checked);
        check_determinism(&assessor, cases, checked, &mut |done| teller.advance(done, 0))
    });
    let determinism = determinism.transpose()?;
    let judge = judge.map(|judge| {
        teller.begin(&model.name, Work::Judge, cases.len());
        let reasoned: Vec<&Scored> = scored.iter().filter(|row| row.mode == Mode::Reason).collect();
        judge_answers(judge, cases, &reasoned, teller.stop, &mut |event| {
            (teller.progress)(Progress::Judging(event.clone()));
        })
    });
    let judge = judge.transpose()?;
    let swap = (swapped > 0).then(|| {
        let cases = spread(cases, swapped);
        teller.begin(&model.name, Work::Swap, 2 * cases.len());
        swap(&assessor, &cases, SWAP_SEED, &mut |done| teller.advance(done, 0))
    });
    let report =
        ModelReport { name: model.name.clone(), model, modes, judge, swap: swap.transpose()?, determinism };
    Ok((report, scored))
}

/// Two models of one name get their paths.
fn name_apart(models: &mut [ModelReport], paths: &[PathBuf]) {
    let names: Vec<String> = models.iter().map(|model| model.name.clone()).collect();
    for (model, path) in models.iter_mut().zip(paths) {
        if names.iter().filter(|&name| *name == model.name).count() > 1 {
            model.name = path.display().to_string();
        }
    }
}

/// The time in UTC, to the second.
fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use qponder_shared::recipe::{EndpointRecipe, SpendLimits};

    use super::*;

    #[test]
    fn a_judge_without_reasoning_is_refused_before_anything_is_read() {
        let endpoint: EndpointRecipe =
            serde_json::from_str(r#"{"base_url":"http://127.0.0.1:9/v1","model":"judge"}"#).expect("valid");
        let mut judge = Judge::new(&endpoint, &SpendLimits::default()).expect("no key is asked for");
        let evaluation = Evaluation {
            models: vec!["absent".into()],
            manifests: vec!["absent.jsonl".into()],
            split: Split::Val,
            limit: None,
            modes: vec![Mode::Quick],
            fit_on: FitOn::Test,
            determinism: 0,
            swap: 0,
            device: Place::Cpu,
            answers: None,
        };
        let refused = run(&evaluation, Some(&mut judge), &AtomicBool::new(false), &mut |_| {});
        assert!(matches!(refused, Err(EvaluateError::NothingToJudge)), "{:?}", refused.err());
    }
}
