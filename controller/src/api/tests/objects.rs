//! Objects of every kind: created, shown, replaced, listed, deleted; secrets, references and tags.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_created_shown_replaced_and_deleted() {
    let world = World::new().await;
    for kind in ObjectKind::ALL {
        let Some(document) = smallest(*kind) else { continue };
        let all = format!("/{}", kind.path());
        let made = world.post(&all, document.clone()).await.expect(StatusCode::OK);
        let one = format!("{all}/{}", made["id"].as_str().unwrap());
        assert_eq!(made["tags"], json!([]), "{kind}");
        assert_eq!(made["created"], made["updated"], "{kind}");
        assert_eq!(world.get(&one).await.expect(StatusCode::OK), made, "{kind}");
        let listed = world.get(&all).await.expect(StatusCode::OK);
        assert!(listed["data"].as_array().unwrap().contains(&made), "{kind}");
        let again = world.put(&one, made.clone()).await.expect(StatusCode::OK);
        assert_eq!(without_updated(again.clone()), without_updated(made), "{kind}");
        let mut named = document.clone();
        named["notes"] = "note".into();
        named["id"] = again["id"].clone();
        assert_eq!(world.put(&one, without_secrets(named)).await.expect(StatusCode::OK)["notes"], "note", "{kind}");
        assert_eq!(
            world.put(&one, without_secrets(document)).await.expect(StatusCode::OK).get("notes"),
            None,
            "{kind}"
        );
        world.delete(&one).await.expect(StatusCode::NO_CONTENT);
        world.get(&one).await.expect(StatusCode::NOT_FOUND);
        world.delete(&one).await.expect(StatusCode::NOT_FOUND);
    }
    for event in ["entity_created", "entity_updated", "entity_deleted"] {
        let records = world.records(event).await;
        let mine = records.iter().filter(|record| record["distinguished_name"] == ADMIN);
        assert!(mine.clone().count() >= 15, "{event}");
        assert!(mine.clone().all(|record| record["entity_type"].is_string() && record["entity_name"].is_string()));
    }
}

fn without_updated(mut document: Value) -> Value {
    document.as_object_mut().unwrap().remove("updated");
    document
}

fn without_secrets(mut document: Value) -> Value {
    for secret in ["password", "adminPassword", "sharedSecret", "file", "secret"] {
        document.as_object_mut().unwrap().remove(secret);
    }
    document
}

