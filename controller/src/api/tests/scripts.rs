//! Secrets, trusted certificates, admin messages, and trying scripts out.

use protocol::message::{AdminMessage, MessageCategory, MessageLevel};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_written_and_never_read() {
    let world = World::new().await;
    let document =
        json!({ "name": "GRAPH_TOKEN", "secret": "graph-secret", "allowedOrigins": ["https://graph.example.com"] });
    let made = world.post("/secrets", document).await.expect(StatusCode::OK);
    assert_eq!(made.get("secret"), None);
    assert_eq!(made["allowedOrigins"], json!(["https://graph.example.com"]));
    let path = format!("/secrets/{}", made["id"].as_str().unwrap());
    world.put(&path, json!({ "name": "GRAPH_TOKEN" })).await.expect(StatusCode::OK);
    assert_eq!(tried(&world, "%SECRET:GRAPH_TOKEN%").await["result"], true, "an update without the value keeps it");
    world.put(&path, json!({ "name": "GRAPH_TOKEN", "secret": "another" })).await.expect(StatusCode::OK);
    assert_eq!(tried(&world, "%SECRET:GRAPH_TOKEN%").await["result"], false);
    assert_eq!(world.post("/secrets", json!({ "name": "A%B" })).await.fields(), ["name", "secret"]);
    let origins = json!(["https://graph.example.com/path", "graph.example.com", "https://ok.example.com"]);
    let wrong = json!({ "name": "B", "secret": "x", "allowedOrigins": origins });
    assert_eq!(world.post("/secrets", wrong).await.fields(), ["allowedOrigins[0]", "allowedOrigins[1]"]);
}

