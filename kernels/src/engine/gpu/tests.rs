//! Every kernel against the processor's, over odd shapes, and the whole model; on whatever card there is, which may
//! be Mesa's software one.

use std::sync::Arc;

use pollster::block_on;

use super::Gpu;
use super::device::Card;
use super::kernels::{Kernel, Kernels, Stored};
use super::memory::turns;
use super::plan::{Builder, Heads, flag};
use super::weights::Linear;
use crate::engine::cpu::{self, Cpu, Rotation};
use crate::engine::model::{self, Matrix, Model, Numbers, TextConfig, VisionConfig};
use crate::engine::{EngineError, Prompt, Random, Sampler};
use crate::layout;

const STORED: [Stored; 4] = [Stored::F32, Stored::F16, Stored::Q8, Stored::Q4];

fn card() -> Card {
    block_on(Card::open()).expect("a graphics card; `apt install mesa-vulkan-drivers` brings one in software")
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

fn assert_near(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{what}, number {index}: {a} instead of {b}");
    }
}

/// A card with kernels, and what every plan needs.
struct Bench {
    card: Card,
    kernels: Kernels,
    progress: wgpu::Buffer,
    nothing: wgpu::Buffer,
}

impl Bench {
    fn new(kernels: &[Kernel]) -> Self {
        let card = card();
        let kernels = Kernels::compile(&card, kernels);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let (progress, nothing) =
            (card.buffer(4, usage).expect("a buffer"), card.storage(4).expect("a buffer"));
        Self { card, kernels, progress, nothing }
    }

    /// Runs steps and reads a buffer.
    fn run<'a, T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
        &'a self,
        out: &wgpu::Buffer,
        numbers: usize,
        steps: impl FnOnce(&mut Builder<'a>),
    ) -> Vec<T> {
        let mut builder = Builder::new(&self.card, &self.kernels, &self.progress, &self.nothing);
        steps(&mut builder);
        self.card.run(&builder.finish());
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let readback = self.card.buffer(numbers, usage).expect("a buffer");
        block_on(self.card.read(out, &readback, numbers)).expect("numbers")
    }

    fn upload(&self, numbers: &[f32]) -> wgpu::Buffer {
        self.card.upload(numbers).expect("a buffer")
    }
}

/// Needs no card.
#[test]
fn every_kernel_is_valid() {
    use wgpu::naga;
    let products = STORED.into_iter().flat_map(|stored| [Kernel::Tiled(stored), Kernel::Vector(stored)]);
    let attentions = [8, 20, 32].into_iter().flat_map(|w| [Kernel::Attention(w), Kernel::AttentionDecode(w)]);
    let others = [Kernel::RmsNorm, Kernel::Rope, Kernel::Activation, Kernel::Scatter, Kernel::Choose];
    for kernel in products.chain(attentions).chain(others) {
        let source = kernel.source();
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&source)));
        let flags = naga::valid::ValidationFlags::all();
        // `unpack2x16float`, which every card has: no arithmetic in f16.
        let f16_words = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let mut validator = naga::valid::Validator::new(flags, f16_words);
        let valid = validator.validate(&module);
        valid.unwrap_or_else(|error| panic!("{kernel:?}: {}", error.emit_to_string(&source)));
    }
}

