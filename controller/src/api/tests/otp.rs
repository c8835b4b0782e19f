//! Seeds of one-time codes as administrators see them.

use engine::dn::UserName;

use super::*;
use crate::store::OtpSeed;

const ANA: &str = "/otp/seeds/CN%3Dana%2COU%3Dlocal";

fn seed(name: &str, verified: bool) -> Op {
    Op::PutOtpSeed(OtpSeed {
        user: UserName::new(name, "local"),
        secret: b"a secret nobody sees".to_vec().into(),
        verified,
        shown: time::OffsetDateTime::UNIX_EPOCH,
        last_step: 0,
        failures: 0,
        locked_at: None,
        revision: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn seeds_are_listed_without_secrets_and_deleted() {
    let world = World::new().await;
    let ops = vec![seed("ben", false), seed("ana", true)];
    world.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
    let listed = world.get("/otp/seeds").await.expect(StatusCode::OK);
    let row = |name: &str, verified: bool| {
        let dn = format!("CN={name},OU=local");
        json!({ "userDistinguishedName": dn, "username": name, "providerName": "local", "verified": verified })
    };
    assert_eq!(listed["data"], json!([row("ana", true), row("ben", false)]));
    assert_eq!((&listed["totalCount"], &listed["orderBy"]), (&json!(2), &json!("userDistinguishedName")));
    let found = world.get("/otp/seeds?query=ben&range=0-9").await.expect(StatusCode::OK);
    assert_eq!((&found["data"], &found["range"]), (&json!([row("ben", false)]), &json!("0-0/1")));

    assert_eq!(world.delete("/otp/seeds/CN%3Dana").await.fields(), ["distinguished-name"]);
    assert_eq!(world.delete("/otp/seeds/OU%3Dlocal").await.fields(), ["distinguished-name"]);
    world.delete("/otp/seeds/CN%3Dcy%2COU%3Dlocal").await.expect(StatusCode::NOT_FOUND);
    world.delete(ANA).await.expect(StatusCode::NO_CONTENT);
    world.delete(ANA).await.expect(StatusCode::NOT_FOUND);
    let left = world.get("/otp/seeds").await.expect(StatusCode::OK);
    assert_eq!(left["data"], json!([row("ben", false)]));
    assert_eq!(world.records("otp_seed_deleted").await[0]["deleted_distinguished_name"], "CN=ana,OU=local");
}

#[tokio::test(flavor = "multi_thread")]
async fn seeing_and_deleting_need_a_privilege_each() {
    let world = World::new().await;
    let ops = vec![seed("ana", true)];
    world.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
    let viewer = world.token_for("viewer", json!([{ "type": "View", "target": "OtpSeed" }])).await;
    world.call_as(&viewer, Method::GET, "/otp/seeds", None).await.expect(StatusCode::OK);
    world.call_as(&viewer, Method::DELETE, ANA, None).await.expect(StatusCode::FORBIDDEN);
    let other = world.token_for("other", json!([{ "type": "All", "target": "RegisteredDevice" }])).await;
    world.call_as(&other, Method::GET, "/otp/seeds", None).await.expect(StatusCode::FORBIDDEN);
    let deleter = world.token_for("deleter", json!([{ "type": "Delete", "target": "OtpSeed" }])).await;
    world.call_as(&deleter, Method::GET, "/otp/seeds", None).await.expect(StatusCode::FORBIDDEN);
    world.call_as(&deleter, Method::DELETE, ANA, None).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_same_name_does_not_inherit_codes() {
    let world = World::new().await;
    let user = world.post("/local-users", smallest(ObjectKind::LocalUser).unwrap()).await.expect(StatusCode::OK);
    let ops = vec![seed("ana", true), seed("ben", true)];
    world.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
    world.delete(&format!("/local-users/{}", user["id"].as_str().unwrap())).await.expect(StatusCode::NO_CONTENT);
    let left = world.controller.store.otp_seeds().await.unwrap();
    assert_eq!(left, [(UserName::new("ben", "local"), true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remedy_names_a_provider_that_exists() {
    let world = World::new().await;
    let remedy = |provider: Value| {
        let remedy = json!({ "type": "OtpAuthentication", "message": "m", "claimSuffix": "s", "providerId": provider });
        json!({ "name": "office", "expression": "return false;", "remedyMethods": [remedy] })
    };
    let unknown = world.post("/conditions", remedy(json!(Uuid::from_u128(5)))).await.fields();
    assert_eq!(unknown, ["remedyMethods[0].providerId"]);
    let none = world.post("/conditions", remedy(Value::Null)).await.fields();
    assert_eq!(none, ["remedyMethods[0].providerId"]);
    world.post("/conditions", remedy(json!(builtin::LOCAL_PROVIDER))).await.fields();
    world.post("/conditions", remedy(json!(builtin::TOTP_PROVIDER))).await.expect(StatusCode::OK);
    let built_in = json!({ "name": "second", "type": "DefaultTimeBased" });
    assert_eq!(world.post("/mfa-providers", built_in).await.fields(), ["type"]);
    let path = format!("/mfa-providers/{}", builtin::TOTP_PROVIDER);
    world.delete(&path).await.expect(StatusCode::CONFLICT);
    let shown = world.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&shown["type"], &shown["inputType"]), (&json!("DefaultTimeBased"), &json!("Numeric")));
}
