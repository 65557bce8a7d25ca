//! Every kernel against the processor's, over odd shapes, and the whole model; on whatever card there is. The tests
//! run it on Vulkan, and the page's engine in a browser (`check_kernels`).

use std::sync::Arc;

use super::Gpu;
use super::device::{Card, Extras};
use super::kernels::{Kernel, Kernels, Stored};
use super::memory::turns;
use super::plan::{Builder, Heads, flag};
use super::weights::Linear;
use crate::engine::cpu::{self, Cpu, Rotation};
use crate::engine::model::{self, Matrix, Model, Numbers, TextConfig, VisionConfig};
use crate::engine::{EngineError, Prompt, Random, Sampler};
use crate::layout;

/// Ways to store weights.
pub const STORED: [Stored; 4] = [Stored::F32, Stored::F16, Stored::Q8, Stored::Q4];

/// With which extras everything is compared; what the card lacks is left out, so that some may be the same.
pub const VARIANTS: [Extras; 3] =
    [Extras::ALL, Extras { subgroups: true, f16: false }, Extras { subgroups: false, f16: false }];

/// Compares everything.
///
/// # Errors
/// Names the first number that differs.
#[cfg(feature = "web")]
pub async fn everything() -> Result<(), EngineError> {
    for wanted in VARIANTS {
        products(wanted).await?;
        small_kernels(wanted).await?;
        attention(wanted).await?;
        whole_model(wanted).await?;
    }
    choosing().await
}

/// A random matrix, stored so.
fn matrix(random: &mut Random, outputs: usize, inputs: usize, stored: Stored) -> Matrix {
    let count = outputs * inputs;
    let scale = 1.0 / (inputs as f32).sqrt();
    let scaled =
        |random: &mut Random, n: usize| -> Vec<f32> { random.numbers(n).iter().map(|x| x * scale).collect() };
    let scales = |random: &mut Random, step: f32| -> Vec<f32> {
        random.numbers(count / 32).iter().map(|x| x * scale * step).collect()
    };
    let numbers = match stored {
        Stored::F32 => Numbers::F32(scaled(random, count)),
        Stored::F16 => {
            Numbers::F16(scaled(random, count).iter().map(|&x| crate::gguf::f32_to_f16(x)).collect())
        }
        Stored::Q8 => Numbers::Q8 {
            quants: (0..count).map(|_| (random.bits() % 255) as i8).collect(),
            scales: scales(random, 1.0 / 127.0),
        },
        Stored::Q4 => Numbers::Q4 {
            quants: (0..count / 2).map(|_| random.bits() as u8).collect(),
            scales: scales(random, 1.0 / 8.0),
        },
    };
    Matrix { outputs, inputs, numbers }
}

/// Rounding where all is computed in f32.
const EXACT: f32 = 1e-4;
/// Rounding where products of four are computed in f16.
const HALF: f32 = 4e-3;

fn near(ours: &[f32], theirs: &[f32], allowed: f32, what: &str) -> Result<(), EngineError> {
    let differs = |(a, b): (&f32, &f32)| (a - b).is_nan() || (a - b).abs() > allowed * (1.0 + b.abs());
    if ours.len() != theirs.len() {
        return Err(EngineError::Gpu(format!("{what}: {} numbers instead of {}", ours.len(), theirs.len())));
    }
    let Some(index) = ours.iter().zip(theirs).position(differs) else { return Ok(()) };
    let (ours, theirs) = (ours[index], theirs[index]);
    Err(EngineError::Gpu(format!("{what}, number {index}: {ours} instead of {theirs}")))
}

/// A card with kernels, and what every plan needs.
struct Bench {
    card: Card,
    kernels: Kernels,
    progress: wgpu::Buffer,
    nothing: wgpu::Buffer,
}

impl Bench {
    async fn new(kernels: &[Kernel], wanted: Extras) -> Result<Self, EngineError> {
        let card = Card::open(Some(wanted)).await?;
        let kernels = Kernels::compile(&card, kernels);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let (progress, nothing) = (card.buffer(4, usage)?, card.storage(4)?);
        Ok(Self { card, kernels, progress, nothing })
    }

    /// Runs steps and reads a buffer.
    async fn run<'a, T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
        &'a self,
        out: &wgpu::Buffer,
        numbers: usize,
        steps: impl FnOnce(&mut Builder<'a>),
    ) -> Result<Vec<T>, EngineError> {
        let mut builder = Builder::new(&self.card, &self.kernels, &self.progress, &self.nothing);
        steps(&mut builder);
        self.card.run(&builder.finish());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let readback = self.card.buffer(numbers, usage)?;
        self.card.read(out, &readback, numbers).await
    }

    fn upload(&self, numbers: &[f32]) -> Result<wgpu::Buffer, EngineError> {
        self.card.upload(numbers)
    }
}

