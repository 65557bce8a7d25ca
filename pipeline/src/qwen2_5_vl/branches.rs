//! Answers that share a prompt: who sees whom when the prompt is there only once.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use crate::ops::Segment;

/// A prompt and its answers, packed one after the other. Every answer sees the prompt and itself, as if
/// the others were not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branches {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens of each answer.
    pub answers: Vec<usize>,
}

/// What the tokens of packed branches see.
#[derive(Clone)]
pub struct Sight {
    pub segments: Arc<[Segment]>,
    /// For each key that a segment may name, the token that it belongs to; `None` where that is the same.
    rows: Option<Tensor>,
}

impl Sight {
    /// What every token of `branches` sees; answers that share a prompt get copies of its keys and values,
    /// which are few numbers.
    ///
    /// # Errors
    /// When the device has no memory.
    pub fn of(branches: &[Branches], device: &Device) -> Result<Self> {
        let (mut segments, mut rows) = (Vec::with_capacity(branches.len()), Vec::<u32>::new());
        let mut tokens = 0;
        for Branches { prompt, answers } in branches {
            let prompt = tokens..tokens + prompt;
            tokens = prompt.end;
            for (index, &answer) in answers.iter().enumerate() {
                let answer = tokens..tokens + answer;
                tokens = answer.end;
                // The first answer simply goes on with the prompt.
                let queries = if index == 0 { prompt.start..answer.end } else { answer.clone() };
                let first = rows.len();
                rows.extend(prompt.clone().chain(answer).map(|row| row as u32));
                segments.push(Segment { queries, keys: first..rows.len(), causal: true });
            }
            if answers.is_empty() {
                let first = rows.len();
                rows.extend(prompt.clone().map(|row| row as u32));
                segments.push(Segment { queries: prompt, keys: first..rows.len(), causal: true });
            }
        }
        let shared = rows.len() > tokens;
        let rows = shared.then(|| Tensor::from_slice(&rows, rows.len(), device)).transpose()?;
        Ok(Self { segments: segments.into(), rows })
    }

    /// The keys or values `(tokens, kv_heads, head_dim)` that the segments name.
    ///
    /// # Errors
    /// When there are fewer tokens than the branches have.
    pub fn seen(&self, keys: Tensor) -> Result<Tensor> {
        match &self.rows {
            Some(rows) => keys.index_select(rows, 0),
            None => Ok(keys),
        }
    }
}
