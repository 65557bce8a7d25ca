//! Asking a model for answers to many images, a batch at a time.

use qponder_shared::api::{Mode, Sampling};
use serde::{Deserialize, Serialize};

use super::kept::Said;
use super::{Case, EvaluateError, Kept};
use crate::assess::{Answer, Assessor, Event, Flow, Forced, Request};

/// Images that are assessed together.
pub(super) const BATCH: usize = 16;
/// Answers longer than this many tokens are cut off and count as they stand.
const LONGEST: usize = 256;

/// One image's score, for comparing models image by image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub mode: Mode,
    /// The dataset's name.
    #[serde(default)]
    pub dataset: String,
    /// The manifest row's id.
    pub id: String,
    pub reference: String,
    /// 1 to 5.
    pub label: f64,
    /// `None` is a parse failure.
    pub score: Option<f64>,
    /// What the model wrote.
    pub text: String,
}

impl Scored {
    pub(super) fn new(case: &Case, mode: Mode, said: Said) -> Self {
        let row = &case.item.row;
        Self {
            mode,
            dataset: case.dataset.clone(),
            id: row.id.clone(),
            reference: row.reference.clone(),
            label: row.label.value(),
            score: said.score,
            text: said.text,
        }
    }
}

/// The most likely answer.
pub(super) fn greedy() -> Sampling {
    Sampling { max_new_tokens: LONGEST, ..Sampling::default() }
}

/// Asks for an answer that begins with `beginning`.
pub(super) fn ask(
    case: &Case,
    mode: Mode,
    sampling: Sampling,
    beginning: &str,
) -> Result<Forced, EvaluateError> {
    let request = Request { image: case.item.image()?, mode, sampling, wording: None };
    Ok(Forced { request, beginning: beginning.to_owned() })
}

/// Answers to requests about these cases, all in one batch.
pub(super) fn answer(
    assessor: &Assessor,
    cases: &[&Case],
    requests: Vec<Forced>,
) -> Result<Vec<Answer>, EvaluateError> {
    let mut results: Vec<Result<Answer, String>> = vec![Err("it gave no answer".into()); cases.len()];
    assessor.answer_from(requests, &mut |index, event| {
        match event {
            Event::Text(_) => {}
            Event::Done(answer) => results[index] = Ok(answer),
            Event::Refused(reason) | Event::Failed(reason) => results[index] = Err(reason),
        }
        Flow::Continue
    });
    let named = results.into_iter().zip(cases);
    named
        .map(|(result, case)| {
            result.map_err(|reason| EvaluateError::Model { id: case.item.row.id.clone(), reason })
        })
        .collect()
}

/// What the model most likely says of each case, where it is not kept already; `progress` gets the number done and
/// can end it.
pub(super) fn answer_all(
    assessor: &Assessor,
    cases: &[Case],
    mode: Mode,
    kept: &mut Kept,
    progress: &mut dyn FnMut(usize) -> Result<(), EvaluateError>,
) -> Result<Vec<Said>, EvaluateError> {
    let mut all = Vec::with_capacity(cases.len());
    for batch in cases.chunks(BATCH) {
        let said = |answer: Answer| Said { score: answer.score.map(|score| score.get()), text: answer.text };
        all.extend(kept.batch(assessor, batch, mode, || {
            let requests =
                batch.iter().map(|case| ask(case, mode, greedy(), "")).collect::<Result<Vec<_>, _>>()?;
            let answers = answer(assessor, &batch.iter().collect::<Vec<_>>(), requests)?;
            Ok(answers.into_iter().map(said).collect())
        })?);
        progress(all.len())?;
    }
    Ok(all)
}
