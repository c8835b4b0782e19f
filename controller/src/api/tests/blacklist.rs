//! Users who may not sign in.

use super::*;

/// A local user with a password, named with the password so that it is hashed as the API does it.
async fn add_user(world: &World, name: &str) -> String {
    let password = format!("{name}-Password-1");
    let user = json!({ "name": name, "firstName": "Ana", "lastName": "Lind", "password": password });
    world.post("/local-users", user).await.expect(StatusCode::OK);
    password
}

async fn login(world: &World, name: &str, password: &str) -> StatusCode {
    let body =
        json!({ "providerName": "local", "username": name, "password": password, "deviceId": Uuid::from_u128(3) });
    let call = request(Method::POST, "/login", NEWEST, None).body(Body::from(body.to_string())).unwrap();
    world.send(call).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_the_list_loses_every_token_and_gets_none_until_taken_off() {
    let world = World::new().await;
    let password = add_user(&world, "ana").await;
    let name = "CN=00000000000000000000000000000001,CN=ana,OU=local";
    let token = world.token_with(name, &[builtin::SYSTEM_ROLE]).await;
    assert_eq!(login(&world, "ana", &password).await, StatusCode::FORBIDDEN, "she signs in, and may do nothing there");
    let entry = world.post("/blacklist", json!({ "username": "ana", "providerName": "local", "reason": "left" })).await;
    let entry = entry.expect(StatusCode::OK);
    assert_eq!((&entry["userDistinguishedName"], &entry["reason"]), (&json!("CN=ana,OU=local"), &json!("left")));
    assert!(entry["blacklistedAt"].as_str().unwrap().ends_with('Z'));
    world.call_as(&token, Method::GET, "/policies", None).await.expect(StatusCode::UNAUTHORIZED);
    world.get("/policies").await.expect(StatusCode::OK);
    assert_eq!(login(&world, "ana", &password).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.records("authentication_failed").await[0]["reason"], "blacklisted");
    assert_eq!(world.records("token_revoked").await[0]["reason"], "blacklisted: left");
    let listed = world.get("/blacklist?username=ana").await.expect(StatusCode::OK);
    assert_eq!(listed["data"], json!([entry]));

    let gone = world.delete("/blacklist/CN%3Dana%2COU%3Dlocal").await;
    gone.expect(StatusCode::NO_CONTENT);
    world.delete("/blacklist/CN%3Dana%2COU%3Dlocal").await.expect(StatusCode::NOT_FOUND);
    world.call_as(&token, Method::GET, "/policies", None).await.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(login(&world, "ana", &password).await, StatusCode::FORBIDDEN, "she signs in again");
    let made: Vec<Value> = world.records("entity_created").await;
    assert!(made.iter().any(|record| record["entity_type"] == "Blacklist" && record["reason"] == "left"), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_entries_are_refused_and_nobody_locks_themselves_out() {
    let world = World::new().await;
    let before = world.stored().await;
    let post = |body: Value| world.post("/blacklist", body);
    assert_eq!(post(json!({})).await.fields(), ["userDistinguishedName"]);
    assert_eq!(post(json!({ "username": "ana" })).await.fields(), ["providerName"]);
    assert_eq!(post(json!({ "providerName": "local" })).await.fields(), ["username"]);
    for wrong in ["OU=local", "ana", "CN=00000000000000000000000000000001,CN=ana,OU=local"] {
        let reply = post(json!({ "userDistinguishedName": wrong })).await;
        assert_eq!(reply.fields(), ["userDistinguishedName"], "{wrong}");
    }
    let elsewhere = json!({ "username": "ana", "providerName": "nowhere" });
    assert_eq!(post(elsewhere).await.fields(), ["providerName"]);
    let two = json!({ "userDistinguishedName": "CN=ana,OU=local", "username": "ben", "providerName": "local" });
    assert_eq!(post(two).await.fields(), ["userDistinguishedName"]);
    post(json!({ "userDistinguishedName": "CN=admin,OU=local" })).await.expect(StatusCode::CONFLICT);
    assert_eq!(world.delete("/blacklist/OU%3Dlocal").await.fields(), ["distinguished-name"]);
    assert_eq!(world.stored().await, before);
}
