//! The loop: sample, reward, update.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::{DType, Device};
use qponder_kernels::pixels::Patches;
use qponder_shared::api::Mode;
use qponder_shared::prompt;
use qponder_shared::recipe::{GrpoRecipe, Objective, SpendLimits};
use rayon::prelude::*;
use serde::Serialize;

use super::policy::{self, Advantages, PolicyLoss, PolicyStats, advantages};
use super::rewards::{Group, LevelMap, Rewarder, Sampled, Terms};
use super::rollout::{PATCHES_TOGETHER, Question, Rollout, sample};
use super::update::{Known, MicroBatch, Update};
use super::verdicts::{self, Shown, Verdicts};
use crate::adapter;
use crate::degrade::Rng;
use crate::device::{Place, dtype};
use crate::endpoint::Picture;
use crate::generate::{GenerateError, Generated};
use crate::judge::Judge;
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, Qwen2_5Vl, Weights};
use crate::train::checkpoint::Checkpoint;
use crate::train::data::{Item, Order, read_dataset, spread};
use crate::train::destination;
use crate::train::dropout::AdapterDropout;
use crate::train::identity::Identity;
use crate::train::learner::{self, Gradients, Learner, on};
use crate::train::parameters::{self, Parameters, trains};
use crate::train::session::{Session, Training};
use crate::train::validate::validate;
use crate::train::{Progress, TrainError, ValidationReport, log};

/// Labelled images that the map from levels to scores is fitted on.
const FITTED: usize = 4000;

/// Trains as the recipe says, from the newest checkpoint in `recipe.out` if there is one, and saves
/// the model into `recipe.out` at the end.
///
/// Beside the metrics, `completions.jsonl` keeps every answer with each reward. A run with a judge is
/// resumed exactly as far as the judge gives equal verdicts on equal answers.
/// `stop` is looked at between images; a stopped run writes a checkpoint first.
///
/// # Errors
/// When the recipe's files cannot be read, the judge cannot be asked, the device or the disk refuses, the loss is no
/// number, or it was stopped.
pub fn grpo(
    recipe: &GrpoRecipe,
    place: Place,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), TrainError> {
    let (base, out) = (Path::new(&recipe.base), Path::new(&recipe.out));
    destination::check(out, base)?;
    let (training, held_out) = read_dataset(&recipe.data)?;
    let judge = recipe.judge.as_ref().map(|judge| Judge::new(judge, &SpendLimits::default())).transpose()?;
    judge.as_ref().map(Judge::reach).transpose()?;
    let config = Config::read(base)?;
    let processor = Processor::read(base, &config)?;
    let train = &recipe.train;
    let (device, dtype) = (place.open()?, dtype(train.precision));
    // What is trained begins with every digit that the checkpoint has.
    let read = if recipe.lora.is_some() { dtype } else { DType::F32 };
    let base_weights = Weights::read(base, read, &Device::Cpu)?;
    let mut tensors = base_weights.tensors().clone();
    let identity = Identity::new(recipe, Some(base), &training)?;
    let checkpoint = Checkpoint::newest(out, &identity, &mut |error| {
        progress(&Progress::Damaged { error: error.to_string() });
    })?
    .unwrap_or_default();
    let lora = recipe.lora.as_ref();
    if let Some(lora) = lora {
        tensors.extend(adapter::initial(&tensors, lora, train.seed)?);
    }
    tensors.extend(checkpoint.weights);
    let parameters = Parameters::new(tensors, &device, dtype, lora, |name| trains(name, &train.parts, lora))?;
    let weights = &parameters.weights;
    let validation = spread(&held_out, recipe.validation.images);
    let learning = on(place, train.learning());
    let session = Session::new(out, checkpoint.step, &learning, recipe.validation.every).validating_first();
    let started = session.started(&parameters, training.len(), validation.len());
    let model = Qwen2_5Vl::new(config, weights, &device)?.with_dtype(dtype).with_recompute(train.recompute);
    let sampler = model.over(&parameters.without_graph())?;
    let reference = if train.beta > 0.0 {
        Some(model.over(&parameters.before(&base_weights, &device, dtype)?)?)
    } else {
        None
    };
    let mut trainer = Trainer {
        recipe,
        dropout: AdapterDropout::new(&model, weights, lora, train.seed)?,
        model,
        sampler,
        reference,
        processor: &processor,
        update: Update::new(recipe),
        judge,
        patches_together: if place == Place::Cpu { 0 } else { PATCHES_TOGETHER },
        rewarder: Rewarder {
            rewards: recipe.reward.clone(),
            levels: LevelMap::of_items(&spread(&training, FITTED)),
            max_new_tokens: recipe.rollout.max_new_tokens,
        },
        learner: Learner::new(identity, parameters.variables, &learning, checkpoint.moments),
        order: Order::new(training.len(), train.seed),
        training: &training,
        validation,
        completions: log::open(&out.join("completions.jsonl"), checkpoint.step)?,
        tokens: log::newest(&out.join("metrics.jsonl"), checkpoint.step, "num_tokens").unwrap_or(0.0),
    };
    session.run(&mut trainer, started, stop, progress)?;
    parameters::save(out, &trainer.model.config, weights, Some(base), lora, train.precision)
}

