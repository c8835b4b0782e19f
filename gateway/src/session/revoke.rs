//! Revocation of live sessions: due ones end here and now, later ones are announced and end when they are due unless newer
//! tokens were shown by then.

use std::sync::Arc;

use engine::{
    revocation::RevocationRule,
    session::{Effect, Moment},
};
use protocol::message::ControlDown;
use serde_json::Map;
use time::OffsetDateTime;

use super::{Inner, LiveSession};
use crate::audit::{Daemon, Weight};

impl LiveSession {
    /// A new rule: ends or condemns the session if it covers one of its tokens.
    pub(crate) fn revoke(self: &Arc<Self>, rule: &RevocationRule) {
        self.act(|inner, now| {
            let facts = inner.tokens.all().map(|token| token.token().facts());
            let covered = facts.filter(|facts| rule.covers(*facts)).map(|facts| (facts.kind, rule.clone()));
            let covering: Vec<_> = covered.collect();
            ((), inner.session.handle_revocations(&covering, now))
        });
    }

    /// Looks at all rules again: after a snapshot, after admission.
    pub(crate) fn check_revocations(self: &Arc<Self>) {
        self.act(|inner, now| ((), self.condemn_anew(inner, now)));
    }

    /// What all rules say of the tokens now held.
    pub(super) fn condemn_anew(&self, inner: &mut Inner, now: Moment) -> Vec<Effect> {
        let covering = self.gateway.config.covering(inner.tokens.all());
        inner.session.handle_all_revocations(&covering, now)
    }

    /// Tells the user that the tokens held die soon.
    pub(super) fn announce(&self, effective: OffsetDateTime, seq: u64, reason: String, sign_in: bool) {
        let mut members = Map::new();
        members.insert("revocation_seq".to_owned(), seq.into());
        members.insert("sign_in_required".to_owned(), sign_in.into());
        members.insert("reason".to_owned(), reason.clone().into());
        self.tell(ControlDown::RenewBefore { at: effective.unix_timestamp(), sign_in, reason });
        self.note(Daemon::Session, "client_notification_token_revocation", Weight::Event, members);
    }
}
