//! Writes a dataset: PNG files and `manifest.jsonl`.
//!
//! Photographs are worked off one after the other in the order of their ids, the versions of one in
//! parallel. A photograph's lines are appended when all its images are written, so that an interrupted
//! run goes on with the first photograph that the manifest does not hold in full; photographs that were
//! put into the directory since are appended, too.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qponder_kernels::pixels::{Filter, RgbImage, encode_png, resize};
use qponder_shared::manifest::{Row, Split};
use qponder_shared::{Distortion, DistortionKind, Severity};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::preflight::glance;
use super::sample::{self, Photograph, Sample};
use super::{DatasetError, Source, sources, variation};
use crate::degrade::Rng;

/// The shortest side that may be asked for: two patches of Qwen2.5-VL, which become one token.
const SMALLEST: usize = 28;
/// How many photographs are laid over one, where they are exposed twice. Each must be decoded and shrunk.
const OTHERS: usize = 6;

/// What to make.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of pristine photographs.
    pub input: PathBuf,
    /// Directory of the dataset; an interrupted one is continued.
    pub out: PathBuf,
    pub settings: Settings,
    /// Threads; all cores when `None`. The result does not depend on it.
    pub threads: Option<usize>,
}

/// What decides the content of a dataset. It lies beside the manifest as `settings.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub kinds: Vec<DistortionKind>,
    pub levels: Vec<Severity>,
    /// Degraded versions of a photograph (and of each crop size), drawn at random; every kind at every
    /// level when `None`.
    pub per_image: Option<usize>,
    /// Sides of square crops, each at a place of its own; whole photographs when empty.
    pub sizes: Vec<usize>,
    /// The longer side of whole photographs, which are never more than three quarters of the original.
    pub max_side: usize,
    pub seed: u64,
    /// Whether training photographs, crops or whole, are also developed in other ways before they are
    /// degraded; whole ones are framed, scaled and turned in other ways as well.
    #[serde(default)]
    pub vary: bool,
    /// Whether training photographs are exposed twice before they are degraded, each image with another
    /// photograph, where that has room for it; of whole photographs only varied ones.
    #[serde(default)]
    pub double: bool,
}

impl Default for Settings {
    /// Whole photographs at KADID-10k's size, every kind at every level.
    fn default() -> Self {
        Self {
            kinds: DistortionKind::ALL.to_vec(),
            levels: Severity::ALL.to_vec(),
            per_image: None,
            sizes: Vec::new(),
            max_side: 512,
            seed: 0,
            vary: false,
            double: false,
        }
    }
}

/// How far it is: images done, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done: usize,
    pub total: usize,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Images that the manifest now lists.
    pub images: usize,
    /// Of which this call made so many.
    pub made: usize,
    /// Photographs too small for the crop sizes, each counted once a size.
    pub too_small: usize,
    /// Whether it was cancelled before all were made.
    pub cancelled: bool,
}

/// One image to make: its id, side of the crop or whole, and what happens to it.
struct Version {
    id: String,
    size: Option<usize>,
    distortion: Option<Distortion>,
}

