//! From entitlements to rules: scripts are asked, names resolved, rules built (design 3.5).
//!
//! What an edit takes away is gone at once: rules are built again on the spot from what scripts and names last answered,
//! and only what has no answer yet waits. Asking again then runs beside the traffic.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use engine::{
    id::ConditionId,
    object::{Entitlement, EntitlementScriptType},
    rules::{self, NameAnswers, Problem, ProblemKind, ScriptAnswers},
    script::ScriptKind,
    session::{ConditionFacts, Effect, Moment},
};
use protocol::message::ControlDown;
use sandbox::Urgency;
use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::{Inner, LiveSession};
use crate::{
    admission::Tokens,
    audit::{Daemon, Weight},
    config::{Definitions, Touched},
    resolver::names::NameProblem,
    scripts::{lists, script},
};

/// Whether scripts and names are being asked.
#[derive(Debug, Default)]
pub(super) struct Instantiation {
    running: bool,
    /// What is being asked was overtaken; it is asked again before anything is built from it.
    again: bool,
    /// Whether rules were built at all.
    built: bool,
}

/// What the rules were built from.
#[derive(Debug, Default)]
pub(super) struct Used {
    conditions: BTreeSet<ConditionId>,
    scripts: BTreeSet<String>,
    names: BTreeSet<String>,
}

/// What scripts and names answered.
struct Answers {
    scripts: ScriptAnswers,
    names: NameAnswers,
    unresolved: Vec<NameProblem>,
}

impl LiveSession {
    /// Asks scripts and names and builds the rules; the handle ends when the rules stand.
    pub(crate) fn instantiate(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        self.instantiate_as(Urgency::Now)
    }

    fn instantiate_as(self: &Arc<Self>, urgency: Urgency) -> Option<JoinHandle<()>> {
        let mut inner = self.lock();
        if !inner.is_live() {
            return None;
        }
        if std::mem::replace(&mut inner.instantiation.running, true) {
            inner.instantiation.again = true;
            if urgency == Urgency::Now {
                self.hurry.notify_one();
            }
            return None;
        }
        Some(tokio::spawn(self.clone().run_instantiation(urgency)))
    }

    /// Newer tokens: what they no longer grant ends at once, the rest is asked anew.
    pub(crate) fn renew(self: &Arc<Self>, tokens: Tokens) -> Option<JoinHandle<()>> {
        self.act(|inner, now| {
            inner.claims = self.claims_of(&tokens);
            inner.granted = tokens.granted();
            inner.session.handle_expiry(tokens.expires());
            inner.tokens = tokens;
            let mut effects = self.condemn_anew(inner, now);
            if inner.is_live() {
                effects.extend(self.build(inner, now));
                effects.extend(inner.session.reevaluate(now));
            }
            ((), effects)
        });
        self.retime();
        self.instantiate()
    }

    /// Looks at scripts, names and conditions again with the claims at hand.
    pub(crate) fn reevaluate(self: &Arc<Self>, urgency: Urgency) {
        let asks = self.act(|inner, now| {
            if !inner.is_live() {
                return (false, Vec::new());
            }
            let Instantiation { running, built, .. } = inner.instantiation;
            // Rules that were built from the configuration alone would only be built again as they are.
            let asks = running || !built || !inner.used.scripts.is_empty() || !inner.used.names.is_empty();
            let effects = inner.session.reevaluate(now);
            inner.urgency = if effects.is_empty() { Urgency::Now } else { urgency };
            (asks, effects)
        });
        if asks {
            drop(self.instantiate_as(urgency));
        }
    }

    /// An edit: what it takes away ends now. True when scripts or names have to be asked because of it.
    ///
    /// Every session is asked this for every edit, so whoever is not concerned is found by a few look-ups.
    pub(crate) fn touch(self: &Arc<Self>, touched: &Touched) -> bool {
        self.act(|inner, now| {
            // What is under way started from an older configuration.
            inner.instantiation.again |= inner.instantiation.running;
            let used = &inner.used;
            let edited: Vec<ConditionId> = touched.edited.intersection(&used.conditions).copied().collect();
            let rules =
                !touched.entitlements.is_disjoint(&inner.granted) || !touched.conditions.is_disjoint(&used.conditions);
            let answers = !touched.scripts.is_disjoint(&used.scripts) || (touched.names && !used.names.is_empty());
            // Flows that an edited condition permitted stop here, before anything else is looked at.
            let mut effects: Vec<Effect> =
                edited.into_iter().flat_map(|id| inner.session.handle_edited(id, now)).collect();
            if rules {
                effects.extend(self.build(inner, now));
            }
            let asks = !inner.used.scripts.is_empty() || !inner.used.names.is_empty();
            (answers || (rules && asks), effects)
        })
    }

    /// Adds the names the rules are built from.
    pub(crate) fn collect_names(&self, names: &mut BTreeSet<String>) {
        names.extend(self.lock().used.names.iter().cloned());
    }

    /// Whether the rules were built from other addresses than these.
    pub(crate) fn is_outdated(&self, names: &NameAnswers) -> bool {
        let inner = self.lock();
        names.iter().any(|(name, addresses)| inner.names.get(name).is_some_and(|held| held != addresses))
    }