/// Whether every member of `part` is in `whole`; defaults may have been filled in beside them.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|other| holds(other, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        (whole, part) => whole == part,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_fresh_collective_shows_can_be_put_back() {
    let world = World::new().await;
    for kind in ObjectKind::ALL.iter().filter(|kind| **kind != ObjectKind::GlobalSettings) {
        let listed = world.get(&format!("/{}", kind.path())).await.expect(StatusCode::OK);
        for document in listed["data"].as_array().unwrap() {
            let path = format!("/{}/{}", kind.path(), document["id"].as_str().unwrap());
            let shown = world.put(&path, document.clone()).await.expect(StatusCode::OK);
            for (member, value) in document.as_object().unwrap().iter().filter(|(member, _)| *member != "updated") {
                assert!(holds(&shown[member], value), "{path} {member}");
            }
        }
    }
    let settings = world.get("/global-settings").await.expect(StatusCode::OK);
    assert_eq!(settings.get("id"), None);
    world.put("/global-settings", settings.clone()).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.get("/global-settings").await.expect(StatusCode::OK), settings);
    world
        .put(
            "/global-settings",
            json!({ "claimsTokenExpiration": 60, "entitlementTokenExpiration": 30, "administrationTokenExpiration": 20,
        "vpnCertificateExpiration": 100, "auditLogPersistenceMode": "Guaranteed" }),
        )
        .await
        .expect(StatusCode::NO_CONTENT);
    assert_eq!(world.get("/global-settings").await.expect(StatusCode::OK)["entitlementTokenExpiration"], 30);
    world.delete("/global-settings").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(world.get("/global-settings").await.expect(StatusCode::OK)["entitlementTokenExpiration"], 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_chooses_the_id_and_extras_are_ignored() {
    let world = World::new().await;
    let id = Uuid::from_u128(42);
    let document = json!({
        "id": id, "name": "ssh", "site": builtin::DEFAULT_SITE, "conditions": [builtin::ALWAYS_CONDITION], "siteName": "wrong", "created": "wrong", "extra": 1,
        "actions": [{ "subtype": "tcp_up", "action": "allow", "type": "IpAccess", "hosts": ["10.0.0.1,10.0.0.2"], "ports": ["22, 443"] }],
    });
    let made = world.post("/entitlements", document).await.expect(StatusCode::OK);
    assert_eq!(made["id"], id.to_string());
    assert_eq!(made["siteName"], "Default Site");
    assert_eq!(made["conditionLogic"], "and");
    assert_eq!(made.get("extra"), None);
    assert_eq!(made["actions"][0].get("type"), None);
    let parsed = world.controller.config.current();
    assert_eq!(parsed.object(ObjectKind::Entitlement, id).unwrap().body.get("siteName"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_shown_and_kept_when_left_out() {
    let world = World::new().await;
    let made =
        world.post("/identity-providers", smallest(ObjectKind::IdentityProvider).unwrap()).await.expect(StatusCode::OK);
    assert!(!made.to_string().contains("bind-secret"));
    let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    let path = format!("/identity-providers/{id}");
    let sealed = async || {
        let bytes =
            world.controller.store.secret(ObjectKind::IdentityProvider, id, "write-only").await.unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(sealed().await, r#"{"adminPassword":"bind-secret"}"#);
    world.put(&path, made.clone()).await.expect(StatusCode::OK);
    assert_eq!(sealed().await, r#"{"adminPassword":"bind-secret"}"#);
    let mut changed = made;
    changed["adminPassword"] = "other".into();
    world.put(&path, changed.clone()).await.expect(StatusCode::OK);
    assert_eq!(sealed().await, r#"{"adminPassword":"other"}"#);
    changed["name"] = "renamed".into();
    changed["type"] = "Radius".into();
    assert_eq!(world.put(&path, changed).await.fields(), ["name", "sharedSecret", "type"]);

    let site = json!({ "name": "clouds", "nameResolution": { "awsResolvers": [
        { "name": "a", "secretAccessKey": "key-a" }, { "name": "b", "secretAccessKey": "key-b" }] } });
    let made = world.post("/sites", site).await.expect(StatusCode::OK);
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let mut fewer = made.clone();
    fewer["nameResolution"]["awsResolvers"].as_array_mut().unwrap().remove(0);
    world.put(&format!("/sites/{id}"), fewer).await.expect(StatusCode::OK);
    let bytes = world.controller.store.secret(ObjectKind::Site, id, "write-only").await.unwrap().unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), r#"{"nameResolution.awsResolvers[b].secretAccessKey":"key-b"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_of_local_users_are_hashed_and_checked_for_length() {
    let world = World::new().await;
    let provider = format!("/identity-providers/{}", builtin::LOCAL_PROVIDER);
    let mut local = world.get(&provider).await.expect(StatusCode::OK);
    local["minPasswordLength"] = 12.into();
    world.put(&provider, local).await.expect(StatusCode::OK);
    let mut user = smallest(ObjectKind::LocalUser).unwrap();
    user["password"] = "short".into();
    assert_eq!(world.post("/local-users", user.clone()).await.fields(), ["password"]);
    user["password"] = "long enough now".into();
    let made = world.post("/local-users", user).await.expect(StatusCode::OK);
    assert_eq!(made.get("password"), None);
    assert_eq!(made["failedLoginAttempts"], 0);
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let phc = world.controller.store.secret(ObjectKind::LocalUser, id, "password").await.unwrap().unwrap();
    let phc = String::from_utf8(phc).unwrap();
    assert!(phc.starts_with("$argon2id$"));
    assert!(world.controller.passwords.verify(&phc, "long enough now").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_refer_to_and_what_the_system_needs_stays() {
    let world = World::new().await;
    let script = world
        .post("/entitlement-scripts", smallest(ObjectKind::EntitlementScript).unwrap())
        .await
        .expect(StatusCode::OK);
    let condition = world.post("/conditions", smallest(ObjectKind::Condition).unwrap()).await.expect(StatusCode::OK);
    let mut entitlement = smallest(ObjectKind::Entitlement).unwrap();
    entitlement["conditions"] = json!([condition["id"]]);
    entitlement["actions"][0]["hosts"] = json!(["script://team-hosts"]);
    let entitlement = world.post("/entitlements", entitlement).await.expect(StatusCode::OK);
    let policy = json!({ "name": "developers", "expression": "return true;", "entitlements": [entitlement["id"]] });
    let policy = world.post("/policies", policy).await.expect(StatusCode::OK);
    let path = |kind: &str, object: &Value| format!("/{kind}/{}", object["id"].as_str().unwrap());
    let order = [
        (path("entitlement-scripts", &script), "Entitlement `ssh`"),
        (path("conditions", &condition), "Entitlement `ssh`"),
        (path("entitlements", &entitlement), "Policy `developers`"),
    ];
    for (path, user) in &order {
        let body = world.delete(path).await.expect(StatusCode::CONFLICT);
        assert!(body["message"].as_str().unwrap().ends_with(&format!("is still used by {user}")), "{body}");
    }
    world.delete(&path("policies", &policy)).await.expect(StatusCode::NO_CONTENT);
    for (path, _) in order.iter().rev() {
        world.delete(path).await.expect(StatusCode::NO_CONTENT);
    }
    let own = world.controller.store.appliance();
    for needed in [
        format!("/identity-providers/{}", builtin::LOCAL_PROVIDER),
        format!("/local-users/{}", builtin::ADMIN_USER),
        format!("/sites/{}", builtin::DEFAULT_SITE),
        format!("/conditions/{}", builtin::ALWAYS_CONDITION),
        format!("/appliances/{own}"),
    ] {
        world.delete(&needed).await.expect(StatusCode::CONFLICT);
        world.get(&needed).await.expect(StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_and_changes_only_what_carries_its_tag() {
    let world = World::new().await;
    let scope = json!({ "tags": ["tenant-a"] });
    let tenant = world
        .token_for("tenant", json!([
            { "type": "View", "target": "Condition", "scope": scope }, { "type": "Edit", "target": "Condition", "scope": scope },
            { "type": "Delete", "target": "Condition", "scope": scope }, { "type": "Create", "target": "Condition", "defaultTags": ["tenant-a"] },
        ]))
        .await;
    let document = |name: &str| json!({ "name": name, "expression": "return true;" });
    let foreign = world.post("/conditions", document("foreign")).await.expect(StatusCode::OK);
    let own = world.call_as(&tenant, Method::POST, "/conditions", Some(document("own"))).await.expect(StatusCode::OK);
    assert_eq!(own["tags"], json!(["tenant-a"]));
    let listed = world.call_as(&tenant, Method::GET, "/conditions", None).await.expect(StatusCode::OK);
    assert_eq!(listed["data"], json!([own]));
    assert_eq!(listed["totalCount"], 1);
    let own = format!("/conditions/{}", own["id"].as_str().unwrap());
    let foreign = format!("/conditions/{}", foreign["id"].as_str().unwrap());
    world.call_as(&tenant, Method::GET, &foreign, None).await.expect(StatusCode::NOT_FOUND);
    world.call_as(&tenant, Method::PUT, &foreign, Some(document("mine"))).await.expect(StatusCode::NOT_FOUND);
    world.call_as(&tenant, Method::DELETE, &foreign, None).await.expect(StatusCode::NOT_FOUND);
    let mut escaping = document("own");
    escaping["tags"] = json!(["tenant-a", "tenant-b"]);
    world.call_as(&tenant, Method::PUT, &own, Some(escaping.clone())).await.expect(StatusCode::FORBIDDEN);
    escaping["name"] = "planted".into();
    world.call_as(&tenant, Method::POST, "/conditions", Some(escaping)).await.expect(StatusCode::FORBIDDEN);
    let mut kept = document("own");
    kept["tags"] = json!(["Tenant-A"]);
    world.call_as(&tenant, Method::PUT, &own, Some(kept)).await.expect(StatusCode::OK);
    world.call_as(&tenant, Method::DELETE, &own, None).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_follow_the_conventions_of_each_version() {
    let world = World::new().await;
    for name in ["alpha", "beta", "gamma"] {
        world.post("/sites", json!({ "name": name, "tags": [name.to_uppercase()] })).await.expect(StatusCode::OK);
    }
    let path = "/sites?query=a&query=t&range=0-0&orderBy=name&descending=true&tags=e";
    let accept = |version: u32| format!("application/vnd.appgate.peer-v{version}+json");
    let list = async |version: u32| {
        let reply = world
            .send(request(Method::GET, path, &accept(version), Some(&world.token)).body(Body::empty()).unwrap())
            .await;
        assert_eq!(reply.content_type, accept(version));
        reply.expect(StatusCode::OK)
    };
    let newest = list(23).await;
    assert_eq!(newest["data"].as_array().unwrap().len(), 1);
    assert_eq!(newest["data"][0]["name"], "beta");
    assert_eq!(newest["range"], "0-0/1");
    assert_eq!(newest["orderBy"], "name");
    assert_eq!(newest["descending"], true);
    assert_eq!(newest["queries"], json!(["a", "t"]));
    assert_eq!(newest["filterBy"], json!([{ "name": "tags", "value": "e" }]));
    assert_eq!(newest["totalCount"], 4);
    assert_eq!(newest.get("query"), None);
    let oldest = list(16).await;
    assert_eq!((oldest.get("queries"), oldest.get("totalCount")), (None, None));
    assert_eq!(oldest["query"], "a t");
    let middle = list(19).await;
    assert!(middle.get("queries").is_some() && middle.get("query").is_some() && middle.get("totalCount").is_some());
    assert_eq!(world.get("/sites?range=3-1&descending=x").await.fields(), ["range", "descending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_can_be_tried_out() {
    let world = World::new().await;
    world
        .post(
            "/criteria-scripts",
            json!({ "name": "staff", "expression": "return claims.user.groups.indexOf('staff') >= 0;" }),
        )
        .await
        .expect(StatusCode::OK);
    let test = json!({
        "expression": "console.log('hour ' + new Date().getUTCHours()); return staff(claims);",
        "userClaims": { "groups": ["staff"] }, "time": "2026-01-05T09:00:00Z",
    });
    let answer = world.post("/conditions/test", test).await.expect(StatusCode::OK);
    assert_eq!((&answer["result"], &answer["output"], answer.get("error")), (&json!(true), &json!("hour 9\n"), None));
    assert!(answer["executionMs"].is_number());
    let failing = world
        .post("/conditions/test", json!({ "expression": "return claims.user.nobody.x;" }))
        .await
        .expect(StatusCode::OK);
    assert_eq!(failing["result"], false);
    assert!(failing["error"].as_str().unwrap().contains("type"));
    let hosts = world
        .post("/entitlement-scripts/test", json!({ "expression": "return ['10.0.0.1'];", "type": "host" }))
        .await
        .expect(StatusCode::OK);
    assert_eq!(hosts["result"], json!(["10.0.0.1"]));
    assert_eq!(
        world.post("/entitlement-scripts/test", json!({ "userClaims": [] })).await.fields(),
        ["expression", "userClaims", "type"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_a_seed_and_a_device_script_its_checksum() {
    let world = World::new().await;
    let gateway = world.post("/appliances", smallest(ObjectKind::Appliance).unwrap()).await.expect(StatusCode::OK);
    assert_eq!(gateway["activated"], false);
    let seed = world
        .post(&format!("/appliances/{}/export", gateway["id"].as_str().unwrap()), json!({}))
        .await
        .expect(StatusCode::OK);
    assert_eq!(seed["applianceId"], gateway["id"]);
    assert!(seed["secret"].is_string() && seed["seed"].is_string() && seed["caFingerprint"].is_string());
    assert!(
        world
            .records("appliance_seed_exported")
            .await
            .iter()
            .all(|record| !record.to_string().contains(seed["secret"].as_str().unwrap()))
    );
    let own = world.controller.store.appliance();
    world.post(&format!("/appliances/{own}/export"), json!({})).await.expect(StatusCode::PRECONDITION_FAILED);
    let status = world.get("/appliances/status").await.expect(StatusCode::OK);
    let states: Vec<&str> =
        status["data"].as_array().unwrap().iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["healthy", "n/a"]);

    let script =
        world.post("/device-scripts", smallest(ObjectKind::DeviceScript).unwrap()).await.expect(StatusCode::OK);
    assert_eq!(script["checksumSha256"], "4726de74e6ad02ddb5decee701960c06c6fd91a871f95238350941eed7dbb22a");
    let file =
        world.get(&format!("/device-scripts/download/{}", script["id"].as_str().unwrap())).await.expect(StatusCode::OK);
    assert_eq!(file, json!({ "name": "disk", "filename": "disk.sh", "file": "ZWNobyBvawo=" }));

    let provider = format!("/identity-providers/{}", builtin::LOCAL_PROVIDER);
    let mut local = world.get(&provider).await.expect(StatusCode::OK);
    let mapping = json!({
        "command": "runScript", "claimName": "disk", "platform": "all", "parameters": { "name": "disk" },
    });
    local["onDemandClaimMappings"] = json!([mapping]);
    world.put(&provider, local.clone()).await.expect(StatusCode::OK);
    let script = format!("/device-scripts/{}", script["id"].as_str().unwrap());
    let body = world.delete(&script).await.expect(StatusCode::CONFLICT);
    assert!(body["message"].as_str().unwrap().ends_with("is still used by IdentityProvider `local`"), "{body}");
    local["onDemandClaimMappings"] = json!([]);
    world.put(&provider, local).await.expect(StatusCode::OK);
    world.delete(&script).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_recorded_and_a_full_buffer_says_so() {
    let world = World::new().await;
    world.get("/sites").await.expect(StatusCode::OK);
    let listed = world.records("entities_listed").await;
    assert_eq!((&listed[0]["entity_type"], &listed[0]["distinguished_name"]), (&json!("Site"), &json!(ADMIN)));

    let reads = crate::api::reads::Reads::new(Default::default());
    let actor = crate::api::reads::Actor { name: ADMIN.parse().unwrap(), address: None };
    let fill = |config: &crate::config::Config| {
        (0..3000).filter(|_| reads.record(config, actor.listed(ObjectKind::Site)).is_err()).count()
    };
    assert_eq!(fill(&world.controller.config.current()), 0);
    reads.flush(world.controller.store.as_ref()).await;
    assert_eq!(world.records("audit_records_dropped").await[0]["count"], 3000 - 2048);

    let mut settings = world.get("/global-settings").await.expect(StatusCode::OK);
    settings["auditLogPersistenceMode"] = "Guaranteed".into();
    world.put("/global-settings", settings).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(fill(&world.controller.config.current()), 3000 - 2048);
}
