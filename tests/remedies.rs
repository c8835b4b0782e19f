//! A false condition asks the user for a reason and the password; a connection waits until both are given.

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{Api, ConnectedClient, Controller, DEFAULT_SITE, start_gateway};

const PASSWORD: &str = "ana-Password-1";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_waits_for_a_reason_and_the_password() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let echo = testing::echo_server().await;
    grant(&admin, echo.port()).await;
    let client = ConnectedClient::start(dir.path(), &controller, "ana", PASSWORD, &[echo.to_string()]).await;
    let waiting = tokio::spawn(talk(client.forwards[0].clone()));

    let unmet = unmet(dir.path()).await;
    assert_eq!(unmet["condition"], "change window");
    let asked: Vec<&Value> = unmet["remedies"].as_array().unwrap().iter().map(|remedy| &remedy["kind"]).collect();
    assert_eq!(asked, ["reason", "password"], "in the administrator's order");

    let empty = answer(dir.path(), &["--reason", "  "]);
    assert!(said(&empty).contains("give a reason"), "{}", said(&empty));
    assert!(answer(dir.path(), &["--reason", "deploy of ticket 42"]).status.success());
    assert!(!waiting.is_finished(), "a reason alone is not enough");
    for _ in 0..2 {
        let wrong = answer_password(dir.path(), "not-her-Password-1");
        assert!(said(&wrong).contains("the password is wrong"), "{}", said(&wrong));
    }
    assert!(!waiting.is_finished(), "a wrong password opened something");
    assert!(answer_password(dir.path(), PASSWORD).status.success());
    let heard = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it goes on").unwrap();
    assert_eq!(&heard, b"hello");
    assert!(status(dir.path())["sites"][0]["unmet"].as_array().unwrap().is_empty());
    let again = answer(dir.path(), &["--reason", "once more"]);
    assert!(said(&again).contains("asks for nothing now"), "{}", said(&again));

    let records = admin.expect(Method::GET, "audit-logs?eventType=remedy_answered", None, StatusCode::OK).await;
    let records: Vec<&Value> = records["data"].as_array().map(|list| list.iter().collect()).unwrap_or_default();
    let reason = records.iter().find(|record| record["remedy_type"] == "Reason");
    assert_eq!(reason.map(|record| &record["reason"]), Some(&json!("deploy of ticket 42")), "{records:?}");
    assert!(records.iter().any(|record| record["remedy_type"] == "PasswordAuthentication"), "{records:?}");
    let log = std::fs::read_to_string(dir.path().join("controller.log")).unwrap_or_default();
    assert!(!log.contains(PASSWORD) && !log.contains("not-her-Password-1"), "a password was logged");
}

/// An entitlement to the port that needs a reason and the password, both not older than five minutes.
async fn grant(admin: &Api, port: u16) {
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let providers = admin.expect(Method::GET, "identity-providers?name=local", None, StatusCode::OK).await;
    let providers = providers["data"].as_array().unwrap();
    let local = &providers.iter().find(|provider| provider["name"] == "local").unwrap()["id"];
    let remedies = json!([
        { "type": "DisplayMessage", "message": "Changes need a reason." },
        { "type": "Reason", "message": "Which change is this?", "claimSuffix": "change" },
        { "type": "PasswordAuthentication", "message": "Show that it is you.", "claimSuffix": "change", "providerId": local },
    ]);
    let expression = "return claims.user.hasReason('change', 5) && claims.user.hasPassword('change', 5);";
    let condition = json!({ "name": "change window", "expression": expression, "remedyMethods": remedies });
    let condition = post("conditions", condition).await;
    let actions =
        json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port.to_string()] }]);
    let entitlement =
        json!({ "name": "echo", "site": DEFAULT_SITE, "conditions": [condition["id"]], "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    post("policies", json!({ "name": "all", "expression": "return true;", "entitlements": [entitlement["id"]] })).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": PASSWORD });
    post("local-users", user).await;
}

async fn talk(forward: String) -> [u8; 5] {
    let mut flow = TcpStream::connect(forward).await.unwrap();
    flow.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    flow.read_exact(&mut heard).await.unwrap();
    heard
}

/// The condition the client waits for, once it does.
async fn unmet(dir: &Path) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let unmet = status(dir)["sites"][0]["unmet"][0].clone();
        if unmet.is_object() {
            return unmet;
        }
        assert!(Instant::now() < deadline, "the client is asked for nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn status(dir: &Path) -> Value {
    let output = client(dir, &["status", "--output", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn answer(dir: &Path, more: &[&str]) -> Output {
    client(dir, &[&["answer", "change window"], more].concat())
}

fn answer_password(dir: &Path, password: &str) -> Output {
    let file = dir.join("answer");
    std::fs::write(&file, password).unwrap();
    answer(dir, &["--password-file", file.to_str().unwrap()])
}

fn client(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("client").args(args).arg("--data").arg(dir.join("ana-data")).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
