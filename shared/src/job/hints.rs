//! What the numbers of a training say of it, each with the number behind it.
//!
//! They are findings for people, not verdicts: limits are rules of thumb, and each is named where it is used.

use super::MetricPart;

/// Steps of which a mean is taken.
const WINDOW: usize = 10;
/// Steps before which nothing is said.
const EARLY: usize = 20;

/// Numbers over steps, oldest first.
pub type Line = Vec<(u64, f64)>;

/// Findings about a training, the most urgent first; nothing where all is well or it is too early to say.
///
/// `line` gives the numbers of a name, in the order of their steps.
#[must_use]
pub fn hints(line: impl Fn(MetricPart, &str) -> Line) -> Vec<String> {
    let train = |name: &str| -> Vec<f64> {
        let numbers = line(MetricPart::Train, name).into_iter().map(|(_, value)| value);
        numbers.filter(|value| value.is_finite()).collect()
    };
    let checks = [
        reading(&line),
        ranking(&line),
        flat_reward(&train("reward")),
        no_variance(&train("frac_reward_zero_std")),
        truncated(&train("completions/clipped_ratio")),
        drift(&train("kl")),
        collapse(&train("entropy")),
        spikes(&train("grad_norm")),
        rising_loss(&train("loss"), train("reward").is_empty()),
    ];
    checks.into_iter().flatten().collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Mean and the square of its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let (mean, n) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n * (n - 1.0)).max(1.0))
}

/// The first and the last third, where there are enough.
fn thirds(values: &[f64]) -> Option<(&[f64], &[f64])> {
    let third = values.len() / 3;
    (values.len() >= EARLY).then(|| (&values[..third], &values[values.len() - third..]))
}

fn newest(values: &[f64]) -> Option<f64> {
    (values.len() >= WINDOW).then(|| mean(&values[values.len() - WINDOW..]))
}

/// The reward did not rise by more than two standard errors.
fn flat_reward(reward: &[f64]) -> Option<String> {
    let (first, last) = thirds(reward)?;
    let ((before, error), (after, other)) = (mean_and_error(first), mean_and_error(last));
    let error = (error + other).sqrt();
    (after - before <= 2.0 * error).then(|| {
        format!(
            "The reward has not risen for certain: {before:.3} over the first third of the steps, {after:.3} over the last \
             (standard error of the difference {error:.3}).",
        )
    })
}

/// In more than half of the groups all answers had the same reward.
fn no_variance(share: &[f64]) -> Option<String> {
    let share = newest(share).filter(|share| *share > 0.5)?;
    Some(format!(
        "In {:.0} % of the groups of the {WINDOW} newest steps shown all answers had the same reward, so nothing is learned \
         from them: a higher temperature, larger groups or harder images make them differ.",
        100.0 * share
    ))
}

/// More than a tenth of the answers is cut off.
fn truncated(share: &[f64]) -> Option<String> {
    let share = newest(share).filter(|share| *share > 0.1)?;
    Some(format!(
        "{:.0} % of the answers of the {WINDOW} newest steps shown were cut off: raise rollout.max_new_tokens.",
        100.0 * share
    ))
}

/// KL above 0.2 and three times what it was in the first third.
fn drift(kl: &[f64]) -> Option<String> {
    let (first, _) = thirds(kl)?;
    let (before, now) = (mean(first), newest(kl)?);
    (now > 0.2 && now > 3.0 * before).then(|| {
        format!(
            "The policy moves away from where it began: KL {now:.3} over the {WINDOW} newest steps shown, {before:.3} at first. A lower \
             learning rate or a larger train.beta holds it."
        )
    })
}

/// Entropy below a fifth of what it was.
fn collapse(entropy: &[f64]) -> Option<String> {
    let (first, _) = thirds(entropy)?;
    let (before, now) = (mean(first), newest(entropy)?);
    (now < 0.2 * before).then(|| {
        format!("The answers hardly differ any more: entropy {now:.3} over the {WINDOW} newest steps shown, {before:.3} at first.")
    })
}

/// A gradient of the last steps is over ten times the median.
fn spikes(norm: &[f64]) -> Option<String> {
    if norm.len() < EARLY {
        return None;
    }
    let mut sorted = norm.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let largest = norm[norm.len() - WINDOW..].iter().copied().fold(0.0, f64::max);
    (largest > 10.0 * median).then(|| {
        format!(
            "A gradient of the {WINDOW} newest steps shown had a norm of {largest:.2}, where {median:.2} is usual."
        )
    })
}

/// The loss of supervised training is higher than at first.
fn rising_loss(loss: &[f64], is_supervised: bool) -> Option<String> {
    let (first, last) = thirds(loss).filter(|_| is_supervised)?;
    let ((before, error), (after, other)) = (mean_and_error(first), mean_and_error(last));
    (after - before > 2.0 * (error + other).sqrt()).then(|| {
        format!("The loss rises: {before:.3} over the first third of the steps, {after:.3} over the last. Try a lower learning rate.")
    })
}

