//! An endpoint that a recipe calls: a teacher or a judge.

use serde::{Deserialize, Serialize};

use super::{RecipeError, Rule};

/// An OpenAI-compatible endpoint that takes images, and how hard it may be pressed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRecipe {
    /// Where `/chat/completions` is, such as `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The model's name at that endpoint.
    pub model: String,
    /// Name of the environment variable that holds the key. The key itself is never written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Have the answer streamed, so that slow answers keep the connection busy.
    #[serde(default)]
    pub stream: bool,
    /// Calls that run at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Calls that begin in a minute at most, all threads together; without it there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<f64>,
    /// Seconds until a connection is given up.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: f64,
    /// Seconds until a call is given up.
    #[serde(default = "default_timeout")]
    pub timeout: f64,
    /// How often a call that may succeed later is made again.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Seconds of the first wait before a call is made again; it doubles each time.
    #[serde(default = "default_first_wait")]
    pub first_wait: f64,
    /// Seconds of the longest wait. An endpoint that asks for a longer one gets it.
    #[serde(default = "default_longest_wait")]
    pub longest_wait: f64,
}

fn default_concurrency() -> usize {
    4
}
fn default_connect_timeout() -> f64 {
    10.0
}
fn default_timeout() -> f64 {
    120.0
}
fn default_retries() -> u32 {
    5
}
fn default_first_wait() -> f64 {
    1.0
}
fn default_longest_wait() -> f64 {
    60.0
}

impl EndpointRecipe {
    /// Ranges of the keys, which stand in the given table of a recipe.
    pub(super) fn rules(&self, table: &str) -> [Rule; 7] {
        let key = |name: &str| format!("{table}.{name}");
        let longest = (self.first_wait..=86_400.0).contains(&self.longest_wait);
        [
            Rule::between(key("concurrency"), self.concurrency as f64, 1.0, 1024.0),
            Rule::between(key("requests_per_minute"), self.requests_per_minute.unwrap_or(1.0), 0.01, 1e6),
            Rule::between(key("connect_timeout"), self.connect_timeout, 0.01, 3600.0),
            Rule::between(key("timeout"), self.timeout, 0.01, 86_400.0),
            Rule::between(key("retries"), f64::from(self.retries), 0.0, 100.0),
            Rule::between(key("first_wait"), self.first_wait, 0.0, 3600.0),
            Rule::new(
                key("longest_wait"),
                self.longest_wait,
                longest,
                format!("it must be between {table}.first_wait and 86400"),
            ),
        ]
    }

    /// Whether address, model and the key's variable can be what they say.
    ///
    /// # Errors
    /// Names the key; what may be a secret is not shown.
    pub(super) fn check_words(&self, table: &str) -> Result<(), RecipeError> {
        let bad = |name: &str, value: &str, expected: String| {
            Err(RecipeError::Range {
                key: format!("{table}.{name}").into(),
                value: format!("{value:?}"),
                expected: expected.into(),
            })
        };
        let Self { base_url, model, api_key_env, .. } = self;
        let host = base_url.strip_prefix("http://").or_else(|| base_url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
            return bad("base_url", base_url, "it must begin with http:// or https://".into());
        }
        if host.is_some_and(|host| host.split('/').next().is_some_and(|authority| authority.contains('@'))) {
            let expected =
                format!("a key does not belong into a recipe; name its variable in {table}.api_key_env");
            return bad("base_url", "<address with a password>", expected);
        }
        if base_url.trim_end_matches('/').ends_with("/chat/completions") {
            return bad("base_url", base_url, "leave /chat/completions out; it is added".into());
        }
        if model.is_empty() {
            return bad("model", model, "name the model".into());
        }
        // What is no variable's name may be a key: it is not shown.
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if api_key_env.as_ref().is_some_and(|name| !is_name(name)) {
            let expected =
                "it must be the name of an environment variable that holds the key, such as TEACHER_KEY";
            return bad("api_key_env", "<hidden>", expected.into());
        }
        Ok(())
    }
}
