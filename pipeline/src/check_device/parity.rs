//! Every operation, nano, and its gradients: on a device against the CPU's kernels.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use serde::Serialize;

use super::random::{self, answered};
use crate::degrade::Rng;
use crate::device::Place;
use crate::nano;
use crate::ops::{self, Rotation, Segment};
use crate::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use crate::train::TrainError;
use crate::train::answers::{Head, Packed};
use crate::train::objective::gradients;

/// How far a device is from the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub what: String,
    /// What the device computed in.
    pub dtype: &'static str,
    /// The largest difference, as a share of the largest number.
    pub difference: f32,
    /// The most that is right for this type.
    pub allowed: f32,
}

impl Row {
    /// Whether the device computes the same.
    #[must_use]
    pub fn is_right(&self) -> bool {
        // A difference that is no number is wrong too.
        self.difference <= self.allowed
    }
}

/// Types with what rounding may do: f32 sums in another order, bf16 has three digits.
const TYPES: [(DType, &str, f32); 2] = [(DType::F32, "f32", 2e-3), (DType::BF16, "bf16", 0.06)];

type Operation = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

/// Compares the device with the CPU.
///
/// # Errors
/// When the device cannot be used, or lacks an operation.
pub fn parity(place: Place) -> std::result::Result<Vec<Row>, TrainError> {
    let device = place.open()?;
    let mut rows = Vec::new();
    for (name, dims, operation) in operations() {
        let expected = outcome(&dims, &operation, &Device::Cpu, DType::F32)?;
        for (dtype, dtype_name, allowed) in TYPES {
            let found = outcome(&dims, &operation, &device, dtype)?;
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let what = match index {
                    0 => name.to_owned(),
                    1 => format!("{name}, without a gradient"),
                    _ => format!("{name}, gradient {}", index - 1),
                };
                rows.push(Row { what, dtype: dtype_name, difference: difference(found, expected), allowed });
            }
        }
    }
    let (config, _) = nano::processor()?;
    let weights = random::weights(&config, &Device::Cpu, DType::F32)?;
    let expected = of_nano(&config, &weights, &Device::Cpu, DType::F32)?;
    for (dtype, dtype_name, allowed) in TYPES {
        let found = of_nano(&config, &weights, &device, dtype)?;
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            let difference = difference(found, expected);
            rows.push(Row { what: format!("nano, {what}"), dtype: dtype_name, difference, allowed });
        }
    }
    Ok(rows)
}

/// Operations with the shapes of what they take.
fn operations() -> Vec<(&'static str, Vec<Vec<usize>>, Operation)> {
    let angles: Vec<f32> = (0..37 * 8).map(|i| i as f32 * 0.1).collect();
    let rotation = Rotation::new(&angles, 8);
    let attention = |segments: std::sync::Arc<[Segment]>| -> Operation {
        Box::new(move |t: &[Tensor]| ops::attention(&t[0], &t[1], &t[2], &segments))
    };
    let causal = |queries, keys| Segment { queries, keys, causal: true };
    let qkv = |queries: usize, keys: usize| vec![vec![queries, 4, 16], vec![keys, 2, 16], vec![keys, 2, 16]];
    let targets: Vec<u32> = (0..37).map(|row| row * 7 % 101).collect();
    vec![
        (
            "linear",
            vec![vec![37, 48], vec![29, 48], vec![29]],
            Box::new(|t| ops::linear(&t[0], &t[1], Some(&t[2]))),
        ),
        ("rms_norm", vec![vec![37, 48], vec![48]], Box::new(|t| ops::rms_norm(&t[0], &t[1], 1e-6))),
        ("rope", vec![vec![37, 4, 16]], Box::new(move |t| ops::rope(&t[0], &rotation))),
        ("swiglu", vec![vec![37, 48], vec![37, 48]], Box::new(|t| ops::swiglu(&t[0], &t[1]))),
        ("gelu", vec![vec![37, 48]], Box::new(|t| ops::gelu(&t[0]))),
        ("dropout", vec![vec![37, 48]], Box::new(|t| ops::dropout(&t[0], 0.3, 5))),
        ("attention in windows", qkv(37, 37), attention(Segment::consecutive([16, 16, 5], false))),
        ("causal attention", qkv(37, 37), attention(Segment::consecutive([20, 17], true))),
        (
            "attention to a cache",
            qkv(3, 40),
            attention([causal(0..1, 0..9), causal(1..2, 20..29), causal(2..3, 30..37)].into()),
        ),
        (
            "negative log-likelihood",
            vec![vec![37, 101]],
            Box::new(move |t| ops::negative_log_likelihood(&t[0], &targets)),
        ),
    ]
}