struct Trainer<'a> {
    recipe: &'a GrpoRecipe,
    model: Qwen2_5Vl,
    /// The same weights without a graph.
    sampler: Qwen2_5Vl,
    /// Makes the micro-batches' models where adapters have dropout.
    dropout: Option<AdapterDropout>,
    reference: Option<Qwen2_5Vl>,
    processor: &'a Processor,
    /// Images with so many patches are answered together. With 0, each thread of a CPU takes an image.
    patches_together: usize,
    update: Update,
    rewarder: Rewarder,
    /// Who gives the reward `judge`.
    judge: Option<Judge>,
    learner: Learner,
    order: Order,
    training: &'a [Item],
    validation: Vec<Item>,
    completions: File,
    /// Tokens of all prompts and answers since the run began.
    tokens: f64,
}

/// An image and what is asked about it.
struct Asked {
    item: usize,
    question: Question,
    /// What the judge is shown, where there is one.
    picture: Option<Arc<Picture>>,
}

/// An image with its group of answers.
struct Rolled {
    item: usize,
    rollout: Rollout,
    texts: Vec<String>,
    /// What the judge is shown, where there is one.
    picture: Option<Arc<Picture>>,
}

/// A line of `completions.jsonl`.
#[derive(Serialize)]
struct Completion<'a> {
    step: usize,
    image: &'a Path,
    label: f64,
    text: &'a str,
    reward: f64,
    advantage: f64,
    #[serde(flatten)]
    terms: &'a Terms,
    /// The judge's term where there is a judge; `null` without a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<Option<f64>>,
}

