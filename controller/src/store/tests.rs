//! What every store must do ([`conformance`]), run against each kind of store, and what only one kind has.

mod conformance;
mod sqlite;

use std::sync::Arc;

use engine::{
    dn::DistinguishedName,
    id::{DeviceId, SessionId, TokenId},
    token::TokenKind,
};
use protocol::object::ObjectKind;
use serde_json::{Map, json};
use time::{Duration, OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{AuditEvent, AuditFilter, AuditRow, Expect, Object, Op, Store, TokenRow, Transaction};

/// A place where one store lives; opening it again must show what was written before.
trait Home {
    async fn new() -> Self;
    async fn open(&self) -> Arc<dyn Store>;
    async fn close(&self);
}

const NOW: OffsetDateTime = datetime!(2026-01-05 09:00 UTC);

fn now() -> OffsetDateTime {
    NOW
}

fn object(name: &str) -> Object {
    let id = Uuid::new_v4();
    let body = json!({ "id": id, "name": name, "expression": "return true;" });
    Object {
        kind: ObjectKind::CriteriaScript,
        id,
        name: name.to_owned(),
        tags: vec!["one".into(), "Two".into()],
        seq: 0,
        body,
    }
}

fn put(object: &Object, expect: Expect) -> Op {
    Op::PutObject { object: object.clone(), expect }
}

fn event(event_type: &'static str) -> AuditEvent {
    let members = Map::from_iter([("reason".to_owned(), json!("because"))]);
    AuditEvent { event_type, members }
}

fn ops(ops: impl Into<Vec<Op>>) -> Transaction {
    Transaction { ops: ops.into(), audit: Vec::new() }
}

fn told(ops: impl Into<Vec<Op>>, event_type: &'static str) -> Transaction {
    Transaction { ops: ops.into(), audit: vec![event(event_type)] }
}

fn name(device: u128, user: &str, provider: &str) -> DistinguishedName {
    let user = engine::dn::UserName::new(user, provider);
    DistinguishedName { device: DeviceId::new(Uuid::from_u128(device)), user }
}

fn token(kind: TokenKind, name: DistinguishedName) -> TokenRow {
    TokenRow {
        id: TokenId::new(Uuid::new_v4()),
        kind,
        name,
        session: kind.is_bound().then(|| SessionId::new(Uuid::new_v4())),
        site: None,
        issued: NOW,
        expires: NOW + Duration::hours(3),
        revoked_at: None,
        decided_at: 0,
        hostname: Some("laptop".into()),
    }
}

async fn audit(store: &dyn Store) -> Vec<AuditRow> {
    store.audit(AuditFilter { limit: 1000, ..AuditFilter::default() }).await.unwrap()
}
