//! The plan for a prompt with an image, and what is uploaded for it.

use super::device::Card;
use super::kernels::Kernels;
use super::memory::{Memory, Vision, turns};
use super::plan::{self, Builder, Heads, Plan, flag};
use super::weights::Weights;
use crate::engine::model::Model;
use crate::engine::{Prompt, Sampler, VISION_EPS};
use crate::layout::{self, WindowOrder};

/// The vision tower, its result put at the image's tokens, then the language model; for prompts of the same shape.
pub fn plan(
    card: &Card,
    kernels: &Kernels,
    weights: &Weights,
    memory: &Memory,
    model: &Model,
    prompt: &Prompt,
) -> Plan {
    let mut builder = Builder::new(card, kernels, &memory.progress, &weights.nothing);
    vision(&mut builder, weights, memory, model, prompt.grid.iter().product());
    plan::text(&mut builder, weights, memory, model, prompt.ids.len());
    builder.finish()
}

fn vision<'a>(
    builder: &mut Builder<'a>,
    weights: &'a Weights,
    memory: &'a Memory,
    model: &Model,
    patches: usize,
) {
    let config = &model.vision;
    let heads = Heads { count: config.heads, kv_count: config.heads, width: config.hidden / config.heads };
    let half = heads.width / 2;
    let Vision { pixels, x, normed, q, k, v, mixed, gate, up, turns, .. } = &memory.vision;
    builder.product(patches, pixels, &weights.patch, x, 0);
    for (index, block) in weights.blocks.iter().enumerate() {
        let is_full = (index + 1) % config.full_every == 0;
        let ranges = if is_full { &memory.vision.whole } else { &memory.vision.windows };
        builder.rms_norm([patches, config.hidden], VISION_EPS, x, &block.attention_norm, normed);
        builder.product(patches, normed, &block.q, q, 0);
        builder.product(patches, normed, &block.k, k, 0);
        builder.product(patches, normed, &block.v, v, 0);
        builder.rope([patches, heads.count, half], turns, q, 0);
        builder.rope([patches, heads.count, half], turns, k, 0);
        builder.attention(patches, &heads, [q, k, v], Some(ranges), mixed);
        builder.product(patches, mixed, &block.out, x, flag::ADD);
        builder.feed_forward([patches, config.hidden], VISION_EPS, block, [x, normed, gate, up]);
    }
    let merged = patches / config.merge.pow(2);
    let Vision { merged: wide, embedded, places, .. } = &memory.vision;
    builder.rms_norm([patches, config.hidden], VISION_EPS, x, &weights.merger_norm, normed);
    builder.product(merged, normed, &weights.merger_up, wide, 0);
    builder.gelu(merged * weights.merger_up.outputs, wide);
    builder.product(merged, wide, &weights.merger_down, embedded, 0);
    builder.scatter([merged, model.text.hidden], embedded, places, &memory.x);
}

/// Uploads what a prompt says.
pub fn upload(card: &Card, memory: &Memory, model: &Model, prompt: &Prompt, sampler: Sampler) {
    let (vision, text) = (&model.vision, &model.text);
    let grids = &[prompt.grid];
    let order = layout::window_order(vision.window, vision.merge, grids);
    let group = vision.merge.pow(2) * model.patch.inputs;
    let pixels: Vec<f32> = order
        .merged
        .iter()
        .flat_map(|&merged| &prompt.patches[merged as usize * group..][..group])
        .copied()
        .collect();
    let quarter = vision.hidden / vision.heads / 4;
    let angles = layout::vision_angles(&order, grids, vision.merge, quarter);
    let patches = prompt.grid.iter().product::<usize>();
    card.write(&memory.vision.pixels, &pixels);
    card.write(&memory.vision.turns, &turns(angles).collect::<Vec<_>>());
    card.write(&memory.vision.windows, &windows(&order));
    card.write(&memory.vision.whole, &vec![[0, patches as u32]; patches]);
    card.write(&memory.vision.places, &places(&order, prompt));

    let mut x = vec![0.0; prompt.ids.len() * text.hidden];
    for (row, &id) in x.chunks_exact_mut(text.hidden).zip(&prompt.ids) {
        // The image's embeddings come to their places on the card.
        if id != prompt.image_token {
            model.embedding.row(id as usize, row);
        }
    }
    let half = text.head_dim() / 2;
    let angles = layout::text_angles(&prompt.positions, text.sections, half, text.theta);
    let ranges: Vec<[u32; 2]> = (1..=prompt.ids.len() as u32).map(|end| [0, end]).collect();
    card.write(&memory.x, &x);
    card.write(&memory.turns, &turns(angles).collect::<Vec<_>>());
    card.write(&memory.ranges, &ranges);
    let [seed, temperature] = sampler.words();
    card.write(&memory.progress, &[0, prompt.ids.len() as u32, seed, temperature]);
}

/// The range of each patch's window.
fn windows(order: &WindowOrder) -> Vec<[u32; 2]> {
    let mut ranges = Vec::new();
    let mut begin = 0;
    for &size in &order.windows {
        let end = begin + size as u32;
        ranges.extend(std::iter::repeat_n([begin, end], size));
        begin = end;
    }
    ranges
}

/// The token that each merged patch, in window order, becomes.
fn places(order: &WindowOrder, prompt: &Prompt) -> Vec<u32> {
    let is_image = |(_, id): &(usize, &u32)| **id == prompt.image_token;
    let tokens: Vec<u32> =
        prompt.ids.iter().enumerate().filter(is_image).map(|(index, _)| index as u32).collect();
    order.merged.iter().filter_map(|&merged| tokens.get(merged as usize).copied()).collect()
}
