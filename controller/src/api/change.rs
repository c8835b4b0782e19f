//! Creating and replacing objects.
//!
//! A document goes through the same steps whatever its kind: fields, rules between fields, references, scripts, then one
//! transaction with its audit record. Every wrong field is named, and nothing is stored unless all of it is right.
//! One change of configuration runs at a time from the last look at references to the commit, so that what a document
//! refers to is still there when it is written.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    script::{FailureKind, lanes::is_reserved_global},
    token::TokenKind,
};
use protocol::object::{Definition, ObjectKind};
use ring::digest;
use sandbox::Script;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    api::{
        Api,
        call::{Answer, Call, ok},
        caller::Admin,
        check::{self, Checked, Kept},
        crud,
        error::ApiError,
        privilege::{Action, Subject, Target},
        revoke, rules,
        schema::{self, Access, NameRule},
        secrets::{self, NewSecrets},
        unresolved, view,
    },
    builtin,
    config::Config,
    messages,
    store::{Expect, Object, Op, Transaction},
};

/// A document that passed every check that does not depend on other changes.
struct Draft {
    name: String,
    tags: Vec<String>,
    checked: Checked,
}

/// `POST /{kind}`.
pub(crate) async fn create(api: Arc<Api>, admin: Admin, kind: ObjectKind, call: Call) -> Answer {
    admin.require(Action::Create, Target::of(kind))?;
    let mut document = call.body.object().await?;
    let config = api.controller.config.current();
    let id = document.remove("id").filter(|id| !id.is_null());
    add_default_tags(&mut document, &admin.privileges.default_tags(Target::of(kind)));
    let mut draft = read(&api, kind, &document, &Kept::Paths(Default::default()), &config).await;
    let id = match id.as_ref().map(|id| id.as_str().and_then(|text| Uuid::try_parse(text).ok())) {
        None => Uuid::new_v4(),
        Some(Some(id)) => id,
        Some(None) => {
            draft.checked.refuse("id", "must be a uuid");
            Uuid::nil()
        }
    };
    refuse_uncreatable(kind, &mut draft.checked);
    let secrets = finish(&api, kind, &mut draft, BTreeMap::new()).await?;
    refuse_foreign_tags(&admin, kind, None, &draft.tags)?;
    let _change = api.changes.lock().await;
    let object = assemble(&api, kind, id, draft, None)?;
    let ops = secrets.into_ops(kind, id).collect();
    commit(&api, &admin, object, None, ops).await
}

/// `PUT /{kind}/{id}`: replaces the whole object; write-only members that are left out keep their value.
pub(crate) async fn replace(api: Arc<Api>, admin: Admin, kind: ObjectKind, call: Call) -> Answer {
    admin.require(Action::Edit, Target::of(kind))?;
    let id = call.id(kind)?;
    let existing = editable(&api, &admin, kind, id)?;
    let document = call.body.object().await?;
    replace_with(&api, &admin, kind, id, existing, document).await
}

/// Replaces an object by a document that was read already.
pub(crate) async fn replace_with(
    api: &Api,
    admin: &Admin,
    kind: ObjectKind,
    id: Uuid,
    existing: Option<Arc<Object>>,
    mut document: Map<String, Value>,
) -> Answer {
    let config = api.controller.config.current();
    let old = match &existing {
        Some(object) => secrets::load(api, object).await?,
        None => BTreeMap::new(),
    };
    let kept = if existing.is_some() { Kept::Paths(old.keys().cloned().collect()) } else { Kept::Everything };
    let named = document.remove("id").filter(|named| !named.is_null());
    let mut draft = read(api, kind, &document, &kept, &config).await;
    if named.is_some_and(|named| named.as_str().and_then(|text| Uuid::try_parse(text).ok()) != Some(id)) {
        draft.checked.refuse("id", "must be the id in the path, or absent");
    }
    if let Some(existing) = &existing {
        refuse_unchangeable(existing, &mut draft);
    }
    let secrets = finish(api, kind, &mut draft, old).await?;
    let _change = api.changes.lock().await;
    let existing = editable(api, admin, kind, id)?.ok_or_else(|| ApiError::missing(kind, id))?;
    refuse_foreign_tags(admin, kind, Some(&existing), &draft.tags)?;
    let object = assemble(api, kind, id, draft, Some(&existing))?;
    let mut ops: Vec<Op> = secrets.into_ops(kind, id).collect();
    if kind == ObjectKind::LocalUser && is_disabled(&object) && !is_disabled(&existing) {
        let kinds = [TokenKind::AdminClaims, TokenKind::Administration];
        ops.extend(revoke::of_local_user(api, &object, &kinds, "user disabled"));
    }
    commit(api, admin, object, Some(&existing), ops).await
}

/// The object if it exists and the caller may know of it; refuses when the caller may know but not edit.
fn editable(api: &Api, admin: &Admin, kind: ObjectKind, id: Uuid) -> Result<Option<Arc<Object>>, ApiError> {
    let config = api.controller.config.current();
    let Some(object) = config.object(kind, id).filter(|object| crud::may_know(admin, Action::Edit, object)) else {
        return Ok(None);
    };
    admin.require_on(Action::Edit, Target::of(kind), object)?;
    Ok(Some(Arc::clone(object)))
}

