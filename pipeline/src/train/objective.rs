//! What is minimised: the loss of a few examples, and its gradients.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use qponder_shared::recipe::{Objective, Train};

use super::answers::{Head, Packed};
use super::data::{Example, Tokens};
use crate::ops;
use crate::qwen2_5_vl::{Qwen2_5Vl, Weights};

/// Distortions with none, and severities with none.
const KINDS: usize = 26;
const SEVERITIES: usize = 6;

/// Linear heads on the mean of the tower's features: score, distortion, severity. They exist only
/// while training and help the tower to see.
pub struct PooledHeads {
    weight: Tensor,
    bias: Tensor,
}

impl PooledHeads {
    /// Names and initial values of the heads' parameters.
    ///
    /// # Errors
    /// When memory cannot be had.
    pub fn initial(width: usize) -> Result<BTreeMap<String, Tensor>> {
        let rows = 1 + KINDS + SEVERITIES;
        Ok(BTreeMap::from([
            ("heads.weight".to_owned(), Tensor::zeros((rows, width), DType::F32, &Device::Cpu)?),
            ("heads.bias".to_owned(), Tensor::zeros(rows, DType::F32, &Device::Cpu)?),
        ]))
    }

    /// Takes the heads' parameters.
    ///
    /// # Errors
    /// When they are missing or of another width.
    pub fn load(weights: &Weights, width: usize) -> std::result::Result<Self, crate::qwen2_5_vl::LoadError> {
        let rows = 1 + KINDS + SEVERITIES;
        Ok(Self {
            weight: weights.get("heads.weight", (rows, width))?,
            bias: weights.get("heads.bias", rows)?,
        })
    }

    /// `(images, 1 + 26 + 6)`: score − 3, distortion logits, severity logits.
    fn forward(&self, features: &Tensor, patches: &[usize]) -> Result<Tensor> {
        let device = features.device();
        let means = if device.is_cpu() {
            let mut start = 0;
            let mut means = Vec::with_capacity(patches.len());
            for &count in patches {
                means.push(features.narrow(0, start, count)?.to_dtype(DType::F32)?.mean_keepdim(0)?);
                start += count;
            }
            Tensor::cat(&means, 0)?
        } else {
            mean_by_image(features, patches)?
        };
        ops::linear(&means, &self.weight, Some(&self.bias))
    }

    /// Score and most likely distortion (25 is none) of each image, from the tower's features.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn judge(&self, features: &Tensor, patches: &[usize]) -> Result<Vec<(f64, u32)>> {
        let out = self.forward(features, patches)?;
        let kinds: Vec<u32> = out.narrow(1, 1, KINDS)?.argmax(1)?.to_vec1()?;
        let scores = out.narrow(1, 0, 1)?.squeeze(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        Ok(scores.into_iter().map(|s| s + 3.0).zip(kinds).collect())
    }
}

/// Mean of each image's features by a few operations rather than a few for each image.
fn mean_by_image(features: &Tensor, patches: &[usize]) -> Result<Tensor> {
    let (device, images) = (features.device(), patches.len());
    let image_of: Vec<u32> = patches
        .iter()
        .enumerate()
        .flat_map(|(image, &count)| std::iter::repeat_n(image as u32, count))
        .collect();
    let image_of = Tensor::from_vec(image_of, (1, ()), device)?;
    let image = Tensor::arange(0, images as u32, device)?.unsqueeze(1)?;
    let sums =
        image.broadcast_eq(&image_of)?.to_dtype(DType::F32)?.matmul(&features.to_dtype(DType::F32)?)?;
    let shares: Vec<f32> = patches.iter().map(|&count| 1.0 / count as f32).collect();
    sums.broadcast_mul(&Tensor::from_vec(shares, (images, 1), device)?)
}

