//! A user's answer to what a false condition asks for (design 3.7). It is checked here, never on a gateway: what the gateway
//! gets is a claims token that remembers that it was answered, and the condition's own script decides what that is worth.

use engine::{
    id::{ConditionId, IdentityProviderId},
    object::{Condition, Remedy, RemedyAsk},
    token::{Response, ResponseKind},
};
use protocol::message::{Refusal, RemedyAnswer, RemedyNeed, RemedyQuestion, SignedToken};
use zeroize::Zeroizing;

use super::{Asked, SessionPeer, code, commit, signed};
use crate::{
    audit::{self, Record},
    issue::with_responses,
    refusal,
    sign_in::{self, Credentials, SignInError, SignInKind},
    state::Controller,
    store::{Op, TokenRow},
};

/// Tells what the user must have before a remedy can be answered.
pub(in crate::port) async fn need(
    c: &Controller,
    peer: SessionPeer,
    request: RemedyQuestion,
) -> Result<RemedyNeed, Refusal> {
    let RemedyQuestion { claims_token, condition, place } = request;
    let asked = Asked::new(c, peer, &claims_token).await?;
    asked.check_sign_in(c)?;
    asked.current_user()?;
    let (_, remedy) = remedy(&asked, condition, place)?;
    match remedy.ask {
        RemedyAsk::DisplayMessage | RemedyAsk::OtherFactor => Err(not_asked()),
        RemedyAsk::Reason { .. } | RemedyAsk::Password { .. } => Ok(RemedyNeed::Answer),
        RemedyAsk::Otp { .. } => code::need(c, &asked).await,
    }
}

/// Checks an answer and issues a claims token that remembers it.
pub(in crate::port) async fn answer(
    c: &Controller,
    peer: SessionPeer,
    request: RemedyAnswer,
) -> Result<SignedToken, Refusal> {
    let RemedyAnswer { claims_token, condition, place, answer } = request;
    let answer = Zeroizing::new(answer);
    let asked = Asked::new(c, peer, &claims_token).await?;
    asked.check_sign_in(c)?;
    let (condition, remedy) = remedy(&asked, condition, place)?;
    let event = asked.record(audit::REMEDY_ANSWERED).with("condition_name", condition.name.clone());
    match &remedy.ask {
        RemedyAsk::DisplayMessage | RemedyAsk::OtherFactor => Err(not_asked()),
        RemedyAsk::Reason { suffix } => {
            let event = event.with("remedy_type", "Reason").with("reason", reason(&answer)?);
            accept(c, Accepted::new(c, &asked, suffix, ResponseKind::Reason)?, event).await
        }
        RemedyAsk::Password { suffix, provider } => {
            check_password(c, &asked, *provider, answer).await?;
            let event = event.with("remedy_type", "PasswordAuthentication");
            accept(c, Accepted::new(c, &asked, suffix, ResponseKind::Password)?, event).await
        }
        RemedyAsk::Otp { suffix } => {
            code::answer(c, &asked, suffix, &answer, event.with("remedy_type", "OtpAuthentication")).await
        }
    }
}

/// A claims token that remembers an answer; it is worth nothing before its row is stored.
pub(super) struct Accepted {
    token: String,
    pub(super) row: TokenRow,
    suffix: String,
}

impl Accepted {
    /// Issues the token.
    pub(super) fn new(c: &Controller, asked: &Asked, suffix: &str, kind: ResponseKind) -> Result<Self, Refusal> {
        let old = asked.user()?;
        let content = c
            .issuer
            .user_content(&asked.current_user()?, asked.name(), old.authenticated)
            .map_err(|error| refusal::unavailable(&error))?;
        let response = Response { suffix: suffix.to_owned(), kind, at: asked.now };
        let content = with_responses(content, &with_answer(&old.responses, response));
        let (token, row) = c
            .issuer
            .claims(&asked.subject(), asked.binding(c), content)
            .map_err(|error| refusal::unavailable(&error))?;
        Ok(Self { token, row, suffix: suffix.to_owned() })
    }

    /// The record of the answer with what is known of the token.
    pub(super) fn told(&self, event: Record) -> Record {
        event.with("claim_suffix", self.suffix.clone()).with("claims_token_id", self.row.id.to_string())
    }

