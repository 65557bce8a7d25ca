//! Whether the reasoning names what was done to the image.

use qponder_shared::{Distortion, DistortionGroup, Severity};
use serde::Serialize;

use super::super::{Case, Estimate, Scored};
use super::references;
use crate::teacher;

/// How often the reasoning names the true distortion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Naming {
    /// Of all images with exactly one known distortion.
    #[serde(flatten)]
    pub all: Named,
    /// The same for each severity that occurs, mildest first: the mildest can often hardly be seen.
    pub levels: Vec<(Severity, Named)>,
    /// Images known to have no distortion.
    pub pristine: usize,
    /// Share of these where one was named all the same.
    pub false_alarms: Option<Estimate>,
    pub confusion: Confusion,
}

/// How often the distortion of some images was named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    pub images: usize,
    /// Share where the distortion was named, one of 25.
    pub kind: Option<Estimate>,
    /// Share where one of its group was named, one of seven.
    pub group: Option<Estimate>,
    /// Share where the severity was named exactly, whatever was named with it.
    pub severity: Option<Estimate>,
}

/// An image with one distortion, and what of it was named.
struct Told<'a> {
    case: &'a Case,
    truth: Distortion,
    kind: bool,
    group: bool,
    severity: bool,
}

impl Named {
    fn of<'a>(told: impl Iterator<Item = &'a Told<'a>> + Clone) -> Self {
        let references = references(told.clone().map(|told| told.case));
        let share = |is_so: fn(&Told) -> bool| {
            let values: Vec<f64> = told.clone().map(|told| f64::from(u8::from(is_so(told)))).collect();
            Estimate::mean(&references, &values)
        };
        Self {
            kind: share(|told| told.kind),
            group: share(|told| told.group),
            severity: share(|told| told.severity),
            images: references.len(),
        }
    }
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
        let (mut told, mut pristine, mut alarms) = (Vec::new(), Vec::new(), Vec::new());
        for (case, row) in cases.iter().zip(scored).filter(|(case, _)| case.item.row.distortions_known()) {
            let named = teacher::named_distortion(&row.text);
            let named_group = named.map(|(kind, _)| kind.group());
            match *case.item.row.distortions.as_slice() {
                [] => {
                    pristine.push(case);
                    alarms.push(f64::from(u8::from(named.is_some())));
                    confusion.count(None, named_group);
                }
                [truth] => {
                    told.push(Told {
                        case,
                        truth,
                        kind: named.is_some_and(|(kind, _)| kind == truth.kind),
                        group: named_group == Some(truth.kind.group()),
                        severity: named.is_some_and(|(_, level)| level == Some(truth.level)),
                    });
                    confusion.count(Some(truth.kind.group()), named_group);
                }
                _ => {}
            }
        }
        let level = |level| Named::of(told.iter().filter(move |told| told.truth.level == level));
        let levels = Severity::ALL.into_iter().map(|severity| (severity, level(severity)));
        (!told.is_empty() || !pristine.is_empty()).then(|| Self {
            all: Named::of(told.iter()),
            levels: levels.filter(|(_, named)| named.images > 0).collect(),
            pristine: pristine.len(),
            false_alarms: Estimate::mean(&references(pristine.iter().copied()), &alarms),
            confusion,
        })
    }
}

#[cfg(test)]
mod tests {
    use qponder_shared::DistortionKind;

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
        assert_eq!((found.all.images, found.pristine), (4, 2));
        assert_eq!(
            [found.all.kind, found.all.group, found.all.severity, found.false_alarms].map(value),
            [Some(0.25), Some(0.5), Some(0.5), Some(0.5)]
        );
        let levels: Vec<_> = found.levels.iter().map(|(level, named)| (*level, named.images)).collect();
        assert_eq!(levels, [(Severity::ALL[2], 4)], "severities that do not occur are left out");
        assert_eq!(found.levels[0].1, found.all);
        let names = &found.confusion.names;
        let at = |name| names.iter().position(|&other| other == name).expect("a group");
        assert_eq!(found.confusion.counts[at("blur")][at("blur")], 2);
        assert_eq!(found.confusion.counts[at("blur")][at("noise")], 1);
        assert_eq!(found.confusion.counts[at("blur")][at("none")], 1);
        assert_eq!(found.confusion.counts[at("none")], [0, 0, 0, 1, 0, 0, 0, 1]);
    }
}
