//! Models for other programs: a Hugging Face directory in any precision, cut into files, with or without
//! an adapter merged into it; and GGUF files for llama.cpp and for the engine that runs in browsers.

mod average;
mod gguf;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use qponder_shared::recipe::{ExportDtype, ExportFormat, ExportQuant, ExportRecipe, WriteAs};
use serde::Serialize;

use crate::adapter::{Adapter, AdapterError};
use crate::files::are_same;
use crate::processor::Processor;
use crate::qwen2_5_vl::{Config, LoadError, Qwen2_5Vl, Weights};
use crate::save;
pub use crate::save::{Layout, Precision};
use crate::train::TrainError;
pub use average::{Change, average};
pub use gguf::{Kind, MANIFEST, export_gguf};

/// Most bytes of a piece of a GGUF file that a browser loads and checks at once.
const SHARD_BYTES: u64 = 1_000_000;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error(transparent)]
    Save(#[from] TrainError),
    #[error("{dir} is not empty; choose another directory, or --force to replace the model in it")]
    NotEmpty { dir: PathBuf },
    #[error("{dir} is the model itself; choose another directory")]
    Itself { dir: PathBuf },
    #[error("cannot read {dir}: {source}")]
    Io { dir: PathBuf, source: std::io::Error },
    #[error("name at least two models to average, or a change to add to one")]
    TooFew,
    #[error("{other} has another {name} than {first}; only models of one architecture can be averaged")]
    Different { name: String, first: PathBuf, other: PathBuf },
    #[error("the weights could not be averaged: {0}")]
    Tensor(#[from] candle_core::Error),
    #[error("GGUF cannot hold this model: {0}")]
    Gguf(String),
}

/// What an export tells as it goes. A step is a model or an adapter that is read, or one that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// There will be so many steps.
    Started { step: usize, steps: usize },
    /// So many are done, the last of which read or wrote this.
    #[serde(rename = "progress")]
    Advanced { step: usize, done: PathBuf },
}

/// Counts the steps.
struct Teller<'a> {
    step: usize,
    progress: &'a mut dyn FnMut(&Progress),
}

impl<'a> Teller<'a> {
    fn start(steps: usize, progress: &'a mut dyn FnMut(&Progress)) -> Self {
        progress(&Progress::Started { step: 0, steps });
        Self { step: 0, progress }
    }

    fn done(&mut self, what: &Path) {
        self.step += 1;
        (self.progress)(&Progress::Advanced { step: self.step, done: what.to_owned() });
    }
}

/// Where a model goes, and how.
#[derive(Clone, Debug)]
pub struct Destination {
    pub dir: PathBuf,
    pub layout: Layout,
    /// Whether a directory that holds files is written into.
    pub force: bool,
}

/// Refuses to overwrite the source, or anything without being told to.
fn check(dir: &Path, force: bool, source: &Path) -> Result<(), ExportError> {
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(ExportError::Io { dir: dir.to_owned(), source }),
    };
    if are_same(dir, source) {
        return Err(ExportError::Itself { dir: dir.to_owned() });
    }
    if entries.next().is_some() && !force {
        return Err(ExportError::NotEmpty { dir: dir.to_owned() });
    }
    Ok(())
}

/// Writes the model of a checkpoint directory as transformers and others read it. What training keeps
/// beside a model, such as pooled heads and checkpoints, stays behind.
///
/// # Errors
/// Names what the model lacks or why the destination is refused; nothing is written then.
pub fn export(
    model: &Path,
    to: &Destination,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), ExportError> {
    check(&to.dir, to.force, model)?;
    let config = read_config(model)?;
    let mut teller = Teller::start(2, progress);
    let weights = Weights::read(model, to.layout.precision.dtype(), &Device::Cpu)?;
    teller.done(model);
    write(&config, &weights, model, to, &mut teller)
}

/// Writes a model as a recipe says, in the place of what an earlier export left there.
///
/// # Errors
/// See [`export`] and [`export_gguf`].
pub fn export_as(recipe: &ExportRecipe, progress: &mut dyn FnMut(&Progress)) -> Result<(), ExportError> {
    let (model, dir, WriteAs { format, quant, dtype }) =
        (Path::new(&recipe.model), PathBuf::from(&recipe.out), recipe.write.clone());
    match format {
        ExportFormat::Gguf => {
            let kind = match quant {
                ExportQuant::Q8_0 => Kind::Q8_0,
                ExportQuant::Q4_0 => Kind::Q4_0,
                ExportQuant::F16 => Kind::F16,
            };
            export_gguf(model, &dir, kind, SHARD_BYTES, true, progress).map(drop)
        }
        ExportFormat::Hf => {
            let precision = match dtype {
                ExportDtype::F32 => Precision::F32,
                ExportDtype::F16 => Precision::F16,
                ExportDtype::Bf16 => Precision::Bf16,
            };
            export(
                model,
                &Destination { dir, layout: Layout { precision, ..Layout::default() }, force: true },
                progress,
            )
        }
    }
}

/// As [`export`], with an adapter merged into the weights of its base.
///
/// # Errors
/// Also when the adapter cannot be used or is of another model.
pub fn merge(
    base: &Path,
    adapter: &Path,
    to: &Destination,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), ExportError> {
    check(&to.dir, to.force, base)?;
    let config = read_config(base)?;
    let mut teller = Teller::start(3, progress);
    let change = Adapter::read(adapter)?;
    teller.done(adapter);
    let weights = change.merge(&Weights::read(base, DType::F32, &Device::Cpu)?)?;
    teller.done(base);
    write(&config, &weights, base, to, &mut teller)
}

/// The configuration of a directory whose tokenizer and processor can be read too.
fn read_config(dir: &Path) -> Result<Config, ExportError> {
    if !dir.is_dir() {
        return Err(LoadError::NoDirectory { dir: dir.to_owned() }.into());
    }
    let config = Config::read(dir)?;
    Processor::read(dir, &config)?;
    Ok(config)
}

fn write(
    config: &Config,
    weights: &Weights,
    source: &Path,
    to: &Destination,
    teller: &mut Teller<'_>,
) -> Result<(), ExportError> {
    // Building the model finds what is missing before anything is written.
    Qwen2_5Vl::new(config.clone(), weights, &Device::Cpu)?;
    save::model(&to.dir, config, weights, Some(source), to.layout)?;
    teller.done(&to.dir);
    Ok(())
}
