//! Assessing a batch: models answer about the images of manifests, and each answer is on disk before the next ones
//! are begun, so that an interrupted run goes on where it was.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use qponder_kernels::pixels::RgbImage;
use qponder_shared::api::{Mode, Sampling};
use qponder_shared::manifest::Row;
use qponder_shared::recipe::AssessRecipe;
use serde::{Deserialize, Serialize};

use crate::assess::{Answer, Assessor, Event, Finish, Flow, LoadError, Request};
use crate::dataset::manifest::{Manifest, ManifestError};
use crate::device::Place;
use crate::journal::{Journal, JournalError, Opened, peek};
use crate::train::TrainError;
use crate::train::data::Item;

/// The journal, in the recipe's `out`.
pub const ANSWERS: &str = "answers.jsonl";
/// What came of it, in the recipe's `out`.
pub const REPORT: &str = "report.json";

/// Why a batch is not assessed, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Save(#[from] TrainError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the model {model} failed at {image}: {reason}")]
    Model { model: String, image: String, reason: String },
    #[error("{path} holds answers of other models, images or settings; move it away to begin anew")]
    Another { path: PathBuf },
    #[error("no image of the manifests belongs to the split {split}")]
    NoRows { split: &'static str },
    #[error("stopped after {answered} of {wanted} answers; the same command goes on from there")]
    Stopped { answered: usize, wanted: usize },
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Place of the model in the recipe.
    pub place: usize,
    /// Name of its directory.
    pub model: String,
    /// Hash of its weights.
    pub model_sha256: String,
    pub mode: Mode,
    pub sampling: Sampling,
    /// Path of the image.
    pub image: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of asking about an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Answered(Answered),
    /// The image cannot be read, or does not fit the model.
    Failed {
        error: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub text: String,
    /// 1 to 5; `None` where the answer has no readable one.
    pub score: Option<f64>,
    /// Of bad to excellent; in quick mode.
    pub level_probabilities: Option<[f64; 5]>,
    /// It reached the limit of its length.
    pub is_cut: bool,
    pub prompt_version: String,
    pub prompt_tokens: usize,
    pub new_tokens: usize,
    /// From the start of its batch to its end.
    pub ms: u64,
}

impl From<Answer> for Answered {
    fn from(answer: Answer) -> Self {
        Self {
            text: answer.text,
            score: answer.score.map(|score| score.get()),
            level_probabilities: answer.level_probabilities,
            is_cut: answer.finish == Finish::Length,
            prompt_version: answer.prompt_version,
            prompt_tokens: answer.prompt_tokens,
            new_tokens: answer.new_tokens,
            ms: answer.ms,
        }
    }
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// `step` of `steps` answers are there from before.
    Started { step: usize, steps: usize },
    /// So many answers are on the disk.
    Progress { step: usize },
    /// An image that could not be assessed.
    Failed { id: String, reason: String },
}

/// What came of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub images: usize,
    /// Answers, over all models.
    pub answered: usize,
    /// Of these, those without a readable score.
    pub unreadable: usize,
    /// Images without an answer, over all models.
    pub failed: usize,
}

