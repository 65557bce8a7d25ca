//! Prompts with answers as the model is trained on them: packed, and turned into a loss a token.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::data::Tokens;
use crate::ops;
use crate::qwen2_5_vl::{Inputs, Position, Qwen2_5Vl, Sequences, TextModel};

/// Prompts with answers, packed one after the other, and where their answers' tokens are predicted.
#[derive(Default)]
pub struct Packed {
    ids: Vec<u32>,
    positions: Vec<Position>,
    /// See [`Sequences::branching`].
    groups: Vec<(usize, Vec<usize>)>,
    /// For each image token, the row of the image embeddings that stands there.
    image_rows: Vec<Option<u32>>,
    /// The row before each answer token.
    rows: Vec<u32>,
    /// The answer tokens.
    pub targets: Vec<u32>,
}

impl Packed {
    /// Appends prompts with their answers, all of the same images, which begin at a row of the image
    /// embeddings. However many tokens they have in common at their beginnings are computed once.
    pub fn push(&mut self, sequences: &[&Tokens], image_token: u32, first_image_row: u32) {
        // What follows the last token of an answer is of no interest, so that token is no input.
        let inputs: Vec<Inputs> = sequences.iter().map(|tokens| tokens.sequence()).collect();
        let lengths: Vec<usize> = inputs.iter().map(|input| input.ids.len().saturating_sub(1)).collect();
        let shortest = lengths.iter().copied().min().unwrap_or(0);
        let Some(first) = inputs.first() else { return };
        let token = |input: &Inputs, at: usize| (input.ids[at], input.positions[at]);
        let alike = |at: &usize| inputs.iter().all(|input| token(input, *at) == token(first, *at));
        let common = (0..shortest).take_while(alike).count();

        let start = self.ids.len();
        self.append(first, 0..common, &sequences[0].prompt, image_token, first_image_row);
        for ((input, tokens), &length) in inputs.iter().zip(sequences).zip(&lengths) {
            let rest = self.ids.len();
            self.append(input, common..length, &tokens.prompt, image_token, first_image_row);
            let row = |at: usize| if at < common { start + at } else { rest + at - common };
            let before = tokens.prompt.ids.len() - 1;
            self.rows.extend((0..tokens.answer.len()).map(|index| row(before + index) as u32));
            self.targets.extend(&tokens.answer);
        }
        self.groups.push((common, lengths.iter().map(|length| length - common).collect()));
    }

    fn append(
        &mut self,
        input: &Inputs,
        range: Range<usize>,
        prompt: &Inputs,
        image_token: u32,
        first_image_row: u32,
    ) {
        // A sampled answer may hold anything; an image token there is a word like any other.
        let is_image = |at: usize| at < prompt.ids.len() && input.ids[at] == image_token;
        let mut next = first_image_row + (0..range.start).filter(|&at| is_image(at)).count() as u32;
        for at in range.clone() {
            self.image_rows.push(is_image(at).then_some(next));
            next += u32::from(is_image(at));
        }
        self.ids.extend(&input.ids[range.clone()]);
        self.positions.extend(&input.positions[range]);
    }

    /// The losses of the answers' tokens, with the image embeddings `images`.
    ///
    /// # Errors
    /// When the images do not fit the prompts.
    pub fn losses(&self, model: &Qwen2_5Vl, images: &Tensor, head: Head) -> Result<TokenLosses> {
        let words = model.text.embed(&self.ids)?;
        let tokens = self.ids.len() as u32;
        let sources: Vec<u32> = self
            .image_rows
            .iter()
            .enumerate()
            .map(|(index, row)| row.map_or(index as u32, |row| tokens + row))
            .collect();
        let embeddings = ops::rows(&Tensor::cat(&[&words, images], 0)?, &sources)?;
        let hidden = model.text.forward(&embeddings, &self.positions, &Sequences::branching(&self.groups))?;
        head.losses(&model.text, &ops::rows(&hidden, &self.rows)?, &self.targets)
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
        let logits = logits.to_dtype(DType::F32)?;
        let logits = if self.temperature == 1.0 { logits } else { (logits / self.temperature)? };
        let losses = ops::negative_log_likelihood(&logits, targets)?.unsqueeze(0)?;
        if !self.entropy {
            return Ok(losses);
        }
        Tensor::cat(&[&losses, &ops::entropy(&logits)?.unsqueeze(0)?], 0)
    }
}
