//! The published layouts that are read.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::{
    Labels, ParseError, agiqa, csiq, csv, json, kadid, koniq, live_w, pipal, pyiqa, spaq, visual_quality,
};

/// A layout of label files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Csv,
    Koniq10k,
    Spaq,
    Kadid10k,
    LiveW,
    Csiq,
    Agiqa3k,
    Pipal,
    Pyiqa,
    Deqa,
    QInsight,
    QAlign,
    VisualQualityText,
    VisualQualityJsonl,
}

/// A name that is none of the formats.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`")]
pub struct UnknownFormat(pub String);

impl Format {
    /// All formats: any table, then datasets, then other programs' files.
    pub const ALL: [Format; 14] = [
        Format::Csv,
        Format::Koniq10k,
        Format::Spaq,
        Format::Kadid10k,
        Format::LiveW,
        Format::Csiq,
        Format::Agiqa3k,
        Format::Pipal,
        Format::Pyiqa,
        Format::Deqa,
        Format::QInsight,
        Format::QAlign,
        Format::VisualQualityText,
        Format::VisualQualityJsonl,
    ];

    /// The name on the command line, and of the dataset where the format has one only.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Koniq10k => "koniq-10k",
            Format::Spaq => "spaq",
            Format::Kadid10k => "kadid-10k",
            Format::LiveW => "live-w",
            Format::Csiq => "csiq",
            Format::Agiqa3k => "agiqa-3k",
            Format::Pipal => "pipal",
            Format::Pyiqa => "pyiqa",
            Format::Deqa => "deqa",
            Format::QInsight => "q-insight",
            Format::QAlign => "q-align",
            Format::VisualQualityText => "visualquality-r1-text",
            Format::VisualQualityJsonl => "visualquality-r1-jsonl",
        }
    }

    /// The file that is read, in words for help.
    #[must_use]
    pub fn layout(self) -> &'static str {
        match self {
            Format::Csv => {
                "any table with the columns image and mos, perhaps std and split; 1 to 5 unless a range is given"
            }
            Format::Koniq10k => {
                "koniq10k_distributions_sets.csv (official split) or koniq10k_scores_and_distributions.csv"
            }
            Format::Spaq => "`MOS and Image attribute scores.xlsx`, or its first sheet as CSV",
            Format::Kadid10k => "dmos.csv",
            Format::LiveW => "the folder Data with the three .mat files, or a CSV image,mos,std",
            Format::Csiq => "csiq.DMOS.xlsx, or columns image to dmos of its sheet all_by_image as CSV",
            Format::Agiqa3k => "data.csv",
            Format::Pipal => "a label file, or the folder of all (Train_Label)",
            Format::Pyiqa => "a meta_info_*.csv; needs a direction",
            Format::Deqa => "a list of objects with image and gt_score_norm",
            Format::QInsight => "the same files as deqa",
            Format::QAlign => "a list of objects with image or img_path and gt_score; needs a direction",
            Format::VisualQualityText => "lines `reference image mos std`",
            Format::VisualQualityJsonl => "RL-*_scoring.jsonl",
        }
    }

    /// The sheet that holds the labels, where a spreadsheet is published and it is not its first.
    #[must_use]
    pub fn sheet(self) -> Option<&'static str> {
        (self == Format::Csiq).then_some("all_by_image")
    }

    /// Reads a label file.
    ///
    /// # Errors
    /// Names the place that could not be read.
    pub fn parse(self, text: &str) -> Result<Labels, ParseError> {
        let labels = match self {
            Format::Csv => csv::parse(text),
            Format::Koniq10k => koniq::parse(text),
            Format::Spaq => spaq::parse(text),
            Format::Kadid10k => kadid::parse(text),
            Format::LiveW => live_w::parse(text),
            Format::Csiq => csiq::parse(text),
            Format::Agiqa3k => agiqa::parse(text),
            Format::Pipal => pipal::parse(text),
            Format::Pyiqa => pyiqa::parse(text),
            Format::Deqa | Format::QInsight => json::deqa(text),
            Format::QAlign => json::q_align(text),
            Format::VisualQualityText => visual_quality::text(text),
            Format::VisualQualityJsonl => visual_quality::json_lines(text),
        }?;
        let mut places = HashMap::new();
        for entry in &labels.entries {
            if let Some(first) = places.insert(entry.image.as_str(), entry.place) {
                let (image, second) = (entry.image.clone(), entry.place);
                return Err(ParseError::Twice { image, first, second });
            }
        }
        if labels.entries.is_empty() { Err(ParseError::Empty) } else { Ok(labels) }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}
