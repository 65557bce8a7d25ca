//! What a job reads and where it writes: the names of a recipe as directories and files of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use qponder_pipeline::device::Place;
use qponder_pipeline::train::Estimate;
use qponder_shared::job::{Base, JobRecipe, JobState, Names, Source};
use qponder_shared::manifest::Row;
use qponder_shared::recipe::{EndpointRecipe, Kind, Recipe};
use qponder_shared::{DatasetId, JobId};

use super::artifacts::{self, ArtifactError};
use super::safe::{self, SafeError};
use crate::store::Store;
use crate::store::leases::Lease;
use crate::store::objects::{Kind as Stored, Objects};

/// Lines of a dataset that are read at a time.
const CHUNK: i64 = 500;
/// What a distillation calls the manifest of accepted answers.
const MANIFEST: &str = "manifest.jsonl";
/// The folder of a job with what it reads.
const DATA: &str = "data";
/// The folder of a job with what it makes.
const OUT: &str = "out";
/// In the folder of a training, a link to what it starts from.
const BASE: &str = "base";

/// Where models, teachers and jobs are.
#[derive(Clone)]
pub struct Places {
    /// Directories of models by their names.
    models: BTreeMap<String, PathBuf>,
    /// Endpoints of teachers by their names.
    teachers: BTreeMap<String, EndpointRecipe>,
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
    /// The object store does not answer, which is no fault of the job.
    #[error("{0}")]
    Away(String),
}

impl From<io::Error> for Unready {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Failed("the disk is full: make room, then try it again".to_owned());
        }
        Self::Failed(format!("a file of the job could not be written: {error}"))
    }
}

impl From<SafeError> for Unready {
    fn from(error: SafeError) -> Self {
        match error {
            SafeError::Artifact(error) => error.into(),
            SafeError::Store(error) => database(error),
        }
    }
}

impl From<ArtifactError> for Unready {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Io(error) => error.into(),
            ArtifactError::Objects(_) => Self::Away(error.to_string()),
            ArtifactError::Gone { .. } | ArtifactError::Damaged { .. } => Self::Missing(error.to_string()),
        }
    }
}

impl Places {
    /// Models in these directories, teachers behind these endpoints, and jobs in folders of `jobs`.
    pub fn new(models: &[PathBuf], teachers: &[EndpointRecipe], jobs: PathBuf) -> Self {
        let models = models.iter().filter_map(|dir| {
            let dir = dir.canonicalize().ok()?;
            Some((dir.file_name()?.to_string_lossy().into_owned(), dir))
        });
        let teachers = teachers.iter().map(|teacher| (teacher.model.clone(), teacher.clone()));
        Self { models: models.collect(), teachers: teachers.collect(), jobs }
    }

