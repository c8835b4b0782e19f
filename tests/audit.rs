//! Everything that matters leaves a record that says why: sign-ins, authorizations, tokens, revocations, sessions and
//! flows, from controller and gateway, as `portcullis ctl logs` shows them.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{
    ADMIN_PASSWORD, ALWAYS, Api, ConnectedClient, Controller, DEFAULT_SITE, Process, gives_nothing, start_client,
    start_gateway,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_leaves_a_record_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let (granted, refused) = (testing::echo_server().await.to_string(), testing::echo_server().await.to_string());
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    add_user(&admin, "eve").await;
    let port = &granted.rsplit(':').next().unwrap().to_owned();
    let actions = json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port] }]);
    let entitlement = json!({ "name": "echo", "site": DEFAULT_SITE, "conditions": [ALWAYS], "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    let expression = "return ['eve', 'sam'].indexOf(claims.user.username) >= 0;";
    post("policies", json!({ "name": "echo for eve", "expression": expression, "entitlements": [entitlement["id"]] }))
        .await;

    wrong_password(&controller, &admin).await;
    let client = ConnectedClient::start(dir.path(), &controller, "eve", "eve-Password-1", &[granted, refused]).await;
    let mut allowed = TcpStream::connect(&client.forwards[0]).await.unwrap();
    allowed.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    allowed.read_exact(&mut answer).await.unwrap();
    assert!(gives_nothing(&client.forwards[1]).await, "a flow that is not granted carried data");

    let revocation = json!({ "delayMinutes": 0, "revocationReason": "laptop lost" });
    admin.expect(Method::PUT, "token-records/revoked/by-dn/CN=eve,OU=local", Some(revocation), StatusCode::OK).await;
    assert!(matches!(allowed.read(&mut answer).await, Ok(0) | Err(_)), "a revoked session carried data");

    renew_and_sign_out(dir.path(), &controller, &admin).await;
    let _stopped = start_stopped(dir.path(), &controller, &admin).await;

    let wanted: &[(&str, &[(&str, &str)])] = &[
        ("device_claims_issued", &[("distinguished_name_user", "sam"), ("device_claims_token_id", "")]),
        ("token_renewed", &[("distinguished_name_user", "sam"), ("claims_token_id", "")]),
        ("token_revoked", &[("distinguished_name_user", "sam"), ("reason", "signed out")]),
        ("authorization_failed", &[("distinguished_name_user", "kim"), ("detail", "nobody called kim")]),
        ("authentication_failed", &[("distinguished_name_user", "eve"), ("reason", "")]),
        ("authentication_succeeded", &[("distinguished_name_user", "eve"), ("claims_token_id", "")]),
        (
            "authorization_succeeded",
            &[("distinguished_name_user", "eve"), ("policy_names", "echo for eve"), ("site_names", "Default Site")],
        ),
        ("entitlement_token_accepted", &[("distinguished_name_user", "eve")]),
        ("session_created", &[("distinguished_name_user", "eve")]),
        ("ip_access", &[("action", "allow"), ("rule_name", "echo"), ("destination_port", port)]),
        ("ip_access", &[("action", "drop"), ("drop_reason", "flow.no-rule")]),
        ("token_revoked", &[("reason", "laptop lost")]),
        ("session_removed", &[("distinguished_name_user", "eve"), ("reason", "session.revoked")]),
        ("entity_created", &[("entity_name", "echo")]),
    ];
    login(dir.path(), &controller);
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let records = logs(dir.path());
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(event, members)| !records.iter().any(|record| fits(record, event, members)))
            .collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "no record of {missing:?} among {records:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let secrets = ["-Password-1", ADMIN_PASSWORD, "eyJ"];
    let all = serde_json::to_string(&logs(dir.path())).unwrap();
    assert!(secrets.iter().all(|secret| !all.contains(secret)), "a secret stands in the audit log");
}

/// A client that renews and signs out, as its user tells it to.
async fn renew_and_sign_out(dir: &Path, controller: &Controller, admin: &Api) {
    add_user(admin, "sam").await;
    let _client = ConnectedClient::start(dir, controller, "sam", "sam-Password-1", &[]).await;
    let data = dir.join("sam-data");
    for command in ["renew", "sign-out"] {
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["client", command, "--data"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A client whose user a Stop policy keeps out.
async fn start_stopped(dir: &Path, controller: &Controller, admin: &Api) -> Process {
    add_user(admin, "kim").await;
    let policy =
        json!({ "name": "nobody called kim", "type": "Stop", "expression": "return claims.user.username === 'kim';" });
    admin.expect(Method::POST, "policies", Some(policy), StatusCode::OK).await;
    start_client(dir, controller, "kim", "kim-Password-1", &[])
}

async fn add_user(admin: &Api, name: &str) {
    let user =
        json!({ "name": name, "firstName": name, "lastName": "Example", "password": format!("{name}-Password-1") });
    admin.expect(Method::POST, "local-users", Some(user), StatusCode::OK).await;
}

/// A member fits when its text holds the wanted text; numbers and lists count by their JSON.
fn fits(record: &Value, event: &str, members: &[(&str, &str)]) -> bool {
    let holds = |(name, text): &(&str, &str)| {
        record.get(name).is_some_and(|value| value.to_string().contains(text) && !value.is_null())
    };
    record["event_type"] == event && members.iter().all(holds)
}

async fn wrong_password(controller: &Controller, admin: &Api) {
    let body = json!({ "providerName": "local", "username": "eve", "password": "wrong-Password-1", "deviceId": uuid::Uuid::new_v4() });
    controller.api().expect(Method::POST, "login", Some(body), StatusCode::UNAUTHORIZED).await;
    admin.expect(Method::GET, "sites", None, StatusCode::OK).await;
}

fn ctl(dir: &Path, args: &[&str]) -> String {
    let config = dir.join("ctl.json");
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("ctl")
        .arg("--config")
        .arg(config)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn login(dir: &Path, controller: &Controller) {
    let url = controller.admin_url.trim_end_matches("/admin");
    let (ca, password) = (controller.authority.to_str().unwrap(), dir.join("admin-password"));
    ctl(
        dir,
        &["login", "--url", url, "--ca", ca, "--username", "admin", "--password-file", password.to_str().unwrap()],
    );
}

/// All records, whether printed as one array or one a line.
fn logs(dir: &Path) -> Vec<Value> {
    let text = ctl(dir, &["logs", "--limit", "500", "--output", "json"]);
    match serde_json::from_str(&text) {
        Ok(Value::Array(records)) => records,
        _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
    }
}
