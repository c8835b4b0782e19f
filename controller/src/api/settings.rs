//! Global settings (D 26): one object without id or name.

use std::sync::Arc;

use axum::extract::State;
use protocol::object::ObjectKind;
use serde_json::{Map, Value, json};

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        change,
        error::ApiError,
        privilege::{Action, Target},
        view,
    },
    builtin,
    store::Object,
};

/// `GET /global-settings`.
pub(crate) async fn show(State(api): State<Arc<Api>>, admin: Admin) -> Answer {
    admin.require(Action::View, Target::GlobalSetting)?;
    let object = current(&api)?;
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("global_settings_viewed").event())?;
    Ok(ok(&view::show(&api, &object).await?))
}

/// `PUT /global-settings`.
pub(crate) async fn replace(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Edit, Target::GlobalSetting)?;
    let document = call.body.object().await?;
    put(&api, &admin, document).await
}

/// `DELETE /global-settings`: back to the defaults.
pub(crate) async fn reset(State(api): State<Arc<Api>>, admin: Admin) -> Answer {
    admin.require(Action::Edit, Target::GlobalSetting)?;
    let defaults = json!({
        "claimsTokenExpiration": 1440, "entitlementTokenExpiration": 180, "administrationTokenExpiration": 720,
        "vpnCertificateExpiration": 525_600, "auditLogPersistenceMode": "Default",
    });
    let Value::Object(document) = defaults else { return Err(ApiError::NotFound("no defaults".to_owned())) };
    put(&api, &admin, document).await
}

async fn put(api: &Api, admin: &Admin, mut document: Map<String, Value>) -> Answer {
    // A document may carry any id, as the kind has none to show.
    document.remove("id");
    let existing = current(api)?;
    change::replace_with(api, admin, ObjectKind::GlobalSettings, existing.id, Some(existing), document).await?;
    Ok(no_content())
}

fn current(api: &Api) -> Result<Arc<Object>, ApiError> {
    let config = api.controller.config.current();
    let object = config.object(ObjectKind::GlobalSettings, builtin::GLOBAL_SETTINGS).cloned();
    object.ok_or_else(|| ApiError::NotFound("the collective has no settings yet".to_owned()))
}
