//! What a training reads and where it writes: the names of a recipe as directories and files of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qponder_shared::job::{Base, JobRecipe};
use qponder_shared::{DatasetId, JobId};

use crate::store::Store;
use crate::store::leases::Lease;
use crate::store::objects::{Kind, Objects};

/// Lines of a dataset that are read at a time.
const CHUNK: i64 = 500;

/// Where models and jobs lie.
#[derive(Clone)]
pub struct Places {
    /// Directories of models by their names.
    models: BTreeMap<String, PathBuf>,
    /// A folder for each job.
    jobs: PathBuf,
}

/// Why a job cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// Something that it names is not there; trying again does not help.
    #[error("{0}")]
    Missing(String),
    /// It may be there the next time.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for Unready {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Failed("the disk is full: make room, then try it again".to_owned());
        }
        Self::Failed(format!("a file of the job could not be written: {error}"))
    }
}

impl Places {
    /// Models in these directories, and jobs in folders of `jobs`.
    pub fn new(models: &[PathBuf], jobs: PathBuf) -> Self {
        let models = models.iter().filter_map(|dir| {
            let dir = dir.canonicalize().ok()?;
            Some((dir.file_name()?.to_string_lossy().into_owned(), dir))
        });
        Self { models: models.collect(), jobs }
    }

    /// The folder of a job.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.jobs.join(job.to_string())
    }

    /// What a job trained, or is training.
    pub fn output(&self, job: JobId) -> PathBuf {
        self.folder(job).join("out")
    }

    /// Writes the recipe for the child, with the datasets that it names; returns the recipe's path.
    pub async fn prepare(&self, lease: &Lease, store: &Store, objects: &Objects) -> Result<PathBuf, Unready> {
        let recipe = JobRecipe::parse(lease.kind, &lease.recipe).map_err(Unready::Missing)?;
        let base = match &recipe.base {
            Base::Model(name) => self.models.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = self.models.keys().map(String::as_str).collect();
                Unready::Missing(format!("this worker has no model {name:?}; it has {}", known.join(", ")))
            })?,
            Base::Job(id) => self.output(*id),
        };
        if !base.join("config.json").is_file() {
            return Err(Unready::Missing(format!("{} has no model on this worker's machine", recipe.base)));
        }
        let folder = self.folder(lease.job);
        fs::create_dir_all(&folder)?;
        let mut manifests = Vec::new();
        for id in &recipe.datasets {
            let manifest = unpack(*id, &folder.join("data").join(id.to_string()), store, objects).await?;
            manifests.push(text(&manifest)?);
        }
        let whole = recipe.resolved(&text(&base)?, &text(&self.output(lease.job))?, manifests);
        let path = folder.join("recipe.toml");
        fs::write(&path, whole.map_err(Unready::Missing)?)?;
        Ok(path)
    }
}

fn text(path: &Path) -> Result<String, Unready> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Unready::Missing(format!("the path {} is no UTF-8", path.display())))
}

/// Writes a dataset into a folder, unless it is there already; returns the path of its manifest.
async fn unpack(id: DatasetId, folder: &Path, store: &Store, objects: &Objects) -> Result<PathBuf, Unready> {
    let manifest = folder.join("manifest.jsonl");
    // It comes last, so where it is everything is; and what is in a dataset never changes.
    if manifest.is_file() {
        return Ok(manifest);
    }
    let database = |error| Unready::Failed(format!("the dataset could not be read: {error}"));
    if store.dataset(id).await.map_err(database)?.is_none() {
        return Err(Unready::Missing(format!("there is no dataset {id}")));
    }
    fs::create_dir_all(folder.join("images"))?;
    let (mut text, mut after) = (String::new(), 0);
    loop {
        let lines = store.dataset_lines(id, after, CHUNK).await.map_err(database)?;
        let Some(last) = lines.last() else { break };
        after = last.position;
        for line in lines {
            text += &line.text;
            text.push('\n');
            let image = folder.join(format!("images/{}.{}", line.sha256, line.format));
            if image.is_file() {
                continue;
            }
            let bytes = objects.get(Kind::Original, &line.sha256).await;
            let bytes = bytes.map_err(|error| Unready::Failed(error.to_string()))?;
            let gone = || Unready::Missing(format!("the image {} of the dataset is gone", line.sha256));
            let unfinished = image.with_extension("part");
            fs::write(&unfinished, bytes.ok_or_else(gone)?)?;
            fs::rename(&unfinished, &image)?;
        }
    }
    let unfinished = folder.join("manifest.part");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, &manifest)?;
    Ok(manifest)
}
