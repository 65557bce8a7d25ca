//! Advantages and policy losses against TRL, on the same rewards and log-probabilities.

use qponder_pipeline::train::grpo::policy::{PolicyLoss, Tokens, advantages};
use qponder_shared::recipe::{LossKind, RewardScale};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Fixture {
    group: usize,
    max_length: usize,
    advantages: Vec<Scaled>,
    new: Vec<Vec<f64>>,
    old: Vec<Vec<f64>>,
    reference: Vec<Vec<f64>>,
    losses: Vec<Loss>,
}

#[derive(Deserialize)]
struct Scaled {
    rewards: Vec<f64>,
    scale: String,
    advantages: Vec<f64>,
    zero_variance: f64,
}

#[derive(Deserialize)]
struct Loss {
    loss: String,
    beta: f64,
    epsilon_low: f64,
    epsilon_high: f64,
    value: f64,
    slopes: Vec<Vec<f64>>,
    metrics: std::collections::BTreeMap<String, f64>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/trl/policy.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture")).expect("its fields")
}

fn named<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(name.into()).expect(name)
}

#[track_caller]
fn assert_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-5, "{what}: {found}, TRL has {expected}");
}

#[test]
fn advantages_are_those_of_trl() {
    let fixture = fixture();
    for case in &fixture.advantages {
        let ours = advantages(&case.rewards, fixture.group, named::<RewardScale>(&case.scale));
        for (ours, theirs) in ours.values.iter().zip(&case.advantages) {
            assert_near(*ours, *theirs, &case.scale);
        }
        assert_near(ours.zero_variance, case.zero_variance, "share without variance");
    }
}

#[test]
fn losses_slopes_and_metrics_are_those_of_trl() {
    let fixture = fixture();
    let given = &fixture.advantages[3];
    assert_eq!(given.scale, "group");
    let answers: Vec<Tokens<'_>> = (0..fixture.new.len())
        .map(|i| Tokens {
            new: &fixture.new[i],
            old: &fixture.old[i],
            reference: &fixture.reference[i],
            advantage: given.advantages[i],
            counts: true,
        })
        .collect();
    let tokens = fixture.new.iter().map(Vec::len).sum();
    for case in &fixture.losses {
        let name = format!("{} with beta {}", case.loss, case.beta);
        let loss = PolicyLoss {
            kind: named::<LossKind>(&case.loss),
            beta: case.beta,
            epsilon_low: case.epsilon_low,
            epsilon_high: case.epsilon_high,
            answers: answers.len(),
            tokens,
            micro_batches: 1,
            max_length: fixture.max_length,
        };
        let (stats, slopes) = loss.of(&answers);
        assert_near(stats.loss, case.value, &name);
        for (ours, theirs) in slopes.iter().flatten().zip(case.slopes.iter().flatten()) {
            assert_near(*ours, *theirs, &name);
        }
        let mean = |sum: f64| sum / stats.tokens as f64;
        assert_near(mean(stats.clipped_low), case.metrics["clip_ratio/low_mean"], &name);
        assert_near(mean(stats.clipped_high), case.metrics["clip_ratio/high_mean"], &name);
        let clipped = stats.clipped_low + stats.clipped_high;
        assert_near(mean(clipped), case.metrics["clip_ratio/region_mean"], &name);
        if case.beta > 0.0 {
            assert_near(mean(stats.kl), case.metrics["kl"], &name);
        }

        // Cut into micro-batches of one group each, the losses add up; by definition not so for bnpo.
        if loss.kind != LossKind::Bnpo {
            let parts: f64 = answers.chunks(fixture.group).map(|part| loss.of(part).0.loss).sum();
            assert_near(parts, case.value, &name);
        }
    }
}

#[test]
fn an_answer_that_does_not_count_changes_nothing() {
    let fixture = fixture();
    let tokens = |i: usize, counts| Tokens {
        new: &fixture.new[i],
        old: &fixture.old[i],
        reference: &[],
        advantage: 1.0,
        counts,
    };
    let loss = PolicyLoss {
        kind: LossKind::Dapo,
        beta: 0.0,
        epsilon_low: 0.2,
        epsilon_high: 0.2,
        answers: 2,
        tokens: fixture.new[0].len(),
        micro_batches: 1,
        max_length: fixture.max_length,
    };
    let (alone, _) = loss.of(&[tokens(0, true)]);
    let (both, slopes) = loss.of(&[tokens(0, true), tokens(1, false)]);
    assert_eq!(alone, both);
    assert!(slopes[1].iter().all(|slope| *slope == 0.0));
    // All cut off: nothing to divide by, and still numbers.
    let none = PolicyLoss { tokens: 0, ..loss }.of(&[tokens(0, false)]).0;
    assert_eq!((none.loss, none.tokens), (0.0, 0));
}
