//! Whether a checkpoint is of the run that a recipe describes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qponder_shared::manifest::Row;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::TrainError;
use super::data::Item;
use crate::qwen2_5_vl::Weights;

/// Keys that leave what is learned as it is: where it lies, on how many threads, what is kept and measured meanwhile.
const WITHOUT_EFFECT: [&str; 4] = ["out", "train.threads", "train.checkpoint_every", "validation"];

/// What decides the weights that a run ends in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The recipe as canonical JSON.
    pub recipe: String,
    /// A hash of the rows that are learned from. Empty in checkpoints that were written before it was kept.
    pub rows: String,
    /// A fingerprint of the base model's weights, empty where there is no base: see [`Weights::fingerprint`].
    pub base: String,
}

impl Identity {
    /// The identity of a run over `rows` that begins with the weights in `base`, or with fresh ones.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub fn new(recipe: &impl Serialize, base: Option<&Path>, rows: &[Item]) -> Result<Self, TrainError> {
        let unwritable = |e: serde_json::Error| TrainError::Checkpoint {
            path: "what the run learns from".into(),
            reason: e.to_string(),
        };
        let mut hash = Sha256::new();
        for item in rows {
            // Metrics say how an image was judged elsewhere; nothing is learned from them.
            let row = Row { metrics: None, ..item.row.clone() };
            hash.update(serde_json::to_vec(&row).map_err(unwritable)?);
        }
        Ok(Self {
            recipe: serde_json::to_string(recipe).map_err(unwritable)?,
            rows: format!("{:x}", hash.finalize()),
            base: base.map(Weights::fingerprint).transpose()?.unwrap_or_default(),
        })
    }

    /// What the run `now` learns otherwise than this one, a phrase for every difference.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = differences(&self.recipe, &now.recipe);
        let known = |then: &str, now: &str| !then.is_empty() && then != now;
        if known(&self.rows, &now.rows) {
            found.push("the rows of data.manifests are others than they were".to_owned());
        }
        if known(&self.base, &now.base) {
            found.push("the weights in base are others than they were".to_owned());
        }
        found
    }
}

/// What is learned by the recipe `now` and not by `then`: a line for every key that differs.
fn differences(then: &str, now: &str) -> Vec<String> {
    let (Ok(then), Ok(now)) = (serde_json::from_str(then), serde_json::from_str(now)) else {
        return if then == now { Vec::new() } else { vec!["it names its recipe in another way".to_owned()] };
    };
    let (then, now) = (settings(&then), settings(&now));
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let differs = |key: &&String| then.get(*key) != now.get(*key);
    let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    let line = |key: &String| format!("{key} was {}, is {}", shown(then.get(key)), shown(now.get(key)));
    keys.into_iter().filter(differs).map(line).collect()
}

/// The settings that have an effect, by their keys. Those that are not set are left out.
fn settings(recipe: &Value) -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    collect(recipe, String::new(), &mut settings);
    settings
}

fn collect(value: &Value, key: String, settings: &mut BTreeMap<String, Value>) {
    if WITHOUT_EFFECT.contains(&key.as_str()) {
        return;
    }
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                collect(value, key, settings);
            }
        }
        Value::Null => {}
        value => drop(settings.insert(key, value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use qponder_shared::recipe::SftRecipe;

    use super::*;

    #[test]
    fn what_changes_the_weights_is_named_and_the_rest_may_change() {
        let text = "base = 'a'\nout = 'b'\n[data]\nmanifests = ['c.jsonl']\n";
        let recipe = SftRecipe::parse(text).expect("a recipe");
        let identity = |recipe: &SftRecipe| serde_json::to_string(recipe).expect("JSON");
        let then = identity(&recipe);
        let mut other = recipe.clone();
        other.out = "elsewhere".into();
        other.train.threads = 7;
        other.train.checkpoint_every += 1;
        other.validation.every += 1;
        assert_eq!(differences(&then, &identity(&other)), Vec::<String>::new());

        other.train.seed = 9;
        other.data.manifests.push("d.jsonl".into());
        let found = differences(&then, &identity(&other));
        let seed = format!("train.seed was {}, is 9", recipe.train.seed);
        let manifests = r#"data.manifests was ["c.jsonl"], is ["c.jsonl","d.jsonl"]"#;
        assert_eq!(found, [manifests, &seed]);
        assert_eq!(differences("", &then), ["it names its recipe in another way"]);
    }
}
