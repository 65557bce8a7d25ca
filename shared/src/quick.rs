//! What the page *Quick score* and its worker say to each other.
//!
//! Each message is JSON text. A file goes beside it as the browser's own object, so that its bytes are read
//! only when its turn comes.

use serde::{Deserialize, Serialize};

/// Names a photo on the page.
pub type Key = u32;

/// What the page asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Score the file that comes beside.
    Score { key: Key },
    /// Write the reasoning about the file that comes beside.
    Explain { key: Key },
    /// Leave out what was asked about a photo, or stop writing about it.
    Stop { key: Key },
    /// Compute there from now on.
    Use { place: Place },
    /// Remove the kept weights.
    Forget,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Where a photo took less time when both were measured.
    #[default]
    Faster,
    Gpu,
    Cpu,
}

/// What the worker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Tell {
    /// Bytes of weights that are here, of how many.
    Loading { loaded: u64, total: u64 },
    /// The graphics card is asked for the first time, or that went well: a page that ends in between may have been
    /// ended by it.
    Tries { card: bool },
    /// Photos can be scored.
    Ready(Ready),
    /// Nothing can be scored, and why.
    Broken { reason: String },
    /// A photo's turn has come; also when it comes anew, and what was written of it counts no more.
    Working { key: Key },
    /// A photo's score.
    Scored(Scored),
    /// Newly written text about a photo.
    Text { key: Key, text: String },
    /// The text is complete, or was stopped.
    Explained { key: Key, tokens: usize, ms: f64, is_complete: bool },
    /// This photo cannot be scored, and why.
    Failed { key: Key, reason: String },
    /// Something else computes from now on.
    Switched(Runs),
    /// The kept weights are removed.
    Forgotten,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The model's name.
    pub model: String,
    /// How its numbers are stored.
    pub quant: String,
    pub runs: Runs,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that came over the network this time.
    pub fetched: u64,
    /// Whether the browser keeps the weights; if not, why.
    pub not_kept: Option<String>,
}

/// What computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    pub on: String,
    /// Why there and nowhere else.
    pub reason: String,
    /// Whether the graphics card was lost.
    pub is_after_loss: bool,
}

/// A score from one forward pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub key: Key,
    /// Of bad to excellent.
    pub probabilities: [f64; 5],
    /// Pixels of the photo.
    pub width: usize,
    pub height: usize,
    /// From its bytes to the score, in milliseconds.
    pub ms: f64,
}
