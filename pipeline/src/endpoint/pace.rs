//! A limit on how many calls begin in a minute.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A token bucket that all threads share. It holds a second's worth of calls, one at least, so that calls
/// are spread over the minute.
pub struct Pace {
    /// Time between two calls; `None` without a limit.
    interval: Option<Duration>,
    /// Calls that may come at once after a pause.
    burst: u32,
    /// When the bucket would be full, if no further call came.
    full_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many calls a minute.
    #[must_use]
    pub fn new(per_minute: Option<f64>) -> Self {
        let interval = per_minute.map(|calls| Duration::from_secs_f64(60.0 / calls));
        let burst = per_minute.map_or(1, |calls| (calls / 60.0).clamp(1.0, 1e6) as u32);
        Self { interval, burst, full_at: Mutex::new(None) }
    }

    /// Takes the next place, and says how long from `now` it is until then.
    pub fn take(&self, now: Instant) -> Duration {
        let Some(interval) = self.interval else { return Duration::ZERO };
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = full_at.unwrap_or(now).max(now);
        let capacity = interval * (self.burst - 1);
        *full_at = Some(before + interval);
        (before - now).saturating_sub(capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spread_after_the_burst() {
        let start = Instant::now();
        let waits = |per_minute, calls| -> Vec<u128> {
            let pace = Pace::new(per_minute);
            (0..calls).map(|_| pace.take(start).as_millis()).collect()
        };
        assert_eq!(waits(None, 3), [0, 0, 0]);
        assert_eq!(waits(Some(30.0), 3), [0, 2000, 4000]);
        assert_eq!(waits(Some(120.0), 4), [0, 0, 500, 1000]);
        let pace = Pace::new(Some(60.0));
        assert_eq!(pace.take(start), Duration::ZERO);
        // A pause does not save up more than the bucket holds.
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.take(later), Duration::ZERO);
        assert_eq!(pace.take(later), Duration::from_secs(1));
    }
}
