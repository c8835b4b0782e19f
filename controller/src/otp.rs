//! One-time codes of the built-in MFA provider: what an authenticator app is given, and what a code is worth.
//!
//! A code is taken once: its time step must be newer than that of the last code taken. Wrong codes count for each user,
//! apart from wrong passwords: a right password would otherwise buy new guesses at the code. Only a right code ends the
//! count, and locks grow with it: six digits that can be guessed at for ever are guessed. Nothing here reads the clock
//! or the store; who calls keeps what comes back, on the condition that nobody else has changed the seed meanwhile.

mod code;
mod told;

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use engine::{dn::UserName, object::IdentityProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::store::OtpSeed;

pub(crate) use code::Code;
pub(crate) use told::LocksTold;

/// What a code is worth.
pub(crate) enum Verdict {
    /// It is right; keep the seed as it is here.
    Right {
        /// The seed, which takes this code no more.
        seed: OtpSeed,
        /// Whether this code confirmed it.
        enrolled: bool,
    },
    /// It is wrong; keep the seed as it is here.
    Wrong {
        /// The seed with one more failure.
        seed: OtpSeed,
        /// The lock that this failure led to.
        lock: Option<Lock>,
    },
    /// It was right before.
    Used,
    /// Too many wrong codes came before it; whether it is right was not looked at.
    Locked {
        /// When the lock began.
        since: OffsetDateTime,
        /// Which one it is.
        lock: Lock,
    },
    /// The secret was shown too long ago to be confirmed now.
    EnrolmentOver,
}

/// What too many wrong codes lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It ends by itself.
    ForAWhile {
        /// The how many-th it is without a right code between them.
        number: u32,
    },
    /// Only an administrator ends it, by deleting the seed.
    ForGood,
}

/// A secret could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes for one-time codes")]
pub(crate) struct NoRandomBytes;

/// Judges a code at a moment.
pub(crate) fn judge(mut seed: OtpSeed, code: Code, provider: &IdentityProvider, now: OffsetDateTime) -> Verdict {
    if let Some((since, lock)) = lock_in_force(&seed, provider, now) {
        return Verdict::Locked { since, lock };
    }
    // A lock that is over forgives nothing: what was counted stays until a right code.
    seed.locked_at = None;
    if !seed.verified && now >= seed.shown + ENROLMENT_LIFE {
        return Verdict::EnrolmentOver;
    }
    let Some(step) = code.newest_step(&seed.secret, now) else {
        seed.failures = seed.failures.saturating_add(1);
        let lock = lock_after(seed.failures, provider);
        seed.locked_at = lock.map(|_| now);
        return Verdict::Wrong { seed, lock };
    };
    if step <= seed.last_step {
        return Verdict::Used;
    }
    let enrolled = !seed.verified;
    Verdict::Right { seed: OtpSeed { verified: true, last_step: step, failures: 0, ..seed }, enrolled }
}

/// Whether so many wrong codes in a row lock the seed until an administrator deletes it.
pub(crate) fn is_locked_for_good(seed: &OtpSeed) -> bool {
    seed.failures >= MOST_FAILURES
}

/// The lock that holds at a moment, and since when.
fn lock_in_force(seed: &OtpSeed, provider: &IdentityProvider, now: OffsetDateTime) -> Option<(OffsetDateTime, Lock)> {
    if is_locked_for_good(seed) {
        return Some((seed.locked_at.unwrap_or(seed.shown), Lock::ForGood));
    }
    let since = seed.locked_at?;
    // Whoever raises the threshold while a lock holds does not end it.
    let number = (seed.failures / threshold(provider)).max(1);
    (now < since + lock_length(number, provider)).then_some((since, Lock::ForAWhile { number }))
}

/// The lock that begins with this failure.
fn lock_after(failures: u32, provider: &IdentityProvider) -> Option<Lock> {
    if failures >= MOST_FAILURES {
        return Some(Lock::ForGood);
    }
    let threshold = threshold(provider);
    failures.is_multiple_of(threshold).then(|| Lock::ForAWhile { number: failures / threshold })
}

/// Twice as long each further time.
fn lock_length(number: u32, provider: &IdentityProvider) -> Duration {
    let first = provider.lockout_duration.max(SHORTEST_LOCK);
    first.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1))).min(LONGEST_LOCK.max(first))
}

fn threshold(provider: &IdentityProvider) -> u32 {
    provider.lockout_threshold.clamp(1, MOST_BEFORE_LOCK)
}

/// A new seed for a user who has none that a code has confirmed. It takes the place of an unconfirmed one, whose secret
/// somebody else may have seen; what was counted against that one stays.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn new_seed(user: &UserName, old: Option<OtpSeed>, now: OffsetDateTime) -> Result<OtpSeed, NoRandomBytes> {
    let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
    SystemRandom::new().fill(&mut secret).map_err(|_| NoRandomBytes)?;
    let (failures, locked_at, revision) =
        old.map_or((0, None, None), |old| (old.failures, old.locked_at, old.revision));
    let user = user.clone();
    Ok(OtpSeed { user, secret, verified: false, shown: now, last_step: 0, failures, locked_at, revision })
}

/// The seed as authenticator apps read it (D 20).
pub(crate) fn uri(seed: &OtpSeed, host: &str) -> Zeroizing<String> {
    let secret = Zeroizing::new(BASE32_NOPAD.encode(&seed.secret));
    let [user, provider, host] =
        [seed.user.username.as_str(), &seed.user.provider, host].map(|part| utf8_percent_encode(part, LABEL));
    Zeroizing::new(format!("otpauth://totp/{user}@{provider}@{host}?secret={}&issuer={ISSUER}", secret.as_str()))
}

/// What an app shows beside the code.
const ISSUER: &str = "Portcullis";

/// 160 bits, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// How long after it was shown a secret can be confirmed: time to take out the phone, little time to find it lying about.
const ENROLMENT_LIFE: Duration = Duration::from_secs(10 * 60);

/// A provider without a lock would let six digits be guessed within hours.
const SHORTEST_LOCK: Duration = Duration::from_secs(60);

/// Where doubling ends, unless the provider's locks are longer from the start.
const LONGEST_LOCK: Duration = Duration::from_secs(24 * 60 * 60);

/// Wrong codes before a lock, whatever the provider says: a threshold fit for passwords is too high for six digits.
const MOST_BEFORE_LOCK: u32 = 5;

/// Wrong codes in a row that nobody types by mistake. Three codes are right at any time, so guessing them all has a chance
/// of 3 in 10,000.
pub(crate) const MOST_FAILURES: u32 = 100;

/// What stands for itself in a label.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
