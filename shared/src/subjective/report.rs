//! A study at one glance: items, subjects, agreement, and who was left out and why.

use serde::{Deserialize, Serialize};

use super::agreement::{self, Agreement, Level};
use super::bt500::{self, Bt500};
use super::mos::{Interval, ItemMos, mos};
use super::p910::{self, ItemQuality, P910};
use super::pearson::{self, Pearson};
use super::{Ratings, Scale};

/// Whose votes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Screening {
    /// Everybody's.
    #[default]
    None,
    /// Without those whom ITU-R BT.500-14 rejects.
    Bt500,
    /// Without those whose votes do not correlate with the MOS, by ITU-T P.913.
    Pearson,
    /// Everybody's, freed of each subject's bias, the consistent weighing more: the model of ITU-T P.910.
    BiasCorrected,
}

/// How the items' intervals were made; all are of 95 % and clipped to the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// Student's t.
    ClippedT,
    /// The normal distribution, as SUREAL does for the model of P.910.
    ClippedNormal,
}

/// Everything about a study's votes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    pub screening: Screening,
    pub interval_method: IntervalMethod,
    /// The study's scale.
    pub scale: Scale,
    /// After screening, in the caller's order. Under `bias_corrected`, `mos` is the model's quality, clipped
    /// to the scale, and `deviation` that of the votes from what the model expects.
    pub items: Vec<ItemMos>,
    /// In the caller's order; what is said of them is of all votes, before anybody is left out.
    pub subjects: Vec<SubjectReport>,
    /// Of the raw votes of those who were not left out.
    pub agreement: Agreement,
    /// Steps of the model of P.910, and whether they came to an end.
    pub iterations: usize,
    pub converged: bool,
}

/// One subject, by every rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubjectReport {
    /// Number of votes.
    pub n: usize,
    /// How much milder than the mean of the subjects (P.910).
    pub bias: Option<f64>,
    /// Standard deviation of the votes from quality plus bias (P.910).
    pub inconsistency: Option<f64>,
    /// With the MOS of all.
    pub correlation: Option<f64>,
    /// What BT.500 says, whether it was chosen or not.
    pub bt500: Bt500,
    /// What the correlation says, whether it was chosen or not.
    pub pearson: Pearson,
    /// Whether the chosen screening leaves the subject out.
    pub left_out: bool,
    /// What the chosen screening says, for people.
    pub reason: String,
}

/// Reports on a study. `resamples` of the items make α's interval (1000 are usual); equal seeds give equal
/// reports.
#[must_use]
pub fn report(ratings: &Ratings, screening: Screening, level: Level, resamples: usize, seed: u64) -> Report {
    let model = p910::fit(ratings);
    let subjects: Vec<SubjectReport> = subjects(ratings, &model, screening);
    let kept = ratings.without(|subject| subjects[subject].left_out);
    let (items, interval_method) = match screening {
        Screening::BiasCorrected => {
            let item = |item: &ItemQuality| corrected(item, ratings.scale());
            (model.items.iter().map(item).collect(), IntervalMethod::ClippedNormal)
        }
        Screening::None | Screening::Bt500 | Screening::Pearson => (mos(&kept), IntervalMethod::ClippedT),
    };
    Report {
        screening,
        interval_method,
        scale: ratings.scale(),
        items,
        subjects,
        agreement: agreement::alpha_with_interval(&kept, level, resamples, seed),
        iterations: model.iterations,
        converged: model.converged,
    }
}

fn subjects(ratings: &Ratings, model: &P910, screening: Screening) -> Vec<SubjectReport> {
    let verdicts = bt500::screen(ratings).into_iter().zip(pearson::screen(ratings));
    let subject = |(behaviour, (bt500, pearson)): (&p910::SubjectBehaviour, (Bt500, Pearson))| {
        let (left_out, reason) = match screening {
            Screening::None => (false, "no screening was chosen".to_owned()),
            Screening::Bt500 => (bt500.rejected, bt500.reason.clone()),
            Screening::Pearson => (pearson.rejected, pearson.reason.clone()),
            Screening::BiasCorrected => (false, weighed(behaviour)),
        };
        SubjectReport {
            n: behaviour.n,
            bias: behaviour.bias,
            inconsistency: behaviour.inconsistency,
            correlation: pearson.correlation,
            bt500,
            pearson,
            left_out,
            reason,
        }
    };
    model.subjects.iter().zip(verdicts).map(subject).collect()
}

fn weighed(behaviour: &p910::SubjectBehaviour) -> String {
    match (behaviour.bias, behaviour.inconsistency) {
        (Some(bias), Some(inconsistency)) => {
            let word = if bias < 0.0 { "stricter" } else { "milder" };
            let bias = bias.abs();
            format!(
                "kept; {bias:.2} {word} than the mean subject, which was corrected; inconsistency {inconsistency:.2}, \
                 and a vote weighs by the inverse of its square"
            )
        }
        (Some(_), None) => "kept; a single vote tells nothing of bias and inconsistency".to_owned(),
        (None, _) => "no votes".to_owned(),
    }
}

fn corrected(item: &ItemQuality, scale: Scale) -> ItemMos {
    let clip = |value: f64| value.clamp(scale.low, scale.high);
    let interval = item.interval.map(|i| Interval { low: clip(i.low), high: clip(i.high) });
    ItemMos { mos: item.quality.map(clip), n: item.n, deviation: item.deviation, interval }
}
