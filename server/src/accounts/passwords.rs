//! Passwords: Argon2id with the parameters that OWASP names first (19 MiB, 2 passes, 1 lane).
//!
//! Hashing is slow on purpose, so it runs on threads for blocking work, a few at a time, and only so many
//! requests wait for it: whoever floods the sign-in cannot take the memory or every core.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use super::secret::{NoRandomness, Secret};

/// Memory in KiB, passes and lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Passwords hashed at a time, at most.
const MOST_THREADS: usize = 4;
/// Requests that are hashing or wait for it. More are sent away at once.
const MOST_WAITING: usize = 64;

/// Why a password was neither hashed nor checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("too many passwords are being checked; try again in a few seconds")]
    Busy,
    /// No random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Argon2 refused, or its thread died.
    #[error("hashing a password failed: {0}")]
    Failed(String),
}

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// Hash of a password that nobody has: checked for unknown users, who then take as long as others.
    nobody: Arc<str>,
}

impl Passwords {
    /// Ready to hash.
    ///
    /// # Errors
    /// When not even one password can be hashed.
    pub fn new() -> Result<Self, PasswordError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            running: Arc::new(Semaphore::new((cores / 2).clamp(1, MOST_THREADS))),
            nobody: hash(Secret::new("")?.text())?.into(),
        })
    }

    /// The string to keep of a new password.
    ///
    /// # Errors
    /// When too many wait, or hashing fails.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move || hash(&password)).await
    }

    /// Whether a password is the one that was hashed. Without a hash it is not, after the same time.
    ///
    /// # Errors
    /// When too many wait, or the hash is not one of ours.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, PasswordError> {
        let nobody = Arc::clone(&self.nobody);
        self.run(move || {
            let is_right = verify(&password, stored.as_deref().unwrap_or(&nobody))?;
            Ok(is_right && stored.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self.waiting.try_acquire().map_err(|_| PasswordError::Busy)?;
        let running = Arc::clone(&self.running);
        let permit =
            running.acquire_owned().await.map_err(|error| PasswordError::Failed(error.to_string()))?;
        // The permit goes along: a request that is given up must not make room while its hash still runs.
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.map_err(|error| PasswordError::Failed(error.to_string()))?
    }
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let (memory, passes, lanes) = COST;
    let params =
        Params::new(memory, passes, lanes, None).map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let hash = argon2()?.hash_password(password.as_bytes());
    hash.map(|hash: PasswordHash| hash.to_string()).map_err(|error| PasswordError::Failed(error.to_string()))
}

fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(|error| PasswordError::Failed(error.to_string()))?;
    match argon2()?.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(PasswordError::Failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_have_the_parameters_and_a_salt_of_their_own() {
        let (first, second) =
            (hash("correct horse").expect("a hash"), hash("correct horse").expect("a hash"));
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        assert!(verify("correct horse", &first).expect("it can be checked"));
        assert!(!verify("correct horse ", &first).expect("it can be checked"));
        assert!(verify("correct horse", "not a hash").is_err());
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = Passwords::new().expect("it hashes");
        assert!(!passwords.verify(String::new(), None).await.expect("it can be checked"));
        let full = passwords.waiting.acquire_many(64).await.expect("it is open");
        assert!(matches!(passwords.hash("x".to_owned()).await, Err(PasswordError::Busy)));
        drop(full);
        assert!(passwords.hash("x".to_owned()).await.is_ok());
    }
}
