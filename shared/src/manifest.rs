//! The manifest: one JSON object a line, one line an image.

use serde::{Deserialize, Serialize};

use crate::Distortion;

/// Which part of a dataset an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    /// The name in manifests and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

/// What an image's quality is known to be: opinion, or a label computed from its reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Mean opinion score of people, 1 to 5.
    Mos(f64),
    /// Computed by a full-reference metric and mapped to 1 to 5; never called MOS.
    Proxy(f64),
}

impl Label {
    /// The label as a number, 1 to 5, whichever kind it is.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Label::Mos(value) | Label::Proxy(value) => value,
        }
    }
}

/// Full-reference metrics from which a proxy was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// SSIMULACRA 2 against the reference, 100 is identical, can be negative.
    pub ssimulacra2: f64,
    /// SSIMULACRA 2 against the reference after the best smooth change of tone and colour.
    pub ssimulacra2_matched: f64,
}

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    /// Path of the image, relative to the manifest.
    pub image: String,
    #[serde(flatten)]
    pub label: Label,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mos_std: Option<f64>,
    /// Id of the pristine photograph that the image was made from.
    pub reference: String,
    #[serde(default)]
    pub distortions: Vec<Distortion>,
    pub split: Split,
    /// Where the image comes from, such as a dataset or a package.
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// A teacher's answer in the response grammar, which the cold start learns; without one the
    /// rule-based teacher writes what the distortions allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl Row {
    /// Whether it is known what was done to the image. Opinions without a distortion leave that open: the
    /// image may have any. A proxy was computed from a distortion of our own, and none there means none.
    #[must_use]
    pub fn distortions_known(&self) -> bool {
        !self.distortions.is_empty() || matches!(self.label, Label::Proxy(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_round_trips() {
        let line = r#"{"id":"a-jpeg-3","image":"images/a.png","proxy":2.5,"reference":"a","distortions":[{"kind":"jpeg","level":3}],"split":"val","source":"mate-backgrounds"}"#;
        let row: Row = serde_json::from_str(line).expect("a valid row");
        assert_eq!(row.label, Label::Proxy(2.5));
        assert_eq!(serde_json::to_string(&row).expect("serialises"), line);
    }
}
