//! Appliances beyond their documents: seeds and status (D 25).

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use engine::id::ApplianceId;
use protocol::object::ObjectKind;
use serde_json::{Value, json};

use crate::{
    api::{
        Api,
        call::{Answer, Call, ok},
        caller::Admin,
        crud,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        view,
    },
    enrol::{self, ExportError},
    gateways::ConnectedGateway,
    store::Object,
};

/// `POST /appliances/{id}/export`: the seed an inactive appliance enrols with.
pub(crate) async fn export(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Export, Target::Appliance)?;
    let kind = ObjectKind::Appliance;
    let id = call.id(kind)?;
    let config = api.controller.config.current();
    let object = config.object(kind, id).filter(|object| crud::may_know(&admin, Action::Export, object)).cloned();
    if let Some(object) = &object {
        admin.require_on(Action::Export, Target::Appliance, object)?;
    }
    // How long a seed is valid is the controller's setting; the answer says until when.
    call.body.object_or_empty().await?;
    let object = object.ok_or_else(|| ApiError::missing(kind, id))?;
    let audit = admin.actor().entity("appliance_seed_exported", &object);
    let seed = enrol::export_seed(&api.controller, ApplianceId::new(id), audit).await.map_err(|error| match error {
        ExportError::Missing(_) => ApiError::missing(kind, id),
        ExportError::NoGateway | ExportError::Enrolled => ApiError::Precondition(error.to_string()),
        ExportError::Store(error) => error.into(),
        error => ApiError::internal(error),
    })?;
    let mut document = serde_json::to_value(&seed).map_err(ApiError::internal)?;
    if let Value::Object(members) = &mut document {
        members.insert("seed".to_owned(), seed.to_line().map_err(ApiError::internal)?.into());
    }
    Ok(ok(&document))
}

/// `GET /appliances/status`.
pub(crate) async fn status(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::Appliance)?;
    let request = ListRequest::parse(&call.query, "name")?;
    let config = api.controller.config.current();
    let connected = api.controller.gateways.connected();
    let connected: BTreeMap<_, _> = connected.iter().map(|gateway| (gateway.appliance.uuid(), gateway)).collect();
    let mut sessions: BTreeMap<_, usize> = BTreeMap::new();
    for session in api.controller.gateways.sessions() {
        *sessions.entry(session.appliance.uuid()).or_default() += 1;
    }
    let mut data = Vec::new();
    for object in crud::readable(&config, &admin, ObjectKind::Appliance) {
        let count = sessions.get(&object.id).copied().unwrap_or_default();
        data.push(status_document(&api, &object, connected.get(&object.id).copied(), count).await?);
    }
    let page = request.page(data);
    api.reads.record(&config, admin.actor().listed(ObjectKind::Appliance))?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

async fn status_document(
    api: &Api,
    object: &Object,
    gateway: Option<&ConnectedGateway>,
    sessions: usize,
) -> Result<Value, ApiError> {
    let mut document = view::show(api, object).await?;
    let own = api.controller.store.appliance().uuid() == object.id;
    let activated = document.get("activated") == Some(&Value::Bool(true));
    let (status, state) = match (own, gateway, activated) {
        (true, _, _) => ("healthy", "controller_ready"),
        (false, Some(_), _) => ("healthy", "appliance_ready"),
        (false, None, true) => ("offline", "appliance_offline"),
        (false, None, false) => ("n/a", "appliance_inactive"),
    };
    let functions: Vec<&str> = [("controller", "Controller"), ("gateway", "Gateway")]
        .into_iter()
        .filter(|(member, _)| object.body.pointer(&format!("/{member}/enabled")) == Some(&Value::Bool(true)))
        .map(|(_, function)| function)
        .collect();
    let members = json!({
        "status": status,
        "state": state,
        "functions": functions,
        "numberOfSessions": sessions,
        "applianceVersion": env!("CARGO_PKG_VERSION"),
        "details": gateway.map(connection_document).transpose()?,
    });
    if let (Value::Object(document), Value::Object(members)) = (&mut document, members) {
        document.extend(members);
    }
    Ok(document)
}

fn connection_document(gateway: &ConnectedGateway) -> Result<Value, ApiError> {
    Ok(json!({
        "address": gateway.address.to_string(),
        "connectedSince": view::timestamp(gateway.since)?,
        "lastHeard": view::timestamp(gateway.last_heard)?,
        "position": gateway.position,
        "lag": gateway.lag,
    }))
}