async fn read(api: &Api, kind: ObjectKind, document: &Map<String, Value>, kept: &Kept, config: &Config) -> Draft {
    let groups = schema::fields(kind, document);
    let mut checked = check::check(groups, document.clone(), kept);
    let name = read_name(kind, document.get("name"), &mut checked);
    rules::apply(kind, &mut checked);
    check_password(kind, config, &mut checked);
    checked.check_references(config);
    admit_scripts(api, &name, &mut checked).await;
    let tags = checked.members.get("tags").and_then(Value::as_array).into_iter().flatten();
    let tags = tags.filter_map(Value::as_str).map(str::to_owned).collect();
    Draft { name, tags, checked }
}

fn read_name(kind: ObjectKind, given: Option<&Value>, checked: &mut Checked) -> String {
    let rule = schema::name_rule(kind);
    if rule == NameRule::None {
        return GLOBAL_SETTINGS_NAME.to_owned();
    }
    let problem = match given {
        None | Some(Value::Null) => "may not be null",
        Some(Value::String(name)) => match rule {
            _ if name.trim().is_empty() => "may not be empty",
            _ if name.len() > MAX_NAME_BYTES => "may not be longer than 255 bytes",
            _ if name.chars().any(char::is_control) => "may not hold control characters",
            NameRule::Identifier if !rules::is_identifier(name) => {
                "must be a name that a script can call: letters, digits, `_` and `$`"
            }
            NameRule::Identifier if kind == ObjectKind::CriteriaScript && is_reserved_global(name) => {
                "is the name of something built in, which a criteria script cannot replace"
            }
            NameRule::Secret if name.contains('%') => "may not hold `%`, because scripts write `%SECRET:NAME%`",
            NameRule::Secret if name.chars().count() > 128 => "may not be longer than 128 characters",
            NameRule::Script if !engine::object::is_script_name(name) => {
                "may hold lower-case letters, digits, `_` and `-` only"
            }
            NameRule::Free | NameRule::Identifier | NameRule::Script | NameRule::Secret | NameRule::None => {
                return name.clone();
            }
        },
        Some(_) => "must be text",
    };
    checked.refuse("name", problem);
    String::new()
}

fn check_password(kind: ObjectKind, config: &Config, checked: &mut Checked) {
    if kind != ObjectKind::LocalUser {
        return;
    }
    let provider = config.object(ObjectKind::IdentityProvider, builtin::LOCAL_PROVIDER);
    let least = provider.and_then(|provider| provider.body.get("minPasswordLength")?.as_u64()).unwrap_or(0);
    let password = checked.secrets.get("password").and_then(Option::as_ref);
    if password.is_some_and(|password| (password.chars().count() as u64) < least) {
        checked.refuse("password", format!("must be at least {least} characters long"));
    }
}

/// Parses every script in the document; what does not parse is refused with line and column.
async fn admit_scripts(api: &Api, name: &str, checked: &mut Checked) {
    for (field, kind, source) in checked.scripts.clone() {
        let script = Script { name: name.into(), kind, source: source.into() };
        let Err(failure) = api.controller.sandbox.admit(script).await else { continue };
        let message = match (failure.kind, failure.line, failure.column) {
            (FailureKind::Overloaded, _, _) => OVERLOADED.to_owned(),
            (_, Some(line), Some(column)) => format!("line {line}, column {column}: {}", failure.message),
            _ => failure.message,
        };
        checked.refuse(field, message);
    }
}

/// Ends the checks: refuses what is wrong, and makes the secrets ready to be stored.
async fn finish(
    api: &Api,
    kind: ObjectKind,
    draft: &mut Draft,
    old: BTreeMap<String, String>,
) -> Result<NewSecrets, ApiError> {
    let mut errors = std::mem::take(&mut draft.checked.errors);
    if errors.iter().any(|error| error.message == OVERLOADED) {
        return Err(ApiError::Busy { retry_after: std::time::Duration::from_secs(1) });
    }
    if !errors.is_empty() {
        errors.sort();
        errors.dedup();
        return Err(ApiError::Invalid(errors));
    }
    secrets::prepare(api, kind, &draft.checked.secrets, old).await
}

