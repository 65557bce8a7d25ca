//! What can be imported.

use serde::{Deserialize, Serialize};

use crate::dataset::{Direction as Better, Format, Range};
use crate::{DatasetId, StudyId};

/// Problems that a report lists at most; all are counted.
pub const MAX_PROBLEMS: usize = 1000;

/// The part `query` of `POST /api/v1/imports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateImport {
    /// What the file holds, and what becomes of it.
    pub content: ImportContent,
    /// The label file within an archive; needed only where there are several that could be it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Import the good lines although others have problems.
    #[serde(default)]
    pub skip_problems: bool,
}

/// What the file holds.
///
/// It is a zip or tar archive with the images, or the label file alone, which then speaks of images that are
/// here already: by their SHA-256 or by their name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ImportContent {
    /// An archive of images and nothing else.
    Images {},
    /// Our manifest. It becomes a version of a dataset, its labels become labels of the images.
    Manifest {
        /// Name of the dataset.
        name: String,
    },
    /// Labels in the layout of a published dataset, or a table (`csv`). They become a version of a dataset and
    /// labels of the images.
    Labels {
        /// Name of the dataset.
        name: String,
        /// The layout: `csv`, `deqa`, `q-insight`, `koniq-10k` and so on, see `qponder dataset import --help`.
        layout: String,
        /// Whether a higher label is better (`higher` or `lower`), where the layout does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<String>,
        /// The scale's ends, where the layout does not say or is not to be believed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<[f64; 2]>,
        /// Leave the standard deviations out.
        #[serde(default)]
        ignore_std: bool,
    },
    /// Conversations of ms-swift or LLaMA-Factory. Their answers become answers of a model, so that they can be
    /// compared and corrected.
    Conversations {
        /// Name of the model that gave the answers.
        model: String,
    },
    /// A table of votes as the export of votes writes it, of which the columns `person`, `image` and `score` (or
    /// `preference` with `other_image`) are needed. They become votes in a study, of people without accounts.
    Votes {
        /// The study.
        study: StudyId,
    },
}

impl CreateImport {
    /// Refuses what cannot be understood.
    ///
    /// # Errors
    /// Says what to change.
    pub fn check(&self) -> Result<(), String> {
        match &self.content {
            ImportContent::Images {} | ImportContent::Votes { .. } => Ok(()),
            ImportContent::Manifest { name } => check_name("the dataset's name", name),
            ImportContent::Conversations { model } => check_name("the model's name", model),
            ImportContent::Labels { name, layout, direction, range, .. } => {
                check_name("the dataset's name", name)?;
                layout_of(layout)?;
                direction.as_deref().map(direction_of).transpose()?;
                range.map(range_of).transpose()?;
                Ok(())
            }
        }
    }
}

/// The layout of a name.
///
/// # Errors
/// Names those that there are.
pub(super) fn layout_of(name: &str) -> Result<Format, String> {
    name.parse().map_err(|error| {
        let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        format!("{error}; choose one of {}", names.join(", "))
    })
}

fn direction_of(name: &str) -> Result<Better, String> {
    match name {
        "higher" => Ok(Better::Higher),
        "lower" => Ok(Better::Lower),
        _ => Err(format!("direction is {name:?}; it must be higher or lower")),
    }
}

fn range_of([low, high]: [f64; 2]) -> Result<Range, String> {
    Range::new(low, high).map_err(|error| format!("range: {error}"))
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let length = name.trim().chars().count();
    if (1..=crate::study::check::MAX_NAME).contains(&length) {
        return Ok(());
    }
    Err(format!("{what} has {length} characters; it must have 1 to {}", crate::study::check::MAX_NAME))
}

impl ImportContent {
    /// The scale of [`ImportContent::Labels`], as the pipeline takes it; nothing for others.
    ///
    /// # Errors
    /// As [`CreateImport::check`].
    pub fn scale(&self) -> Result<(Option<Better>, Option<Range>), String> {
        let ImportContent::Labels { direction, range, .. } = self else { return Ok((None, None)) };
        Ok((direction.as_deref().map(direction_of).transpose()?, range.map(range_of).transpose()?))
    }

    /// The layout of [`ImportContent::Labels`].
    ///
    /// # Errors
    /// As [`CreateImport::check`].
    pub fn layout(&self) -> Result<Option<Format>, String> {
        let ImportContent::Labels { layout, .. } = self else { return Ok(None) };
        layout_of(layout).map(Some)
    }
}

/// What an import brought.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Report {
    /// Images that were not here before.
    pub images: u64,
    /// Lines that were imported.
    pub lines: u64,
    /// Lines that were here already, from an earlier import of the same file.
    pub repeated: u64,
    /// Lines and files with problems.
    pub refused: u64,
    /// The first [`MAX_PROBLEMS`] of them.
    pub problems: Vec<Problem>,
    /// The version of the dataset that was made.
    pub dataset: Option<DatasetId>,
    /// How labels were understood: their scale, and what it was checked by.
    pub scale: Option<String>,
}

/// Why a line or a file was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Where: `line 12`, or a file's name.
    pub place: String,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl Report {
    /// Notes a problem.
    pub fn refuse(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.refused += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { place: place.into(), problem: problem.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_understood_is_refused_with_what_there_is() {
        let import = |content| CreateImport { content, file: None, skip_problems: false };
        let labels = |layout: &str, direction: Option<&str>, range| ImportContent::Labels {
            name: "x".into(),
            layout: layout.into(),
            direction: direction.map(str::to_owned),
            range,
            ignore_std: false,
        };
        for (content, words) in [
            (labels("excel", None, None), "csv"),
            (labels("csv", Some("up"), None), "higher or lower"),
            (labels("csv", None, Some([5.0, 1.0])), "range"),
            (ImportContent::Manifest { name: " ".into() }, "1 to"),
            (ImportContent::Conversations { model: String::new() }, "model"),
        ] {
            let error = import(content).check().expect_err(words);
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(import(labels("csv", Some("lower"), Some([0.0, 100.0]))).check(), Ok(()));
    }

    #[test]
    fn a_report_counts_all_problems_and_lists_some() {
        let mut report = Report::default();
        for line in 0..MAX_PROBLEMS + 5 {
            report.refuse(format!("line {line}"), "no");
        }
        assert_eq!((report.refused as usize, report.problems.len()), (MAX_PROBLEMS + 5, MAX_PROBLEMS));
    }
}