/// Makes the dataset or what is missing of it.
///
/// `progress` is called from several threads after each image; `cancelled` is asked before each.
///
/// # Errors
/// See [`DatasetError`]. What was finished before stays, and a later call goes on from there.
pub fn make(
    config: &Config,
    progress: &(dyn Fn(Progress) + Sync),
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome, DatasetError> {
    let settings = &config.settings;
    if settings.kinds.is_empty() || settings.levels.is_empty() {
        return Err(DatasetError::NothingChosen);
    }
    settings.check_names_once()?;
    let sides = settings.sizes.iter().chain(settings.sizes.is_empty().then_some(&settings.max_side));
    if let Some(&side) = sides.min().filter(|side| **side < SMALLEST) {
        return Err(DatasetError::Side { side, least: SMALLEST });
    }
    let sources = sources(&config.input)?;
    let unfit = |source: &Source| Some((source.path.clone(), glance(&source.path).err()?));
    if let Some((path, source)) = sources.par_iter().find_map_first(unfit) {
        return Err(DatasetError::Unfit { path, source });
    }
    let images = config.out.join("images");
    fs::create_dir_all(&images).map_err(DatasetError::io("create", &images))?;
    claim(&config.out, settings)?;
    let (mut manifest, finished) = Manifest::open(&config.out.join("manifest.jsonl"))?;

    let threads = config.threads.unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| DatasetError::Threads { threads, source })?;
    let work = Work {
        settings,
        out: &config.out,
        done: AtomicUsize::new(0),
        total: sources.iter().map(|source| settings.versions(&source.id).len()).sum(),
        progress,
        cancelled,
    };
    let mut outcome = Outcome { images: manifest.lines, made: 0, too_small: 0, cancelled: false };
    for source in &sources {
        let versions = settings.versions(&source.id);
        if finished.contains(&source.id) {
            work.advance(versions.len());
            continue;
        }
        let others = settings.others(source, &sources);
        let Some(rows) = pool.install(|| work.photograph(source, &others, &versions)) else {
            outcome.cancelled = true;
            break;
        };
        let rows = rows?;
        let skipped = versions.iter().filter(|version| !rows.iter().any(|row| row.id == version.id));
        let mut sizes: Vec<_> = skipped.map(|version| version.size).collect();
        sizes.dedup();
        outcome.too_small += sizes.len();
        outcome.made += rows.len();
        manifest.append(&rows)?;
    }
    outcome.images = manifest.lines;
    Ok(outcome)
}

impl Settings {
    /// What is named twice would be made twice under one id.
    fn check_names_once(&self) -> Result<(), DatasetError> {
        fn repeated<T: PartialEq + ToString>(all: &[T]) -> Option<String> {
            let mut pairs = all.iter().enumerate();
            pairs.find(|(index, one)| all[..*index].contains(one)).map(|(_, one)| one.to_string())
        }
        let levels: Vec<u8> = self.levels.iter().map(|level| level.get()).collect();
        let found = [
            ("kinds", repeated(&self.kinds)),
            ("levels", repeated(&levels)),
            ("sizes", repeated(&self.sizes)),
        ];
        match found.into_iter().find_map(|(what, name)| Some((what, name?))) {
            Some((what, name)) => Err(DatasetError::NamedTwice { what, name }),
            None => Ok(()),
        }
    }

    /// The photographs that are laid over one, each over some of its images; none over one that is held out.
    fn others<'a>(&self, source: &Source, sources: &'a [Source]) -> Vec<&'a Source> {
        if !self.double || source.split != Split::Train {
            return Vec::new();
        }
        let is_other = |other: &&Source| other.split == Split::Train && other.id != source.id;
        let mut others: Vec<&Source> = sources.iter().filter(is_other).collect();
        let rng = &mut Rng::named(self.seed, &source.id);
        let count = OTHERS.min(others.len());
        (0..count).map(|_| others.swap_remove(rng.below(others.len()))).collect()
    }

    /// The images to make of a photograph, the pristine ones first.
    fn versions(&self, photograph: &str) -> Vec<Version> {
        let rng = &mut Rng::new(self.seed, sample::hash(photograph));
        let every: Vec<Distortion> = self
            .kinds
            .iter()
            .flat_map(|&kind| self.levels.iter().map(move |&level| Distortion { kind, level }))
            .collect();
        let mut chosen = || match self.per_image {
            None => every.clone(),
            Some(count) => shuffled(&every, rng).into_iter().cycle().take(count).collect(),
        };
        if self.sizes.is_empty() && self.vary {
            return numbered(photograph, None, chosen());
        }
        if self.sizes.is_empty() {
            let mut distortions = chosen();
            // Of a whole photograph there is only one version of each kind and level.
            distortions.truncate(every.len());
            let named = |distortion: Distortion| Version {
                id: format!("{photograph}-{}-{}", distortion.kind, distortion.level.get()),
                size: None,
                distortion: Some(distortion),
            };
            let pristine = Version { id: format!("{photograph}-pristine"), size: None, distortion: None };
            return std::iter::once(pristine).chain(distortions.into_iter().map(named)).collect();
        }
        self.sizes.iter().flat_map(|&size| numbered(photograph, Some(size), chosen())).collect()
    }
}

