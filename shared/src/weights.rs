//! Weights for browsers: files cut into pieces, each with its hash.

use serde::{Deserialize, Serialize};

/// What `qponder export gguf` writes beside its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The model's name.
    pub model: String,
    /// How the numbers are stored: `q8_0`, `q4_0` or `f16`.
    pub quant: String,
    /// The language model, then the vision tower.
    pub files: Vec<WeightsFile>,
}

/// A file, in pieces that follow each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsFile {
    pub name: String,
    pub shards: Vec<Shard>,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

impl Shard {
    /// Where the server offers the piece: named after its content, so it never changes.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/assets/{}", self.asset())
    }

    /// The name of the file that holds only this piece.
    #[must_use]
    pub fn asset(&self) -> String {
        format!("weights-{}.bin", self.sha256.get(..16).unwrap_or(&self.sha256))
    }
}

impl WeightsFile {
    /// Bytes of the whole file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(WeightsFile::bytes).sum()
    }
}
