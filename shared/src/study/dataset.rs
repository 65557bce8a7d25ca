//! Datasets made of studies: the MOS as label, and accepted annotations as answers.

use serde::{Deserialize, Serialize};

use super::statistics::{StudyStatistics, VotedItem};
use crate::compare::{Label as ImageLabel, LabelKind};
use crate::manifest::{Label, Row, Split};
use crate::subjective::Screening;
use crate::subjective::mos::ItemMos;
use crate::{DatasetId, ImageId, Score, StudyId};

/// Body of `POST /api/v1/studies/{id}/datasets`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateDataset {
    /// A name that is there already gets its next version.
    pub name: String,
    /// Whose votes make the MOS.
    #[serde(default)]
    pub screening: Screening,
    /// Only images with an accepted annotation, as the cold start needs them; without it every image that
    /// has a MOS, as GRPO needs them.
    #[serde(default)]
    pub only_answered: bool,
    /// Share of the images that go into the split `val`, 0 to 0.9.
    #[serde(default)]
    pub validation_share: f64,
}

/// One version of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dataset {
    pub id: DatasetId,
    pub name: String,
    /// From 1.
    pub version: u32,
    pub study: Option<StudyId>,
    /// Lines of the manifest.
    pub images: u32,
    /// Lines with an accepted annotation.
    pub answers: u32,
    /// SHA-256 of the manifest, lower-case hex.
    pub sha256: String,
    pub created_by: String,
    pub created_at: String,
}

/// An image's file, and what was settled of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The image.
    pub image: ImageId,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// `png`, `jpeg` or `webp`.
    pub format: String,
    /// Texts of accepted annotations.
    pub answers: Vec<String>,
}

impl Settled {
    /// Where the file lies beside the manifest. It is named by its bytes, never by what somebody called it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("images/{}.{}", self.sha256, self.format)
    }
}

/// The lines of a manifest, with the image of each: one for every accepted annotation of an image, or one
/// without an answer. Images without a MOS are left out, since nothing is known of them. An image is in
/// the same split in every version.
#[must_use]
pub fn rows(
    study: &str,
    made: &StudyStatistics,
    settled: &[Settled],
    wish: &CreateDataset,
) -> Vec<(ImageId, Row)> {
    let mut rows = Vec::new();
    for (item, what) in made.items.iter().zip(&made.report.items) {
        let Some(mos) = what.mos else { continue };
        let [image] = item.images[..] else { continue };
        let Some(file) = settled.iter().find(|file| file.image == image) else { continue };
        let row = |id: String, answer: Option<String>| Row {
            id,
            image: file.path(),
            label: Label::Mos(mos),
            mos_std: what.deviation,
            reference: file.sha256.clone(),
            distortions: Vec::new(),
            split: split(&file.sha256, wish.validation_share),
            source: source(study),
            metrics: None,
            answer,
        };
        match &file.answers[..] {
            [] if wish.only_answered => {}
            [] => rows.push((image, row(image.to_string(), None))),
            [one] => rows.push((image, row(image.to_string(), Some(one.clone())))),
            several => rows.extend(
                several
                    .iter()
                    .enumerate()
                    .map(|(at, answer)| (image, row(format!("{image}-{}", at + 1), Some(answer.clone())))),
            ),
        }
    }
    rows
}

/// The MOS of a study's images as their labels, so that answers can be held against them.
#[must_use]
pub fn labels(study: &str, made: &StudyStatistics) -> Vec<(ImageId, ImageLabel)> {
    let label = |(item, what): (&VotedItem, &ItemMos)| {
        let [image] = item.images[..] else { return None };
        let label = ImageLabel {
            kind: LabelKind::Mos,
            source: source(study),
            value: Score::clamped(what.mos?)?,
            n: u32::try_from(what.n).ok(),
            sd: what.deviation,
        };
        Some((image, label))
    };
    made.items.iter().zip(&made.report.items).filter_map(label).collect()
}

/// What manifests and labels name as their source.
fn source(study: &str) -> String {
    format!("study: {study}")
}

/// The split of an image follows from its bytes alone.
fn split(sha256: &str, validation_share: f64) -> Split {
    let first = sha256.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX);
    let place = f64::from(first) / (f64::from(u32::MAX) + 1.0);
    if place < validation_share { Split::Val } else { Split::Train }
}

#[cfg(test)]
mod tests {
    use super::super::ItemKind;
    use super::super::statistics::{StudyVotes, Voter, statistics};
    use super::*;
    use crate::subjective::Rating;
    use crate::{ItemId, SubjectId};

    #[test]
    fn images_with_a_mos_become_lines_and_answers_become_more() {
        let images = [ImageId::new(), ImageId::new(), ImageId::new()];
        let item = |image: &ImageId| VotedItem {
            id: ItemId::new(),
            images: vec![*image],
            name: "x".into(),
            kind: ItemKind::Rated,
            expected: None,
            tolerance: 1.0,
        };
        let votes = StudyVotes {
            items: images.iter().map(item).collect(),
            voters: vec![Voter { id: SubjectId::new(), name: "Ada".into(), skipped: 1 }],
            ratings: [(0, 2.0), (1, 4.0)].map(|(item, score)| Rating { item, subject: 0, score }).to_vec(),
            ..StudyVotes::default()
        };
        let made = statistics(votes, Screening::None, 1).expect("sound");
        let file = |(image, first, answers): (&ImageId, &str, usize)| Settled {
            image: *image,
            sha256: first.repeat(64),
            format: "png".into(),
            answers: vec!["an answer".into(); answers],
        };
        let settled: Vec<Settled> =
            [(&images[0], "0", 2), (&images[1], "f", 0), (&images[2], "f", 1)].map(file).to_vec();
        let wish = |only_answered| CreateDataset {
            name: "x".into(),
            screening: Screening::None,
            only_answered,
            validation_share: 0.5,
        };
        let all = rows("s", &made, &settled, &wish(false));
        let labels: Vec<_> =
            all.iter().map(|(_, row)| (row.label, row.split, row.answer.is_some())).collect();
        assert_eq!(
            labels,
            [
                (Label::Mos(2.0), Split::Val, true),
                (Label::Mos(2.0), Split::Val, true),
                (Label::Mos(4.0), Split::Train, false),
            ],
            "the third has no MOS"
        );
        assert_ne!(all[0].1.id, all[1].1.id);
        assert_eq!(rows("s", &made, &settled, &wish(true)).len(), 2);
        let made = super::labels("s", &made);
        assert_eq!(made.iter().map(|(image, _)| *image).collect::<Vec<_>>(), images[..2]);
        assert_eq!((made[0].1.value.get(), made[0].1.n), (2.0, Some(1)));
    }
}