/// Products with weights stored in every way, for one token and for many.
///
/// # Errors
/// Names the first number that differs.
pub async fn products(wanted: Extras) -> Result<(), EngineError> {
    let kernels: Vec<Kernel> =
        STORED.into_iter().flat_map(|stored| [Kernel::Tiled(stored), Kernel::Vector(stored)]).collect();
    let bench = Bench::new(&kernels, wanted).await?;
    let mut random = Random::new(3);
    for stored in STORED {
        let odd = [(1, 160, 37), (1, 32, 1), (2, 64, 33), (33, 96, 5), (70, 160, 100)];
        let mut below = |most: u64| (random.bits() % most) as usize;
        let drawn: Vec<_> = (0..5).map(|_| (1 + below(90), 32 * (1 + below(12)), 1 + below(150))).collect();
        for (tokens, inputs, outputs) in odd.into_iter().chain(drawn) {
            let inputs = if matches!(stored, Stored::F32 | Stored::F16) { inputs - 20 } else { inputs };
            let inputs = if inputs < 32 { 588 } else { inputs };
            for (has_bias, is_added) in [(false, false), (true, false), (false, true)] {
                let matrix = matrix(&mut random, outputs, inputs, stored);
                let x = random.numbers(tokens * inputs);
                let bias = has_bias.then(|| random.numbers(outputs));
                let before = random.numbers(tokens * outputs);
                let mut expected = vec![0.0; tokens * outputs];
                cpu::linear(&x, &matrix, bias.as_deref(), &mut expected);
                if is_added {
                    cpu::add(&mut expected, &before);
                }
                let linear = Linear::new(&bench.card, &matrix, bias.as_deref())?;
                let (x, out) = (bench.upload(&x)?, bench.upload(&before)?);
                let flags = if is_added { flag::ADD } else { 0 };
                let ours = bench
                    .run(&out, tokens * outputs, |builder| {
                        builder.product(tokens, &x, &linear, &out, flags);
                    })
                    .await?;
                let is_half = bench.card.extras.f16 && tokens > 1 && stored != Stored::F32;
                let allowed = if is_half { HALF } else { EXACT };
                near(&ours, &expected, allowed, &format!("{stored:?} {tokens} {inputs} {outputs}"))?;
            }
        }
    }
    Ok(())
}

/// Norms, rotations, activations, and rows put in their places.
///
/// # Errors
/// Names the first number that differs.
pub async fn small_kernels(wanted: Extras) -> Result<(), EngineError> {
    let kernels = [Kernel::RmsNorm, Kernel::Rope, Kernel::Activation, Kernel::Scatter];
    let bench = Bench::new(&kernels, wanted).await?;
    let mut random = Random::new(4);
    for (rows, width) in [(1, 3), (5, 64), (130, 160), (3, 1281)] {
        let (x, weight) = (random.numbers(rows * width), random.numbers(width));
        let mut expected = vec![0.0; x.len()];
        cpu::rms_norm(&x, &weight, 1e-6, &mut expected);
        let (x, weight, out) = (bench.upload(&x)?, bench.upload(&weight)?, bench.upload(&expected.clone())?);
        let ours = bench
            .run(&out, rows * width, |builder| {
                builder.rms_norm([rows, width], 1e-6, &x, &weight, &out);
            })
            .await?;
        near(&ours, &expected, EXACT, "norm")?;
    }
    for (tokens, heads, half) in [(1, 1, 2), (7, 5, 16), (40, 3, 10)] {
        let (x, angles) = (random.numbers(tokens * heads * half * 2), random.numbers(tokens * half));
        let mut expected = x.clone();
        cpu::rope(&mut expected, heads, &Rotation::new(&angles, half));
        let (x, turns) =
            (bench.upload(&x)?, bench.upload(&turns(angles.iter().copied()).collect::<Vec<_>>())?);
        let ours = bench
            .run(&x, expected.len(), |builder| {
                builder.rope([tokens, heads, half], &turns, &x, 0);
            })
            .await?;
        near(&ours, &expected, EXACT, "rotation")?;
    }
    for count in [1, 63, 1000] {
        let (a, b) = (random.numbers(count), random.numbers(count));
        let mut expected = a.clone();
        cpu::swiglu(&mut expected, &b);
        let (gate, up) = (bench.upload(&a)?, bench.upload(&b)?);
        let ours = bench.run(&gate, count, |builder| builder.swiglu(count, &gate, &up)).await?;
        near(&ours, &expected, EXACT, "SwiGLU")?;
        let mut expected = a.clone();
        cpu::gelu(&mut expected);
        let x = bench.upload(&a)?;
        let ours = bench.run(&x, count, |builder| builder.gelu(count, &x)).await?;
        near(&ours, &expected, EXACT, "GELU")?;
    }
    let x = random.numbers(3 * 5);
    let (rows, out) = (bench.upload(&x)?, bench.upload(&[0.0; 4 * 5])?);
    let places = bench.card.upload(&[3_u32, 0, 2])?;
    let ours = bench
        .run(&out, 20, |builder| {
            builder.scatter([3, 5], &rows, &places, &out);
        })
        .await?;
    let expected = [&x[5..10], &[0.0; 5], &x[10..15], &x[..5]].concat();
    near(&ours, &expected, EXACT, "scatter")?;
    Ok(())
}

