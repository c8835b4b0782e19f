//! Admin messages as the API shows them (D 29).

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use engine::id::ApplianceId;
use protocol::object::ObjectKind;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        view,
    },
    config::Config,
    messages::source_name,
    store::{AdminMessageRow, MessageStatus, Op, Transaction},
};

/// `GET /admin-messages`: every message of every appliance.
pub(crate) async fn list(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::AdminMessage)?;
    let request = ListRequest::parse(&call.query, "created")?;
    let config = api.controller.config.current();
    let rows = api.controller.store.admin_messages().await?;
    let data = rows.iter().map(|row| document(&config, row)).collect::<Result<Vec<_>, _>>()?;
    let page = request.page(data);
    api.reads.record(&config, admin.actor().record("admin_messages_listed").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `GET /admin-messages/summarize`: one entry for each text, with who posted it and how often.
pub(crate) async fn summarize(State(api): State<Arc<Api>>, admin: Admin) -> Answer {
    admin.require(Action::View, Target::AdminMessage)?;
    let config = api.controller.config.current();
    let mut by_text: BTreeMap<String, Vec<AdminMessageRow>> = BTreeMap::new();
    let mut order = Vec::new();
    for row in api.controller.store.admin_messages().await? {
        let same = by_text.entry(row.message.clone()).or_default();
        if same.is_empty() {
            order.push(row.message.clone());
        }
        same.push(row);
    }
    let groups = order.iter().filter_map(|text| by_text.get(text));
    let data = groups.filter_map(|rows| summary(&config, rows)).collect::<Result<Vec<_>, _>>()?;
    api.reads.record(&config, admin.actor().record("admin_messages_listed").event())?;
    Ok(ok(&json!({ "data": data })))
}

/// `PUT /admin-messages/{id}`: what became of the message, wherever it came from.
pub(crate) async fn set_status(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Edit, Target::AdminMessage)?;
    let id = call.parameter("id").to_owned();
    let body = call.body.object().await?;
    let status = body.get("status").and_then(Value::as_str).and_then(MessageStatus::parse);
    let status = status.ok_or_else(|| ApiError::field("status", "must be one of Unresolved, Resolved, Muted"))?;
    let missing = || ApiError::NotFound(format!("admin message `{id}` does not exist"));
    let uuid = Uuid::try_parse(&id).map_err(|_| missing())?;
    let rows = api.controller.store.admin_messages().await?;
    let row = rows.iter().find(|row| row.id == uuid).ok_or_else(missing)?;
    let record = admin.actor().record("admin_message_updated").with("message", row.message.as_str());
    let audit = vec![record.with("status", status.as_str()).event()];
    let ops = vec![Op::SetAdminMessageStatus { id: uuid, status }];
    api.controller.store.transact(Transaction { ops, audit }).await?;
    let applied = view::timestamp(api.controller.now())?;
    Ok(ok(&json!({ "id": id, "message": row.message, "status": status.as_str(), "appliedAt": applied })))
}

/// `DELETE /admin-messages`: all, or with `message` and `source` in the query those.
pub(crate) async fn delete(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Delete, Target::AdminMessage)?;
    let config = api.controller.config.current();
    let record = admin.actor().record("admin_messages_deleted");
    let (only, record) = match (call.query.last("message"), call.query.last("source")) {
        (Some(message), Some(source)) => {
            let Some(id) = appliance(&config, source) else { return Ok(no_content()) };
            (Some((message.to_owned(), id)), record.with("message", message).with("source", source))
        }
        (None, _) | (_, None) => (None, record),
    };
    let ops = vec![Op::DeleteAdminMessages { only }];
    api.controller.store.transact(Transaction { ops, audit: vec![record.event()] }).await?;
    Ok(no_content())
}

fn document(config: &Config, row: &AdminMessageRow) -> Result<Value, ApiError> {
    Ok(json!({
        "id": row.id, "level": row.level, "category": row.category, "message": row.message,
        "source": source_name(config, row.source), "created": view::timestamp(row.created)?,
        "count": row.count, "status": row.status.as_str(),
    }))
}

fn summary(config: &Config, rows: &[AdminMessageRow]) -> Option<Result<Value, ApiError>> {
    let newest = rows.first()?;
    let sources: Vec<String> = rows.iter().map(|row| source_name(config, row.source)).collect();
    let count: u64 = rows.iter().map(|row| row.count).sum();
    let created = match view::timestamp(newest.created) {
        Ok(created) => created,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(json!({
        "level": newest.level, "category": newest.category, "message": newest.message, "source": sources.join(", "),
        "sources": sources, "created": created, "count": count,
        "metadata": { "id": newest.id, "message": newest.message, "status": newest.status.as_str() },
    })))
}

/// An appliance by the name messages show, or by its id when it is gone.
fn appliance(config: &Config, source: &str) -> Option<ApplianceId> {
    let named = config.by_name(ObjectKind::Appliance, source).map(|appliance| appliance.id);
    named.or_else(|| Uuid::try_parse(source).ok()).map(ApplianceId::new)
}