/// Has every model of a recipe answer about every image. The same call goes on where it was interrupted; when `stop`
/// is set, it ends within a token.
///
/// # Errors
/// When a manifest or a model cannot be read, or a model fails; when the journal is of another recipe or cannot be
/// written, or `stop` is set.
pub fn assess_batch(
    recipe: &AssessRecipe,
    device: Place,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, BatchError> {
    let out = Path::new(&recipe.out);
    let items = items(recipe)?;
    let missing = recipe.models.iter().map(PathBuf::from).find(|dir| !dir.is_dir());
    if let Some(dir) = missing {
        return Err(LoadError::NoDirectory { dir }.into());
    }
    std::fs::create_dir_all(out).map_err(|source| BatchError::Io { path: out.to_owned(), source })?;
    let path = out.join(ANSWERS);
    let Opened { mut journal, entries, .. } = Journal::<Entry>::open(&path)?;
    let images: HashSet<&str> = items.iter().map(|item| item.row.image.as_str()).collect();
    let (batch, mode, sampling) = (recipe.answer.batch, recipe.answer.mode, recipe.answer.sampling());
    let is_ours = |entry: &Entry| {
        images.contains(entry.image.as_str())
            && (entry.mode, entry.sampling) == (mode, sampling)
            && entry.place < recipe.models.len()
    };
    if !entries.iter().all(is_ours) {
        return Err(BatchError::Another { path });
    }
    let known: HashSet<(usize, &str)> = entries.iter().map(|one| (one.place, one.image.as_str())).collect();
    let (mut step, steps) = (known.len(), items.len() * recipe.models.len());
    progress(&Progress::Started { step, steps });
    for (place, dir) in recipe.models.iter().enumerate() {
        // One after the other: together they may not fit.
        let assessor = Assessor::load(Path::new(dir), device)?;
        let is_same = |entry: &Entry| entry.place != place || entry.model_sha256 == assessor.info().sha256;
        if !entries.iter().all(is_same) {
            return Err(BatchError::Another { path });
        }
        let open: Vec<&Item> =
            items.iter().filter(|item| !known.contains(&(place, item.row.image.as_str()))).collect();
        let mut each = |group: Vec<Asked<'_>>| {
            let entries = group.into_iter().map(|(item, outcome)| Entry {
                place,
                model: assessor.info().name.clone(),
                model_sha256: assessor.info().sha256.clone(),
                mode,
                sampling,
                image: item.row.image.clone(),
                outcome: outcome.map_or_else(|error| Outcome::Failed { error }, Outcome::Answered),
            });
            let entries: Vec<Entry> = entries.collect();
            journal.append(&entries)?;
            step += entries.len();
            for entry in &entries {
                if let Outcome::Failed { error } = &entry.outcome {
                    progress(&Progress::Failed { id: entry.image.clone(), reason: error.clone() });
                }
            }
            progress(&Progress::Progress { step });
            Ok(())
        };
        let request = move |image| Request { image, mode, sampling, wording: None };
        answer_all(&assessor, &open, (batch, &request), stop, &mut each)?;
        if stop.load(Ordering::Relaxed) && step < steps {
            return Err(BatchError::Stopped { answered: step, wanted: steps });
        }
    }
    drop(journal);
    let report = report(&peek(&path)?, items.len());
    crate::save::write_json(&out.join(REPORT), &serde_json::to_value(report).unwrap_or_default())?;
    Ok(report)
}

/// An image, and what came of asking about it.
type Asked<'a> = (&'a Item, Result<Answered, String>);

/// The images of a recipe, each once.
fn items(recipe: &AssessRecipe) -> Result<Vec<Item>, BatchError> {
    let mut seen = HashSet::new();
    let mut items = Vec::new();
    for path in &recipe.data.manifests {
        let manifest = Manifest::read(Path::new(path))?;
        let dir = manifest.dir().to_owned();
        let is_wanted = |row: &Row| recipe.data.split.is_none_or(|split| row.split == split);
        items.extend(manifest.rows.into_iter().filter(is_wanted).filter_map(|mut row| {
            let path = dir.join(&row.image);
            // Of several manifests, names are told apart by their directories.
            row.image = path.display().to_string();
            seen.insert(path.clone()).then_some(Item { path, row })
        }));
    }
    if items.is_empty() {
        return Err(BatchError::NoRows { split: recipe.data.split.map_or("all", |split| split.name()) });
    }
    Ok(match recipe.data.limit {
        Some(limit) => crate::train::data::spread(&items, limit),
        None => items,
    })
}

