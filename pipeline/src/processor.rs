//! From a conversation with images to what the model reads.
//!
//! Renders the checkpoint's own chat template, tokenises, and puts as many image tokens in place of
//! each image as its patches become.

use std::io::ErrorKind;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value, context};
use qponder_kernels::layout;
use qponder_kernels::pixels::{PatchConfig, PatchError, Patches, RgbImage};
use serde_json::Value as Json;
use tokenizers::Tokenizer;

use crate::qwen2_5_vl::{Config, Inputs, LoadError};

/// Why a prompt cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("the chat template cannot be rendered: {0}")]
    Template(#[from] minijinja::Error),
    #[error("the text cannot be tokenised: {0}")]
    Tokenise(String),
    #[error(transparent)]
    Patches(#[from] PatchError),
    #[error("the prompt has {places} places for {images} images")]
    ImageCount { places: usize, images: usize },
    #[error(
        "the prompt has {tokens} tokens, and the model takes {most} with the answer: use a smaller image or fewer words"
    )]
    TooLong { tokens: usize, most: usize },
}

/// Tokenizer, chat template and image processor of a checkpoint.
pub struct Processor {
    tokenizer: Tokenizer,
    template: Environment<'static>,
    patches: PatchConfig,
    config: Config,
    image_token: String,
    end_of_text: Vec<u32>,
}

/// A file of the directory as JSON; `None` when there is none.
fn json(dir: &Path, name: &str) -> Result<Option<Json>, LoadError> {
    let path = dir.join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { path, source }),
    };
    serde_json::from_str(&text).map(Some).map_err(|e| LoadError::Config { path, reason: e.to_string() })
}

