//! Tests of reading documents.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::schema;

fn read(kind: ObjectKind, document: Value) -> Checked {
    let Value::Object(document) = document else { panic!("not an object") };
    check(schema::fields(kind, &document), document, &Kept::Paths(BTreeSet::new()))
}

#[track_caller]
fn check_text(rule: Text, text: &str, expected: bool) {
    assert_eq!(text_problem(rule, text).is_none(), expected, "{rule:?} {text}");
}

#[test]
fn text_rules() {
    check_text(Text::Hosts, "10.0.0.1, ci.example.com", true);
    check_text(Text::Hosts, "10.0.0.1,", false);
    check_text(Text::Hosts, r#"aws://{"tags":{"a":"b","c":"d"}}"#, true);
    check_text(Text::Hosts, r#"10.0.0.1, azure://{"lbs":"web"}"#, true);
    check_text(Text::Ports, "22,1024-2048,script://ports", true);
    check_text(Text::Ports, "99999", false);
    check_text(Text::IcmpTypes, "0-255", true);
    check_text(Text::IcmpTypes, "0-256", false);
    check_text(Text::Network, "10.0.0.0/8 # office", true);
    check_text(Text::Network, "office", false);
    check_text(Text::DnsServer, "10.0.0.53:5353", true);
    check_text(Text::DnsServer, "dns.example.com", false);
    check_text(Text::Origin, "https://api.example.com:8443", true);
    check_text(Text::Origin, "https://api.example.com/v1", false);
    check_text(Text::Certificate, "-----BEGIN CERTIFICATE-----", false);
    check_text(Text::ClaimPath, "claims.user.site", true);
    check_text(Text::ClaimPath, "claims.user.agScripted.site", true);
    check_text(Text::ClaimPath, "claims.user", false);
    check_text(Text::ClaimPath, "user.site.x", false);
}

#[test]
fn defaults_fill_nested_objects_and_absent_ones_stay_absent() {
    let checked = read(ObjectKind::Site, json!({ "vpn": { "snat": true } }));
    assert_eq!(checked.errors, []);
    assert_eq!(checked.members["vpn"]["tls"], json!({ "enabled": true, "version": "TLSv23" }));
    assert_eq!(checked.members["nameResolution"]["dnsResolvers"], json!([]));
    assert_eq!(checked.members.get("geolocation"), None);
}

#[test]
fn secrets_are_found_by_what_names_their_item() {
    let resolvers = json!([{ "name": "a", "hostname": "esx", "username": "u", "password": "p" }, { "name": "b", "hostname": "esx", "username": "u" }]);
    let checked = read(ObjectKind::Site, json!({ "nameResolution": { "esxResolvers": resolvers } }));
    assert_eq!(checked.secrets["nameResolution.esxResolvers[a].password"].as_deref(), Some("p"));
    assert_eq!(checked.errors, [FieldError::new("nameResolution.esxResolvers[1].password", "may not be null")]);
    assert!(!checked.members["nameResolution"].to_string().contains("password"));
}

proptest! {
    /// What was accepted once is accepted again, unchanged: a client can put back what it was shown.
    #[test]
    fn accepted_documents_are_stable(name in "[a-z]{1,8}", port in 1u16.., schedule in prop::sample::select(vec!["1m", "13:32", "2:10"])) {
        let condition = read(ObjectKind::Condition, json!({ "name": name, "expression": "return true;", "repeatSchedules": [schedule] }));
        let again = read(ObjectKind::Condition, Value::Object(condition.members.clone()));
        prop_assert_eq!(again.members, condition.members);
        let action = json!({ "subtype": "tcp_up", "action": "allow", "hosts": [format!("{name}.example.com")], "ports": [port.to_string()] });
        let entitlement = json!({ "site": Uuid::nil(), "conditions": [], "actions": [action] });
        let entitlement = read(ObjectKind::Entitlement, entitlement);
        prop_assert!(entitlement.errors.is_empty());
        let again = read(ObjectKind::Entitlement, Value::Object(entitlement.members.clone()));
        prop_assert_eq!(again.members, entitlement.members);
    }
}
