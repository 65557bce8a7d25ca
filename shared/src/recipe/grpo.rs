//! GRPO: reinforcement learning from groups of sampled answers.

use serde::{Deserialize, Serialize};

use super::{
    Data, EndpointRecipe, Learning, Lora, Optimiser, Part, Precision, RecipeError, Rule, SftRecipe,
    Validation, first_broken, lora, named,
};

/// Group-relative policy optimisation (Shao et al., 2024) of a model that the cold start made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoRecipe {
    /// Checkpoint directory to start from; also the frozen policy that the KL term holds to.
    pub base: String,
    /// Directory that gets the trained model, the checkpoints, the metrics and the completions.
    pub out: String,
    pub data: Data,
    #[serde(default)]
    pub rollout: Rollout,
    #[serde(default)]
    pub reward: Rewards,
    /// Who gives the reward `judge`; there exactly when it has a weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<EndpointRecipe>,
    #[serde(default)]
    pub train: GrpoTrain,
    /// Adapters in place of full training; the frozen policy is then the same weights without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    #[serde(default)]
    pub validation: Validation,
}

/// How answers are sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rollout {
    /// Answers an image.
    pub group: usize,
    pub temperature: f64,
    pub top_p: f64,
    /// 0 keeps every token.
    pub top_k: usize,
    /// Longer answers are cut off there.
    pub max_new_tokens: usize,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { group: 8, temperature: 1.0, top_p: 1.0, top_k: 0, max_new_tokens: 192 }
    }
}

/// How the score's error becomes a reward from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreReward {
    /// `exp(−|error| / scale)`.
    #[default]
    Continuous,
    /// 1 where the error is below `scale` (Q-Insight).
    Threshold,
    /// Fidelity of the order against the other images of the step (VisualQuality-R1).
    Fidelity,
    /// `1 − (error / scale)²`, at least 0. As long as errors stay below `scale`, the best single answer is the mean
    /// of the labels that an image might have, where [`Self::Continuous`] with a wide scale has their median.
    Squared,
}

/// Weights of the rewards; each reward lies in 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rewards {
    /// The answer follows the grammar.
    pub format: f64,
    /// The score is near the label.
    pub score: f64,
    pub score_kind: ScoreReward,
    /// Points on the 1 to 5 scale; see [`ScoreReward`].
    pub score_scale: f64,
    /// The attributes support the score.
    pub consistency: f64,
    /// The known distortion and its severity are named.
    pub distortion: f64,
    /// The judge of `[judge]` finds the answer accurate, complete and reasonable: the mean of the three.
    #[serde(skip_serializing_if = "is_zero")]
    pub judge: f64,
    /// Taken off: the share of 4-grams of tokens that were there before.
    pub repetition: f64,
    /// Taken off: the share of `max_new_tokens` used beyond the first half.
    pub length: f64,
}

/// A weight that is not set is left out of a run's identity, which checkpoints carry.
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

impl Default for Rewards {
    fn default() -> Self {
        Self {
            format: 0.5,
            score: 1.0,
            score_kind: ScoreReward::Continuous,
            score_scale: 0.3,
            consistency: 0.5,
            distortion: 0.25,
            judge: 0.0,
            repetition: 0.0,
            length: 0.0,
        }
    }
}

/// How token losses are brought together; TRL's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Mean over answers of the mean over each one's tokens.
    Grpo,
    /// Mean over the tokens of a micro-batch.
    Bnpo,
    /// Mean over the tokens of the whole step.
    #[default]
    Dapo,
    /// Sum over tokens by answers times `max_new_tokens`: no bias to length.
    DrGrpo,
}

/// What advantages are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RewardScale {
    /// The standard deviation within the group.
    #[default]
    Group,
    /// The standard deviation over the step.
    Batch,
    /// Nothing.
    None,
}

/// How it is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoTrain {
    pub loss: LossKind,
    pub reward_scale: RewardScale,
    /// Parts that change; the others are frozen and cost no gradient. A `[lora]` section has its own.
    pub parts: Vec<Part>,
    pub optimiser: Optimiser,
    pub steps: usize,
    /// Images a step; each gets `rollout.group` answers.
    pub images: usize,
    /// Updates with the answers of one step; above 1 the ratio to the sampling policy is clipped.
    pub epochs: usize,
    pub learning_rate: f64,
    /// The vision tower's learning rate as a multiple of the others'.
    pub vision_rate: f64,
    pub warmup: usize,
    pub final_rate: f64,
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Weight of the KL divergence from the base model; 0 keeps no copy of it.
    pub beta: f64,
    /// The ratio is clipped below 1 minus this.
    pub epsilon_low: f64,
    /// The ratio is clipped above 1 plus this.
    pub epsilon_high: f64,
    /// Answers that were cut off teach nothing.
    pub mask_truncated: bool,
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

impl Default for GrpoTrain {
    fn default() -> Self {
        Self {
            loss: LossKind::Dapo,
            reward_scale: RewardScale::Group,
            parts: vec![Part::Merger, Part::Language],
            optimiser: Optimiser::Adamw,
            steps: 200,
            images: 16,
            epochs: 1,
            learning_rate: 1e-5,
            vision_rate: 1.0,
            warmup: 10,
            final_rate: 0.1,
            weight_decay: 0.0,
            clip: 1.0,
            beta: 0.0,
            epsilon_low: 0.2,
            epsilon_high: 0.2,
            mask_truncated: true,
            seed: 0,
            threads: 0,
            checkpoint_every: 50,
            recompute: false,
            head_tokens: 0,
            precision: Precision::F32,
        }
    }
}