/// Losses of a few examples; every part is a sum over examples, to be divided by their number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub total: f64,
    /// Mean cross-entropy of a reasoning answer's token, in nats.
    pub reason: f64,
    /// Cross-entropy of the level word.
    pub quick: f64,
    /// Smooth L1 of the pooled score.
    pub score: f64,
}

impl Losses {
    /// Adds another sum.
    pub fn add(&mut self, other: Losses) {
        self.total += other.total;
        self.reason += other.reason;
        self.quick += other.quick;
        self.score += other.score;
    }
}

/// Examples that are learned from together.
pub struct ExampleBatch {
    /// Their patches are in the tensor.
    examples: Vec<Example>,
    /// `(patches, channels * patch * patch)`.
    patches: Tensor,
}

impl ExampleBatch {
    /// Brings the examples' patches to a device.
    ///
    /// # Errors
    /// When its memory cannot be had.
    pub fn new(mut examples: Vec<Example>, device: &Device) -> Result<Self> {
        let count: usize = examples.iter().map(|example| example.patches.count()).sum();
        let all = examples.iter().map(|example| example.patches.values.len()).sum();
        let mut values = Vec::with_capacity(all);
        for example in &mut examples {
            values.append(&mut example.patches.values);
        }
        let patches = Tensor::from_vec(values, (count, all / count.max(1)), device)?;
        Ok(Self { examples, patches })
    }
}

/// The loss of some examples as a tensor to differentiate, summed over them.
///
/// # Errors
/// When the examples do not fit the model.
pub fn loss(
    model: &Qwen2_5Vl,
    heads: Option<&PooledHeads>,
    batch: &ExampleBatch,
    train: &Train,
) -> Result<(Tensor, Losses)> {
    let ExampleBatch { examples, patches } = batch;
    let device = model.device();
    let grids: Vec<_> = examples.iter().map(|e| e.patches.grid).collect();
    let counts: Vec<usize> = examples.iter().map(|e| e.patches.count()).collect();
    let features = model.vision.features(patches, &grids)?;
    let mut losses = Losses::default();
    let mut total = Tensor::zeros((), DType::F32, device)?;
    if let Some(heads) = heads {
        let (pooled, score) = pooled_loss(heads, &features, &counts, examples)?;
        losses.score = score;
        let weight = if train.objective == Objective::Tower { 1.0 } else { train.auxiliary_weight };
        total = (total + (pooled * weight)?)?;
    }
    if train.objective != Objective::Tower {
        let quick_weight = if train.objective == Objective::Quick { 1.0 } else { train.quick_weight };
        let images = model.vision.merge(&features, &grids)?;
        let (answers, reason, quick) =
            answer_loss(model, &images, examples, quick_weight, train.head_tokens)?;
        (losses.reason, losses.quick) = (reason, quick);
        total = (total + answers)?;
    }
    losses.total = f64::from(total.to_scalar::<f32>()?);
    Ok((total, losses))
}

/// Smooth L1 of the score and, where they are known, 0.3 times the cross-entropies of distortion and severity.
fn pooled_loss(
    heads: &PooledHeads,
    features: &Tensor,
    counts: &[usize],
    examples: &[Example],
) -> Result<(Tensor, f64)> {
    let out = heads.forward(features, counts)?;
    let labels: Vec<f32> = examples.iter().map(|e| e.label as f32 - 3.0).collect();
    let error = (out.narrow(1, 0, 1)?.squeeze(1)? - Tensor::from_vec(labels, examples.len(), out.device())?)?
        .abs()?;
    // ½e² below 1, e − ½ above: with c = min(e, 1), c·(e − c/2).
    let clipped = error.minimum(1.0)?;
    let score = (&clipped * (&error - (&clipped * 0.5)?)?)?.sum_all()?;
    let score_value = f64::from(score.to_scalar::<f32>()?);
    let known = |(at, e): (usize, &Example)| e.distortion.map(|(kind, severity)| (at as u32, kind, severity));
    let known: Vec<(u32, u32, u32)> = examples.iter().enumerate().filter_map(known).collect();
    if known.is_empty() {
        return Ok((score, score_value));
    }
    let rows: Vec<u32> = known.iter().map(|&(at, _, _)| at).collect();
    let out = ops::rows(&out, &rows)?;
    let kinds: Vec<u32> = known.iter().map(|&(_, kind, _)| kind).collect();
    let severities: Vec<u32> = known.iter().map(|&(_, _, severity)| severity).collect();
    let kind = ops::negative_log_likelihood(&out.narrow(1, 1, KINDS)?.contiguous()?, &kinds)?.sum_all()?;
    let severity =
        ops::negative_log_likelihood(&out.narrow(1, 1 + KINDS, SEVERITIES)?.contiguous()?, &severities)?
            .sum_all()?;
    Ok(((score + ((kind + severity)? * 0.3)?)?, score_value))
}