/// Versions that differ in more than their distortion; one in 25 more is pristine, and at least one.
fn numbered(photograph: &str, size: Option<usize>, distortions: Vec<Distortion>) -> Vec<Version> {
    let pristine = 1 + distortions.len() / 25;
    let all = std::iter::repeat_n(None, pristine).chain(distortions.into_iter().map(Some));
    let extent = size.map_or("whole".into(), |size| size.to_string());
    all.enumerate()
        .map(|(number, distortion)| Version {
            id: format!("{photograph}-{extent}-{number:03}"),
            size,
            distortion,
        })
        .collect()
}

fn shuffled(every: &[Distortion], rng: &mut Rng) -> Vec<Distortion> {
    let mut all = every.to_vec();
    for last in (1..all.len()).rev() {
        all.swap(last, rng.below(last + 1));
    }
    all
}

/// Writes the settings, or checks that they are those of the dataset that is there.
fn claim(out: &Path, settings: &Settings) -> Result<(), DatasetError> {
    let path = out.join("settings.json");
    match fs::read(&path) {
        Ok(bytes) if serde_json::from_slice(&bytes).is_ok_and(|found: Settings| found == *settings) => Ok(()),
        Ok(_) => Err(DatasetError::OtherSettings { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let manifest = out.join("manifest.jsonl");
            if manifest.exists() {
                return Err(DatasetError::Foreign { path: manifest });
            }
            let text = serde_json::to_vec_pretty(settings).map_err(io::Error::other);
            text.and_then(|text| fs::write(&path, text)).map_err(DatasetError::io("write", path))
        }
        Err(source) => Err(DatasetError::Io { action: "read", path, source }),
    }
}

struct Work<'a> {
    settings: &'a Settings,
    out: &'a Path,
    done: AtomicUsize,
    total: usize,
    progress: &'a (dyn Fn(Progress) + Sync),
    cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Work<'_> {
    /// Makes the versions of a photograph; `None` when cancelled. Crops that find no room are left out.
    fn photograph(
        &self,
        source: &Source,
        others: &[&Source],
        versions: &[Version],
    ) -> Option<Result<Vec<Row>, DatasetError>> {
        let copies = |other: &&Source| Ok(Photograph::new(other, &other.image()?));
        let others: Result<Vec<Photograph>, DatasetError> = others.par_iter().map(copies).collect();
        let (image, others) = match source.image().and_then(|image| Ok((image, others?))) {
            Ok(loaded) => loaded,
            Err(error) => return Some(Err(error)),
        };
        let photograph = Photograph::new(source, &image);
        let whole =
            self.settings.sizes.is_empty().then(|| shrunk(&image, self.settings.max_side, source.largest));
        let rows: Option<Vec<Result<Option<Row>, DatasetError>>> = versions
            .par_iter()
            .map(|version| {
                if (self.cancelled)() {
                    return None;
                }
                let row = self.version(&photograph, &others, whole.as_ref(), version);
                self.advance(1);
                Some(row)
            })
            .collect();
        Some(rows?.into_iter().filter_map(Result::transpose).collect())
    }

    /// Makes one image; `None` when the photograph has no room for its crop.
    fn version(
        &self,
        photograph: &Photograph,
        others: &[Photograph],
        whole: Option<&RgbImage>,
        version: &Version,
    ) -> Result<Option<Row>, DatasetError> {
        let rng = &mut Rng::new(self.settings.seed, sample::hash(&version.id));
        let own = self.pristine(photograph, version, rng);
        let Some(mut pristine) = own.or_else(|| whole.cloned()) else { return Ok(None) };
        if !others.is_empty()
            && let Some(second) = self.pristine(&others[rng.below(others.len())], version, rng)
        {
            let second = resize(&second, pristine.width(), pristine.height(), Filter::Bicubic);
            pristine = variation::expose(&pristine, &second, rng);
        }
        let Sample { pixels, row } =
            Sample::new(version.id.clone(), photograph, &pristine, version.distortion, rng.next_u64());
        let path = self.out.join(&row.image);
        let bytes =
            encode_png(&pixels).map_err(|source| DatasetError::Encode { path: path.clone(), source })?;
        fs::write(&path, bytes).map_err(DatasetError::io("write", path))?;
        Ok(Some(row))
    }

    /// What is degraded for a version: a crop, or the photograph in another frame; `None` when it has no room,
    /// and for whole photographs that are not varied.
    fn pristine(&self, photograph: &Photograph, version: &Version, rng: &mut Rng) -> Option<RgbImage> {
        let vary = self.settings.vary && photograph.split == Split::Train;
        match version.size {
            Some(size) => photograph.crop(size, vary, rng),
            None if vary => photograph.varied(self.settings.max_side, rng),
            None => None,
        }
    }

    fn advance(&self, images: usize) {
        let done = self.done.fetch_add(images, Ordering::Relaxed) + images;
        (self.progress)(Progress { done, total: self.total });
    }
}

