//! Reading and deleting objects of any kind. Creating and replacing stands in [`super::change`].

use std::sync::Arc;

use engine::{dn::UserName, token::TokenKind};
use protocol::object::ObjectKind;
use serde_json::Value;

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        references, revoke, view,
    },
    builtin,
    config::Config,
    store::{Object, Op, Transaction},
};

/// `GET /{kind}`: the objects the caller may see.
pub(crate) async fn list(api: Arc<Api>, admin: Admin, kind: ObjectKind, call: Call) -> Answer {
    admin.require(Action::View, Target::of(kind))?;
    let request = ListRequest::parse(&call.query, "name")?;
    let config = api.controller.config.current();
    let page = request.page(readable(&config, &admin, kind));
    let mut data = Vec::with_capacity(page.items.len());
    for object in &page.items {
        data.push(view::show(&api, object).await?);
    }
    api.reads.record(&config, admin.actor().listed(kind))?;
    Ok(ok(&request.answer(call.version, &page, data)))
}

/// `GET /{kind}/{id}`.
pub(crate) async fn view_one(api: Arc<Api>, admin: Admin, kind: ObjectKind, call: Call) -> Answer {
    admin.require(Action::View, Target::of(kind))?;
    let id = call.id(kind)?;
    let config = api.controller.config.current();
    let object = config
        .object(kind, id)
        .filter(|object| admin.may(Action::View, object))
        .ok_or_else(|| ApiError::missing(kind, id))?;
    let document = view::show(&api, object).await?;
    api.reads.record(&config, admin.actor().entity("entity_viewed", object))?;
    Ok(ok(&document))
}

/// `DELETE /{kind}/{id}`. What others refer to stays.
pub(crate) async fn delete(api: Arc<Api>, admin: Admin, kind: ObjectKind, call: Call) -> Answer {
    admin.require(Action::Delete, Target::of(kind))?;
    let id = call.id(kind)?;
    let _change = api.changes.lock().await;
    let config = api.controller.config.current();
    let object = config.object(kind, id).filter(|object| may_know(&admin, Action::Delete, object));
    let object = object.ok_or_else(|| ApiError::missing(kind, id))?;
    admin.require_on(Action::Delete, Target::of(kind), object)?;
    refuse_needed(&api, &config, &admin, object)?;
    let mut ops = vec![Op::DeleteObject { kind, id }];
    if kind == ObjectKind::LocalUser {
        ops.extend(revoke::of_local_user(&api, object, &TokenKind::ALL, "user deleted"));
        ops.extend(forget_codes(&config, object));
    }
    let transaction = Transaction { ops, audit: vec![admin.actor().entity("entity_deleted", object)] };
    api.controller.store.transact(transaction).await?;
    Ok(no_content())
}

/// Whoever gets the name next must not be let in by the codes of whoever had it before.
fn forget_codes(config: &Config, user: &Object) -> Option<Op> {
    let provider = config.object(ObjectKind::IdentityProvider, builtin::LOCAL_PROVIDER)?;
    Some(Op::DeleteOtpSeed { user: UserName::new(&user.name, &provider.name) })
}

/// The objects of a kind the caller may see.
pub(crate) fn readable(config: &Config, admin: &Admin, kind: ObjectKind) -> Vec<Arc<Object>> {
    config.all(kind).filter(|object| admin.may(Action::View, object)).cloned().collect()
}

/// Whether the caller may learn that the object exists, when about to do `action` on it.
pub(crate) fn may_know(admin: &Admin, action: Action, object: &Object) -> bool {
    admin.may(Action::View, object) || admin.may(action, object)
}

fn refuse_needed(api: &Api, config: &Config, admin: &Admin, object: &Object) -> Result<(), ApiError> {
    let own = object.kind == ObjectKind::Appliance && object.id == api.controller.store.appliance().uuid();
    if own || INDISPENSABLE.contains(&(object.kind, object.id)) {
        return Err(ApiError::Conflict(format!(
            "{} `{}` is needed by the system and cannot be deleted",
            object.kind, object.name
        )));
    }
    let referring = references::referring_to(config, object);
    if referring.is_empty() {
        return Ok(());
    }
    let (visible, hidden): (Vec<_>, Vec<_>) = referring.into_iter().partition(|other| admin.may(Action::View, other));
    let mut names: Vec<String> =
        visible.iter().take(MAX_NAMED).map(|other| format!("{} `{}`", other.kind, other.name)).collect();
    let unnamed = visible.len().saturating_sub(MAX_NAMED) + hidden.len();
    if unnamed > 0 {
        names.push(format!("{unnamed} more"));
    }
    Err(ApiError::Conflict(format!("{} `{}` is still used by {}", object.kind, object.name, names.join(", "))))
}

/// `GET /device-scripts/download/{id}`.
pub(crate) async fn download_device_script(api: Arc<Api>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::DeviceClaimScript)?;
    let kind = ObjectKind::DeviceScript;
    let id = call.id(kind)?;
    let config = api.controller.config.current();
    let object = config
        .object(kind, id)
        .filter(|object| admin.may(Action::View, object))
        .ok_or_else(|| ApiError::missing(kind, id))?;
    let file = api.controller.store.secret(kind, id, "file").await?.unwrap_or_default();
    let file = String::from_utf8(file).map_err(ApiError::internal)?;
    api.reads.record(&config, admin.actor().entity("entity_viewed", object))?;
    let filename = object.body.get("filename").cloned().unwrap_or(Value::Null);
    Ok(ok(&serde_json::json!({ "name": object.name, "filename": filename, "file": file })))
}

/// Without these nobody could sign in, or what the API promises to exist would be gone.
const INDISPENSABLE: &[(ObjectKind, uuid::Uuid)] = &[
    (ObjectKind::IdentityProvider, builtin::LOCAL_PROVIDER),
    (ObjectKind::IdentityProvider, builtin::SERVICE_PROVIDER),
    (ObjectKind::IdentityProvider, builtin::CONNECTOR_PROVIDER),
    (ObjectKind::LocalUser, builtin::ADMIN_USER),
    (ObjectKind::Policy, builtin::ADMIN_POLICY),
    (ObjectKind::AdministrativeRole, builtin::SYSTEM_ROLE),
    (ObjectKind::Condition, builtin::ALWAYS_CONDITION),
    (ObjectKind::CriteriaScript, builtin::EVERYONE_SCRIPT),
    (ObjectKind::Site, builtin::DEFAULT_SITE),
    (ObjectKind::MfaProvider, builtin::TOTP_PROVIDER),
    (ObjectKind::MfaProvider, builtin::FIDO2_PROVIDER),
];

/// How many referring objects an answer names.
const MAX_NAMED: usize = 5;
