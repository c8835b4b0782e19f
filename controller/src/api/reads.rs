//! Audit records of the admin API (D 30).
//!
//! Changes carry their records in their own transaction. Reads are by far the most frequent kind, so they are buffered
//! ([`crate::records`]). When the buffer is full, the global setting `auditLogPersistenceMode` decides: `Guaranteed`
//! refuses the read, the others drop and count the record.

use std::{net::IpAddr, sync::Arc};

use engine::dn::DistinguishedName;
use protocol::object::ObjectKind;
use serde_json::Value;

use crate::{
    api::error::ApiError,
    audit::{Record, TOKEN_REFUSED},
    config::Config,
    records::{FLUSH_INTERVAL, Full, Records},
    store::{AuditEvent, Object, Store},
};

/// Who did it, as audit records tell.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// Distinguished name of the administrator.
    pub(crate) name: DistinguishedName,
    /// Address of the caller.
    pub(crate) address: Option<IpAddr>,
}

impl Actor {
    /// A record by this actor.
    pub(crate) fn record(&self, event_type: &'static str) -> Record {
        Record::new(event_type).name(&self.name).address(self.address)
    }

    /// A record about an object.
    pub(crate) fn entity(&self, event_type: &'static str, object: &Object) -> AuditEvent {
        let record = self.record(event_type).with("entity_type", object.kind.title());
        record.with("entity_id", object.id.to_string()).with("entity_name", object.name.as_str()).event()
    }

    /// A record about a list that was read.
    pub(crate) fn listed(&self, kind: ObjectKind) -> AuditEvent {
        self.record("entities_listed").with("entity_type", kind.title()).event()
    }
}

/// Records of reads on their way to the store.
#[derive(Debug)]
pub(crate) struct Reads(Arc<Records>);

impl Reads {
    pub(crate) fn new(records: Arc<Records>) -> Self {
        Self(records)
    }

    /// Takes a record of a read. Refuses only when the buffer is full and the settings guarantee records.
    pub(crate) fn record(&self, config: &Config, event: AuditEvent) -> Result<(), ApiError> {
        match self.0.push(event) {
            Err(Full) if is_guaranteed(config) => Err(ApiError::Busy { retry_after: FLUSH_INTERVAL }),
            Ok(()) | Err(Full) => Ok(()),
        }
    }

    /// Takes a record of a token that was not believed. One for which there is no room is counted.
    pub(crate) fn token_refused(&self, code: &'static str, address: Option<IpAddr>) {
        let _ = self.0.push(Record::new(TOKEN_REFUSED).with("reason", code).address(address).event());
    }

    /// Writes what is waiting.
    pub(crate) async fn flush(&self, store: &dyn Store) {
        self.0.flush(store).await;
    }
}

fn is_guaranteed(config: &Config) -> bool {
    let mode =
        config.all(ObjectKind::GlobalSettings).next().and_then(|settings| settings.body.get("auditLogPersistenceMode"));
    mode.and_then(Value::as_str) == Some("Guaranteed")
}
