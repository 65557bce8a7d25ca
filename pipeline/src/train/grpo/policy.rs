//! Advantages and the clipped policy loss, on plain numbers.
//!
//! The loss depends on the model only through the log-probabilities of the sampled tokens. So it is
//! computed here together with its slope by each of them, and the graph only needs to carry
//! Σ slope · log-probability. Definitions and defaults follow TRL's `GRPOTrainer`, with which
//! `tests/trl.rs` compares every number.

use qponder_shared::recipe::{LossKind, RewardScale};

/// Added to the deviation that rewards are divided by.
const EPSILON: f64 = 1e-4;
/// Below this a group's rewards count as all equal.
const EQUAL: f64 = 1e-8;

/// Rewards made comparable.
#[derive(Clone, Debug, PartialEq)]
pub struct Advantages {
    /// One an answer.
    pub values: Vec<f64>,
    /// Share of answers whose deviation is zero: they teach nothing about the rewards.
    pub zero_variance: f64,
}

/// The mean, and the standard deviation with n − 1.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 })
}

/// Each reward less the mean of its group of `group` consecutive answers, divided as `scale` says.
#[must_use]
pub fn advantages(rewards: &[f64], group: usize, scale: RewardScale) -> Advantages {
    let (_, whole) = mean_and_deviation(rewards);
    let mut values = Vec::with_capacity(rewards.len());
    let mut equal = 0;
    for rewards in rewards.chunks(group.max(1)) {
        let (mean, within) = mean_and_deviation(rewards);
        let deviation = if scale == RewardScale::Batch { whole } else { within };
        let divisor = if scale == RewardScale::None { 1.0 } else { deviation + EPSILON };
        equal += if deviation <= EQUAL { rewards.len() } else { 0 };
        values.extend(rewards.iter().map(|reward| (reward - mean) / divisor));
    }
    let zero_variance = equal as f64 / rewards.len().max(1) as f64;
    Advantages { values, zero_variance }
}

/// One answer's log-probabilities, token by token.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    /// Under the policy that is trained.
    pub new: &'a [f64],
    /// Under the policy that sampled.
    pub old: &'a [f64],
    /// Under the frozen policy; empty without a KL term.
    pub reference: &'a [f64],
    pub advantage: f64,
    /// Whether it teaches; an answer that was cut off may not.
    pub counts: bool,
}

/// The policy loss and what aggregates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyLoss {
    pub kind: LossKind,
    pub beta: f64,
    pub epsilon_low: f64,
    pub epsilon_high: f64,
    /// Answers of the whole step.
    pub answers: usize,
    /// Tokens of the whole step that teach.
    pub tokens: usize,
    /// Micro-batches of the whole step.
    pub micro_batches: usize,
    /// Tokens that an answer may have.
    pub max_length: usize,
}

/// Sums over tokens that teach; to be divided by [`Self::tokens`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyStats {
    pub loss: f64,
    pub kl: f64,
    /// Tokens clipped from below, whose advantage is negative.
    pub clipped_low: f64,
    /// Tokens clipped from above, whose advantage is positive.
    pub clipped_high: f64,
    pub tokens: usize,
}

impl PolicyStats {
    /// Adds another sum.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.kl += other.kl;
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
        self.tokens += other.tokens;
    }
}

impl PolicyLoss {
    /// The loss of one micro-batch, its slope by each token's `new`, and what there is to report. Losses
    /// of all micro-batches of a step add up to that of the step.
    #[must_use]
    pub fn of(&self, answers: &[Tokens<'_>]) -> (PolicyStats, Vec<Vec<f64>>) {
        let here: usize = answers.iter().filter(|a| a.counts).map(|a| a.new.len()).sum();
        let mut stats = PolicyStats { tokens: here, ..PolicyStats::default() };
        let mut slopes = Vec::with_capacity(answers.len());
        for answer in answers {
            let weight = if answer.counts { self.weight(answer.new.len(), here) } else { 0.0 };
            let mut slope = vec![0.0; answer.new.len()];
            if weight > 0.0 {
                for (at, slope) in slope.iter_mut().enumerate() {
                    *slope = weight * self.token(answer, at, weight, &mut stats);
                }
            }
            slopes.push(slope);
        }
        (stats, slopes)
    }

    /// What a token of an answer of `length` tokens weighs, in a micro-batch of `here` tokens.
    fn weight(&self, length: usize, here: usize) -> f64 {
        let parts = match self.kind {
            LossKind::Grpo => self.answers * length,
            LossKind::Bnpo => here * self.micro_batches,
            LossKind::Dapo => self.tokens,
            LossKind::DrGrpo => self.answers * self.max_length,
        };
        1.0 / parts.max(1) as f64
    }

    /// Adds one token to the statistics; the slope of its loss by its log-probability.
    fn token(&self, answer: &Tokens<'_>, at: usize, weight: f64, stats: &mut PolicyStats) -> f64 {
        let (new, advantage) = (answer.new[at], answer.advantage);
        let ratio = (new - answer.old[at]).exp();
        let clipped = ratio.clamp(1.0 - self.epsilon_low, 1.0 + self.epsilon_high);
        let mut loss = -(ratio * advantage).min(clipped * advantage);
        // Where the clipped one is the smaller, the ratio has no say. At equality it has.
        let mut slope = if ratio * advantage <= clipped * advantage { -ratio * advantage } else { 0.0 };
        stats.clipped_low += f64::from(u8::from(ratio < 1.0 - self.epsilon_low && advantage < 0.0));
        stats.clipped_high += f64::from(u8::from(ratio > 1.0 + self.epsilon_high && advantage > 0.0));
        if self.beta > 0.0 {
            // The estimator k3 of Schulman (2020): e^d − d − 1 with d = reference − new.
            let apart = answer.reference[at] - new;
            let kl = apart.exp() - apart - 1.0;
            stats.kl += kl;
            loss += self.beta * kl;
            slope += self.beta * (1.0 - apart.exp());
        }
        stats.loss += weight * loss;
        slope
    }
}
