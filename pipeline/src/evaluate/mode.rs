//! One model in one mode.

use std::collections::BTreeMap;

use qponder_shared::api::Mode;
use serde::Serialize;

use super::answers::answer_all;
use super::statistics::Fit;
use super::{Case, Consistency, DescriptionReport, EvaluateError, Kept, Scored, Statistics};
use crate::assess::Assessor;

/// What is measured, and against what.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    pub cases: &'a [Case],
    /// Where the logistic is fitted, when not on the labels of `cases` themselves.
    pub fit_on: Option<&'a [Case]>,
    pub consistency: Consistency,
}

impl Plan<'_> {
    /// Images that are assessed in each mode.
    #[must_use]
    pub fn images(&self) -> usize {
        self.cases.len() + self.fit_on.map_or(0, <[Case]>::len)
    }
}

/// What was measured of one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModeReport {
    pub mode: Mode,
    /// Of all images.
    #[serde(flatten)]
    pub overall: Statistics,
    /// By dataset.
    pub datasets: BTreeMap<String, Statistics>,
    /// By the strongest distortion; `none` of pristine images. Images of which it is not known are left out.
    pub distortions: BTreeMap<&'static str, Statistics>,
    /// Of the words; in reasoning mode only.
    pub description: Option<DescriptionReport>,
}

/// Assesses every case and compares with its label; also gives every score, in the order of the cases.
/// Answers that are `kept` are not asked for. `progress` gets the number done, of [`Plan::images`], and can end it.
///
/// # Errors
/// When an image cannot be read or the model fails on it, and what `progress` gives.
pub fn evaluate(
    assessor: &Assessor,
    plan: &Plan<'_>,
    mode: Mode,
    kept: &mut Kept,
    progress: &mut dyn FnMut(usize) -> Result<(), EvaluateError>,
) -> Result<(ModeReport, Vec<Scored>), EvaluateError> {
    let mut ask = |cases: &[Case], before: usize| -> Result<Vec<Scored>, EvaluateError> {
        let answers = answer_all(assessor, cases, mode, kept, &mut |done| progress(before + done))?;
        Ok(cases.iter().zip(answers).map(|(case, answer)| Scored::new(case, mode, answer)).collect())
    };
    let scored = ask(plan.cases, 0)?;
    let validation = plan.fit_on.map(|cases| ask(cases, plan.cases.len())).transpose()?;
    Ok((report(plan, mode, &scored, validation.as_deref()), scored))
}

fn report(plan: &Plan<'_>, mode: Mode, scored: &[Scored], validation: Option<&[Scored]>) -> ModeReport {
    let fitted = |rows: &[&Scored], is_wanted: &dyn Fn(&Scored) -> bool| match validation {
        None => Statistics::of(rows, Fit::OnThese),
        Some(validation) => {
            let validation: Vec<&Scored> = validation.iter().filter(|row| is_wanted(row)).collect();
            Statistics::of(rows, Fit::OnValidation(&validation))
        }
    };
    let mut datasets: BTreeMap<String, Vec<&Scored>> = BTreeMap::new();
    let mut distortions: BTreeMap<&'static str, Vec<&Scored>> = BTreeMap::new();
    for (case, row) in plan.cases.iter().zip(scored) {
        datasets.entry(case.dataset.clone()).or_default().push(row);
        distortions.entry(case.distortion()).or_default().push(row);
    }
    distortions.remove("unknown");
    let overall = fitted(&scored.iter().collect::<Vec<_>>(), &|_| true);
    let is_only = datasets.len() == 1;
    let of_dataset = |(name, rows): (String, Vec<&Scored>)| {
        let statistics = if is_only { overall.clone() } else { fitted(&rows, &|row| row.dataset == name) };
        (name, statistics)
    };
    ModeReport {
        mode,
        datasets: datasets.into_iter().map(of_dataset).collect(),
        overall,
        distortions: distortions
            .into_iter()
            .map(|(name, rows)| (name, Statistics::of(&rows, Fit::None)))
            .collect(),
        description: (mode == Mode::Reason)
            .then(|| DescriptionReport::of(plan.cases, scored, &plan.consistency)),
    }
}
