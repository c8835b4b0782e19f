//! Tests of privileges.

use serde_json::json;

use super::*;

#[track_caller]
fn check(privileges: Value, action: Action, target: Target, subject: Subject<'_>, expected: bool) {
    let privileges = Privileges::of_documents(privileges.as_array().unwrap().iter());
    assert_eq!(privileges.allows(action, target, subject), expected);
}

#[test]
fn scopes_cover_what_they_name() {
    let id = Uuid::from_u128(1);
    let tags = ["Red".to_owned()];
    let object = Subject::Object { id, tags: &tags };
    let other = Subject::Object { id: Uuid::from_u128(2), tags: &[] };
    let by_tag = json!([{ "type": "Edit", "target": "Policy", "scope": { "tags": ["red"] } }]);
    check(by_tag.clone(), Action::Edit, Target::Policy, object, true);
    check(by_tag.clone(), Action::Edit, Target::Policy, Subject::Some, true);
    check(by_tag.clone(), Action::Edit, Target::Policy, Subject::Whole, false);
    check(by_tag.clone(), Action::Edit, Target::Policy, other, false);
    check(by_tag.clone(), Action::View, Target::Policy, object, false);
    check(by_tag, Action::Edit, Target::Site, object, false);
    let by_id = json!([{ "type": "Edit", "target": "Policy", "scope": { "ids": [id] } }]);
    check(by_id.clone(), Action::Edit, Target::Policy, object, true);
    check(by_id, Action::Edit, Target::Policy, other, false);
}

#[test]
fn an_absent_or_empty_scope_covers_nothing_where_one_applies() {
    let object = Subject::Object { id: Uuid::from_u128(1), tags: &[] };
    check(json!([{ "type": "Edit", "target": "Policy" }]), Action::Edit, Target::Policy, object, false);
    check(
        json!([{ "type": "Edit", "target": "Policy", "scope": {} }]),
        Action::Edit,
        Target::Policy,
        Subject::Some,
        false,
    );
    check(json!([{ "type": "All", "target": "Policy" }]), Action::View, Target::Policy, Subject::Some, false);
    check(json!([{ "type": "All", "target": "All" }]), Action::View, Target::Policy, object, true);
    check(json!([{ "type": "View", "target": "AuditLog" }]), Action::View, Target::AuditLog, Subject::Whole, true);
    check(json!([{ "type": "Create", "target": "Policy" }]), Action::Create, Target::Policy, Subject::Whole, true);
    check(
        json!([{ "type": "All", "target": "Policy", "scope": { "tags": ["a"] } }]),
        Action::Create,
        Target::Policy,
        Subject::Whole,
        false,
    );
}

#[test]
fn unknown_words_grant_nothing_and_old_words_still_count() {
    check(
        json!([{ "type": "Fly", "target": "All" }, { "type": "All", "target": "Moon" }]),
        Action::View,
        Target::Site,
        Subject::Some,
        false,
    );
    check(
        json!([{ "type": "Revoke", "target": "TokenRecord" }]),
        Action::Revoke,
        Target::RegisteredDevice,
        Subject::Whole,
        true,
    );
    check(
        json!([{ "type": "Revoke", "target": "RegisteredDevice" }]),
        Action::Revoke,
        Target::TokenRecord,
        Subject::Whole,
        true,
    );
}

#[test]
fn the_map_names_every_legal_combination() {
    let map = type_target_map();
    assert_eq!(map["actionMatrixMap"]["Policy"]["Edit"]["scope"], true);
    assert_eq!(map["actionMatrixMap"]["Policy"]["Create"]["defaultTags"], true);
    assert_eq!(map["actionMatrixMap"]["AuditLog"].get("Edit"), None);
}