fn assemble(
    api: &Api,
    kind: ObjectKind,
    id: Uuid,
    draft: Draft,
    existing: Option<&Object>,
) -> Result<Object, ApiError> {
    let Draft { name, tags, mut checked } = draft;
    checked.check_references(&api.controller.config.current());
    if !checked.errors.is_empty() {
        return Err(ApiError::Invalid(checked.errors));
    }
    let now = view::timestamp(api.controller.now())?;
    let old = |member: &str| existing.and_then(|object| object.body.get(member)).cloned();
    let mut members = checked.members;
    for field in schema::fields(kind, &members).iter().flat_map(|fields| fields.iter()) {
        if field.access == Access::ReadOnly && !members.contains_key(field.name) {
            members.extend(old(field.name).map(|value| (field.name.to_owned(), value)));
        }
    }
    if let Some(Some(file)) = checked.secrets.get("file").filter(|_| kind == ObjectKind::DeviceScript) {
        members.insert("checksumSha256".to_owned(), checksum(file).into());
    }
    members.insert("id".to_owned(), id.to_string().into());
    members.insert("name".to_owned(), name.clone().into());
    members.insert("created".to_owned(), old("created").unwrap_or_else(|| now.clone().into()));
    members.insert("updated".to_owned(), now.into());
    let body = Value::Object(members);
    // What decisions would read as absent is not stored in the first place.
    Definition::parse(kind, &body).map_err(|error| ApiError::field("document", error.to_string()))?;
    Ok(Object { kind, id, name, tags, seq: 0, body })
}

/// Stores a new object, or one in the place of `existing`.
async fn commit(api: &Api, admin: &Admin, object: Object, existing: Option<&Object>, also: Vec<Op>) -> Answer {
    let (expect, event) = match existing {
        None => (Expect::Absent, "entity_created"),
        Some(_) => (Expect::Present, "entity_updated"),
    };
    let mut audit = vec![admin.actor().entity(event, &object)];
    let mut ops = vec![Op::PutObject { object: object.clone(), expect }];
    ops.extend(also);
    if let Some(message) = unresolved::warning(&object, existing) {
        let store = &api.controller.store;
        let (op, event) = messages::posting(&api.controller.config.current(), store.appliance(), message);
        ops.push(op);
        audit.push(event);
    }
    api.controller.store.transact(Transaction { ops, audit }).await?;
    Ok(ok(&view::show(api, &object).await?))
}

fn is_disabled(user: &Object) -> bool {
    user.body.get("disabled") == Some(&Value::Bool(true))
}

fn add_default_tags(document: &mut Map<String, Value>, tags: &[String]) {
    if tags.is_empty() {
        return;
    }
    let own = document.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
    if own.is_null() {
        *own = Value::Array(Vec::new());
    }
    let Value::Array(own) = own else { return };
    for tag in tags {
        let present = own.iter().any(|other| other.as_str().is_some_and(|other| other.eq_ignore_ascii_case(tag)));
        if !present {
            own.push(tag.clone().into());
        }
    }
}

/// Tags decide who sees and edits an object and which policies grant it, so setting them freely needs a right to the
/// whole target, or the privilege to tag.
fn refuse_foreign_tags(
    admin: &Admin,
    kind: ObjectKind,
    existing: Option<&Object>,
    tags: &[String],
) -> Result<(), ApiError> {
    let target = Target::of(kind);
    let own = match existing {
        Some(object) => object.tags.clone(),
        None => admin.privileges.default_tags(target),
    };
    let lower =
        |tags: &[String]| -> std::collections::BTreeSet<String> { tags.iter().map(|tag| tag.to_lowercase()).collect() };
    if lower(&own) == lower(tags) {
        return Ok(());
    }
    let subject = existing.map_or(Subject::Whole, Subject::from);
    let allowed = admin.privileges.allows(Action::Edit, target, Subject::Whole)
        || admin.privileges.allows(Action::Tag, target, subject);
    if allowed { Ok(()) } else { Err(ApiError::Forbidden { action: Action::Tag.as_str(), target: target.as_str() }) }
}

fn refuse_uncreatable(kind: ObjectKind, checked: &mut Checked) {
    let built_in: &[&str] = match kind {
        ObjectKind::IdentityProvider => &["LocalDatabase", "ServiceDatabase", "Connector"],
        ObjectKind::MfaProvider => &["DefaultTimeBased", "Fido2"],
        _ => return,
    };
    let given = checked.members.get("type").and_then(Value::as_str);
    if given.is_some_and(|given| built_in.contains(&given)) {
        checked.refuse("type", "is built in; there can be only one");
    }
}

/// Names of providers and local users are part of every distinguished name; the type of a provider is what it is.
fn refuse_unchangeable(existing: &Object, draft: &mut Draft) {
    let named = match existing.kind {
        ObjectKind::IdentityProvider | ObjectKind::LocalUser => true,
        ObjectKind::MfaProvider => false,
        _ => return,
    };
    if named && draft.name != existing.name && !draft.name.is_empty() {
        draft.checked.refuse("name", "cannot be changed, because it is part of distinguished names");
    }
    let new = draft.checked.members.get("type").cloned();
    if new.is_some_and(|new| existing.body.get("type").is_some_and(|old| *old != new)) {
        draft.checked.refuse("type", "cannot be changed");
    }
}

fn checksum(file: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bytes = STANDARD.decode(file).unwrap_or_default();
    digest::digest(&digest::SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one object of global settings needs a name in the store; the API never shows it.
const GLOBAL_SETTINGS_NAME: &str = "Global Settings";
const MAX_NAME_BYTES: usize = 255;
const OVERLOADED: &str = "the script could not be checked now";
