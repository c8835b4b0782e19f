//! Whether an object already is what a bundle describes, so that applying it again changes nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use super::shape::{Default, Member, Shape};

/// Whether replacing `existing` by `wanted` would change nothing that can be seen. Secrets cannot be seen.
pub(in crate::commands::ctl) fn is_same(
    groups: &[&'static [Member]],
    wanted: &Map<String, Value>,
    existing: &Map<String, Value>,
) -> bool {
    let members = || groups.iter().copied().flatten();
    let listed = members().all(|member| match member.shape {
        Shape::ReadOnly | Shape::Secret => true,
        // The id is the controller's to choose when the bundle is silent.
        _ if member.name == "id" => wanted.get("id").is_none_or(|id| existing.get("id") == Some(id)),
        Shape::Content => wanted.get(member.name).is_none_or(|content| has_checksum(content, existing)),
        _ => same_member(member, wanted.get(member.name), existing.get(member.name)),
    });
    // What this table does not know must be empty, or nobody could tell whether it is wanted.
    let unlisted = existing
        .iter()
        .filter(|(name, _)| members().all(|member| member.name != name.as_str()))
        .all(|(_, value)| is_empty(value));
    listed && unlisted
}

fn same_member(member: &Member, wanted: Option<&Value>, existing: Option<&Value>) -> bool {
    match (wanted.filter(|value| !value.is_null()), existing.filter(|value| !value.is_null())) {
        (None, None) => true,
        (None, Some(existing)) => is_default(member, existing),
        (Some(wanted), None) => is_default(member, wanted),
        (Some(wanted), Some(existing)) => same(member.shape, wanted, existing),
    }
}

fn same(shape: Shape, wanted: &Value, existing: &Value) -> bool {
    match (shape, wanted, existing) {
        (Shape::Object(members), Value::Object(wanted), Value::Object(existing)) => {
            is_same(&[members], wanted, existing)
        }
        (Shape::List(item), Value::Array(wanted), Value::Array(existing)) => {
            wanted.len() == existing.len()
                && wanted.iter().zip(existing).all(|(wanted, existing)| same(*item, wanted, existing))
        }
        (Shape::Any, Value::Object(wanted), Value::Object(existing)) => {
            let empty = |name: &String, in_other: &Map<String, Value>, value: &Value| {
                in_other.contains_key(name) || is_empty(value)
            };
            wanted.iter().all(|(name, value)| match existing.get(name) {
                Some(existing) => same(Shape::Any, value, existing),
                None => is_empty(value),
            }) && existing.iter().all(|(name, value)| empty(name, wanted, value))
        }
        (Shape::Any, Value::Array(wanted), Value::Array(existing)) => {
            wanted.len() == existing.len()
                && wanted.iter().zip(existing).all(|(wanted, existing)| same(Shape::Any, wanted, existing))
        }
        (_, wanted, existing) => wanted == existing,
    }
}

fn is_default(member: &Member, value: &Value) -> bool {
    match (member.default, member.shape, value) {
        (Default::Empty, Shape::Object(members), Value::Object(value)) => is_same(&[members], &Map::new(), value),
        (Default::Empty, _, value) => is_empty(value),
        (Default::True, _, value) => *value == Value::Bool(true),
        (Default::Number(number), _, value) => value.as_i64() == Some(number),
        (Default::Text(text), _, value) => value.as_str() == Some(text),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

fn has_checksum(content: &Value, existing: &Map<String, Value>) -> bool {
    let content = content.as_str().and_then(|text| STANDARD.decode(text).ok());
    let checksum = existing.get("checksumSha256").and_then(Value::as_str);
    let (Some(content), Some(checksum)) = (content, checksum) else { return false };
    let digest: String = digest(&SHA256, &content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digest.eq_ignore_ascii_case(checksum)
}