/// What `find` gets from the first of some files that has it.
fn first<T>(dir: &Path, names: &[&str], find: impl Fn(&Json) -> Option<T>) -> Result<Option<T>, LoadError> {
    for name in names {
        if let Some(found) = json(dir, name)?.as_ref().and_then(&find) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The tokens that end an answer, where a file names one or several.
fn ends(file: &Json) -> Option<Vec<u32>> {
    let ends = file.get("eos_token_id")?;
    let list = ends.as_array().cloned().unwrap_or_else(|| vec![ends.clone()]);
    list.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

impl Processor {
    /// Reads tokenizer.json, the chat template and the preprocessor's configuration.
    ///
    /// # Errors
    /// When one of them is missing or damaged.
    pub fn read(dir: &Path, config: &Config) -> Result<Self, LoadError> {
        let bad = |name: &str, reason: String| LoadError::Tokenizer { path: dir.join(name), reason };
        let tokenizer = Tokenizer::from_file(dir.join("tokenizer.json"))
            .map_err(|e| bad("tokenizer.json", e.to_string()))?;
        let source = match std::fs::read_to_string(dir.join("chat_template.jinja")) {
            Ok(source) => Some(source),
            Err(_) => first(dir, &["chat_template.json", "tokenizer_config.json"], |file| {
                Some(file.get("chat_template")?.as_str()?.to_owned())
            })?,
        };
        let source = source.ok_or_else(|| bad("chat_template.jinja", "no chat template was found".into()))?;
        let patches = match json(dir, "preprocessor_config.json")? {
            Some(patches) => Some(patches),
            None => first(dir, &["processor_config.json"], |file| file.get("image_processor").cloned())?,
        };
        let patches = patches.ok_or_else(|| bad("preprocessor_config.json", "it is missing".into()))?;
        let patches: PatchConfig =
            serde_json::from_value(patches).map_err(|e| bad("preprocessor_config.json", e.to_string()))?;
        let end_of_text = first(dir, &["generation_config.json", "config.json"], ends)?;
        let end_of_text = end_of_text
            .or_else(|| tokenizer.token_to_id("<|im_end|>").map(|id| vec![id]))
            .unwrap_or_default();
        Self::new(tokenizer, source, patches, config, end_of_text).map_err(|reason| bad("", reason))
    }

    /// From its parts.
    ///
    /// # Errors
    /// Says which part does not fit the configuration.
    pub fn new(
        tokenizer: Tokenizer,
        template: String,
        patches: PatchConfig,
        config: &Config,
        end_of_text: Vec<u32>,
    ) -> Result<Self, String> {
        let mut environment = Environment::new();
        // As transformers configures jinja2.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| format!("the chat template: {e}"))?);
        environment.add_template_owned("chat", template).map_err(|e| format!("the chat template: {e}"))?;
        let vision = &config.vision;
        if (patches.patch_size, patches.merge_size, patches.temporal_patch_size)
            != (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        {
            return Err("the image processor's patches differ from those of config.json".into());
        }
        let image_token = tokenizer
            .id_to_token(config.image_token_id)
            .ok_or_else(|| format!("the tokenizer has no image token {}", config.image_token_id))?;
        Ok(Self {
            tokenizer,
            template: environment,
            patches,
            config: config.clone(),
            image_token,
            end_of_text,
        })
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template's source.
    #[must_use]
    pub fn template(&self) -> String {
        self.template.get_template("chat").map(|template| template.source().to_owned()).unwrap_or_default()
    }

    /// Most tokens that the model takes, prompt and answer together.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.config.text.max_position_embeddings
    }

    /// The image processor's configuration.
    #[must_use]
    pub fn patches(&self) -> &PatchConfig {
        &self.patches
    }

    /// Tokens that end an answer.
    #[must_use]
    pub fn end_of_text(&self) -> &[u32] {
        &self.end_of_text
    }

    /// Renders a system turn and a user turn of images and then text, up to where the answer begins.
    ///
    /// # Errors
    /// When the template fails.
    pub fn chat(&self, system: &str, user: &str, images: usize) -> Result<String, PromptError> {
        let part = |pairs: &[(&'static str, &str)]| Value::from_pairs(pairs.iter().copied());
        let mut content: Vec<Value> = (0..images).map(|_| part(&[("type", "image")])).collect();
        content.push(part(&[("type", "text"), ("text", user)]));
        let system = part(&[("role", "system"), ("content", system)]);
        let user = context! { role => "user", content => content };
        let template = self.template.get_template("chat")?;
        Ok(template.render(context! { messages => [system, user], add_generation_prompt => true })?)
    }

    /// Token ids of a text, special tokens recognised.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokenise(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        let encoding =
            self.tokenizer.encode(text, false).map_err(|e| PromptError::Tokenise(e.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// One prompt: a rendered text whose single image tokens stand for the images, and the images.
    ///
    /// # Errors
    /// When an image has an impossible shape or the numbers differ.
    pub fn inputs(&self, text: &str, images: &[&RgbImage]) -> Result<Inputs, PromptError> {
        let patches: Vec<Patches> =
            images.iter().map(|image| Patches::new(image, &self.patches)).collect::<Result<_, _>>()?;
        self.inputs_of_patches(text, &patches)
    }

    /// As [`Self::inputs`], of images already cut into patches.
    ///
    /// # Errors
    /// When the number of images differs from the text's, or the model's positions leave no room for an answer.
    pub fn inputs_of_patches(&self, text: &str, images: &[Patches]) -> Result<Inputs, PromptError> {
        let parts: Vec<&str> = text.split(&self.image_token).collect();
        if parts.len() != images.len() + 1 {
            return Err(PromptError::ImageCount { places: parts.len() - 1, images: images.len() });
        }
        let mut full = parts[0].to_owned();
        for (image, part) in images.iter().zip(&parts[1..]) {
            full.push_str(&self.image_token.repeat(image.tokens(&self.patches)));
            full.push_str(part);
        }
        let ids = self.tokenise(&full)?;
        let (tokens, most) = (ids.len(), self.max_tokens());
        if tokens >= most {
            return Err(PromptError::TooLong { tokens, most });
        }
        let grids: Vec<_> = images.iter().map(|image| image.grid).collect();
        let image_token = self.config.image_token_id;
        let positions = layout::positions(&ids, image_token, &grids, self.config.vision.spatial_merge_size);
        let patches = images.iter().flat_map(|image| image.values.iter().copied()).collect();
        Ok(Inputs { lengths: vec![ids.len()], ids, positions, patches, grids })
    }

    /// Text of token ids, special tokens left out.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn text(&self, ids: &[u32]) -> Result<String, PromptError> {
        self.tokenizer.decode(ids, true).map_err(|e| PromptError::Tokenise(e.to_string()))
    }
}
