//! What a step trains on: images, labels and wording, each a function of the recipe and an index.

use std::path::{Path, PathBuf};

use qponder_kernels::pixels::{Limits, Patches, RgbImage, decode};
use qponder_shared::api::Mode;
use qponder_shared::manifest::{Row, Split};
use qponder_shared::recipe::Data;
use qponder_shared::{Level, Score, prompt};

use super::TrainError;
use crate::dataset::manifest::Manifest;
use crate::dataset::preflight::preflight;
use crate::degrade::Rng;
use crate::processor::Processor;
use crate::qwen2_5_vl::Inputs;
use crate::teacher;

/// What stands for no distortion where there is an index among the 25.
const NO_DISTORTION: u32 = 25;

/// A manifest row with the place of its image.
#[derive(Clone, Debug)]
pub struct Item {
    pub row: Row,
    pub path: PathBuf,
}

impl Item {
    /// Index of the worst distortion among the 25, or 25 for none; with its severity, 0 for none. `None`
    /// where it is not known what was done to the image.
    #[must_use]
    pub fn distortion(&self) -> Option<(u32, u32)> {
        let worst = self.row.distortions.iter().max_by_key(|d| d.level);
        let known = worst.map_or((NO_DISTORTION, 0), |d| (d.kind as u32, u32::from(d.level.get())));
        self.row.distortions_known().then_some(known)
    }

    /// Decodes the image.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn image(&self) -> Result<RgbImage, TrainError> {
        let failed = |reason: String| TrainError::Image { path: self.path.clone(), reason };
        let bytes = std::fs::read(&self.path).map_err(|e| failed(e.to_string()))?;
        let decoded = decode(&bytes, &Limits::default()).map_err(|e| failed(e.to_string()))?;
        Ok(decoded.image)
    }
}

/// The rows of several manifests that belong to a split.
///
/// # Errors
/// Names the manifest and line that cannot be read.
pub fn read_manifests<P: AsRef<Path>>(manifests: &[P], split: Split) -> Result<Vec<Item>, TrainError> {
    let mut items = Vec::new();
    for manifest in manifests {
        let manifest = Manifest::read(manifest.as_ref())?;
        let dir = manifest.dir().to_owned();
        let own = manifest.rows.into_iter().filter(|row| row.split == split);
        items.extend(own.map(|row| Item { path: dir.join(&row.image), row }));
    }
    Ok(items)
}

/// The rows that a training learns from, and those that it is validated with.
///
/// # Errors
/// Names the manifest and line that cannot be read, or what a glance shows to be wrong with the rows or their
/// images; see [`preflight`].
pub fn read_dataset(data: &Data) -> Result<(Vec<Item>, Vec<Item>), TrainError> {
    let Data { manifests, pristine, .. } = data;
    let mut training = read_manifests(manifests, Split::Train)?;
    if training.is_empty() {
        return Err(TrainError::NoRows { split: "train" });
    }
    let held_out = read_manifests(manifests, Split::Val)?;
    preflight(training.iter().chain(&held_out).map(|item| (&item.row, item.path.as_path())))?;
    repeat_pristine(&mut training, *pristine)?;
    Ok((training, held_out))
}

/// Adds images that nothing was done to once more, one after the other, until they are `share` of all.
fn repeat_pristine(items: &mut Vec<Item>, share: f64) -> Result<(), TrainError> {
    let (pristine, others): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| matches!(item.distortion(), Some((NO_DISTORTION, _))));
    let wanted = (others.len() as f64 * share / (1.0 - share)).round() as usize;
    if wanted > 0 && pristine.is_empty() {
        return Err(TrainError::NoPristine { share });
    }
    let missing = wanted.saturating_sub(pristine.len());
    let again: Vec<Item> = pristine.into_iter().cycle().take(missing).cloned().collect();
    items.extend(again);
    Ok(())
}

/// At most `count` items, spread evenly over all.
#[must_use]
pub fn spread(items: &[Item], count: usize) -> Vec<Item> {
    let count = count.min(items.len());
    (0..count).map(|i| items[i * items.len() / count].clone()).collect()
}

/// What one image teaches.
pub struct Example {
    pub patches: Patches,
    /// The label, 1 to 5.
    pub label: f64,
    /// See [`Item::distortion`].
    pub distortion: Option<(u32, u32)>,
    /// Prompt and answer in reasoning mode; `None` where no teacher has an answer or quick mode alone is learned.
    pub reason: Option<Tokens>,
    /// Prompt and answer in quick mode.
    pub quick: Tokens,
}

/// A prompt with its answer as token ids; the answer includes the token that ends it.
pub struct Tokens {
    pub prompt: Inputs,
    pub answer: Vec<u32>,
}

impl Tokens {
    /// Prompt and answer as one sequence.
    #[must_use]
    pub fn sequence(&self) -> Inputs {
        let mut inputs = self.prompt.clone();
        inputs.say(&self.answer);
        inputs
    }
}

/// Makes examples from items.
pub struct Examples<'a> {
    pub processor: &'a Processor,
    pub seed: u64,
    pub augment: bool,
    /// Whether reasoning is learned too.
    pub reasons: bool,
}

