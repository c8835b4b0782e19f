//! The audit log, as the API shows it. The route is ours.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        Api,
        call::{Answer, Call, ok},
        caller::Admin,
        error::{ApiError, FieldError},
        privilege::{Action, Target},
        query::Query,
    },
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

const DEFAULT_RECORDS: u64 = 100;
const MAX_RECORDS: u64 = 1000;
