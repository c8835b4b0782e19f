use serde_json::{Value, json};

use super::*;

fn read_bundle(text: &str) -> Result<Vec<Document>, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bundle.yaml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(dir.path().join("script.js"), "return true;\n").unwrap();
    read(&[file]).map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[track_caller]
fn check(text: &str, expected: &[(ObjectKind, &str, Value)]) {
    let found = read_bundle(text).unwrap();
    let found: Vec<_> =
        found.into_iter().map(|document| (document.kind, document.name, Value::Object(document.members))).collect();
    let expected: Vec<_> =
        expected.iter().map(|(kind, name, members)| (*kind, (*name).to_owned(), members.clone())).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = read_bundle(text).err().unwrap_or_default();
    assert!(error.contains(expected), "{error}\nlacks\n{expected}");
}

#[test]
fn documents_and_lists_of_documents() {
    check(
        "kind: Condition\nname: a\nexpression: return 1;\n---\n- {kind: Site, name: b}\n- {kind: sites, name: c}\n---\n",
        &[
            (ObjectKind::Condition, "a", json!({"name": "a", "expression": "return 1;"})),
            (ObjectKind::Site, "b", json!({"name": "b"})),
            (ObjectKind::Site, "c", json!({"name": "c"})),
        ],
    );
}

#[test]
fn numbers_are_text_where_the_api_wants_text() {
    check(
        "{kind: Entitlement, name: e, actions: [{subtype: tcp_up, ports: [22, 80-90], hosts: [10.0.0.1]}]}",
        &[(
            ObjectKind::Entitlement,
            "e",
            json!({"name": "e", "actions": [{"subtype": "tcp_up", "ports": ["22", "80-90"], "hosts": ["10.0.0.1"]}]}),
        )],
    );
}

#[test]
fn scripts_and_secrets_come_from_files() {
    check(
        "{kind: Condition, name: a, expressionFile: script.js}",
        &[(ObjectKind::Condition, "a", json!({"name": "a", "expression": "return true;\n"}))],
    );
    check(
        "{kind: DeviceScript, name: a, filename: x.sh, contentFile: script.js}",
        &[(ObjectKind::DeviceScript, "a", json!({"name": "a", "filename": "x.sh", "file": "cmV0dXJuIHRydWU7Cg=="}))],
    );
    // A password is read when it is needed, so the file need not exist.
    let users = read_bundle("{kind: LocalUser, name: ana, passwordFile: missing}").unwrap();
    assert!(users[0].secret_files["password"].ends_with("missing"));
    refused("kind: Condition\nname: a\nexpressionFile: missing.js", "bundle.yaml:3: could not read");
}

#[test]
fn what_get_shows_can_be_applied() {
    check(
        "{kind: Entitlement, name: e, siteName: x, created: y, updated: z}",
        &[(ObjectKind::Entitlement, "e", json!({"name": "e"}))],
    );
}

#[test]
fn problems_are_told_with_file_and_line() {
    refused("kind: Policy\nname: p\nexpresion: return true;", "bundle.yaml:3: unknown key `expresion` in Policy");
    refused("kind: Policy\nname: p\npasswordFile: x", "bundle.yaml:3: unknown key `passwordFile` in Policy");
    refused(
        "kind: Entitlement\nname: e\nactions:\n  - subtyp: tcp_up",
        "bundle.yaml:4: unknown key `subtyp` in `actions[0]`",
    );
    refused(
        "kind: Entitlement\nname: e\nactions:\n  - hosts: 10.0.0.1",
        "bundle.yaml:4: `actions[0].hosts` must be a list, not text",
    );
    refused("kind: Polcy\nname: p", "bundle.yaml:1: \"Polcy\" is no kind of object");
    refused("name: p", "bundle.yaml:1: this object has no `kind`");
    refused("- kind: Policy\n- just text", "bundle.yaml:1: this Policy has no `name`");
    refused("- kind: Policy\n- just text", "bundle.yaml:2: expected an object with its `kind`, found text");
    refused("kind: Site\nname: s\n---\nkind: Site\nname: s", "bundle.yaml:4: Site `s` stands at");
    refused("kind: Site\nname: s\nname: t", "bundle.yaml:3: ");
    refused("kind: [", "bundle.yaml:1: ");
}

