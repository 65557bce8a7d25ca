//! Learning rate over a run.

use qponder_shared::recipe::Train;

/// The learning rate of a step that counts from 1: linear warm-up, then half a cosine.
#[must_use]
pub fn learning_rate(train: &Train, step: usize) -> f64 {
    if step <= train.warmup {
        return train.learning_rate * step as f64 / train.warmup as f64;
    }
    let progress = (step - train.warmup) as f64 / (train.steps - train.warmup).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    train.learning_rate * (train.final_rate + (1.0 - train.final_rate) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls_to_the_final_rate() {
        let train = Train { steps: 100, warmup: 10, learning_rate: 1.0, final_rate: 0.1, ..Train::default() };
        assert!((learning_rate(&train, 5) - 0.5).abs() < 1e-12);
        assert!((learning_rate(&train, 10) - 1.0).abs() < 1e-12);
        assert!((learning_rate(&train, 55) - 0.55).abs() < 1e-9);
        assert!((learning_rate(&train, 100) - 0.1).abs() < 1e-12);
    }
}