/// Cross-entropy on the assistant's tokens: of each example the mean over its reasoning answer, and
/// `quick_weight` times that of the level word. Both sequences share the image's embeddings.
fn answer_loss(
    model: &Qwen2_5Vl,
    images: &Tensor,
    examples: &[Example],
    quick_weight: f64,
    head_tokens: usize,
) -> Result<(Tensor, f64, f64)> {
    let mut packed = Packed::default();
    let mut weights: Vec<f32> = Vec::new();
    let mut reasoned = Vec::new();
    let mut first_image_row = 0;
    for example in examples {
        let reason = example.reason.iter().map(|tokens| (tokens, 1.0, true));
        let answers: Vec<_> = reason.chain([(&example.quick, quick_weight, false)]).collect();
        let sequences: Vec<&Tokens> = answers.iter().map(|(tokens, ..)| *tokens).collect();
        packed.push(&sequences, model.config.image_token_id, first_image_row);
        for (tokens, weight, is_reason) in answers {
            let count = tokens.answer.len();
            weights.extend(std::iter::repeat_n((weight / count as f64) as f32, count));
            reasoned.extend(std::iter::repeat_n(is_reason, count));
        }
        first_image_row += (example.patches.count() / model.config.vision.spatial_merge_size.pow(2)) as u32;
    }
    let head = Head { temperature: 1.0, tokens: head_tokens, entropy: false };
    let losses = packed.losses(model, images, head)?.losses;
    let values: Vec<f32> = losses.to_vec1()?;
    let sum = |of_reason: bool| -> f64 {
        let of = values.iter().zip(&weights).zip(&reasoned).filter(|(_, is_reason)| **is_reason == of_reason);
        of.map(|((loss, weight), _)| f64::from(loss * weight)).sum()
    };
    let quick = if quick_weight > 0.0 { sum(false) / quick_weight } else { 0.0 };
    let (reason, count) = (sum(true), weights.len());
    let weights = Tensor::from_vec(weights, count, model.device())?;
    Ok(((losses * weights)?.sum_all()?, reason, quick))
}

/// Gradients of a loss by parameter name, taken out of candle's graph.
///
/// # Errors
/// When a parameter has no gradient: an operation without one would otherwise go unnoticed.
pub fn gradients(loss: &Tensor, parameters: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Vec<f32>>> {
    let store = ops::backward(loss)?;
    let mut gradients = BTreeMap::new();
    for (name, parameter) in parameters {
        let Some(gradient) = store.get(parameter.as_tensor()) else {
            candle_core::bail!("parameter {name} has no gradient")
        };
        gradients.insert(name.clone(), gradient.detach().flatten_all()?.to_dtype(DType::F32)?.to_vec1()?);
    }
    Ok(gradients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_each_image() -> Result<()> {
        let features = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 6.0, 5.0, 7.0], (3, 2), &Device::Cpu)?;
        assert_eq!(mean_by_image(&features, &[2, 1])?.to_vec2::<f32>()?, [[2.0, 4.0], [5.0, 7.0]]);
        Ok(())
    }
}
