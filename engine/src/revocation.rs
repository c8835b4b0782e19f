//! Revocation rules: which tokens die, and when.
//!
//! A revocation is a rule, not a list of tokens: it names an ending of distinguished names, kinds and a Site, and takes
//! a sequence number. A token carries the sequence it was decided at (`rev`); a matching rule with a higher sequence
//! kills it, so a token that was issued in a race does not escape.

use std::{collections::BTreeSet, sync::Arc};

use time::OffsetDateTime;

use crate::{
    dn::{DistinguishedName, DnEnding},
    id::{SiteId, TokenId},
    token::TokenKind,
};

/// Which tokens a revocation covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationScope {
    /// Ending of the distinguished name.
    pub ending: DnEnding,
    /// Kinds covered; device claims follow claims.
    pub kinds: BTreeSet<TokenKind>,
    /// Only entitlement tokens of this Site.
    pub site: Option<SiteId>,
    /// Only this token.
    pub token: Option<TokenId>,
}

/// A revocation as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRule {
    /// Sequence of the transaction that made it.
    pub seq: u64,
    /// Which tokens.
    pub scope: RevocationScope,
    /// From this moment on.
    pub effective: OffsetDateTime,
    /// Why, for the log and the user.
    pub reason: String,
    /// When it may be forgotten.
    pub forget_after: OffsetDateTime,
}

/// What of a token a revocation is matched against.
#[derive(Debug, Clone, Copy)]
pub struct TokenFacts<'a> {
    /// `jti`.
    pub id: TokenId,
    /// Kind.
    pub kind: TokenKind,
    /// `sub`.
    pub name: &'a DistinguishedName,
    /// Site of an entitlement token.
    pub site: Option<SiteId>,
    /// `rev`.
    pub decided_at: u64,
}

impl RevocationScope {
    /// Whether the scope covers the token, whenever it was decided.
    pub fn covers(&self, token: TokenFacts<'_>) -> bool {
        self.kinds.contains(&token.kind)
            && self.token.is_none_or(|id| id == token.id)
            && self.site.is_none_or(|site| token.kind == TokenKind::Entitlement && token.site == Some(site))
            && self.ending.matches(token.name)
    }
}

impl RevocationRule {
    /// Whether the rule kills the token once it takes effect.
    pub fn covers(&self, token: TokenFacts<'_>) -> bool {
        token.decided_at < self.seq && self.scope.covers(token)
    }
}

/// How far the clocks of controller and gateway may be apart before "at once" is late. A revocation that is due within it
/// is carried out at once.
pub const CLOCK_SKEW: time::Duration = time::Duration::seconds(1);

/// The rules in force. Cheap to clone, because every new rule makes a new snapshot.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    rules: Vec<Arc<RevocationRule>>,
}

impl Revocations {
    /// Takes in rules, for instance from a snapshot.
    pub fn new(rules: Vec<RevocationRule>) -> Self {
        Self { rules: rules.into_iter().map(Arc::new).collect() }
    }

    /// Adds one rule.
    pub fn push(&mut self, rule: RevocationRule) {
        self.rules.push(Arc::new(rule));
    }

    /// Drops rules that cannot match a living token any more.
    pub fn forget(&mut self, now: OffsetDateTime) {
        self.rules.retain(|rule| rule.forget_after > now);
    }

    /// The rule that kills the token first, in effect or not.
    pub fn earliest(&self, token: TokenFacts<'_>) -> Option<&RevocationRule> {
        let covering = self.rules.iter().map(Arc::as_ref).filter(|rule| rule.covers(token));
        covering.min_by_key(|rule| (rule.effective, rule.seq))
    }

    /// The rule that has killed the token by `now`.
    pub fn in_effect(&self, token: TokenFacts<'_>, now: OffsetDateTime) -> Option<&RevocationRule> {
        self.earliest(token).filter(|rule| rule.effective <= now)
    }

    /// All rules, for a snapshot.
    pub fn rules(&self) -> impl Iterator<Item = &RevocationRule> {
        self.rules.iter().map(Arc::as_ref)
    }
}
