//! `ctl get` and `ctl delete`: objects by kind and name.

mod document;

use anyhow::{Context as _, bail};
use protocol::object::ObjectKind;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Api, Call, segment};
use crate::output::{Output, print_json, print_table, say};

/// Arguments of `ctl get`.
#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// Kind of object, such as `policies`, `entitlements`, `conditions`, `sites`, `local-users`, `appliances`.
    #[arg(value_parser = kind)]
    kind: ObjectKind,
    /// Name or id of one object; without it all are listed.
    object: Option<String>,
}

/// Arguments of `ctl delete`.
#[derive(Debug, clap::Args)]
pub(super) struct DeleteArgs {
    /// Kind of object.
    #[arg(value_parser = kind)]
    kind: ObjectKind,
    /// Name or id.
    object: String,
}

/// Shows objects.
pub(super) async fn get(api: &Api, args: &GetArgs, output: Output) -> anyhow::Result<()> {
    let path = format!("/{}", args.kind.path());
    if args.kind == ObjectKind::GlobalSettings {
        let settings = api.call(&Call::get(path)).await?;
        show(&settings, output);
        return Ok(());
    }
    if let Some(object) = &args.object {
        show(&find(api, args.kind, object).await?, output);
        return Ok(());
    }
    let objects = api.list(&path).await?;
    match output {
        Output::Table => table(args.kind, &objects),
        Output::Json => print_json(&Value::Array(objects)),
    }
    Ok(())
}

/// Deletes an object.
pub(super) async fn delete(api: &Api, args: &DeleteArgs, output: Output) -> anyhow::Result<()> {
    if args.kind == ObjectKind::GlobalSettings {
        bail!(
            "global settings cannot be deleted; `portcullis ctl api DELETE /global-settings` brings the defaults back"
        );
    }
    let object = find(api, args.kind, &args.object).await?;
    let id = text(&object, "id");
    api.call(&Call::new(Method::DELETE, format!("/{}/{}", args.kind.path(), segment(&id)))).await?;
    match output {
        Output::Table => say!("deleted    {} `{}`", args.kind, text(&object, "name")),
        Output::Json => print_json(
            &json!({ "kind": args.kind.title(), "id": id, "name": text(&object, "name"), "result": "deleted" }),
        ),
    }
    Ok(())
}

/// The object with the name or id.
pub(super) async fn find(api: &Api, kind: ObjectKind, name_or_id: &str) -> anyhow::Result<Value> {
    let objects = api.list(&format!("/{}", kind.path())).await?;
    let id = Uuid::try_parse(name_or_id).ok();
    let has_id = |object: &&Value| id.is_some() && Uuid::try_parse(&text(object, "id")).ok() == id;
    let named = |object: &&Value| text(object, "name") == name_or_id;
    let found = objects.iter().find(named).or_else(|| objects.iter().find(has_id));
    found.cloned().with_context(|| {
        format!("there is no {kind} `{name_or_id}`; `portcullis ctl get {}` lists what there is", kind.path())
    })
}

/// The id of the object with the name or id.
pub(super) async fn find_id(api: &Api, kind: ObjectKind, name_or_id: &str) -> anyhow::Result<Uuid> {
    let object = find(api, kind, name_or_id).await?;
    text(&object, "id").parse().context("the controller's answer holds no id")
}

/// A member's text; empty when there is none.
pub(super) fn text(object: &Value, name: &str) -> String {
    match object.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

/// Reads a kind as people write it: `Policy`, `policies`, `local-users`, `LocalUser`.
pub(super) fn parse_kind(name: &str) -> Option<ObjectKind> {
    let wanted = plain(name);
    let is_meant = |kind: &&ObjectKind| {
        let path = plain(kind.path());
        let singular = path
            .strip_suffix("ies")
            .map(|stem| format!("{stem}y"))
            .or_else(|| path.strip_suffix('s').map(str::to_owned));
        wanted == path || wanted == plain(kind.title()) || Some(&wanted) == singular.as_ref()
    };
    ObjectKind::ALL.iter().find(is_meant).copied()
}

fn plain(name: &str) -> String {
    name.chars().filter(|character| !matches!(character, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

fn kind(name: &str) -> Result<ObjectKind, String> {
    let known = || ObjectKind::ALL.iter().map(|kind| kind.path()).collect::<Vec<_>>().join(", ");
    parse_kind(name).ok_or_else(|| format!("no kind of object; known are {}", known()))
}

fn show(object: &Value, output: Output) {
    match output {
        Output::Table => say!("{}", document::render(object).trim_end()),
        Output::Json => print_json(object),
    }
}

fn table(kind: ObjectKind, objects: &[Value]) {
    let columns: &[&str] = match kind {
        ObjectKind::Policy => &["type", "disabled"],
        ObjectKind::Entitlement => &["siteName", "disabled"],
        ObjectKind::LocalUser => &["firstName", "lastName", "disabled"],
        ObjectKind::Appliance => &["hostname", "siteName", "activated"],
        ObjectKind::IdentityProvider | ObjectKind::MfaProvider | ObjectKind::EntitlementScript => &["type"],
        ObjectKind::DeviceScript => &["filename"],
        ObjectKind::AdministrativeRole
        | ObjectKind::Condition
        | ObjectKind::CriteriaScript
        | ObjectKind::GlobalSettings
        | ObjectKind::IpPool
        | ObjectKind::RingfenceRule
        | ObjectKind::Secret
        | ObjectKind::Site
        | ObjectKind::TrustedCertificate
        | ObjectKind::UserScript => &[],
    };
    let names: Vec<&str> = ["name"].iter().chain(columns).chain(&["tags", "updated", "id"]).copied().collect();
    print_table(&names, objects.iter().map(|object| names.iter().map(|name| text(object, name)).collect()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_as_people_write_them() {
        for (name, kind) in [
            ("Policy", ObjectKind::Policy),
            ("policies", ObjectKind::Policy),
            ("policy", ObjectKind::Policy),
            ("LocalUser", ObjectKind::LocalUser),
            ("local-users", ObjectKind::LocalUser),
            ("local_user", ObjectKind::LocalUser),
            ("DeviceScript", ObjectKind::DeviceScript),
            ("DeviceClaimScript", ObjectKind::DeviceScript),
            ("GlobalSettings", ObjectKind::GlobalSettings),
            ("sites", ObjectKind::Site),
        ] {
            assert_eq!(parse_kind(name), Some(kind), "{name}");
        }
        assert_eq!(parse_kind("polices"), None);
    }
}