#[test]
fn products_are_the_processors() {
    let kernels: Vec<Kernel> =
        STORED.into_iter().flat_map(|stored| [Kernel::Tiled(stored), Kernel::Vector(stored)]).collect();
    let bench = Bench::new(&kernels);
    let mut random = Random::new(3);
    for stored in STORED {
        for (tokens, inputs, outputs) in [(1, 160, 37), (1, 32, 1), (2, 64, 33), (33, 96, 5), (70, 160, 100)]
        {
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
                let linear = Linear::new(&bench.card, &matrix, bias.as_deref()).expect("weights");
                let (x, out) = (bench.upload(&x), bench.upload(&before));
                let flags = if is_added { flag::ADD } else { 0 };
                let ours = bench.run(&out, tokens * outputs, |builder| {
                    // The buffers outlive the plan; a leak of a few bytes keeps the test short.
                    builder.product(tokens, leak(x), leak(linear), leak(out.clone()), flags);
                });
                assert_near(&ours, &expected, &format!("{stored:?} {tokens} {inputs} {outputs}"));
            }
        }
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

#[test]
fn norms_rotations_and_activations_are_the_processors() {
    let bench = Bench::new(&[Kernel::RmsNorm, Kernel::Rope, Kernel::Activation, Kernel::Scatter]);
    let mut random = Random::new(4);
    for (rows, width) in [(1, 3), (5, 64), (130, 160), (3, 1281)] {
        let (x, weight) = (random.numbers(rows * width), random.numbers(width));
        let mut expected = vec![0.0; x.len()];
        cpu::rms_norm(&x, &weight, 1e-6, &mut expected);
        let (x, weight, out) = (bench.upload(&x), bench.upload(&weight), bench.upload(&expected.clone()));
        let ours = bench.run(&out, rows * width, |builder| {
            builder.rms_norm([rows, width], 1e-6, leak(x), leak(weight), leak(out.clone()));
        });
        assert_near(&ours, &expected, "norm");
    }
    for (tokens, heads, half) in [(1, 1, 2), (7, 5, 16), (40, 3, 10)] {
        let (x, angles) = (random.numbers(tokens * heads * half * 2), random.numbers(tokens * half));
        let mut expected = x.clone();
        cpu::rope(&mut expected, heads, &Rotation::new(&angles, half));
        let (x, turns) = (bench.upload(&x), bench.upload(&turns(&angles)));
        let ours = bench.run(&x, expected.len(), |builder| {
            builder.rope([tokens, heads, half], leak(turns), leak(x.clone()), 0);
        });
        assert_near(&ours, &expected, "rotation");
    }
    for count in [1, 63, 1000] {
        let (a, b) = (random.numbers(count), random.numbers(count));
        let mut expected = a.clone();
        cpu::swiglu(&mut expected, &b);
        let (gate, up) = (bench.upload(&a), bench.upload(&b));
        let ours = bench.run(&gate, count, |builder| builder.swiglu(count, leak(gate.clone()), leak(up)));
        assert_near(&ours, &expected, "SwiGLU");
        let mut expected = a.clone();
        cpu::gelu(&mut expected);
        let x = bench.upload(&a);
        let ours = bench.run(&x, count, |builder| builder.gelu(count, leak(x.clone())));
        assert_near(&ours, &expected, "GELU");
    }
    let x = random.numbers(3 * 5);
    let (rows, out) = (bench.upload(&x), bench.upload(&[0.0; 4 * 5]));
    let places = bench.card.upload(&[3_u32, 0, 2]).expect("a buffer");
    let ours = bench.run(&out, 20, |builder| {
        builder.scatter([3, 5], leak(rows), leak(places), leak(out.clone()));
    });
    let expected = [&x[5..10], &[0.0; 5], &x[10..15], &x[..5]].concat();
    assert_near(&ours, &expected, "scatter");
}

#[test]
fn attention_is_the_processors() {
    let bench = Bench::new(&[8, 5].map(Kernel::Attention));
    let mut random = Random::new(5);
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
        let buffers = [&q, &k, &v].map(|values| leak(bench.upload(values)));
        let (ranges, out) =
            (bench.card.upload(&ranges).expect("a buffer"), bench.upload(&vec![0.0; q.len()]));
        let shape = Heads { count: heads, kv_count: kv_heads, width };
        let ours = bench.run(&out, q.len(), |builder| {
            builder.attention(tokens, &shape, buffers, Some(leak(ranges)), leak(out.clone()));
        });
        assert_near(&ours, &expected, &format!("{windows:?} {heads} {kv_heads} {width} {causal}"));
    }
}

