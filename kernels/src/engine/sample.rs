//! Choosing the next token, on the processor; `gpu/wgsl/choose.wgsl` does the same on a card.

/// Greedy, or at random from a seed.
///
/// The noise of a token depends on nothing but the seed, the number of tokens before it and the token itself, so
/// that a card can make it for all tokens at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    temperature: f32,
    seed: u32,
}

impl Sampler {
    /// Always the most likely token.
    #[must_use]
    pub fn greedy() -> Self {
        Self::new(0.0, 0)
    }

    /// Tokens as likely as the softmax of `logits / temperature` says; 0 is greedy. Equal seeds give equal
    /// answers.
    #[must_use]
    pub fn new(temperature: f32, seed: u64) -> Self {
        Self { temperature, seed: (seed ^ (seed >> 32)) as u32 }
    }

    /// What kernels need of it: the seed, and the temperature's bits.
    #[must_use]
    pub fn words(self) -> [u32; 2] {
        [self.seed, self.temperature.to_bits()]
    }

    /// The token after `tokens` tokens. The largest sum of a logit and Gumbel noise is a draw from the softmax
    /// (Gumbel 1954); of equal sums the first counts.
    #[must_use]
    pub fn choose(self, tokens: u32, logits: &[f32]) -> u32 {
        let mut best = (0, f32::MIN);
        for (token, &logit) in (0..).zip(logits) {
            let value = self.value(tokens, token, logit);
            if value > best.1 {
                best = (token, value);
            }
        }
        best.0
    }

    /// What decides, for one token.
    pub(crate) fn value(self, tokens: u32, token: u32, logit: f32) -> f32 {
        if self.temperature > 0.0 {
            logit / self.temperature + gumbel(hash([self.seed, tokens, token]))
        } else {
            logit
        }
    }
}

/// PCG3D, the first of its three words (Jarzynski and Olano 2020).
fn hash(seed: [u32; 3]) -> u32 {
    let [mut x, mut y, mut z] = seed.map(|word| word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    x = x.wrapping_add(y.wrapping_mul(z));
    y = y.wrapping_add(z.wrapping_mul(x));
    z = z.wrapping_add(x.wrapping_mul(y));
    [x, y, z] = [x, y, z].map(|word| word ^ (word >> 16));
    x.wrapping_add(y.wrapping_mul(z))
}

/// Standard Gumbel noise, `-ln(-ln(1 - v))` for `v` uniform between 0 and 1. Small `v` become the largest noise,
/// which decides; there the series of `-ln(1 - v)` is exact where a card's logarithm is not.
fn gumbel(bits: u32) -> f32 {
    let v = ((bits >> 9) as f32 + 0.5) / 8_388_608.0;
    let exponential = if v < 0.05 {
        v * (1.0 + v * (1.0 / 2.0 + v * (1.0 / 3.0 + v * (1.0 / 4.0 + v * (1.0 / 5.0 + v / 6.0)))))
    } else {
        -(1.0 - v).ln()
    };
    -exponential.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0_f32, 1.0, 2.0];
        assert_eq!(Sampler::greedy().choose(5, &logits), 2);
        let total: f32 = logits.iter().map(|x| (x / 0.5).exp()).sum();
        for seed in [7, 1 << 40] {
            let sampler = Sampler::new(0.5, seed);
            let mut counts = [0.0; 3];
            (0..20_000).for_each(|tokens| counts[sampler.choose(tokens, &logits) as usize] += 1.0 / 20_000.0);
            for (count, logit) in counts.iter().zip(logits) {
                assert!((count - (logit / 0.5).exp() / total).abs() < 0.01, "{counts:?}");
            }
        }
    }

    #[test]
    fn noise_is_finite_and_steady_at_its_ends() {
        for bits in [0, u32::MAX, 1 << 9, u32::MAX - (1 << 9)] {
            assert!(gumbel(bits).is_finite(), "{bits}");
        }
        // Where the series ends the logarithm goes on.
        let at = |v: f64| gumbel(((v * 8_388_608.0) as u32) << 9);
        assert!((at(0.05 - 1e-6) - at(0.05 + 1e-6)).abs() < 1e-4);
    }

    #[test]
    fn the_first_of_equals_is_chosen_and_nothing_else_than_numbers_counts() {
        assert_eq!(Sampler::greedy().choose(0, &[1.0, 3.0, 3.0, f32::NAN]), 1);
        assert_eq!(Sampler::greedy().choose(0, &[f32::NAN; 3]), 0);
    }
}