impl Training for Trainer<'_> {
    fn step(&mut self, step: usize, stop: &AtomicBool) -> Result<Progress, TrainError> {
        let started = Instant::now();
        let train = &self.recipe.train;
        let draws = self.order.step(step, train.images);
        // As many parts as the recipe allows threads.
        let part = if train.threads == 0 { 1 } else { draws.len().div_ceil(train.threads).max(1) };
        let ask =
            |part: &[_]| part.iter().map(|&(draw, item)| self.ask(draw, item)).collect::<Result<Vec<_>, _>>();
        let asked: Vec<Vec<Asked>> = draws.par_chunks(part).map(ask).collect::<Result<_, _>>()?;
        let asked = asked.into_iter().flatten().collect();
        let rolled = self.roll(asked, stop, step)?;
        let groups: Vec<Group<'_>> = rolled.iter().map(|rolled| self.group(rolled)).collect();
        let terms = self.rewarder.terms(&groups);
        let mut rewards: Vec<f64> = terms.iter().flatten().map(|t| t.total(&self.recipe.reward)).collect();
        let verdicts = self.verdicts(step, &rolled, stop)?;
        if let Some(verdicts) = &verdicts {
            let judged = verdicts.terms(self.recipe.rollout.group);
            rewards.iter_mut().zip(judged).for_each(|(sum, term)| *sum += self.recipe.reward.judge * term);
        }
        let advantages = advantages(&rewards, self.recipe.rollout.group, train.reward_scale);
        self.keep(step, &rolled, &terms, verdicts.as_ref(), &rewards, &advantages)?;

        // With one update the sampling policy is the one in training, and its log-probabilities are known.
        let old = if train.epochs > 1 { Some(self.log_probabilities(&rolled, stop, step)?) } else { None };
        let mut metrics: BTreeMap<String, f64> = BTreeMap::new();
        let counted = rolled.iter().flat_map(|r| &r.rollout.answers).filter(|a| self.update.counts(a));
        let loss = PolicyLoss {
            kind: train.loss,
            beta: train.beta,
            epsilon_low: train.epsilon_low,
            epsilon_high: train.epsilon_high,
            answers: rewards.len(),
            tokens: counted.map(Generated::length).sum(),
            micro_batches: rolled.len(),
            max_length: self.recipe.rollout.max_new_tokens,
        };
        // After the first update a step is finished whatever happens: half of one could not be resumed.
        let go_on = AtomicBool::new(false);
        for epoch in 0..train.epochs {
            let stop = if epoch == 0 { stop } else { &go_on };
            let update = (step - 1) * train.epochs + epoch + 1;
            let indices: Vec<usize> = (0..rolled.len()).collect();
            let group = self.recipe.rollout.group;
            let (mut stats, mut entropy, mut gradients) = (PolicyStats::default(), 0.0, Gradients::new());
            let (mut low_min, mut high_max) = (f64::INFINITY, 0.0_f64);
            let work = |&index: &usize| {
                let advantages = &advantages.values[index * group..][..group];
                let old = old.as_ref().map(|old| old[index].as_slice());
                let micro_batch = ((update - 1) * train.images + index) as u64;
                let dropped = self.dropout.as_ref().map(|dropout| dropout.model(micro_batch)).transpose()?;
                let model = dropped.as_ref().unwrap_or(&self.model);
                self.micro_batch(model, &loss, &rolled[index].rollout, advantages, old)
            };
            self.learner.each(&indices, stop, step, work, |part| {
                let tokens = part.stats.tokens.max(1) as f64;
                low_min = low_min.min(part.stats.clipped_low / tokens);
                high_max = high_max.max(part.stats.clipped_high / tokens);
                stats.add(part.stats);
                entropy += part.entropy;
                learner::add(&mut gradients, part.gradients);
            })?;
            if !stats.loss.is_finite() {
                return Err(TrainError::NotANumber { step });
            }
            let (norm, rate) = self.learner.update(step, update, gradients)?;
            let tokens = stats.tokens.max(1) as f64;
            // Of several updates the mean, as TRL logs them.
            let of_update = [
                ("loss", stats.loss),
                ("kl", stats.kl / tokens),
                ("entropy", entropy / tokens),
                ("clip_ratio/low_mean", stats.clipped_low / tokens),
                ("clip_ratio/low_min", low_min),
                ("clip_ratio/high_mean", stats.clipped_high / tokens),
                ("clip_ratio/high_max", high_max),
                ("clip_ratio/region_mean", (stats.clipped_low + stats.clipped_high) / tokens),
                ("grad_norm", norm),
                ("learning_rate", rate),
            ];
            for (name, value) in of_update {
                *metrics.entry(name.to_owned()).or_default() += value / train.epochs as f64;
            }
        }
        self.tokens += rolled.iter().map(|rolled| rolled.rollout.tokens() as f64).sum::<f64>();
        metrics.insert("num_tokens".to_owned(), self.tokens);
        self.describe(&mut metrics, &rolled, &terms, &rewards, &advantages);
        verdicts.iter().for_each(|verdicts| verdicts.describe(&mut metrics));
        metrics.insert("step_time".to_owned(), started.elapsed().as_secs_f64());
        Ok(Progress::Policy { step, metrics })
    }

    fn validate(&self) -> Result<Option<ValidationReport>, TrainError> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let settings = &self.recipe.validation;
        validate(&self.sampler, None, self.processor, &self.validation, settings, Objective::Answer).map(Some)
    }

    fn learner(&self) -> &Learner {
        &self.learner
    }
}

