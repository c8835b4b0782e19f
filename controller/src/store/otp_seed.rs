//! A user's seed of one-time codes, and what is kept beside it so that a code is taken once and guessing ends.

use engine::dn::UserName;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

/// A user's seed of one-time codes. Has no `Debug`: it holds the secret in the clear; the store seals it.
#[derive(Clone)]
pub struct OtpSeed {
    /// Whose.
    pub user: UserName,
    /// What codes are computed from.
    pub secret: Zeroizing<Vec<u8>>,
    /// Whether a right code has confirmed that the user has it. From then on it is never shown again.
    pub verified: bool,
    /// When it was shown.
    pub shown: OffsetDateTime,
    /// The newest time step whose code was taken; 0 before the first.
    pub last_step: u64,
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// Since when too many wrong codes lock it.
    pub locked_at: Option<OffsetDateTime>,
    /// As read from the store, which makes a new one at every write; `None` where the user had no seed before.
    pub revision: Option<Uuid>,
}
