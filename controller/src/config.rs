//! The configuration in memory: what decisions read instead of the database.
//!
//! A [`Config`] is one moment of the store and never changes; [`ConfigHandle`] gives the newest. A commit costs as much as
//! it changes: objects and parsed definitions are shared between moments, only the maps they changed in are copied.
//! A document that cannot be read is absent from the definitions and named by [`Config::unreadable`], because the absence
//! of a Stop policy or of a block rule must not open anything.

mod definitions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use engine::revocation::Revocations;
use protocol::object::{Definition, ObjectKind};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{Committed, Loaded, Object};
use definitions::Definitions;

/// The newest configuration; clones share it.
#[derive(Clone)]
pub struct ConfigHandle {
    current: Arc<ArcSwap<Config>>,
}

/// The configuration as of one sequence number.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sequence number of the last transaction it holds.
    pub seq: u64,
    /// Identity of the sequence.
    pub epoch: Uuid,
    /// Revocation rules that may still matter.
    pub revocations: Arc<Revocations>,
    kinds: BTreeMap<ObjectKind, Arc<KindIndex>>,
    definitions: Definitions,
    unreadable: Arc<BTreeSet<(ObjectKind, Uuid)>>,
    lifetimes: Lifetimes,
}

/// How long tokens and session certificates live (D 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Claims and device claims tokens. Default 1440 minutes.
    pub claims: Duration,
    /// Entitlement tokens. Default 180 minutes.
    pub entitlement: Duration,
    /// Administration tokens. Default 720 minutes.
    pub administration: Duration,
    /// Session certificates. Default 525600 minutes.
    pub certificate: Duration,
}

#[derive(Debug, Clone, Default)]
struct KindIndex {
    by_id: BTreeMap<Uuid, Arc<Object>>,
    by_name: BTreeMap<Arc<str>, Uuid>,
}

impl ConfigHandle {
    /// Starts from what a store holds.
    pub fn new(epoch: Uuid, loaded: Loaded) -> Self {
        let mut config = Config {
            seq: loaded.seq,
            epoch,
            revocations: Arc::new(Revocations::new(loaded.revocations)),
            kinds: BTreeMap::new(),
            definitions: Definitions::default(),
            unreadable: Arc::default(),
            lifetimes: Lifetimes::default(),
        };
        for object in loaded.objects.into_values() {
            config.put(object);
        }
        Self { current: Arc::new(ArcSwap::from_pointee(config)) }
    }

    /// The configuration as of now.
    pub fn current(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Takes in committed transactions, in number order. Only the store's writer calls this.
    pub(crate) fn apply(&self, committed: &[Arc<Committed>], now: OffsetDateTime) {
        let mut config = Config::clone(&self.current.load());
        for committed in committed {
            config.apply(committed, now);
        }
        self.current.store(Arc::new(config));
    }
}

impl Config {
    /// An object by id.
    pub fn object(&self, kind: ObjectKind, id: Uuid) -> Option<&Arc<Object>> {
        self.kinds.get(&kind)?.by_id.get(&id)
    }

    /// An object by name.
    pub fn by_name(&self, kind: ObjectKind, name: &str) -> Option<&Arc<Object>> {
        let index = self.kinds.get(&kind)?;
        index.by_id.get(index.by_name.get(name)?)
    }

    /// All objects of a kind, ordered by id.
    pub fn all(&self, kind: ObjectKind) -> impl Iterator<Item = &Arc<Object>> {
        self.kinds.get(&kind).into_iter().flat_map(|index| index.by_id.values())
    }

    /// Objects whose document cannot be read. They are absent from every definition.
    pub fn unreadable(&self) -> &BTreeSet<(ObjectKind, Uuid)> {
        &self.unreadable
    }

    /// Lifetimes from the global settings.
    pub fn token_lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    fn apply(&mut self, committed: &Committed, now: OffsetDateTime) {
        for (kind, id) in &committed.deleted {
            self.remove(*kind, *id);
        }
        for object in &committed.objects {
            self.put(object.clone());
        }
        if !committed.revocations.is_empty() {
            let revocations = Arc::make_mut(&mut self.revocations);
            revocations.forget(now);
            committed.revocations.iter().cloned().for_each(|rule| revocations.push(rule));
        }
        if let Some(seq) = committed.seq {
            self.seq = seq;
        }
    }

    fn put(&mut self, object: Object) {
        self.remove(object.kind, object.id);
        if !self.define(&object) {
            Arc::make_mut(&mut self.unreadable).insert((object.kind, object.id));
        }
        if object.kind == ObjectKind::GlobalSettings {
            self.lifetimes = Lifetimes::of(&object.body);
        }
        let index = Arc::make_mut(self.kinds.entry(object.kind).or_default());
        index.by_name.insert(object.name.as_str().into(), object.id);
        index.by_id.insert(object.id, Arc::new(object));
    }