    /// The folder of a job.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.jobs.join(job.to_string())
    }

    /// What a job makes, or is making.
    pub fn output(&self, job: JobId) -> PathBuf {
        self.folder(job).join(OUT)
    }

    /// Jobs that have a folder here.
    pub fn folders(&self) -> io::Result<Vec<JobId>> {
        let entries = match fs::read_dir(&self.jobs) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut jobs = Vec::new();
        for entry in entries {
            jobs.extend(entry?.file_name().to_str().and_then(|name| name.parse::<JobId>().ok()));
        }
        Ok(jobs)
    }

    /// Removes what a job that is done needed: its checkpoints and what it read.
    pub fn tidy(&self, job: JobId) -> io::Result<()> {
        artifacts::remove_checkpoints(&self.output(job))?;
        match fs::remove_dir_all(self.folder(job).join(DATA)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the recipe for the child, with the datasets that it names; returns the recipe's path. What it names lies
    /// beside it and is named from there: a checkpoint knows its recipe by the text, and goes on on any machine.
    pub async fn prepare(&self, lease: &Lease, store: &Store, objects: &Objects) -> Result<PathBuf, Unready> {
        let recipe = JobRecipe::parse(lease.kind, &lease.recipe).map_err(Unready::Missing)?;
        let endpoint = match &recipe.teacher {
            None => None,
            Some(name) => Some(self.teachers.get(name).cloned().ok_or_else(|| {
                let known = listed(self.teachers.keys());
                Unready::Missing(format!(
                    "this worker has no teacher {name:?}; it has {known}. --teacher-endpoint names them"
                ))
            })?),
        };
        let folder = self.folder(lease.job);
        fs::create_dir_all(&folder)?;
        let mut bases = Vec::new();
        for base in &recipe.bases {
            let dir = self.model(base, store, objects).await?;
            bases.push(if lease.kind.trains() { link(&dir, &folder)? } else { text(&dir)? });
        }
        let mut manifests = Vec::new();
        for source in &recipe.sources {
            let data = Path::new(DATA).join(match source {
                Source::Dataset(id) => id.to_string(),
                Source::Job(id) => id.to_string(),
            });
            match source {
                Source::Dataset(id) => unpack(*id, &folder.join(&data), store, objects).await?,
                Source::Job(id) => unpack_answers(*id, &folder.join(&data), store, objects).await?,
            }
            manifests.push(text(&data.join(MANIFEST))?);
        }
        let names = Names { bases, manifests, endpoint, out: OUT.to_owned() };
        let path = folder.join("recipe.toml");
        // A version before this one named places of one machine, and checkpoints hold to what their recipe said.
        if safe::newest(&folder.join(OUT)).is_none() || !path.is_file() {
            fs::write(&path, recipe.resolved(names).map_err(Unready::Missing)?)?;
        }
        Ok(path)
    }

    /// What the models are called that a job names.
    pub async fn names(&self, lease: &Lease, store: &Store) -> Result<Vec<String>, Unready> {
        let recipe = JobRecipe::parse(lease.kind, &lease.recipe).map_err(Unready::Missing)?;
        store.names_of(&recipe.bases).await.map_err(database)
    }

    /// Bytes of memory that a training takes at most, about; `None` while what it starts from is not on this machine.
    pub async fn memory(&self, recipe: &JobRecipe, store: &Store) -> Option<u64> {
        let dir = match recipe.bases.first()? {
            Base::Model(name) => match self.models.get(name) {
                Some(dir) => dir.clone(),
                None => self.output(store.model_of_name(name).await.ok()??.job?),
            },
            Base::Job(id) => self.output(*id),
        };
        let manifests = vec![String::new(); recipe.sources.len()];
        let names = Names { bases: vec![text(&dir).ok()?], manifests, endpoint: None, out: "job".to_owned() };
        let resolved = recipe.resolved(names).ok()?;
        tokio::task::spawn_blocking(move || estimate(&resolved)).await.ok()?
    }

    /// The directory of a model, fetched where it is not on this machine.
    async fn model(&self, base: &Base, store: &Store, objects: &Objects) -> Result<PathBuf, Unready> {
        let job = match base {
            Base::Job(id) => *id,
            Base::Model(name) => {
                if let Some(dir) = self.models.get(name) {
                    return Ok(dir.clone());
                }
                let registered = store.model_of_name(name).await.map_err(database)?;
                registered.and_then(|model| model.job).ok_or_else(|| {
                    let known = listed(self.models.keys());
                    Unready::Missing(format!(
                        "there is no model {name:?}; this worker has {known}, and those that jobs trained"
                    ))
                })?
            }
        };
        let dir = self.output(job);
        if !dir.join("config.json").is_file() {
            let files = finished(job, store).await?;
            artifacts::fetch(&dir, &files, objects).await?;
        }
        if !dir.join("config.json").is_file() {
            return Err(Unready::Missing(format!("the job {job} has made no model")));
        }
        Ok(dir)
    }
}

/// What a training of the command line takes, on the kind of device that this program is built for.
fn estimate(recipe: &str) -> Option<u64> {
    let estimate = match Recipe::parse(Kind::of(recipe).ok()?, recipe).ok()? {
        Recipe::Sft(recipe) => Estimate::sft(&recipe, Place::default()),
        Recipe::Grpo(recipe) => Estimate::grpo(&recipe, Place::default()),
        Recipe::Distil(_)
        | Recipe::Evaluate(_)
        | Recipe::Judge(_)
        | Recipe::Assess(_)
        | Recipe::Export(_) => return None,
    };
    estimate.ok().map(|estimate| estimate.total())
}

/// The files of a job that is done.
async fn finished(job: JobId, store: &Store) -> Result<Vec<qponder_shared::job::Artifact>, Unready> {
    let found = store.job(job).await.map_err(database)?;
    if found.is_none_or(|found| found.state != JobState::Done) {
        return Err(Unready::Missing(format!("the job {job}, whose work is needed, is not done")));
    }
    store.artifacts(job).await.map_err(database)
}

fn database(error: crate::store::StoreError) -> Unready {
    Unready::Failed(format!("the database failed: {error}"))
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn text(path: &Path) -> Result<String, Unready> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Unready::Missing(format!("the path {} is no UTF-8", path.display())))
}

