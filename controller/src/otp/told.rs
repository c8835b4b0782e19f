//! Which locks a record has told of: attempts during a lock are not judged, and would only fill the audit log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use engine::dn::UserName;
use time::OffsetDateTime;

/// The last lock of each user that was told of.
#[derive(Default)]
pub(crate) struct LocksTold(Mutex<HashMap<UserName, OffsetDateTime>>);

impl LocksTold {
    /// Whether nobody has told of the user's lock that began then; from now on somebody has.
    pub(crate) fn is_news(&self, user: &UserName, since: OffsetDateTime) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_USERS && !told.contains_key(user) {
            // It costs a second record of some locks, and nothing else.
            told.clear();
        }
        told.insert(user.clone(), since) != Some(since)
    }
}

/// Users remembered at once.
const MOST_USERS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_news_once() {
        let told = LocksTold::default();
        let (ana, ben) = (UserName::new("ana", "local"), UserName::new("ben", "local"));
        let first = OffsetDateTime::UNIX_EPOCH;
        let second = first + time::Duration::minutes(2);
        assert!(told.is_news(&ana, first) && told.is_news(&ben, first));
        assert!(!told.is_news(&ana, first) && !told.is_news(&ben, first));
        assert!(told.is_news(&ana, second) && !told.is_news(&ana, second));
    }
}
