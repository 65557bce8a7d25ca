//! Distillation: a teacher's answers, asked for and filtered.

use serde::{Deserialize, Serialize};

use super::{EndpointRecipe, RecipeError, Rule, SpendLimits, first_broken};
use crate::api::Sampling;
use crate::manifest::Split;

/// Distillation: which teacher is asked what about which images, and which answers are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilRecipe {
    /// Directory that gets the replies, the manifest of accepted answers and the report.
    pub out: String,
    pub endpoint: EndpointRecipe,
    pub data: DistilData,
    #[serde(default)]
    pub ask: Ask,
    #[serde(default)]
    pub limits: SpendLimits,
    #[serde(default)]
    pub filters: Filters,
}

/// Which images the teacher is asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistilData {
    /// Manifests of labelled images.
    pub manifests: Vec<String>,
    /// Which of their rows.
    #[serde(default = "train")]
    pub split: Split,
}

fn train() -> Split {
    Split::Train
}

/// What the teacher is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeacherPrompt {
    /// The image alone: the answer is the teacher's own judgement.
    #[default]
    Blind,
    /// The image with its label and known distortions: the answer explains them.
    Conditioned,
    /// The image, in the words that Q-Ponder's own models are trained on: for a teacher of ours.
    Reason,
}

/// How the teacher is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ask {
    pub prompt: TeacherPrompt,
    /// Answers to each image.
    pub answers: u32,
    /// 0 takes the most likely token.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches it.
    pub top_p: f64,
    /// Longest answer in tokens.
    pub max_tokens: usize,
    /// Of the first answer to an image; later ones count up. Not every endpoint heeds it.
    pub seed: u64,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            prompt: TeacherPrompt::Blind,
            answers: 1,
            temperature: 0.7,
            top_p: 1.0,
            max_tokens: 512,
            seed: 0,
        }
    }
}

impl Ask {
    /// How the tokens of an answer are sampled; each answer to an image has a seed of its own.
    #[must_use]
    pub fn sampling(&self, answer: u32) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_new_tokens: self.max_tokens,
            seed: self.seed.wrapping_add(u64::from(answer)),
            ..Sampling::default()
        }
    }
}

/// A check that an answer must pass. That it follows the grammar is always checked: an answer that does
/// not cannot be learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Each attribute is judged once, with a level.
    Attributes,
    /// The score is near the label.
    Score,
    /// No level contradicts its words.
    Wording,
    /// Nothing in the reasoning shows that the label was known.
    Leak,
    /// It is neither too short nor too long.
    Length,
    /// No earlier answer says nearly the same.
    NearDuplicate,
}

impl Filter {
    /// All, in the order in which they are reported.
    pub const ALL: [Filter; 6] = [
        Filter::Attributes,
        Filter::Score,
        Filter::Wording,
        Filter::Leak,
        Filter::Length,
        Filter::NearDuplicate,
    ];
}

/// Which answers are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// The filters that are applied.
    pub on: Vec<Filter>,
    /// Largest difference between score and label, in points.
    pub tolerance: f64,
    /// Shortest reasoning in characters.
    pub min_characters: usize,
    /// Longest reasoning in characters.
    pub max_characters: usize,
    /// Jaccard similarity of the sets of word trigrams from which two answers are nearly the same.
    pub near_duplicate: f64,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            on: Filter::ALL.to_vec(),
            tolerance: 0.75,
            min_characters: 200,
            max_characters: 2500,
            near_duplicate: 0.8,
        }
    }
}

impl DistilRecipe {
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
        self.endpoint.check_words("endpoint")?;
        super::named("out", &self.out)?;
        let (ask, filters) = (&self.ask, &self.filters);
        let manifests = self.data.manifests.len();
        let own = [
            Rule::new("data.manifests", manifests as f64, manifests > 0, "name at least one manifest"),
            Rule::between("ask.answers", f64::from(ask.answers), 1.0, 64.0),
            Rule::between("ask.temperature", ask.temperature, 0.0, 2.0),
            Rule::new(
                "ask.temperature",
                ask.temperature,
                ask.answers == 1 || ask.temperature > 0.0,
                "at 0 every answer to an image is the same; raise it, or set ask.answers to 1",
            ),
            Rule::rate("ask.top_p", ask.top_p),
            Rule::between("ask.max_tokens", ask.max_tokens as f64, 1.0, 1e6),
            // Endpoints read the seed as a signed number.
            Rule::between("ask.seed", ask.seed as f64, 0.0, 1e15),
            Rule::between("filters.tolerance", filters.tolerance, 0.0, 4.0),
            Rule::new(
                "filters.max_characters",
                filters.max_characters as f64,
                filters.max_characters >= filters.min_characters,
                "it must be at least filters.min_characters",
            ),
            Rule::rate("filters.near_duplicate", filters.near_duplicate),
        ];
        let endpoint = self.endpoint.rules("endpoint");
        first_broken(endpoint.into_iter().chain(self.limits.rules()).chain(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "out = 'out'\n[endpoint]\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\n\
                         [data]\nmanifests = ['m.jsonl']\n";

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        let recipe = DistilRecipe::parse(LEAST).expect("the least recipe");
        assert_eq!((recipe.ask, recipe.filters), (Ask::default(), Filters::default()));
        for (extra, named) in [
            ("[ask]\nanswer = 3\n", "answer"),
            ("[ask]\nanswers = 0\n", "ask.answers"),
            ("[ask]\nanswers = 2\ntemperature = 0.0\n", "ask.temperature"),
            ("[limits]\nmax_cost = 5.0\n", "limits.prompt_price"),
            ("[limits]\nmax_calls = 0\n", "limits.max_calls"),
            ("[filters]\nmin_characters = 9000\n", "filters.max_characters"),
            ("[filters]\non = ['grammar']\n", "grammar"),
            ("[filters]\nnear_duplicate = nan\n", "filters.near_duplicate"),
        ] {
            let error =
                DistilRecipe::parse(&format!("{LEAST}{extra}")).map(|_| ()).expect_err(extra).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn an_endpoint_is_an_address_and_never_a_secret() {
        for (from, to, named) in [
            ("http://localhost:1/v1", "localhost:1/v1", "endpoint.base_url"),
            (
                "http://localhost:1/v1",
                "http://localhost:1/v1/chat/completions",
                "leave /chat/completions out",
            ),
            ("http://localhost:1/v1", "https://me:sk-secret@host/v1", "api_key_env"),
            ("model = 'm'", "model = 'm'\napi_key_env = 'sk-secret'", "api_key_env"),
            ("model = 'm'", "model = ''", "endpoint.model"),
        ] {
            let error = DistilRecipe::parse(&LEAST.replace(from, to)).map(|_| ()).expect_err(to).to_string();
            assert!(error.contains(named) && !error.contains("sk-secret"), "{error}");
        }
    }
}
