//! The kernels: their sources put together, compiled once.

use std::collections::HashMap;

use super::device::{Card, Extras};
use crate::engine::model::{Matrix, Model, Numbers};

/// How weights are stored, as kernels tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    F32,
    F16,
    Q8,
    Q4,
}

impl Stored {
    /// Of a matrix.
    pub fn of(matrix: &Matrix) -> Self {
        match matrix.numbers {
            Numbers::F32(_) => Self::F32,
            Numbers::F16(_) => Self::F16,
            Numbers::Q8 { .. } => Self::Q8,
            Numbers::Q4 { .. } => Self::Q4,
        }
    }

    fn source(self) -> &'static str {
        match self {
            Self::F32 => include_str!("wgsl/weight_f32.wgsl"),
            Self::F16 => include_str!("wgsl/weight_f16.wgsl"),
            Self::Q8 => include_str!("wgsl/weight_q8.wgsl"),
            Self::Q4 => include_str!("wgsl/weight_q4.wgsl"),
        }
    }
}

/// A kernel; attention has a variant for each width of a head, in groups of four numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// A product for many tokens.
    Tiled(Stored),
    /// A product for one token.
    Vector(Stored),
    RmsNorm,
    Rope,
    Attention(u32),
    AttentionDecode(u32),
    Activation,
    Scatter,
    Choose,
}

impl Kernel {
    /// Its source in WGSL, for a card with these extras.
    pub fn source(self, extras: Extras) -> String {
        let reduce = if extras.subgroups {
            include_str!("wgsl/reduce_subgroups.wgsl")
        } else {
            include_str!("wgsl/reduce.wgsl")
        };
        let product = include_str!("wgsl/product.wgsl");
        let width = |width: u32| format!("const WIDTH = {width}u;");
        match self {
            Self::Tiled(stored) => {
                // Weights in f32 were meant to stay exact.
                let (enable, fours) = if extras.f16 && stored != Stored::F32 {
                    ("enable f16;", include_str!("wgsl/fours_f16.wgsl"))
                } else {
                    ("", include_str!("wgsl/fours_f32.wgsl"))
                };
                let main = include_str!("wgsl/product_tiled.wgsl");
                [enable, product, stored.source(), fours, main].join("\n")
            }
            Self::Vector(stored) => {
                [product, stored.source(), reduce, include_str!("wgsl/product_vector.wgsl")].join("\n")
            }
            Self::RmsNorm => [reduce, include_str!("wgsl/rms_norm.wgsl")].join("\n"),
            Self::Rope => include_str!("wgsl/rope.wgsl").into(),
            Self::Attention(four) => [&width(four), include_str!("wgsl/attention.wgsl")].join("\n"),
            Self::AttentionDecode(four) => {
                [&width(four), reduce, include_str!("wgsl/attention_decode.wgsl")].join("\n")
            }
            Self::Activation => include_str!("wgsl/activation.wgsl").into(),
            Self::Scatter => include_str!("wgsl/scatter.wgsl").into(),
            Self::Choose => include_str!("wgsl/choose.wgsl").into(),
        }
    }
}

/// Compiled kernels.
#[derive(Debug)]
pub struct Kernels {
    pipelines: HashMap<Kernel, wgpu::ComputePipeline>,
}

impl Kernels {
    /// Compiles all that a model needs.
    pub fn new(card: &Card, model: &Model) -> Self {
        let widths = [model.vision.hidden / model.vision.heads / 4, model.text.head_dim() / 4];
        let mut needed =
            vec![Kernel::RmsNorm, Kernel::Rope, Kernel::Activation, Kernel::Scatter, Kernel::Choose];
        needed.extend(widths.map(|width| Kernel::Attention(width as u32)));
        needed.push(Kernel::AttentionDecode(widths[1] as u32));
        let stored = model.matrices().map(Stored::of);
        needed.extend(stored.flat_map(|stored| [Kernel::Tiled(stored), Kernel::Vector(stored)]));
        Self::compile(card, &needed)
    }

    /// Compiles some.
    pub fn compile(card: &Card, needed: &[Kernel]) -> Self {
        let mut pipelines = HashMap::new();
        for &kernel in needed {
            pipelines.entry(kernel).or_insert_with(|| pipeline(card, kernel));
        }
        Self { pipelines }
    }

    /// A kernel that was compiled.
    pub fn get(&self, kernel: Kernel) -> &wgpu::ComputePipeline {
        &self.pipelines[&kernel]
    }
}

fn pipeline(card: &Card, kernel: Kernel) -> wgpu::ComputePipeline {
    let label = format!("{kernel:?}");
    let module = card.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(&label),
        source: wgpu::ShaderSource::Wgsl(kernel.source(card.extras).into()),
    });
    card.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    })
}
