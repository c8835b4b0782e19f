//! Revocation rules on their way to a gateway and back from its disk.

use std::collections::BTreeSet;

use engine::{
    revocation::{RevocationRule, RevocationScope},
    token::TokenKind,
};
use time::OffsetDateTime;

use super::WireRevocation;

impl From<&RevocationRule> for WireRevocation {
    fn from(rule: &RevocationRule) -> Self {
        let RevocationRule { seq, scope, effective, reason, forget_after } = rule;
        let RevocationScope { ending, kinds, site, token } = scope;
        Self {
            seq: *seq,
            ending: ending.clone(),
            kinds: kinds.iter().copied().collect(),
            site: *site,
            token: *token,
            effective_ms: millis(*effective),
            reason: reason.clone(),
            forget_after_ms: millis(*forget_after),
        }
    }
}

/// A moment no calendar holds is taken as now in force, and as never to be forgotten.
impl From<WireRevocation> for RevocationRule {
    fn from(wire: WireRevocation) -> Self {
        let WireRevocation { seq, ending, kinds, site, token, effective_ms, reason, forget_after_ms } = wire;
        let kinds: BTreeSet<TokenKind> = kinds.into_iter().collect();
        Self {
            seq,
            scope: RevocationScope { ending, kinds, site, token },
            effective: moment(effective_ms).unwrap_or(OffsetDateTime::UNIX_EPOCH),
            reason,
            forget_after: moment(forget_after_ms).unwrap_or(FAR),
        }
    }
}

fn moment(millis: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
}

fn millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

const FAR: OffsetDateTime = time::macros::datetime!(9999-12-31 00:00 UTC);

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_rule_comes_back_as_it_went() {
        let rule = RevocationRule {
            seq: 7,
            scope: RevocationScope {
                ending: "CN=ana,OU=local".parse().unwrap(),
                kinds: BTreeSet::from([TokenKind::Claims, TokenKind::Entitlement]),
                site: None,
                token: None,
            },
            effective: datetime!(2026-01-05 09:00:00.250 UTC),
            reason: "laptop lost".into(),
            forget_after: datetime!(2026-01-12 09:00 UTC),
        };
        assert_eq!(RevocationRule::from(WireRevocation::from(&rule)), rule);
    }

    #[test]
    fn a_moment_no_calendar_holds_is_in_force_and_kept() {
        let mut wire = WireRevocation {
            seq: 1,
            ending: "OU=local".parse().unwrap(),
            kinds: vec![TokenKind::Claims],
            site: None,
            token: None,
            effective_ms: i64::MAX,
            reason: String::new(),
            forget_after_ms: i64::MAX,
        };
        assert_eq!(RevocationRule::from(wire.clone()).effective, OffsetDateTime::UNIX_EPOCH);
        wire.effective_ms = 0;
        assert_eq!(RevocationRule::from(wire).forget_after, FAR);
    }
}
