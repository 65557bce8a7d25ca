//! Whether a device computes what the CPU computes, and how fast: before anything is trained on it.
//!
//! [`parity`] compares every operation, nano, and its gradients with the CPU's kernels, which the tests
//! compare with PyTorch. [`speed`] measures models of a published size with random weights, since no speed
//! depends on what the weights are.

mod memory;
pub mod parity;
mod random;
pub mod speed;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::nano;
use crate::qwen2_5_vl::{Config, LoadError};

/// The size of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Nano,
    /// Qwen2.5-VL-3B.
    B3,
    /// Qwen2.5-VL-7B.
    B7,
}

impl Size {
    const ALL: [Self; 3] = [Self::Nano, Self::B3, Self::B7];

    fn name(self) -> &'static str {
        match self {
            Self::Nano => "nano",
            Self::B3 => "3b",
            Self::B7 => "7b",
        }
    }

    /// The configuration of a model of this size.
    ///
    /// # Errors
    /// When the configuration that is built in cannot be read.
    pub fn config(self) -> Result<Config, LoadError> {
        let text = match self {
            Self::Nano => return Ok(nano::processor()?.0),
            Self::B3 => include_str!("3b.json"),
            Self::B7 => include_str!("7b.json"),
        };
        Config::parse(text).map_err(|reason| LoadError::Config { path: self.name().into(), reason })
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|size| size.name() == name);
        found.ok_or_else(|| format!("`{name}` is no size: use nano, 3b or 7b"))
    }
}
