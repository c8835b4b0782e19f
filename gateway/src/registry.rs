//! The live sessions of this gateway: whatever carries traffic belongs to one of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use engine::{dn::DnEnding, id::SessionId};

use crate::session::LiveSession;

/// Sessions by id; one session has one connection.
pub(crate) struct Registry {
    sessions: Mutex<HashMap<SessionId, Arc<LiveSession>>>,
    limit: usize,
}

/// There are as many sessions as there may be.
#[derive(Debug)]
pub(crate) struct Full;

impl Registry {
    pub(crate) fn new(limit: usize) -> Self {
        Self { sessions: Mutex::default(), limit }
    }

    /// Takes in a session; the answer is the older connection of the same session, if there is one.
    pub(crate) fn insert(&self, session: Arc<LiveSession>) -> Result<Option<Arc<LiveSession>>, Full> {
        let mut sessions = self.lock();
        if sessions.len() >= self.limit && !sessions.contains_key(&session.id()) {
            return Err(Full);
        }
        Ok(sessions.insert(session.id(), session))
    }

    /// Forgets a session, unless a newer connection took its place.
    pub(crate) fn remove(&self, session: &Arc<LiveSession>) {
        let mut sessions = self.lock();
        if sessions.get(&session.id()).is_some_and(|held| Arc::ptr_eq(held, session)) {
            sessions.remove(&session.id());
        }
    }

    /// How many sessions there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The sessions whose names end so.
    pub(crate) fn matching(&self, ending: &DnEnding) -> Sweep {
        let matches = |session: &&Arc<LiveSession>| ending.matches(session.name());
        Sweep(self.lock().values().filter(matches).cloned().collect())
    }

    /// Every session.
    pub(crate) fn all(&self) -> Sweep {
        Sweep(self.lock().values().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<LiveSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sessions to be looked at.
pub(crate) struct Sweep(Vec<Arc<LiveSession>>);

impl Sweep {
    /// In any order.
    pub(crate) fn into_vec(self) -> Vec<Arc<LiveSession>> {
        self.0
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those whose names end in one of these ways.
    pub(crate) fn among(mut self, endings: &[DnEnding]) -> Self {
        self.0.retain(|session| endings.iter().any(|ending| ending.matches(session.name())));
        self
    }

    /// Those with flows first.
    pub(crate) fn busy_first(self) -> impl Iterator<Item = Arc<LiveSession>> {
        let [busy, idle] = self.split();
        busy.into_iter().chain(idle)
    }

    /// Visits those with flows first, and lets what that started run before it goes on: a cut must not wait for the idle
    /// ones. The answer holds the sessions for which `visit` said yes.
    pub(crate) async fn visit(self, mut visit: impl FnMut(&Arc<LiveSession>) -> bool) -> Vec<Arc<LiveSession>> {
        let mut chosen = Vec::new();
        for group in self.split() {
            for part in group.chunks(AT_ONCE) {
                chosen.extend(part.iter().filter(|session| visit(session)).cloned());
                tokio::task::yield_now().await;
            }
        }
        chosen
    }

    /// Those with flows and those without.
    fn split(self) -> [Vec<Arc<LiveSession>>; 2] {
        let (busy, idle) = self.0.into_iter().partition(|session| session.has_flows());
        [busy, idle]
    }
}

/// Sessions visited without a break; some tens of microseconds.
pub(crate) const AT_ONCE: usize = 64;
