//! Rules between the fields of a document, which the schema's tables cannot state.

use std::net::IpAddr;

use engine::object::PortRange;
use ipnet::IpNet;
use protocol::object::ObjectKind;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::api::{
    check::Checked,
    privilege::{Action, Target, is_legal, takes_scope},
};

/// Applies the rules of a kind.
pub(crate) fn apply(kind: ObjectKind, checked: &mut Checked) {
    match kind {
        ObjectKind::AdministrativeRole => each(checked, "privileges", check_privilege),
        ObjectKind::Condition => each(checked, "remedyMethods", check_remedy),
        ObjectKind::Entitlement => each(checked, "actions", check_action),
        ObjectKind::RingfenceRule => each(checked, "actions", check_ringfence_action),
        ObjectKind::IpPool => check_pool(checked),
        ObjectKind::Policy => check_policy(checked),
        ObjectKind::MfaProvider
        | ObjectKind::Site
        | ObjectKind::Appliance
        | ObjectKind::CriteriaScript
        | ObjectKind::DeviceScript
        | ObjectKind::EntitlementScript
        | ObjectKind::GlobalSettings
        | ObjectKind::IdentityProvider
        | ObjectKind::LocalUser
        | ObjectKind::Secret
        | ObjectKind::TrustedCertificate
        | ObjectKind::UserScript => {}
    }
}

/// Whether the text is an identifier that a script can use as a function's name.
pub(crate) fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    let start = |character: char| character.is_alphabetic() || matches!(character, '_' | '$');
    let first = characters.next().is_some_and(start);
    first
        && text.len() <= 128
        && characters.all(|character| start(character) || character.is_alphanumeric())
        && !RESERVED.contains(&text)
}

fn each(checked: &mut Checked, list: &str, rule: fn(&mut Checked, &str, &Map<String, Value>)) {
    let items = checked.members.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    // Positions are kept only while every item was readable; otherwise the paths would point at the wrong item.
    if checked.errors.iter().any(|error| error.field.starts_with(&format!("{list}["))) {
        return;
    }
    for (index, item) in items.iter().enumerate() {
        if let Value::Object(item) = item {
            rule(checked, &format!("{list}[{index}]"), item);
        }
    }
}

fn text<'a>(item: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    item.get(name).and_then(Value::as_str)
}

fn is_filled(item: &Map<String, Value>, name: &str) -> bool {
    match item.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => members.get("enabled") != Some(&Value::Bool(false)),
        Some(Value::Bool(true) | Value::Number(_) | Value::String(_)) => true,
    }
}

fn check_privilege(checked: &mut Checked, at: &str, privilege: &Map<String, Value>) {
    let action = text(privilege, "type").and_then(Action::parse);
    let target = text(privilege, "target").and_then(Target::parse);
    let (Some(action), Some(target)) = (action, target) else { return };
    if !is_legal(action, target) {
        checked.refuse(format!("{at}.type"), format!("{} is not possible on {}", action.as_str(), target.as_str()));
        return;
    }
    let on_everything = action == Action::All && target == Target::All;
    if takes_scope(action, target) && !privilege.contains_key("scope") && !on_everything {
        checked.refuse(format!("{at}.scope"), "may not be null");
    }
    if is_filled(privilege, "defaultTags") && !matches!(action, Action::Create | Action::All) {
        checked.refuse(format!("{at}.defaultTags"), "applies to Create only");
    }
    if is_filled(privilege, "functions") && action != Action::AssignFunction {
        checked.refuse(format!("{at}.functions"), "applies to AssignFunction only");
    }
}

fn check_remedy(checked: &mut Checked, at: &str, remedy: &Map<String, Value>) {
    let kind = text(remedy, "type").unwrap_or_default();
    if kind != "DisplayMessage" && !remedy.contains_key("claimSuffix") {
        checked.refuse(format!("{at}.claimSuffix"), "may not be null");
    }
    let provider = match kind {
        "OtpAuthentication" => ObjectKind::MfaProvider,
        "PasswordAuthentication" => ObjectKind::IdentityProvider,
        _ => return,
    };
    match text(remedy, "providerId").and_then(|id| Uuid::try_parse(id).ok()) {
        Some(id) => checked.references.push((format!("{at}.providerId"), provider, id)),
        None => checked.refuse(format!("{at}.providerId"), "may not be null"),
    }
}

fn check_action(checked: &mut Checked, at: &str, action: &Map<String, Value>) {
    if !is_filled(action, "hosts") {
        checked.refuse(format!("{at}.hosts"), "may not be empty");
    }
    let Some(subtype) = text(action, "subtype") else {
        if text(action, "action") != Some("exclude") {
            checked.refuse(format!("{at}.subtype"), "may not be null");
        }
        return;
    };
    let ports = subtype.starts_with("tcp") || subtype.starts_with("udp");
    let types = subtype.starts_with("icmp");
    let excluded = text(action, "action") == Some("exclude");
    for (name, applies) in [("ports", ports), ("types", types)] {
        match (applies, is_filled(action, name)) {
            // Nothing written would mean nothing permitted; whoever wants every port writes 0-65535.
            (true, false) if !excluded => checked.refuse(format!("{at}.{name}"), "may not be empty"),
            (false, true) => checked.refuse(format!("{at}.{name}"), format!("does not apply to {subtype}")),
            (true, _) | (false, false) => {}
        }
    }
    for (name, applies) in [("methods", subtype == "http_up"), ("monitor", matches!(subtype, "http_up" | "tcp_up"))] {
        if !applies && is_filled(action, name) {
            checked.refuse(format!("{at}.{name}"), format!("does not apply to {subtype}"));
        }
    }
}