    async fn run_instantiation(self: Arc<Self>, mut urgency: Urgency) {
        loop {
            let (claims, granted) = {
                let mut inner = self.lock();
                inner.instantiation.again = false;
                (inner.claims.clone(), inner.granted.clone())
            };
            let Some(config) = self.gateway.config.current() else { return };
            let held = config.definitions.entitlements(&granted);
            let answers = tokio::select! {
                answers = self.answers(&config.definitions, &held, (claims, urgency)) => answers,
                // What stands in the background must not keep newer tokens waiting.
                () = self.hurry.notified(), if urgency == Urgency::Background => {
                    urgency = Urgency::Now;
                    continue;
                }
            };
            let done = self.act(|inner, now| {
                if inner.instantiation.again && inner.is_live() {
                    return (false, Vec::new());
                }
                inner.instantiation.running = false;
                (inner.scripts, inner.names) = (answers.scripts, answers.names);
                let effects = self.build(inner, now);
                self.note_evaluated(inner, &answers.unresolved);
                (true, effects)
            });
            if done {
                self.gateway.reports.started(&self);
                return;
            }
        }
    }

    async fn answers(
        &self,
        definitions: &Definitions,
        held: &[Arc<Entitlement>],
        (claims, urgency): (Arc<Value>, Urgency),
    ) -> Answers {
        let entitlements = || held.iter().map(AsRef::as_ref);
        let needed = rules::scripts_needed(entitlements());
        let scripts = needed.into_iter().filter_map(|(name, kind)| {
            let found = definitions.script(&name).filter(|found| found.script_type == type_of(kind))?;
            Some(script(&name, kind, &found.expression))
        });
        let scripts = lists(self.run(definitions, scripts.collect(), claims, urgency).await);
        let (names, unresolved) = self.gateway.names.resolve_all(rules::names_needed(entitlements(), &scripts)).await;
        Answers { scripts, names, unresolved }
    }

    /// Builds the rules from the last answers, without waiting for anything.
    fn build(&self, inner: &mut Inner, now: Moment) -> Vec<Effect> {
        let config = self.gateway.config.current();
        let held = config.as_ref().map(|config| config.definitions.entitlements(&inner.granted)).unwrap_or_default();
        let entitlements = || held.iter().map(AsRef::as_ref);
        inner.used = Used {
            conditions: held.iter().flat_map(|entitlement| entitlement.conditions.iter().copied()).collect(),
            scripts: rules::scripts_needed(entitlements()).into_keys().collect(),
            names: rules::names_needed(entitlements(), &inner.scripts),
        };
        let (rules, problems) = rules::build(entitlements(), &inner.scripts, &inner.names);
        let conditions = config.as_ref().map(|config| conditions(&config.definitions, &held)).unwrap_or_default();
        let effects = inner.session.handle_rules(&held, rules, &conditions, now);
        let names: Vec<String> = held.iter().filter(|held| !held.disabled).map(|held| held.name.clone()).collect();
        if inner.entitlement_names != names {
            inner.entitlement_names.clone_from(&names);
            // The first time, being admitted says so.
            if inner.instantiation.built {
                self.tell(ControlDown::RulesChanged { entitlements: names });
            }
        }
        inner.instantiation.built = true;
        inner.problems = problems;
        effects
    }

    fn note_evaluated(&self, inner: &Inner, unresolved: &[NameProblem]) {
        let mut members = Map::new();
        members.insert("successful_entitlement_names".to_owned(), inner.entitlement_names.clone().into());
        members.insert("rules".to_owned(), inner.session.rules().rules().len().into());
        let problems = inner.problems.iter().take(MAX_PROBLEMS).map(|problem| Value::Object(described(problem)));
        let names = unresolved.iter().take(MAX_PROBLEMS).map(|problem| {
            let text = format!("{}: {}", problem.code, problem.name);
            Value::Object([("problem".to_owned(), text.into())].into_iter().collect())
        });
        let problems: Vec<Value> = problems.chain(names).collect();
        if !problems.is_empty() {
            members.insert("problems".to_owned(), problems.into());
        }
        self.note(Daemon::Session, "entitlement_token_evaluated", Weight::Event, members);
    }
}

/// The conditions the entitlements use and that exist.
fn conditions(definitions: &Definitions, held: &[Arc<Entitlement>]) -> BTreeMap<ConditionId, ConditionFacts> {
    let used = held.iter().flat_map(|entitlement| entitlement.conditions.iter());
    let facts = used.filter_map(|id| {
        let condition = definitions.condition(*id)?;
        let facts =
            ConditionFacts { name: condition.name.as_str().into(), schedules: condition.schedules.as_slice().into() };
        Some((*id, facts))
    });
    facts.collect()
}

fn type_of(kind: ScriptKind) -> EntitlementScriptType {
    match kind {
        ScriptKind::PortOrType => EntitlementScriptType::PortOrType,
        ScriptKind::AppShortcut => EntitlementScriptType::AppShortcut,
        ScriptKind::Host
        | ScriptKind::Policy
        | ScriptKind::Criteria
        | ScriptKind::Condition
        | ScriptKind::UserClaim => EntitlementScriptType::Host,
    }
}

fn described(problem: &Problem) -> Map<String, Value> {
    [("rule_name", problem.rule.to_string()), ("problem", problem_text(&problem.kind))]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}

/// What is wrong, in plain language.
pub(super) fn problem_text(kind: &ProblemKind) -> String {
    match kind {
        ProblemKind::ScriptMissing(name) => format!("script `{name}` does not exist or is of another type"),
        ProblemKind::ScriptFailed(failure) => failure.to_string(),
        ProblemKind::BadAnswer { script, answer } => format!("script `{script}` answered `{}`", short(answer)),
        ProblemKind::TooManyAnswers(script) => format!("script `{script}` answered more than is taken"),
        ProblemKind::NameWithoutAddress(name) => format!("`{name}` has no address"),
        ProblemKind::NotResolved(host) => format!("`{}` is not resolved by this version", short(host)),
        ProblemKind::HttpNotEnforced => "HTTP rules are not enforced by this version and permit nothing".to_owned(),
        ProblemKind::TooManyRules => "more rules than a session may have".to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Problems named in one record.
const MAX_PROBLEMS: usize = 20;