/// The photograph at its `largest`, or as much smaller as the longer side asks for.
fn shrunk(image: &RgbImage, max_side: usize, largest: f64) -> RgbImage {
    let share = (max_side as f64 / image.width().max(image.height()) as f64).min(largest);
    let scaled = |side: usize| ((side as f64 * share).round() as usize).max(1);
    resize(image, scaled(image.width()), scaled(image.height()), Filter::Bicubic)
}

/// The manifest, open at its end.
struct Manifest {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Manifest {
    /// Opens or creates the manifest, cuts off the photograph that may be incomplete, and says which are
    /// there in full.
    fn open(path: &Path) -> Result<(Self, HashSet<String>), DatasetError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(DatasetError::io("open", path))?;
        // Before it is read: what another run writes meanwhile would be cut off.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(DatasetError::InUse { path: path.to_owned() });
        }
        let text = fs::read_to_string(path).map_err(DatasetError::io("read", path))?;
        // Photographs of complete lines, each with the place where its lines end.
        let mut photographs: Vec<(String, usize, usize)> = Vec::new();
        let mut end = 0;
        for (index, line) in text.split_inclusive('\n').filter(|line| line.ends_with('\n')).enumerate() {
            end += line.len();
            let row: Row = serde_json::from_str(line).map_err(|error| DatasetError::Manifest {
                path: path.to_owned(),
                line: index + 1,
                reason: error.to_string(),
            })?;
            match photographs.last_mut().filter(|(id, ..)| *id == row.reference) {
                Some((_, to, lines)) => (*to, *lines) = (end, index + 1),
                None => photographs.push((row.reference, end, index + 1)),
            }
        }
        // The last one was perhaps cut short by a full disk or a power cut; making it again is cheap.
        photographs.pop();
        let (end, lines) = photographs.last().map_or((0, 0), |(_, end, lines)| (*end, *lines));
        let finished = photographs.into_iter().map(|(id, ..)| id).collect();
        file.set_len(end as u64).map_err(DatasetError::io("open", path))?;
        Ok((Self { path: path.to_owned(), file, lines }, finished))
    }

    fn append(&mut self, rows: &[Row]) -> Result<(), DatasetError> {
        let mut text = String::new();
        for row in rows {
            let line = serde_json::to_string(row).map_err(io::Error::other);
            text += &line.map_err(DatasetError::io("write", &self.path))?;
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).map_err(DatasetError::io("write", &self.path))?;
        self.lines += rows.len();
        Ok(())
    }
}
