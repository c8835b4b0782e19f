//! Signing in on the client port.

use controller::store::TokenFilter;
use protocol::message::{Authenticated, ControllerRequest, Providers};
use serde_json::json;
use time::Duration;
use uuid::Uuid;

use crate::harness::{House, PASSWORD, ask, clock, credentials, id_of, new_key, payload, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_a_certificate_and_a_claims_token() {
    let house = House::new().await;
    house.add_user("ana").await;
    let device = Uuid::new_v4();
    let session = house.sign_in_on("ana", device).await.ok().unwrap();
    assert_eq!(session.name.to_string(), format!("CN={},CN=ana,OU=local", device.simple()));
    let claims = payload(&session.claims.token);
    let user = &claims["content"]["user"];
    assert_eq!(
        (&user["username"], &user["emails"], &user["tags"]),
        (&json!("ana"), &json!(["ana@example.com"]), &json!(["staff"]))
    );
    assert_eq!(user["ag"]["distinguishedName"], json!(session.name));
    assert_eq!(claims["sid"], json!(session.session));
    let store = &house.running.controller.store;
    let rows = store.tokens(TokenFilter { id: Some(session.claims.id), ..TokenFilter::default() }).await.unwrap();
    assert_eq!((rows.len(), rows[0].hostname.as_deref()), (1, Some("laptop")));
    assert_eq!(store.devices().await.unwrap()[0].name, session.name);
    let record = house.audit("authentication_succeeded").await;
    assert_eq!((&record["claims_token_id"], &record["client_ip"]), (&json!(session.claims.id), &json!("127.0.0.1")));
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_read_the_same_and_the_log_says_why() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.add_user("off").await;
    house.disable_user("off").await;
    let carrier = house.connect(None).await;
    let mut texts = Vec::new();
    for (user, password, reason) in
        [("ana", "wrong", "wrong-password"), ("nobody", PASSWORD, "unknown-user"), ("off", PASSWORD, "disabled")]
    {
        let request = ControllerRequest::Authenticate(credentials(user, password, Uuid::new_v4(), &new_key()));
        let refusal = ask::<Authenticated>(&carrier, &request).await.err().unwrap();
        assert_eq!(refusal.code, "sign-in.failed");
        texts.push(refusal.message);
        assert_eq!(house.audit("authentication_failed").await["reason"], reason);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    let providers: Providers = ask(&carrier, &ControllerRequest::Providers).await.unwrap();
    assert_eq!(providers.names, ["local"]);
    house.running.stop().await;
}

clock!(lockout_clock);

#[tokio::test(flavor = "multi_thread")]
async fn five_failures_lock_for_a_minute() {
    let house = House::with(|settings| settings.clock = lockout_clock::now).await;
    house.add_user("ana").await;
    let carrier = house.connect(None).await;
    let attempt = async |password: &str| {
        let request = ControllerRequest::Authenticate(credentials("ana", password, Uuid::new_v4(), &new_key()));
        ask::<Authenticated>(&carrier, &request).await
    };
    for _ in 0..5 {
        assert_eq!(refused(attempt("wrong").await), "sign-in.failed");
    }
    assert_eq!(house.audits("local_user_locked").await.len(), 1);
    assert_eq!(refused(attempt(PASSWORD).await), "sign-in.failed");
    assert_eq!(house.audit("authentication_failed").await["reason"], "locked");
    lockout_clock::forward(Duration::seconds(61));
    attempt(PASSWORD).await.ok().unwrap();
    assert_eq!(refused(attempt("wrong").await), "sign-in.failed");
    attempt(PASSWORD).await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_guesses_at_once_are_no_more_than_the_threshold() {
    let house = House::new().await;
    house.add_user("ana").await;
    let carrier = house.connect(None).await;
    let mut guesses = tokio::task::JoinSet::new();
    for guess in 0..20 {
        let carrier = carrier.clone();
        let request =
            ControllerRequest::Authenticate(credentials("ana", &format!("guess {guess}"), Uuid::new_v4(), &new_key()));
        guesses.spawn(async move { refused(ask::<Authenticated>(&carrier, &request).await) });
    }
    assert!(guesses.join_all().await.iter().all(|code| code == "sign-in.failed"));
    let reasons = house.audits("authentication_failed").await;
    let checked =
        reasons.iter().filter(|record| record["reason"].as_str().unwrap().starts_with("wrong-password")).count();
    assert!((1..=5).contains(&checked), "{checked} passwords were tried");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_devices_of_one_user_may_sign_in_at_once() {
    let house = House::new().await;
    house.add_user("ana").await;
    let carrier = house.connect(None).await;
    let mut devices = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let carrier = carrier.clone();
        let request = ControllerRequest::Authenticate(credentials("ana", PASSWORD, Uuid::new_v4(), &new_key()));
        devices.spawn(async move { ask::<Authenticated>(&carrier, &request).await.is_ok() });
    }
    assert_eq!(devices.join_all().await, [true; 12]);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_too_many_is_refused_and_a_known_one_is_not() {
    let house = House::new().await;
    house.add_user("ana").await;
    let provider = house.running.controller.config.current();
    let local = provider.by_name(protocol::object::ObjectKind::IdentityProvider, "local").unwrap();
    let mut body = local.body.clone();
    body["deviceLimitPerUser"] = json!(1);
    house.put(protocol::object::ObjectKind::IdentityProvider, body).await;
    house.sign_in_on("ana", id_of("first")).await.ok().unwrap();
    assert_eq!(refused(house.sign_in_on("ana", id_of("second")).await), "sign-in.device-limit");
    house.sign_in_on("ana", id_of("first")).await.ok().unwrap();
    house.running.stop().await;
}