/// Attention in windows, over all and causal, and of a single query to the keys so far.
///
/// # Errors
/// Names the first number that differs.
pub async fn attention(wanted: Extras) -> Result<(), EngineError> {
    let kernels =
        [8, 5].into_iter().flat_map(|four| [Kernel::Attention(four), Kernel::AttentionDecode(four)]);
    let bench = Bench::new(&kernels.collect::<Vec<_>>(), wanted).await?;
    let mut random = Random::new(5);
    for keys in [1, 63, 64, 65, 128, 397] {
        let (heads, kv_heads, width) = if keys % 2 == 0 { (5, 1, 32) } else { (6, 3, 20) };
        let (q, k, v) = (
            random.numbers(heads * width),
            random.numbers(keys * kv_heads * width),
            random.numbers(keys * kv_heads * width),
        );
        let mut expected = vec![0.0; q.len()];
        let of = |values, heads| cpu::Heads { values, heads, width };
        cpu::attention(of(&q, heads), of(&k, kv_heads), of(&v, kv_heads), false, &mut expected);
        let [q, k, v] = [bench.upload(&q)?, bench.upload(&k)?, bench.upload(&v)?];
        let out = bench.upload(&vec![0.0; expected.len()])?;
        bench.card.write(&bench.progress, &[keys as u32 - 1, keys as u32, 0, 0]);
        let shape = Heads { count: heads, kv_count: kv_heads, width };
        let ours = bench
            .run(&out, expected.len(), |builder| builder.attention(1, &shape, [&q, &k, &v], None, &out))
            .await?;
        near(&ours, &expected, EXACT, &format!("one query to {keys} keys"))?;
    }
    for (windows, heads, kv_heads, width, causal) in [
        (&[1_usize][..], 1, 1, 32, false),
        (&[7, 64, 3, 40], 3, 3, 20, false),
        (&[130], 4, 2, 32, true),
        (&[65], 5, 1, 20, true),
    ] {
        let tokens: usize = windows.iter().sum();
        let q = random.numbers(tokens * heads * width);
        let k = random.numbers(tokens * kv_heads * width);
        let v = random.numbers(tokens * kv_heads * width);
        let mut expected = vec![0.0; q.len()];
        let (mut ranges, mut begin) = (Vec::new(), 0);
        for &window in windows {
            let end = begin + window;
            let of = |values, heads: usize| {
                let values: &[f32] = values;
                cpu::Heads { values: &values[begin * heads * width..end * heads * width], heads, width }
            };
            let out = &mut expected[begin * heads * width..end * heads * width];
            cpu::attention(of(&q, heads), of(&k, kv_heads), of(&v, kv_heads), causal, out);
            ranges.extend((begin..end).map(|i| [begin as u32, if causal { i + 1 } else { end } as u32]));
            begin = end;
        }
        let [card_q, card_k, card_v] = [bench.upload(&q)?, bench.upload(&k)?, bench.upload(&v)?];
        let (ranges, out) = (bench.card.upload(&ranges)?, bench.upload(&vec![0.0; q.len()])?);
        let shape = Heads { count: heads, kv_count: kv_heads, width };
        let ours = bench
            .run(&out, q.len(), |builder| {
                builder.attention(tokens, &shape, [&card_q, &card_k, &card_v], Some(&ranges), &out);
            })
            .await?;
        near(&ours, &expected, EXACT, &format!("{windows:?} {heads} {kv_heads} {width} {causal}"))?;
    }
    Ok(())
}

