//! Revoking tokens (D 6): from what an administrator asked for to the rules that do it.
//!
//! A revocation is a rule, so tokens that are issued while it is written are covered too. Where it is to be spread over
//! time, each name gets a rule of its own with its own time, and one last rule that covers everybody stands at the end:
//! a name that was not known when the rules were made does not escape.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    dn::{DistinguishedName, DnEnding, UserName},
    id::SiteId,
    revocation::RevocationScope,
    token::TokenKind,
};
use protocol::object::ObjectKind;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    api::{
        Api,
        error::{ApiError, FieldError},
        reads::Actor,
        schema::MAX_LIFETIME_MINUTES,
    },
    audit::TOKEN_REVOKED,
    builtin,
    config::Config,
    store::{Committed, NewRevocation, Object, Op, TokenFilter, TokenRow, Transaction},
};

/// What is revoked, from when on, and why.
#[derive(Debug, Clone)]
pub(crate) struct Revocation {
    /// `None` is every kind.
    pub(crate) kind: Option<TokenKind>,
    /// Only entitlement tokens of this Site.
    pub(crate) site: Option<SiteId>,
    /// As stored and logged.
    pub(crate) reason: String,
    /// From now until it takes effect.
    pub(crate) delay: Duration,
    /// How many tokens or devices per second, where it is spread over time.
    pub(crate) per_second: f64,
}

/// Whose tokens.
#[derive(Debug, Clone)]
pub(crate) enum Reach {
    /// Everybody the ending matches, at one moment.
    AtOnce(DnEnding),
    /// Everybody the ending matches, one after the other in this order.
    Paced(DnEnding, Vec<Share>),
    /// Only these, one after the other.
    Listed(Vec<Share>),
}

/// A name and how much of the pace it takes.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    /// The device.
    pub(crate) name: DistinguishedName,
    /// Tokens, or 1 where devices are counted.
    pub(crate) weight: u32,
}

/// The members that both families of requests have.
pub(crate) struct RequestReader {
    body: Map<String, Value>,
    /// What is wrong so far.
    pub(crate) errors: Vec<FieldError>,
}

impl RequestReader {
    pub(crate) fn new(body: Map<String, Value>) -> Self {
        Self { body, errors: Vec::new() }
    }

    /// A member, null counting as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.body.remove(name).filter(|value| !value.is_null())
    }

    /// Notes a wrong field.
    pub(crate) fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    /// A text member.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.len() <= MAX_TEXT_BYTES => Some(text),
            Value::String(_) => {
                self.refuse(name, format!("may not be longer than {MAX_TEXT_BYTES} bytes"));
                None
            }
            _ => {
                self.refuse(name, "must be text");
                None
            }
        }
    }

    /// `delayMinutes`, five when absent.
    pub(crate) fn delay(&mut self) -> Duration {
        let minutes = match self.take("delayMinutes") {
            None => Some(DEFAULT_DELAY_MINUTES),
            Some(value) => value.as_i64().filter(|minutes| (0..=MAX_DELAY_MINUTES).contains(minutes)),
        };
        if minutes.is_none() {
            self.refuse("delayMinutes", format!("must be a whole number between 0 and {MAX_DELAY_MINUTES}"));
        }
        Duration::minutes(minutes.unwrap_or(DEFAULT_DELAY_MINUTES))
    }

    /// A pace per second.
    pub(crate) fn pace(&mut self, name: &str, default: f64) -> f64 {
        let pace = match self.take(name) {
            None => Some(default),
            Some(value) => value.as_f64().filter(|pace| (MIN_PACE..=MAX_PACE).contains(pace)),
        };
        if pace.is_none() {
            self.refuse(name, format!("must be a number between {MIN_PACE} and {MAX_PACE}"));
        }
        pace.unwrap_or(default)
    }

    /// `specificDistinguishedNames`. An empty list is refused, so that it cannot be taken for everybody.
    pub(crate) fn specific_names(&mut self) -> Option<Vec<DistinguishedName>> {
        let field = "specificDistinguishedNames";
        let Value::Array(items) = self.take(field)? else {
            self.refuse(field, "must be a list");
            return None;
        };
        if items.is_empty() || items.len() > MAX_RULES {
            self.refuse(field, format!("must hold 1 to {MAX_RULES} names; leave it out for all"));
        }
        let mut names = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str().map(str::parse::<DistinguishedName>) {
                Some(Ok(name)) => names.push(name),
                Some(Err(error)) => self.refuse(format!("{field}[{index}]"), error.to_string()),
                None => self.refuse(format!("{field}[{index}]"), "must be text"),
            }
        }
        Some(names)
    }

    /// A token kind by its name in requests.
    pub(crate) fn token_kind(&mut self, given: Option<&str>) -> Option<TokenKind> {
        let text = given?;
        let kind = text.parse().ok().filter(|kind| *kind != TokenKind::DeviceClaims);
        if kind.is_none() {
            self.refuse("tokenType", "must be one of Claims, AdminClaims, Entitlement, Administration");
        }
        kind
    }

    /// The id of a Site that exists.
    pub(crate) fn site(&mut self, config: &Config, given: Option<&str>) -> Option<SiteId> {
        let text = given?;
        let id = Uuid::try_parse(text).ok().filter(|id| config.object(ObjectKind::Site, *id).is_some());
        if id.is_none() {
            self.refuse("siteId", format!("Site `{text}` does not exist"));
        }
        id.map(SiteId::new)
    }

    /// Ends the reading.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.errors)) }
    }
}

