//! Passwords: Argon2id with 19 MiB, two passes, one lane ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106), and the
//! OWASP password storage cheat sheet for the numbers).
//!
//! A hash costs tens of milliseconds of one core. At most as many run at once as there are cores, on threads of their own
//! with low priority, so that a storm of sign-ins takes only what those who are signed in leave; a bounded number wait;
//! whoever comes after them is told to come back.

use std::{sync::Arc, thread, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Error as HashError, phc::PasswordHash},
};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use zeroize::Zeroizing;

/// Errors from hashing or checking a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too many passwords are waiting to be checked.
    #[error("too many sign-ins at once; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The password is longer than [`MAX_PASSWORD_BYTES`].
    #[error("password is longer than {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// The hash could not be made, or the stored one is unreadable.
    #[error("password could not be hashed or its stored hash is unreadable")]
    Hash,
}

impl PasswordError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "password.busy",
            Self::TooLong => "password.too-long",
            Self::Hash => "password.hash",
        }
    }
}

/// Hashes and checks passwords, a few at a time.
#[derive(Clone)]
pub struct Passwords {
    /// One permit per hash that runs.
    running: Arc<Semaphore>,
    /// One permit per hash that runs or waits.
    places: Arc<Semaphore>,
}

impl Passwords {
    /// As many at once as there are cores, and [`WAITING`] behind them.
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::with_bounds(cores, WAITING)
    }

    fn with_bounds(running: usize, waiting: usize) -> Self {
        Self { running: Arc::new(Semaphore::new(running)), places: Arc::new(Semaphore::new(running + waiting)) }
    }

    /// Hashes a new password into the text that is stored.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn hash(&self, password: &str) -> Result<String, PasswordError> {
        self.run(password, |password| {
            let mut salt = [0; SALT_BYTES];
            SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Hash)?;
            let hash = hasher()?.hash_password_with_salt(password, &salt).map_err(|_| PasswordError::Hash)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password is the one of the stored text.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn verify(&self, phc: &str, password: &str) -> Result<bool, PasswordError> {
        let phc = phc.to_owned();
        self.run(password, move |password| {
            let hash = PasswordHash::new(&phc).map_err(|_| PasswordError::Hash)?;
            match PasswordVerifier::<PasswordHash>::verify_password(&hasher()?, password, &hash) {
                Ok(()) => Ok(true),
                Err(HashError::PasswordInvalid) => Ok(false),
                Err(_) => Err(PasswordError::Hash),
            }
        })
        .await
    }

    /// Costs what [`Self::verify`] costs and is never right: for users that do not exist.
    ///
    /// # Errors
    /// [`PasswordError::Busy`] when too many wait.
    pub async fn verify_nobody(&self, password: &str) -> Result<(), PasswordError> {
        self.verify(NOBODY, password).await.map(|_| ())
    }

    async fn run<T: Send + 'static>(
        &self,
        password: &str,
        work: impl FnOnce(&[u8]) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let password = Zeroizing::new(password.as_bytes().to_vec());
        let place =
            self.places.clone().try_acquire_owned().map_err(|_| PasswordError::Busy { retry_after: RETRY_AFTER })?;
        let turn = self.running.clone().acquire_owned().await.map_err(|_| PasswordError::Hash)?;
        // The permits go along, because a thread that hashes cannot be stopped when nobody waits for it any more.
        let permits: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (place, turn);
        let (answer, answered) = oneshot::channel();
        let thread = thread::Builder::new().name("password".to_owned()).spawn(move || {
            step_back();
            let result = work(&password);
            drop(permits);
            // Whoever asked may have gone.
            let _ = answer.send(result);
        });
        thread.map_err(|_| PasswordError::Busy { retry_after: RETRY_AFTER })?;
        answered.await.map_err(|_| PasswordError::Hash)?
    }
}

/// Lowers the priority of this thread, for good: that is why it serves for one hash only.
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "Password is checked at ordinary priority");
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Hash)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Longest accepted password.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// How many may wait for their turn: as many as are checked well before a client gives up. Who is turned away comes back with a
/// new connection, which costs more than waiting.
const WAITING: usize = 256;

/// A full queue is worked off in about this time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The lowest priority there is: a core that others want is theirs but for a small share.
const NICE: i32 = 19;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// Shaped like a stored hash with the same cost; no known password fits.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(passwords.verify(&hash, "correct horse").await.unwrap());
        assert!(!passwords.verify(&hash, "correct horsf").await.unwrap());
        assert!(matches!(passwords.verify("plain", "x").await, Err(PasswordError::Hash)));
        passwords.verify_nobody("x").await.unwrap();
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert!(matches!(passwords.hash(&long).await, Err(PasswordError::TooLong)));
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_recovers() {
        let passwords = Passwords::with_bounds(1, 2);
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let passwords = passwords.clone();
            set.spawn(async move { passwords.verify_nobody("x").await });
        }
        let results = set.join_all().await;
        let busy = results.iter().filter(|result| matches!(result, Err(PasswordError::Busy { .. }))).count();
        assert_eq!((results.len(), busy), (8, 5));
        passwords.verify_nobody("x").await.unwrap();
    }
}