    /// The token, once it is stored.
    pub(super) fn hand_out(self) -> SignedToken {
        signed(self.token, &self.row)
    }
}

async fn accept(c: &Controller, accepted: Accepted, event: Record) -> Result<SignedToken, Refusal> {
    commit(c, vec![Op::InsertToken(accepted.row.clone())], accepted.told(event)).await?;
    Ok(accepted.hand_out())
}

fn remedy(asked: &Asked, condition: ConditionId, place: u32) -> Result<(&Condition, &Remedy), Refusal> {
    let condition = asked.config.condition(condition).ok_or_else(not_asked)?;
    let remedy = usize::try_from(place).ok().and_then(|place| condition.remedies.get(place)).ok_or_else(not_asked)?;
    Ok((condition, remedy))
}

/// The password of the very user who is signed in. Wrong ones count as they do at sign-in, so that nobody guesses here.
async fn check_password(
    c: &Controller,
    asked: &Asked,
    provider: IdentityProviderId,
    password: Zeroizing<String>,
) -> Result<(), Refusal> {
    let user = &asked.name().user;
    let provider = asked.config.identity_provider(provider).filter(|provider| provider.name == user.provider);
    let Some(provider) = provider else {
        return Err(refusal::refused(
            "remedy.other-provider",
            "this asks for the password of another identity provider than yours; ask your administrator",
        ));
    };
    let credentials = Credentials {
        provider: provider.name.clone(),
        username: user.username.clone(),
        password,
        address: Some(asked.peer.address),
        kind: SignInKind::Remedy,
    };
    match sign_in::verify_credentials(c, &credentials).await {
        Ok(_) => Ok(()),
        Err(SignInError::Refused) => Err(refusal::refused(
            "remedy.wrong-password",
            "the password is wrong, or your account is locked; after too many attempts wait a minute and try again",
        )),
        Err(error) => Err(error.into()),
    }
}

/// What the user wrote, as it is kept: one line without anything that could pass for another record.
fn reason(text: &str) -> Result<String, Refusal> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.chars().count() > MAX_REASON || line.chars().any(char::is_control) {
        return Err(refusal::refused("remedy.bad-reason", format!("give a reason of 1 to {MAX_REASON} characters")));
    }
    Ok(line)
}

fn not_asked() -> Refusal {
    refusal::refused("remedy.not-asked", "this is not asked any more; try the connection again to see what is")
}

/// The answers so far with a new one, which takes the place of an older one of the same kind and suffix.
fn with_answer(old: &[Response], new: Response) -> Vec<Response> {
    let is_other = |response: &&Response| response.suffix != new.suffix || response.kind != new.kind;
    let mut all: Vec<Response> = old.iter().filter(is_other).cloned().collect();
    // The oldest goes first: scripts ask for answers that are not older than some minutes.
    all.sort_by_key(|response| std::cmp::Reverse(response.at));
    all.truncate(MAX_RESPONSES - 1);
    all.push(new);
    all
}

/// Characters of a reason.
const MAX_REASON: usize = 1000;

/// Answers a token remembers.
const MAX_RESPONSES: usize = 32;

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn response(suffix: &str, kind: ResponseKind, at: i64) -> Response {
        Response { suffix: suffix.to_owned(), kind, at: OffsetDateTime::from_unix_timestamp(at).unwrap() }
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_old_one() {
        let old = [response("a", ResponseKind::Reason, 1), response("a", ResponseKind::Password, 2)];
        let all = with_answer(&old, response("a", ResponseKind::Reason, 3));
        assert_eq!(all, [response("a", ResponseKind::Password, 2), response("a", ResponseKind::Reason, 3)]);
    }

    #[test]
    fn only_so_many_answers_are_remembered() {
        let mut all = Vec::new();
        for at in 0..100 {
            all = with_answer(&all, response(&format!("s{at}"), ResponseKind::Reason, at));
        }
        assert_eq!(all.len(), MAX_RESPONSES);
        assert!(all.iter().all(|response| response.at.unix_timestamp() >= 68), "the newest stay");
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(reason(" deploy\n of  42 ").unwrap(), "deploy of 42");
        for wrong in ["", " \n", "a\u{7}b", &"x".repeat(1001)] {
            assert_eq!(reason(wrong).unwrap_err().code, "remedy.bad-reason");
        }
    }
}
