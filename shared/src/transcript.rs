//! An answer while it streams in: joining its pieces, and reading its beginning without flicker.

use crate::{Attribute, Level};

/// Text between what is there and the piece that came is missing: read the whole answer anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece at byte {offset} does not continue a text of {length} bytes")]
pub struct Gap {
    /// Bytes there are.
    pub length: usize,
    /// Where the piece begins.
    pub offset: usize,
}

/// Joins a piece that begins at byte `offset` to `text`. What a stream repeats after it was
/// interrupted is taken once.
///
/// # Errors
/// When the piece begins after the end of `text`, or within a character of it.
pub fn join(text: &mut String, offset: usize, piece: &str) -> Result<(), Gap> {
    let gap = Gap { length: text.len(), offset };
    let repeated = text.len().checked_sub(offset).ok_or(gap)?;
    if repeated < piece.len() {
        text.push_str(piece.get(repeated..).ok_or(gap)?);
    }
    Ok(())
}

/// The beginning of an unfinished answer that further text will not make read differently.
///
/// Without it, `sharp` is a summary until it becomes `sharpness:`, `(go` are words until they
/// become `(good)`, and `</thi` is one until it becomes a tag.
#[must_use]
pub fn settled(text: &str) -> &str {
    let text = without_open_tag(text);
    let line_start = text.rfind('\n').map_or(0, |at| at + 1);
    let (line_start, line) = match text[line_start..].rfind('>') {
        Some(at) => (line_start + at + 1, &text[line_start + at + 1..]),
        None => (line_start, &text[line_start..]),
    };
    let words = line.trim();
    if !words.is_empty() && Attribute::ALL.iter().any(|attribute| begins(attribute.word(), words)) {
        return &text[..line_start];
    }
    if let Some(at) = line.rfind('(')
        && Level::ALL.iter().any(|level| begins(level.word(), line[at + 1..].trim()))
    {
        return text[..line_start + at].trim_end();
    }
    text
}

/// Whether `word`, in any case, begins with `start`.
fn begins(word: &str, start: &str) -> bool {
    word.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
}

fn without_open_tag(text: &str) -> &str {
    let Some(at) = text.rfind('<') else {
        return text;
    };
    let is_open = ["<think>", "</think>", "<answer>", "</answer>"]
        .iter()
        .any(|tag| text.len() - at < tag.len() && tag.starts_with(&text[at..]));
    if is_open { &text[..at] } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::grammar;

    #[test]
    fn pieces_join_and_repeats_are_taken_once() {
        let mut text = String::new();
        for (offset, piece) in [(0, "sharp"), (5, "ness"), (0, "sharpness"), (3, "rpness: fine"), (2, "ar")] {
            assert_eq!(join(&mut text, offset, piece), Ok(()), "{piece}");
        }
        assert_eq!(text, "sharpness: fine");
        assert_eq!(join(&mut text, 16, "x"), Err(Gap { length: 15, offset: 16 }));
    }

    #[test]
    fn a_piece_that_splits_a_character_is_a_gap() {
        let mut text = "a".to_owned();
        assert!(join(&mut text, 0, "é").is_err());
        assert_eq!(text, "a");
    }

    #[test]
    fn what_may_still_change_is_held_back() {
        for (text, expected) in [
            ("", ""),
            ("<thi", ""),
            ("<think>\nsharp", "<think>\n"),
            ("<think>sharp", "<think>"),
            ("<think>\nsharpness: soft", "<think>\nsharpness: soft"),
            ("<think>\nsharpness: soft (po", "<think>\nsharpness: soft"),
            ("<think>\nsharpness: soft (poor)", "<think>\nsharpness: soft (poor)"),
            ("<think>\nsharpness: soft (at the", "<think>\nsharpness: soft (at the"),
            ("<think>\nNoise dominates", "<think>\nNoise dominates"),
            ("<think>\nIt is fine.\n</th", "<think>\nIt is fine.\n"),
            ("a < b", "a < b"),
        ] {
            assert_eq!(settled(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn is_a_beginning_and_reads_without_panic(
            text in "(<think>|</think>|<answer>|sharpness|noise|:|\\(|\\)|good|<|é|[a-z0-9. \n])*"
        ) {
            let beginning = settled(&text);
            prop_assert!(text.starts_with(beginning));
            let _ = grammar::parse(beginning);
        }
    }
}