/// Tries out whether a text is what the secret was first.
async fn tried(world: &World, text: &str) -> Value {
    let expression = format!("return '{text}' === 'graph' + '-secret';");
    world.post("/conditions/test", json!({ "expression": expression })).await.expect(StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_uses_only_secrets_that_its_caller_may_view() {
    let world = World::new().await;
    let secret = |name: &str, tag: &str| json!({ "name": name, "secret": "graph-secret", "tags": [tag] });
    world.post("/secrets", secret("MINE", "tenant")).await.expect(StatusCode::OK);
    world.post("/secrets", secret("THEIRS", "others")).await.expect(StatusCode::OK);
    let privileges = json!([
        { "type": "Test", "target": "Condition" },
        { "type": "View", "target": "Secret", "scope": { "tags": ["tenant"] } },
    ]);
    let token = world.token_for("tenant", privileges).await;
    let test = async |name: &str| {
        let body = json!({ "expression": format!("return '%SECRET:{name}%' === 'graph' + '-secret';") });
        world.call_as(&token, Method::POST, "/conditions/test", Some(body)).await.expect(StatusCode::OK)
    };
    assert_eq!(test("MINE").await["result"], true);
    let (theirs, nobodys) = (test("THEIRS").await, test("NOBODYS").await);
    for answer in [&theirs, &nobodys] {
        assert_eq!((&answer["result"], &answer["errorDetails"]["kind"]), (&json!(false), &json!("secret-missing")));
        assert!(answer["error"].as_str().unwrap().contains("only secrets that you may view"), "{answer}");
    }
    let told = |answer: &Value, name: &str| answer["error"].as_str().unwrap().replace(name, "X");
    assert_eq!(told(&theirs, "THEIRS"), told(&nobodys, "NOBODYS"), "a hidden secret is not told from a missing one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_answers_what_the_run_took() {
    let world = World::new().await;
    world
        .post(
            "/criteria-scripts",
            json!({ "name": "isStaff", "expression": "return claims.user.tags.indexOf('staff') >= 0;" }),
        )
        .await
        .expect(StatusCode::OK);
    let body = json!({
        "expression": "console.log('looking'); auditLog('looked'); return isStaff(claims);",
        "userClaims": { "tags": ["staff"] },
    });
    let answer = world.post("/conditions/test", body).await.expect(StatusCode::OK);
    assert_eq!((&answer["result"], &answer["output"]), (&json!(true), &json!("looking\n")));
    assert_eq!((answer.get("error"), answer.get("errorDetails")), (None, None));
    assert!(answer["executionMs"].as_f64().is_some() && answer["instructions"].as_u64().is_some(), "{answer}");
    assert!(["warm", "fresh", "native"].contains(&answer["lane"].as_str().unwrap()), "{answer}");
    assert_eq!((&answer["httpCalls"], &answer["auditLog"]), (&json!([]), &json!(["looked"])));
    assert!(answer["claimsRead"].is_array());
    assert!(world.records("script_audit_log").await.is_empty(), "what a test says is shown and not logged");

    let body = json!({ "expression": "var a = 1;\nreturn claims.user.nothing.here;" });
    let answer = world.post("/user-scripts/test", body).await.expect(StatusCode::OK);
    assert_eq!(answer["result"], json!({}));
    let details = &answer["errorDetails"];
    assert_eq!((&details["kind"], &details["line"], &details["script"]), (&json!("type"), &json!(2), &json!("test")));
    let body = json!({ "expression": "return httpGet('http://169.254.169.254/latest');", "type": "host" });
    let answer = world.post("/entitlement-scripts/test", body).await.expect(StatusCode::OK);
    assert_eq!((&answer["result"], &answer["errorDetails"]["kind"]), (&json!([]), &json!("http-refused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_criteria_script_cannot_take_the_name_of_something_built_in() {
    let world = World::new().await;
    for name in ["claims", "httpGet", "JSON", "parseInt"] {
        let body = json!({ "name": name, "expression": "return true;" });
        assert_eq!(world.post("/criteria-scripts", body).await.fields(), ["name"], "{name}");
    }
    let java = json!({ "name": "java", "expression": "var list = Java.type('java.util.ArrayList'); return true;" });
    assert_eq!(world.post("/criteria-scripts", java).await.fields(), ["expression"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_certificate_is_checked_and_described() {
    let world = World::new().await;
    let made = world.post("/trusted-certificates", smallest(ObjectKind::TrustedCertificate).unwrap()).await;
    let made = made.expect(StatusCode::OK);
    let details = &made["details"];
    assert_eq!(details["version"], 3);
    assert_eq!(details["fingerprint"].as_str().unwrap().len(), 64);
    assert!(details["validFrom"].as_str().unwrap() < details["validTo"].as_str().unwrap());
    for pem in ["no certificate".to_owned(), certificate() + &certificate(), certificate().replace("MII", "AAA")] {
        assert_eq!(world.post("/trusted-certificates", json!({ "name": "x", "pem": pem })).await.fields(), ["pem"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_messages_are_listed_summed_up_settled_and_deleted() {
    let world = World::new().await;
    let store = world.controller.store.as_ref();
    let message = |text: &str| AdminMessage {
        level: MessageLevel::Error,
        category: MessageCategory::Configuration,
        message: text.to_owned(),
    };
    let gateway = engine::id::ApplianceId::new(Uuid::from_u128(77));
    for (source, text) in
        [(store.appliance(), "slow"), (store.appliance(), "slow"), (gateway, "slow"), (gateway, "odd")]
    {
        crate::messages::post(store, source, message(text)).await;
    }
    let listed = world.get("/admin-messages").await.expect(StatusCode::OK);
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    let summed = world.get("/admin-messages/summarize").await.expect(StatusCode::OK);
    let slow = summed["data"].as_array().unwrap().iter().find(|entry| entry["message"] == "slow").unwrap().clone();
    assert_eq!(
        (&slow["count"], &slow["level"], &slow["category"]),
        (&json!(3), &json!("Error"), &json!("Configuration"))
    );
    assert_eq!(slow["sources"].as_array().unwrap().len(), 2);
    assert_eq!(world.records("admin_message_posted").await.len(), 4);

    let path = format!("/admin-messages/{}", slow["metadata"]["id"].as_str().unwrap());
    let status = |status: &str| json!({ "message": "slow", "status": status });
    assert_eq!(world.put(&path, status("Gone")).await.fields(), ["status"]);
    world.put(&path, status("Resolved")).await.expect(StatusCode::OK);
    let statuses = async || {
        let listed = world.get("/admin-messages?message=slow").await.expect(StatusCode::OK);
        let statuses = listed["data"].as_array().unwrap().iter().map(|entry| entry["status"].clone());
        statuses.collect::<Vec<Value>>()
    };
    assert_eq!(statuses().await, ["Resolved", "Resolved"]);
    crate::messages::post(store, gateway, message("slow")).await;
    let mut after = statuses().await;
    after.sort_by_key(Value::to_string);
    assert_eq!(after, ["Resolved", "Unresolved"], "one that comes again is open again");
    world.put("/admin-messages/nothing", status("Muted")).await.expect(StatusCode::NOT_FOUND);

    world.delete(&format!("/admin-messages?message=slow&source={gateway}")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(statuses().await.len(), 1);
    world.delete("/admin-messages").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.get("/admin-messages").await.expect(StatusCode::OK)["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn user_claim_scripts_decide_about_administrators_too() {
    let world = World::new().await;
    let script = json!({ "name": "duty", "expression": "return { onDuty: claims.user.username === 'admin' };" });
    let script = world.post("/user-scripts", script).await.expect(StatusCode::OK);
    let provider = format!("/identity-providers/{}", builtin::LOCAL_PROVIDER);
    let mut document = world.get(&provider).await.expect(StatusCode::OK);
    document["userScripts"] = json!([script["id"]]);
    world.put(&provider, document).await.expect(StatusCode::OK);
    let policy = format!("/policies/{}", builtin::ADMIN_POLICY);
    let mut document = world.get(&policy).await.expect(StatusCode::OK);
    document["expression"] = "return claims.user.agScripted.onDuty;".into();
    world.put(&policy, document).await.expect(StatusCode::OK);
    let credentials = json!({
        "providerName": "local", "username": "admin", "password": world.password, "deviceId": Uuid::from_u128(5),
    });
    let login = request(Method::POST, "/login", NEWEST, None).body(Body::from(credentials.to_string())).unwrap();
    world.send(login).await.expect(StatusCode::OK);
    let told = &world.records("admin_authorization_succeeded").await[0];
    assert_eq!(told["scripted_user_claims"], json!({ "onDuty": true }));
}
