//! Choosing the next token.

use super::Random;

/// Greedy, or at random from a seed.
#[derive(Clone, Debug)]
pub struct Sampler {
    temperature: f32,
    random: Random,
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
        Self { temperature, random: Random::new(seed) }
    }

    /// The next token. The largest sum of a logit and Gumbel noise is a draw from the softmax (Gumbel 1954).
    pub fn next(&mut self, logits: &[f32]) -> u32 {
        let mut noisy = |logit: f32| {
            if self.temperature > 0.0 {
                logit / self.temperature - (-self.random.unit().ln()).ln() as f32
            } else {
                logit
            }
        };
        let mut best = (0, f32::NEG_INFINITY);
        for (token, &logit) in logits.iter().enumerate() {
            let value = noisy(logit);
            if value > best.1 {
                best = (token as u32, value);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0_f32, 1.0, 2.0];
        assert_eq!(Sampler::greedy().next(&logits), 2);
        let mut sampler = Sampler::new(0.5, 7);
        let mut counts = [0.0; 3];
        (0..20_000).for_each(|_| counts[sampler.next(&logits) as usize] += 1.0 / 20_000.0);
        let total: f32 = logits.iter().map(|x| (x / 0.5).exp()).sum();
        for (count, logit) in counts.iter().zip(logits) {
            assert!((count - (logit / 0.5).exp() / total).abs() < 0.01, "{counts:?}");
        }
    }
}
