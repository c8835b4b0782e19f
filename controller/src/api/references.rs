//! Which objects refer to which, read from the schema.

use std::{collections::BTreeSet, sync::Arc};

use protocol::object::ObjectKind;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    api::{check, rules, schema},
    config::Config,
    store::Object,
};

/// Every object whose document refers to `target`, by id, as `script://name`, or as a device script to run.
pub(crate) fn referring_to(config: &Config, target: &Object) -> Vec<Arc<Object>> {
    let own = (target.kind, target.id);
    let script = (target.kind == ObjectKind::EntitlementScript).then(|| format!("script://{}", target.name));
    let kinds = ObjectKind::ALL.iter().filter(|kind| may_refer(**kind));
    let others = kinds.flat_map(|kind| config.all(*kind)).filter(|other| (other.kind, other.id) != own);
    others
        .filter(|other| {
            refers(other, own)
                || script.as_deref().is_some_and(|name| names(&other.body, name))
                || (target.kind == ObjectKind::DeviceScript && runs(&other.body, &target.name))
        })
        .cloned()
        .collect()
}

/// Whether an on-demand claim mapping of the document runs the device script.
fn runs(document: &Value, script: &str) -> bool {
    let mappings = document.get("onDemandClaimMappings").and_then(Value::as_array);
    let is_run = |mapping: &Value| {
        let command = mapping.get("command").and_then(Value::as_str);
        let name = mapping.pointer("/parameters/name").and_then(Value::as_str);
        command == Some("runScript") && name == Some(script)
    };
    mappings.is_some_and(|mappings| mappings.iter().any(is_run))
}

fn may_refer(kind: ObjectKind) -> bool {
    match kind {
        ObjectKind::Appliance
        | ObjectKind::Condition
        | ObjectKind::Entitlement
        | ObjectKind::IdentityProvider
        | ObjectKind::Policy
        | ObjectKind::Site => true,
        ObjectKind::AdministrativeRole
        | ObjectKind::CriteriaScript
        | ObjectKind::DeviceScript
        | ObjectKind::EntitlementScript
        | ObjectKind::GlobalSettings
        | ObjectKind::IpPool
        | ObjectKind::LocalUser
        | ObjectKind::MfaProvider
        | ObjectKind::RingfenceRule
        | ObjectKind::Secret
        | ObjectKind::TrustedCertificate
        | ObjectKind::UserScript => false,
    }
}

fn refers(object: &Object, target: (ObjectKind, Uuid)) -> bool {
    // The quick look spares reading documents that cannot refer to it.
    if !names(&object.body, &target.1.to_string()) {
        return false;
    }
    let Value::Object(document) = object.body.clone() else { return false };
    let groups = schema::fields(object.kind, &document);
    let mut checked = check::check(groups, document, &check::Kept::Everything);
    rules::apply(object.kind, &mut checked);
    let references: BTreeSet<(ObjectKind, Uuid)> =
        checked.references.into_iter().map(|(_, kind, id)| (kind, id)).collect();
    references.contains(&target)
}

fn names(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => text.split(',').any(|part| part.trim().eq_ignore_ascii_case(needle)),
        Value::Array(items) => items.iter().any(|item| names(item, needle)),
        Value::Object(members) => members.values().any(|member| names(member, needle)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