impl Trainer<'_> {
    /// Makes the question about one image.
    fn ask(&self, draw: u64, item: usize) -> Result<Asked, TrainError> {
        let (recipe, item_of) = (self.recipe, &self.training[item]);
        let mut rng = Rng::new(recipe.train.seed ^ 0x6772_706F, draw);
        let mut image = item_of.image()?;
        let symmetry = if recipe.data.augment { rng.below(8) } else { 0 };
        if symmetry > 0 {
            image = image.symmetry(symmetry);
        }
        let turned = (symmetry > 0).then_some(&image);
        let picture = self.judge.is_some().then(|| verdicts::picture(item_of, turned)).transpose()?;
        let text = self.processor.chat(prompt::SYSTEM, prompt::current(Mode::Reason).text, 1)?;
        let patches = Patches::new(&image, self.processor.patches())
            .map_err(|e| TrainError::Image { path: item_of.path.clone(), reason: e.to_string() })?;
        let outline = Patches { values: Vec::new(), grid: patches.grid };
        let prompt = self.processor.inputs_of_patches(&text, &[outline])?;
        let seeds: Vec<u64> = (0..recipe.rollout.group).map(|_| rng.next_u64()).collect();
        Ok(Asked { item, question: Question { patches, prompt, seeds }, picture })
    }

    /// Samples the answers to the questions of a step.
    fn roll(&self, asked: Vec<Asked>, stop: &AtomicBool, step: usize) -> Result<Vec<Rolled>, TrainError> {
        let (mut rest, mut questions) = (Vec::new(), Vec::new());
        for Asked { item, question, picture } in asked {
            rest.push((item, picture));
            questions.push(question);
        }
        let together = together(&questions, self.patches_together);
        let (settings, ends) = (&self.recipe.rollout, self.processor.end_of_text());
        let sample = |questions: &&[Question]| {
            sample(&self.sampler, questions, settings, ends).map_err(|error| match error {
                GenerateError::NotNumbers => TrainError::NotANumber { step },
                GenerateError::Tensor(error) => error.into(),
            })
        };
        let answers = self.learner.map(&together, stop, step, sample)?.into_iter().flatten();
        let answered = rest.into_iter().zip(questions).zip(answers);
        let rolled = answered.map(|(((item, picture), question), answers)| {
            let texts = answers.iter().map(|a| self.processor.text(&a.ids)).collect::<Result<_, _>>()?;
            let Question { patches, prompt, .. } = question;
            Ok(Rolled { item, rollout: Rollout { patches, prompt, answers }, texts, picture })
        });
        rolled.collect()
    }

    /// What the judge says of the answers; `None` without a judge.
    fn verdicts(
        &mut self,
        step: usize,
        rolled: &[Rolled],
        stop: &AtomicBool,
    ) -> Result<Option<Verdicts>, TrainError> {
        let Some(judge) = &mut self.judge else { return Ok(None) };
        let training = self.training;
        let shown = rolled.iter().filter_map(|rolled| {
            let (row, picture) = (&training[rolled.item].row, rolled.picture.clone()?);
            Some(Shown { row, picture, texts: &rolled.texts })
        });
        Verdicts::ask(judge, step, &shown.collect::<Vec<_>>(), stop).map(Some)
    }

    fn group<'a>(&'a self, rolled: &'a Rolled) -> Group<'a> {
        let row = &self.training[rolled.item].row;
        let answers = rolled.texts.iter().zip(&rolled.rollout.answers);
        Group {
            label: row.label.value(),
            distortions: row.distortions_known().then_some(&row.distortions),
            answers: answers.map(|(text, answer)| Sampled { text, ids: &answer.ids }).collect(),
        }
    }

    /// Log-probabilities under the sampling policy of every answer's tokens, by image and answer.
    fn log_probabilities(
        &self,
        rolled: &[Rolled],
        stop: &AtomicBool,
        step: usize,
    ) -> Result<Vec<Vec<Vec<f64>>>, TrainError> {
        self.learner.map(rolled, stop, step, |rolled| {
            Ok(self.update.log_probabilities(&self.sampler, &rolled.rollout)?)
        })
    }

    /// What one image's answers add to the update.
    fn micro_batch(
        &self,
        model: &Qwen2_5Vl,
        loss: &PolicyLoss,
        rollout: &Rollout,
        advantages: &[f64],
        old: Option<&[Vec<f64>]>,
    ) -> Result<MicroBatch, TrainError> {
        let reference = self.reference.as_ref();
        let reference = reference.map(|frozen| self.update.log_probabilities(frozen, rollout)).transpose()?;
        let known = Known { advantages, old, reference: reference.as_deref() };
        Ok(self.update.of(model, &self.learner.variables, rollout, known, loss)?)
    }

    fn keep(
        &mut self,
        step: usize,
        rolled: &[Rolled],
        terms: &[Vec<Terms>],
        verdicts: Option<&Verdicts>,
        rewards: &[f64],
        advantages: &Advantages,
    ) -> Result<(), TrainError> {
        let mut lines = String::new();
        for (index, (rolled, terms)) in rolled.iter().zip(terms).enumerate() {
            let item = &self.training[rolled.item];
            for (at, terms) in terms.iter().enumerate() {
                let place = index * self.recipe.rollout.group + at;
                let completion = Completion {
                    step,
                    image: &item.path,
                    label: item.row.label.value(),
                    text: &rolled.texts[at],
                    reward: rewards[place],
                    advantage: advantages.values[place],
                    terms,
                    judge: verdicts.map(|verdicts| verdicts.share(place)),
                };
                lines += &serde_json::to_string(&completion).unwrap_or_default();
                lines.push('\n');
            }
        }
        let path = Path::new(&self.recipe.out).join("completions.jsonl");
        self.completions.write_all(lines.as_bytes()).map_err(|source| TrainError::Io { path, source })
    }

    /// The metrics that need no update, under TRL's names.
    fn describe(
        &self,
        metrics: &mut BTreeMap<String, f64>,
        rolled: &[Rolled],
        terms: &[Vec<Terms>],
        rewards: &[f64],
        advantages: &Advantages,
    ) {
        let (mean, deviation) = policy::mean_and_deviation(rewards);
        metrics.insert("reward".to_owned(), mean);
        metrics.insert("reward_std".to_owned(), deviation);
        metrics.insert("frac_reward_zero_std".to_owned(), advantages.zero_variance);
        for (index, (name, _)) in Terms::default().named().into_iter().enumerate() {
            let values: Vec<f64> = terms.iter().flatten().map(|t| t.named()[index].1).collect();
            let (mean, deviation) = policy::mean_and_deviation(&values);
            metrics.insert(format!("rewards/{name}/mean"), mean);
            metrics.insert(format!("rewards/{name}/std"), deviation);
        }
        let answers: Vec<&Generated> = rolled.iter().flat_map(|rolled| &rolled.rollout.answers).collect();
        let count = answers.len() as f64;
        let length: usize = answers.iter().map(|a| a.length()).sum();
        let cut = answers.iter().filter(|a| a.end.is_none()).count();
        metrics.insert("completions/mean_length".to_owned(), length as f64 / count);
        metrics.insert("completions/clipped_ratio".to_owned(), cut as f64 / count);
    }
}

/// Consecutive questions with at most so many patches, or one that has more by itself.
fn together(questions: &[Question], patches: usize) -> Vec<&[Question]> {
    let mut parts = Vec::new();
    let mut rest = questions;
    while !rest.is_empty() {
        let mut sum = 0;
        let fitting = rest.iter().take_while(|question| {
            sum += question.patches.count();
            sum <= patches
        });
        let (part, others) = rest.split_at(fitting.count().max(1));
        parts.push(part);
        rest = others;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qwen2_5_vl::Inputs;

    #[test]
    fn questions_go_together_up_to_a_number_of_patches() {
        let question = |width| Question {
            patches: Patches { values: Vec::new(), grid: [1, 2, width] },
            prompt: Inputs::default(),
            seeds: vec![1],
        };
        let questions = [2, 2, 4, 9, 1, 1].map(question);
        let sizes = |patches| together(&questions, patches).iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(0), [1; 6]);
        assert_eq!(sizes(8), [2, 1, 1, 2]);
        assert_eq!(sizes(1000), [6]);
    }
}
