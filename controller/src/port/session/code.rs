//! One-time codes as answers: an app is enrolled at the first one, every later one is checked.
//!
//! The seed is written together with the token it led to, and only if nobody has changed it since it was read. So a code
//! that comes twice at once is taken once, and of many guesses at once every one is counted before the next is judged,
//! whichever controller they reach.

use engine::token::ResponseKind;
use protocol::message::{Refusal, RemedyNeed, SignedToken};

use super::{Asked, remedy::Accepted, store_refusal};
use crate::{
    audit::{self, Record},
    otp::{self, Code, Verdict},
    refusal,
    sign_in::SignInKind,
    state::Controller,
    store::{Op, StoreError, Transaction},
};

/// Makes and shows a new secret to a user who has none that a code has confirmed; all others need a code and no more.
pub(super) async fn need(c: &Controller, asked: &Asked) -> Result<RemedyNeed, Refusal> {
    let user = &asked.name().user;
    for _ in 0..MOST_TRIES {
        let old = c.store.otp_seed(user).await.map_err(|error| store_refusal(&error))?;
        if old.as_ref().is_some_and(|seed| seed.verified) {
            return Ok(RemedyNeed::Answer);
        }
        let seed = otp::new_seed(user, old, asked.now).map_err(|error| refusal::unavailable(&error))?;
        let uri = otp::uri(&seed, c.settings.profile_host()).to_string();
        if write(c, vec![Op::PutOtpSeed(seed)], vec![asked.record(audit::OTP_SEED_SHOWN)]).await? {
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
                let mut records = vec![accepted.told(event.clone())];
                records.extend(enrolled.then(|| asked.record(audit::OTP_SEED_ENROLLED)));
                if write(c, vec![Op::PutOtpSeed(seed), Op::InsertToken(accepted.row.clone())], records).await? {
                    return Ok(accepted.hand_out());
                }
            }
            Verdict::Wrong { seed, locked } => {
                let reason = if locked { "wrong-code-locked" } else { "wrong-code" };
                if write(c, vec![Op::PutOtpSeed(seed)], vec![failed(asked, reason)]).await? {
                    return Err(wrong());
                }
            }
            Verdict::Locked => {
                write(c, Vec::new(), vec![failed(asked, "code-locked")]).await?;
                return Err(wrong());
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

/// Writes everything or nothing; false when the seed was changed since it was read.
async fn write(c: &Controller, ops: Vec<Op>, records: Vec<Record>) -> Result<bool, Refusal> {
    let audit = records.into_iter().map(Record::event).collect();
    match c.store.transact(Transaction { ops, audit }).await {
        Ok(_) => Ok(true),
        Err(StoreError::Stale) => Ok(false),
        Err(error) => Err(store_refusal(&error)),
    }
}

fn failed(asked: &Asked, reason: &'static str) -> Record {
    asked
        .record(audit::AUTHENTICATION_FAILED)
        .with("authentication_type", SignInKind::Remedy.as_str())
        .with("reason", reason)
}

fn wrong() -> Refusal {
    refusal::refused(
        "remedy.wrong-code",
        "the code is wrong, or there were too many wrong ones; after too many wait a minute and try again",
    )
}

fn not_enrolled() -> Refusal {
    refusal::refused(
        "remedy.not-enrolled",
        "set up one-time codes first; `portcullis client answer` without a code shows what to scan",
    )
}

/// Each further try means that another answer of the same user went through meanwhile.
const MOST_TRIES: usize = 16;