/// The result of an operation, the same where nothing is in training, and the gradients of a weighted sum of
/// it by everything it takes.
fn outcome(
    dims: &[Vec<usize>],
    operation: &Operation,
    device: &Device,
    dtype: DType,
) -> Result<Vec<Vec<f32>>> {
    let mut variables = Vec::with_capacity(dims.len());
    for (index, dims) in dims.iter().enumerate() {
        let values = normal(dims.iter().product(), index as u64);
        let tensor = Tensor::from_vec(values, dims.as_slice(), &Device::Cpu)?.to_device(device)?;
        variables.push(Var::from_tensor(&tensor.to_dtype(dtype)?)?);
    }
    let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
    let result = operation(&tensors)?.to_dtype(DType::F32)?;
    let weights = Tensor::from_vec(normal(result.elem_count(), 99), result.dims(), &Device::Cpu)?;
    let store = ops::backward(&(&result * weights.to_device(device)?)?.sum_all()?)?;
    let fixed: Vec<Tensor> = tensors.iter().map(Tensor::detach).collect();
    let mut numbers = vec![numbers(&result)?, numbers(&operation(&fixed)?)?];
    for tensor in &tensors {
        let gradient = store.get(tensor).cloned();
        numbers.push(self::numbers(&gradient.map_or_else(|| tensor.zeros_like(), Ok)?)?);
    }
    Ok(numbers)
}

/// Losses, gradients and the most likely tokens of nano on an image of noise, by name.
fn of_nano(
    config: &Config,
    weights: &BTreeMap<String, Tensor>,
    device: &Device,
    dtype: DType,
) -> std::result::Result<Vec<(String, Vec<f32>)>, TrainError> {
    let (mut tensors, mut variables) = (BTreeMap::new(), BTreeMap::new());
    for (name, tensor) in weights {
        let variable = Var::from_tensor(&tensor.to_device(device)?)?;
        tensors.insert(name.clone(), variable.as_tensor().clone());
        variables.insert(name.clone(), variable);
    }
    let model = Qwen2_5Vl::new(config.clone(), &Weights::new(tensors), device)?.with_dtype(dtype);
    let model = model.with_recompute(true);
    let patches = random::image(config, 12);
    let length = patches.values.len() / patches.count();
    let values = Tensor::from_slice(&patches.values, (patches.count(), length), device)?;
    let images = model.vision.forward(&values, &[patches.grid])?;
    let mut packed = Packed::default();
    let answers = [answered(config, patches.grid, 24), answered(config, patches.grid, 9)];
    packed.push(&answers.iter().collect::<Vec<_>>(), config.image_token_id, 0);
    let head = Head { temperature: 0.9, tokens: 16, entropy: true };
    let losses = packed.losses(&model, &images, head)?;
    let gradients = gradients(&losses.losses.sum_all()?, &variables)?;
    let all = vec![
        ("image embeddings".to_owned(), numbers(&images)?),
        ("losses".to_owned(), numbers(&losses.losses)?),
        ("entropies".to_owned(), losses.entropies),
    ];
    let whole =
        ["visual.blocks.0.attn.qkv.weight", "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"];
    let of = whole
        .into_iter()
        .filter_map(|name| Some((format!("gradient of {name}"), gradients.get(name)?.clone())));
    Ok(all.into_iter().chain(of).collect())
}

fn normal(count: usize, stream: u64) -> Vec<f32> {
    let mut values = vec![0.0; count];
    Rng::new(7, stream).fill_normal(&mut values);
    values
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
    // `max` would pass over what is no number.
    apart.fold(0.0, |most: f32, next| if next > most || next.is_nan() { next } else { most })
}
