//! Limits on guessing: failures are counted by address and by account, in memory.
//!
//! Each limit is a bucket that holds so many failures and loses one at a steady pace (the generic cell
//! rate algorithm: one moment a key says how full its bucket is). Only failures count, so that an office
//! behind one address signs in as often as it likes; a crate that counts every call would not do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::secret;

/// Keys remembered at most; beyond, buckets that are empty again are forgotten, then any.
const MOST_KEYS: usize = 100_000;

/// Every limit of the server.
pub struct Limits {
    /// Failed sign-ins from one address.
    pub sign_in_address: Limit,
    /// Failed sign-ins with one account, from wherever.
    pub sign_in_account: Limit,
    /// Links that do not work, from one address.
    pub links: Limit,
    /// Tokens that do not work, from one address.
    pub tokens: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sign_in_address: Limit::new(30, Duration::from_secs(10)),
            sign_in_account: Limit::new(10, Duration::from_secs(60)),
            links: Limit::new(20, Duration::from_secs(30)),
            tokens: Limit::new(30, Duration::from_secs(10)),
        }
    }
}

/// The bucket of an address. An IPv6 customer has a whole /64.
pub fn address(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

/// The bucket of an account, whether or not there is one.
pub fn account(email: &str) -> u128 {
    let [.., a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = secret::hash(email);
    u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

/// Too many failures; the next attempt may be made after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany(pub Duration);

impl TooMany {
    /// For `Retry-After`: whole seconds, at least one.
    pub fn seconds(self) -> u16 {
        u16::try_from(self.0.as_secs().saturating_add(1)).unwrap_or(u16::MAX)
    }
}

/// One limit: `burst` failures at once, then one in each `refill`.
pub struct Limit {
    burst: u32,
    refill: Duration,
    /// When each bucket will be empty.
    empty_at: Mutex<HashMap<u128, Instant>>,
}

impl Limit {
    fn new(burst: u32, refill: Duration) -> Self {
        Self { burst, refill, empty_at: Mutex::default() }
    }

    /// Counts an attempt as a failure before it is made, so that attempts side by side cannot outrun the
    /// count; [`Limit::forgive`] takes it back.
    ///
    /// # Errors
    /// When the bucket is full; then nothing is counted.
    pub fn count(&self, key: u128) -> Result<(), TooMany> {
        self.count_at(key, Instant::now())
    }

    /// Takes back a count: the attempt was none of guessing.
    pub fn forgive(&self, key: u128) {
        let mut all = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(empty_at) = all.get_mut(&key) {
            *empty_at = empty_at.checked_sub(self.refill).unwrap_or(*empty_at);
        }
    }

    fn count_at(&self, key: u128, now: Instant) -> Result<(), TooMany> {
        let mut all = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_at = all.get(&key).copied().unwrap_or(now).max(now);
        let room = self.refill * self.burst.saturating_sub(1);
        let fullness = empty_at - now;
        if fullness > room {
            return Err(TooMany(fullness - room));
        }
        if all.len() >= MOST_KEYS && !all.contains_key(&key) {
            all.retain(|_, empty_at| *empty_at > now);
            if all.len() >= MOST_KEYS
                && let Some(any) = all.keys().next().copied()
            {
                all.remove(&any);
            }
        }
        all.insert(key, empty_at + self.refill);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_and_drains() {
        let limit = Limit::new(3, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| limit.count_at(7, start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(0), at(0)], [Ok(()); 3]);
        assert_eq!(at(0), Err(TooMany(Duration::from_secs(10))));
        assert_eq!(at(4), Err(TooMany(Duration::from_secs(6))));
        assert_eq!(limit.count_at(8, start), Ok(()), "another key has a bucket of its own");
        assert_eq!(at(10), Ok(()));
        assert!(at(10).is_err());
        limit.forgive(7);
        assert_eq!(at(10), Ok(()));
        // Empty again after a long time, and no fuller than a new one.
        assert_eq!([at(900), at(900), at(900)], [Ok(()); 3]);
        assert!(at(900).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let limit = Limit::new(1, Duration::from_secs(10));
        let now = Instant::now();
        for key in 0..MOST_KEYS as u128 + 50 {
            assert_eq!(limit.count_at(key, now), Ok(()));
        }
        assert_eq!(limit.empty_at.lock().expect("a lock").len(), MOST_KEYS);
    }

    #[test]
    fn addresses_of_one_customer_share_a_bucket() {
        let key = |text: &str| address(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
