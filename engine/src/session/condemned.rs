//! A session whose tokens are revoked: ended now, or condemned to end when the revocation takes effect, unless newer tokens
//! are shown by then.

use super::{Effect, EndReason, Moment, Session, deadline::Deadline};
use crate::{
    revocation::{CLOCK_SKEW, RevocationRule},
    token::TokenKind,
};

/// When a session ends, whatever else happens to it.
#[derive(Debug)]
pub(super) struct Condemned {
    pub(super) effective: Deadline,
    seq: u64,
    reason: String,
}

impl Condemned {
    pub(super) fn end(&self) -> EndReason {
        EndReason::Revoked { reason: self.reason.clone() }
    }
}

impl Session {
    /// New rules, each with the kind of the held token it covers. What earlier rules say stands.
    pub fn handle_revocations(&mut self, covering: &[(TokenKind, RevocationRule)], now: Moment) -> Vec<Effect> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let Some((_, first)) = covering.iter().min_by_key(|(_, rule)| (rule.effective, rule.seq)) else {
            return Vec::new();
        };
        if first.effective <= now.wall + CLOCK_SKEW {
            return self.end(EndReason::Revoked { reason: first.reason.clone() });
        }
        let held = self.condemned.as_ref();
        if held.is_some_and(|held| held.seq == first.seq) {
            return Vec::new();
        }
        if held.is_none_or(|held| first.effective < held.effective.wall()) {
            let effective = Deadline::new(first.effective, now);
            self.condemned = Some(Condemned { effective, seq: first.seq, reason: first.reason.clone() });
        }
        // A rule that is due later may still take more, which the user has to be told.
        let sign_in = covering.iter().any(|(kind, _)| *kind == TokenKind::Claims);
        vec![Effect::RenewBefore { effective: first.effective, seq: first.seq, reason: first.reason.clone(), sign_in }]
    }

    /// All rules that cover the tokens now held, after these or the rules were replaced. What no rule says any more is
    /// forgotten.
    pub fn handle_all_revocations(&mut self, covering: &[(TokenKind, RevocationRule)], now: Moment) -> Vec<Effect> {
        let first = covering.iter().map(|(_, rule)| rule.effective).min();
        self.condemned.take_if(|condemned| Some(condemned.effective.wall()) != first);
        self.handle_revocations(covering, now)
    }
}
