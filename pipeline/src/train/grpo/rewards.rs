//! What an answer is worth.
//!
//! Every term lies in 0 to 1 and is logged by its name; the recipe's weights join them. The judge's term comes from
//! outside and is in `verdicts`.

use std::collections::HashSet;

use qponder_shared::grammar::{self, Fault, Response};
use qponder_shared::recipe::{Rewards, ScoreReward};
use qponder_shared::{Attribute, Distortion, Level};
use serde::Serialize;

use crate::teacher;
use crate::train::data::Item;

/// A sampled answer.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    pub text: &'a str,
    /// Token ids, without the one that ends the answer.
    pub ids: &'a [u32],
}

/// The answers to one image.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What the score should be.
    pub label: f64,
    /// The distortions that the image is known to have; `None` where that is not known.
    pub distortions: Option<&'a [Distortion]>,
    pub answers: Vec<Sampled<'a>>,
}

/// The rewards of one answer, before the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Terms {
    pub format: f64,
    pub score: f64,
    pub consistency: f64,
    pub distortion: f64,
    /// A penalty.
    pub repetition: f64,
    /// A penalty.
    pub length: f64,
}

impl Terms {
    /// Names and values, in the order of the recipe.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f64); 6] {
        [
            ("format", self.format),
            ("score", self.score),
            ("consistency", self.consistency),
            ("distortion", self.distortion),
            ("repetition", self.repetition),
            ("length", self.length),
        ]
    }

    /// The reward.
    #[must_use]
    pub fn total(&self, weights: &Rewards) -> f64 {
        weights.format * self.format
            + weights.score * self.score
            + weights.consistency * self.consistency
            + weights.distortion * self.distortion
            - weights.repetition * self.repetition
            - weights.length * self.length
    }
}

/// The score that the worst attribute's level implies: a rising map of the five levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LevelMap([f64; 5]);

/// How far from the implied score an answer's score may be before half of the agreement is lost, in
/// points: `0.5^(|difference| / TOLERANCE)`.
const TOLERANCE: f64 = 0.5;

impl LevelMap {
    /// Fits the map to answers with their scores by isotonic regression (pool adjacent violators); a level
    /// that none of them has as its worst keeps its value on the scale.
    #[must_use]
    pub fn fit(answers: impl IntoIterator<Item = (Level, f64)>) -> Self {
        let mut sums = [(0.0, 0.0); 5];
        for (level, score) in answers {
            let (sum, count) = &mut sums[Self::index(level)];
            *sum += score;
            *count += 1.0;
        }
        // A weak prior keeps the levels nobody used where they belong.
        const PRIOR: f64 = 0.01;
        let mut blocks: Vec<(f64, f64, usize)> = Vec::with_capacity(5);
        for (level, (sum, count)) in Level::ALL.into_iter().zip(sums) {
            let weight = count + PRIOR;
            blocks.push(((sum + PRIOR * level.value()) / weight, weight, 1));
            while let [.., (low, low_weight, low_size), (high, weight, size)] = blocks.as_slice()
                && low > high
            {
                let joined = (
                    (low * low_weight + high * weight) / (low_weight + weight),
                    low_weight + weight,
                    low_size + size,
                );
                blocks.truncate(blocks.len() - 2);
                blocks.push(joined);
            }
        }
        let mut map = [0.0; 5];
        let values = blocks.iter().flat_map(|&(value, _, size)| std::iter::repeat_n(value, size));
        map.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
        Self(map)
    }

    /// Fits the map to what the teacher says of labelled images.
    #[must_use]
    pub fn of_items(items: &[Item]) -> Self {
        let judged = items.iter().enumerate().filter_map(|(seed, item)| {
            let label = item.row.label.value();
            let score = qponder_shared::Score::clamped(label)?;
            let written = || teacher::write(&item.row.distortions, score, seed as u64);
            let text = item.row.answer.clone().or_else(|| item.row.distortions_known().then(written))?;
            Some((worst(&grammar::parse(&text))?, label))
        });
        Self::fit(judged)
    }

    fn index(level: Level) -> usize {
        Level::ALL.iter().position(|&other| other == level).unwrap_or(0)
    }

