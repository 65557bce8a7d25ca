//! Plans: kernels in order, each with what it reads and writes.

use wgpu::Buffer;

use super::device::Card;
use super::kernels::{Kernel, Kernels};
use super::memory::Memory;
use super::weights::{Layer, Linear, Weights};
use crate::engine::model::Model;

/// Distance of parameters in their buffer, which every card allows.
const STRIDE: u64 = 256;

/// What a product does besides: bits of a kernel's flags.
pub mod flag {
    /// Add the bias.
    pub const BIAS: u32 = 1;
    /// Add to what is there.
    pub const ADD: u32 = 2;
    /// Rows begin behind the tokens that are in the cache.
    pub const BEHIND: u32 = 4;
}

/// One step of a plan.
#[derive(Debug)]
pub enum Action {
    Kernel {
        pipeline: wgpu::ComputePipeline,
        group: wgpu::BindGroup,
        size: [u32; 3],
    },
    /// Copies numbers, from the `first` on, to the front of another buffer.
    Copy {
        from: Buffer,
        first: u64,
        to: Buffer,
        numbers: u64,
    },
}

impl Action {
    /// Whether it is no copy.
    pub fn is_kernel(&self) -> bool {
        matches!(self, Self::Kernel { .. })
    }
}

/// Steps with everything bound.
#[derive(Debug)]
pub struct Plan {
    pub actions: Vec<Action>,
}

/// A kernel that is not bound yet.
struct Pending<'a> {
    kernel: Kernel,
    params: [u32; 4],
    /// Binding numbers with their buffers.
    bindings: Vec<(u32, &'a Buffer)>,
    size: [u32; 3],
}

enum Entry<'a> {
    Kernel(Pending<'a>),
    Copy(Action),
}

/// Collects the steps of a plan.
pub struct Builder<'a> {
    card: &'a Card,
    kernels: &'a Kernels,
    progress: &'a Buffer,
    nothing: &'a Buffer,
    entries: Vec<Entry<'a>>,
}

impl<'a> Builder<'a> {
    /// No steps.
    pub fn new(card: &'a Card, kernels: &'a Kernels, progress: &'a Buffer, nothing: &'a Buffer) -> Self {
        Self { card, kernels, progress, nothing, entries: Vec::new() }
    }

