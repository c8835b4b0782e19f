//! App shortcuts of a session (D 12): those of its entitlements and those that scripts answer, told to the client whenever
//! they are others.
//!
//! They grant nothing, so rules never wait for them, and a script that fails costs its own shortcuts only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use engine::{
    id::EntitlementScriptId,
    object::{AppShortcut, BadShortcut, Entitlement, EntitlementScript},
    rules::{Problem, ProblemKind},
    script::{Failure, ScriptKind},
};
use protocol::message::ControlDown;
use sandbox::Urgency;
use serde_json::Value;

use super::{Inner, LiveSession};
use crate::scripts::{objects, script};

/// What a session offers its user to open.
#[derive(Default)]
pub(super) struct Offers {
    /// What scripts last answered.
    answers: BTreeMap<EntitlementScriptId, Result<Vec<Value>, Failure>>,
    running: bool,
    /// What is being asked was overtaken.
    again: bool,
    told: BTreeSet<AppShortcut>,
}

impl LiveSession {
    /// Asks the scripts beside the traffic, once at a time.
    pub(super) fn ask_for_shortcuts(self: &Arc<Self>) {
        let mut inner = self.lock();
        let uses = !self.held(&inner).iter().all(|held| held.app_shortcut_scripts.is_empty());
        if !inner.is_live() || (!uses && inner.offers.answers.is_empty()) {
            return;
        }
        if std::mem::replace(&mut inner.offers.running, true) {
            inner.offers.again = true;
            return;
        }
        drop(inner);
        tokio::spawn(Asking { session: self.clone(), done: false }.finish());
    }

    /// False when it was overtaken.
    async fn ask_shortcut_scripts(self: &Arc<Self>) -> bool {
        let (claims, held) = {
            let mut inner = self.lock();
            inner.offers.again = false;
            (inner.claims.clone(), self.held(&inner))
        };
        let config = self.gateway.config.current();
        let (mut ids, mut answers) = (Vec::new(), BTreeMap::new());
        if let Some(config) = &config {
            let found = config.definitions.shortcut_scripts(&held);
            let asked =
                |found: &Arc<EntitlementScript>| script(&found.name, ScriptKind::AppShortcut, &found.expression);
            let scripts = found.values().map(asked).collect();
            ids.extend(found.into_keys());
            let records = self.run(&config.definitions, scripts, claims, Urgency::Now).await;
            answers.extend(ids.into_iter().zip(objects(records)));
        }
        let mut inner = self.lock();
        if inner.offers.again && inner.is_live() {
            return false;
        }
        inner.offers.running = false;
        inner.offers.answers = answers;
        let held = self.held(&inner);
        inner.problems.retain(|problem| !problem.rule.ends_with(SUFFIX));
        self.offer(&mut inner, &held);
        true
    }

    /// Tells the client what is offered when it is something else than before; what cannot be offered becomes a problem.
    pub(super) fn offer(&self, inner: &mut Inner, held: &[Arc<Entitlement>]) {
        let config = self.gateway.config.current();
        let scripts = config.map(|config| config.definitions.shortcut_scripts(held)).unwrap_or_default();
        let (mut offered, mut size) = (BTreeSet::new(), 0);
        for entitlement in held.iter().filter(|held| !held.disabled) {
            let mut problems = Vec::new();
            let mut found: Vec<Result<AppShortcut, BadShortcut>> = entitlement.app_shortcuts.clone();
            for id in &entitlement.app_shortcut_scripts {
                match (scripts.get(id), inner.offers.answers.get(id)) {
                    (None, _) => problems.push(ProblemKind::ScriptMissing(id.to_string())),
                    (Some(_), Some(Ok(items))) => {
                        found.extend(items.iter().take(MAX_SHORTCUTS + 1).map(AppShortcut::parse))
                    }
                    (Some(_), Some(Err(failure))) => problems.push(ProblemKind::ScriptFailed(failure.clone())),
                    (Some(_), None) => {}
                }
            }
            for shortcut in found {
                match shortcut {
                    Ok(shortcut) if offered.contains(&shortcut) => {}
                    Ok(shortcut) if offered.len() < MAX_SHORTCUTS && size + shortcut.size() <= MAX_BYTES => {
                        size += shortcut.size();
                        offered.insert(shortcut);
                    }
                    Ok(_) => problems.push(ProblemKind::TooManyShortcuts),
                    Err(bad) => problems.push(ProblemKind::BadShortcut(bad)),
                }
            }
            let rule: Arc<str> = format!("{}{SUFFIX}", entitlement.name).into();
            problems.dedup();
            let problems = problems.into_iter().take(MAX_PROBLEMS).map(|kind| Problem { rule: rule.clone(), kind });
            inner.problems.extend(problems);
        }
        if inner.offers.told != offered {
            inner.offers.told.clone_from(&offered);
            self.tell(ControlDown::Shortcuts { shortcuts: offered.into_iter().map(Into::into).collect() });
        }
    }

    fn held(&self, inner: &Inner) -> Vec<Arc<Entitlement>> {
        let config = self.gateway.config.current();
        config.map(|config| config.definitions.entitlements(&inner.granted)).unwrap_or_default()
    }
}

/// A run of asking. However it ends, the next one can begin.
struct Asking {
    session: Arc<LiveSession>,
    done: bool,
}

impl Asking {
    async fn finish(mut self) {
        while !self.session.ask_shortcut_scripts().await {}
        self.done = true;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // After a whole run this may be said of the next one already.
        if !self.done {
            self.session.lock().offers.running = false;
        }
    }
}

/// Stands for the place of an action in the names of problems.
const SUFFIX: &str = "#shortcuts";

/// Shortcuts of one session.
const MAX_SHORTCUTS: usize = 100;

/// Bytes of all shortcuts of one session: they travel in one message.
const MAX_BYTES: usize = 48 * 1024;

/// Problems with shortcuts of one entitlement.
const MAX_PROBLEMS: usize = 20;
