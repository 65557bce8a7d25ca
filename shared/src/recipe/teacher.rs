//! A teacher that a server asks: the endpoint of `qponder serve --teacher-endpoint`.

use serde::{Deserialize, Serialize};

use super::{EndpointRecipe, RecipeError, first_broken};

/// Where the teacher is. A server asks when somebody tells it to and keeps no budget, so there are no limits:
/// a file that has some is refused rather than read halfway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    pub endpoint: EndpointRecipe,
}

impl TeacherRecipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(toml: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        recipe.endpoint.check_words("endpoint")?;
        first_broken(recipe.endpoint.rules("endpoint"))?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_teacher_is_an_endpoint_and_nothing_else() {
        let least = "[endpoint]\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\n";
        assert!(TeacherRecipe::parse(least).is_ok());
        for (extra, named) in
            [("timeout = 0.0\n", "endpoint.timeout"), ("[limits]\nmax_calls = 5\n", "limits")]
        {
            let error = TeacherRecipe::parse(&format!("{least}{extra}")).map(|_| ()).expect_err(extra);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
