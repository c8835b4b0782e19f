//! What scripts of the controller see, call and leave behind, through its ports.

use std::time::{Duration, Instant};

use controller::store::{Expect, Object, Op};
use protocol::object::ObjectKind;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{ALWAYS, DEFAULT_SITE, House, PATIENCE, entitlement, id_of, payload, policy};

async fn put_script(house: &House, name: &str, expression: &str) {
    let script = json!({ "id": id_of(name), "name": name, "expression": expression });
    house.put(ObjectKind::UserScript, script).await;
}

/// Attaches user-claim scripts to the built-in provider, in this order.
async fn attach(house: &House, scripts: &[&str]) {
    let config = house.running.controller.config.current();
    let provider = config.by_name(ObjectKind::IdentityProvider, "local").unwrap();
    let mut body = provider.body.clone();
    body["userScripts"] = scripts.iter().map(|name| json!(id_of(name))).collect();
    house.put(ObjectKind::IdentityProvider, body).await;
}

async fn put_secret(house: &House, name: &str, value: &str, origins: &[String]) {
    let id = id_of(name);
    let body = json!({ "id": id, "name": name, "allowedOrigins": origins });
    let object = Object { kind: ObjectKind::Secret, id, name: name.to_owned(), tags: Vec::new(), seq: 0, body };
    let value = value.as_bytes().to_vec();
    let secret = Op::PutSecret { kind: ObjectKind::Secret, id, field: "secret", value };
    house.transact(vec![Op::PutObject { object, expect: Expect::Any }, secret]).await;
}

