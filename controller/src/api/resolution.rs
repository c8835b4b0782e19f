//! Names as one gateway resolves them (D 15.3): trying one, and looking at those in use.

use std::sync::Arc;

use axum::extract::State;
use engine::id::ApplianceId;
use protocol::{
    message::{GatewayAnswer, Question, Resolution},
    object::ObjectKind,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    api::{
        Api,
        accept::PeerVersion,
        call::{Answer, Call, ok},
        caller::Admin,
        crud,
        error::ApiError,
        privilege::{Action, Target},
    },
    questions::AskError,
    store::Object,
};

/// `POST /appliances/{id}/test-resolver-name`.
pub(crate) async fn test(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Test, Target::Appliance)?;
    let id = call.id(ObjectKind::Appliance)?;
    let resource = read_resource(call.body.object().await?)?;
    let gateway = gateway(&api, &admin, id, Action::Test)?;
    // The gateway asks its name servers, whatever comes back.
    let record = admin.actor().record("resolver_name_tested").with("entity_name", gateway.name.as_str());
    let record = record.with("resource_name", resource.as_str());
    api.reads.record(&api.controller.config.current(), record.event())?;
    let answer = ask(&api, &gateway, Question::Resolve { resource }).await?;
    let GatewayAnswer::Resolved(Resolution { addresses, error }) = answer else { return Err(confused(&gateway)) };
    let mut document = Map::new();
    document.insert("ips".to_owned(), addresses.into());
    if let Some(error) = error {
        document.insert("error".to_owned(), error.into());
    }
    Ok(ok(&document.into()))
}

/// `GET /appliances/{id}/name-resolution-status`.
pub(crate) async fn status(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::Appliance)?;
    let gateway = gateway(&api, &admin, call.id(ObjectKind::Appliance)?, Action::View)?;
    let answer = ask(&api, &gateway, Question::Names).await?;
    let GatewayAnswer::Names { names, truncated } = answer else { return Err(confused(&gateway)) };
    let config = api.controller.config.current();
    let record = admin.actor().record("name_resolution_status_viewed").with("entity_name", gateway.name.as_str());
    api.reads.record(&config, record.event())?;
    let resolutions: Map<String, Value> =
        names.into_iter().map(|(name, resolution)| (name, resolution_document(resolution, call.version))).collect();
    Ok(ok(&json!({ "resolutions": resolutions, "truncated": truncated })))
}

fn read_resource(mut body: Map<String, Value>) -> Result<String, ApiError> {
    let wrong = match body.remove("resourceName") {
        None | Some(Value::Null) => "may not be null",
        Some(Value::String(text)) if text.trim().is_empty() => "may not be empty",
        Some(Value::String(text)) if text.len() > MAX_RESOURCE_BYTES => "is too long",
        Some(Value::String(text)) => return Ok(text),
        Some(_) => "must be text",
    };
    Err(ApiError::field("resourceName", wrong))
}

/// Up to peer version 20 a resolution could be partial. Ours are complete or failed.
fn resolution_document(resolution: Resolution, version: PeerVersion) -> Value {
    let Resolution { addresses, error } = resolution;
    let errors: Vec<String> = error.into_iter().collect();
    if version.at_least(21) {
        return json!({ "ips": addresses, "errors": errors });
    }
    json!({ "partial": false, "finals": addresses, "partials": [], "errors": errors })
}

/// The appliance in the path, if the caller may know of it and it is a gateway.
fn gateway(api: &Api, admin: &Admin, id: Uuid, action: Action) -> Result<Arc<Object>, ApiError> {
    let kind = ObjectKind::Appliance;
    let config = api.controller.config.current();
    let object = config.object(kind, id).filter(|object| crud::may_know(admin, action, object));
    let object = object.ok_or_else(|| ApiError::missing(kind, id))?;
    admin.require_on(action, Target::Appliance, object)?;
    if object.body.pointer("/gateway/enabled") != Some(&Value::Bool(true)) {
        return Err(ApiError::Precondition(format!("`{}` is no gateway", object.name)));
    }
    Ok(object.clone())
}

async fn ask(api: &Api, gateway: &Object, question: Question) -> Result<GatewayAnswer, ApiError> {
    let answer = api.controller.questions.ask(ApplianceId::new(gateway.id), question).await;
    answer.map_err(|error| match error {
        AskError::NotConnected => ApiError::Precondition(format!("gateway `{}` {error}", gateway.name)),
        AskError::Busy | AskError::Lost | AskError::Silent | AskError::Refused(_) | AskError::Confused => {
            ApiError::Unanswered(format!("gateway `{}` {error}", gateway.name))
        }
    })
}

fn confused(gateway: &Object) -> ApiError {
    ApiError::Unanswered(format!("gateway `{}` {}", gateway.name, AskError::Confused))
}

/// Names are shorter; some forms of resources are not.
const MAX_RESOURCE_BYTES: usize = 4096;
