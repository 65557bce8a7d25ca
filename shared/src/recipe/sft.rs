//! Cold start: supervised training.

use serde::{Deserialize, Serialize};

use super::{
    Data, Learning, Lora, Optimiser, Part, Precision, RecipeError, Rule, Validation, first_broken, lora,
    named,
};

/// Cold start: supervised training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftRecipe {
    /// Checkpoint directory to start from; `nano:init` makes a fresh nano.
    pub base: String,
    /// Directory that gets the trained model, the checkpoints and the metrics.
    pub out: String,
    pub data: Data,
    #[serde(default)]
    pub train: Train,
    /// Adapters in place of full training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    #[serde(default)]
    pub validation: Validation,
}

/// What is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Cross-entropy on the assistant's tokens, reasoning and quick mode together.
    #[default]
    Answer,
    /// The level word of quick mode alone: scores without reasoning, as Q-Align learns them (Wu et al. 2023).
    Quick,
    /// The vision tower alone, with pooled heads for score, distortion and severity.
    Tower,
}

/// How it is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    pub objective: Objective,
    /// Parts that change; the others are frozen and cost no gradient. A `[lora]` section has its own.
    pub parts: Vec<Part>,
    pub optimiser: Optimiser,
    pub steps: usize,
    /// Images a step.
    pub batch: usize,
    /// Images a forward pass; a step accumulates over several.
    pub micro_batch: usize,
    pub learning_rate: f64,
    /// The vision tower's learning rate as a multiple of the others'.
    pub vision_rate: f64,
    /// Steps over which the rate rises from 0; then it falls along a cosine.
    pub warmup: usize,
    /// Where the cosine ends, as a multiple of the learning rate.
    pub final_rate: f64,
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Weight of the quick-mode answer beside the reasoning; nothing to the other objectives.
    pub quick_weight: f64,
    /// Weight of the pooled heads beside the answers; 0 leaves them out.
    pub auxiliary_weight: f64,
    pub seed: u64,
    /// 0 uses every core.
    pub threads: usize,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Make the layers' intermediate results again in the backward pass instead of keeping them: far less
    /// memory for about a third more work.
    pub recompute: bool,
    /// Answer tokens whose logits are in memory at once; 0 takes all. Large vocabularies need it.
    pub head_tokens: usize,
    /// What activations and frozen weights are computed in.
    pub precision: Precision,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            objective: Objective::Answer,
            parts: vec![Part::Vision, Part::Merger, Part::Language],
            optimiser: Optimiser::Adamw,
            steps: 1000,
            batch: 32,
            micro_batch: 8,
            learning_rate: 4e-4,
            vision_rate: 1.0,
            warmup: 50,
            final_rate: 0.05,
            weight_decay: 0.01,
            clip: 1.0,
            quick_weight: 0.5,
            auxiliary_weight: 0.0,
            seed: 0,
            threads: 0,
            checkpoint_every: 200,
            recompute: false,
            head_tokens: 0,
            precision: Precision::F32,
        }
    }
}

impl Train {
    /// What every kind of training sets alike.
    #[must_use]
    pub fn learning(&self) -> Learning {
        Learning {
            parts: self.parts.clone(),
            optimiser: self.optimiser,
            steps: self.steps,
            learning_rate: self.learning_rate,
            vision_rate: self.vision_rate,
            warmup: self.warmup,
            final_rate: self.final_rate,
            weight_decay: self.weight_decay,
            clip: self.clip,
            seed: self.seed,
            threads: self.threads,
            checkpoint_every: self.checkpoint_every,
            precision: self.precision,
        }
    }
}

impl SftRecipe {
    /// The `base` that makes a fresh nano.
    pub const NANO_INIT: &'static str = "nano:init";

    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(toml: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        recipe.check()?;
        Ok(recipe)
    }

    /// # Errors
    /// Names the first key that is out of its range.
    pub fn check(&self) -> Result<(), RecipeError> {
        let t = &self.train;
        named("base", &self.base)?;
        named("out", &self.out)?;
        let rules = [
            Rule::between("train.batch", t.batch as f64, 1.0, 65_536.0),
            Rule::new(
                "train.micro_batch",
                t.micro_batch as f64,
                (1..=t.batch).contains(&t.micro_batch),
                "it must be between 1 and train.batch",
            ),
            Rule::between("train.quick_weight", t.quick_weight, 0.0, 100.0),
            Rule::between("train.auxiliary_weight", t.auxiliary_weight, 0.0, 100.0),
            lora::parts_rule(self.lora.as_ref(), &t.parts, &Train::default().parts),
            self.validation.rule(),
        ];
        let lora = lora::rules(self.lora.as_ref());
        first_broken(self.data.rules().into_iter().chain(t.learning().rules()).chain(rules).chain(lora))?;
        match &self.lora {
            Some(lora) => self.check_lora(lora),
            None => Ok(()),
        }
    }

    /// Refuses adapters of a model that knows nothing yet, and of what the objective does not reach.
    fn check_lora(&self, lora: &Lora) -> Result<(), RecipeError> {
        if self.base == Self::NANO_INIT {
            let expected = "adapters need a trained model: name a checkpoint directory";
            return Err(RecipeError::Range {
                key: "base".into(),
                value: self.base.clone(),
                expected: expected.into(),
            });
        }
        let beyond = lora.targets.iter().filter(|target| target.part() != Part::Vision).count();
        if self.train.objective == Objective::Tower && beyond > 0 {
            let expected =
                "the objective tower trains the vision tower alone: name only visual.qkv and the like";
            return Err(RecipeError::Range {
                key: "lora.targets".into(),
                value: format!("beyond the tower with {beyond} of {} modules", lora.targets.len()),
                expected: expected.into(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "base = 'nano:init'\nout = 'out'\n[data]\nmanifests = ['m.jsonl']\n";

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        assert_eq!(SftRecipe::parse(LEAST).map(|r| r.train), Ok(Train::default()));
        for (extra, named) in [
            ("[train]\nstepz = 3\n", "stepz"),
            ("[train]\nsteps = 0\nwarmup = 0\n", "train.steps"),
            ("[train]\nlearning_rate = 2.0\n", "train.learning_rate"),
            ("[train]\nlearning_rate = nan\n", "train.learning_rate"),
            ("[validation]\nevery = 0\n", "validation.every"),
            ("[lora]\n", "base"),
            ("pristine = 1.0\n", "data.pristine"),
            ("pristine = -0.1\n", "data.pristine"),
        ] {
            let error =
                SftRecipe::parse(&format!("{LEAST}{extra}")).map(|_| ()).expect_err(extra).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
