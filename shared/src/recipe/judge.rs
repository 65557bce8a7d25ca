//! A judge of descriptions: the endpoint that `qponder evaluate --judge` asks.

use serde::{Deserialize, Serialize};

use super::{EndpointRecipe, RecipeError, SpendLimits, first_broken};

/// Who judges what models write, and what that may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeRecipe {
    pub endpoint: EndpointRecipe,
    #[serde(default)]
    pub limits: SpendLimits,
}

impl JudgeRecipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(toml: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        recipe.endpoint.check_words("endpoint")?;
        first_broken(recipe.endpoint.rules("endpoint").into_iter().chain(recipe.limits.rules()))?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[endpoint]\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\n";

    #[test]
    fn a_judge_is_an_endpoint_with_limits_and_nothing_else() {
        let recipe = JudgeRecipe::parse(LEAST).expect("the least recipe");
        assert_eq!(recipe.limits, SpendLimits::default());
        for (extra, named) in [
            ("timeout = 0.0\n", "endpoint.timeout"),
            ("first_wait = 9.0\nlongest_wait = 1.0\n", "endpoint.first_wait and"),
            ("api_key_env = 'sk-secret'\n", "endpoint.api_key_env"),
            ("[limits]\nmax_cost = 5.0\n", "limits.prompt_price"),
            ("[ask]\nanswers = 2\n", "ask"),
        ] {
            let error = JudgeRecipe::parse(&format!("{LEAST}{extra}")).map(|_| ()).expect_err(extra);
            let error = error.to_string();
            assert!(error.contains(named) && !error.contains("sk-secret"), "{error}");
        }
    }
}
