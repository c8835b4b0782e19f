//! The audit log and live sessions, as the API shows them. Both routes are ours.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use engine::dn::DistinguishedName;
use protocol::object::ObjectKind;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        Api,
        call::{Answer, Call, ok},
        caller::Admin,
        devices,
        error::{ApiError, FieldError},
        list::ListRequest,
        privilege::{Action, Target},
        query::Query,
        view,
    },
    config::Config,
    gateways::LiveSession,
    store::{AuditFilter, AuditRow},
};

/// `GET /audit-logs`: records, newest first. `next` is the value of `before` for the page that follows.
pub(crate) async fn audit_logs(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::AuditLog)?;
    let filter = read_filter(&call.query)?;
    let limit = filter.limit;
    // What is still waiting in this controller belongs to the newest records.
    api.reads.flush(api.controller.store.as_ref()).await;
    let rows = api.controller.store.audit(filter).await?;
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.number);
    let data: Vec<Value> = rows.iter().map(row_document).collect();
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("entities_listed").with("entity_type", "AuditLog").event())?;
    Ok(ok(&json!({ "data": data, "next": next })))
}

/// `GET /sessions`: what the connected gateways report.
pub(crate) async fn sessions(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    let request = ListRequest::parse(&call.query, "distinguishedName")?;
    let config = api.controller.config.current();
    let sessions = api.controller.gateways.sessions();
    let data = sessions.iter().map(|session| session_document(&config, session)).collect::<Result<Vec<_>, _>>()?;
    let page = request.page(data);
    api.reads.record(&config, admin.actor().record("entities_listed").with("entity_type", "SessionInfo").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `GET /stats/active-sessions/dn` and, up to peer version 21, `/stats/active-sessions`: one row per name.
pub(crate) async fn active_names(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    let request = ListRequest::parse(&call.query, "distinguishedName")?;
    let config = api.controller.config.current();
    let sessions = api.controller.gateways.sessions();
    let mut gateways: BTreeMap<&DistinguishedName, Vec<String>> = BTreeMap::new();
    for session in &sessions {
        gateways.entry(&session.name).or_default().push(appliance_name(&config, session));
    }
    let data = gateways.into_iter().map(|(name, mut gateways)| {
        gateways.sort();
        gateways.dedup();
        let mut document = devices::name_document(name);
        document.insert("gateways".to_owned(), gateways.into());
        Value::Object(document)
    });
    let page = request.page(data.collect());
    api.reads.record(&config, admin.actor().record("entities_listed").with("entity_type", "SessionInfo").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

fn read_filter(query: &Query) -> Result<AuditFilter, ApiError> {
    let mut errors = Vec::new();
    let mut number = |name: &str| {
        let text = query.last(name).filter(|text| !text.is_empty())?;
        let number = text.parse::<u64>().ok();
        if number.is_none() {
            errors.push(FieldError::new(name, "must be a whole number"));
        }
        number
    };
    let (before, after, limit) = (number("before"), number("after"), number("limit").unwrap_or(DEFAULT_RECORDS));
    if !(1..=MAX_RECORDS).contains(&limit) {
        errors.push(FieldError::new("limit", format!("must be between 1 and {MAX_RECORDS}")));
    }
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let text = |name: &str| query.last(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(AuditFilter {
        before,
        after,
        event_type: text("eventType"),
        contains: text("query"),
        limit: u32::try_from(limit).unwrap_or(1),
    })
}

fn row_document(row: &AuditRow) -> Value {
    let mut record: Map<String, Value> = serde_json::from_str(&row.record).unwrap_or_default();
    record.insert("number".to_owned(), row.number.into());
    record.insert("writer".to_owned(), row.writer.to_string().into());
    record.insert("position".to_owned(), row.position.into());
    record.insert("hash".to_owned(), row.hash.clone().into());
    Value::Object(record)
}

fn session_document(config: &Config, session: &LiveSession) -> Result<Value, ApiError> {
    let mut document = devices::name_document(&session.name);
    let members = json!({
        "sessionId": session.session.to_string(),
        "appliance": session.appliance.to_string(),
        "applianceName": appliance_name(config, session),
        "site": session.site.to_string(),
        "siteName": view::site_name(config, session.site.uuid()),
        "address": session.address.to_string(),
        "since": view::timestamp(session.since)?,
        "expires": view::timestamp(session.expires)?,
        "entitlements": session.entitlements,
    });
    document.extend(members.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(document))
}

fn appliance_name(config: &Config, session: &LiveSession) -> String {
    let object = config.object(ObjectKind::Appliance, session.appliance.uuid());
    object.map_or_else(|| session.appliance.to_string(), |object| object.name.clone())
}

const DEFAULT_RECORDS: u64 = 100;
const MAX_RECORDS: u64 = 1000;