fn check_ringfence_action(checked: &mut Checked, at: &str, action: &Map<String, Value>) {
    let icmp = text(action, "protocol").is_some_and(|protocol| protocol.starts_with("icmp"));
    for (name, applies, most) in [("ports", !icmp, u16::MAX), ("types", icmp, 255)] {
        let items = action.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for (index, item) in items.enumerate() {
            if !applies {
                checked.refuse(format!("{at}.{name}"), "does not apply to this protocol");
                break;
            }
            if PortRange::parse(item).is_none_or(|range| range.last() > most) {
                checked.refuse(format!("{at}.{name}[{index}]"), "is not a number or a range");
            }
        }
    }
}

/// What each policy type may hold (D 11). Tamper proofing is left out: clients send it whatever the type.
fn check_policy(checked: &mut Checked) {
    let Some(policy_type) = text(&checked.members, "type").map(str::to_owned) else { return };
    if !checked.members.contains_key("tamperProofing") {
        checked.members.insert("tamperProofing".to_owned(), (policy_type == "Device").into());
    }
    for (feature, types) in POLICY_FEATURES {
        if is_filled(&checked.members, feature) && !types.contains(&policy_type.as_str()) {
            checked.refuse(*feature, format!("may not be used in a policy of type {policy_type}"));
        }
    }
}

const POLICY_FEATURES: &[(&str, &[&str])] = &[
    ("entitlements", &["Access", "Dns", "Mixed"]),
    ("entitlementLinks", &["Access", "Dns", "Mixed"]),
    ("overrideSite", &["Access", "Dns", "Mixed"]),
    ("overrideSiteClaim", &["Access", "Dns", "Mixed"]),
    ("overrideNearestSite", &["Access", "Dns", "Mixed"]),
    ("applyFallbackSite", &["Access", "Dns", "Mixed"]),
    ("ringfenceRules", &["Device", "Mixed"]),
    ("ringfenceRuleLinks", &["Device", "Mixed"]),
    ("proxyAutoConfig", &["Device", "Mixed"]),
    ("trustedNetworkCheck", &["Device", "Mixed"]),
    ("clientSettings", &["Device", "Mixed"]),
    ("customClientHelpUrl", &["Device", "Mixed", "Stop"]),
    // A profile with `force` also reaches a client whose authorization was stopped.
    ("clientProfileSettings", &["Device", "Mixed", "Stop"]),
    ("blockLocalDnsRequests", &["Device", "Dns", "Mixed"]),
    ("dnsSettings", &["Dns", "Mixed"]),
    ("administrativeRoles", &["Admin", "Mixed"]),
];

fn check_pool(checked: &mut Checked) {
    let wants_v6 = checked.members.get("ipVersion6") == Some(&Value::Bool(true));
    let mut spans = Vec::new();
    for list in ["ranges", "excludedRanges"] {
        let items = checked.members.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut own: Vec<(u128, u128)> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = format!("{list}[{index}]");
            match span(item, wants_v6) {
                None => checked.refuse(at, "must hold a first and last address, or a cidr, of the pool's IP version"),
                Some((first, last)) if own.iter().any(|(low, high)| first <= *high && *low <= last) => {
                    checked.refuse(at, "overlaps another range");
                }
                Some(range) => own.push(range),
            }
        }
        spans.push(own);
    }
    let size = |ranges: &Vec<(u128, u128)>| {
        ranges.iter().map(|(first, last)| (last - first).saturating_add(1)).fold(0, u128::saturating_add)
    };
    if let [ranges, excluded] = spans.as_slice() {
        let total = size(ranges).saturating_sub(size(excluded));
        checked.members.insert("total".to_owned(), i64::try_from(total).unwrap_or(i64::MAX).into());
    }
}

fn span(item: &Value, wants_v6: bool) -> Option<(u128, u128)> {
    let address = |name: &str| item.get(name)?.as_str()?.parse::<IpAddr>().ok();
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (!wants_v6).then(|| u128::from(u32::from(address))),
        IpAddr::V6(address) => wants_v6.then(|| u128::from(address)),
    };
    if let Some(cidr) = item.get("cidr").and_then(Value::as_str) {
        let net: IpNet = cidr.parse().ok()?;
        return Some((number(net.network())?, number(net.broadcast())?));
    }
    let (first, last) = (number(address("first")?)?, number(address("last")?)?);
    (first <= last).then_some((first, last))
}

const RESERVED: &[&str] = &[
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "claims",
    "eval",
    "arguments",
    "undefined",
];