impl Examples<'_> {
    /// The example of the `draw`-th draw of a run, which is of `item`.
    ///
    /// # Errors
    /// When the image cannot be read or the processor fails.
    pub fn make(&self, item: &Item, draw: u64) -> Result<Example, TrainError> {
        let mut rng = Rng::new(self.seed, draw);
        let mut image = item.image()?;
        if self.augment {
            image = image.symmetry(rng.below(8));
        }
        let patches = Patches::new(&image, self.processor.patches())
            .map_err(|e| TrainError::Image { path: item.path.clone(), reason: e.to_string() })?;
        let label = item.row.label.value();
        let score = Score::clamped(label).ok_or_else(|| TrainError::Image {
            path: item.path.clone(),
            reason: "its label is no number".into(),
        })?;
        let seed = rng.next_u64();
        let written = || teacher::write(&item.row.distortions, score, seed);
        let reason = || item.row.answer.clone().or_else(|| item.row.distortions_known().then(written));
        let reason = self.reasons.then(reason).flatten();
        // The level word is drawn so that its expectation is the label.
        let below = (label.floor().clamp(1.0, 4.0)) as usize;
        let level = Level::ALL[below - 1 + usize::from(f64::from(rng.unit()) < label - below as f64)];
        Ok(Example {
            reason: reason.map(|answer| self.tokens(Mode::Reason, &answer, &patches, item)).transpose()?,
            quick: self.tokens(Mode::Quick, level.word(), &patches, item)?,
            patches,
            label,
            distortion: item.distortion(),
        })
    }

    /// The prompt of a mode and an answer; patches are left out of the inputs.
    fn tokens(&self, mode: Mode, answer: &str, patches: &Patches, item: &Item) -> Result<Tokens, TrainError> {
        let text = self.processor.chat(prompt::SYSTEM, prompt::current(mode).text, 1)?;
        let outline = Patches { values: Vec::new(), grid: patches.grid };
        let unfit = |reason: String| TrainError::Image { path: item.path.clone(), reason };
        let prompt = self.processor.inputs_of_patches(&text, &[outline]).map_err(|e| unfit(e.to_string()))?;
        let mut answer = self.processor.tokenise(answer)?;
        answer.extend(self.processor.end_of_text().first());
        let (tokens, most) = (prompt.ids.len() + answer.len(), self.processor.max_tokens());
        if tokens > most {
            return Err(unfit(format!("with its answer it has {tokens} tokens, and the model takes {most}")));
        }
        Ok(Tokens { prompt, answer })
    }
}

/// The item of the `draw`-th draw: every epoch is another permutation of all items.
pub struct Order {
    items: usize,
    seed: u64,
    epoch: Option<(u64, Vec<u32>)>,
}

impl Order {
    /// An order over `items` items, at least one.
    #[must_use]
    pub fn new(items: usize, seed: u64) -> Self {
        Self { items, seed, epoch: None }
    }

    /// The draws of a step of `batch` images, which counts from 1, each with the index of its item.
    pub fn step(&mut self, step: usize, batch: usize) -> Vec<(u64, usize)> {
        let first = (step - 1) as u64 * batch as u64;
        (first..first + batch as u64).map(|draw| (draw, self.item(draw))).collect()
    }

    /// Index of the item of a draw.
    fn item(&mut self, draw: u64) -> usize {
        let epoch = draw / self.items as u64;
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let mut rng = Rng::new(self.seed ^ 0x6F72_6465_7200, epoch);
            let mut permutation: Vec<u32> = (0..self.items as u32).collect();
            for i in (1..permutation.len()).rev() {
                permutation.swap(i, rng.below(i + 1));
            }
            self.epoch = Some((epoch, permutation));
        }
        self.epoch
            .as_ref()
            .map_or(0, |(_, permutation)| permutation[(draw % self.items as u64) as usize] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(distorted: usize, pristine: usize, unknown: usize) -> Vec<Item> {
        let item = |id: String, facts: &str| {
            let row = format!(
                r#"{{"id":"{id}","image":"{id}.png",{facts},"reference":"{id}","split":"train","source":"s"}}"#
            );
            Item { row: serde_json::from_str(&row).expect(&row), path: id.into() }
        };
        let of = |count: usize, name: &str, facts: &str| -> Vec<Item> {
            (0..count).map(|i| item(format!("{name}{i}"), facts)).collect()
        };
        let blurred = r#""proxy":3.0,"distortions":[{"kind":"lens_blur","level":2}]"#;
        [of(distorted, "d", blurred), of(pristine, "p", r#""proxy":5.0"#), of(unknown, "u", r#""mos":3.0"#)]
            .concat()
    }

    #[test]
    fn pristine_images_come_again_until_they_are_the_share() {
        let repeated = |mut all: Vec<Item>, share: f64| -> Vec<String> {
            repeat_pristine(&mut all, share).expect("pristine images");
            all.into_iter().map(|item| item.row.id).collect()
        };
        assert_eq!(repeated(items(4, 2, 2), 0.0).len(), 8);
        assert_eq!(repeated(items(4, 2, 2), 0.2).len(), 8, "two of eight are more than a fifth already");
        let half = repeated(items(3, 2, 2), 0.5);
        assert_eq!(half[7..], ["p0", "p1", "p0"], "five of ten");
        assert!(repeat_pristine(&mut items(3, 0, 2), 0.0).is_ok());
        let error = repeat_pristine(&mut items(3, 0, 2), 0.1).expect_err("none is known to be pristine");
        assert!(error.to_string().contains("data.pristine is 0.1"), "{error}");
    }

    #[test]
    fn an_epoch_draws_every_item_once() {
        let mut order = Order::new(10, 3);
        for epoch in 0..3 {
            let mut drawn: Vec<usize> = (0..10).map(|i| order.item(epoch * 10 + i)).collect();
            drawn.sort_unstable();
            assert_eq!(drawn, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(order.item(4), Order::new(10, 3).item(4));
    }
}
