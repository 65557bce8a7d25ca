//! Which split an image belongs to.

use std::fmt;
use std::str::FromStr;

use qponder_shared::dataset::Entry;
use qponder_shared::manifest::Split;
use sha2::{Digest, Sha256};

/// How far fractions may miss 1.
const TOLERANCE: f64 = 1e-6;

/// Shares of train, validation and test that add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fractions {
    train: f64,
    val: f64,
    test: f64,
}

/// A text that is no fractions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no split: write the shares of train, val and test, which add up to 1, such as 0.8,0.1,0.1")]
pub struct NoFractions(pub String);

impl Default for Fractions {
    fn default() -> Self {
        Self { train: 0.8, val: 0.1, test: 0.1 }
    }
}

impl FromStr for Fractions {
    type Err = NoFractions;

    fn from_str(text: &str) -> Result<Self, NoFractions> {
        let refused = || NoFractions(text.to_owned());
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        let numbers = numbers.map_err(|_| refused())?;
        let [train, val, test] = numbers[..] else { return Err(refused()) };
        let shares = [train, val, test].iter().all(|share| (0.0..=1.0).contains(share));
        let whole = (train + val + test - 1.0).abs() < TOLERANCE;
        if shares && whole { Ok(Self { train, val, test }) } else { Err(refused()) }
    }
}

impl fmt::Display for Fractions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.train, self.val, self.test)
    }
}

impl Fractions {
    /// The split of a reference: a function of it and the seed alone, so that it stays where it is when
    /// others are added.
    #[must_use]
    pub fn split(self, seed: u64, reference: &str) -> Split {
        let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(reference).finalize();
        let first: [u8; 8] = std::array::from_fn(|index| digest[index]);
        // 53 bits, which a double holds exactly: from 0 to below 1.
        let place = (u64::from_le_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64;
        // Where rounding keeps the shares below 1, the last that is not nothing has the rest.
        let shares = [(Split::Train, self.train), (Split::Val, self.val), (Split::Test, self.test)];
        let (mut end, mut last) = (0.0, Split::Train);
        for (split, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
            (end, last) = (end + share, split);
            if place < end {
                break;
            }
        }
        last
    }
}

/// Where splits came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UsedSplit {
    /// The dataset's authors.
    Official,
    /// A seed, by reference.
    Seeded { seed: u64, fractions: Fractions },
}

/// The split of each entry: the official one where every entry has one and no other is asked for.
pub(super) fn assign(entries: &[Entry], asked: Option<Fractions>, seed: u64) -> (UsedSplit, Vec<Split>) {
    let official: Option<Vec<Split>> = entries.iter().map(|entry| entry.split).collect();
    match (asked, official) {
        (None, Some(official)) => (UsedSplit::Official, official),
        (asked, _) => {
            let fractions = asked.unwrap_or_default();
            let seeded = entries.iter().map(|entry| fractions.split(seed, &entry.reference)).collect();
            (UsedSplit::Seeded { seed, fractions }, seeded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_reference_stays_where_it_is() {
        let fractions = Fractions::default();
        let mut counts = [0_usize; 3];
        for index in 0..2000 {
            let reference = format!("I{index:04}");
            let split = fractions.split(7, &reference);
            assert_eq!(split, fractions.split(7, &reference));
            counts[split as usize] += 1;
        }
        assert!((1500..1700).contains(&counts[0]), "{counts:?}");
        assert!((150..250).contains(&counts[1]) && (150..250).contains(&counts[2]), "{counts:?}");
        let moved = (0..200).filter(|index| {
            let reference = format!("I{index:04}");
            fractions.split(7, &reference) != fractions.split(8, &reference)
        });
        assert!(moved.count() > 20);
    }

    #[test]
    fn a_share_of_nothing_gets_nothing() {
        for (text, only) in [("1,0,0", Split::Train), ("0,1,0", Split::Val), ("0,0,1", Split::Test)] {
            let fractions: Fractions = text.parse().expect("fractions");
            assert!((0..500).all(|index| fractions.split(index, "a") == only), "{text}");
        }
        for text in ["", "1", "0.5,0.5", "0.5,0.4,0.2", "-1,1,1", "NaN,0,1", "a,b,c", "0.5,0.5,0,0"] {
            assert!(text.parse::<Fractions>().is_err(), "{text}");
        }
    }
}
