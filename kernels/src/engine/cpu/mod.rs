//! The model on the processor, on one thread: what runs where there is no GPU, and in f32 throughout
//! ([`Cpu::exact`]) the reference for other backends. Compiled to WebAssembly its loops use SIMD.

mod attention;
pub(crate) mod math;
mod product;
mod rounded;
mod simd;

pub use attention::{Heads, attention};
pub use math::{Rotation, add, gelu, rms_norm, rope, swiglu};
pub use product::linear;

use std::sync::Arc;

use super::model::{Layer, Linear, Matrix, Model};
use super::{Prompt, Sampler, VISION_EPS};
use crate::layout;

/// A model with the keys and values of one sequence.
#[derive(Debug)]
pub struct Cpu {
    model: Arc<Model>,
    /// Per layer keys and values, `(tokens, kv_heads * head_dim)` each.
    cache: Vec<(Vec<f32>, Vec<f32>)>,
    arithmetic: Arithmetic,
    sampler: Sampler,
    /// Tokens in the cache.
    tokens: u32,
    /// Of the token after them, `(vocabulary)`.
    logits: Vec<f32>,
    /// The new tokens, `(tokens, hidden)`.
    x: Vec<f32>,
    /// Of each frequency, see [`layout::text_frequencies`].
    frequencies: Vec<(usize, f32)>,
    rotation: Rotation,
    scratch: Scratch,
}

/// Numbers between the parts of a layer. They stay where they are, so that a token allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    normed: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    mixed: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    out: Vec<f32>,
    /// A row of weights.
    row: Vec<f32>,
}

/// How products with quantised weights are formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arithmetic {
    /// In f32.
    Exact,
    /// With activations rounded to 16 bits, which is faster.
    Rounded,
}

impl Arithmetic {
    fn of(self, x: &[f32], linear: &Linear, row: &mut Vec<f32>, out: &mut Vec<f32>) {
        self.apply(x, &linear.weight, linear.bias.as_deref(), row, out);
    }

    /// Into `out`, which becomes `(tokens, outputs)`; `row` has room for a row of weights.
    fn apply(self, x: &[f32], weight: &Matrix, bias: Option<&[f32]>, row: &mut Vec<f32>, out: &mut Vec<f32>) {
        let tokens = x.len() / weight.inputs;
        out.resize(tokens * weight.outputs, 0.0);
        // A panel for a token or two is more work than it saves.
        if self == Self::Rounded && tokens >= product::TILE && rounded::takes(weight) {
            rounded::linear(x, weight, bias, out);
        } else {
            product::linear_by(x, weight, bias, row, out);
        }
    }
}

impl Cpu {
    /// In f32 throughout: what other backends are compared with. Over a model's weights, which are shared.
    #[must_use]
    pub fn exact(model: Arc<Model>) -> Self {
        Self { arithmetic: Arithmetic::Exact, ..Self::new(model) }
    }

    /// Over a model's weights, which are shared.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        let cache = vec![(Vec::new(), Vec::new()); model.layers.len()];
        let logits = vec![0.0; model.text.vocabulary];
        let text = &model.text;
        let half = text.head_dim() / 2;
        Self {
            cache,
            arithmetic: Arithmetic::Rounded,
            sampler: Sampler::greedy(),
            tokens: 0,
            logits,
            x: Vec::new(),
            frequencies: layout::text_frequencies(text.sections, half, text.theta),
            rotation: Rotation::new(&[], half),
            scratch: Scratch::default(),
            model,
        }
    }

    /// The logits of the next token, `(vocabulary)`.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The next token.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.sampler.choose(self.tokens, &self.logits)
    }

    /// Forgets what was read before and reads a prompt, after which about `room` tokens come, chosen by `sampler`;
    /// more make the cache grow.
    pub fn prefill(&mut self, prompt: &Prompt, room: usize, sampler: Sampler) {
        (self.sampler, self.tokens) = (sampler, 0);
        let text = &self.model.text;
        let (hidden, width) = (text.hidden, text.kv_heads * text.head_dim());
        for cached in self.cache.iter_mut().flat_map(|(keys, values)| [keys, values]) {
            cached.clear();
            cached.reserve((prompt.ids.len() + room) * width);
        }
        let images = images(&self.model, self.arithmetic, prompt, &mut self.scratch);
        let mut images = images.chunks_exact(hidden);
        self.x.resize(prompt.ids.len() * hidden, 0.0);
        for (row, &id) in self.x.chunks_exact_mut(hidden).zip(&prompt.ids) {
            match if id == prompt.image_token { images.next() } else { None } {
                Some(image) => row.copy_from_slice(image),
                None => self.model.embedding.row(id as usize, row),
            }
        }
        self.run(&prompt.positions);
    }

    /// Reads one more token.
    pub fn decode(&mut self, token: u32, position: layout::Position) {
        self.x.resize(self.model.text.hidden, 0.0);
        self.model.embedding.row(token as usize, &mut self.x);
        self.run(&[position]);
    }

    /// The language model over the new tokens.
    fn run(&mut self, positions: &[layout::Position]) {
        let Self { model, x, rotation, scratch, .. } = self;
        let text = &model.text;
        let width = text.head_dim();
        rotation.set(layout::angles(positions, &self.frequencies));
        let heads = [text.heads, text.kv_heads];
        let settings = Settings { eps: text.eps, heads, arithmetic: self.arithmetic };
        for (layer, (keys, values)) in model.layers.iter().zip(&mut self.cache) {
            forward(x, layer, settings, rotation, scratch, |q, k, v, out| {
                keys.extend(k);
                values.extend(v);
                let of_keys = |values| Heads { values, heads: text.kv_heads, width };
                let q = Heads { values: q, heads: text.heads, width };
                attention(q, of_keys(keys), of_keys(values), true, out);
            });
        }
        let last = &x[x.len() - text.hidden..];
        scratch.normed.resize(text.hidden, 0.0);
        rms_norm(last, &model.norm, text.eps, &mut scratch.normed);
        product::linear_by(&scratch.normed, model.head(), None, &mut scratch.row, &mut self.logits);
        self.tokens += positions.len() as u32;
    }
}

