//! Answers on disk, as an evaluation gets them, so that one that was interrupted goes on from them.

use std::collections::HashMap;
use std::path::Path;

use qponder_shared::api::Mode;
use qponder_shared::prompt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Case, EvaluateError};
use crate::assess::Assessor;
use crate::device::Place;
use crate::journal::{Journal, Opened};
use crate::train::TrainError;

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Asked {
    /// SHA-256 of the model's weights.
    model: String,
    /// SHA-256 of the image's file.
    image: String,
    mode: Mode,
    /// Version of the prompt.
    prompt: String,
    /// Other devices round otherwise.
    device: String,
}

/// What a model said of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    /// `None` is a parse failure. On disk the shortest decimal number of this very value: JSON's numbers may come back
    /// with another last bit.
    #[serde(with = "decimal")]
    pub score: Option<f64>,
    pub text: String,
}

/// Numbers as text, which reads back exactly.
mod decimal {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    asked: Asked,
    #[serde(flatten)]
    said: Said,
}

/// The answers so far.
pub struct Kept {
    journal: Option<Journal<Entry>>,
    known: HashMap<Asked, Said>,
    place: Place,
}

impl Kept {
    /// Keeps nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { journal: None, known: HashMap::new(), place: Place::Cpu }
    }

    /// Keeps every answer of models at `place` in this journal and asks for none that it holds; keeps none without one.
    ///
    /// # Errors
    /// When the journal cannot be read or another run holds it.
    pub fn open(path: Option<&Path>, place: Place) -> Result<Self, EvaluateError> {
        let Some(path) = path else { return Ok(Self::none()) };
        let Opened { journal, entries, .. } = Journal::open(path)?;
        let known = entries.into_iter().map(|Entry { asked, said }| (asked, said)).collect();
        Ok(Self { journal: Some(journal), known, place })
    }

    /// The answers about a batch: those that are known, or else those that `ask` gives, which are then on disk.
    ///
    /// A batch is known as a whole or not at all, since what is asked about together may round together.
    pub(super) fn batch(
        &mut self,
        assessor: &Assessor,
        cases: &[Case],
        mode: Mode,
        ask: impl FnOnce() -> Result<Vec<Said>, EvaluateError>,
    ) -> Result<Vec<Said>, EvaluateError> {
        let Some(journal) = &mut self.journal else { return ask() };
        let asked = |case: &Case| {
            let path = &case.item.path;
            let bytes =
                std::fs::read(path).map_err(|source| TrainError::Io { path: path.clone(), source })?;
            Ok(Asked {
                model: assessor.info().sha256.clone(),
                image: format!("{:x}", Sha256::digest(&bytes)),
                mode,
                prompt: prompt::current(mode).version.to_owned(),
                device: self.place.to_string(),
            })
        };
        let asked = cases.iter().map(asked).collect::<Result<Vec<_>, EvaluateError>>()?;
        let known: Option<Vec<Said>> = asked.iter().map(|asked| self.known.get(asked).cloned()).collect();
        if let Some(known) = known {
            return Ok(known);
        }
        let said = ask()?;
        let entries: Vec<Entry> =
            asked.into_iter().zip(said.clone()).map(|(asked, said)| Entry { asked, said }).collect();
        journal.append(&entries)?;
        Ok(said)
    }
}
