//! From token ids back to text: the byte-level alphabet of GPT-2's tokenizers.

use super::EngineError;
use crate::gguf::Gguf;

/// `tokenizer.ggml.token_type` of tokens in the alphabet.
const NORMAL: u32 = 1;

/// `tokenizer.ggml.token_type` of added tokens that are text.
const USER_DEFINED: u32 = 4;

/// The bytes of every token; none of tokens that are no text.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    tokens: Vec<Vec<u8>>,
}

impl Vocabulary {
    /// Takes the tokens from the file of the language model.
    ///
    /// # Errors
    /// When they are missing or of another kind of tokenizer.
    pub fn read(file: &Gguf) -> Result<Self, EngineError> {
        let kind = file.text("tokenizer.ggml.model")?;
        if kind != "gpt2" {
            return Err(EngineError::Model(format!("the tokenizer is {kind:?}; only \"gpt2\" can be read")));
        }
        let types = file.numbers("tokenizer.ggml.token_type")?;
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let bytes = |(token, &kind): (&str, &u32)| match kind {
            NORMAL => token.chars().filter_map(byte).collect(),
            USER_DEFINED => token.as_bytes().to_vec(),
            _ => Vec::new(),
        };
        Ok(Self { tokens: tokens.into_iter().zip(&types).map(bytes).collect() })
    }

    /// The bytes of a token.
    #[must_use]
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.tokens.get(token as usize).map_or(&[], Vec::as_slice)
    }
}

/// The byte that a character of the alphabet stands for: printable Latin-1 stands for itself, the other
/// bytes for the characters from U+0100 on.
fn byte(character: char) -> Option<u8> {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let code = character as u32;
    match u8::try_from(code) {
        Ok(byte) => is_printable(byte).then_some(byte),
        Err(_) => (0..=255).filter(|&byte| !is_printable(byte)).nth(code.checked_sub(256)? as usize),
    }
}

/// Puts bytes together to characters.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    /// The beginning of a character that is not complete.
    open: Vec<u8>,
}

impl Decoder {
    /// Adds bytes; the text that is complete by them. Bytes that are no UTF-8 become U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.open.extend(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.open) {
                Ok(valid) => {
                    text.push_str(valid);
                    self.open.clear();
                    return text;
                }
                Err(error) => {
                    let (valid, rest) = self.open.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(wrong) = error.error_len() else {
                        self.open = rest.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.open = rest[wrong..].to_vec();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_holds_every_byte_once() {
        let characters = (0..=0x17f).filter_map(char::from_u32);
        let mut bytes: Vec<u8> = characters.filter_map(byte).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        assert_eq!((byte('Ġ'), byte('Ċ'), byte('a')), (Some(b' '), Some(b'\n'), Some(b'a')));
    }

    #[test]
    fn characters_wait_until_they_are_complete() {
        let mut decoder = Decoder::default();
        let bytes = "aé€".as_bytes();
        assert_eq!(decoder.push(&bytes[..2]), "a");
        assert_eq!(decoder.push(&bytes[2..5]), "é");
        assert_eq!(decoder.push(&bytes[5..]), "€");
        assert_eq!(decoder.push(&[0xff, b'b']), "\u{fffd}b");
    }
}
