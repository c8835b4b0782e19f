//! Revocation and re-evaluation: both families, their answers and their rules.

use engine::{
    dn::{DnEnding, UserName},
    id::{DeviceId, SessionId, SiteId, TokenId},
    token::TokenKind,
};
use time::Duration;

use super::*;
use crate::store::{DeviceRow, TokenRow};

fn device(number: u128, user: &str) -> DistinguishedName {
    DistinguishedName { device: DeviceId::new(Uuid::from_u128(number)), user: UserName::new(user, "local") }
}

/// A client's device with a claims and an entitlement token.
async fn sign_in(world: &World, name: &DistinguishedName) {
    let now = world.controller.now();
    let row = |kind, site| TokenRow {
        id: TokenId::new(Uuid::new_v4()),
        kind,
        name: name.clone(),
        session: Some(SessionId::new(Uuid::new_v4())),
        site,
        issued: now,
        expires: now + Duration::hours(3),
        revoked_at: None,
        decided_at: world.controller.config.current().seq,
        hostname: Some("laptop".to_owned()),
    };
    let device =
        DeviceRow { name: name.clone(), client: true, admin: false, hostname: None, on_boarded: now, last_seen: now };
    let site = Some(SiteId::new(builtin::DEFAULT_SITE));
    let ops = vec![
        Op::InsertToken(row(TokenKind::Claims, None)),
        Op::InsertToken(row(TokenKind::DeviceClaims, None)),
        Op::InsertToken(row(TokenKind::Entitlement, site)),
        Op::PutDevice(device),
    ];
    world.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn types(answer: &Value) -> Vec<(&str, &str)> {
    let rows = answer["data"].as_array().unwrap().iter();
    let mut types: Vec<_> =
        rows.map(|row| (row["username"].as_str().unwrap(), row["tokenType"].as_str().unwrap())).collect();
    types.sort_unstable();
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn by_name_at_once_and_with_a_delay() {
    let world = World::new().await;
    sign_in(&world, &device(1, "ana")).await;
    sign_in(&world, &device(2, "ben")).await;
    let path = format!("/token-records/revoked/by-dn/{}?siteId={}", encoded("CN=ana,OU=local"), builtin::DEFAULT_SITE);
    let answer =
        world.put(&path, json!({ "delayMinutes": 0, "revocationReason": "left" })).await.expect(StatusCode::OK);
    assert_eq!(types(&answer), [("ana", "entitlement")]);
    let row = &answer["data"][0];
    assert_eq!(row["siteName"], "Default Site");
    assert_eq!(row["revoked"], true);
    assert_eq!(row["controllerHostname"], "controller.example.com");
    assert_eq!(row["deviceId"], Uuid::from_u128(1).to_string());
    assert_eq!(answer["range"], "0-0/1");
    let config = world.controller.config.current();
    let rule = config.revocations.rules().last().unwrap();
    assert_eq!(rule.reason, "left");
    assert!(rule.effective <= world.controller.now());
    assert!(rule.forget_after >= world.controller.now() + Duration::hours(3));

    let path = format!("/token-records/revoked/by-dn/{}?tokenType=Claims", encoded("OU=local"));
    let answer = world.call(Method::PUT, &path, None).await.expect(StatusCode::OK);
    assert_eq!(types(&answer), [("ana", "claims"), ("ben", "claims")]);
    let config = world.controller.config.current();
    let rule = config.revocations.rules().last().unwrap();
    assert_eq!(rule.scope.kinds, BTreeSet::from([TokenKind::Claims, TokenKind::DeviceClaims]));
    let wait = rule.effective - world.controller.now();
    assert!(wait > Duration::minutes(4) && wait <= Duration::minutes(5));
    assert_eq!(world.records("token_revoked").await.len(), 2);
    // The administrator's own token is of another kind.
    world.get("/sites").await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_type_is_spread_over_time_and_reaches_everybody() {
    let world = World::new().await;
    for number in 1..=5 {
        sign_in(&world, &device(number, "ana")).await;
    }
    let body = json!({ "delayMinutes": 0, "tokensPerSecond": 2 });
    let answer = world.put("/token-records/revoked/by-type/Entitlement", body).await.expect(StatusCode::OK);
    assert_eq!(answer["data"].as_array().unwrap().len(), 5);
    let config = world.controller.config.current();
    let rules = config.revocations.rules().collect::<Vec<_>>();
    assert_eq!(rules.len(), 6);
    let first = rules[0].effective;
    let offsets: Vec<i64> = rules.iter().map(|rule| (rule.effective - first).whole_seconds()).collect();
    assert_eq!(offsets, [0, 0, 1, 1, 2, 2]);
    assert_eq!(rules[5].scope.ending, DnEnding::All);

    let listed = json!({ "delayMinutes": 0, "specificDistinguishedNames": [device(1, "ana").to_string()] });
    let answer = world.put("/token-records/revoked/by-type/Claims", listed).await.expect(StatusCode::OK);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let all =
        world.put("/token-records/revoked/by-type/All", json!({ "delayMinutes": 0 })).await.expect(StatusCode::OK);
    assert!(types(&all).contains(&("admin", "administration")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_revoke_nothing() {
    let world = World::new().await;
    sign_in(&world, &device(1, "ana")).await;
    let before = world.stored().await;
    let by_name = |ending: &str| format!("/token-records/revoked/by-dn/{}", encoded(ending));
    for ending in ["p", "ldap", "OU=", "CN=ana", "CN=x,CN=ana,OU=local", "ou=local"] {
        assert_eq!(world.put(&by_name(ending), json!({})).await.fields(), ["distinguished-name"], "{ending}");
        world
            .call(Method::POST, &format!("/token-records/reeval/by-dn/{}", encoded(ending)), None)
            .await
            .expect(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let wrong = json!({ "delayMinutes": -1, "tokensPerSecond": 0, "revocationReason": 5 });
    let path = format!("{}?tokenType=Everything&siteId={}", by_name("OU=local"), Uuid::from_u128(9));
    assert_eq!(
        world.put(&path, wrong).await.fields(),
        ["tokenType", "siteId", "revocationReason", "delayMinutes", "tokensPerSecond"]
    );
    let path = format!("{}?tokenType=Claims&siteId={}", by_name("OU=local"), builtin::DEFAULT_SITE);
    assert_eq!(world.put(&path, json!({})).await.fields(), ["siteId"]);
    assert_eq!(world.put("/token-records/revoked/by-type/DeviceClaims", json!({})).await.fields(), ["token-type"]);
    let empty = json!({ "specificDistinguishedNames": [] });
    assert_eq!(world.put("/token-records/revoked/by-type/All", empty).await.fields(), ["specificDistinguishedNames"]);

    let device = "/on-boarded-devices/revoke-tokens";
    assert_eq!(world.post(device, json!({})).await.fields(), ["distinguishedNameFilter"]);
    assert_eq!(
        world.post(device, json!({ "distinguishedNameFilter": null })).await.fields(),
        ["distinguishedNameFilter"]
    );
    let both = json!({ "distinguishedNameFilter": "OU=local", "specificDistinguishedNames": ["CN=ana,OU=local"] });
    assert_eq!(
        world.post(device, both).await.fields(),
        ["specificDistinguishedNames[0]", "specificDistinguishedNames"]
    );
    world
        .delete(&format!("/on-boarded-devices/{}", encoded(&super::revocation::device(9, "ana").to_string())))
        .await
        .expect(StatusCode::NOT_FOUND);
    assert_eq!(
        world.delete(&format!("/on-boarded-devices/{}", encoded("CN=ana,OU=local"))).await.fields(),
        ["distinguished-name"]
    );
    assert_eq!(world.stored().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_segment_whatever_it_holds() {
    let world = World::new().await;
    let ending: DnEnding = DnEnding::User(UserName::new("a,b/c+ \u{e9}", "my provider/x"));
    let answer = world.put(&format!("/token-records/revoked/by-dn/{}", encoded(&ending.to_string())), json!({})).await;
    assert_eq!(answer.expect(StatusCode::OK)["data"], json!([]));
    let config = world.controller.config.current();
    assert_eq!(config.revocations.rules().last().unwrap().scope.ending, ending);
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_revoked_and_removed() {
    let world = World::new().await;
    let (ana, ben) = (device(1, "ana"), device(2, "ben"));
    sign_in(&world, &ana).await;
    sign_in(&world, &ben).await;
    let names = world.get("/token-records/dn?username=ana").await.expect(StatusCode::OK);
    assert_eq!(names["data"][0]["distinguishedName"], ana.to_string());
    assert_eq!(names["data"][0]["hostname"], "laptop");
    let body = json!({ "distinguishedNameFilter": "CN=ana,OU=local", "delayMinutes": 0, "tokenType": "Entitlement" });
    let answer = world.post("/on-boarded-devices/revoke-tokens", body).await.expect(StatusCode::OK);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    assert_eq!(answer["data"][0]["username"], "ana");
    let config = world.controller.config.current();
    assert_eq!(config.revocations.rules().last().unwrap().scope.ending, "CN=ana,OU=local".parse().unwrap());

    let all = json!({ "distinguishedNameFilter": "", "delayMinutes": 60, "tokenType": "Claims" });
    let answer = world.post("/on-boarded-devices/revoke-tokens", all).await.expect(StatusCode::OK);
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);

    let path = format!("/on-boarded-devices/{}", encoded(&ben.to_string()));
    world.delete(&path).await.expect(StatusCode::NO_CONTENT);
    world.delete(&path).await.expect(StatusCode::NOT_FOUND);
    let left = world.get("/on-boarded-devices").await.expect(StatusCode::OK);
    assert_eq!(left["data"].as_array().unwrap().len(), 1);
    let rows = world.controller.store.tokens(Default::default()).await.unwrap();
    assert!(rows.iter().filter(|row| row.name == ben).all(|row| row.revoked_at.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reevaluation_reaches_the_watchers() {
    let world = World::new().await;
    let mut heard = world.controller.store.subscribe();
    for path in ["/token-records/reeval/by-dn", "/on-boarded-devices/reevaluate"] {
        let answer = world
            .call(Method::POST, &format!("{path}/{}", encoded("CN=ana,OU=local")), None)
            .await
            .expect(StatusCode::OK);
        assert_eq!(answer, json!({ "reevaluatedDistinguishedNames": [] }));
        assert_eq!(heard.recv().await.unwrap().reevaluations, ["CN=ana,OU=local".parse().unwrap()]);
    }
}

#[tokio::test]
async fn a_local_user_who_is_disabled_or_deleted_has_no_tokens_left() {
    for deleted in [false, true] {
        let world = World::new().await;
        let user = super::smallest(protocol::object::ObjectKind::LocalUser).unwrap();
        let made = world.post("/local-users", user.clone()).await.expect(StatusCode::OK);
        let path = format!("/local-users/{}", made["id"].as_str().unwrap());
        let name = "CN=00000000000000000000000000000001,CN=ana,OU=local";
        let token = world.token_with(name, &[crate::builtin::SYSTEM_ROLE]).await;
        world.call_as(&token, Method::GET, "/policies", None).await.expect(StatusCode::OK);
        if deleted {
            world.delete(&path).await.expect(StatusCode::NO_CONTENT);
        } else {
            let mut disabled = user;
            disabled["disabled"] = true.into();
            world.put(&path, disabled).await.expect(StatusCode::OK);
        }
        world.call_as(&token, Method::GET, "/policies", None).await.expect(StatusCode::UNAUTHORIZED);
        world.get("/policies").await.expect(StatusCode::OK);
    }
}
