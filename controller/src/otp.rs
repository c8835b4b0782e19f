//! One-time codes of the built-in MFA provider: what an authenticator app is given, and what a code is worth.
//!
//! A code is taken once: its time step must be newer than that of the last code taken. Wrong codes count for each user,
//! apart from wrong passwords: a right password would otherwise buy new guesses at the code. Nothing here reads the clock
//! or the store; who calls keeps what comes back, on the condition that nobody else has changed the seed meanwhile.

mod code;

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use engine::{dn::UserName, object::IdentityProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::{SecureRandom, SystemRandom};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::store::OtpSeed;

pub(crate) use code::Code;

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
        /// Whether this failure locked it.
        locked: bool,
    },
    /// It was right before.
    Used,
    /// Too many wrong codes came before it; whether it is right was not looked at.
    Locked,
    /// The secret was shown too long ago to be confirmed now.
    EnrolmentOver,
}

/// A secret could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes for one-time codes")]
pub(crate) struct NoRandomBytes;

/// Judges a code at a moment.
pub(crate) fn judge(mut seed: OtpSeed, code: Code, provider: &IdentityProvider, now: OffsetDateTime) -> Verdict {
    let lock = provider.lockout_duration.max(SHORTEST_LOCK);
    match seed.locked_at {
        Some(at) if now < at + lock => return Verdict::Locked,
        // A lock that is over leaves a clean slate.
        Some(_) => (seed.failures, seed.locked_at) = (0, None),
        None => {}
    }
    if !seed.verified && now >= seed.shown + ENROLMENT_LIFE {
        return Verdict::EnrolmentOver;
    }
    let Some(step) = code.newest_step(&seed.secret, now) else {
        seed.failures = seed.failures.saturating_add(1);
        let locked = seed.failures >= provider.lockout_threshold.max(1);
        seed.locked_at = locked.then_some(now);
        return Verdict::Wrong { seed, locked };
    };
    if step <= seed.last_step {
        return Verdict::Used;
    }
    let enrolled = !seed.verified;
    Verdict::Right { seed: OtpSeed { verified: true, last_step: step, failures: 0, ..seed }, enrolled }
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

/// What stands for itself in a label.
const LABEL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
