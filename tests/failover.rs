//! Gateways that are killed while no controller is there, and users who are kept out.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{
    ALWAYS, Api, ConnectedClient, Controller, DEFAULT_SITE, gives_nothing, start_gateway, start_gateway_named,
};

const PASSWORD: &str = "ana-Password-1";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_is_left_for_another_while_every_controller_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let mut gateways = Vec::new();
    for name in ["north", "south"] {
        gateways.push(start_gateway_named(dir.path(), &admin, name, &[]).await);
    }
    let echo = testing::echo_server().await;
    grant(&admin, echo.port()).await;
    let client = ConnectedClient::start(dir.path(), &controller, "ana", PASSWORD, &[echo.to_string()]).await;
    let forward = &client.forwards[0];
    assert!(talk(forward).await.is_some());

    controller.process.kill();
    let serving = status(dir.path())["sites"][0]["gateway"].as_str().unwrap().to_owned();
    let place = gateways.iter().position(|(_, address)| *address == serving).unwrap();
    gateways.remove(place).0.kill();
    let killed = Instant::now();
    while talk(forward).await.is_none() {
        assert!(killed.elapsed() < Duration::from_secs(20), "no gateway took over");
    }
    let took = killed.elapsed();
    println!("a new connection through another gateway {} ms after the kill", took.as_millis());
    assert!(took < Duration::from_secs(10), "{took:?}");

    gateways.remove(0).0.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(dir.path())["sites"][0]["code"] != "client.gateway-away" {
        assert!(Instant::now() < deadline, "{}", status(dir.path()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shown = client_says(dir.path(), &["status"]);
    assert!(shown.contains("the next attempt is in"), "{shown}");
    assert!(shown.contains("Default Site: to do: wait, the client keeps trying"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blacklisted_user_is_cut_and_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let echo = testing::echo_server().await;
    grant(&admin, echo.port()).await;
    let client = ConnectedClient::start(dir.path(), &controller, "ana", PASSWORD, &[echo.to_string()]).await;
    let mut flow = TcpStream::connect(&client.forwards[0]).await.unwrap();
    flow.write_all(b"hello").await.unwrap();
    flow.read_exact(&mut [0; 5]).await.unwrap();
    let entry = json!({ "userDistinguishedName": "CN=ana,OU=local", "reason": "left" });
    admin.expect(Method::POST, "blacklist", Some(entry), StatusCode::OK).await;
    assert!(matches!(flow.read(&mut [0]).await, Ok(0) | Err(_)), "a blacklisted user's flow carried data");
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(dir.path())["state"] != "must-sign-in" {
        assert!(Instant::now() < deadline, "{}", status(dir.path()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(gives_nothing(&client.forwards[0]).await);
    let again = dir.path().join("again");
    let signing_in = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["client", "--controller", &controller.client_address, "--ca-fingerprint", &controller.fingerprint])
        .args(["--provider", "local", "--username", "ana", "--password-file"])
        .arg(dir.path().join("ana-password"))
        .arg("--data")
        .arg(again)
        .output()
        .unwrap();
    assert!(!signing_in.status.success());
    let said = String::from_utf8_lossy(&signing_in.stderr).into_owned();
    assert!(said.contains("user name or password is wrong, or the account is locked or disabled"), "{said}");
}

/// Gives `ana` the port on loopback.
async fn grant(admin: &Api, port: u16) {
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let actions =
        json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port.to_string()] }]);
    let entitlement = json!({ "name": "echo", "site": DEFAULT_SITE, "conditions": [ALWAYS], "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    post("policies", json!({ "name": "all", "expression": "return true;", "entitlements": [entitlement["id"]] })).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": PASSWORD });
    post("local-users", user).await;
}

/// One connection through a forward; nothing when it is reset.
async fn talk(forward: &str) -> Option<[u8; 5]> {
    let mut flow = TcpStream::connect(forward).await.ok()?;
    flow.write_all(b"hello").await.ok()?;
    let mut heard = [0; 5];
    flow.read_exact(&mut heard).await.ok()?;
    Some(heard)
}

fn status(dir: &Path) -> Value {
    serde_json::from_str(&client_says(dir, &["status", "--output", "json"])).unwrap()
}

fn client_says(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.arg("client").args(args).arg("--data").arg(dir.join("ana-data")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
