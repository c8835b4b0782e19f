//! The objects at the controller by name, for the kinds a bundle holds or refers to.

use std::collections::{BTreeMap, BTreeSet};

use protocol::object::ObjectKind;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::commands::ctl::{
    api::{Api, Call, CallError},
    bundle::{
        Document,
        shape::{self, Member, Shape},
    },
};

/// The objects at the controller by name.
#[derive(Debug, Default)]
pub(super) struct Directory {
    kinds: BTreeMap<ObjectKind, BTreeMap<String, Map<String, Value>>>,
}

/// What looking up references came to.
pub(super) enum Lookup {
    /// All are ids now.
    Resolved(Map<String, Value>),
    /// One is not there.
    Unknown {
        /// Where the reference stands.
        field: String,
        /// What it refers to.
        kind: ObjectKind,
        /// By which name.
        name: String,
    },
}

impl Directory {
    /// Reads the kinds that the documents hold or refer to.
    pub(super) async fn load(api: &Api, documents: &[Document]) -> Result<Self, CallError> {
        let mut directory = Self::default();
        for kind in kinds_of(documents) {
            let objects = if kind == ObjectKind::GlobalSettings {
                vec![api.call(&Call::get(format!("/{}", kind.path()))).await?]
            } else {
                api.list(&format!("/{}", kind.path())).await?
            };
            directory.kinds.entry(kind).or_default();
            for object in objects {
                let name = object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                directory.put(kind, &name, object);
            }
        }
        Ok(directory)
    }

    /// The object as the API shows it.
    pub(super) fn get(&self, kind: ObjectKind, name: &str) -> Option<&Map<String, Value>> {
        self.kinds.get(&kind)?.get(name)
    }

    /// The id of an object.
    pub(super) fn id(&self, kind: ObjectKind, name: &str) -> Option<Uuid> {
        self.get(kind, name)?.get("id")?.as_str()?.parse().ok()
    }

    /// Takes in an object as the API answered it; answers its id.
    pub(super) fn put(&mut self, kind: ObjectKind, name: &str, object: Value) -> Option<Uuid> {
        if let Value::Object(object) = object {
            self.kinds.entry(kind).or_default().insert(name.to_owned(), object);
        }
        self.id(kind, name)
    }

    /// The members with ids in place of names.
    pub(super) fn resolve(&self, document: &Document) -> Lookup {
        let mut members = document.members.clone();
        for group in shape::members(document.kind) {
            if let Err((field, kind, name)) = self.resolve_members("", group, &mut members) {
                return Lookup::Unknown { field, kind, name };
            }
        }
        Lookup::Resolved(members)
    }

    fn resolve_members(
        &self,
        path: &str,
        group: &[Member],
        members: &mut Map<String, Value>,
    ) -> Result<(), (String, ObjectKind, String)> {
        let provider = provider_kind(members);
        for member in group {
            if let Some(value) = members.get_mut(member.name) {
                let at = if path.is_empty() { member.name.to_owned() } else { format!("{path}.{}", member.name) };
                self.resolve_value(&at, member.shape, provider, value)?;
            }
        }
        Ok(())
    }

    fn resolve_value(
        &self,
        path: &str,
        shape: Shape,
        provider: ObjectKind,
        value: &mut Value,
    ) -> Result<(), (String, ObjectKind, String)> {
        let kind = match (shape, &mut *value) {
            (Shape::Object(group), Value::Object(members)) => return self.resolve_members(path, group, members),
            (Shape::List(item), Value::Array(items)) => {
                return items.iter_mut().enumerate().try_for_each(|(index, value)| {
                    self.resolve_value(&format!("{path}[{index}]"), *item, provider, value)
                });
            }
            (Shape::Reference(kind), _) => kind,
            (Shape::RemedyProvider, _) => provider,
            _ => return Ok(()),
        };
        let Some(text) = value.as_str() else { return Ok(()) };
        let id = self.id(kind, text).or_else(|| self.known_id(kind, text));
        let id = id.ok_or_else(|| (path.to_owned(), kind, text.to_owned()))?;
        *value = id.to_string().into();
        Ok(())
    }

    fn known_id(&self, kind: ObjectKind, text: &str) -> Option<Uuid> {
        let id = Uuid::try_parse(text).ok()?;
        let known = self.kinds.get(&kind)?.values().filter_map(|object| object.get("id")?.as_str());
        known.filter_map(|known| Uuid::try_parse(known).ok()).find(|known| *known == id)
    }
}

/// Which providers a remedy may name (D 13).
fn provider_kind(members: &Map<String, Value>) -> ObjectKind {
    match members.get("type").and_then(Value::as_str) {
        Some("PasswordAuthentication") => ObjectKind::IdentityProvider,
        _ => ObjectKind::MfaProvider,
    }
}

fn kinds_of(documents: &[Document]) -> BTreeSet<ObjectKind> {
    let mut kinds = BTreeSet::new();
    for document in documents {
        kinds.insert(document.kind);
        for member in shape::members(document.kind)
            .into_iter()
            .flatten()
            .filter(|member| document.members.contains_key(member.name))
        {
            add_references(member.shape, &mut kinds);
        }
    }
    kinds
}

fn add_references(shape: Shape, kinds: &mut BTreeSet<ObjectKind>) {
    match shape {
        Shape::Reference(kind) => {
            kinds.insert(kind);
        }
        Shape::RemedyProvider => kinds.extend([ObjectKind::IdentityProvider, ObjectKind::MfaProvider]),
        Shape::List(item) => add_references(*item, kinds),
        Shape::Object(members) => members.iter().for_each(|member| add_references(member.shape, kinds)),
        Shape::Any | Shape::Text | Shape::Script | Shape::Secret | Shape::Content | Shape::ReadOnly => {}
    }
}
