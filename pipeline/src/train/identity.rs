//! Whether a checkpoint is of the run that a recipe describes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Keys that leave what is learned as it is: where it lies, on how many threads, what is kept and measured meanwhile.
const WITHOUT_EFFECT: [&str; 4] = ["out", "train.threads", "train.checkpoint_every", "validation"];

/// A recipe as a checkpoint keeps it: canonical JSON.
pub(crate) fn identity(recipe: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(recipe)
}

/// What is learned by `now` and not by `then`, both as [`identity`] gives them: a line for every key that differs.
pub(super) fn differences(then: &str, now: &str) -> Vec<String> {
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
        let then = identity(&recipe).expect("JSON");
        let mut other = recipe.clone();
        other.out = "elsewhere".into();
        other.train.threads = 7;
        other.train.checkpoint_every += 1;
        other.validation.every += 1;
        assert_eq!(differences(&then, &identity(&other).expect("JSON")), Vec::<String>::new());

        other.train.seed = 9;
        other.data.manifests.push("d.jsonl".into());
        let found = differences(&then, &identity(&other).expect("JSON"));
        let seed = format!("train.seed was {}, is 9", recipe.train.seed);
        let manifests = r#"data.manifests was ["c.jsonl"], is ["c.jsonl","d.jsonl"]"#;
        assert_eq!(found, [manifests, &seed]);
        assert_eq!(differences("", &then), ["it names its recipe in another way"]);
    }
}