    /// Reads the document; answers whether it could be read as the object it stands for.
    fn define(&mut self, object: &Object) -> bool {
        let (kind, id) = (object.kind, object.id);
        let definition = match Definition::parse(kind, &object.body) {
            Ok(definition) => definition,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%kind, %id, error, "Stored document cannot be read");
                return false;
            }
        };
        if definitions::id_of(&definition).is_some_and(|named| named != id) {
            tracing::error!(%kind, %id, "Stored document names another object");
            return false;
        }
        self.definitions.put(definition);
        true
    }

    fn remove(&mut self, kind: ObjectKind, id: Uuid) {
        if self.object(kind, id).is_none() {
            return;
        }
        let index = Arc::make_mut(self.kinds.entry(kind).or_default());
        if let Some(object) = index.by_id.remove(&id)
            && index.by_name.get(object.name.as_str()) == Some(&id)
        {
            index.by_name.remove(object.name.as_str());
        }
        self.definitions.remove(kind, id);
        if self.unreadable.contains(&(kind, id)) {
            Arc::make_mut(&mut self.unreadable).remove(&(kind, id));
        }
        if kind == ObjectKind::GlobalSettings {
            self.lifetimes = Lifetimes::default();
        }
    }
}

impl Lifetimes {
    /// Reads the document of the global settings; a member that is missing or makes no sense counts as its default.
    fn of(settings: &Value) -> Self {
        let default = Self::default();
        let minutes = |member: &str, default: Duration| {
            let minutes =
                settings.get(member).and_then(Value::as_u64).filter(|minutes| (1..=MAX_MINUTES).contains(minutes));
            minutes.map_or(default, |minutes| Duration::from_secs(minutes * 60))
        };
        Self {
            claims: minutes("claimsTokenExpiration", default.claims),
            entitlement: minutes("entitlementTokenExpiration", default.entitlement),
            administration: minutes("administrationTokenExpiration", default.administration),
            certificate: minutes("vpnCertificateExpiration", default.certificate),
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            claims: minutes(1440),
            entitlement: minutes(180),
            administration: minutes(720),
            certificate: minutes(525_600),
        }
    }
}

/// Ten years; nothing signed here should live longer.
const MAX_MINUTES: u64 = 5_256_000;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-05 09:00 UTC);

    fn object(kind: ObjectKind, name: &str, mut body: Value) -> Object {
        let id = Uuid::from_u128(7);
        if body.get("id").is_none() {
            body["id"] = json!(id);
        }
        body["name"] = json!(name);
        Object { kind, id, name: name.to_owned(), tags: Vec::new(), seq: 0, body }
    }

    fn commit(handle: &ConfigHandle, objects: Vec<Object>, deleted: Vec<(ObjectKind, Uuid)>) -> Arc<Config> {
        let committed = Committed {
            seq: Some(handle.current().seq + 1),
            objects,
            deleted,
            revocations: Vec::new(),
            reevaluations: Vec::new(),
            revoked_tokens: Vec::new(),
        };
        handle.apply(&[Arc::new(committed)], NOW);
        handle.current()
    }

    fn empty() -> ConfigHandle {
        ConfigHandle::new(Uuid::nil(), Loaded::default())
    }

    #[test]
    fn a_new_name_replaces_the_old_one() {
        let handle = empty();
        let script = |name| object(ObjectKind::CriteriaScript, name, json!({ "expression": "return true;" }));
        commit(&handle, vec![script("first")], Vec::new());
        let config = commit(&handle, vec![script("second")], Vec::new());
        assert!(config.by_name(ObjectKind::CriteriaScript, "first").is_none());
        assert!(config.by_name(ObjectKind::CriteriaScript, "second").is_some());
        assert_eq!(config.criteria_scripts().map(|script| script.name.as_str()).collect::<Vec<_>>(), ["second"]);
        let config = commit(&handle, Vec::new(), vec![(ObjectKind::CriteriaScript, Uuid::from_u128(7))]);
        assert_eq!((config.criteria_scripts().count(), config.all(ObjectKind::CriteriaScript).count()), (0, 0));
    }

    #[test]
    fn an_unreadable_document_is_absent_and_named() {
        let handle = empty();
        let good = json!({ "expression": "return true;" });
        for broken in [json!({}), json!({ "expression": 1 }), json!({ "expression": "x", "id": Uuid::nil() })] {
            commit(&handle, vec![object(ObjectKind::Policy, "p", good.clone())], Vec::new());
            let config = commit(&handle, vec![object(ObjectKind::Policy, "p", broken)], Vec::new());
            assert_eq!(config.policies().count(), 0);
            assert!(config.by_name(ObjectKind::Policy, "p").is_some());
            assert!(config.unreadable().contains(&(ObjectKind::Policy, Uuid::from_u128(7))));
        }
        let config = commit(&handle, vec![object(ObjectKind::Policy, "p", good)], Vec::new());
        assert_eq!((config.policies().count(), config.unreadable().len()), (1, 0));
    }

    #[test]
    fn lifetimes_come_from_the_global_settings() {
        let handle = empty();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        assert_eq!(handle.current().token_lifetimes().entitlement, minutes(180));
        let settings =
            json!({ "claimsTokenExpiration": 5, "entitlementTokenExpiration": 0, "administrationTokenExpiration": -1 });
        let config = commit(&handle, vec![object(ObjectKind::GlobalSettings, "g", settings)], Vec::new());
        let lifetimes = config.token_lifetimes();
        assert_eq!(
            (lifetimes.claims, lifetimes.entitlement, lifetimes.administration),
            (minutes(5), minutes(180), minutes(720))
        );
    }
}
