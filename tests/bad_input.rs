//! What a client of the admin API gets for each kind of bad input, over a real TLS connection, and that none of it
//! changes anything stored.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{Api, Controller};

const CONDITIONS: &str = "conditions";

/// Every object the API lists, to see that nothing changed.
async fn everything(admin: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in [
        "policies",
        "conditions",
        "criteria-scripts",
        "entitlements",
        "entitlement-scripts",
        "sites",
        "local-users",
        "identity-providers",
        "appliances",
    ] {
        let list = admin.expect(Method::GET, kind, None, StatusCode::OK).await;
        all.push(list["data"].clone());
    }
    all
}

fn fields(answer: &Value) -> Vec<&str> {
    answer["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let before = everything(&admin).await;

    let raw = |body: &'static str| {
        let request = admin.http.post(format!("{}/{CONDITIONS}", admin.url)).bearer_auth(admin.token.clone().unwrap());
        request
            .header("Accept", "application/vnd.appgate.peer-v21+json")
            .header("Content-Type", "application/json")
            .body(body)
    };
    for broken in ["{", "", "[1,2", "{\"name\": tru}"] {
        assert_eq!(raw(broken).send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{broken}");
    }

    let wrong = json!({ "name": 7, "repeatSchedules": ["25:00"], "remedyMethods": [{ "type": "Reason" }] });
    let answer = admin.expect(Method::POST, CONDITIONS, Some(wrong), StatusCode::UNPROCESSABLE_ENTITY).await;
    for field in ["name", "expression", "repeatSchedules[0]", "remedyMethods[0].message"] {
        assert!(fields(&answer).contains(&field), "{field} is not named in {answer}");
    }

    let unparsable = json!({ "name": "broken", "expression": "var a = 1;\nreturn (a ===;" });
    let answer = admin.expect(Method::POST, CONDITIONS, Some(unparsable), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(fields(&answer), ["expression"]);
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("line 2"), "{answer}");

    let duplicate = json!({ "name": "Always", "expression": "return true;" });
    admin.expect(Method::POST, CONDITIONS, Some(duplicate), StatusCode::CONFLICT).await;
    let unknown = format!("{CONDITIONS}/{}", uuid::Uuid::new_v4());
    admin.expect(Method::GET, &unknown, None, StatusCode::NOT_FOUND).await;
    admin.expect(Method::DELETE, &unknown, None, StatusCode::NOT_FOUND).await;
    let dangling = json!({ "name": "nowhere", "site": uuid::Uuid::new_v4(), "conditions": [], "actions": [] });
    let answer = admin.expect(Method::POST, "entitlements", Some(dangling), StatusCode::UNPROCESSABLE_ENTITY).await;
    assert!(fields(&answer).contains(&"site"), "{answer}");

    let nobody = Api { token: None, ..admin.clone() };
    nobody.expect(Method::GET, CONDITIONS, None, StatusCode::UNAUTHORIZED).await;
    let forged = Api { token: Some("eyJhbGciOiJub25lIn0.e30.".to_owned()), ..admin.clone() };
    forged.expect(Method::GET, CONDITIONS, None, StatusCode::UNAUTHORIZED).await;

    // The version is looked at before anything else, authentication included.
    for version in [0, 5, 15, 24] {
        let answer = Api { version, ..nobody.clone() }
            .expect(Method::POST, "authentication", Some(json!([])), StatusCode::NOT_ACCEPTABLE)
            .await;
        assert_eq!((&answer["minSupportedVersion"], &answer["maxSupportedVersion"]), (&json!(16), &json!(23)));
    }

    let name = json!({ "name": "weak", "firstName": "No", "lastName": "Rights", "password": "weak-Password-1" });
    let user = admin.expect(Method::POST, "local-users", Some(name), StatusCode::OK).await;
    let body = json!({ "providerName": "local", "username": "weak", "password": "weak-Password-1", "deviceId": uuid::Uuid::new_v4() });
    nobody.expect(Method::POST, "login", Some(body), StatusCode::FORBIDDEN).await;
    admin
        .expect(Method::DELETE, &format!("local-users/{}", user["id"].as_str().unwrap()), None, StatusCode::NO_CONTENT)
        .await;

    assert_eq!(everything(&admin).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_above_the_limit_is_refused_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let body = json!({ "name": "big", "expression": "x".repeat(2 * 1024 * 1024) });
    // The refusal may overtake a sender who is still writing; then all it sees is that nobody reads any more.
    if let Ok((status, _)) = admin.call(Method::POST, CONDITIONS, Some(&body)).await {
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    // Without a length in front the sender is stopped long before it is done.
    let authority =
        rustls::pki_types::CertificateDer::from(pem_body(&std::fs::read_to_string(&controller.authority).unwrap()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority).unwrap();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let host = controller.admin_url.trim_start_matches("https://").trim_end_matches("/admin").to_owned();
    let tcp = tokio::net::TcpStream::connect(host.replace("localhost", "127.0.0.1")).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let mut stream = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let head = format!(
        "POST /admin/conditions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nAccept: application/vnd.appgate.peer-v21+json\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        admin.token.unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    // A refused sender sees its writes fail; a reader that never stops would take all of this.
    while sent < 64 * 1024 * 1024 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 0x10000;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let refused = String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 413");
    assert!(refused || sent < 32 * 1024 * 1024, "{sent} bytes were taken, answer {}", String::from_utf8_lossy(&answer));
}

fn pem_body(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