    /// The implied score.
    #[must_use]
    pub fn score(&self, worst: Level) -> f64 {
        self.0[Self::index(worst)]
    }
}

/// The level of the attribute that is judged worst.
#[must_use]
pub fn worst(response: &Response) -> Option<Level> {
    let levels = response.attributes.iter().filter_map(|observation| observation.level);
    levels.min_by(|a, b| a.value().total_cmp(&b.value()))
}

/// Computes rewards.
#[derive(Clone, Debug)]
pub struct Rewarder {
    pub rewards: Rewards,
    pub levels: LevelMap,
    pub max_new_tokens: usize,
}

impl Rewarder {
    /// The rewards of every answer of every group. Groups matter to each other only for the fidelity
    /// reward, which compares each answer with the other images of the step.
    #[must_use]
    pub fn terms(&self, groups: &[Group<'_>]) -> Vec<Vec<Terms>> {
        let responses: Vec<Vec<Response>> = groups
            .iter()
            .map(|group| group.answers.iter().map(|answer| grammar::parse(answer.text)).collect())
            .collect();
        let scores: Vec<Vec<Option<f64>>> = responses
            .iter()
            .map(|group| group.iter().map(|response| response.score.map(|s| s.get())).collect())
            .collect();
        groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let terms = |(at, answer): (usize, &Sampled<'_>)| {
                    let response = &responses[index][at];
                    Terms {
                        format: f64::from(u8::from(response.is_well_formed())),
                        score: self.score(groups, &scores, index, at),
                        consistency: consistency(&self.levels, response),
                        distortion: group.distortions.map_or(0.0, |truth| distortion(truth, answer.text)),
                        repetition: repetition(answer.ids),
                        length: self.length(answer.ids.len()),
                    }
                };
                group.answers.iter().enumerate().map(terms).collect()
            })
            .collect()
    }

    fn score(&self, groups: &[Group<'_>], scores: &[Vec<Option<f64>>], index: usize, at: usize) -> f64 {
        let Some(score) = scores[index][at] else { return 0.0 };
        let label = groups[index].label;
        let error = (score - label).abs();
        match self.rewards.score_kind {
            ScoreReward::Continuous => continuous(error, self.rewards.score_scale),
            ScoreReward::Threshold => f64::from(u8::from(error < self.rewards.score_scale)),
            ScoreReward::Squared => (1.0 - (error / self.rewards.score_scale).powi(2)).max(0.0),
            ScoreReward::Fidelity => {
                let own = moments(&scores[index]);
                let others = (0..groups.len()).filter(|&other| other != index);
                let fidelities: Vec<f64> = others
                    .filter_map(|other| {
                        let (mean, variance) = moments(&scores[other])?;
                        let (_, own_variance) = own?;
                        Some(fidelity(
                            score - mean,
                            own_variance + variance,
                            label.total_cmp(&groups[other].label),
                        ))
                    })
                    .collect();
                fidelities.iter().sum::<f64>() / fidelities.len().max(1) as f64
            }
        }
    }

    /// 0 up to half of the tokens, 1 at all of them.
    fn length(&self, tokens: usize) -> f64 {
        let half = self.max_new_tokens as f64 / 2.0;
        ((tokens as f64 - half) / half).clamp(0.0, 1.0)
    }
}

/// The terms that can be told of a single answer: format, the continuous score reward where there is a label, and
/// consistency. `scale` is that of the recipe's `score_scale`.
#[must_use]
pub fn terms_alone(text: &str, label: Option<f64>, levels: &LevelMap, scale: f64) -> (f64, Option<f64>, f64) {
    let response = grammar::parse(text);
    let score = |label: f64| response.score.map_or(0.0, |score| continuous(score.get() - label, scale));
    (f64::from(u8::from(response.is_well_formed())), label.map(score), consistency(levels, &response))
}

/// 1 without an error, 1/e at an error of `scale` points.
fn continuous(error: f64, scale: f64) -> f64 {
    (-error.abs() / scale).exp()
}

