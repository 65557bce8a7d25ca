//! A whole GRPO update against TRL and PyTorch: the loss, and the gradient of every parameter.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::Var;
use candle_core::{DType, Device, Tensor};
use qponder_kernels::pixels::{Limits, Patches, decode};
use qponder_pipeline::generate::{Finish, Generated};
use qponder_pipeline::processor::Processor;
use qponder_pipeline::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use qponder_pipeline::train::grpo::policy::{PolicyLoss, PolicyStats};
use qponder_pipeline::train::grpo::rollout::Rollout;
use qponder_pipeline::train::grpo::update::{Known, Update};
use qponder_shared::recipe::LossKind;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    checkpoint: String,
    temperature: f64,
    max_length: usize,
    prompts: Vec<Prompt>,
    /// Tokens of all answers, prompt by prompt; the longest were cut off, the others end themselves.
    answers: Vec<Vec<u32>>,
    old: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    new: Vec<Vec<f64>>,
    losses: Vec<Loss>,
}

#[derive(Deserialize)]
struct Prompt {
    image: String,
    text: String,
    answers: usize,
    advantages: Vec<f64>,
}

#[derive(Deserialize)]
struct Loss {
    name: String,
    loss: LossKind,
    beta: f64,
    epsilon_low: f64,
    epsilon_high: f64,
    value: f64,
    metrics: BTreeMap<String, f64>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A policy whose every parameter is in training.
struct Policy {
    model: Qwen2_5Vl,
    variables: BTreeMap<String, Var>,
    processor: Processor,
}

impl Policy {
    fn read(name: &str) -> Self {
        let dir = fixtures().join("transformers").join(name);
        let config = Config::read(&dir).expect("a configuration");
        let loaded = Weights::read(&dir, DType::F32, &Device::Cpu).expect("weights");
        let variable = |(name, tensor): (&String, &Tensor)| {
            (name.clone(), Var::from_tensor(tensor).expect("a variable"))
        };
        let variables: BTreeMap<String, Var> = loaded.tensors().iter().map(variable).collect();
        let tensors = variables.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
        let model = Qwen2_5Vl::new(config, &Weights::new(tensors.collect()), &Device::Cpu).expect("a model");
        Self { processor: Processor::read(&dir, &model.config).expect("a processor"), model, variables }
    }
}

impl Fixture {
    fn read() -> Self {
        let text = std::fs::read_to_string(fixtures().join("trl/gradients.json")).expect("the fixture");
        serde_json::from_str(&text).expect("its fields")
    }

    /// The prompts with their recorded answers.
    fn rollouts(&self, processor: &Processor) -> Vec<Rollout> {
        let mut answers = self.answers.iter().map(|tokens| {
            let cut_off = tokens.len() == self.max_length;
            let kept = tokens.len() - usize::from(!cut_off);
            Generated {
                ids: tokens[..kept].to_vec(),
                end: tokens.get(kept).copied(),
                finish: if cut_off { Finish::Length } else { Finish::Stop },
            }
        });
        let rollout = |prompt: &Prompt| {
            let bytes =
                std::fs::read(fixtures().join("transformers").join(&prompt.image)).expect("a picture");
            let image = decode(&bytes, &Limits::default()).expect("a valid picture").image;
            let patches = Patches::new(&image, processor.patches()).expect("patches");
            let outline = Patches { values: Vec::new(), grid: patches.grid };
            let inputs = processor.inputs_of_patches(&prompt.text, &[outline]).expect("inputs");
            Rollout { patches, prompt: inputs, answers: answers.by_ref().take(prompt.answers).collect() }
        };
        self.prompts.iter().map(rollout).collect()
    }

    /// Which answers belong to which prompt.
    fn ranges(&self) -> Vec<std::ops::Range<usize>> {
        let mut end = 0;
        let range = |prompt: &Prompt| {
            end += prompt.answers;
            end - prompt.answers..end
        };
        self.prompts.iter().map(range).collect()
    }

