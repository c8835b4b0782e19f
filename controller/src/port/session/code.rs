//! One-time codes as answers: an app is enrolled at the first one, every later one is checked.
//!
//! The seed is written together with the token it led to, and only if nobody has changed it since it was read. So a code
//! that comes twice at once is taken once, and of many guesses at once every one is counted before the next is judged,
//! whichever controller they reach.

use std::time::Duration;

use engine::token::ResponseKind;
use protocol::message::{Refusal, RemedyNeed, SignedToken};
use time::OffsetDateTime;

use super::{Asked, remedy::Accepted, store_refusal};
use crate::{
    audit::{self, Record},
    messages,
    otp::{self, Code, Lock, Verdict},
    refusal,
    sign_in::SignInKind,
    state::Controller,
    store::{AuditEvent, Op, OtpSeed, StoreError, Transaction},
};

/// Makes and shows a new secret to a user who has none that a code has confirmed; all others need a code and no more.
/// Secrets of a user are some time apart, so that nobody fills the store and the audit log with them.
pub(super) async fn need(c: &Controller, asked: &Asked) -> Result<RemedyNeed, Refusal> {
    let user = &asked.name().user;
    for _ in 0..MOST_TRIES {
        let old = c.store.otp_seed(user).await.map_err(|error| store_refusal(&error))?;
        if old.as_ref().is_some_and(|seed| seed.verified) {
            return Ok(RemedyNeed::Answer);
        }
        if old.as_ref().is_some_and(otp::is_locked_for_good) {
            return Err(locked_for_good());
        }
        if let Some(wait) = old.as_ref().and_then(|old| wait_for_secret(old.shown, asked.now)) {
            return Err(refusal::busy("a secret was shown a moment ago; try again in a few seconds", wait));
        }
        let seed = otp::new_seed(user, old, asked.now).map_err(|error| refusal::unavailable(&error))?;
        let uri = otp::uri(&seed, c.settings.profile_host()).to_string();
        if write(c, vec![Op::PutOtpSeed(seed)], vec![asked.record(audit::OTP_SEED_SHOWN).event()]).await? {
            return Ok(RemedyNeed::Enrol { uri });
        }
    }
    Err(store_refusal(&StoreError::Stale))
}

/// Checks a code and issues a claims token that remembers it.
pub(super) async fn answer(
    c: &Controller,
    asked: &Asked,
    suffix: &str,
    text: &str,
    event: Record,
) -> Result<SignedToken, Refusal> {
    let Some(code) = Code::parse(text) else {
        return Err(refusal::refused("remedy.bad-code", "a one-time code has six digits"));
    };
    let provider = asked.current_user()?.provider;
    for _ in 0..MOST_TRIES {
        let seed = c.store.otp_seed(&asked.name().user).await.map_err(|error| store_refusal(&error))?;
        let Some(seed) = seed else { return Err(not_enrolled()) };
        match otp::judge(seed, code, &provider, asked.now) {
            Verdict::Right { seed, enrolled } => {
                let accepted = Accepted::new(c, asked, suffix, ResponseKind::Otp)?;
                let mut records = vec![accepted.told(event.clone()).event()];
                records.extend(enrolled.then(|| asked.record(audit::OTP_SEED_ENROLLED).event()));
                if write(c, vec![Op::PutOtpSeed(seed), Op::InsertToken(accepted.row.clone())], records).await? {
                    return Ok(accepted.hand_out());
                }
            }
            Verdict::Wrong { seed, lock } => {
                if count(c, asked, seed, lock).await? {
                    return Err(if lock == Some(Lock::ForGood) { locked_for_good() } else { wrong() });
                }
            }
            Verdict::Locked { since, lock } => {
                let (reason, refused) = match lock {
                    Lock::ForAWhile { .. } => ("code-locked", wrong()),
                    Lock::ForGood => ("code-locked-for-good", locked_for_good()),
                };
                if c.code_locks.is_news(&asked.name().user, since) {
                    write(c, Vec::new(), vec![failed(asked, reason)]).await?;
                }
                return Err(refused);
            }
            Verdict::Used => {
                write(c, Vec::new(), vec![failed(asked, "code-used")]).await?;
                return Err(refusal::refused(
                    "remedy.used-code",
                    "this code was used already; wait until your app shows the next one",
                ));
            }
            Verdict::EnrolmentOver => return Err(not_enrolled()),
        }
    }
    Err(store_refusal(&StoreError::Stale))
}

/// Keeps a wrong code, and tells administrators of a lock that is more than a mistyped code; false when the seed was changed
/// since it was read.
async fn count(c: &Controller, asked: &Asked, seed: OtpSeed, lock: Option<Lock>) -> Result<bool, Refusal> {
    let reason = match lock {
        None => "wrong-code",
        Some(Lock::ForAWhile { .. }) => "wrong-code-locked",
        Some(Lock::ForGood) => "wrong-code-locked-for-good",
    };
    let message = lock.and_then(|lock| messages::codes_locked(&seed.user, lock));
    let (mut ops, mut audit) = (vec![Op::PutOtpSeed(seed)], vec![failed(asked, reason)]);
    if let Some(message) = message {
        let (op, event) = messages::posting(&asked.config, c.store.appliance(), message);
        ops.push(op);
        audit.push(event);
    }
    write(c, ops, audit).await
}

/// Writes everything or nothing; false when the seed was changed since it was read.
async fn write(c: &Controller, ops: Vec<Op>, audit: Vec<AuditEvent>) -> Result<bool, Refusal> {
    match c.store.transact(Transaction { ops, audit }).await {
        Ok(_) => Ok(true),
        Err(StoreError::Stale) => Ok(false),
        Err(error) => Err(store_refusal(&error)),
    }
}

/// How long until another secret may be shown.
fn wait_for_secret(shown: OffsetDateTime, now: OffsetDateTime) -> Option<Duration> {
    // A clock that was set back makes nobody wait until it is where it was.
    let rested = Duration::try_from(now - shown).ok()?;
    SECRETS_APART.checked_sub(rested).filter(|wait| !wait.is_zero())
}

fn failed(asked: &Asked, reason: &'static str) -> AuditEvent {
    let record = asked.record(audit::AUTHENTICATION_FAILED);
    record.with("authentication_type", SignInKind::Remedy.as_str()).with("reason", reason).event()
}

fn wrong() -> Refusal {
    refusal::refused(
        "remedy.wrong-code",
        "the code is wrong, or there were too many wrong ones; after too many wait, a minute at first and longer each time",
    )
}

fn locked_for_good() -> Refusal {
    refusal::refused(
        "remedy.codes-locked",
        format!(
            "your one-time codes stay locked after {} wrong ones in a row; ask your administrator to delete your seed, and \
             set up your app again",
            otp::MOST_FAILURES
        ),
    )
}

fn not_enrolled() -> Refusal {
    refusal::refused(
        "remedy.not-enrolled",
        "set up one-time codes first; `portcullis client answer` without a code shows what to scan",
    )
}

/// Time between two secrets of a user: longer than a program needs to flood, shorter than a person to scan.
const SECRETS_APART: Duration = Duration::from_secs(10);

/// Each further try means that another answer of the same user went through meanwhile.
const MOST_TRIES: usize = 16;
