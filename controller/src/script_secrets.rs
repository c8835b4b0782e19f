//! Secrets that scripts name as `%SECRET:NAME%` (D 7.2): opened once per change and held in memory, so that no decision
//! reads the database.
//!
//! A secret that cannot be opened is absent, and a script that names it fails closed. Values are never logged and never
//! shown; they leave for the sandbox of this controller and, sealed by the connection, for the gateways whose scripts name
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use protocol::object::ObjectKind;
use sandbox::{Origin, Secret, Secrets};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    config::Config,
    store::{Object, Store, StoreError},
};

/// Where a secret's value stands beside its object.
pub(crate) const SECRET_FIELD: &str = "secret";

/// The secrets of the newest configuration that was asked for.
#[derive(Default)]
pub(crate) struct ScriptSecrets {
    newest: ArcSwapOption<Held>,
}

/// Opened secrets by id, each with the sequence it was written at.
struct Held {
    config: Arc<Config>,
    opened: BTreeMap<Uuid, Opened>,
    all: Secrets,
}

#[derive(Clone)]
struct Opened {
    seq: u64,
    name: Box<str>,
    secret: Secret,
}

impl ScriptSecrets {
    /// Every secret of this configuration. What was opened before and has not been written since is not read again.
    pub(crate) async fn of(&self, store: &dyn Store, config: &Arc<Config>) -> Secrets {
        self.held(store, config).await.all.clone()
    }

    /// The secrets for which `may_use` says yes.
    pub(crate) async fn those(
        &self,
        store: &dyn Store,
        config: &Arc<Config>,
        may_use: impl Fn(&Object) -> bool,
    ) -> Secrets {
        let held = self.held(store, config).await;
        let usable = config.all(ObjectKind::Secret).filter(|object| may_use(object));
        let usable = usable.filter_map(|object| held.opened.get(&object.id));
        usable.map(|opened| (opened.name.clone(), opened.secret.clone())).collect()
    }

    async fn held(&self, store: &dyn Store, config: &Arc<Config>) -> Arc<Held> {
        let before = self.newest.load_full();
        if let Some(held) = before.as_ref().filter(|held| Arc::ptr_eq(&held.config, config)) {
            return held.clone();
        }
        let mut opened = BTreeMap::new();
        let mut complete = true;
        for object in config.all(ObjectKind::Secret) {
            let known = before.as_ref().and_then(|held| held.opened.get(&object.id));
            match known.filter(|known| known.seq == object.seq) {
                Some(known) => drop(opened.insert(object.id, known.clone())),
                None => match open(store, object).await {
                    Ok(read) => drop(opened.insert(object.id, read)),
                    Err(error) => {
                        complete = false;
                        tracing::error!(id = %object.id, error = &error as &dyn std::error::Error, "Secret cannot be opened");
                    }
                },
            }
        }
        let all = opened.values().map(|opened| (opened.name.clone(), opened.secret.clone())).collect();
        let held = Arc::new(Held { config: config.clone(), opened, all });
        // One that could not be opened is tried again by the next who asks.
        if complete {
            self.newest.store(Some(held.clone()));
        }
        held
    }
}

/// The value of a secret, for a gateway whose scripts name it.
pub(crate) async fn value(store: &dyn Store, id: Uuid) -> Result<Zeroizing<String>, StoreError> {
    let sealed = store.secret(ObjectKind::Secret, id, SECRET_FIELD).await?.map(Zeroizing::new);
    let bytes = sealed.ok_or(StoreError::Missing { kind: ObjectKind::Secret, id })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| StoreError::Failed(Box::new(error)))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Names that stand in a script as `%SECRET:NAME%`.
pub(crate) fn named_in(source: &str) -> BTreeSet<&str> {
    let after = source.split(MARK).skip(1);
    after.filter_map(|rest| rest.split_once('%').map(|(name, _)| name)).collect()
}

async fn open(store: &dyn Store, object: &Object) -> Result<Opened, StoreError> {
    let value = value(store, object.id).await?;
    let secret = Secret { value: Arc::new(value), allowed_origins: allowed_origins(&object.body) };
    Ok(Opened { seq: object.seq, name: object.name.as_str().into(), secret })
}

/// `allowedOrigins` of the document: absent or empty means everywhere; an entry that is no origin allows nothing.
fn allowed_origins(body: &Value) -> Option<Arc<[Origin]>> {
    let listed = body.get("allowedOrigins")?.as_array().filter(|listed| !listed.is_empty())?;
    Some(listed.iter().filter_map(|origin| Origin::parse(origin.as_str()?).ok()).collect())
}

const MARK: &str = "%SECRET:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let source =
            "httpGet('https://x/%SECRET:A%', [{key: 'k', value: `%SECRET:b c%%SECRET:A%`}]); // 100 %SECRET:open";
        assert_eq!(named_in(source), BTreeSet::from(["A", "b c"]));
    }

    #[test]
    fn a_list_of_origins_that_cannot_be_read_allows_nothing() {
        assert!(allowed_origins(&serde_json::json!({ "allowedOrigins": [] })).is_none());
        let broken = allowed_origins(&serde_json::json!({ "allowedOrigins": ["nonsense"] }));
        assert!(broken.is_some_and(|origins| origins.is_empty()));
    }
}
