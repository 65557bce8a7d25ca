//! What can be exported, in which formats, with which filters.

use serde::{Deserialize, Serialize};

use crate::api::Mode;
use crate::manifest::Split;
use crate::study::ItemKind;
use crate::subjective::Screening;
use crate::{DatasetId, StudyId, SubjectId, day};

/// Body of `POST /api/v1/exports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateExport {
    /// What to export.
    pub source: ExportSource,
    /// As which file.
    pub format: ExportFormat,
    /// A zip with the images beside the file, instead of the file alone.
    #[serde(default)]
    pub with_images: bool,
}

/// What is exported, with its filters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExportSource {
    /// Every vote of a study, one a line.
    Votes(VoteFilter),
    /// What a study says of its images: MOS under a screening, accepted annotations.
    Study(RowFilter),
    /// A version of a dataset.
    Dataset {
        id: DatasetId,
        /// This split alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        split: Option<Split>,
    },
    /// What models answered.
    Answers(AnswerFilter),
}

/// Which votes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VoteFilter {
    pub study: StudyId,
    /// One person's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// On items of this kind alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ItemKind>,
    /// Those alone that statistics use: blind, and the newest of each person on each item.
    #[serde(default)]
    pub counted: bool,
    /// Those with a flag alone.
    #[serde(default)]
    pub flagged: bool,
    /// Not before this day (`2026-03-01`, UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before the end of this day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Which images of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RowFilter {
    pub study: StudyId,
    /// Whose votes make the MOS.
    #[serde(default)]
    pub screening: Screening,
    /// Only images with an accepted annotation.
    #[serde(default)]
    pub only_answered: bool,
    /// Only images with that many votes.
    #[serde(default)]
    pub min_votes: u32,
    /// Share of the images that go into the split `val`, 0 to 0.9.
    #[serde(default)]
    pub validation_share: f64,
}

/// Which answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AnswerFilter {
    /// Of this model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// In this mode alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// On the images of this study alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub study: Option<StudyId>,
    /// Not before this day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before the end of this day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The file that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A table.
    Csv,
    /// Our manifest: JSON lines, as `qponder sft` reads it.
    Manifest,
    /// A JSON list as DeQA-Score and Q-Insight read it.
    Deqa,
    /// Conversations in JSON lines, as ms-swift reads them.
    MsSwift,
    /// Conversations in a JSON array, as LLaMA-Factory reads them.
    LlamaFactory,
}

impl ExportFormat {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Manifest, Self::Deqa, Self::MsSwift, Self::LlamaFactory];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Manifest => "manifest",
            Self::Deqa => "deqa",
            Self::MsSwift => "ms_swift",
            Self::LlamaFactory => "llama_factory",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Manifest => "manifest (JSON lines)",
            Self::Deqa => "DeQA-Score and Q-Insight (JSON)",
            Self::MsSwift => "ms-swift conversations",
            Self::LlamaFactory => "LLaMA-Factory conversations",
        }
    }

    /// The file's name in a folder or an archive.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Csv => "table.csv",
            Self::Manifest => "manifest.jsonl",
            Self::Deqa => "deqa.json",
            Self::MsSwift => "conversations.jsonl",
            Self::LlamaFactory => "conversations.json",
        }
    }

    /// Whether lines are answers, so that images without one are left out.
    #[must_use]
    pub fn is_conversations(self) -> bool {
        matches!(self, Self::MsSwift | Self::LlamaFactory)
    }
}

/// Kinds of [`ExportSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Votes,
    Study,
    Dataset,
    Answers,
}

impl SourceKind {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Votes, Self::Study, Self::Dataset, Self::Answers];

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Study => "study",
            Self::Dataset => "dataset",
            Self::Answers => "answers",
        }
    }

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Votes => "Votes of a study",
            Self::Study => "MOS and corrections of a study",
            Self::Dataset => "A version of a dataset",
            Self::Answers => "Answers of models",
        }
    }

    /// The formats that there are of it.
    #[must_use]
    pub fn formats(self) -> &'static [ExportFormat] {
        match self {
            Self::Votes => &[ExportFormat::Csv],
            Self::Study | Self::Dataset => &ExportFormat::ALL,
            Self::Answers => &[ExportFormat::Csv, ExportFormat::MsSwift, ExportFormat::LlamaFactory],
        }
    }
}

impl ExportSource {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        match self {
            ExportSource::Votes(_) => SourceKind::Votes,
            ExportSource::Study(_) => SourceKind::Study,
            ExportSource::Dataset { .. } => SourceKind::Dataset,
            ExportSource::Answers(_) => SourceKind::Answers,
        }
    }
}

impl CreateExport {
    /// Refuses what cannot be made.
    ///
    /// # Errors
    /// Says what to change.
    pub fn check(&self) -> Result<(), String> {
        let formats = self.source.kind().formats();
        if !formats.contains(&self.format) {
            let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
            return Err(format!("there is no {} of these; choose {}", self.format.name(), names.join(", ")));
        }
        let (since, until) = match &self.source {
            ExportSource::Votes(filter) => (&filter.since, &filter.until),
            ExportSource::Answers(filter) => (&filter.since, &filter.until),
            ExportSource::Study(filter) => {
                let share = filter.validation_share;
                if !(0.0..=0.9).contains(&share) {
                    return Err(format!("validation_share is {share}; it must be 0 to 0.9"));
                }
                return Ok(());
            }
            ExportSource::Dataset { .. } => return Ok(()),
        };
        for day in [since, until].into_iter().flatten() {
            if day::start(day).is_none() {
                return Err(format!("{day:?} is no day; write it as 2026-03-01"));
            }
        }
        match (since, until) {
            (Some(since), Some(until)) if since > until => Err(format!(
                "nothing is between {since} and {until}; the first day must not be after the last"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_is_refused() {
        let study = StudyId::new();
        let votes = |since: &str, until: &str| {
            ExportSource::Votes(VoteFilter {
                study,
                subject: None,
                kind: None,
                counted: false,
                flagged: false,
                since: (!since.is_empty()).then(|| since.into()),
                until: (!until.is_empty()).then(|| until.into()),
            })
        };
        let rows = |validation_share| {
            ExportSource::Study(RowFilter {
                study,
                screening: Screening::None,
                only_answered: false,
                min_votes: 0,
                validation_share,
            })
        };
        for (source, format, words) in [
            (votes("", ""), ExportFormat::Deqa, "choose csv"),
            (votes("2026-02-29", ""), ExportFormat::Csv, "no day"),
            (votes("", "yesterday"), ExportFormat::Csv, "no day"),
            (votes("2026-03-02", "2026-03-01"), ExportFormat::Csv, "nothing is between"),
            (rows(0.95), ExportFormat::Manifest, "0 to 0.9"),
            (ExportSource::Answers(AnswerFilter::default()), ExportFormat::Manifest, "choose csv, ms_swift"),
        ] {
            let error = CreateExport { source, format, with_images: false }.check().expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        for (source, format) in [
            (votes("2024-02-29", "2024-02-29"), ExportFormat::Csv),
            (rows(0.1), ExportFormat::Deqa),
            (ExportSource::Answers(AnswerFilter::default()), ExportFormat::MsSwift),
        ] {
            assert_eq!(CreateExport { source, format, with_images: true }.check(), Ok(()));
        }
    }
}
