//! Degraded images with proxy labels ([`make`]). Published datasets with opinions of people are imported
//! ([`mod@import`]), and manifests of either are verified and exported.
//!
//! Everything that is made is a function of the photographs and a seed, whatever the number of threads and however
//! often the work was interrupted. Photographs are shrunk to at most three quarters first, because most
//! were compressed with loss, which shrinking hides.

pub mod export;
pub mod hashes;
pub mod import;
pub mod inspect;
mod make;
pub mod manifest;
pub mod pairs;
pub mod preflight;
mod sample;
mod sources;
mod variation;
pub mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{DecodeError, EncodeError};

use inspect::InspectError;
pub use make::{Config, Outcome, Progress, Settings, make};
pub use sources::{Source, sources};

/// Why a dataset could not be made or photographs not be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot use {path}: {source}")]
    Decode { path: PathBuf, source: DecodeError },
    #[error("cannot use {path}: {source}")]
    Unfit { path: PathBuf, source: InspectError },
    #[error("cannot write {path}: {source}")]
    Encode { path: PathBuf, source: EncodeError },
    #[error("{dir} holds no PNG, JPEG or WebP file{note}")]
    Empty { dir: PathBuf, note: &'static str },
    #[error("{first} and {second} would share the id `{id}`: rename one")]
    SameId { id: String, first: PathBuf, second: PathBuf },
    #[error("{path} was made with other settings: choose another directory, or the same settings to go on")]
    OtherSettings { path: PathBuf },
    #[error("{path} is not a manifest of this command at line {line}: {reason}")]
    Manifest { path: PathBuf, line: usize, reason: String },
    #[error("{path} was not made by this command, which would cut it: choose another directory")]
    Foreign { path: PathBuf },
    #[error("{path} is in use by another run; wait for it, or choose another directory")]
    InUse { path: PathBuf },
    #[error("{what} names {name} twice; its images would have one id and two labels: name it once")]
    NamedTwice { what: &'static str, name: String },
    #[error("nothing to do: no kind or no level was chosen")]
    NothingChosen,
    #[error("images of {side} pixels a side are too small to judge: let sides have at least {least}")]
    Side { side: usize, least: usize },
    #[error("cannot start {threads} threads: {source}")]
    Threads { threads: usize, source: rayon::ThreadPoolBuildError },
}

impl DatasetError {
    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Writes a file under another name and then gives it its own, so that there is all of it or none.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    fs::write(&part, text)?;
    fs::rename(part, path)
}
