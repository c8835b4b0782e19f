//! From entitlements to rules: scripts are asked, names resolved, rules built (design 3.5).
//!
//! What an edit takes away is gone at once: rules are built again on the spot from what scripts and names last answered,
//! and only what has no answer yet waits. Asking again then runs beside the traffic; a flow that meets no rule meanwhile
//! waits for its end.

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
    /// It was promised and has not begun.
    promised: bool,
    /// Whether rules were built at all.
    built: bool,
}

/// What the rules were built from.
#[derive(Debug, Default)]
pub(super) struct Used {
    conditions: BTreeSet<ConditionId>,
    /// Scripts, those of app shortcuts too.
    pub(super) scripts: BTreeSet<String>,
    pub(super) names: BTreeSet<String>,
}

/// What scripts and names answered.
struct Answers {
    scripts: ScriptAnswers,
    names: NameAnswers,
    unresolved: Vec<NameProblem>,
}

impl LiveSession {
    /// Asks scripts and names and builds the rules beside the traffic; [`Self::settled`] waits for it.
    pub(crate) fn instantiate(self: &Arc<Self>) {
        self.instantiate_as(Urgency::Now);
    }

    fn instantiate_as(self: &Arc<Self>, urgency: Urgency) {
        let mut inner = self.lock();
        if !inner.is_live() {
            return;
        }
        self.expect_rules(&mut inner);
        inner.instantiation.promised = false;
        if std::mem::replace(&mut inner.instantiation.running, true) {
            inner.instantiation.again = true;
            if urgency == Urgency::Now {
                self.hurry.notify_one();
            }
            return;
        }
        drop(inner);
        tokio::spawn(Run { session: self.clone(), done: false }.finish(urgency));
    }

    /// Waits until no rules are being built.
    pub(crate) async fn settled(&self) {
        let (mut settled, mut over) = (self.settled.subscribe(), self.over());
        tokio::select! {
            _ = settled.wait_for(|settled| *settled) => {}
            _ = over.wait_for(|over| *over) => {}
        }
    }

    /// Newer tokens: what they no longer grant ends at once. With a new entitlement token everything is asked anew, with
    /// new claims alone what reads them.
    pub(crate) fn renew(self: &Arc<Self>, tokens: Tokens) {
        self.act(|inner, now| {
            let claims = std::mem::replace(&mut inner.claims, self.claims_of(&tokens));
            let renewed = inner.tokens.entitlement_id() != tokens.entitlement_id();
            inner.granted = tokens.granted();
            inner.session.handle_expiry(tokens.expires(), now);
            inner.tokens = tokens;
            let mut effects = self.condemn_anew(inner, now);
            if inner.is_live() {
                self.expect_rules(inner);
                inner.instantiation.promised = true;
                effects.extend(self.build(inner, now));
                effects.extend(match renewed {
                    true => inner.session.reevaluate(now),
                    false => inner.session.handle_claims(&claims, &inner.claims, now),
                });
            }
            ((), effects)
        });
        self.retime();
        self.instantiate();
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
            inner.urgency = urgency;
            let effects = match urgency {
                Urgency::Now => inner.session.reevaluate(now),
                Urgency::Background => inner.session.reevaluate_later(now),
            };
            (asks, effects)
        });
        if asks {
            self.instantiate_as(urgency);
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
            if rules || answers {
                self.expect_rules(inner);
            }
            if rules {
                effects.extend(self.build(inner, now));
            }
            let asks = answers || (rules && (!inner.used.scripts.is_empty() || !inner.used.names.is_empty()));
            if asks {
                inner.instantiation.promised = true;
            } else if !inner.instantiation.running && !inner.instantiation.promised {
                effects.extend(self.rules_stand(inner, now));
            }
            (asks, effects)
        })
    }

    /// From here on rules may come that do not stand yet.
    fn expect_rules(&self, inner: &mut Inner) {
        if inner.is_live() {
            inner.session.handle_incomplete();
            self.settled.send_replace(false);
        }
    }

    /// The rules in force are those there are.
    fn rules_stand(&self, inner: &mut Inner, now: Moment) -> Vec<Effect> {
        let effects = inner.session.handle_complete(now);
        self.settled.send_replace(true);
        effects
    }

    fn give_up_building(self: &Arc<Self>) {
        self.act(|inner, now| {
            inner.instantiation.running = false;
            ((), self.rules_stand(inner, now))
        });
    }

    /// One round of asking and building; false when it was overtaken.
    async fn ask_and_build(self: &Arc<Self>, urgency: Urgency) -> bool {
        let (claims, granted) = {
            let mut inner = self.lock();
            inner.instantiation.again = false;
            (inner.claims.clone(), inner.granted.clone())
        };
        let Some(config) = self.gateway.config.current() else {
            self.give_up_building();
            return true;
        };
        let held = config.definitions.entitlements(&granted);
        let mut answers = self.answers(&config.definitions, &held, (claims, urgency)).await;
        self.act(|inner, now| {
            if inner.instantiation.again && inner.is_live() {
                return (false, Vec::new());
            }
            inner.instantiation.running = false;
            // Names may have moved while scripts ran.
            self.gateway.names.update(&mut answers.names);
            inner.scripts = answers.scripts;
            let moved = self.take_names(inner, answers.names);
            let mut effects = self.build(inner, now);
            effects.extend(inner.session.reevaluate_some(&moved, now));
            effects.extend(self.rules_stand(inner, now));
            self.note_evaluated(inner, &answers.unresolved);
            (true, effects)
        })
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
    pub(super) fn build(&self, inner: &mut Inner, now: Moment) -> Vec<Effect> {
        let config = self.gateway.config.current();
        let held = config.as_ref().map(|config| config.definitions.entitlements(&inner.granted)).unwrap_or_default();
        let entitlements = || held.iter().map(AsRef::as_ref);
        let offering = config.as_ref().map(|config| config.definitions.shortcut_scripts(&held)).unwrap_or_default();
        let scripts = rules::scripts_needed(entitlements()).into_keys();
        inner.used = Used {
            conditions: held.iter().flat_map(|entitlement| entitlement.conditions.iter().copied()).collect(),
            scripts: scripts.chain(offering.into_values().map(|script| script.name.clone())).collect(),
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
        self.offer(inner, &held);
        effects
    }

    pub(super) fn note_evaluated(&self, inner: &Inner, unresolved: &[NameProblem]) {
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

/// A run of asking and building. However it ends, what waits for it is decided.
struct Run {
    session: Arc<LiveSession>,
    done: bool,
}

impl Run {
    async fn finish(mut self, mut urgency: Urgency) {
        let _waiting = (urgency == Urgency::Background).then(|| self.session.gateway.scripts.waiting());
        loop {
            tokio::select! {
                done = self.session.ask_and_build(urgency) => if done { break },
                // What stands in the background must not keep newer tokens waiting.
                () = self.session.hurry.notified(), if urgency == Urgency::Background => urgency = Urgency::Now,
            }
        }
        self.done = true;
        self.session.gateway.reports.started(&self.session);
        self.session.ask_for_shortcuts();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.done {
            self.session.give_up_building();
        }
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
        ProblemKind::BadShortcut(bad) => bad.to_string(),
        ProblemKind::TooManyShortcuts => "more app shortcuts than are shown".to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Problems named in one record.
const MAX_PROBLEMS: usize = 20;