/// Half for a score that the worst attribute implies, a quarter for judging every attribute once, a
/// quarter for levels that do not contradict their words.
fn consistency(levels: &LevelMap, response: &Response) -> f64 {
    let count = Attribute::ALL.len() as f64;
    let agreement = match (response.score, worst(response)) {
        (Some(score), Some(worst)) => 0.5_f64.powf((levels.score(worst) - score.get()).abs() / TOLERANCE),
        _ => 0.0,
    };
    let repeated =
        response.faults.iter().filter(|f| matches!(f, Fault::RepeatedAttribute { .. })).count() as f64;
    let judged = response.attributes.iter().filter(|o| o.level.is_some()).count() as f64;
    let once = ((judged - repeated) / count).max(0.0);
    let sound = response.attributes.iter().filter(|o| {
        let is_named = teacher::named_distortion(&o.text).is_some();
        o.level.is_some_and(|level| !is_named || level != Level::Excellent)
    });
    0.5 * agreement + 0.25 * once + 0.25 * sound.count() as f64 / count
}

/// Mean and variance of the scores that could be read.
fn moments(scores: &[Option<f64>]) -> Option<(f64, f64)> {
    let known: Vec<f64> = scores.iter().copied().flatten().collect();
    let count = known.len() as f64;
    let mean = known.iter().sum::<f64>() / count;
    (!known.is_empty()).then(|| (mean, known.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / count))
}

/// The fidelity of "the first is better by `difference`" under Thurstone's model, where the labels say
/// `truth` (Wu et al., 2025, "VisualQuality-R1").
fn fidelity(difference: f64, variance: f64, truth: std::cmp::Ordering) -> f64 {
    /// Keeps the comparison soft where both groups agree within themselves.
    const LEAST_VARIANCE: f64 = 0.01;
    let z = difference / (variance + LEAST_VARIANCE).sqrt();
    let p = 0.5 * (1.0 + libm::erf(z / std::f64::consts::SQRT_2));
    let truth: f64 = match truth {
        std::cmp::Ordering::Less => 0.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0,
    };
    (p * truth).sqrt() + ((1.0 - p) * (1.0 - truth)).sqrt()
}

/// A quarter for the distortion, three quarters for its severity when the distortion is right
/// (Q-Insight). An image without one is right when none is named; with several, any may be named.
fn distortion(truth: &[Distortion], text: &str) -> f64 {
    let named = teacher::named_distortion(text);
    if truth.is_empty() {
        return f64::from(u8::from(named.is_none()));
    }
    let Some((kind, severity)) = named else { return 0.0 };
    let found = truth.iter().find(|distortion| distortion.kind == kind);
    found.map_or(0.0, |found| if severity == Some(found.level) { 1.0 } else { 0.25 })
}

