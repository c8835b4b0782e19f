//! Signing in: one step, two steps, quirks, refusals, and the end of a session.

use super::*;

async fn open(world: &World, path: &str, body: Value) -> Reply {
    world.send(request(Method::POST, path, NEWEST, None).body(Body::from(body.to_string())).unwrap()).await
}

fn credentials(world: &World) -> Value {
    json!({ "providerName": "local", "username": "admin", "password": world.password, "deviceId": Uuid::from_u128(5) })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_step() {
    let world = World::new().await;
    let names =
        world.send(request(Method::GET, "/identity-providers/names", NEWEST, None).body(Body::empty()).unwrap()).await;
    assert_eq!(names.expect(StatusCode::OK)["data"], json!([{ "name": "local", "type": "Credentials" }]));
    let mut quirky = credentials(&world);
    let device = quirky["deviceId"].take();
    quirky.as_object_mut().unwrap().remove("deviceId");
    quirky["machineId"] = device;
    quirky["samlResponse"] = "".into();
    let answer = open(&world, "/login", quirky).await.expect(StatusCode::OK);
    assert_eq!(answer["user"]["name"], "admin");
    assert_eq!(answer["user"]["needTwoFactorAuth"], false);
    assert_eq!(answer["user"]["canAccessAuditLogs"], true);
    assert_eq!(answer["user"]["privileges"][0]["type"], "All");
    let token = answer["token"].as_str().unwrap();
    world.call_as(token, Method::GET, "/sites", None).await.expect(StatusCode::OK);
    let again = world.call_as(token, Method::GET, "/authorization", None).await.expect(StatusCode::OK);
    assert_eq!((&again["token"], &again["expires"]), (&answer["token"], &answer["expires"]));
    let devices = world.get("/on-boarded-devices").await.expect(StatusCode::OK);
    assert_eq!(devices["data"][0]["device_type"], "Admin");
    assert_eq!(devices["data"][0]["distinguishedName"], "CN=00000000000000000000000000000005,CN=admin,OU=local");
    assert_eq!(world.records("authentication_succeeded").await.len(), 1);
    assert_eq!(
        world.records("admin_authorization_succeeded").await[0]["admin_role_names"],
        json!(["System Administration"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_and_the_end() {
    let world = World::new().await;
    let partial = open(&world, "/authentication", credentials(&world)).await.expect(StatusCode::OK);
    assert_eq!(partial["user"]["privileges"], json!([]));
    let partial = partial["token"].as_str().unwrap();
    let body = world.call_as(partial, Method::POST, "/authentication/otp/initialize", Some(json!({}))).await;
    assert_eq!(body.expect(StatusCode::PRECONDITION_FAILED)["id"], "precondition failed");
    let full = world.call_as(partial, Method::GET, "/authorization", None).await.expect(StatusCode::OK);
    let full = full["token"].as_str().unwrap();
    world.call_as(full, Method::GET, "/sites", None).await.expect(StatusCode::OK);
    world.call_as(full, Method::POST, "/authentication/logout", None).await.expect(StatusCode::NO_CONTENT);
    world.call_as(full, Method::GET, "/sites", None).await.expect(StatusCode::UNAUTHORIZED);
    world.call_as(partial, Method::GET, "/authorization", None).await.expect(StatusCode::UNAUTHORIZED);
    world.get("/sites").await.expect(StatusCode::OK);
    let next = open(&world, "/login", credentials(&world)).await.expect(StatusCode::OK);
    world.call_as(next["token"].as_str().unwrap(), Method::GET, "/sites", None).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let world = World::new().await;
    let before = world.stored().await;
    let mut wrong = credentials(&world);
    wrong["password"] = "wrong".into();
    let refused = open(&world, "/login", wrong).await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(refused["failureType"], "Login");
    let mut unknown = credentials(&world);
    unknown["username"] = "nobody".into();
    let unknown = open(&world, "/login", unknown).await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(unknown, refused, "an unknown user reads as a wrong password");
    assert_eq!(
        open(&world, "/login", json!({ "deviceId": "x" })).await.fields(),
        ["providerName", "username", "password", "deviceId"]
    );
    assert_eq!(world.stored().await, before);

    world.post("/local-users", smallest(ObjectKind::LocalUser).unwrap()).await.expect(StatusCode::OK);
    let ana = json!({ "providerName": "local", "username": "ana", "password": "correct horse", "deviceId": Uuid::from_u128(6) });
    open(&world, "/login", ana.clone()).await.expect(StatusCode::FORBIDDEN);
    let partial = open(&world, "/authentication", ana).await.expect(StatusCode::OK);
    world
        .call_as(partial["token"].as_str().unwrap(), Method::GET, "/authorization", None)
        .await
        .expect(StatusCode::FORBIDDEN);
    assert_eq!(world.records("admin_authorization_failed").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_taken_away_is_gone_at_the_next_call() {
    let world = World::new().await;
    let token =
        world.token_for("watcher", json!([{ "type": "View", "target": "Site", "scope": { "all": true } }])).await;
    world.call_as(&token, Method::GET, "/sites", None).await.expect(StatusCode::OK);
    let role = world.get("/administrative-roles?name=watcher").await.expect(StatusCode::OK)["data"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.delete(&format!("/administrative-roles/{role}")).await.expect(StatusCode::NO_CONTENT);
    world.call_as(&token, Method::GET, "/sites", None).await.expect(StatusCode::FORBIDDEN);
}