/// More than one answer in fifty of the newest validation cannot be read, and more than in the first.
fn reading(line: &impl Fn(MetricPart, &str) -> Line) -> Option<String> {
    let (failures, images) =
        (line(MetricPart::Validation, "parse_failures"), line(MetricPart::Validation, "reasoning_images"));
    let share = |at: usize| {
        let ((step, failed), (_, images)) = (failures.get(at)?, images.get(at)?);
        (*images > 0.0).then(|| (*step, failed / images))
    };
    let ((_, before), (step, now)) = (share(0)?, share(failures.len().checked_sub(1)?)?);
    (now > 0.02 && now > before).then(|| {
        format!(
            "{:.0} % of the answers on held-out images could not be read at step {step}, {:.0} % at first.",
            100.0 * now,
            100.0 * before
        )
    })
}

/// SRCC on held-out images is 0.02 below its best.
fn ranking(line: &impl Fn(MetricPart, &str) -> Line) -> Option<String> {
    let falls = |name: &str, words: &str| {
        let line = line(MetricPart::Validation, name);
        let (step, now) = line.last().copied()?;
        let best = line.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1))?;
        (now < best.1 - 0.02).then(|| {
            format!(
                "SRCC of {words} on held-out images fell: {:.3} at step {}, {now:.3} at step {step}.",
                best.1, best.0
            )
        })
    };
    falls("reasoning_srcc", "the reasoning").or_else(|| falls("srcc", "quick mode"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, its number at each step, and the words of what is found, if anything is.
    type Case<'a> = (&'a str, &'a dyn Fn(f64) -> f64, Option<&'a str>);

    /// Findings about a training with these numbers, and nothing else.
    fn of(part: MetricPart, lines: &[(&str, &dyn Fn(f64) -> f64)]) -> Vec<String> {
        hints(|asked, name| {
            let found = lines.iter().find(|(known, _)| *known == name && asked == part);
            found
                .map(|(_, value)| (1..=40).map(|step| (step, value(step as f64))).collect())
                .unwrap_or_default()
        })
    }

    #[test]
    fn what_goes_wrong_is_found_with_its_number_and_what_goes_well_is_not() {
        let wobble = |step: f64| (step * 2.4).sin();
        let cases: [Case<'_>; 12] = [
            ("reward", &|step| 2.0 + 0.02 * step + 0.1 * wobble(step), None),
            ("reward", &|step| 2.0 + 0.3 * wobble(step), Some("has not risen")),
            ("frac_reward_zero_std", &|_| 0.1, None),
            ("frac_reward_zero_std", &|step| step / 50.0, Some("71 % of the groups")),
            ("completions/clipped_ratio", &|_| 0.02, None),
            ("completions/clipped_ratio", &|_| 0.25, Some("25 % of the answers")),
            ("kl", &|_| 0.01, None),
            ("kl", &|step| 0.001 * step * step, Some("KL 1.2")),
            ("entropy", &|step| 1.0 - 0.01 * step, None),
            ("entropy", &|step| (-step / 8.0).exp(), Some("hardly differ")),
            ("grad_norm", &|step| if step == 38.0 { 40.0 } else { 1.0 }, Some("norm of 40.00")),
            ("loss", &|step| 0.5 + 0.01 * step, Some("The loss rises")),
        ];
        for (name, value, words) in cases {
            let found = of(MetricPart::Train, &[(name, value)]);
            match words {
                None => assert!(found.is_empty(), "{name}: {found:?}"),
                Some(words) => assert!(found.len() == 1 && found[0].contains(words), "{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn held_out_images_are_looked_at() {
        let falling: &dyn Fn(f64) -> f64 = &|step| if step < 20.0 { 0.7 } else { 0.6 };
        let found = of(MetricPart::Validation, &[("reasoning_srcc", falling)]);
        assert!(
            found.len() == 1 && found[0].contains("0.700") && found[0].contains("0.600 at step 40"),
            "{found:?}"
        );
        let unread: &dyn Fn(f64) -> f64 = &|step| step;
        let found =
            of(MetricPart::Validation, &[("parse_failures", unread), ("reasoning_images", &|_| 200.0)]);
        assert!(found.len() == 1 && found[0].contains("20 %"), "{found:?}");
    }

    #[test]
    fn early_or_empty_numbers_say_nothing() {
        assert!(hints(|_, _| Vec::new()).is_empty());
        for length in 1..EARLY as u64 {
            let found = hints(|part, name| match (part, name) {
                (MetricPart::Train, "reward" | "loss" | "kl" | "entropy" | "grad_norm") => {
                    (1..=length).map(|step| (step, f64::NAN)).collect()
                }
                _ => Vec::new(),
            });
            assert!(found.is_empty(), "{found:?}");
        }
    }
}
