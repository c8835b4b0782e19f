//! Device scripts through real processes: what one prints decides what its user may reach, while the client runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{ALWAYS, Api, Controller, DEFAULT_SITE, start_client_with, start_gateway, wait_for_json};

const POSTURE: &str = "return claims.device.posture === 'good';";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_follows_what_a_device_script_prints() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let echo = testing::echo_server().await;
    let posture = dir.path().join("posture");
    std::fs::write(&posture, "good\n").unwrap();
    configure(&admin, &posture, echo.port()).await;

    let more: &[&str] = &["--device-scripts", "also-as-root", "--device-interval", "1"];
    let destinations = [format!("127.0.0.1:{}", echo.port())];
    let _client = start_client_with(dir.path(), &controller, ("ana", "ana-Password-1"), &destinations, more);
    let ready = wait_for_json(&dir.path().join("ana.json")).await;
    let forward = ready["listeners"][0]["address"].as_str().unwrap().to_owned();
    let data = dir.path().join("ana-data");
    assert_eq!(reaches(&forward).await, Some(true));
    let mut held = TcpStream::connect(&forward).await.unwrap();
    held.write_all(b"held").await.unwrap();
    let mut answer = [0; 4];
    held.read_exact(&mut answer).await.unwrap();
    let signed_in = count(&admin, "authentication_succeeded", "ana").await;

    std::fs::write(&posture, "bad\n").unwrap();
    wait_until(&data, &forward, false).await;
    // Whatever way a connection ends whose permission is gone, nothing comes back on it any more.
    let ended = tokio::time::timeout(Duration::from_secs(20), held.read(&mut answer)).await.unwrap();
    assert!(ended.is_err() || ended.is_ok_and(|read| read == 0));

    std::fs::write(&posture, "good\n").unwrap();
    wait_until(&data, &forward, true).await;
    assert_eq!(count(&admin, "authentication_succeeded", "ana").await, signed_in, "nobody had to sign in again");
    assert!(count(&admin, "device_claims_issued", "ana").await >= 3, "each change was countersigned");
}

/// A script that prints a file, and one entitlement for those whose file says what is wanted.
async fn configure(admin: &Api, posture: &Path, port: u16) {
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let file = STANDARD.encode("#!/bin/sh\ncat \"$1\"\n");
    post("device-scripts", json!({ "name": "posture", "filename": "posture.sh", "file": file })).await;
    let providers = admin.expect(Method::GET, "identity-providers", None, StatusCode::OK).await;
    let mut provider =
        providers["data"].as_array().unwrap().iter().find(|provider| provider["name"] == "local").unwrap().clone();
    provider["onDemandClaimMappings"] = json!([{
        "command": "runScript", "claimName": "posture", "platform": "desktop.linux.all",
        "parameters": { "name": "posture", "args": format!("'{}'", posture.display()) },
    }]);
    let path = format!("identity-providers/{}", provider["id"].as_str().unwrap());
    admin.expect(Method::PUT, &path, Some(provider), StatusCode::OK).await;
    let actions =
        json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port.to_string()] }]);
    let entitlement = json!({ "name": "echo", "site": DEFAULT_SITE, "conditions": [ALWAYS], "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    post("policies", json!({ "name": "posture", "expression": POSTURE, "entitlements": [entitlement["id"]] })).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": "ana-Password-1" });
    post("local-users", user).await;
}

/// Whether the far end of a forward answers; nothing when that is not known in time.
async fn reaches(forward: &str) -> Option<bool> {
    let asking = async {
        let mut flow = TcpStream::connect(forward).await.ok()?;
        flow.write_all(b"hello").await.ok()?;
        let mut answer = [0; 5];
        flow.read_exact(&mut answer).await.ok()
    };
    tokio::time::timeout(Duration::from_secs(3), asking).await.ok().map(|answer| answer.is_some())
}

async fn wait_until(data: &Path, forward: &str, wanted: bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while reaches(forward).await != Some(wanted) {
        let status = client::status(data).await;
        assert!(Instant::now() < deadline, "access never becomes {wanted}: {status:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many audit records of a type tell of the user.
async fn count(admin: &Api, event: &str, username: &str) -> usize {
    let path = format!("audit-logs?limit=100&eventType={event}");
    let answer = admin.expect(Method::GET, &path, None, StatusCode::OK).await;
    let of_user = |record: &&Value| record.to_string().contains(&format!("CN={username},"));
    answer["data"].as_array().unwrap().iter().filter(of_user).count()
}
