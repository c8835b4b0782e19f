//! Objects as the API shows them: the stored document and what is only known now.

use engine::{dn::UserName, id::ApplianceId};
use protocol::object::ObjectKind;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    api::{Api, accept::MAX_PEER_VERSION, certificates, error::ApiError},
    builtin,
    config::Config,
    store::{Enrolment, Object, audit},
};

/// The document of an object, with its read-only members.
pub(crate) async fn show(api: &Api, object: &Object) -> Result<Value, ApiError> {
    let mut document = object.body.clone();
    let Value::Object(members) = &mut document else { return Ok(document) };
    let config = api.controller.config.current();
    match object.kind {
        ObjectKind::Entitlement => show_site_name(&config, members),
        ObjectKind::Appliance => {
            show_site_name(&config, members);
            show_activation(api, object, members).await?;
        }
        ObjectKind::LocalUser => show_lockout(api, &config, object, members).await?,
        ObjectKind::GlobalSettings => show_settings(api, members),
        ObjectKind::TrustedCertificate => certificates::show(members)?,
        ObjectKind::AdministrativeRole
        | ObjectKind::Condition
        | ObjectKind::CriteriaScript
        | ObjectKind::DeviceScript
        | ObjectKind::EntitlementScript
        | ObjectKind::IdentityProvider
        | ObjectKind::IpPool
        | ObjectKind::MfaProvider
        | ObjectKind::Policy
        | ObjectKind::RingfenceRule
        | ObjectKind::Secret
        | ObjectKind::Site
        | ObjectKind::UserScript => {}
    }
    Ok(document)
}

/// A time as documents carry it (D 27).
pub(crate) fn timestamp(time: OffsetDateTime) -> Result<String, ApiError> {
    audit::timestamp(time).map_err(ApiError::internal)
}

/// The name of a Site, for convenience beside its id.
pub(crate) fn site_name(config: &Config, id: Uuid) -> Option<String> {
    config.object(ObjectKind::Site, id).map(|site| site.name.clone())
}

fn show_site_name(config: &Config, members: &mut Map<String, Value>) {
    let id = members.get("site").and_then(Value::as_str).and_then(|id| Uuid::try_parse(id).ok());
    if let Some(name) = id.and_then(|id| site_name(config, id)) {
        members.insert("siteName".to_owned(), name.into());
    }
}

async fn show_activation(api: &Api, object: &Object, members: &mut Map<String, Value>) -> Result<(), ApiError> {
    let own = api.controller.store.appliance().uuid() == object.id;
    let activated = own || is_enrolled(api, object.id).await?;
    members.insert("activated".to_owned(), activated.into());
    members.insert("version".to_owned(), MAX_PEER_VERSION.into());
    Ok(())
}

/// Whether the appliance holds a certificate of the collective.
pub(crate) async fn is_enrolled(api: &Api, id: Uuid) -> Result<bool, ApiError> {
    let enrolment = api.controller.store.enrolment(ApplianceId::new(id)).await?;
    Ok(matches!(enrolment, Some(Enrolment::Enrolled { .. })))
}

async fn show_lockout(
    api: &Api,
    config: &Config,
    object: &Object,
    members: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let Some(provider) = config.object(ObjectKind::IdentityProvider, builtin::LOCAL_PROVIDER) else { return Ok(()) };
    let (failures, locked_at) = api.controller.store.lockout(&UserName::new(&object.name, &provider.name)).await?;
    members.insert("failedLoginAttempts".to_owned(), failures.into());
    if let Some(locked_at) = locked_at {
        members.insert("lockStart".to_owned(), timestamp(locked_at)?.into());
    }
    Ok(())
}

fn show_settings(api: &Api, members: &mut Map<String, Value>) {
    for name in ["id", "name", "notes", "tags", "created", "updated"] {
        members.remove(name);
    }
    members.insert("collectiveId".to_owned(), api.controller.store.collective().to_string().into());
}
