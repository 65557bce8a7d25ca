//! Statistics of subjective studies against SUREAL, krippendorff, choix and scipy on the same votes, and
//! that none of them panics or gives NaN, whatever the votes.

use proptest::prelude::*;
use qponder_shared::subjective::agreement::{Level, alpha, alpha_with_interval};
use qponder_shared::subjective::model::against_mos;
use qponder_shared::subjective::mos::mos;
use qponder_shared::subjective::pairs::{Comparison, NoStrengths, bradley_terry, win_probability};
use qponder_shared::subjective::reliability::{gold_accuracy, repeat_consistency};
use qponder_shared::subjective::{
    BadRating, Rating, Ratings, Scale, Screening, bt500, p910, pearson, report,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Fixture {
    studies: Vec<Study>,
    pairs: Vec<Pairs>,
}

#[derive(Deserialize)]
struct Study {
    name: String,
    items: usize,
    subjects: usize,
    scale: (f64, f64),
    votes: Vec<(usize, usize, f64)>,
    /// Mean, votes, deviation, low, high.
    mos: Vec<(f64, usize, f64, f64, f64)>,
    bt500: Sureal,
    p910: Model,
    pearson: Correlations,
    alpha: Alpha,
    model: Predictions,
}

#[derive(Deserialize)]
struct Sureal {
    cells: f64,
    outlying: Vec<f64>,
    one_sided: Vec<Option<f64>>,
    rejected: Vec<bool>,
    mos: Vec<f64>,
}

#[derive(Deserialize)]
struct Model {
    quality: Vec<f64>,
    half: Vec<f64>,
    bias: Vec<f64>,
    inconsistency: Vec<f64>,
    iterations: usize,
}

#[derive(Deserialize)]
struct Correlations {
    correlations: Vec<f64>,
    dropped: Vec<usize>,
}

#[derive(Deserialize)]
struct Alpha {
    nominal: f64,
    ordinal: f64,
    interval: f64,
}

#[derive(Deserialize)]
struct Predictions {
    predictions: Vec<f64>,
    srcc: f64,
    plcc: f64,
    outlier_ratio: f64,
}

#[derive(Deserialize)]
struct Pairs {
    name: String,
    items: usize,
    comparisons: Vec<(usize, usize, u32, u32, u32)>,
    strengths: Vec<f64>,
    errors: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/subjective/statistics.json");
    let text = std::fs::read_to_string(path).expect("the fixture");
    serde_json::from_str(&text).expect("its fields")
}

fn rating(&(item, subject, score): &(usize, usize, f64)) -> Rating {
    Rating { item, subject, score }
}

impl Study {
    fn ratings(&self) -> Ratings {
        let scale = Scale { low: self.scale.0, high: self.scale.1 };
        let list = self.votes.iter().map(rating).collect();
        Ratings::new(list, self.items, self.subjects, scale).expect("votes on the scale")
    }
}

/// Compares with the peer, relative to its number where that is large, and keeps the largest difference.
struct Differences {
    study: String,
    tolerance: f64,
}

impl Differences {
    #[track_caller]
    fn check(&self, what: &str, pairs: impl IntoIterator<Item = (Option<f64>, f64)>) {
        let mut largest = 0.0_f64;
        for (at, (found, expected)) in pairs.into_iter().enumerate() {
            let found = found.unwrap_or_else(|| panic!("{}: {what} {at} exists", self.study));
            let difference = (found - expected).abs() / expected.abs().max(1.0);
            assert!(
                difference < self.tolerance,
                "{}: {what} {at}: {found}, the peer has {expected}",
                self.study
            );
            largest = largest.max(difference);
        }
        println!("{}: {what} differs by at most {largest:.1e}", self.study);
    }
}

fn within(tolerance: f64, study: &str) -> Differences {
    Differences { study: study.to_owned(), tolerance }
}

#[test]
fn mos_and_intervals_are_those_of_scipy() {
    for study in fixture().studies {
        let found = mos(&study.ratings());
        let close = within(1e-13, &study.name);
        close.check("MOS", found.iter().zip(&study.mos).map(|(f, e)| (f.mos, e.0)));
        close.check("deviation", found.iter().zip(&study.mos).map(|(f, e)| (f.deviation, e.2)));
        close.check("low", found.iter().zip(&study.mos).map(|(f, e)| (f.interval.map(|i| i.low), e.3)));
        close.check("high", found.iter().zip(&study.mos).map(|(f, e)| (f.interval.map(|i| i.high), e.4)));
        assert!(found.iter().zip(&study.mos).all(|(f, e)| f.n == e.1), "{}", study.name);
    }
}

#[test]
fn bt500_counts_as_sureal_and_rejects_whom_it_rejects_of_complete_studies() {
    let (mut rejections, mut departures) = (0, 0);
    for study in fixture().studies {
        let ratings = study.ratings();
        let peer = &study.bt500;
        let found = bt500::screen(&ratings);
        // Not equality: reading JSON may round the last bit.
        let close = within(1e-15, &study.name);
        let complete = study.votes.len() as f64 == peer.cells * study.subjects as f64;
        for (subject, verdict) in found.iter().enumerate() {
            let what = format!("{}: {subject}: {verdict:?}", study.name);
            let outside = peer.outlying[subject] * peer.cells;
            assert!(((verdict.above + verdict.below) as f64 - outside).abs() < 1e-9, "{what}");
            assert_eq!(verdict.one_sided.is_some(), peer.one_sided[subject].is_some(), "{what}");
            let one_sided = verdict.one_sided.zip(peer.one_sided[subject]);
            close.check("|P − Q| / (P + Q)", one_sided.map(|(found, peer)| (Some(found), peer)));
            if complete {
                close.check("(P + Q) / N", [(verdict.outlying, peer.outlying[subject])]);
                assert_eq!(verdict.rejected, peer.rejected[subject], "{what}");
                rejections += usize::from(verdict.rejected);
            } else {
                // By the subject's own votes, not by the cells that votes are missing from.
                let often = outside / ratings.of_subject(subject).len() as f64 > 0.05;
                let balanced = peer.one_sided[subject].is_some_and(|share| share < 0.3);
                assert_eq!(verdict.rejected, often && balanced, "{what}");
                departures += usize::from(verdict.rejected != peer.rejected[subject]);
            }
        }
        let kept = mos(&ratings.without(|subject| peer.rejected[subject]));
        let pairs = kept.iter().zip(&peer.mos).map(|(f, e)| (f.mos, *e));
        within(1e-13, &study.name).check("MOS after rejection", pairs);
    }
    assert_eq!((rejections, departures), (5, 1), "one who skipped votes passes SUREAL's larger denominator");
}

#[test]
fn the_p910_model_is_that_of_sureal() {
    for study in fixture().studies {
        let found = p910::fit(&study.ratings());
        let expected = &study.p910;
        assert!(found.converged);
        assert_eq!(found.iterations, expected.iterations, "{}", study.name);
        let close = within(1e-13, &study.name);
        close.check("quality", found.items.iter().zip(&expected.quality).map(|(f, e)| (f.quality, *e)));
        let half = |i: qponder_shared::subjective::Interval| (i.high - i.low) / 2.0;
        close.check(
            "half interval",
            found.items.iter().zip(&expected.half).map(|(f, e)| (f.interval.map(half), *e)),
        );
        close.check("bias", found.subjects.iter().zip(&expected.bias).map(|(f, e)| (f.bias, *e)));
        let inconsistencies = found.subjects.iter().zip(&expected.inconsistency);
        close.check("inconsistency", inconsistencies.map(|(f, e)| (f.inconsistency, *e)));
    }
}

#[test]
fn pearson_screening_follows_the_rule() {
    let studies = fixture().studies;
    assert!(studies.iter().any(|study| study.pearson.dropped.len() > 2));
    for study in studies {
        let found = pearson::screen(&study.ratings());
        let pairs = found.iter().zip(&study.pearson.correlations).map(|(f, e)| (f.correlation, *e));
        within(1e-14, &study.name).check("correlation", pairs);
        let mut dropped: Vec<(usize, usize)> =
            found.iter().enumerate().filter_map(|(subject, f)| Some((f.round?, subject))).collect();
        dropped.sort_unstable();
        let dropped: Vec<usize> = dropped.into_iter().map(|drop| drop.1).collect();
        assert_eq!(dropped, study.pearson.dropped, "{}", study.name);
        assert!(found.iter().all(|f| f.rejected == f.round.is_some()));
    }
}

#[test]
fn alpha_is_that_of_krippendorff() {
    for study in fixture().studies {
        let ratings = study.ratings();
        let close = within(1e-14, &study.name);
        let expected = &study.alpha;
        let levels = [
            (Level::Nominal, expected.nominal),
            (Level::Ordinal, expected.ordinal),
            (Level::Interval, expected.interval),
        ];
        close.check("α", levels.map(|(level, expected)| (alpha(&ratings, level), expected)));
        for (level, _) in levels {
            let agreement = alpha_with_interval(&ratings, level, 400, 3);
            let (alpha, interval) = agreement.alpha.zip(agreement.interval).expect("votes of two subjects");
            assert!(interval.low < interval.high, "{}: {agreement:?}", study.name);
            // Resampling repeats items, and with them nominal values that were all different.
            let fair = level != Level::Nominal || study.votes.iter().all(|vote| vote.2.fract() == 0.0);
            assert!(!fair || interval.contains(alpha), "{}: {agreement:?}", study.name);
            assert_eq!(agreement, alpha_with_interval(&ratings, level, 400, 3), "equal seeds");
        }
    }
}

#[test]
fn a_model_is_held_against_the_mos() {
    for study in fixture().studies {
        let predictions: Vec<Option<f64>> = study.model.predictions.iter().copied().map(Some).collect();
        let found = against_mos(&predictions, &mos(&study.ratings()));
        let expected = &study.model;
        within(1e-14, &study.name).check(
            "of the model: SRCC, PLCC, outlier ratio",
            [
                (found.srcc, expected.srcc),
                (found.plcc, expected.plcc),
                (found.outlier_ratio, expected.outlier_ratio),
            ],
        );
        assert_eq!((found.n, found.judged), (study.items, study.items));
    }
}

#[test]
fn strengths_are_those_of_choix() {
    for pairs in fixture().pairs {
        let comparison = |&(first, second, first_won, second_won, ties): &(usize, usize, u32, u32, u32)| {
            Comparison { first, second, first_won, second_won, ties }
        };
        let comparisons: Vec<Comparison> = pairs.comparisons.iter().map(comparison).collect();
        let found = bradley_terry(&comparisons, pairs.items).expect("connected");
        assert!(found.converged);
        let close = within(1e-13, &pairs.name);
        close
            .check("strength", found.items.iter().zip(&pairs.strengths).map(|(f, e)| (Some(f.strength), *e)));
        close.check("error", found.items.iter().zip(&pairs.errors).map(|(f, e)| (Some(f.error), *e)));
        assert!(found.items.iter().map(|item| item.strength).sum::<f64>().abs() < 1e-12);
    }
}

#[test]
fn two_items_have_the_odds_of_their_wins() {
    let comparison = Comparison { first: 1, second: 0, first_won: 5, second_won: 1, ties: 2 };
    let found = bradley_terry(&[comparison], 2).expect("connected");
    let p = win_probability(found.items[1].strength, found.items[0].strength);
    assert!((p - 6.0 / 8.0).abs() < 1e-12, "{found:?}");
    // The variance of ln odds is 1 / (n p (1 − p)); each strength is half of the odds.
    let error = (1.0 / (8.0 * 0.75 * 0.25_f64)).sqrt() / 2.0;
    assert!((found.items[0].error - error).abs() < 1e-12, "{found:?}");
    assert_eq!(found.items[0].n, 8);
}

#[test]
fn comparisons_that_leave_items_apart_are_refused_by_name() {
    let beats = |first, second| Comparison { first, second, first_won: 2, second_won: 0, ties: 0 };
    let ties = |first, second| Comparison { first, second, first_won: 0, second_won: 0, ties: 1 };
    // 0 and 1 have always won against 2, 3, 4, which form a circle; 5 was never compared.
    let comparisons = [ties(0, 1), beats(0, 2), beats(1, 3), beats(2, 3), beats(3, 4), beats(4, 2)];
    let error = bradley_terry(&comparisons, 6).expect_err("three groups");
    assert_eq!(error, NoStrengths::NotConnected { groups: vec![vec![0, 1], vec![2, 3, 4], vec![5]] });
    assert!(error.to_string().starts_with("3 groups of items ([0, 1], [2, 3, 4], [5])"), "{error}");
    assert_eq!(bradley_terry(&[beats(0, 7)], 3), Err(NoStrengths::Item { at: 0, item: 7, items: 3 }));
    assert_eq!(bradley_terry(&[beats(1, 1)], 3), Err(NoStrengths::Same { at: 0, item: 1 }));
    assert_eq!(bradley_terry(&[], 0).expect("nothing to place").items, []);
    assert_eq!(bradley_terry(&[], 1).expect("one item").items[0].strength, 0.0);
}

#[test]
fn gold_items_and_repeats_tell_who_can_be_relied_on() {
    let votes = [(0, 0, 4.0), (1, 0, 2.0), (2, 0, 3.0), (0, 0, 5.0), (1, 0, 2.0), (1, 0, 5.0), (0, 1, 3.3)];
    let ratings = Ratings::new(votes.iter().map(rating).collect(), 3, 3, Scale::ACR).expect("sound");
    let gold = gold_accuracy(&ratings, &[Some(4.3), None, Some(3.0)], 1.0);
    // 4 and 5 for 4.3, 3 for 3; and 3.3 for 4.3 is just within.
    assert_eq!((gold[0].n, gold[0].right, gold[0].accuracy), (3, 3, Some(1.0)));
    assert_eq!((gold[1].n, gold[1].right, gold[2].accuracy), (1, 1, None));
    let strict = gold_accuracy(&ratings, &[Some(4.3), None, Some(3.0)], 0.5);
    assert_eq!((strict[0].right, strict[1].accuracy), (2, Some(0.0)));
    let repeats = repeat_consistency(&ratings);
    assert_eq!((repeats[0].n, repeats[0].mean_difference, repeats[0].equal), (2, Some(0.5), Some(0.5)));
    assert_eq!((repeats[1].n, repeats[1].mean_difference, repeats[1].equal), (0, None, None));
}

#[test]
fn a_report_applies_the_screening_that_was_chosen() {
    let studies = fixture().studies;
    let ratings = studies[0].ratings();
    let left_out = |screening| {
        let report = report(&ratings, screening, Level::Interval, 50, 1);
        assert!(report.subjects.iter().all(|subject| !subject.reason.is_empty()));
        let left_out = report.subjects.iter().enumerate().filter(|(_, s)| s.left_out).map(|(at, _)| at);
        let votes = report.items.iter().map(|item| item.n).sum::<usize>();
        (left_out.collect::<Vec<usize>>(), votes, report)
    };
    let (nobody, all, plain) = left_out(Screening::None);
    assert_eq!((nobody, all), (vec![], 40 * 24));
    let (careless, votes, bt500) = left_out(Screening::Bt500);
    assert_eq!((careless, votes), (vec![5, 17], 40 * 22));
    assert!(bt500.agreement.alpha > plain.agreement.alpha, "without careless votes there is more agreement");
    assert!(bt500.subjects[5].reason.contains("careless"), "{}", bt500.subjects[5].reason);
    let (uncorrelated, votes, _) = left_out(Screening::Pearson);
    assert_eq!((uncorrelated, votes), (vec![0, 5, 7, 17, 20], 40 * 19));
    let (nobody, all, corrected) = left_out(Screening::BiasCorrected);
    assert_eq!((nobody, all), (vec![], 40 * 24));
    for (item, quality) in corrected.items.iter().zip(&studies[0].p910.quality) {
        assert!((item.mos.expect("votes") - quality.clamp(1.0, 5.0)).abs() < 1e-11);
    }
    let json = serde_json::to_string(&corrected).expect("JSON");
    assert!(json.contains(r#""screening":"bias_corrected","interval_method":"clipped_normal""#), "{json}");
}

#[test]
fn what_is_no_rating_is_refused_by_its_place() {
    let of = |item, subject, score, scale| {
        Ratings::new(vec![Rating { item, subject, score }], 2, 2, scale).expect_err("bad")
    };
    assert_eq!(of(2, 0, 3.0, Scale::ACR), BadRating::Item { at: 0, item: 2, items: 2 });
    assert_eq!(of(0, 9, 3.0, Scale::ACR), BadRating::Subject { at: 0, subject: 9, subjects: 2 });
    assert!(matches!(of(0, 0, f64::NAN, Scale::ACR), BadRating::Score { at: 0, .. }));
    assert!(matches!(of(0, 0, 5.5, Scale::ACR), BadRating::Score { at: 0, .. }));
    assert!(matches!(of(0, 0, 1.0, Scale { low: 1.0, high: f64::INFINITY }), BadRating::Scale { .. }));
    assert!(matches!(of(0, 0, 1.0, Scale { low: 2.0, high: 2.0 }), BadRating::Scale { .. }));
}

#[test]
fn agreement_on_everything_rejects_nobody() {
    // SUREAL would count every vote as both too high and too low.
    let votes =
        (0..60).map(|at| Rating { item: at % 10, subject: at / 10, score: (at % 10 % 5) as f64 + 1.0 });
    let ratings = Ratings::new(votes.collect(), 10, 6, Scale::ACR).expect("sound");
    assert!(bt500::screen(&ratings).iter().all(|verdict| verdict.above + verdict.below == 0));
    let report = report(&ratings, Screening::Bt500, Level::Ordinal, 20, 1);
    assert_eq!(report.agreement.alpha, Some(1.0));
}

#[test]
fn one_vote_has_no_interval_and_intervals_stay_on_the_scale() {
    let votes = [(0, 0, 5.0), (1, 0, 5.0), (1, 1, 4.0), (2, 0, 3.0), (2, 1, 3.0)];
    let ratings = Ratings::new(votes.iter().map(rating).collect(), 4, 2, Scale::ACR).expect("sound");
    let found = mos(&ratings);
    assert_eq!((found[0].mos, found[0].deviation, found[0].interval), (Some(5.0), None, None));
    let interval = found[1].interval.expect("two votes");
    assert_eq!((interval.low, interval.high), (1.0, 5.0), "t of one degree of freedom is 12.7");
    assert_eq!((found[2].deviation, found[3].mos, found[3].n), (Some(0.0), None, 0));
}

/// That the value holds neither NaN nor infinity, and comes back from JSON, which has neither.
fn assert_finite<T: Serialize + for<'a> Deserialize<'a> + std::fmt::Debug>(value: &T) {
    let json = serde_json::to_string(value).expect("JSON");
    serde_json::from_str::<T>(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let shown = format!("{value:?}");
    let bad = ["NaN", " inf", "-inf", "(inf", "(NaN"].iter().find(|bad| {
        shown.match_indices(**bad).any(|(at, _)| !shown[at + bad.len()..].starts_with(char::is_alphabetic))
    });
    assert_eq!(bad, None, "{shown}");
}

/// Votes of any shape: nothing, one item, one subject, all equal, two camps at the scale's ends, or anything.
fn votes() -> impl Strategy<Value = (usize, usize, Vec<Rating>)> {
    let size = prop_oneof![Just((1, 1)), Just((1, 7)), Just((7, 1)), Just((0, 0)), (1..9_usize, 1..9_usize)];
    (size, 0..4_u8).prop_flat_map(|((items, subjects), kind)| {
        let most = if items == 0 { 0 } else { 60 };
        let one =
            (0..items.max(1), 0..subjects.max(1), 1.0..=5.0_f64).prop_map(move |(item, subject, score)| {
                let score = match kind {
                    0 => 3.3,
                    1 if subject % 2 == 0 => 1.0,
                    1 => 5.0,
                    2 => score.round(),
                    _ => score,
                };
                Rating { item, subject, score }
            });
        proptest::collection::vec(one, 0..=most).prop_map(move |list| (items, subjects, list))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_votes_make_a_report((items, subjects, list) in votes(), predictions in proptest::collection::vec(
        proptest::option::of(proptest::num::f64::ANY), 0..9)) {
        let ratings = Ratings::new(list, items, subjects, Scale::ACR).expect("sound");
        for screening in [Screening::None, Screening::Bt500, Screening::Pearson, Screening::BiasCorrected] {
            for level in [Level::Nominal, Level::Ordinal, Level::Interval] {
                let report = report(&ratings, screening, level, 20, 1);
                assert_finite(&report);
                prop_assert_eq!((report.items.len(), report.subjects.len()), (items, subjects));
                prop_assert!(report.agreement.alpha.is_none_or(|alpha| alpha <= 1.0));
                for item in &report.items {
                    prop_assert!(item.mos.is_none_or(|mos| (1.0..=5.0).contains(&mos)));
                    prop_assert_eq!(item.interval.is_some(), item.n > 1);
                    let inside = item.interval.zip(item.mos).is_none_or(|(interval, mos)| interval.contains(mos));
                    prop_assert!(inside, "{:?}", item);
                }
                prop_assert!(items == 0 || ratings.all().is_empty() || report.subjects.iter().any(|s| !s.left_out && s.n > 0));
            }
        }
        p910::fit(&ratings).items.iter().for_each(assert_finite);
        assert_finite(&against_mos(&predictions, &mos(&ratings)));
        repeat_consistency(&ratings).iter().for_each(assert_finite);
        gold_accuracy(&ratings, &predictions, 1.0).iter().for_each(assert_finite);
    }

    #[test]
    fn any_comparisons_have_strengths_or_a_reason(items in 0..7_usize, list in proptest::collection::vec(
        (0..7_usize, 0..7_usize, prop_oneof![0..4_u32, Just(u32::MAX)], 0..4_u32, 0..3_u32), 0..30)) {
        let comparison = |(first, second, first_won, second_won, ties)| {
            Comparison { first, second, first_won, second_won, ties }
        };
        let comparisons: Vec<Comparison> = list.into_iter().map(comparison).collect();
        match bradley_terry(&comparisons, items) {
            Ok(strengths) => assert_finite(&strengths),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        let sound: Vec<Comparison> =
            comparisons.into_iter().filter(|c| c.first < items && c.second < items && c.first != c.second).collect();
        if let Ok(strengths) = bradley_terry(&sound, items) {
            assert_finite(&strengths);
            prop_assert!(strengths.items.iter().map(|item| item.strength).sum::<f64>().abs() < 1e-6);
        }
    }
}
