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

    /// The sessions whose names end so.
    pub(crate) fn matching(&self, ending: &DnEnding) -> Vec<Arc<LiveSession>> {
        self.lock().values().filter(|session| ending.matches(session.name())).cloned().collect()
    }

    /// Every session.
    pub(crate) fn all(&self) -> Vec<Arc<LiveSession>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<LiveSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
