//! Revocation of live sessions: due ones end here and now, later ones are announced and end when they are due unless newer
//! tokens were shown by then.

use std::sync::Arc;

use engine::{
    revocation::RevocationRule,
    session::{Effect, EndReason, Moment},
    token::TokenKind,
};
use protocol::message::ControlDown;
use serde_json::Map;
use time::OffsetDateTime;

use super::{Inner, LiveSession};
use crate::{
    audit::{Daemon, Weight},
    config::CLOCK_SKEW,
};

/// A session whose tokens die at a known time.
pub(super) struct Condemned {
    pub(super) effective: OffsetDateTime,
    pub(super) reason: String,
    seq: u64,
}

impl LiveSession {
    /// A new rule: ends or condemns the session if it covers one of its tokens.
    pub(crate) fn revoke(self: &Arc<Self>, rule: &RevocationRule) {
        self.act(|inner, now| {
            let facts = inner.tokens.all().map(|token| token.token().facts());
            let covered = facts.filter(|facts| rule.covers(*facts)).map(|facts| (facts.kind, rule.clone()));
            let covering = covered.collect();
            ((), self.condemn(inner, covering, now))
        });
    }

    /// Looks at all rules again: after a snapshot, after admission.
    pub(crate) fn check_revocations(self: &Arc<Self>) {
        self.act(|inner, now| ((), self.condemn_anew(inner, now)));
    }

    /// What all rules say of the tokens now held.
    pub(super) fn condemn_anew(&self, inner: &mut Inner, now: Moment) -> Vec<Effect> {
        let covering = self.gateway.config.covering(inner.tokens.all());
        if covering.is_empty() {
            inner.condemned = None;
        }
        let first = covering.iter().map(|(_, rule)| rule.effective).min();
        inner.condemned.take_if(|condemned| Some(condemned.effective) != first);
        self.condemn(inner, covering, now)
    }

    fn condemn(&self, inner: &mut Inner, covering: Vec<(TokenKind, RevocationRule)>, now: Moment) -> Vec<Effect> {
        if !inner.is_live() {
            return Vec::new();
        }
        let Some((_, first)) = covering.iter().min_by_key(|(_, rule)| (rule.effective, rule.seq)) else {
            return Vec::new();
        };
        if first.effective <= now.wall + CLOCK_SKEW {
            return inner.session.end(EndReason::Revoked { reason: first.reason.clone() });
        }
        let held = inner.condemned.as_ref();
        if held.is_some_and(|held| held.seq == first.seq) {
            return Vec::new();
        }
        // A rule that is due later may still take more, which the user has to be told.
        let sign_in = covering.iter().any(|(kind, _)| *kind == TokenKind::Claims);
        if held.is_none_or(|held| first.effective < held.effective) {
            inner.condemned =
                Some(Condemned { effective: first.effective, reason: first.reason.clone(), seq: first.seq });
            self.retime();
        }
        self.announce(first, sign_in);
        Vec::new()
    }

    fn announce(&self, rule: &RevocationRule, sign_in: bool) {
        let at = rule.effective.unix_timestamp();
        self.tell(ControlDown::RenewBefore { at, sign_in, reason: rule.reason.clone() });
        let mut members = Map::new();
        members.insert("revocation_seq".to_owned(), rule.seq.into());
        members.insert("sign_in_required".to_owned(), sign_in.into());
        members.insert("reason".to_owned(), rule.reason.clone().into());
        self.note(Daemon::Session, "client_notification_token_revocation", Weight::Event, members);
    }
}
