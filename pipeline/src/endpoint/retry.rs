//! How long to wait before a call is made again.

use std::time::{Duration, SystemTime};

use crate::degrade::Rng;

/// Exponential back-off with full jitter: the n-th wait is uniform between 0 and `first · 2^n`, at most
/// `longest`, so that many callers do not come back together (Brooker, "Exponential Backoff And Jitter",
/// 2015). What the endpoint asks for is a lower bound.
pub struct Backoff {
    first: Duration,
    longest: Duration,
    rng: Rng,
}

impl Backoff {
    /// Waits whose lengths a seed and a stream decide.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, seed: u64, stream: u64) -> Self {
        Self { first, longest, rng: Rng::new(seed, stream) }
    }

    /// The wait after failure number `failures`, from 0, of which the endpoint asked for `asked`.
    pub fn wait(&mut self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(failures));
        let jittered = doubled.min(self.longest).mul_f64(f64::from(self.rng.unit()));
        // Everybody was asked to wait the same time: come back a little after it.
        asked.map_or(jittered, |asked| asked.saturating_add(jittered.min(self.first)))
    }
}

/// Longest wait that an endpoint's Retry-After is heeded for: a day, beyond which something is wrong.
const LONGEST_ASKED: u64 = 86_400;

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// Reads `Retry-After`, seconds or an HTTP date (RFC 9110, section 10.2.3); `now` is in seconds since 1970.
pub(super) fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<f64>() {
        // Some endpoints send fractions.
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => seconds.ceil() as u64,
        Ok(_) => return None,
        Err(_) => http_date(value)?.saturating_sub(now),
    };
    Some(Duration::from_secs(seconds.min(LONGEST_ASKED)))
}

/// An HTTP date in seconds since 1970.
fn http_date(value: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_never_undercut_what_was_asked() {
        let seconds = Duration::from_secs;
        let mut backoff = Backoff::new(seconds(1), seconds(8), 3, 1);
        let mut largest = [Duration::ZERO; 6];
        for _ in 0..500 {
            for (failures, largest) in largest.iter_mut().enumerate() {
                *largest = backoff.wait(failures as u32, None).max(*largest);
            }
        }
        for (found, bound) in largest.iter().zip([1, 2, 4, 8, 8, 8]) {
            assert!(*found <= seconds(bound) && *found > seconds(bound).mul_f64(0.9), "{largest:?}");
        }
        assert!(backoff.wait(u32::MAX, None) <= seconds(8));
        for failures in 0..9 {
            let wait = backoff.wait(failures, Some(seconds(20)));
            assert!((seconds(20)..=seconds(21)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_700;
        for (value, seconds) in [
            ("0", Some(0)),
            (" 12 ", Some(12)),
            ("1.2", Some(2)),
            ("99999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("Thu, 29 Feb 1996 00:00:00 GMT", Some(86_400)),
            ("-3", None),
            ("nan", None),
            ("soon", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(http_date("Thu, 29 Feb 1996 12:30:15 GMT"), Some(825_597_015));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
    }
}
