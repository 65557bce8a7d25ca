//! An export: a model as other programs read it.

use serde::{Deserialize, Serialize};

use super::RecipeError;

/// A model in another form, as `qponder export run` writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRecipe {
    /// Checkpoint directory.
    pub model: String,
    /// Directory that gets the files.
    pub out: String,
    #[serde(default)]
    pub write: WriteAs,
}

/// What is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteAs {
    pub format: ExportFormat,
    /// How GGUF files store matrices.
    pub quant: ExportQuant,
    /// How a Hugging Face directory stores weights.
    pub dtype: ExportDtype,
}

/// Which programs read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// llama.cpp, and the page *Quick score*.
    #[default]
    Gguf,
    /// transformers, vLLM and SGLang.
    Hf,
}

/// Bits of a number in GGUF files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExportQuant {
    /// 8.5 bits.
    #[default]
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 4.5 bits.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// 16 bits.
    #[serde(rename = "f16")]
    F16,
}

/// Numbers of a Hugging Face directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportDtype {
    F32,
    #[default]
    F16,
    Bf16,
}

impl ExportRecipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// Names the line of a syntax error or the first key that is out of its range.
    pub fn parse(toml: &str) -> Result<Self, RecipeError> {
        let recipe: Self = toml::from_str(toml).map_err(|e| RecipeError::Syntax(e.to_string()))?;
        super::named("model", &recipe.model)?;
        super::named("out", &recipe.out)?;
        Ok(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_in_and_errors_name_the_key() {
        let least = "model = 'm'\nout = 'out'\n";
        let recipe = ExportRecipe::parse(least).expect("the least recipe");
        assert_eq!(recipe.write, WriteAs::default());
        let recipe = ExportRecipe::parse(&format!("{least}[write]\nquant = 'q4_0'\n")).expect("a recipe");
        assert_eq!(recipe.write.quant, ExportQuant::Q4_0);
        for (toml, named) in [
            ("model = ''\nout = 'out'\n".to_owned(), "model is"),
            ("model = 'm'\nout = ''\n".to_owned(), "out is"),
            (format!("{least}[write]\nquant = 'q2'\n"), "q4_0"),
            (format!("{least}[write]\nformat = 'onnx'\n"), "gguf"),
        ] {
            let error = ExportRecipe::parse(&toml).expect_err("it is wrong");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
