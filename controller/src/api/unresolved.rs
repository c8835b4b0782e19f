//! Warning of what is stored and not resolved (D 12.1, D 15.2): hosts of clouds and domains, and the Site's resolvers for them.
//!
//! Such a host yields no rule on any gateway. Whoever saves it sees a message beside the other admin messages, and again
//! only when it is something else than before.

use std::collections::BTreeSet;

use engine::object::HostSpec;
use protocol::{
    message::{AdminMessage, MessageCategory, MessageLevel},
    object::{ObjectKind, host_entries},
};
use serde_json::Value;

use crate::store::Object;

/// The warning an object earns, unless it earned the same before.
pub(crate) fn warning(object: &Object, before: Option<&Object>) -> Option<AdminMessage> {
    let text = text(object)?;
    let known = before.is_some_and(|before| self::text(before).as_ref() == Some(&text));
    (!known).then_some(AdminMessage {
        level: MessageLevel::Warning,
        category: MessageCategory::Configuration,
        message: text,
    })
}

fn text(object: &Object) -> Option<String> {
    let name: String = object.name.chars().take(MAX_CHARS).collect();
    if object.kind == ObjectKind::Entitlement {
        let found = named(&hosts(&object.body))?;
        return Some(format!(
            "Entitlement \"{name}\" names hosts that this version does not resolve: {found}. \
             They permit nothing, and where they are to be blocked everything on the same ports is"
        ));
    }
    if object.kind == ObjectKind::Site {
        let found = named(&resolvers(&object.body))?;
        return Some(format!("Site \"{name}\" has settings for names that this version does not resolve: {found}"));
    }
    None
}

fn hosts(body: &Value) -> BTreeSet<&str> {
    let actions = body.get("actions").and_then(Value::as_array).into_iter().flatten();
    // What is excluded is a route of the client and no rule.
    let actions = actions.filter(|action| action.get("action").and_then(Value::as_str) != Some("exclude"));
    let hosts = actions.filter_map(|action| action.get("hosts")?.as_array()).flatten().filter_map(Value::as_str);
    let entries = hosts.flat_map(host_entries);
    entries.filter(|entry| matches!(HostSpec::parse(entry), Some(HostSpec::Unresolved(_)))).collect()
}

fn resolvers(body: &Value) -> BTreeSet<&'static str> {
    let filled = |member: &&str| match body.pointer(&format!("/nameResolution/{member}")) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(_)) => true,
        _ => false,
    };
    RESOLVERS.into_iter().filter(filled).collect()
}

/// Some of them by name; nothing when there are none.
fn named(found: &BTreeSet<&str>) -> Option<String> {
    let shown = found.iter().take(MAX_NAMED).map(|text| text.chars().take(MAX_CHARS).collect::<String>());
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if let Some(more) = found.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    (!found.is_empty()).then_some(text)
}

/// Members of a Site's `nameResolution` that no gateway acts on.
const RESOLVERS: [&str; 6] =
    ["awsResolvers", "azureResolvers", "gcpResolvers", "esxResolvers", "illumioResolvers", "dnsForwarding"];

const MAX_NAMED: usize = 5;
const MAX_CHARS: usize = 100;
