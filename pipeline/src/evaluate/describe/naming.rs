//! Whether the reasoning names what was done to the image.

use qponder_shared::DistortionGroup;
use serde::Serialize;

use super::super::{Case, Estimate, Scored};
use super::references;
use crate::teacher;

/// How often the reasoning names the true distortion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Naming {
    /// Images with exactly one known distortion.
    pub images: usize,
    /// Share where the distortion was named, one of 25.
    pub kind: Option<Estimate>,
    /// Share where one of its group was named, one of seven.
    pub group: Option<Estimate>,
    /// Share where the severity was named exactly, whatever was named with it.
    pub severity: Option<Estimate>,
    /// Images known to have no distortion.
    pub pristine: usize,
    /// Share of these where one was named all the same.
    pub false_alarms: Option<Estimate>,
    pub confusion: Confusion,
}

/// Which group was named for which: `counts[truth][named]`, both in the order of `names`, whose last is `none`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    pub names: Vec<&'static str>,
    pub counts: Vec<Vec<usize>>,
}

impl Confusion {
    fn new() -> Self {
        let groups = DistortionGroup::ALL.into_iter().map(DistortionGroup::name);
        let names: Vec<&'static str> = groups.chain(["none"]).collect();
        Self { counts: vec![vec![0; names.len()]; names.len()], names }
    }

    fn count(&mut self, truth: Option<DistortionGroup>, named: Option<DistortionGroup>) {
        let none = DistortionGroup::ALL.len();
        let [truth, named] = [truth, named].map(|group| group.map_or(none, |group| group as usize));
        self.counts[truth][named] += 1;
    }
}

impl Naming {
    pub(super) fn of(cases: &[Case], scored: &[Scored]) -> Option<Self> {
        let mut confusion = Confusion::new();
        let (mut distorted, mut pristine) = (Vec::new(), Vec::new());
        let (mut kinds, mut groups, mut severities, mut alarms) = (vec![], vec![], vec![], vec![]);
        let share = |is_so: bool| f64::from(u8::from(is_so));
        for (case, row) in cases.iter().zip(scored).filter(|(case, _)| case.item.row.distortions_known()) {
            let named = teacher::named_distortion(&row.text);
            let named_group = named.map(|(kind, _)| kind.group());
            match case.item.row.distortions.as_slice() {
                [] => {
                    pristine.push(case);
                    alarms.push(share(named.is_some()));
                    confusion.count(None, named_group);
                }
                [truth] => {
                    distorted.push(case);
                    kinds.push(share(named.is_some_and(|(kind, _)| kind == truth.kind)));
                    groups.push(share(named_group == Some(truth.kind.group())));
                    severities.push(share(named.is_some_and(|(_, level)| level == Some(truth.level))));
                    confusion.count(Some(truth.kind.group()), named_group);
                }
                _ => {}
            }
        }
        let of_distorted = references(distorted.iter().copied());
        let of_pristine = references(pristine.iter().copied());
        (!distorted.is_empty() || !pristine.is_empty()).then(|| Self {
            images: distorted.len(),
            kind: Estimate::mean(&of_distorted, &kinds),
            group: Estimate::mean(&of_distorted, &groups),
            severity: Estimate::mean(&of_distorted, &severities),
            pristine: pristine.len(),
            false_alarms: Estimate::mean(&of_pristine, &alarms),
            confusion,
        })
    }
}

#[cfg(test)]
mod tests {
    use qponder_shared::{Distortion, DistortionKind, Severity};

    use super::super::fixture::{case, said};
    use super::*;

    #[test]
    fn kind_group_and_severity_are_counted_apart() {
        let distortion = |kind, level: usize| [Distortion { kind, level: Severity::ALL[level] }];
        let truth = distortion(DistortionKind::GaussianBlur, 2);
        let same_group = distortion(DistortionKind::LensBlur, 2);
        let other = distortion(DistortionKind::WhiteNoise, 1);
        let told = [
            case(0, 3.0, &truth, &said(&truth, 3.0)),
            case(1, 3.0, &truth, &said(&same_group, 3.0)),
            case(2, 3.0, &truth, &said(&other, 3.0)),
            case(3, 3.0, &truth, "<think>"),
            case(4, 5.0, &[], &said(&other, 3.0)),
            case(5, 5.0, &[], &said(&[], 5.0)),
        ];
        let (cases, scored): (Vec<Case>, Vec<Scored>) = told.into_iter().unzip();
        let found = Naming::of(&cases, &scored).expect("known distortions");
        let value = |estimate: Option<Estimate>| estimate.map(|e| e.value);
        assert_eq!((found.images, found.pristine), (4, 2));
        assert_eq!(
            [found.kind, found.group, found.severity, found.false_alarms].map(value),
            [Some(0.25), Some(0.5), Some(0.5), Some(0.5)]
        );
        let names = &found.confusion.names;
        let at = |name| names.iter().position(|&other| other == name).expect("a group");
        assert_eq!(found.confusion.counts[at("blur")][at("blur")], 2);
        assert_eq!(found.confusion.counts[at("blur")][at("noise")], 1);
        assert_eq!(found.confusion.counts[at("blur")][at("none")], 1);
        assert_eq!(found.confusion.counts[at("none")], [0, 0, 0, 1, 0, 0, 0, 1]);
    }
}