/// Share of 4-grams that stand earlier in the answer.
fn repetition(ids: &[u32]) -> f64 {
    const LENGTH: usize = 4;
    let mut seen = HashSet::new();
    let repeated = ids.windows(LENGTH).filter(|gram| !seen.insert(*gram)).count();
    repeated as f64 / ids.len().saturating_sub(LENGTH - 1).max(1) as f64
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use qponder_shared::{DistortionKind, Score, Severity};

    use super::*;

    const BLUR: Distortion = Distortion { kind: DistortionKind::GaussianBlur, level: Severity::ALL[2] };

    fn rewarder(rewards: Rewards) -> Rewarder {
        Rewarder { rewards, levels: LevelMap([1.0, 2.0, 3.0, 4.0, 5.0]), max_new_tokens: 8 }
    }

    fn written(score: f64) -> String {
        teacher::write(&[BLUR], Score::clamped(score).unwrap_or(Score::MIN), 1)
    }

    fn group<'a>(label: f64, texts: &[&'a str]) -> Group<'a> {
        let answers = texts.iter().map(|text| Sampled { text, ids: &[] }).collect();
        Group { label, distortions: Some(&[BLUR]), answers }
    }

    #[test]
    fn a_good_answer_has_every_reward_and_garbage_none() {
        let good = written(3.0);
        let found = rewarder(Rewards::default()).terms(&[group(3.0, &[&good, "</answer> 7"])]);
        let [good, bad] = found[0][..] else { panic!("two answers") };
        let best = Terms { format: 1.0, score: 1.0, consistency: 1.0, distortion: 1.0, ..Terms::default() };
        assert_eq!((good, bad), (best, Terms::default()));
        let weights = Rewards { repetition: 2.0, ..Rewards::default() };
        assert!((best.total(&weights) - 2.25).abs() < 1e-12);
        assert!((Terms { repetition: 0.5, ..best }.total(&weights) - 1.25).abs() < 1e-12);
    }

    #[test]
    fn a_single_answer_has_the_terms_that_it_has_in_its_group() {
        let rewarder = rewarder(Rewards::default());
        for text in [written(3.2), "</answer> 7".to_owned()] {
            let found = rewarder.terms(&[group(3.0, &[&text])])[0][0];
            let alone = terms_alone(&text, Some(3.0), &rewarder.levels, rewarder.rewards.score_scale);
            assert_eq!(alone, (found.format, Some(found.score), found.consistency));
            assert_eq!(terms_alone(&text, None, &rewarder.levels, 1.0).1, None);
        }
    }

    #[test]
    fn the_score_counts_by_its_kind() {
        let (near, far) = (written(3.2), written(4.5));
        let groups = [group(3.0, &[&near, &far])];
        let of = |kind| {
            let rewards = Rewards { score_kind: kind, score_scale: 0.35, ..Rewards::default() };
            rewarder(rewards).terms(&groups)[0].iter().map(|terms| terms.score).collect::<Vec<_>>()
        };
        assert_eq!(of(ScoreReward::Threshold), [1.0, 0.0]);
        let continuous = of(ScoreReward::Continuous);
        assert!((continuous[0] - (-0.2_f64 / 0.35).exp()).abs() < 1e-9 && continuous[1] < 0.02);
        let squared = of(ScoreReward::Squared);
        assert!((squared[0] - (1.0 - (0.2_f64 / 0.35).powi(2))).abs() < 1e-9 && squared[1] == 0.0);
    }

    #[test]
    fn fidelity_is_one_for_the_right_order_and_half_for_ties() {
        assert!(fidelity(2.0, 0.0, Ordering::Greater) > 0.99);
        assert!(fidelity(2.0, 0.0, Ordering::Less) < 0.01);
        assert!((fidelity(0.0, 1.0, Ordering::Equal) - 1.0).abs() < 1e-12);
        let (low, high) = (written(2.0), written(4.0));
        let rewards = Rewards { score_kind: ScoreReward::Fidelity, ..Rewards::default() };
        let found = rewarder(rewards).terms(&[group(2.0, &[&low, &high]), group(3.0, &[&written(3.0)])]);
        assert!(found[0][0].score > found[0][1].score, "{found:?}");
    }

    #[test]
    fn consistency_falls_with_a_score_that_the_levels_do_not_imply() {
        let honest = written(2.0);
        let other = honest.replace("<answer>2.00", "<answer>4.50");
        assert_ne!(honest, other);
        let found = rewarder(Rewards::default()).terms(&[group(2.0, &[&honest, &other])]);
        assert_eq!(found[0][0].consistency, 1.0);
        assert!((found[0][1].consistency - (0.5 + 0.5 * 0.5_f64.powf(5.0))).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn the_level_map_rises_and_pools_what_does_not() {
        let map = LevelMap::fit([(Level::Bad, 2.0), (Level::Poor, 1.0), (Level::Good, 3.9)]);
        assert!(map.0.is_sorted(), "{map:?}");
        assert!((map.0[0] - map.0[1]).abs() < 1e-9 && (map.score(Level::Good) - 3.9).abs() < 0.01);
        assert!((map.score(Level::Fair) - 3.0).abs() < 1e-9, "nobody used it");
    }

    #[test]
    fn penalties_grow_with_repetition_and_length() {
        assert_eq!(repetition(&[1, 2, 3, 4, 5, 6]), 0.0);
        assert!(repetition(&[1; 20]) > 0.9);
        let rewarder = rewarder(Rewards::default());
        assert_eq!([rewarder.length(4), rewarder.length(6), rewarder.length(8)], [0.0, 0.5, 1.0]);
    }
}
