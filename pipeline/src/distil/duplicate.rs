//! Near-duplicates: answers that say nearly the same, by the Jaccard similarity of their sets of word
//! trigrams.
//!
//! All pairs above a threshold are found exactly, without comparing all pairs, by prefix filtering
//! (Chaudhuri, Ganti, Kaushik, ICDE 2006; Bayardo, Ma, Srikant, WWW 2007): with the trigrams of a set in one
//! global order, rarest first, two sets that are similar enough share one among their first few, so only
//! these are indexed.

use std::collections::{HashMap, HashSet};

/// For each text, the first earlier kept text that it nearly repeats, with their similarity. A text that
/// repeats another is not kept itself.
pub(super) fn find(texts: &[&str], threshold: f64) -> Vec<Option<(usize, f64)>> {
    let sets = rarest_first(texts);
    let mut index: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut found = Vec::with_capacity(texts.len());
    for (current, set) in sets.iter().enumerate() {
        let prefix = &set[..prefix_length(set.len(), threshold)];
        let mut candidates: Vec<usize> =
            prefix.iter().filter_map(|gram| index.get(gram)).flatten().copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        let near = candidates.into_iter().find_map(|earlier| {
            let similarity = jaccard(&sets[earlier], set);
            (similarity >= threshold).then_some((earlier, similarity))
        });
        if near.is_none() {
            prefix.iter().for_each(|gram| index.entry(*gram).or_default().push(current));
        }
        found.push(near);
    }
    found
}

/// Two sets of similarity `threshold` share at least that part of the larger one, so they meet within what
/// is left of it, and one more.
fn prefix_length(size: usize, threshold: f64) -> usize {
    // A little below, so that rounding cannot lose a pair.
    let shared = (threshold * size as f64 - 1e-9).ceil() as usize;
    (size - shared.min(size) + 1).min(size)
}

/// The trigrams of each text as numbers, ascending; rarer trigrams have smaller numbers.
fn rarest_first(texts: &[&str]) -> Vec<Vec<u32>> {
    let mut numbers: HashMap<Vec<String>, u32> = HashMap::new();
    let mut counts: Vec<usize> = Vec::new();
    let mut sets: Vec<Vec<u32>> = Vec::with_capacity(texts.len());
    for text in texts {
        let mut set = HashSet::new();
        for gram in trigrams(text) {
            let next = counts.len() as u32;
            let number = *numbers.entry(gram).or_insert(next);
            if number == next {
                counts.push(0);
            }
            set.insert(number);
        }
        set.iter().for_each(|&number| counts[number as usize] += 1);
        sets.push(set.into_iter().collect());
    }
    let mut order: Vec<u32> = (0..counts.len() as u32).collect();
    order.sort_by_key(|&number| (counts[number as usize], number));
    let mut ranks = vec![0; counts.len()];
    order.iter().zip(0..).for_each(|(&number, rank)| ranks[number as usize] = rank);
    for set in &mut sets {
        set.iter_mut().for_each(|number| *number = ranks[*number as usize]);
        set.sort_unstable();
    }
    sets
}

/// Runs of three words, without case and punctuation; of a shorter text the whole.
fn trigrams(text: &str) -> Vec<Vec<String>> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if words.len() < 3 {
        return if words.is_empty() { Vec::new() } else { vec![words] };
    }
    words.windows(3).map(<[String]>::to_vec).collect()
}

/// Size of the intersection over size of the union; both ascend.
fn jaccard(a: &[u32], b: &[u32]) -> f64 {
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        shared += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    let union = a.len() + b.len() - shared;
    if union == 0 { 0.0 } else { shared as f64 / union as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::degrade::Rng;

    #[test]
    fn a_repeated_answer_is_found_and_the_first_one_stays() {
        let first = "edges are soft everywhere and fine grain covers the whole picture";
        let found = find(
            &[
                first,
                "colours run over their edges while the shadows are closed",
                "Edges are soft everywhere, and fine grain covers the whole picture.",
                "edges are soft everywhere and fine grain covers the upper half",
                "",
                "",
            ],
            0.8,
        );
        assert_eq!(found[2], Some((0, 1.0)));
        assert_eq!([found[0], found[1], found[3], found[4], found[5]], [None; 5]);
    }

    #[test]
    fn prefixes_find_what_all_pairs_find() {
        let mut rng = Rng::new(5, 0);
        let texts: Vec<String> = (0..120)
            .map(|text| {
                // Variations of a few sentences.
                let mut word = |at: usize| (text % 6) * 100 + at * 3 + usize::from(rng.below(12) == 0);
                (0..24).map(|at| format!("w{}", word(at))).collect::<Vec<_>>().join(" ")
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let sets = rarest_first(&texts);
        for threshold in [0.3, 0.5, 0.8, 1.0] {
            let mut expected: Vec<Option<(usize, f64)>> = Vec::new();
            for current in 0..texts.len() {
                let near = (0..current).filter(|&earlier| expected[earlier].is_none()).find_map(|earlier| {
                    let similarity = jaccard(&sets[earlier], &sets[current]);
                    (similarity >= threshold).then_some((earlier, similarity))
                });
                expected.push(near);
            }
            assert!(expected.iter().any(Option::is_some), "nothing to find at {threshold}");
            assert_eq!(find(&texts, threshold), expected, "{threshold}");
        }
    }
}
