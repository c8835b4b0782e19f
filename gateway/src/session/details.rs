//! A session in full, for an administrator who asks: entitlements, the answers of their conditions, rules and claims.
//!
//! Claims that only controllers and gateways may read are left out, and so is what scripts answered where it became no
//! rule, because that may repeat them.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    id::{ConditionId, EntitlementId, TokenId},
    object::{Direction, Effect, Entitlement, HostSpec, Logic},
    rules::{Problem, ProblemKind, Protocol, Rule, RuleSet},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use protocol::message::{EntitlementDetails, RuleDetails, SessionDetails};
use serde_json::{Map, Value};

use super::{Inner, LiveSession, facts::system, instantiate::problem_text};
use crate::config::Definitions;

impl LiveSession {
    /// The tokens it stands on.
    pub(crate) fn token_ids(&self) -> BTreeSet<TokenId> {
        self.lock().tokens.all().map(|token| token.token().id).collect()
    }

    /// The session in full; `None` when it is over or there is no configuration.
    pub(crate) fn details(&self) -> Option<SessionDetails> {
        let config = self.gateway.config.current()?;
        let inner = self.lock();
        if !inner.is_live() {
            return None;
        }
        Some(SessionDetails {
            session: self.id,
            address: self.source,
            since: self.connected.unix_timestamp(),
            expires: inner.tokens.entitlement_expires().unix_timestamp(),
            flows: inner.flows.len() as u64,
            user: user_claims(&inner),
            device: inner.tokens.device_claims(),
            system: system(self.source, self.connected),
            entitlements: entitlements(&inner, &config.definitions),
        })
    }
}

/// The claims anybody may read: those of the token that are not encrypted, and what user-claim scripts answered.
fn user_claims(inner: &Inner) -> Map<String, Value> {
    let mut claims = inner.tokens.user().map(|content| content.user.clone()).unwrap_or_default();
    if let Some(scripted) = inner.tokens.scripted() {
        claims.insert("agScripted".to_owned(), Value::Object(scripted.clone()));
    }
    claims
}

fn entitlements(inner: &Inner, definitions: &Definitions) -> Vec<EntitlementDetails> {
    let (rules, truncated) = rules_by_entitlement(inner.session.rules());
    let answers = inner.session.condition_answers();
    let answer = |id: &ConditionId| match definitions.condition(*id) {
        Some(condition) => (condition.name.clone(), answers.get(condition.name.as_str()).copied()),
        // One that does not exist can never hold.
        None => (id.to_string(), Some(false)),
    };
    let held = definitions.entitlements(&inner.granted);
    let detail = |entitlement: &Entitlement| {
        let conditions: BTreeMap<String, Option<bool>> = entitlement.conditions.iter().map(answer).collect();
        EntitlementDetails {
            name: entitlement.name.clone(),
            access: !entitlement.disabled && holds(&conditions, entitlement.condition_logic),
            all_conditions: entitlement.condition_logic == Logic::And,
            conditions,
            rules: rules
                .get(&entitlement.id)
                .into_iter()
                .flatten()
                .filter_map(|(name, rules)| row(name, rules))
                .collect(),
            truncated,
            policies: inner.tokens.policies_of(entitlement.id),
            problems: problems(&entitlement.name, &inner.problems),
            domains_only: domains_only(entitlement),
        }
    };
    held.iter().map(AsRef::as_ref).map(detail).collect()
}

/// Whether the conditions hold together. One that was not asked yet does not hold yet, and none at all never do.
fn holds(conditions: &BTreeMap<String, Option<bool>>, logic: Logic) -> bool {
    let mut answers = conditions.values().map(|answer| *answer == Some(true));
    match logic {
        Logic::And => !conditions.is_empty() && answers.all(|holds| holds),
        Logic::Or => answers.any(|holds| holds),
    }
}