    fn add(&mut self, kernel: Kernel, params: [u32; 4], size: [u32; 3], bindings: Vec<(u32, &'a Buffer)>) {
        self.entries.push(Entry::Kernel(Pending { kernel, params, bindings, size }));
    }

    /// Workgroups in as many rows as the card needs.
    fn spread(&self, groups: usize) -> [u32; 3] {
        let most = self.card.limits.max_compute_workgroups_per_dimension.max(1);
        let groups = groups.max(1) as u32;
        [groups.min(most), groups.div_ceil(most), 1]
    }

    /// `out` becomes, or grows by, the product of `x` `(tokens, inputs)`.
    pub fn product(&mut self, tokens: usize, x: &'a Buffer, linear: &'a Linear, out: &'a Buffer, flags: u32) {
        let bias = if linear.bias.is_some() { flag::BIAS } else { 0 };
        let params = [tokens as u32, linear.inputs as u32, linear.outputs as u32, flags | bias];
        let mut bindings = vec![
            (1, self.progress),
            (2, x),
            (3, &linear.numbers),
            (5, linear.bias.as_ref().unwrap_or(self.nothing)),
            (6, out),
        ];
        bindings.extend(linear.scales.as_ref().map(|scales| (4, scales)));
        if tokens == 1 {
            let size = self.spread(linear.outputs.div_ceil(8));
            self.add(Kernel::Vector(linear.stored), params, size, bindings);
        } else {
            let size = [linear.outputs.div_ceil(32) as u32, tokens.div_ceil(32) as u32, 1];
            self.add(Kernel::Tiled(linear.stored), params, size, bindings);
        }
    }

    /// `out` becomes the norm of `x` `(rows, width)`.
    pub fn rms_norm(
        &mut self,
        [rows, width]: [usize; 2],
        eps: f32,
        x: &'a Buffer,
        weights: &'a Buffer,
        out: &'a Buffer,
    ) {
        let params = [rows as u32, width as u32, eps.to_bits(), 0];
        self.add(Kernel::RmsNorm, params, self.spread(rows), vec![(1, x), (2, weights), (3, out)]);
    }

    /// Turns `x` `(tokens, heads, 2 * half)`.
    pub fn rope(&mut self, [tokens, heads, half]: [usize; 3], turns: &'a Buffer, x: &'a Buffer, flags: u32) {
        let params = [tokens as u32, heads as u32, half as u32, flags];
        let size = self.spread((tokens * heads * half).div_ceil(64));
        self.add(Kernel::Rope, params, size, vec![(1, self.progress), (2, turns), (3, x)]);
    }

    /// Attention of `queries` queries within their ranges; with none, of one query to all keys so far.
    pub fn attention(
        &mut self,
        queries: usize,
        heads: &Heads,
        [q, k, v]: [&'a Buffer; 3],
        ranges: Option<&'a Buffer>,
        out: &'a Buffer,
    ) {
        let scale = 1.0 / (heads.width as f32).sqrt();
        let params = [queries as u32, heads.count as u32, heads.kv_count as u32, scale.to_bits()];
        let four = heads.width as u32 / 4;
        match ranges {
            Some(ranges) => {
                let size = [queries.div_ceil(64) as u32, heads.count as u32, 1];
                let bindings = vec![(1, q), (2, k), (3, v), (4, ranges), (5, out)];
                self.add(Kernel::Attention(four), params, size, bindings);
            }
            None => {
                let bindings = vec![(1, self.progress), (2, q), (3, k), (4, v), (5, out)];
                self.add(Kernel::AttentionDecode(four), params, [heads.count as u32, 1, 1], bindings);
            }
        }
    }

    /// `gate` becomes `silu(gate) * up`.
    pub fn swiglu(&mut self, count: usize, gate: &'a Buffer, up: &'a Buffer) {
        let size = self.spread(count.div_ceil(64));
        self.add(Kernel::Activation, [count as u32, 0, 0, 0], size, vec![(1, gate), (2, up)]);
    }

    /// `x` becomes its exact GELU.
    pub fn gelu(&mut self, count: usize, x: &'a Buffer) {
        let size = self.spread(count.div_ceil(64));
        self.add(Kernel::Activation, [count as u32, 1, 0, 0], size, vec![(1, x), (2, self.nothing)]);
    }

    /// Row i of `x` `(rows, width)` becomes row `places[i]` of `out`.
    pub fn scatter(&mut self, [rows, width]: [usize; 2], x: &'a Buffer, places: &'a Buffer, out: &'a Buffer) {
        let size = self.spread((rows * width).div_ceil(64));
        let params = [rows as u32, width as u32, 0, 0];
        self.add(Kernel::Scatter, params, size, vec![(1, x), (2, places), (3, out)]);
    }

    /// `out` becomes the token that the sampler chooses by these logits.
    pub fn choose(&mut self, vocabulary: usize, logits: &'a Buffer, out: &'a Buffer) {
        let params = [vocabulary as u32, 0, 0, 0];
        self.add(Kernel::Choose, params, [1, 1, 1], vec![(1, self.progress), (2, logits), (3, out)]);
    }

    /// Copies numbers to the front of another buffer.
    pub fn copy(&mut self, from: &Buffer, first: usize, to: &Buffer, numbers: usize) {
        let (first, numbers) = (first as u64, numbers as u64);
        self.entries.push(Entry::Copy(Action::Copy { from: from.clone(), first, to: to.clone(), numbers }));
    }

    /// SwiGLU between its three products, added to `x`.
    pub fn feed_forward(
        &mut self,
        [tokens, hidden]: [usize; 2],
        eps: f32,
        layer: &'a Layer,
        [x, normed, gate, up]: [&'a Buffer; 4],
    ) {
        self.rms_norm([tokens, hidden], eps, x, &layer.feed_norm, normed);
        self.product(tokens, normed, &layer.gate, gate, 0);
        self.product(tokens, normed, &layer.up, up, 0);
        self.swiglu(tokens * layer.gate.outputs, gate, up);
        self.product(tokens, gate, &layer.down, x, flag::ADD);
    }

    /// Binds everything.
    pub fn finish(self) -> Plan {
        let count = self.entries.len().max(1) as u64;
        let params = self.card.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: count * STRIDE,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut bytes = vec![0_u8; (count * STRIDE) as usize];
        let mut actions = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.into_iter().enumerate() {
            let pending = match entry {
                Entry::Copy(action) => {
                    actions.push(action);
                    continue;
                }
                Entry::Kernel(pending) => pending,
            };
            let offset = index as u64 * STRIDE;
            bytes[offset as usize..][..16].copy_from_slice(bytemuck::cast_slice(&pending.params));
            let pipeline = self.kernels.get(pending.kernel);
            let own = wgpu::BufferBinding { buffer: &params, offset, size: std::num::NonZeroU64::new(16) };
            let mut entries =
                vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(own) }];
            entries.extend(pending.bindings.iter().map(|&(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            }));
            let group = self.card.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            actions.push(Action::Kernel { pipeline: pipeline.clone(), group, size: pending.size });
        }
        self.card.queue.write_buffer(&params, 0, &bytes);
        Plan { actions }
    }
}

/// Heads of an attention.
pub struct Heads {
    pub count: usize,
    pub kv_count: usize,
    pub width: usize,
}

impl Heads {
    /// Of the language model.
    pub fn of_text(model: &Model) -> Self {
        let text = &model.text;
        Self { count: text.heads, kv_count: text.kv_heads, width: text.head_dim() }
    }
}

/// The language model's layers over `tokens` tokens in `memory.x`, then the logits of the last one and
/// the token after it.
pub fn text<'a>(
    builder: &mut Builder<'a>,
    weights: &'a Weights,
    memory: &'a Memory,
    model: &Model,
    tokens: usize,
) {
    let text = &model.text;
    let heads = Heads::of_text(model);
    let half = heads.width / 2;
    let is_decoding = tokens == 1;
    let place = if is_decoding { flag::BEHIND } else { 0 };
    let Memory { x, normed, q, mixed, gate, up, turns, .. } = memory;
    for (layer, [k, v]) in weights.layers.iter().zip(&memory.cache) {
        builder.rms_norm([tokens, text.hidden], text.eps, x, &layer.attention_norm, normed);
        builder.product(tokens, normed, &layer.q, q, 0);
        builder.product(tokens, normed, &layer.k, k, place);
        builder.product(tokens, normed, &layer.v, v, place);
        builder.rope([tokens, heads.count, half], turns, q, 0);
        builder.rope([tokens, heads.kv_count, half], turns, k, place);
        builder.attention(tokens, &heads, [q, k, v], (!is_decoding).then_some(&memory.ranges), mixed);
        builder.product(tokens, mixed, &layer.out, x, flag::ADD);
        builder.feed_forward([tokens, text.hidden], text.eps, layer, [x, normed, gate, up]);
    }
    builder.copy(x, (tokens - 1) * text.hidden, &memory.last, text.hidden);
    builder.rms_norm([1, text.hidden], text.eps, &memory.last, &weights.norm, &memory.last_normed);
    builder.product(1, &memory.last_normed, &weights.head, &memory.logits, 0);
    builder.choose(text.vocabulary, &memory.logits, &memory.next);
}

/// The plan for one token.
pub fn decode(card: &Card, kernels: &Kernels, weights: &Weights, memory: &Memory, model: &Model) -> Plan {
    let mut builder = Builder::new(card, kernels, &memory.progress, &weights.nothing);
    text(&mut builder, weights, memory, model, 1);
    builder.finish()
}
