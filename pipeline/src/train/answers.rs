//! Prompts with answers as the model is trained on them: packed, and turned into a loss a token.

use candle_core::{DType, Result, Tensor};

use crate::ops;
use crate::qwen2_5_vl::{Branches, Inputs, Position, Qwen2_5Vl, TextModel};

/// Prompts with answers, packed one after the other, and where their answers' tokens are predicted.
#[derive(Default)]
pub struct Packed {
    ids: Vec<u32>,
    positions: Vec<Position>,
    branches: Vec<Branches>,
    /// For each image token, the row of the image embeddings that stands there.
    image_rows: Vec<Option<u32>>,
    /// The row before each answer token.
    rows: Vec<u32>,
    /// The answer tokens.
    pub targets: Vec<u32>,
}

impl Packed {
    /// Appends a prompt with its answers, which share it; its images begin at a row of the image embeddings.
    pub fn push(&mut self, prompt: &Inputs, answers: &[Vec<u32>], image_token: u32, first_image_row: u32) {
        let mut next_row = first_image_row;
        for &id in &prompt.ids {
            self.image_rows.push((id == image_token).then_some(next_row));
            next_row += u32::from(id == image_token);
        }
        self.ids.extend(&prompt.ids);
        self.positions.extend(&prompt.positions);
        let last_of_prompt = (self.ids.len() as u32).saturating_sub(1);
        let next_position = prompt.positions.iter().flatten().max().map_or(0, |p| p + 1);
        for answer in answers {
            let (first, length) = (self.ids.len() as u32, answer.len() as u32);
            let before = |index| if index == 0 { last_of_prompt } else { first + index - 1 };
            self.rows.extend((0..length).map(before));
            self.positions.extend((0..length).map(|index| [next_position + index; 3]));
            // A sampled answer may hold anything; an image token there is a word like any other.
            self.image_rows.extend(answer.iter().map(|_| None));
            self.targets.extend(answer);
            self.ids.extend(answer);
        }
        let answers = answers.iter().map(Vec::len).collect();
        self.branches.push(Branches { prompt: prompt.ids.len(), answers });
    }

    /// The losses of the answers' tokens, with the image embeddings `images`.
    ///
    /// # Errors
    /// When the images do not fit the prompts.
    pub fn losses(&self, model: &Qwen2_5Vl, images: &Tensor, head: Head) -> Result<TokenLosses> {
        let device = model.device();
        let words = model.text.embed(&self.ids)?;
        let tokens = self.ids.len() as u32;
        let sources: Vec<u32> = self
            .image_rows
            .iter()
            .enumerate()
            .map(|(index, row)| row.map_or(index as u32, |row| tokens + row))
            .collect();
        let sources = Tensor::from_vec(sources, self.ids.len(), device)?;
        let embeddings = Tensor::cat(&[&words, images], 0)?.index_select(&sources, 0)?;
        let hidden = model.text.forward_branches(&embeddings, &self.positions, &self.branches)?;
        let rows = Tensor::from_slice(&self.rows, self.rows.len(), device)?;
        head.losses(&model.text, &hidden.index_select(&rows, 0)?, &self.targets)
    }
}

/// How hidden states become losses.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Logits are divided by it.
    pub temperature: f64,
    /// Tokens whose logits are in memory at once; 0 takes all. A vocabulary of 152k needs 0.6 MB a token,
    /// and several times that in the backward pass.
    pub tokens: usize,
    /// Whether entropies are wanted.
    pub entropy: bool,
}

/// What each token of some answers costs.
pub struct TokenLosses {
    /// Negative log-likelihood in nats, `(tokens,)`.
    pub losses: Tensor,
    /// Entropy of the distribution that each token was drawn from, in nats; it has no gradient. Empty when
    /// it was not asked for.
    pub entropies: Vec<f32>,
}

impl Head {
    /// `hidden` is `(tokens, hidden_size)`, with a target for each.
    fn losses(self, text: &TextModel, hidden: &Tensor, targets: &[u32]) -> Result<TokenLosses> {
        let tokens = targets.len();
        let at_once = if self.tokens == 0 { tokens.max(1) } else { self.tokens };
        let mut parts = Vec::with_capacity(tokens.div_ceil(at_once));
        for (index, targets) in targets.chunks(at_once).enumerate() {
            let hidden = hidden.narrow(0, index * at_once, targets.len())?;
            let (head, targets) = (text.head(), targets.to_vec());
            let part = move |hidden: &Tensor| self.rows(&ops::linear(hidden, &head, None)?, &targets);
            parts.push(if at_once < tokens { ops::recompute(&hidden, part)? } else { part(&hidden)? });
        }
        if parts.is_empty() {
            let losses = Tensor::zeros(0, DType::F32, hidden.device())?;
            return Ok(TokenLosses { losses, entropies: Vec::new() });
        }
        let rows = Tensor::cat(&parts, 1)?;
        let entropies = if self.entropy { rows.detach().get(1)?.to_vec1()? } else { Vec::new() };
        Ok(TokenLosses { losses: rows.get(0)?, entropies })
    }

    /// Losses and, below them, entropies: `(1 or 2, tokens)`.
    fn rows(self, logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
        let logits = if self.temperature == 1.0 { logits.clone() } else { (logits / self.temperature)? };
        let losses = ops::negative_log_likelihood(&logits, targets)?.unsqueeze(0)?;
        if !self.entropy {
            return Ok(losses);
        }
        Tensor::cat(&[&losses, &ops::entropy(&logits)?.unsqueeze(0)?], 0)
    }
}