/// Waits for a buffered record.
async fn record(house: &House, event_type: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(record) = house.audits(event_type).await.into_iter().find(&wanted) {
            return record;
        }
        assert!(Instant::now() < deadline, "no record {event_type}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn user_claim_scripts_add_claims_in_the_providers_order() {
    let house = House::new().await;
    house.add_user("ana").await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    let red = "return claims.user.agScripted.team === 'red' && claims.user.agScripted.from === '127.0.0.1';";
    house.put(ObjectKind::Policy, policy("red team", "Access", red, &[wiki])).await;
    put_script(&house, "first", "return { team: 'blue', from: claims.system.clientSrcIP };").await;
    put_script(&house, "second", "return { team: claims.user.agScripted ? 'seen' : 'red' };").await;
    put_script(&house, "broken", "return claims.user.nothing.here;").await;
    let session = house.sign_in("ana").await;
    assert!(session.authorize().await.unwrap().sites.is_empty(), "without scripts there is no agScripted");
    let plain = house.audit("authorization_succeeded").await;
    assert!(plain["scripted_user_claims"].is_null(), "{plain}");

    attach(&house, &["first", "broken", "second"]).await;
    let granted = session.authorize().await.unwrap();
    assert_eq!(granted.policies, ["red team"]);
    let scripted = json!({ "from": "127.0.0.1", "team": "red" });
    assert_eq!(payload(&granted.sites[0].entitlement.token)["content"]["scripted"], scripted);
    let told = house.audit("authorization_succeeded").await;
    assert_eq!(told["scripted_user_claims"], scripted);
    assert_eq!(told["script_failures"][0]["user_script"], "broken");
    assert_eq!(told["script_failures"][0]["failure"]["kind"], "type");

    attach(&house, &["second", "broken", "first"]).await;
    assert!(session.authorize().await.unwrap().sites.is_empty(), "the later script wins, so the team is blue");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_calls_out_with_a_secret_that_nothing_shows() {
    let house = House::with(|settings| settings.script_networks = vec!["127.0.0.0/8".parse().unwrap()]).await;
    house.add_user("ana").await;
    let web = testing::Web::start("[\"staff\"]").await;
    let origin = format!("http://{}", web.address);
    let value = "s3cr3t-Token/'\"`";
    put_secret(&house, "DIRECTORY", value, std::slice::from_ref(&origin)).await;
    let expression = format!(
        "var answer = httpGet('{origin}/groups?key=1', [{{ key: 'Authorization', value: 'Bearer %SECRET:DIRECTORY%' }}]);\n\
         auditLog('looked up ' + claims.user.username + ' with %SECRET:DIRECTORY%');\n\
         console.log('%SECRET:DIRECTORY%');\n\
         return {{ groups: JSON.parse(answer.data) }};"
    );
    put_script(&house, "groups", &expression).await;
    attach(&house, &["groups"]).await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    let staff = "return claims.user.agScripted.groups.indexOf('staff') >= 0;";
    house.put(ObjectKind::Policy, policy("staff", "Access", staff, &[wiki])).await;
    let session = house.sign_in("ana").await;
    assert_eq!(session.authorize().await.unwrap().policies, ["staff"]);
    let asked = web.requests();
    assert!(asked[0].starts_with("GET /groups?key=1 HTTP/1.1\r\n") && asked[0].contains(value), "{asked:?}");

    let call = record(&house, "script_http_call", |record| record["script"] == "groups").await;
    assert_eq!(
        (&call["method"], &call["url"], &call["status"], &call["outcome"]),
        (&json!("GET"), &json!(format!("{origin}/groups")), &json!(200), &json!("answer"))
    );
    assert_eq!(call["distinguished_name_user"], "ana");
    let told = record(&house, "script_audit_log", |record| record["script"] == "groups").await;
    assert!(told["message"].as_str().unwrap().starts_with("looked up ana with "), "{told}");
    let all = ["script_http_call", "script_audit_log", "authorization_succeeded", "entity_created"];
    for event in all {
        let records = serde_json::to_string(&house.audits(event).await).unwrap();
        assert!(!records.contains("s3cr3t"), "{event} shows the secret: {records}");
    }

    // A new value is used at once, and another origin is not called with it.
    put_secret(&house, "DIRECTORY", "rotated-Token", &[origin]).await;
    session.authorize().await.unwrap();
    assert!(web.requests().last().unwrap().contains("Bearer rotated-Token"));
    put_secret(&house, "DIRECTORY", "rotated-Token", &["https://directory.example.com".to_owned()]).await;
    let before = web.requests().len();
    assert!(session.authorize().await.unwrap().sites.is_empty());
    assert_eq!(web.requests().len(), before);
    let told = house.audit("authorization_succeeded").await;
    assert_eq!(told["script_failures"][0]["failure"]["kind"], "http-refused");
    house.delete(ObjectKind::Secret, id_of("DIRECTORY")).await;
    session.authorize().await.unwrap();
    let told = house.audit("authorization_succeeded").await;
    assert_eq!(told["script_failures"][0]["failure"]["kind"], "secret-missing");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_reach_neither_local_networks_nor_the_controller_itself() {
    let web = testing::Web::start("{}").await;
    let house = House::new().await;
    house.add_user("ana").await;
    put_script(&house, "local", &format!("httpGet('http://{}/'); return {{}};", web.address)).await;
    attach(&house, &["local"]).await;
    let session = house.sign_in("ana").await;
    session.authorize().await.unwrap();
    let told = house.audit("authorization_succeeded").await;
    assert_eq!(told["script_failures"][0]["failure"]["kind"], "http-refused");
    house.running.stop().await;

    let house = House::with(|settings| settings.script_networks = vec!["127.0.0.0/8".parse().unwrap()]).await;
    house.add_user("ana").await;
    let own = house.running.admin_address;
    put_script(&house, "own", &format!("httpGet('https://{own}/admin/version'); return {{}};")).await;
    attach(&house, &["own"]).await;
    let session = house.sign_in("ana").await;
    session.authorize().await.unwrap();
    let told = house.audit("authorization_succeeded").await;
    assert_eq!(told["script_failures"][0]["failure"]["kind"], "http-refused");
    assert!(web.requests().is_empty());
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_served_where_the_operator_says() {
    let house = House::with(|settings| settings.metrics_port = Some("127.0.0.1:0".parse().unwrap())).await;
    house.add_user("ana").await;
    house.sign_in("ana").await.authorize().await.unwrap();
    let mut stream = TcpStream::connect(house.running.metrics_address.unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    for line in ["ctr_client_authentication{measure=\"success\"} 1", "ctr_client_authorization{measure=\"total\"} 1"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("no_new_privs"), "every isolation layer is shown: {text}");
    assert!(!text.contains("ana"), "{text}");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_keeps_costing_others_is_told_to_administrators_and_comes_back_when_edited() {
    let house = House::new().await;
    let wiki = house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    house.put(ObjectKind::Policy, policy("endless", "Access", "for (;;) {}", &[wiki])).await;
    let mut sessions = Vec::new();
    for name in ["ana", "ben", "eve"] {
        house.add_user(name).await;
        sessions.push(house.sign_in(name).await);
    }
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        for session in &sessions {
            assert!(session.authorize().await.unwrap().sites.is_empty());
        }
        let rows = house.running.controller.store.admin_messages().await.unwrap();
        if let Some(row) = rows.into_iter().find(|row| row.message.contains("\"endless\"")) {
            break row;
        }
        assert!(Instant::now() < deadline, "nobody is told");
    };
    assert_eq!((told.level.as_str(), told.category.as_str()), ("Error", "Configuration"));
    assert!(sessions[0].authorize().await.unwrap().sites.is_empty());
    let failure = &house.audit("authorization_succeeded").await["script_failures"][0]["failure"];
    assert_eq!(failure["kind"], "quarantined");
    house.put(ObjectKind::Policy, policy("endless", "Access", "return true;", &[wiki])).await;
    assert_eq!(sessions[0].authorize().await.unwrap().policies, ["endless"]);
    house.running.stop().await;
}