#[test]
fn every_problem_is_told_at_once() {
    let error = read_bundle("- {kind: Policy, name: p, a: 1}\n- {kind: Policy, name: q, b: 1}").unwrap_err();
    assert_eq!(error.lines().count(), 2, "{error}");
}

#[test]
fn fields_the_controller_refuses_are_found_in_the_file() {
    let text = "kind: Entitlement\nname: e\nactions:\n  - action: allow\n    hosts:\n      - a\n      - b b\n";
    let documents = read_bundle(text).unwrap();
    let line = |field: &str| documents[0].place_of(field).line;
    assert_eq!(line("actions[0].hosts[1]"), 7);
    assert_eq!(line("actions[0].ports"), 4);
    assert_eq!(line("site"), 1);
}

#[track_caller]
fn same(kind: ObjectKind, wanted: Value, existing: Value, expected: bool) {
    let (Value::Object(wanted), Value::Object(existing)) = (wanted, existing) else { panic!("not objects") };
    assert_eq!(compare::is_same(&shape::members(kind), &wanted, &existing), expected, "{wanted:?} {existing:?}");
}

#[test]
fn defaults_count_as_left_out() {
    let entitlement = |logic: &str| json!({"id": "x", "name": "e", "conditionLogic": logic, "disabled": false, "tags": [], "appShortcuts": []});
    same(ObjectKind::Entitlement, json!({"name": "e"}), entitlement("and"), true);
    same(ObjectKind::Entitlement, json!({"name": "e"}), entitlement("or"), false);
    same(ObjectKind::Entitlement, json!({"name": "e", "conditionLogic": "or"}), entitlement("or"), true);
    same(ObjectKind::Entitlement, json!({"name": "e", "disabled": true}), entitlement("and"), false);
    same(
        ObjectKind::Site,
        json!({"name": "s"}),
        json!({"name": "s", "vpn": {"tls": {"enabled": true, "version": "TLSv23"}}}),
        true,
    );
    same(
        ObjectKind::Site,
        json!({"name": "s"}),
        json!({"name": "s", "vpn": {"tls": {"enabled": false, "version": "TLSv23"}}}),
        false,
    );
}

#[test]
fn a_member_nobody_knows_is_a_difference_unless_it_is_empty() {
    same(ObjectKind::Site, json!({"name": "s"}), json!({"name": "s", "novelty": 7}), false);
    same(ObjectKind::Site, json!({"name": "s"}), json!({"name": "s", "novelty": {"enabled": false}}), true);
}

#[test]
fn a_removed_list_item_is_a_difference() {
    let existing = json!({"name": "p", "entitlements": ["a", "b"]});
    same(ObjectKind::Policy, json!({"name": "p", "entitlements": ["a", "b"]}), existing.clone(), true);
    same(ObjectKind::Policy, json!({"name": "p", "entitlements": ["a"]}), existing.clone(), false);
    same(ObjectKind::Policy, json!({"name": "p"}), existing, false);
}

#[test]
fn a_device_script_is_compared_by_its_checksum() {
    let existing = json!({"name": "d", "filename": "x", "checksumSha256": "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"});
    same(ObjectKind::DeviceScript, json!({"name": "d", "filename": "x", "file": "aGVsbG8="}), existing.clone(), true);
    same(ObjectKind::DeviceScript, json!({"name": "d", "filename": "x", "file": "aGVsbG8h"}), existing, false);
}

#[test]
fn the_order_of_kinds_puts_what_is_referred_to_first() {
    let rank = |kind: ObjectKind| shape::ORDER.iter().position(|other| *other == kind).unwrap();
    fn references(shape: Shape, kinds: &mut Vec<ObjectKind>) {
        match shape {
            Shape::Reference(kind) => kinds.push(kind),
            Shape::RemedyProvider => kinds.extend([ObjectKind::IdentityProvider, ObjectKind::MfaProvider]),
            Shape::List(item) => references(*item, kinds),
            Shape::Object(members) => members.iter().for_each(|member| references(member.shape, kinds)),
            _ => {}
        }
    }
    for kind in ObjectKind::ALL {
        let mut referred = Vec::new();
        shape::members(*kind).into_iter().flatten().for_each(|member| references(member.shape, &mut referred));
        for other in referred.into_iter().filter(|other| other != kind) {
            assert!(rank(other) < rank(*kind), "{kind} refers to {other}");
        }
    }
}
