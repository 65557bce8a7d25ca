//! Ways to save memory and work while training change no number: beginnings that are computed once, layers
//! that are computed again, logits in parts.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use qponder_kernels::pixels::{Patches, RgbImage};
use qponder_pipeline::processor::Processor;
use qponder_pipeline::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use qponder_pipeline::train::answers::{Head, Packed};
use qponder_pipeline::train::data::Tokens;
use qponder_pipeline::train::objective::gradients;
use qponder_shared::api::Mode;
use qponder_shared::prompt;

const ANSWERS: [&str; 4] =
    ["<think>\nsharpness: edges", "<think>\nsharpness: fine detail is crisp", "<think>", "good"];

struct Nano {
    processor: Processor,
    variables: BTreeMap<String, Var>,
    model: Qwen2_5Vl,
    patches: Patches,
}

/// What came of one way to compute: losses and entropies by token, and gradients by name.
struct Found {
    losses: Vec<f32>,
    entropies: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
}

impl Nano {
    fn load(recompute: bool) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/nano-ci");
        let config = Config::read(&dir).expect("a configuration");
        let processor = Processor::read(&dir, &config).expect("a processor");
        let read = Weights::read(&dir, DType::F32, &Device::Cpu).expect("weights");
        let (mut tensors, mut variables) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in read.tensors() {
            let variable = Var::from_tensor(tensor).expect("a variable");
            tensors.insert(name.clone(), variable.as_tensor().clone());
            variables.insert(name.clone(), variable);
        }
        let model = Qwen2_5Vl::new(config, &Weights::new(tensors), &Device::Cpu).expect("a model");
        let pixels = (0..56 * 84 * 3).map(|i: usize| (i * i % 251) as u8).collect();
        let image = RgbImage::new(84, 56, pixels).expect("84 x 56");
        let patches = Patches::new(&image, processor.patches()).expect("patches");
        Self { processor, variables, model: model.with_recompute(recompute), patches }
    }

    fn tokens(&self, answer: &str) -> Tokens {
        let text =
            self.processor.chat(prompt::SYSTEM, prompt::current(Mode::Reason).text, 1).expect("a prompt");
        let outline = Patches { values: Vec::new(), grid: self.patches.grid };
        let prompt = self.processor.inputs_of_patches(&text, &[outline]).expect("inputs");
        Tokens { prompt, answer: self.processor.tokenise(answer).expect("tokens") }
    }

    /// Losses of the answers, of which each group is pushed at once.
    fn losses(&self, groups: &[&[Tokens]], tokens: usize) -> Found {
        let (count, values) = (self.patches.count(), &self.patches.values);
        let patches =
            Tensor::from_slice(values, (count, values.len() / count), &Device::Cpu).expect("patches");
        let images = self.model.vision.forward(&patches, &[self.patches.grid]).expect("images");
        let mut packed = Packed::default();
        for group in groups {
            packed.push(&group.iter().collect::<Vec<_>>(), self.model.config.image_token_id, 0);
        }
        let head = Head { temperature: 0.7, tokens, entropy: true };
        let found = packed.losses(&self.model, &images, head).expect("losses");
        // Unequal weights, so that a gradient which lands on the wrong token shows.
        let weights: Vec<f32> = (0..packed.targets.len()).map(|i| 1.0 + (i % 3) as f32).collect();
        let weights = Tensor::from_vec(weights, packed.targets.len(), &Device::Cpu).expect("weights");
        let loss = (&found.losses * weights).and_then(|l| l.sum_all()).expect("a loss");
        Found {
            losses: found.losses.to_vec1().expect("numbers"),
            entropies: found.entropies,
            gradients: gradients(&loss, &self.variables).expect("gradients"),
        }
    }
}

#[track_caller]
fn assert_same(found: &Found, expected: &Found) {
    let near = |a: &[f32], b: &[f32]| {
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let apart = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
        a.len() == b.len() && apart <= 1e-4 * norm(&mut b.iter().copied()) + 1e-6
    };
    assert!(near(&found.losses, &expected.losses), "{:?}\n{:?}", found.losses, expected.losses);
    assert!(near(&found.entropies, &expected.entropies), "{:?}", found.entropies);
    for (name, gradient) in &expected.gradients {
        assert!(gradient.iter().any(|g| *g != 0.0), "{name} has no gradient");
        assert!(near(&found.gradients[name], gradient), "gradients of {name} differ");
    }
}

#[test]
fn beginnings_in_common_recomputed_layers_and_logits_in_parts_change_nothing() {
    let plain = Nano::load(false);
    let answers: Vec<Tokens> = ANSWERS.iter().map(|answer| plain.tokens(answer)).collect();
    let apart: Vec<&[Tokens]> = answers.iter().map(std::slice::from_ref).collect();
    let expected = plain.losses(&apart, 0);
    assert!(expected.entropies.iter().all(|h| *h > 0.0 && *h < 7.0), "{:?}", expected.entropies);
    assert_same(&plain.losses(&[&answers], 0), &expected);
    assert_same(&plain.losses(&[&answers[..2], &answers[2..]], 5), &expected);
    assert_same(&Nano::load(true).losses(&[&answers], 0), &expected);
    assert_same(&Nano::load(true).losses(&apart, 3), &expected);
}

#[test]
fn equal_answers_share_everything() {
    let nano = Nano::load(false);
    let twice = [nano.tokens("good"), nano.tokens("good")];
    let apart: Vec<&[Tokens]> = twice.iter().map(std::slice::from_ref).collect();
    assert_same(&nano.losses(&[&twice], 0), &nano.losses(&apart, 0));
}
