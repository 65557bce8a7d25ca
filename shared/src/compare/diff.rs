//! Where two texts differ, word by word.

/// A run of words that both texts have, or that only this one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The words, single spaces between them.
    pub text: String,
    /// Both texts have it, in this order.
    pub is_shared: bool,
}

/// Texts of more words are not compared: the table would have the square of their number.
const MOST: usize = 1500;

/// Both texts in pieces. Words are the same whatever their case and the punctuation around them; what is shared
/// is a longest common subsequence.
#[must_use]
pub fn diff_words(left: &str, right: &str) -> (Vec<Piece>, Vec<Piece>) {
    let (left, right): (Vec<&str>, Vec<&str>) =
        (left.split_whitespace().collect(), right.split_whitespace().collect());
    let (mut in_left, mut in_right) = (vec![false; left.len()], vec![false; right.len()]);
    if left.len() <= MOST && right.len() <= MOST {
        mark(&plain(&left), &plain(&right), &mut in_left, &mut in_right);
    }
    (join(&left, &in_left), join(&right, &in_right))
}

/// Marks the words of a longest common subsequence.
fn mark(left: &[String], right: &[String], in_left: &mut [bool], in_right: &mut [bool]) {
    let width = right.len() + 1;
    // `longest[i * width + j]`: of left from i and right from j.
    let mut longest = vec![0_u16; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            longest[i * width + j] = if left[i] == right[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if left[i] == right[j] {
            (in_left[i], in_right[j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
}

fn plain(words: &[&str]) -> Vec<String> {
    let plain = |word: &&str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        if bare.is_empty() { (*word).to_owned() } else { bare.to_lowercase() }
    };
    words.iter().map(plain).collect()
}

fn join(words: &[&str], shared: &[bool]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (word, &is_shared) in words.iter().zip(shared) {
        match pieces.last_mut() {
            Some(last) if last.is_shared == is_shared => {
                last.text.push(' ');
                last.text.push_str(word);
            }
            _ => pieces.push(Piece { text: (*word).to_owned(), is_shared }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces as text, what only one side has in brackets.
    fn written(pieces: &[Piece]) -> String {
        let piece = |piece: &Piece| {
            if piece.is_shared { piece.text.clone() } else { format!("[{}]", piece.text) }
        };
        pieces.iter().map(piece).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_that_only_one_has_stand_out() {
        for (left, right, in_left, in_right) in [
            ("", "", "", ""),
            ("a b", "", "[a b]", ""),
            (
                "Fine grain, in the sky",
                "fine grain in the shadows",
                "Fine grain, in the [sky]",
                "fine grain in the [shadows]",
            ),
            (
                "edges are crisp",
                "all edges are very crisp",
                "edges are crisp",
                "[all] edges are [very] crisp",
            ),
            ("a b c d", "c d a b", "[a b] c d", "c d [a b]"),
            ("— soft", "- soft", "[—] soft", "[-] soft"),
        ] {
            let (found_left, found_right) = diff_words(left, right);
            assert_eq!((&*written(&found_left), &*written(&found_right)), (in_left, in_right));
        }
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_what_is_shared_is_the_same(left in "[a-c ]{0,40}", right in "[a-c ]{0,40}") {
            let (in_left, in_right) = diff_words(&left, &right);
            let all = |pieces: &[Piece]| pieces.iter().map(|p| p.text.clone()).collect::<Vec<_>>().join(" ");
            let shared = |pieces: &[Piece]| {
                pieces.iter().filter(|p| p.is_shared).map(|p| p.text.clone()).collect::<Vec<_>>().join(" ")
            };
            prop_assert_eq!(all(&in_left), left.split_whitespace().collect::<Vec<_>>().join(" "));
            prop_assert_eq!(all(&in_right), right.split_whitespace().collect::<Vec<_>>().join(" "));
            prop_assert_eq!(shared(&in_left), shared(&in_right));
        }
    }
}
