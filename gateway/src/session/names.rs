//! Names that a session's rules are built from, while they move.
//!
//! The rules follow on the spot. What else depends on a name, scripts and conditions of the entitlements that use it, is
//! asked again when it is the session's turn, and no more often than a pause allows: a name that changes at every look-up
//! for thousands of sessions costs each of them the same, and nobody else.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use engine::{
    id::ConditionId,
    rules::{self, NameAnswers, ProblemKind},
    session::Limits,
};
use tokio::time::{sleep, timeout};

use super::{Inner, LiveSession};
use crate::resolver::ResolveError;

/// What is to be asked again because names moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    conditions: BTreeSet<ConditionId>,
    scripts: bool,
    /// Somebody sees to it.
    followed: bool,
}

impl Moved {
    fn is_empty(&self) -> bool {
        self.conditions.is_empty() && !self.scripts
    }
}

impl LiveSession {
    /// The addresses of a name in the order they are worth trying: those the rules are built from, or what the resolver says.
    pub(crate) async fn addresses_of(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let mut known = self.known_addresses(name);
        if known.is_none() {
            // The rules that are being built may be about this name, and must be about the same addresses.
            let _ = timeout(Limits::default().pending, self.settled()).await;
            known = self.known_addresses(name);
        }
        let addresses = match known {
            Some(addresses) => addresses,
            None => self.gateway.names.resolve(name).await?,
        };
        Ok(self.gateway.names.newest_first(name, addresses))
    }

    fn known_addresses(&self, name: &str) -> Option<BTreeSet<IpAddr>> {
        self.lock().names.get(name).filter(|addresses| !addresses.is_empty()).cloned()
    }

    /// Adds the names the rules are built from.
    pub(crate) fn collect_names(&self, names: &mut BTreeSet<String>) {
        names.extend(self.lock().used.names.iter().cloned());
    }

    /// Adds the hosts that this version does not resolve.
    pub(crate) fn collect_unresolved(&self, hosts: &mut BTreeSet<String>) {
        let inner = self.lock();
        let unresolved = inner.problems.iter().filter_map(|problem| {
            let ProblemKind::NotResolved(host) = &problem.kind else { return None };
            Some(host.chars().take(MAX_HOST_CHARS).collect())
        });
        hosts.extend(unresolved.take(MAX_UNRESOLVED));
    }

    /// Newer addresses of names: rules built from others are built again at once. True when somebody has to see to
    /// [`Self::follow_moved`].
    pub(crate) fn rename(self: &Arc<Self>, answers: &NameAnswers) -> bool {
        self.act(|inner, now| {
            let newer = |(name, held): (&String, &BTreeSet<IpAddr>)| {
                let addresses = answers.get(name).filter(|addresses| *addresses != held)?;
                Some((name.clone(), addresses.clone()))
            };
            let newer: Vec<_> = inner.names.iter().filter_map(newer).collect();
            if newer.is_empty() || !inner.is_live() {
                return (false, Vec::new());
            }
            let mut names = inner.names.clone();
            names.extend(newer);
            let moved = self.take_names(inner, names);
            let effects = self.build(inner, now);
            self.note_evaluated(inner, &[]);
            inner.moved.conditions.extend(moved);
            inner.moved.scripts |= !inner.used.scripts.is_empty();
            let follow = !inner.moved.is_empty() && !std::mem::replace(&mut inner.moved.followed, true);
            (follow, effects)
        })
    }

    /// Asks what depends on moved names again, in turn with other sessions.
    pub(crate) fn follow_moved(self: Arc<Self>) {
        tokio::spawn(async move {
            let mut over = self.over();
            let following = async {
                while self.ask_moved().await {
                    sleep(FOLLOW_PAUSE).await;
                }
            };
            tokio::select! {
                () = following => {}
                _ = over.wait_for(|over| *over) => {}
            }
        });
    }

    /// False when nothing moved since the last time.
    async fn ask_moved(self: &Arc<Self>) -> bool {
        let _turn = self.gateway.moved_turns.acquire().await;
        let (scripts, idle) = self.act(|inner, now| {
            let moved = std::mem::take(&mut inner.moved);
            inner.moved.followed = !moved.is_empty();
            let effects = inner.session.reevaluate_some(&moved.conditions, now);
            ((moved.scripts, moved.is_empty()), effects)
        });
        if scripts {
            self.instantiate();
            self.settled().await;
        }
        !idle
    }

    /// Takes in names; the answer holds the conditions of entitlements whose names have other addresses than before.
    pub(super) fn take_names(&self, inner: &mut Inner, names: NameAnswers) -> BTreeSet<ConditionId> {
        let differs = |(name, held): &(&String, &BTreeSet<IpAddr>)| names.get(*name).is_some_and(|new| new != *held);
        let moved: HashSet<String> = inner.names.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        inner.names = names;
        let Some(config) = self.gateway.config.current().filter(|_| !moved.is_empty()) else { return BTreeSet::new() };
        let held = config.definitions.entitlements(&inner.granted);
        let uses = |names: BTreeSet<String>| names.iter().any(|name| moved.contains(name));
        let concerned = held.iter().filter(|held| uses(rules::names_needed([held.as_ref()], &inner.scripts)));
        concerned.flat_map(|entitlement| entitlement.conditions.iter().copied()).collect()
    }
}

/// Between two times a session's scripts and conditions are asked again because names moved; the first time is at once.
const FOLLOW_PAUSE: Duration = Duration::from_secs(10);

/// Hosts that are not resolved, told of one session.
const MAX_UNRESOLVED: usize = 100;

const MAX_HOST_CHARS: usize = 200;
