//! Secrets that are handed out once: sessions, tokens and links. Only their hashes are kept.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// What every personal API token begins with, so that scanners of leaked secrets know it.
pub const TOKEN_PREFIX: &str = "qp_";

/// SHA-256 of a secret. Without salt or stretching: the secret itself has 256 random bits.
pub type SecretHash = [u8; 32];

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// A new secret. It has no `Debug`, so that it gets into no log.
pub struct Secret(String);

impl Secret {
    /// 256 random bits as text that fits into cookies, headers and addresses.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(prefix: &str) -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(NoRandomness)?;
        Ok(Self(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// What its owner gets.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept.
    pub fn hash(&self) -> SecretHash {
        hash(&self.0)
    }
}

/// The hash by which a secret is found again.
pub fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (first, second) = (Secret::new("qp_").expect("random"), Secret::new("").expect("random"));
        assert_eq!((first.text().len(), second.text().len()), (46, 43));
        assert!(first.text().starts_with(TOKEN_PREFIX) && first.hash() == hash(first.text()));
        assert_ne!(first.text()[3..], *second.text());
    }
}
