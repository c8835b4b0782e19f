//! What is known of a session: claims for scripts, facts for controllers, members of audit records.

use std::{net::IpAddr, sync::Arc};

use engine::claims::Claims;
use protocol::message::{ClientFacts, SessionFacts};
use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

use super::{Inner, LiveSession};
use crate::{
    admission::Tokens,
    audit::{Daemon, Event, Weight, name_members},
    gateway::Gateway,
};

/// What scripts see (D 9), with the remedies the user answered beside it.
pub(super) fn claims(gateway: &Gateway, tokens: &Tokens, source: IpAddr, connected: OffsetDateTime) -> Arc<Value> {
    let mut claims = Claims { user: Map::new(), device: tokens.device_claims(), system: system(source, connected) };
    let mut responses = Value::Array(Vec::new());
    if let Some(content) = tokens.user() {
        claims.user = content.user.clone();
        claims.user.extend(opened(gateway, content.encrypted.as_deref()));
        if let Some(scripted) = tokens.scripted() {
            claims.user.insert("agScripted".to_owned(), Value::Object(scripted.clone()));
        }
        responses = serde_json::to_value(&content.responses).unwrap_or(responses);
    }
    let mut all = claims.to_value();
    if let Some(members) = all.as_object_mut() {
        members.insert("responses".to_owned(), responses);
    }
    Arc::new(all)
}

impl LiveSession {
    /// The claims of the tokens now held.
    pub(super) fn claims_of(&self, tokens: &Tokens) -> Arc<Value> {
        claims(&self.gateway, tokens, self.source, self.connected)
    }

    /// What controllers are told.
    pub(crate) fn facts(&self) -> Option<SessionFacts> {
        let config = self.gateway.config.current()?;
        let inner = self.lock();
        Some(SessionFacts {
            session: self.id,
            name: self.name.clone(),
            site: config.site,
            address: self.source,
            since: self.connected.unix_timestamp(),
            expires: inner.tokens.entitlement_expires().unix_timestamp(),
            entitlements: inner.entitlement_names.clone(),
            client: Box::new(client(&inner.tokens.device_claims())),
        })
    }

    /// Writes an audit record about this session.
    pub(crate) fn note(
        &self,
        daemon: Daemon,
        event_type: &'static str,
        weight: Weight,
        mut members: Map<String, Value>,
    ) {
        members.extend(name_members(&self.name));
        members.insert("session_id".to_owned(), self.id.to_string().into());
        members.insert("client_ip".to_owned(), self.source.to_string().into());
        self.gateway.audit.record(Event { daemon, event_type, weight, members, at: self.gateway.clock.wall() });
    }
}

impl Inner {
    /// Whether the session is still live.
    pub(super) fn is_live(&self) -> bool {
        self.session.ended().is_none()
    }
}

/// What lists show of a device. It is the device that says it, so each text is cut to a length.
fn client(device: &Map<String, Value>) -> ClientFacts {
    let os = |name: &str| device.get("os").and_then(|os| os.get(name));
    let text = |value: Option<&Value>| value?.as_str().map(|text| text.chars().take(MAX_FACT_CHARS).collect());
    ClientFacts {
        hostname: text(os("hostname")),
        os_family: text(os("family")),
        os_name: text(os("name")),
        os_parent: text(os("parent")),
        version: text(device.get("clientVersion")),
        kind: text(device.get("clientType")),
    }
}

/// System claims (D 9.3).
pub(super) fn system(source: IpAddr, connected: OffsetDateTime) -> Map<String, Value> {
    let mut system = Map::new();
    system.insert("clientSrcIP".to_owned(), source.to_string().into());
    if let Ok(text) = connected.to_offset(UtcOffset::UTC).format(CONNECT_TIME) {
        system.insert("connectTime".to_owned(), text.into());
    }
    system
}

/// Claims only controllers and gateways may read. Unreadable ones are missing, as any claim can be.
fn opened(gateway: &Gateway, sealed: Option<&str>) -> Map<String, Value> {
    let Some(sealed) = sealed else { return Map::new() };
    let config = gateway.config.current();
    let opened = config.as_ref().and_then(|config| config.claims_key.open(sealed).ok());
    opened.unwrap_or_else(|| {
        tracing::warn!("Encrypted claims of a token are unreadable and count as missing");
        Map::new()
    })
}

/// Enough to tell devices apart in a list.
const MAX_FACT_CHARS: usize = 128;

const CONNECT_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
