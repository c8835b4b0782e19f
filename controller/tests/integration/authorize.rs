//! What policies grant to a client.

use controller::store::TokenFilter;
use protocol::{
    message::{Authorized, ControllerRequest, SignedToken},
    object::ObjectKind,
};
use serde_json::json;

use crate::harness::{
    ALWAYS, DEFAULT_SITE, House, appliance, ask, condition, criteria, entitlement, id_of, object, payload, policy,
    refused, site,
};

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_match_lead_to_a_token_per_site() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.put(ObjectKind::Site, site("berlin")).await;
    let berlin = id_of("berlin").to_string();
    house.put(ObjectKind::Appliance, appliance("gate", DEFAULT_SITE, 4433)).await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    let build = house.put(ObjectKind::Entitlement, entitlement("build", &berlin, &[ALWAYS])).await;
    let secret = house.put(ObjectKind::Entitlement, entitlement("secret", &berlin, &[ALWAYS])).await;
    house.put(ObjectKind::CriteriaScript, criteria("isStaff", "return claims.user.tags.indexOf('staff') >= 0;")).await;
    house
        .put(
            ObjectKind::Policy,
            policy(
                "staff",
                "Access",
                "return isStaff(claims) && claims.system.clientSrcIP === '127.0.0.1';",
                &[wiki, build],
            ),
        )
        .await;
    house
        .put(ObjectKind::Policy, policy("bosses", "Access", "return claims.user.username === 'boss';", &[secret]))
        .await;
    house.put(ObjectKind::Policy, policy("broken", "Access", "return claims.user.missing.member;", &[secret])).await;
    let session = house.sign_in("ana").await;
    let granted = session.authorize().await.unwrap();
    assert_eq!(granted.policies, ["staff"]);
    let names: Vec<_> = granted.sites.iter().map(|site| (site.name.as_str(), site.entitlements.as_slice())).collect();
    assert_eq!(names.len(), 2);
    assert!(
        names.contains(&("Default Site", &["wiki".to_owned()])) && names.contains(&("berlin", &["build".to_owned()]))
    );
    let default = granted.sites.iter().find(|site| site.name == "Default Site").unwrap();
    assert_eq!((default.gateways[0].appliance.uuid(), default.gateways[0].port), (id_of("gate"), 4433));
    let token = payload(&default.entitlement.token);
    assert_eq!((&token["aud"], &token["content"]["grants"][0]["policies"]), (&json!(DEFAULT_SITE), &json!(["staff"])));
    let config = house.running.controller.config.current();
    assert_eq!(token["content"]["config"], json!(config.object(ObjectKind::Policy, id_of("staff")).unwrap().seq));
    let filter = TokenFilter { id: Some(default.entitlement.id), ..TokenFilter::default() };
    assert_eq!(house.running.controller.store.tokens(filter).await.unwrap().len(), 1);
    let record = house.audit("authorization_succeeded").await;
    assert_eq!((&record["policy_names"], &record["entitlement_names"]), (&json!(["staff"]), &json!(["build", "wiki"])));
    assert_eq!(
        (&record["script_failures"][0]["policy"], &record["script_failures"][0]["failure"]["kind"]),
        (&json!("broken"), &json!("type"))
    );
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_policies_refuse_when_they_match_and_when_they_fail() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.add_user("eve").await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    house.put(ObjectKind::Policy, policy("all", "Mixed", "return true;", &[wiki])).await;
    house.put(ObjectKind::Policy, policy("blocked", "Stop", "return claims.user.username === 'eve';", &[])).await;
    let (ana, eve) = (house.sign_in("ana").await, house.sign_in("eve").await);
    assert_eq!(ana.authorize().await.unwrap().sites.len(), 1);
    assert_eq!(refused(eve.authorize().await), "authorization.stopped");
    let record = house.audit("authorization_failed").await;
    assert_eq!((&record["reason"], &record["detail"]["policy"]), (&json!("authorization.stopped"), &json!("blocked")));
    house.put(ObjectKind::Policy, policy("blocked", "Stop", "return claims.user.nothing.here;", &[])).await;
    assert_eq!(refused(ana.authorize().await), "authorization.stop-failed");
    house.put(ObjectKind::Policy, json!({ "id": id_of("blocked"), "name": "blocked", "type": "Stop" })).await;
    assert_eq!(refused(ana.authorize().await), "authorization.unreadable");
    house.delete(ObjectKind::Policy, id_of("blocked")).await;
    let unreadable = |effect: &str| json!({ "id": id_of("old"), "name": "old", "actions": [{ "action": effect }] });
    house.put(ObjectKind::Entitlement, unreadable("block")).await;
    assert_eq!(refused(ana.authorize().await), "authorization.unreadable");
    house.put(ObjectKind::Entitlement, unreadable("allow")).await;
    assert_eq!(ana.authorize().await.unwrap().sites.len(), 1);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_claims_are_countersigned_and_decide() {
    let house = House::new().await;
    house.add_user("ana").await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    house
        .put(ObjectKind::Policy, policy("linux", "Access", "return claims.device.os.family === 'linux';", &[wiki]))
        .await;
    let session = house.sign_in("ana").await;
    assert!(session.authorize().await.unwrap().sites.is_empty());
    let report =
        |device| ControllerRequest::ReportDevice { claims_token: session.claims.token.clone(), device: object(device) };
    let device: SignedToken =
        ask(&session.carrier, &report(json!({ "os": { "family": "linux", "hostname": "box" } }))).await.unwrap();
    let authorize = |device: String| ControllerRequest::Authorize {
        claims_token: session.claims.token.clone(),
        device_claims_token: Some(device),
    };
    let granted: Authorized = ask(&session.carrier, &authorize(device.token.clone())).await.unwrap();
    assert_eq!(granted.sites.len(), 1);
    assert_eq!(
        refused(ask::<Authorized>(&session.carrier, &authorize(session.claims.token.clone())).await),
        "token.refused"
    );
    assert_eq!(house.audit("token_refused").await["reason"], "token.kind");
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(
        refused(ask::<SignedToken>(&session.carrier, &report(json!({ "deep": deep }))).await),
        "device-claims.too-large"
    );
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entitlements_follow_their_conditions_sequence() {
    let house = House::new().await;
    house.add_user("ana").await;
    let condition_id = house.put(ObjectKind::Condition, condition("office", "return true;")).await;
    let wiki =
        house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[&condition_id.to_string()])).await;
    house.put(ObjectKind::Policy, policy("all", "Access", "return true;", &[wiki])).await;
    let session = house.sign_in("ana").await;
    house.put(ObjectKind::Condition, condition("office", "return false;")).await;
    let needed = house.running.controller.config.current().seq;
    house.put(ObjectKind::Site, site("elsewhere")).await;
    let token = session.authorize().await.unwrap().sites.remove(0).entitlement.token;
    let body = payload(&token);
    assert_eq!((&body["content"]["config"], &body["rev"]), (&json!(needed), &json!(needed + 1)));
    house.running.stop().await;
}
