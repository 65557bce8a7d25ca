//! The keys of recipes as a form shows them, and one of them changed in a recipe's text.
//!
//! Nothing is said twice: keys, defaults and what they mean stand in the text that `qponder recipe show-defaults`
//! prints; choices and ranges are what the types and checks answer when a value is wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, Value};

use super::{Kind, Recipe, RecipeError};

/// A key of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecipeField {
    /// With its section, such as `train.steps`; a section that may be left out has a field of its own.
    pub key: String,
    /// What it means; empty where the key says it.
    pub help: String,
    pub entry: FieldEntry,
    /// In TOML; nothing where the key is left out by default.
    pub default: Option<String>,
    /// What a number must be, such as `between 2 and 1024`; nothing where any will do.
    pub range: Option<String>,
}

/// How a value is entered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum FieldEntry {
    /// A whole section, there or not.
    Section,
    Whole,
    Number,
    Switch,
    /// One of these.
    One {
        choices: Vec<String>,
    },
    /// Several of these.
    Several {
        choices: Vec<String>,
    },
    Text,
}

/// The keys of a kind of recipe, in their order. Files and directories are not among them, nor are endpoints.
#[must_use]
pub fn fields(kind: Kind) -> Vec<RecipeField> {
    let (mut fields, mut section, mut help) = (Vec::new(), String::new(), String::new());
    let mut is_optional = false;
    for line in kind.defaults().lines() {
        let bare = line.trim_start_matches("# ");
        if line.is_empty() {
            help.clear();
        } else if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_optional = line.starts_with('#');
            section = name.to_owned();
            if is_optional && !is_elsewhere(name) {
                let key = section.clone();
                fields.push(RecipeField {
                    key,
                    help: std::mem::take(&mut help),
                    entry: FieldEntry::Section,
                    default: None,
                    range: None,
                });
            }
            help.clear();
        } else if let Some((name, value)) = bare.split_once(" = ").filter(|(name, _)| is_name(name)) {
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let is_left_out = line.starts_with('#') && !is_optional;
            if !is_elsewhere(&key) {
                fields.push(RecipeField {
                    help: std::mem::take(&mut help),
                    entry: entry(kind, &key, value),
                    range: range(kind, &key, value),
                    default: (!is_left_out).then(|| value.to_owned()),
                    key,
                });
            }
            help.clear();
        } else {
            if !help.is_empty() {
                help.push(' ');
            }
            help += bare;
        }
    }
    fields
}

/// Whether a key is a name of something that is chosen elsewhere, or an address, which no form asks for.
fn is_elsewhere(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    ["base", "model", "models", "out", "data.manifests"].contains(&key)
        || ["endpoint", "judge"].contains(&section)
}