/// Writes the rules together with what else is to be done, and answers what they cover.
pub(crate) async fn revoke(
    api: &Api,
    actor: &Actor,
    revocation: &Revocation,
    reach: Reach,
    also: Transaction,
) -> Result<Arc<Committed>, ApiError> {
    let config = api.controller.config.current();
    let now = api.controller.now();
    let latest = api.controller.store.latest_expiry().await?;
    let steps = reach.steps(revocation.per_second);
    let last = steps.iter().map(|(_, offset)| *offset).max().unwrap_or(Duration::ZERO);
    let forget_after = forget_after(&config, latest, now) + revocation.delay + last;
    let effective = |offset: Duration| now + revocation.delay + offset;
    let mut transaction = also;
    for (ending, offset) in steps {
        let scope =
            RevocationScope { ending: ending.clone(), kinds: revocation.kinds(), site: revocation.site, token: None };
        transaction.ops.push(Op::Revoke(NewRevocation {
            scope,
            effective: effective(offset),
            reason: revocation.reason.clone(),
            forget_after,
        }));
        let record = actor.record(TOKEN_REVOKED).with("revoked_distinguished_name", ending.to_string());
        let kinds: Vec<&str> = revocation.kinds().into_iter().map(TokenKind::api_name).collect();
        let record = record.with("token_types", kinds).with("reason", revocation.reason.as_str());
        let record = record.with("site_id", revocation.site.map(|site| site.to_string()));
        transaction.audit.push(record.with("revocation_time", super::view::timestamp(effective(offset))?).event());
    }
    Ok(api.controller.store.transact(transaction).await?)
}

/// Ends tokens of a local user who may not have them any more, together with the change that says so. Bearer tokens would
/// otherwise live on, and a new user of the same name would inherit what is left of the old one.
pub(crate) fn of_local_user(api: &Api, user: &Object, kinds: &[TokenKind], reason: &str) -> Option<Op> {
    let config = api.controller.config.current();
    let provider = config.object(ObjectKind::IdentityProvider, builtin::LOCAL_PROVIDER)?;
    let now = api.controller.now();
    let ending = DnEnding::User(UserName::new(&user.name, &provider.name));
    let scope = RevocationScope { ending, kinds: kinds.iter().copied().collect(), site: None, token: None };
    let forget_after = now + Duration::minutes(MAX_LIFETIME_MINUTES);
    Some(Op::Revoke(NewRevocation { scope, effective: now, reason: reason.to_owned(), forget_after }))
}

/// Rows of tokens that are still alive, newest first.
pub(crate) async fn live_tokens(api: &Api, ending: DnEnding, now: OffsetDateTime) -> Result<Vec<TokenRow>, ApiError> {
    let filter = TokenFilter { ending: Some(ending), expires_after: Some(now), ..TokenFilter::default() };
    Ok(api.controller.store.tokens(filter).await?)
}

/// How many tokens each name has, in the order of names.
pub(crate) fn shares(rows: &[TokenRow]) -> Vec<Share> {
    let mut counted: BTreeMap<&DistinguishedName, u32> = BTreeMap::new();
    for row in rows {
        *counted.entry(&row.name).or_default() += 1;
    }
    counted.into_iter().map(|(name, weight)| Share { name: name.clone(), weight }).collect()
}

/// The last moment at which a token that is issued now can be alive.
pub(crate) fn longest_life(config: &Config, now: OffsetDateTime) -> OffsetDateTime {
    let lives = config.token_lifetimes();
    now + lives.claims.max(lives.entitlement).max(lives.administration) + Duration::minutes(1)
}

/// When every token decided before now has expired. Lives may have been longer when older tokens were issued.
fn forget_after(config: &Config, latest: Option<OffsetDateTime>, now: OffsetDateTime) -> OffsetDateTime {
    let longest = longest_life(config, now);
    latest.map_or(longest, |latest| latest.max(longest))
}

impl Revocation {
    fn kinds(&self) -> std::collections::BTreeSet<TokenKind> {
        match (self.kind, self.site) {
            (None, Some(_)) => [TokenKind::Entitlement].into(),
            (None, None) => TokenKind::ALL.into(),
            // What a device reported is believed no longer than who its user is.
            (Some(TokenKind::Claims), _) => [TokenKind::Claims, TokenKind::DeviceClaims].into(),
            (Some(kind), _) => [kind].into(),
        }
    }
}

impl Reach {
    /// Endings with their offsets from the first moment, at most [`MAX_RULES`] and one.
    fn steps(self, per_second: f64) -> Vec<(DnEnding, Duration)> {
        let (shares, rest) = match self {
            Self::AtOnce(ending) => return vec![(ending, Duration::ZERO)],
            Self::Paced(ending, shares) => (shares, Some(ending)),
            Self::Listed(shares) => (shares, None),
        };
        let mut before = 0u32;
        let mut steps = Vec::with_capacity(shares.len().min(MAX_RULES) + 1);
        for share in shares.into_iter().take(MAX_RULES) {
            let offset = Duration::seconds_f64((f64::from(before) / per_second).floor());
            steps.push((DnEnding::Device(share.name), offset));
            before = before.saturating_add(share.weight);
        }
        if let Some(ending) = rest {
            let last = steps.last().map_or(Duration::ZERO, |(_, offset)| *offset);
            steps.push((ending, last));
        }
        steps
    }
}

const DEFAULT_DELAY_MINUTES: i64 = 5;
/// A week; a revocation that is meant for later is none.
const MAX_DELAY_MINUTES: i64 = 10_080;
const MIN_PACE: f64 = 0.1;
const MAX_PACE: f64 = 10_000.0;
/// Rules one request may make. Every token is held against every rule, so their number is bounded.
const MAX_RULES: usize = 1000;
const MAX_TEXT_BYTES: usize = 4096;
