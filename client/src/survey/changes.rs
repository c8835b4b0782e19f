//! Which claims change, and whether that is news: a claim that changes at every look must not make this device ask the
//! controller for new tokens all the time (D 34).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::time::Instant;

/// Follows claims from look to look.
pub(crate) struct Changes {
    last: Map<String, Value>,
    /// How restless a claim is: one more for every look with a change, one less for every look without.
    unrest: BTreeMap<String, u32>,
    restless: BTreeSet<String>,
    floor: Duration,
    /// When a restless claim last brought a renewal about.
    indulged: Option<Instant>,
}

impl Changes {
    /// Starts from what was found first. Restless claims bring a renewal about only every `floor`.
    pub(crate) fn new(found: Map<String, Value>, floor: Duration) -> Self {
        Self { last: found, unrest: BTreeMap::new(), restless: BTreeSet::new(), floor, indulged: None }
    }

    /// Takes in the next look; answers the claims that are restless only now.
    pub(crate) fn note(&mut self, found: &Map<String, Value>) -> Vec<String> {
        let mut new = Vec::new();
        let names: BTreeSet<String> = self.last.keys().chain(found.keys()).cloned().collect();
        self.unrest.retain(|name, _| names.contains(name));
        self.restless.retain(|name| names.contains(name));
        for name in names {
            let changed = self.last.get(&name) != found.get(&name);
            let unrest = self.unrest.entry(name.clone()).or_default();
            *unrest = if changed { (*unrest + 1).min(MOST_UNREST) } else { unrest.saturating_sub(1) };
            if *unrest >= RESTLESS && self.restless.insert(name.clone()) {
                new.push(name);
            } else if *unrest == 0 {
                self.restless.remove(&name);
            }
        }
        self.last.clone_from(found);
        new
    }

    /// Whether what was found differs from what was reported in a way that is worth new tokens now. `incomplete` says that
    /// something could not be found out for want of a file that a renewal may bring; that is tried as seldom as a restless
    /// claim is reported.
    pub(crate) fn wants_renewal(&mut self, reported: &Map<String, Value>, incomplete: bool, now: Instant) -> bool {
        let names: BTreeSet<&String> = reported.keys().chain(self.last.keys()).collect();
        let differing: Vec<&String> =
            names.into_iter().filter(|name| reported.get(*name) != self.last.get(*name)).collect();
        if differing.iter().any(|name| !self.restless.contains(*name)) {
            return true;
        }
        if differing.is_empty() && !incomplete {
            return false;
        }
        if self.indulged.is_some_and(|at| now < at + self.floor) {
            return false;
        }
        self.indulged = Some(now);
        true
    }

    pub(crate) fn is_restless(&self, claim: &str) -> bool {
        self.restless.contains(claim)
    }
}

/// Changes in a row that make a claim restless.
const RESTLESS: u32 = 3;

/// As many quiet looks as this calm a restless claim down.
const MOST_UNREST: u32 = 4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("not an object") };
        members
    }

    #[test]
    fn a_change_is_worth_a_renewal_and_no_change_is_not() {
        let reported = claims(json!({ "disk": "encrypted" }));
        let mut changes = Changes::new(reported.clone(), Duration::from_secs(100));
        assert!(!changes.wants_renewal(&reported, false, Instant::now()));
        assert!(changes.note(&claims(json!({ "disk": "open" }))).is_empty());
        assert!(changes.wants_renewal(&reported, false, Instant::now()));
        assert!(changes.note(&claims(json!({}))).is_empty());
        assert!(changes.wants_renewal(&reported, false, Instant::now()), "a claim that is gone is a change as well");
    }

    #[test]
    fn a_claim_that_always_changes_is_told_once_and_renews_seldom() {
        let mut changes = Changes::new(claims(json!({ "clock": 0, "disk": "ok" })), Duration::from_secs(100));
        let (mut renewals, mut told, mut now) = (0, Vec::new(), Instant::now());
        for look in 1..=20 {
            told.extend(changes.note(&claims(json!({ "clock": look, "disk": "ok" }))));
            let reported = claims(json!({ "clock": look - 1, "disk": "ok" }));
            renewals += u32::from(changes.wants_renewal(&reported, false, now));
            now += Duration::from_secs(10);
        }
        assert_eq!(told, ["clock"]);
        assert_eq!(renewals, 2 + 2, "two before it is known to be restless, then one every hundred seconds");

        let reported = claims(json!({ "clock": 20, "disk": "ok" }));
        changes.note(&claims(json!({ "clock": 21, "disk": "broken" })));
        assert!(changes.wants_renewal(&reported, false, now), "other claims are not held back by it");
    }

    #[test]
    fn a_missing_file_is_asked_for_seldom() {
        let reported = claims(json!({ "disk": "ok" }));
        let mut changes = Changes::new(reported.clone(), Duration::from_secs(100));
        let now = Instant::now();
        assert!(changes.wants_renewal(&reported, true, now));
        assert!(!changes.wants_renewal(&reported, true, now + Duration::from_secs(99)));
        assert!(changes.wants_renewal(&reported, true, now + Duration::from_secs(100)));
    }

    #[test]
    fn a_claim_calms_down_after_quiet_looks() {
        let mut changes = Changes::new(claims(json!({ "a": 0 })), Duration::from_secs(100));
        for look in 1..=10 {
            changes.note(&claims(json!({ "a": look })));
        }
        assert!(changes.is_restless("a"));
        for _ in 0..MOST_UNREST {
            assert!(changes.is_restless("a"));
            changes.note(&claims(json!({ "a": 10 })));
        }
        assert!(!changes.is_restless("a"));
    }
}
