//! Nano's tokenizer: byte-level BPE with the pre-tokenizer and special tokens of Qwen2.5-VL, learned
//! from what the teacher writes.

use qponder_shared::api::Mode;
use qponder_shared::{Distortion, DistortionKind, Level, Score, Severity, prompt};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, TokenizerBuilder};

use crate::degrade::Rng;
use crate::teacher;

/// How Qwen2 cuts text before merging.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// In the order of their ids.
const SPECIAL: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Words of the vocabulary, special tokens included.
const VOCABULARY: usize = 1024;

/// What the tokenizer learns from: answers of every kind and severity, the prompts, level words.
fn corpus() -> Vec<String> {
    let mut rng = Rng::new(1, 0x746F_6B65);
    let mut texts = vec![format!("system\n{}", prompt::SYSTEM), "user\n".into(), "assistant\n".into()];
    for (kind, level) in DistortionKind::ALL.iter().flat_map(|&kind| Severity::ALL.map(|level| (kind, level)))
    {
        for _ in 0..8 {
            let score = Score::clamped(1.0 + 4.0 * f64::from(rng.unit())).unwrap_or(Score::MIN);
            texts.push(teacher::write(&[Distortion { kind, level }], score, rng.next_u64()));
        }
    }
    texts.extend((0..64).map(|_| teacher::write(&[], Score::MAX, rng.next_u64())));
    for mode in [Mode::Reason, Mode::Quick] {
        texts.extend(std::iter::repeat_n(prompt::current(mode).text.to_owned(), 64));
    }
    // Alone, without a space before, as the quick mode answers.
    texts.extend(Level::ALL.iter().flat_map(|level| std::iter::repeat_n(level.word().to_owned(), 64)));
    texts
}

/// Learns the tokenizer anew; `tokenizer.json` beside this file is what it gives.
///
/// # Errors
/// When the tokenizers library refuses.
pub fn learn() -> tokenizers::Result<String> {
    let split = Split::new(SplitPattern::Regex(PATTERN.into()), SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(false, false, false);
    let sequence =
        Sequence::new(vec![PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)]);
    let mut tokenizer = TokenizerBuilder::default()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(sequence))
        .with_post_processor(Some(ByteLevel::new(false, false, false)))
        .with_decoder(Some(ByteLevel::new(false, false, false)))
        .build()?;
    let special = SPECIAL.map(|token| AddedToken::from(token, true)).to_vec();
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(VOCABULARY)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    tokenizer.train(&mut trainer, corpus().into_iter())?;
    tokenizer.to_string(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_tokenizer_is_the_learned_one() {
        let learned = learn().expect("learns");
        if std::env::var_os("UPDATE_TOKENIZER").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/nano/tokenizer.json"), &learned)
                .expect("writes");
        } else {
            assert!(learned == super::super::TOKENIZER, "run with UPDATE_TOKENIZER=1 and retrain nano");
        }
    }

    #[test]
    fn level_words_are_single_tokens() {
        let (_, processor) = super::super::processor().expect("nano's processor");
        for level in Level::ALL {
            assert_eq!(processor.tokenise(level.word()).map(|ids| ids.len()).ok(), Some(1), "{level}");
        }
    }
}