impl GrpoTrain {
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

impl GrpoRecipe {
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
        let (o, r, t) = (&self.rollout, &self.reward, &self.train);
        named("base", &self.base)?;
        named("out", &self.out)?;
        if self.base == SftRecipe::NANO_INIT {
            let expected = "it needs a model that writes answers: name the directory of a cold start".into();
            return Err(RecipeError::Range { key: "base".into(), value: self.base.clone(), expected });
        }
        if let Some(judge) = &self.judge {
            judge.check_words("judge")?;
        }
        let rules = [
            Rule::between("rollout.group", o.group as f64, 2.0, 1024.0),
            Rule::between("rollout.temperature", o.temperature, 0.01, 10.0),
            Rule::between("rollout.top_p", o.top_p, 0.01, 1.0),
            Rule::between("rollout.max_new_tokens", o.max_new_tokens as f64, 1.0, 65_536.0),
            Rule::between("reward.format", r.format, 0.0, 100.0),
            Rule::between("reward.score", r.score, 0.0, 100.0),
            Rule::between("reward.score_scale", r.score_scale, 0.01, 4.0),
            Rule::between("reward.consistency", r.consistency, 0.0, 100.0),
            Rule::between("reward.distortion", r.distortion, 0.0, 100.0),
            Rule::between("reward.judge", r.judge, 0.0, 100.0),
            Rule::new(
                "reward.judge",
                r.judge,
                r.judge == 0.0 || self.judge.is_some(),
                "say in [judge] whom to ask (base_url, model), or leave the weight out",
            ),
            Rule::new(
                "reward.judge",
                r.judge,
                r.judge > 0.0 || self.judge.is_none(),
                "without a weight the endpoint of [judge] would be asked for nothing; set one, or remove [judge]",
            ),
            Rule::new(
                "reward.score",
                r.score,
                [r.format, r.score, r.consistency, r.distortion, r.judge, r.repetition, r.length]
                    .iter()
                    .any(|&weight| weight != 0.0),
                "with every weight at 0 nothing would be learned: let it, or another, be above 0",
            ),
            Rule::between("reward.repetition", r.repetition, 0.0, 100.0),
            Rule::between("reward.length", r.length, 0.0, 100.0),
            Rule::between("train.images", t.images as f64, 1.0, 65_536.0),
            Rule::new(
                "train.images",
                t.images as f64,
                t.images > 1 || r.score_kind != ScoreReward::Fidelity,
                "the fidelity reward compares images, so it must be at least 2",
            ),
            Rule::between("train.epochs", t.epochs as f64, 1.0, 100.0),
            Rule::between("train.beta", t.beta, 0.0, 100.0),
            Rule::between("train.epsilon_low", t.epsilon_low, 0.0, 1.0),
            Rule::between("train.epsilon_high", t.epsilon_high, 0.0, 100.0),
            lora::parts_rule(self.lora.as_ref(), &t.parts, &GrpoTrain::default().parts),
            self.validation.rule(),
        ];
        let lora = lora::rules(self.lora.as_ref());
        let judge = self.judge.iter().flat_map(|judge| judge.rules("judge"));
        first_broken(
            self.data.rules().into_iter().chain(t.learning().rules()).chain(rules).chain(lora).chain(judge),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUDGED: &str =
        "[reward]\njudge = 0.5\n[judge]\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\ntimeout = 0.0\n";
    const LEAST: &str = "base = 'models/nano-ci'\nout = 'out'\n[data]\nmanifests = ['m.jsonl']\n";

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        assert_eq!(GrpoRecipe::parse(LEAST).map(|r| r.train), Ok(GrpoTrain::default()));
        let judged =
            GrpoRecipe::parse(&format!("{LEAST}{}", JUDGED.replace("timeout = 0.0", "timeout = 9.0")));
        assert_eq!(
            judged.map(|r| (r.reward.judge, r.judge.map(|judge| judge.timeout))),
            Ok((0.5, Some(9.0)))
        );
        for (extra, named) in [
            ("[rollout]\ngroup = 1\n", "rollout.group"),
            ("[reward]\nscore_kind = 'exact'\n", "score_kind"),
            ("[reward]\nscore_kind = 'fidelity'\n[train]\nimages = 1\n", "train.images"),
            ("[train]\nloss = 'ppo'\n", "loss"),
            ("[train]\nbeta = -1.0\n", "train.beta"),
            ("[train]\nlearning_rate = inf\n", "train.learning_rate"),
            ("[reward]\njudge = -1.0\n", "reward.judge"),
            ("[reward]\njudge = 0.5\n", "[judge]"),
            ("[judge]\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\n", "reward.judge"),
            (JUDGED, "judge.timeout"),
            ("[reward]\njudge = 1.0\n[judge]\nbase_url = 'localhost'\nmodel = 'm'\n", "judge.base_url"),
            ("[reward]\njudge = 1.0\n[judge]\nmodel = 'm'\n", "base_url"),
            ("[lora]\nrank = 0\n", "lora.rank"),
            ("[lora]\nalpha = nan\n", "lora.alpha"),
            ("[lora]\ndropout = 1.0\n", "lora.dropout"),
            ("[lora]\ntargets = []\n", "lora.targets"),
            ("[lora]\ntargets = ['lm_head']\n", "lm_head"),
            ("[lora]\n[train]\nparts = ['vision']\n", "lora.parts"),
        ] {
            let error =
                GrpoRecipe::parse(&format!("{LEAST}{extra}")).map(|_| ()).expect_err(extra).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