/// Makes a link to a model in the folder of a job; what it is called from there.
fn link(model: &Path, folder: &Path) -> Result<String, Unready> {
    let path = folder.join(BASE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::os::unix::fs::symlink(model, &path)?;
    Ok(BASE.to_owned())
}

/// Writes a dataset into a folder, unless it is there already.
async fn unpack(id: DatasetId, folder: &Path, store: &Store, objects: &Objects) -> Result<(), Unready> {
    let manifest = folder.join(MANIFEST);
    // It comes last, so where it is everything is; and what is in a dataset never changes.
    if manifest.is_file() {
        return Ok(());
    }
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
            fetch_image(
                &folder.join(format!("images/{}.{}", line.sha256, line.format)),
                &line.sha256,
                objects,
            )
            .await?;
        }
    }
    complete(&manifest, &text)
}

/// Writes what a distillation accepted into a folder, as [`unpack`] does. Its images lie beside it under their
/// hashes, whichever machine it was made on.
async fn unpack_answers(id: JobId, folder: &Path, store: &Store, objects: &Objects) -> Result<(), Unready> {
    let manifest = folder.join(MANIFEST);
    if manifest.is_file() {
        return Ok(());
    }
    let files = finished(id, store).await?;
    let accepted = files.into_iter().find(|file| file.name == MANIFEST);
    let accepted =
        accepted.ok_or_else(|| Unready::Missing(format!("the job {id} has accepted no answers")))?;
    let made = folder.join("made");
    artifacts::fetch(&made, &[accepted], objects).await?;
    fs::create_dir_all(folder.join("images"))?;
    let mut text = String::new();
    for line in fs::read_to_string(made.join(MANIFEST))?.lines() {
        let unreadable = |what: String| Unready::Missing(format!("the manifest of the job {id}: {what}"));
        let mut row: Row = serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
        let name = Path::new(&row.image).file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let name = name.ok_or_else(|| unreadable(format!("{:?} names no file", row.image)))?;
        let hash = name.split('.').next().unwrap_or_default();
        fetch_image(&folder.join("images").join(&name), hash, objects).await?;
        row.image = format!("images/{name}");
        text += &serde_json::to_string(&row).map_err(|error| unreadable(error.to_string()))?;
        text.push('\n');
    }
    complete(&manifest, &text)
}

async fn fetch_image(path: &Path, sha256: &str, objects: &Objects) -> Result<(), Unready> {
    if path.is_file() {
        return Ok(());
    }
    let bytes = objects.get(Stored::Original, sha256).await;
    let bytes = bytes.map_err(|error| Unready::Away(error.to_string()))?;
    let gone = || Unready::Missing(format!("the image {sha256} of the dataset is gone"));
    complete(path, bytes.ok_or_else(gone)?)
}

/// Writes a file that is there whole or not at all.
fn complete(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Unready> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, bytes)?;
    Ok(fs::rename(&unfinished, path)?)
}