/// The rules of one action, each with its networks.
type RulesByAction<'a> = BTreeMap<&'a str, Vec<(&'a Rule, Vec<IpNet>)>>;

/// Rules by entitlement and action, and whether there are more than told.
fn rules_by_entitlement(rules: &RuleSet) -> (BTreeMap<EntitlementId, RulesByAction<'_>>, bool) {
    let mut found: BTreeMap<EntitlementId, RulesByAction<'_>> = BTreeMap::new();
    let certain = rules.rules().iter().map(|rule| (rule, vec![rule.net]));
    // What does not know its hosts refuses to any.
    let everywhere = || -> Vec<IpNet> { vec![Ipv4Net::default().into(), Ipv6Net::default().into()] };
    let vague = rules.vague().iter().map(|rule| (rule, everywhere()));
    for (rule, nets) in vague.chain(certain).take(MAX_RULES) {
        found.entry(rule.entitlement).or_default().entry(&rule.name).or_default().push((rule, nets));
    }
    (found, rules.rules().len() + rules.vague().len() > MAX_RULES)
}

/// The rules of one action are one row: hosts times ports is how they were made.
fn row(name: &str, rules: &[(&Rule, Vec<IpNet>)]) -> Option<RuleDetails> {
    let (first, _) = rules.first()?;
    let subnets: BTreeSet<&IpNet> = rules.iter().flat_map(|(_, nets)| nets).collect();
    let ports: BTreeSet<(u16, u16)> = rules.iter().map(|(rule, _)| (rule.ports.first(), rule.ports.last())).collect();
    let direction = match first.direction {
        Direction::Up => "up",
        Direction::Down => "down",
    };
    let action = match first.effect {
        Effect::Allow => "allow",
        Effect::Block => "block",
        Effect::Alert => "alert",
    };
    Some(RuleDetails {
        name: name.to_owned(),
        protocol: protocol_text(first.protocol).to_owned(),
        direction: direction.to_owned(),
        action: action.to_owned(),
        subnets: subnets.into_iter().map(net_text).collect(),
        ports: if has_ports(first.protocol) { ports.into_iter().map(range_text).collect() } else { Vec::new() },
    })
}

/// A single address goes without its length.
pub(crate) fn net_text(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn range_text((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn protocol_text(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
        Protocol::Icmpv6 => "icmpv6",
        Protocol::Ah => "ah",
        Protocol::Esp => "esp",
        Protocol::Gre => "gre",
    }
}

/// Whether its rules speak of ports, or of types.
fn has_ports(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Http | Protocol::Tcp | Protocol::Udp | Protocol::Icmp | Protocol::Icmpv6 => true,
        Protocol::Ah | Protocol::Esp | Protocol::Gre => false,
    }
}

fn problems(entitlement: &str, problems: &[Problem]) -> Vec<String> {
    let own =
        problems.iter().filter(|problem| problem.rule.rsplit_once('#').is_some_and(|(name, _)| name == entitlement));
    own.take(MAX_PROBLEMS).map(|problem| format!("{}: {}", problem.rule, told(&problem.kind))).collect()
}

fn told(kind: &ProblemKind) -> String {
    match kind {
        ProblemKind::BadAnswer { script, .. } => {
            format!("script `{script}` answered something that is no host or port")
        }
        ProblemKind::ScriptFailed(failure) => format!("script `{}` {}", failure.script, failure.kind),
        ProblemKind::ScriptMissing(_)
        | ProblemKind::TooManyAnswers(_)
        | ProblemKind::NameWithoutAddress(_)
        | ProblemKind::NotResolved(_)
        | ProblemKind::HttpNotEnforced
        | ProblemKind::TooManyRules
        | ProblemKind::BadShortcut(_)
        | ProblemKind::TooManyShortcuts => problem_text(kind),
    }
}

fn domains_only(entitlement: &Entitlement) -> bool {
    let mut hosts = entitlement.actions.iter().flat_map(|action| &action.hosts).peekable();
    hosts.peek().is_some()
        && hosts.all(|host| matches!(host, HostSpec::Unresolved(text) if text.starts_with("domain://")))
}

/// Rules told of one session; more of them nobody reads.
const MAX_RULES: usize = 5_000;

/// Problems told of one entitlement.
const MAX_PROBLEMS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answers: &[Option<bool>], all: bool, any: bool) {
        let conditions: BTreeMap<String, Option<bool>> =
            answers.iter().enumerate().map(|(index, answer)| (index.to_string(), *answer)).collect();
        assert_eq!(holds(&conditions, Logic::And), all, "{answers:?}");
        assert_eq!(holds(&conditions, Logic::Or), any, "{answers:?}");
    }

    #[test]
    fn only_answers_that_were_given_and_are_true_hold() {
        check(&[], false, false);
        check(&[None], false, false);
        check(&[Some(true)], true, true);
        check(&[Some(true), None], false, true);
        check(&[Some(true), Some(false)], false, true);
        check(&[Some(false), None], false, false);
    }
}
