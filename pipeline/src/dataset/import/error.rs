//! Why a dataset could not be imported.

use std::io;
use std::path::PathBuf;

use qponder_shared::dataset::{NoRange, OutOfRange, ParseError, Place, UpsideDown};

use crate::dataset::hashes::HashesError;

/// Why a dataset could not be imported; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path}: the spreadsheet cannot be read: {reason}; save the sheet as CSV, with its header")]
    Spreadsheet { path: PathBuf, reason: String },
    #[error("{path}: MATLAB file: {reason}")]
    Matlab { path: PathBuf, reason: String },
    #[error("{path} is no UTF-8 text: save it as UTF-8")]
    Encoding { path: PathBuf },
    #[error("{path} holds no .txt file")]
    NoLabels { path: PathBuf },
    #[error("{path}: {source}")]
    Parse { path: PathBuf, source: ParseError },
    #[error(
        "the format does not say whether a higher label is better: add --direction higher for MOS, or \
         --direction lower for DMOS"
    )]
    NoDirection,
    #[error(
        "the labels have no extremes to take their range from, since all are equal: add --range LOW,HIGH"
    )]
    NoRange(#[from] NoRange),
    #[error("{place}, {image}: {source}")]
    Scale { place: Place, image: String, source: OutOfRange },
    #[error(transparent)]
    UpsideDown(#[from] UpsideDown),
    #[error(
        "reference {reference} is in several splits ({bearers}), so that its versions would be trained on and \
         tested on: split anew with --split 0.8,0.1,0.1"
    )]
    Reference { reference: String, bearers: String },
    #[error("the same image is in several splits: {bearers}; leave one out of the label file")]
    Bytes { bearers: String },
    #[error("{first} and {second} are both {path}: leave one out of the label file, or give each its file")]
    SameFile { path: PathBuf, first: String, second: String },
    #[error("{path} is there already: choose another folder for --out, or remove it")]
    Exists { path: PathBuf },
    #[error(transparent)]
    Hashes(#[from] HashesError),
}

impl ImportError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
