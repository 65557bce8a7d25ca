//! What a file says about how to ask its model: prompts as token ids, image settings, level words.

use super::model::Model;
use super::{EngineError, Prompt};
use crate::gguf::{Gguf, GgufError, Value, Writer};
use crate::layout;
use crate::pixels::{PatchConfig, Patches, RgbImage};

/// What is asked of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A level word, from which comes the score.
    Quick,
    /// Reasoning, then a score.
    Reason,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Reason => "reason",
        }
    }
}

/// The token ids around an image, and which prompt they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub version: String,
    pub before: Vec<u32>,
    pub after: Vec<u32>,
}

/// How to ask a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Instructions {
    pub quick: Words,
    pub reason: Words,
    /// First tokens of the level words, bad to excellent.
    pub levels: [u32; 5],
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// After this text an answer is complete.
    pub end_of_answer: String,
    pub image_token: u32,
    pub patches: PatchConfig,
}

impl Instructions {
    /// Adds them to a file.
    ///
    /// # Panics
    /// Never: a [`PatchConfig`] is always JSON.
    pub fn write(&self, file: &mut Writer) {
        for (task, words) in [(Task::Quick, &self.quick), (Task::Reason, &self.reason)] {
            let key = |part: &str| format!("qponder.{}.{part}", task.name());
            file.set(&key("version"), words.version.as_str().into());
            file.set(&key("before"), words.before.as_slice().into());
            file.set(&key("after"), words.after.as_slice().into());
        }
        file.set("qponder.levels", self.levels.as_slice().into());
        file.set("qponder.ends", self.ends.as_slice().into());
        file.set("qponder.end_of_answer", self.end_of_answer.as_str().into());
        file.set("qponder.image_token", Value::U32(self.image_token));
        let patches = serde_json::to_string(&self.patches).expect("settings are JSON");
        file.set("qponder.preprocessor", Value::Text(patches));
    }

    /// Reads them from the file of the language model.
    ///
    /// # Errors
    /// When the file was not exported by Q-Ponder, or an id is outside the vocabulary.
    pub fn read(file: &Gguf, model: &Model) -> Result<Self, EngineError> {
        if matches!(file.value("qponder.levels"), Err(GgufError::Missing(_))) {
            let reason = "the file has no prompts of Q-Ponder; export it with `qponder export gguf`";
            return Err(EngineError::Model(reason.into()));
        }
        let words = |task: Task| {
            let key = |part: &str| format!("qponder.{}.{part}", task.name());
            let version = file.text(&key("version"))?.to_owned();
            Ok::<_, GgufError>(Words {
                version,
                before: file.numbers(&key("before"))?,
                after: file.numbers(&key("after"))?,
            })
        };
        let levels = file.numbers("qponder.levels")?.try_into();
        let patches = serde_json::from_str(file.text("qponder.preprocessor")?);
        let instructions = Self {
            quick: words(Task::Quick)?,
            reason: words(Task::Reason)?,
            levels: levels.map_err(|_| EngineError::Model("there are not five level words".into()))?,
            ends: file.numbers("qponder.ends")?,
            end_of_answer: file.text("qponder.end_of_answer")?.to_owned(),
            image_token: file.number("qponder.image_token")? as u32,
            patches: patches.map_err(|error| EngineError::Model(format!("image settings: {error}")))?,
        };
        instructions.check(model)?;
        Ok(instructions)
    }

    fn check(&self, model: &Model) -> Result<(), EngineError> {
        let ids =
            [&self.quick, &self.reason].into_iter().flat_map(|words| words.before.iter().chain(&words.after));
        let mut ids = ids.chain(&self.levels).chain([&self.image_token]);
        if ids.any(|&id| id as usize >= model.text.vocabulary) {
            return Err(EngineError::Model("a prompt has a token outside the vocabulary".into()));
        }
        let (patches, vision) = (&self.patches, &model.vision);
        if (patches.patch_size, patches.merge_size) != (vision.patch_size, vision.merge) {
            return Err(EngineError::Model("the image settings' patches differ from the model's".into()));
        }
        Ok(())
    }

    /// The prompt about an image.
    ///
    /// # Errors
    /// When the image has an impossible shape, or is too large for the model's context.
    pub fn prompt(&self, task: Task, image: &RgbImage, model: &Model) -> Result<Prompt, EngineError> {
        let patches = Patches::new(image, &self.patches)?;
        let words = if task == Task::Quick { &self.quick } else { &self.reason };
        let mut ids = words.before.clone();
        ids.extend(std::iter::repeat_n(self.image_token, patches.tokens(&self.patches)));
        ids.extend(&words.after);
        if ids.len() >= model.text.context {
            return Err(EngineError::TooLong { tokens: ids.len(), context: model.text.context });
        }
        let positions = layout::positions(&ids, self.image_token, &[patches.grid], self.patches.merge_size);
        let Patches { values: patches, grid } = patches;
        Ok(Prompt { ids, image_token: self.image_token, positions, patches, grid })
    }

    /// Softmax over the level words of the logits `(vocabulary)` after a quick prompt.
    #[must_use]
    pub fn level_probabilities(&self, logits: &[f32]) -> [f64; 5] {
        let logits = self.levels.map(|token| f64::from(logits[token as usize]));
        let largest = logits.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let raised = logits.map(|logit| (logit - largest).exp());
        let total: f64 = raised.iter().sum();
        raised.map(|power| power / total)
    }
}
