//! What an administrator sees of a live session, through real processes: entitlements, conditions, rules, claims, names.

use std::{path::Path, process::Command};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{ADMIN_PASSWORD, ALWAYS, ConnectedClient, Controller, DEFAULT_SITE, start_gateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctl_session_shows_what_is_held_and_why_not_more() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let mut gateway = start_gateway(dir.path(), &admin).await;
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let echo = testing::echo_server().await;
    let never = post("conditions", json!({ "name": "never", "expression": "return false;" })).await;
    let mut granted = Vec::new();
    for (name, condition) in [("echo", json!(ALWAYS)), ("closed", never["id"].clone())] {
        let action = json!({ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [echo.port().to_string()] });
        let body = json!({ "name": name, "site": DEFAULT_SITE, "conditions": [condition], "actions": [action] });
        granted.push(post("entitlements", body).await["id"].clone());
    }
    post("policies", json!({ "name": "staff", "expression": "return true;", "entitlements": granted })).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": "ana-Password-1" });
    post("local-users", user).await;
    let client = ConnectedClient::start(dir.path(), &controller, "ana", "ana-Password-1", &[echo.to_string()]).await;
    let mut flow = TcpStream::connect(&client.forwards[0]).await.unwrap();
    flow.write_all(b"hello").await.unwrap();
    flow.read_exact(&mut [0; 5]).await.unwrap();

    let (url, authority) = (controller.admin_url.clone(), controller.authority.display().to_string());
    std::fs::write(dir.path().join("password"), ADMIN_PASSWORD).unwrap();
    let login = ["login", "--url", &url, "--ca", &authority, "--username", "admin", "--password-file", "password"];
    ctl(dir.path(), &login).unwrap();
    let sessions: Value = serde_json::from_str(&ctl(dir.path(), &["--output", "json", "sessions"]).unwrap()).unwrap();
    let name = sessions[0]["distinguishedName"].as_str().unwrap().to_owned();

    let info: Value = serde_json::from_str(&ctl(dir.path(), &["--output", "json", "session", &name]).unwrap()).unwrap();
    let session = &info["data"]["gateway"];
    let held = &session["entitlementInfos"]["echo"];
    assert_eq!((&held["access"], &held["conditionResults"]), (&json!(true), &json!({ "Always": true })));
    assert_eq!(
        (&held["policyNames"], &held["firewallRules"][0]["subnets"]),
        (&json!(["staff"]), &json!(["127.0.0.1"]))
    );
    assert_eq!(held["firewallRules"][0]["ports"], json!([echo.port().to_string()]));
    assert_eq!(session["entitlementInfos"]["closed"]["access"], false);
    assert_eq!(
        (&session["userClaims"]["username"], &session["deviceClaims"]["os"]["family"]),
        (&json!("ana"), &json!("linux"))
    );
    assert_eq!((&session["vpn"]["flows"], &info["unanswered"]), (&json!(1), &json!([])));

    let table = ctl(dir.path(), &["session", &name]).unwrap();
    let row = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{table}"));
    assert!(row("echo ").contains("yes") && row("echo ").contains("Always=true"), "{table}");
    assert!(row("echo#0").contains("127.0.0.1") && row("user.username").contains("ana"), "{table}");

    let nobody = ctl(dir.path(), &["session", "CN=00000000000000000000000000000001,CN=nobody,OU=local"]).unwrap_err();
    assert!(nobody.contains("has no live session"), "{nobody}");

    gateway.kill();
    let lost = ctl(dir.path(), &["session", &name]).unwrap_err();
    assert!(lost.contains("`gateway` did not answer") || lost.contains("`gateway` is not connected"), "{lost}");
}

/// What the tool prints, or what it says when it fails.
fn ctl(dir: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["ctl", "--config", "ctl.json"]).args(args).current_dir(dir).env_remove("RUST_LOG");
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