/// A tiny random model with matrices stored in every way.
pub fn tiny(random: &mut Random) -> Model {
    let vision = VisionConfig {
        hidden: 64,
        intermediate: 96,
        heads: 2,
        depth: 2,
        patch_size: 14,
        merge: 2,
        window: 2,
        full_every: 2,
    };
    let text = TextConfig {
        vocabulary: 50,
        hidden: 64,
        intermediate: 96,
        heads: 4,
        kv_heads: 2,
        depth: 2,
        eps: 1e-6,
        theta: 10_000.0,
        sections: [2, 3, 3],
        context: 512,
    };
    let mut next = 0;
    let mut linear = |random: &mut Random, outputs, inputs, has_bias: bool| {
        next += 1;
        let weight = matrix(random, outputs, inputs, STORED[next % 4]);
        model::Linear { weight, bias: has_bias.then(|| random.numbers(outputs)) }
    };
    let mut layer = |random: &mut Random, kv: usize, all_biased: bool| model::Layer {
        attention_norm: random.numbers(64),
        q: linear(random, 64, 64, true),
        k: linear(random, kv, 64, true),
        v: linear(random, kv, 64, true),
        out: linear(random, 64, 64, all_biased),
        feed_norm: random.numbers(64),
        gate: linear(random, 96, 64, all_biased),
        up: linear(random, 96, 64, all_biased),
        down: linear(random, 64, 96, all_biased),
    };
    let blocks = (0..2).map(|_| layer(random, 64, true)).collect();
    let layers = (0..2).map(|_| layer(random, 32, false)).collect();
    Model {
        patch: matrix(random, 64, 588, Stored::F32),
        blocks,
        merger_norm: random.numbers(64),
        merger_up: linear(random, 256, 256, true),
        merger_down: linear(random, 64, 256, true),
        embedding: matrix(random, 50, 64, Stored::Q8),
        layers,
        norm: random.numbers(64),
        head: None,
        vision,
        text,
    }
}

/// A prompt around an image of noise.
pub fn prompt(random: &mut Random, grid: [usize; 3]) -> Prompt {
    let patches = grid.iter().product::<usize>();
    let image = std::iter::repeat_n(7, patches / 4);
    let ids: Vec<u32> = [1, 2, 3].into_iter().chain(image).chain([4, 5]).collect();
    let positions = layout::positions(&ids, 7, &[grid], 2);
    Prompt { ids, image_token: 7, positions, patches: random.numbers(patches * 588), grid }
}

/// The next token, greedy and at temperatures.
///
/// # Errors
/// Names the first number that differs.
pub async fn choosing() -> Result<(), EngineError> {
    let bench = Bench::new(&[Kernel::Choose], Extras::ALL).await?;
    let mut random = Random::new(9);
    let out = bench.card.storage(1)?;
    for vocabulary in [1, 5, 255, 256, 257, 1024, 40_001] {
        let mut logits: Vec<f32> = random.numbers(vocabulary).iter().map(|x| 3.0 * x).collect();
        // Two that are equal and the largest.
        logits[vocabulary / 3] = 9.0;
        logits[vocabulary / 2] = 9.0;
        let card_logits = bench.upload(&logits)?;
        for (tokens, temperature) in (0..40).zip([0.0, 0.3, 1.0, 5.0].into_iter().cycle()) {
            let sampler = Sampler::new(temperature, random.bits());
            let [seed, bits] = sampler.words();
            bench.card.write(&bench.progress, &[tokens, tokens + 1, seed, bits]);
            let chosen: Vec<u32> = bench.run(&out, 1, |b| b.choose(vocabulary, &card_logits, &out)).await?;
            let expected = sampler.choose(tokens + 1, &logits);
            let value =
                |token: u32| logits.get(token as usize).map(|&logit| sampler.value(tokens + 1, token, logit));
            // Rounding may decide between two that are nearly equal, though not without noise.
            let is_near = value(chosen[0]) >= value(expected).map(|value| value - 1e-3);
            if !is_near || (temperature == 0.0 && chosen[0] != expected) {
                let what = format!("token {} of {vocabulary} instead of {expected}", chosen[0]);
                return Err(EngineError::Gpu(format!("{what}, at temperature {temperature}")));
            }
        }
    }
    Ok(())
}

/// A tiny model: prefill, and tokens after it.
///
/// # Errors
/// Names the first number that differs.
pub async fn whole_model(wanted: Extras) -> Result<(), EngineError> {
    let mut random = Random::new(6);
    let model = Arc::new(tiny(&mut random));
    let mut cpu = Cpu::exact(model.clone());
    let mut gpu = Gpu::with(model, Some(wanted)).await?;
    let allowed = if gpu.card.extras.f16 { 10.0 * HALF } else { EXACT };
    for grid in [[1, 6, 10], [1, 2, 2], [1, 14, 12], [1, 6, 10]] {
        let prompt = prompt(&mut random, grid);
        let sampler = Sampler::new(0.7, random.bits());
        cpu.prefill(&prompt, 4, sampler);
        gpu.prefill(&prompt, 4, sampler).await?;
        for step in 0..5_u32 {
            let what = format!("{grid:?} {step}");
            near(&gpu.logits().await?, cpu.logits(), allowed, &what)?;
            // Rounding to f16 may decide between two that are nearly equal.
            if !gpu.card.extras.f16 && gpu.next().await? != cpu.next() {
                return Err(EngineError::Gpu(format!("{what}: another token is chosen")));
            }
            if step < 4 {
                let position = [20 + step; 3];
                cpu.decode(9 + step, position);
                gpu.decode(9 + step, position)?;
            }
        }
    }
    Ok(())
}
