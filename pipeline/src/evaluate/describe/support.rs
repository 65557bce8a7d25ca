//! Whether the reasoning supports the score.

use qponder_shared::recipe::Rewards;
use qponder_shared::{grammar, stats};
use serde::Serialize;

use super::super::{Case, Consistency, Estimate, Scored};
use super::references;
use crate::train::grpo::rewards::{Group, LevelMap, Rewarder, Sampled, worst};

/// How far the levels of the attributes support the score that follows them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Support {
    /// Mean of GRPO's consistency reward, 0 to 1; an unreadable answer counts as it stands.
    pub consistency: Option<Estimate>,
    /// The score that each worst level implies, bad to excellent.
    pub levels: LevelMap,
    /// Training rows that the map was fitted to; without any the levels stand for 1 to 5.
    pub fitted_rows: usize,
    /// SRCC of the worst attribute's level with the score given, free of any map.
    pub level_srcc: Option<Estimate>,
}

impl Support {
    pub(super) fn of(cases: &[Case], scored: &[Scored], consistency: &Consistency) -> Option<Self> {
        let rewarder =
            Rewarder { rewards: Rewards::default(), levels: consistency.levels, max_new_tokens: usize::MAX };
        let groups: Vec<Group<'_>> = scored
            .iter()
            .map(|row| Group {
                label: row.label,
                distortions: None,
                answers: vec![Sampled { text: &row.text, ids: &[] }],
            })
            .collect();
        let terms: Vec<f64> =
            rewarder.terms(&groups).iter().flatten().map(|terms| terms.consistency).collect();
        let judged = cases
            .iter()
            .zip(scored)
            .filter_map(|(case, row)| Some((case, (worst(&grammar::parse(&row.text))?.value(), row.score?))));
        let (judged, pairs): (Vec<&Case>, Vec<(f64, f64)>) = judged.unzip();
        let (levels, scores): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        (!cases.is_empty()).then(|| Self {
            consistency: Estimate::mean(&references(cases.iter()), &terms),
            levels: consistency.levels,
            fitted_rows: consistency.rows,
            level_srcc: Estimate::paired(&references(judged.into_iter()), &levels, &scores, stats::srcc),
        })
    }
}

#[cfg(test)]
mod tests {
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::super::fixture::{case, said};
    use super::*;

    #[test]
    fn a_score_that_the_levels_do_not_imply_lowers_consistency() {
        let blur = [Distortion { kind: DistortionKind::GaussianBlur, level: Severity::ALL[2] }];
        let consistency = Consistency { levels: LevelMap::of_items(&[]), rows: 0 };
        let of = |texts: &[String]| {
            let told = texts.iter().enumerate().map(|(id, text)| case(id, 2.0, &blur, text));
            let (cases, scored): (Vec<Case>, Vec<Scored>) = told.unzip();
            Support::of(&cases, &scored, &consistency).expect("answers")
        };
        let honest: Vec<String> = [1.0, 2.0, 3.0, 4.0].map(|score| said(&blur, score)).into();
        let found = of(&honest);
        assert!((found.consistency.expect("answers").value - 1.0).abs() < 1e-9, "{found:?}");
        assert!((found.level_srcc.expect("spread").value - 1.0).abs() < 1e-9);
        let torn: Vec<String> = honest.iter().map(|text| text.replace("<answer>1", "<answer>5")).collect();
        assert_ne!(torn, honest);
        assert!(of(&torn).consistency.expect("answers").value < 0.9);
        let garbage = of(&["5".into(), "6".into()]);
        assert_eq!(garbage.consistency.map(|mean| mean.value), Some(0.0));
        assert_eq!(garbage.level_srcc, None);
    }
}