/// A tiny random model with matrices stored in every way.
fn tiny(random: &mut Random) -> Model {
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

fn prompt(random: &mut Random, grid: [usize; 3]) -> Prompt {
    let patches = grid.iter().product::<usize>();
    let image = std::iter::repeat_n(7, patches / 4);
    let ids: Vec<u32> = [1, 2, 3].into_iter().chain(image).chain([4, 5]).collect();
    let positions = layout::positions(&ids, 7, &[grid], 2);
    Prompt { ids, image_token: 7, positions, patches: random.numbers(patches * 588), grid }
}

#[test]
fn tokens_are_chosen_as_on_the_processor() {
    let bench = Bench::new(&[Kernel::Choose]);
    let mut random = Random::new(9);
    let out = bench.card.storage(1).expect("a buffer");
    for vocabulary in [1, 5, 255, 256, 257, 1024, 40_001] {
        let mut logits: Vec<f32> = random.numbers(vocabulary).iter().map(|x| 3.0 * x).collect();
        // Two that are equal and the largest.
        logits[vocabulary / 3] = 9.0;
        logits[vocabulary / 2] = 9.0;
        let card_logits = bench.upload(&logits);
        for (tokens, temperature) in (0..40).zip([0.0, 0.3, 1.0, 5.0].into_iter().cycle()) {
            let sampler = Sampler::new(temperature, random.bits());
            let [seed, bits] = sampler.words();
            bench.card.write(&bench.progress, &[tokens, tokens + 1, seed, bits]);
            let chosen: Vec<u32> = bench.run(&out, 1, |b| b.choose(vocabulary, &card_logits, &out));
            let expected = sampler.choose(tokens + 1, &logits);
            assert_eq!(chosen, [expected], "{vocabulary} at {temperature}");
        }
    }
}

#[test]
fn the_whole_model_is_the_processors() {
    let mut random = Random::new(6);
    let model = Arc::new(tiny(&mut random));
    let mut cpu = Cpu::new(model.clone());
    let mut gpu = block_on(Gpu::new(model)).expect("a graphics card");
    for grid in [[1, 6, 10], [1, 2, 2], [1, 14, 12], [1, 6, 10]] {
        let prompt = prompt(&mut random, grid);
        let sampler = Sampler::new(0.7, random.bits());
        cpu.prefill(&prompt, sampler);
        block_on(gpu.prefill(&prompt, 4, sampler)).expect("room");
        for step in 0..5_u32 {
            let what = format!("{grid:?} {step}");
            assert_near(&block_on(gpu.logits()).expect("logits"), cpu.logits(), &what);
            assert_eq!(block_on(gpu.next()).expect("a token"), cpu.next(), "{what}");
            if step < 4 {
                let position = [20 + step; 3];
                cpu.decode(9 + step, position);
                gpu.decode(9 + step, position).expect("room");
            }
        }
    }
    let full = (0..600).find_map(|_| gpu.decode(1, [1; 3]).err());
    assert!(full.is_some_and(|error| error.to_string().contains("room for")), "it never was full");
}

#[test]
fn a_lost_device_is_an_error() {
    let mut random = Random::new(7);
    let mut gpu = block_on(Gpu::new(Arc::new(tiny(&mut random)))).expect("a graphics card");
    let prompt = prompt(&mut random, [1, 4, 4]);
    block_on(gpu.prefill(&prompt, 4, Sampler::greedy())).expect("room");
    gpu.destroy();
    for _ in 0..2 {
        let done = block_on(gpu.prefill(&prompt, 4, Sampler::greedy()));
        let error = done.and_then(|()| block_on(gpu.logits())).expect_err("nothing can be computed");
        assert!(matches!(error, EngineError::Gpu(_)), "{error}");
    }
    assert!(gpu.decode(1, [30; 3]).is_err() && block_on(gpu.next()).is_err() && gpu.is_lost());
}
