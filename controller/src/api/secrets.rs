//! Write-only members: sealed beside the object, kept when an update leaves them out, dropped with what they belonged to.
//!
//! A local user's password is kept as its hash, a device script's file and a secret's value as they are, each under its own
//! name; all other secrets of an object lie together in one sealed document, from path to value.

use std::collections::BTreeMap;

use protocol::object::ObjectKind;
use uuid::Uuid;

use crate::{
    api::{Api, error::ApiError},
    password::PasswordError,
    script_secrets::SECRET_FIELD,
    store::{Object, Op},
};

/// Values to be stored with the object.
pub(crate) struct NewSecrets(Vec<(&'static str, Vec<u8>)>);

impl NewSecrets {
    /// The changes that store them.
    pub(crate) fn into_ops(self, kind: ObjectKind, id: Uuid) -> impl Iterator<Item = Op> {
        self.0.into_iter().map(move |(field, value)| Op::PutSecret { kind, id, field, value })
    }
}

/// The secrets an object has, by path. Of what lies under its own name only the path matters.
pub(crate) async fn load(api: &Api, object: &Object) -> Result<BTreeMap<String, String>, ApiError> {
    let store = &api.controller.store;
    let mut known = match store.secret(object.kind, object.id, TOGETHER).await? {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(ApiError::internal)?,
        None => BTreeMap::new(),
    };
    if let Some(field) = own_field(object.kind)
        && store.secret(object.kind, object.id, field).await?.is_some()
    {
        known.insert(field.to_owned(), String::new());
    }
    Ok(known)
}

/// Merges what was given over what was there.
pub(crate) async fn prepare(
    api: &Api,
    kind: ObjectKind,
    met: &BTreeMap<String, Option<String>>,
    old: BTreeMap<String, String>,
) -> Result<NewSecrets, ApiError> {
    let own = own_field(kind);
    let mut new = Vec::new();
    if let Some(field) = own
        && let Some(Some(value)) = met.get(field)
    {
        let value = if kind == ObjectKind::LocalUser { hash(api, value).await? } else { value.clone() };
        new.push((field, value.into_bytes()));
    }
    let value = |path: &String, given: &Option<String>| given.clone().or_else(|| old.get(path).cloned());
    let together: BTreeMap<&String, String> = met
        .iter()
        .filter(|(path, _)| Some(path.as_str()) != own)
        .filter_map(|(path, given)| Some((path, value(path, given)?)))
        .collect();
    let had_some = old.keys().any(|path| Some(path.as_str()) != own);
    if had_some || !together.is_empty() {
        new.push((TOGETHER, serde_json::to_vec(&together).map_err(ApiError::internal)?));
    }
    Ok(NewSecrets(new))
}

async fn hash(api: &Api, password: &str) -> Result<String, ApiError> {
    api.controller.passwords.hash(password).await.map_err(|error| match error {
        PasswordError::Busy { retry_after } => ApiError::Busy { retry_after },
        PasswordError::TooLong => ApiError::field("password", error.to_string()),
        error => ApiError::internal(error),
    })
}

fn own_field(kind: ObjectKind) -> Option<&'static str> {
    match kind {
        ObjectKind::LocalUser => Some("password"),
        ObjectKind::DeviceScript => Some("file"),
        ObjectKind::Secret => Some(SECRET_FIELD),
        _ => None,
    }
}

const TOGETHER: &str = "write-only";
