//! Validation while training: rank correlation on held-out photographs.

use candle_core::Tensor;
use qponder_kernels::pixels::Patches;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::recipe::{Objective, Validation};
use qponder_shared::stats;
use rayon::prelude::*;
use serde::Serialize;

use super::TrainError;
use super::data::{Item, spread};
use super::objective::PooledHeads;
use crate::assess::{Answer, Event, Flow, Request, assess_with};
use crate::ops;
use crate::processor::Processor;
use crate::qwen2_5_vl::Qwen2_5Vl;

/// How well held-out images are judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ValidationReport {
    /// SRCC of the quick score, or of the pooled score while the tower is trained alone.
    pub srcc: Option<f64>,
    pub plcc: Option<f64>,
    /// Share of distorted images whose distortion the pooled heads name, while the tower is trained alone.
    pub distortion_accuracy: Option<f64>,
    /// SRCC of the reasoning mode's score.
    pub reasoning_srcc: Option<f64>,
    /// Reasoning answers without a readable score.
    pub parse_failures: usize,
    pub images: usize,
    pub reasoning_images: usize,
}

/// Judges the items with the model as it stands.
pub fn validate(
    model: &Qwen2_5Vl,
    heads: Option<&PooledHeads>,
    processor: &Processor,
    items: &[Item],
    settings: &Validation,
    objective: Objective,
) -> Result<ValidationReport, TrainError> {
    let labels: Vec<f64> = items.iter().map(|item| item.row.label.value()).collect();
    let mut report = ValidationReport { images: items.len(), ..ValidationReport::default() };
    if let (Objective::Tower, Some(heads)) = (objective, heads) {
        let (scores, accuracy) = pooled(model, heads, processor, items)?;
        report.distortion_accuracy = accuracy;
        report.srcc = stats::srcc(&scores, &labels);
        report.plcc = stats::plcc(&scores, &labels);
        return Ok(report);
    }
    let quick = answers(model, processor, items, Mode::Quick)?;
    let (scores, known) = readable(&quick, &labels);
    report.srcc = stats::srcc(&scores, &known);
    report.plcc = stats::plcc(&scores, &known);
    if objective == Objective::Quick {
        return Ok(report);
    }
    let some = spread(items, settings.reasoning_images);
    let labels: Vec<f64> = some.iter().map(|item| item.row.label.value()).collect();
    let reasoned = answers(model, processor, &some, Mode::Reason)?;
    let (scores, known) = readable(&reasoned, &labels);
    report.reasoning_srcc = stats::srcc(&scores, &known);
    report.parse_failures = labels.len() - known.len();
    report.reasoning_images = labels.len();
    Ok(report)
}

/// Scores of the pooled heads, and how often they name the distortion.
fn pooled(
    model: &Qwen2_5Vl,
    heads: &PooledHeads,
    processor: &Processor,
    items: &[Item],
) -> Result<(Vec<f64>, Option<f64>), TrainError> {
    let judge = |item: &Item| -> Result<(f64, u32), TrainError> {
        let patches = Patches::new(&item.image()?, processor.patches())
            .map_err(|e| TrainError::Image { path: item.path.clone(), reason: e.to_string() })?;
        let count = patches.count();
        let length = patches.values.len() / count;
        let tensor = Tensor::from_vec(patches.values, (count, length), model.device())?;
        let features = model.vision.features(&tensor, &[patches.grid])?;
        Ok(heads.judge(&features, &[count])?.remove(0))
    };
    let judged: Vec<(f64, u32)> =
        items.par_iter().map(|item| ops::serially(|| judge(item))).collect::<Result<_, _>>()?;
    let distorted = judged.iter().zip(items).filter_map(|((_, found), item)| {
        item.distortion().filter(|&(_, severity)| severity > 0).map(|(kind, _)| *found == kind)
    });
    let named: Vec<f64> = distorted.map(|right| f64::from(u8::from(right))).collect();
    let accuracy = (!named.is_empty()).then(|| named.iter().sum::<f64>() / named.len() as f64);
    Ok((judged.into_iter().map(|(score, _)| score).collect(), accuracy))
}

/// Scores that could be read, with their labels.
fn readable(answers: &[Option<Answer>], labels: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let score = |(answer, &label): (&Option<Answer>, &f64)| Some((answer.as_ref()?.score?.get(), label));
    answers.iter().zip(labels).filter_map(score).unzip()
}

fn answers(
    model: &Qwen2_5Vl,
    processor: &Processor,
    items: &[Item],
    mode: Mode,
) -> Result<Vec<Option<Answer>>, TrainError> {
    const BATCH: usize = 16;
    let mut answers = Vec::with_capacity(items.len());
    for batch in items.chunks(BATCH) {
        let sampling = Sampling { max_new_tokens: 200, ..Sampling::default() };
        let requests = batch
            .iter()
            .map(|item| Ok(Request { image: item.image()?, mode, sampling, wording: None }))
            .collect::<Result<Vec<_>, TrainError>>()?;
        let mut results = vec![None; batch.len()];
        assess_with(model, processor, &requests, &mut |index, event| {
            if let Event::Done(answer) = event {
                results[index] = Some(answer);
            }
            Flow::Continue
        })?;
        answers.extend(results);
    }
    Ok(answers)
}