/// Embeddings of the prompt's image, `(merged patches, hidden)`.
fn images(model: &Model, arithmetic: Arithmetic, prompt: &Prompt, scratch: &mut Scratch) -> Vec<f32> {
    let vision = &model.vision;
    let grids = &[prompt.grid];
    let order = layout::window_order(vision.window, vision.merge, grids);
    let quarter = vision.hidden / vision.heads / 4;
    let angles = layout::vision_angles(&order, grids, vision.merge, quarter);
    let rotation = Rotation::new(&angles, 2 * quarter);

    let mut embedded = Vec::new();
    arithmetic.apply(&prompt.patches, &model.patch, None, &mut scratch.row, &mut embedded);
    let group = vision.merge.pow(2) * vision.hidden;
    let mut x = Vec::with_capacity(embedded.len());
    for &merged in &order.merged {
        x.extend(&embedded[merged as usize * group..][..group]);
    }
    let whole = [x.len() / vision.hidden];
    for (index, block) in model.blocks.iter().enumerate() {
        let is_full = (index + 1) % vision.full_every == 0;
        let windows = if is_full { whole.as_slice() } else { &order.windows };
        let settings = Settings { eps: VISION_EPS, heads: [vision.heads; 2], arithmetic };
        forward(&mut x, block, settings, &rotation, scratch, |q, k, v, out| {
            let mut start = 0;
            for &window in windows {
                let range = start * vision.hidden..(start + window) * vision.hidden;
                let view = |values| Heads { values, heads: vision.heads, width: 4 * quarter };
                let (q, k, v) = (&q[range.clone()], &k[range.clone()], &v[range.clone()]);
                attention(view(q), view(k), view(v), false, &mut out[range]);
                start += window;
            }
        });
    }
    let mut normed = vec![0.0; x.len()];
    rms_norm(&x, &model.merger_norm, VISION_EPS, &mut normed);
    let Scratch { up, out: merged, row, .. } = scratch;
    arithmetic.of(&normed, &model.merger_up, row, up);
    gelu(up);
    arithmetic.of(up, &model.merger_down, row, merged);
    let width = model.text.hidden;
    let mut images = vec![0.0; merged.len()];
    for (row, &place) in merged.chunks_exact(width).zip(&order.merged) {
        images[place as usize * width..][..width].copy_from_slice(row);
    }
    images
}

/// What is alike in all layers of a tower.
#[derive(Clone, Copy)]
struct Settings {
    eps: f32,
    /// Of queries, and of keys and values.
    heads: [usize; 2],
    arithmetic: Arithmetic,
}

/// One layer, in place. `mix` gets queries, keys and values after the rotation, and fills in what attention
/// gives.
fn forward(
    x: &mut [f32],
    layer: &Layer,
    Settings { eps, heads: [heads, kv_heads], arithmetic }: Settings,
    rotation: &Rotation,
    Scratch { normed, q, k, v, mixed, gate, up, out, row }: &mut Scratch,
    mix: impl FnOnce(&[f32], &[f32], &[f32], &mut [f32]),
) {
    normed.resize(x.len(), 0.0);
    rms_norm(x, &layer.attention_norm, eps, normed);
    arithmetic.of(normed, &layer.q, row, q);
    arithmetic.of(normed, &layer.k, row, k);
    arithmetic.of(normed, &layer.v, row, v);
    rope(q, heads, rotation);
    rope(k, kv_heads, rotation);
    mixed.resize(q.len(), 0.0);
    mix(q, k, v, mixed);
    arithmetic.of(mixed, &layer.out, row, out);
    add(x, out);
    rms_norm(x, &layer.feed_norm, eps, normed);
    arithmetic.of(normed, &layer.gate, row, gate);
    arithmetic.of(normed, &layer.up, row, up);
    swiglu(gate, up);
    arithmetic.of(gate, &layer.down, row, out);
    add(x, out);
}