fn is_name(text: &str) -> bool {
    text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// The defaults with one key set to something else; why they are no recipe then.
fn refused(kind: Kind, key: &str, value: &str) -> Option<RecipeError> {
    let changed = set(kind.defaults(), key, Some(value)).ok()?;
    Recipe::parse(kind, &changed).err()
}

fn entry(kind: Kind, key: &str, default: &str) -> FieldEntry {
    let choices = |probe: &str| match refused(kind, key, probe) {
        // serde's words: "unknown variant `?`, expected one of `a`, `b`".
        Some(RecipeError::Syntax(words)) => {
            let named = words.split("expected").nth(1).unwrap_or_default().lines().next().unwrap_or_default();
            named.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    match default.chars().next() {
        Some('t' | 'f') => FieldEntry::Switch,
        Some('[') => FieldEntry::Several { choices: choices("[\"?\"]") },
        Some('"') => match choices("\"?\"") {
            choices if choices.is_empty() => FieldEntry::Text,
            choices => FieldEntry::One { choices },
        },
        _ if default.contains(['.', 'e']) => FieldEntry::Number,
        _ => FieldEntry::Whole,
    }
}

/// What the checks want of a number, in their words.
fn range(kind: Kind, key: &str, default: &str) -> Option<String> {
    let probes: &[&str] = match default.chars().next() {
        Some('"' | '[' | 't' | 'f') | None => return None,
        _ if default.contains(['.', 'e']) => &["-1e30", "1e30"],
        _ => &["0", "9000000000000000000", "4294967295"],
    };
    probes.iter().find_map(|probe| match refused(kind, key, probe)? {
        RecipeError::Range { key: named, expected, .. } if named == key => {
            Some(expected.trim_start_matches("it must be ").to_owned())
        }
        _ => None,
    })
}

/// The keys that a recipe sets, with their values in TOML. A recipe that is no TOML sets none.
#[must_use]
pub fn values(toml: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Ok(table) = toml::from_str::<toml::Table>(toml) {
        flatten("", &table, &mut values);
    }
    values
}

fn flatten(before: &str, table: &toml::Table, values: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let name = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        match value {
            toml::Value::Table(table) => {
                // A section says by being there that it is.
                values.insert(name.clone(), String::new());
                flatten(&name, table, values);
            }
            value => drop(values.insert(name, value.to_string())),
        }
    }
}

/// A recipe with one key set to a value in TOML, or left out. Everything else, comments too, stays as it is. Of a
/// section any value says that it is there.
///
/// # Errors
/// When the recipe or the value is no TOML, or the key is a section where that needs a value, or the reverse.
pub fn set(toml: &str, key: &str, value: Option<&str>) -> Result<String, RecipeError> {
    let wrong = |what: String| RecipeError::Syntax(what);
    let mut document: DocumentMut = toml.parse().map_err(|error| wrong(format!("{error}")))?;
    let (section, name) = match key.split_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, key),
    };
    let table = match section {
        None => document.as_table_mut(),
        Some(section) => {
            if value.is_none() && !document.contains_key(section) {
                return Ok(toml.to_owned());
            }
            let item = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
            item.as_table_mut().ok_or_else(|| wrong(format!("{section} is no section")))?
        }
    };
    match value {
        None => drop(table.remove(name)),
        Some("") => drop(table.entry(name).or_insert_with(|| Item::Table(Table::new()))),
        Some(value) => {
            let mut value: Value = value.parse().map_err(|error| wrong(format!("{key}: {error}")))?;
            match table.get_mut(name) {
                Some(Item::Value(known)) => {
                    // What stands behind it on the line stays.
                    *value.decor_mut() = known.decor().clone();
                    *known = value;
                }
                Some(_) => return Err(wrong(format!("{key} is a section"))),
                None => drop(table.insert(name, Item::Value(value))),
            }
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: Kind, key: &str) -> RecipeField {
        fields(kind).into_iter().find(|field| field.key == key).unwrap_or_else(|| panic!("{key}"))
    }

    #[test]
    fn fields_have_what_types_checks_and_defaults_say() {
        let group = field(Kind::Grpo, "rollout.group");
        assert_eq!((group.help.as_str(), group.entry), ("Answers an image.", FieldEntry::Whole));
        assert_eq!(
            (group.default.as_deref(), group.range.as_deref()),
            (Some("8"), Some("between 2 and 1024"))
        );
        let choices = |choices: &[&str]| choices.iter().map(|&choice| choice.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            field(Kind::Grpo, "reward.score_kind").entry,
            FieldEntry::One { choices: choices(&["continuous", "threshold", "fidelity", "squared"]) }
        );
        assert_eq!(
            field(Kind::Sft, "train.parts").entry,
            FieldEntry::Several { choices: choices(&["vision", "merger", "language"]) }
        );
        assert_eq!(
            field(Kind::Evaluate, "measure.fit_on").entry,
            FieldEntry::One { choices: choices(&["test", "val"]) }
        );
        assert_eq!(field(Kind::Sft, "train.recompute").entry, FieldEntry::Switch);
        assert_eq!(field(Kind::Sft, "train.learning_rate").range.as_deref(), Some("above 0 and at most 1"));
        let limit = field(Kind::Evaluate, "data.limit");
        assert_eq!((limit.default, limit.range.as_deref()), (None, Some("at least 1")));
        assert_eq!(field(Kind::Sft, "lora").entry, FieldEntry::Section);
        assert_eq!(field(Kind::Sft, "lora.rank").range.as_deref(), Some("between 1 and 4096"));
        for kind in Kind::ALL {
            for field in fields(kind) {
                assert!(!is_elsewhere(&field.key), "{}", field.key);
                if let FieldEntry::One { choices } | FieldEntry::Several { choices } = &field.entry {
                    assert!(choices.len() > 1, "{kind:?} {field:?}");
                    let default = field.default.unwrap_or_default();
                    let known = default.split('"').skip(1).step_by(2);
                    assert!(
                        known.into_iter().all(|one| choices.iter().any(|choice| choice == one)),
                        "{default}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_key_changes_and_nothing_else() {
        let recipe = "base = \"model:a\" # the small one\n\n[data]\nmanifests = [\"dataset:b\"]\n\n[train]\n# Few.\nsteps = 3\n";
        let changed = set(recipe, "train.steps", Some("400")).expect("a recipe");
        assert_eq!(changed, recipe.replace("steps = 3", "steps = 400"));
        assert_eq!(
            set(recipe, "base", Some("\"job:c\"")).expect("a recipe"),
            recipe.replace("model:a", "job:c")
        );
        let added = set(&changed, "validation.every", Some("5")).expect("a recipe");
        assert_eq!(values(&added)["validation.every"], "5");
        assert_eq!(set(&added, "train.clip", None), Ok(added.clone()));
        let lora = set(recipe, "lora", Some("")).expect("a recipe");
        assert!(values(&lora).contains_key("lora") && lora.contains("[lora]"), "{lora}");
        let gone = set(&lora, "lora", None).expect("a recipe");
        assert_eq!(values(&gone), values(recipe));
        assert_eq!(set(recipe, "lora.rank", None), Ok(recipe.to_owned()));
        for (toml, key, value) in
            [("base =", "train.steps", "1"), (recipe, "train", "1"), (recipe, "train.steps", "many words")]
        {
            assert!(set(toml, key, Some(value)).is_err(), "{key}");
        }
        assert!(set(recipe, "base.name", Some("1")).is_err());
    }
}