/// Answers batch by batch while the next images are decoded on another thread. `each` gets what came of a batch; those
/// that `stop` cut short are not among it.
fn answer_all(
    assessor: &Assessor,
    items: &[&Item],
    (batch, request): (usize, &dyn Fn(RgbImage) -> Request),
    stop: &AtomicBool,
    each: &mut dyn FnMut(Vec<Asked<'_>>) -> Result<(), BatchError>,
) -> Result<(), BatchError> {
    std::thread::scope(|scope| {
        let (decoded, next) = mpsc::sync_channel(batch);
        scope.spawn(move || {
            for item in items {
                // Nobody waits for it after an error.
                if decoded.send((*item, item.image().map_err(|error| error.to_string()))).is_err() {
                    return;
                }
            }
        });
        // Gone with this closure, so that the thread above does not wait for it after an error.
        let next = next;
        while !stop.load(Ordering::Relaxed) {
            let group: Vec<(&Item, Result<RgbImage, String>)> = next.iter().take(batch).collect();
            if group.is_empty() {
                break;
            }
            each(answer(assessor, group, request, stop)?)?;
        }
        Ok(())
    })
}

fn answer<'a>(
    assessor: &Assessor,
    group: Vec<(&'a Item, Result<RgbImage, String>)>,
    request: &dyn Fn(RgbImage) -> Request,
    stop: &AtomicBool,
) -> Result<Vec<Asked<'a>>, BatchError> {
    let mut failed = None;
    let (mut requests, mut asked, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for (item, image) in group {
        match image {
            Ok(image) => {
                requests.push(request(image));
                asked.push(item);
            }
            Err(error) => outcomes.push((item, Err(error))),
        }
    }
    assessor.answer(&requests, &mut |index, event| {
        let outcome = match event {
            Event::Text(_) => None,
            Event::Done(answer) if answer.finish == Finish::Cancelled => None,
            Event::Done(answer) => Some(Ok(answer.into())),
            Event::Refused(reason) => Some(Err(reason)),
            // No fault of the image: another attempt may do it.
            Event::Failed(reason) => {
                let (model, image) = (assessor.info().name.clone(), asked[index].row.image.clone());
                failed.get_or_insert(BatchError::Model { model, image, reason });
                None
            }
        };
        outcomes.extend(outcome.map(|outcome| (asked[index], outcome)));
        if stop.load(Ordering::Relaxed) { Flow::Cancel } else { Flow::Continue }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(outcomes),
    }
}

fn report(entries: &[Entry], images: usize) -> Report {
    let mut report = Report { images, ..Report::default() };
    for entry in entries {
        match &entry.outcome {
            Outcome::Answered(answer) => {
                report.answered += 1;
                report.unreadable += usize::from(answer.score.is_none());
            }
            Outcome::Failed { .. } => report.failed += 1,
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_on_where_it_stopped_and_holds_to_its_recipe() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let dir = tempfile::tempdir().expect("a directory");
        let photograph = root.join("tests/fixtures/photographs/brook.jpg");
        std::fs::copy(&photograph, dir.path().join("a.jpg")).expect("copied");
        std::fs::write(dir.path().join("b.png"), "no image").expect("written");
        let row = |image: &str| {
            format!(
                "{{\"id\":\"{image}\",\"image\":\"{image}\",\"mos\":3.0,\"reference\":\"{image}\",\"split\":\"val\",\
                 \"source\":\"test\"}}\n"
            )
        };
        let manifest = dir.path().join("manifest.jsonl");
        std::fs::write(&manifest, row("a.jpg") + &row("b.png")).expect("written");
        let toml = format!(
            "models = [{:?}]\nout = {:?}\n[data]\nmanifests = [{manifest:?}]\n[answer]\nmode = \"quick\"\n",
            root.join("models/nano-ci"),
            dir.path().join("out")
        );
        let recipe = AssessRecipe::parse(&toml).expect("a recipe");
        let run = |recipe: &AssessRecipe, stop: bool| {
            let mut heard = Vec::new();
            let device = "cpu".parse().expect("a device");
            let ended = assess_batch(recipe, device, &stop.into(), &mut |event| heard.push(event.clone()));
            (ended, heard)
        };
        let (stopped, _) = run(&recipe, true);
        assert!(matches!(stopped, Err(BatchError::Stopped { answered: 0, wanted: 2 })), "{stopped:?}");
        let (report, heard) = run(&recipe, false);
        let wanted = Report { images: 2, answered: 1, unreadable: 0, failed: 1 };
        assert_eq!(report.expect("a report"), wanted);
        assert_eq!(heard[0], Progress::Started { step: 0, steps: 2 });
        assert!(
            heard.iter().any(|event| matches!(event, Progress::Failed { id, .. } if id.ends_with("b.png")))
        );
        // What is answered is not asked again, and what it is asked does not change under it.
        let (report, heard) = run(&recipe, false);
        assert_eq!(
            (report.expect("a report"), &heard[..]),
            (wanted, &[Progress::Started { step: 2, steps: 2 }][..])
        );
        let mut other = recipe.clone();
        other.answer.seed = 1;
        assert!(matches!(run(&other, false).0, Err(BatchError::Another { .. })));
        other.data.split = Some(qponder_shared::manifest::Split::Test);
        assert!(matches!(run(&other, false).0, Err(BatchError::NoRows { split: "test" })));
        other.models = vec!["nowhere".to_owned()];
        other.data.split = None;
        assert!(matches!(run(&other, false).0, Err(BatchError::Load(LoadError::NoDirectory { .. }))));
    }
}