    fn update(&self) -> Update {
        Update { temperature: self.temperature, head_tokens: 0, mask_truncated: true }
    }
}

/// The norm of the difference, relative to the expected norm.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut expected.iter().map(|&v| f64::from(v))).max(1e-30)
}

#[test]
fn log_probabilities_are_those_of_trl() {
    let fixture = Fixture::read();
    let policy = Policy::read(&fixture.checkpoint);
    let mut theirs = fixture.new.iter();
    for rollout in fixture.rollouts(&policy.processor) {
        let ours = fixture.update().log_probabilities(&policy.model, &rollout).expect("log-probabilities");
        for ours in ours {
            let theirs = theirs.next().expect("an answer");
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert!((ours - theirs).abs() < 1e-4 * theirs.abs().max(1.0), "{ours}, TRL has {theirs}");
            }
        }
    }
    assert!(theirs.next().is_none());
}

#[test]
fn the_loss_and_every_gradient_are_those_of_trl_and_pytorch() {
    let fixture = Fixture::read();
    let policy = Policy::read(&fixture.checkpoint);
    let rollouts = fixture.rollouts(&policy.processor);
    let recorded = candle_core::safetensors::load(fixtures().join("trl/gradients.safetensors"), &Device::Cpu);
    let recorded: HashMap<String, Tensor> = recorded.expect("the gradients");
    // At once, and a few tokens' logits at a time: the recipe's `head_tokens`.
    for head_tokens in [0, 7] {
        let update = Update { head_tokens, ..fixture.update() };
        let answers = rollouts.iter().flat_map(|rollout| &rollout.answers);
        let tokens = answers.filter(|a| update.counts(a)).map(Generated::length).sum();
        for case in &fixture.losses {
            let loss = PolicyLoss {
                kind: case.loss,
                beta: case.beta,
                epsilon_low: case.epsilon_low,
                epsilon_high: case.epsilon_high,
                answers: fixture.answers.len(),
                tokens,
                micro_batches: rollouts.len(),
                max_length: fixture.max_length,
            };
            let (mut stats, mut entropy) = (PolicyStats::default(), 0.0);
            let mut gradients: BTreeMap<String, Vec<f32>> = BTreeMap::new();
            for ((rollout, range), prompt) in rollouts.iter().zip(fixture.ranges()).zip(&fixture.prompts) {
                let known = Known {
                    advantages: &prompt.advantages,
                    old: Some(&fixture.old[range.clone()]),
                    reference: (case.beta > 0.0).then_some(&fixture.reference[range]),
                };
                let part =
                    update.of(&policy.model, &policy.variables, rollout, known, &loss).expect("an update");
                stats.add(part.stats);
                entropy += part.entropy;
                for (name, gradient) in part.gradients {
                    let sum = gradients.entry(name).or_insert_with(|| vec![0.0; gradient.len()]);
                    sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
            }
            let name = &case.name;
            let near = |found: f64, expected: f64, what: &str| {
                assert!((found - expected).abs() < 1e-5, "{name}: {what} {found}, TRL has {expected}");
            };
            near(stats.loss, case.value, "loss");
            let mean = |sum: f64| sum / stats.tokens as f64;
            near(mean(stats.clipped_low), case.metrics["clip_ratio/low_mean"], "share clipped from below");
            near(mean(stats.clipped_high), case.metrics["clip_ratio/high_mean"], "share clipped from above");
            near(mean(entropy), case.metrics["entropy"], "entropy");
            if case.beta > 0.0 {
                near(mean(stats.kl), case.metrics["kl"], "KL");
            }
            let theirs =
                recorded.iter().filter_map(|(key, g)| Some((key.strip_prefix(&format!("{name}."))?, g)));
            let theirs: BTreeMap<&str, &Tensor> = theirs.collect();
            assert!(gradients.keys().eq(theirs.keys()), "{name}: gradients of other parameters");
            for (parameter, expected) in theirs {
                let expected: Vec<f32> = expected.flatten_all().and_then(|g| g.to_vec1()).expect("numbers");
                let error = relative(&gradients[parameter], &expected);
                assert!(error < 1e-3, "{name}: gradient of {parameter} differs by {error:e}");
            }
        }
    }
}
