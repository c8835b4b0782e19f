//! What is stored and not resolved is said so.

use super::*;

async fn messages(world: &World) -> Vec<String> {
    let listed = world.get("/admin-messages").await.expect(StatusCode::OK);
    let text = |message: &Value| message["message"].as_str().unwrap().to_owned();
    listed["data"].as_array().unwrap().iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_no_gateway_resolves_are_a_message_until_they_are_others() {
    let world = World::new().await;
    let mut document = smallest(ObjectKind::Entitlement).unwrap();
    let hosts = ["10.0.0.1", "idns://wiki.example", "script://team-hosts"];
    document["actions"][0]["hosts"] = json!(hosts);
    let made = world.post("/entitlements", document).await.expect(StatusCode::OK);
    assert_eq!(messages(&world).await, [""; 0]);

    let path = format!("/entitlements/{}", made["id"].as_str().unwrap());
    let save = async |hosts: Value| {
        let mut document = made.clone();
        document["actions"][0]["hosts"] = hosts;
        world.put(&path, document).await.expect(StatusCode::OK);
        messages(&world).await
    };
    let cloud =
        json!(["10.0.0.1,aws://tag:Application=Wiki", r#"azure://{"lbs":["a","b"]}"#, "domain://*.example.com"]);
    let told = save(cloud.clone()).await;
    assert_eq!(told.len(), 1);
    for part in
        ["Entitlement \"ssh\"", "aws://tag:Application=Wiki", r#"azure://{"lbs":["a","b"]}"#, "domain://*.example.com"]
    {
        assert!(told[0].contains(part), "{told:?}");
    }
    assert_eq!(world.records("admin_message_posted").await.len(), 1);
    assert_eq!(save(cloud).await.len(), 1, "the same again is nothing new");
    assert_eq!(save(json!(["gcp://x"])).await.len(), 2);
    assert_eq!(save(json!(["10.0.0.1"])).await.len(), 2);
    assert_eq!(world.records("admin_message_posted").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn resolvers_that_no_gateway_asks_are_a_message() {
    let world = World::new().await;
    let site = |name: &str, resolution: Value| json!({ "name": name, "nameResolution": resolution });
    let plain = site("plain", json!({ "dnsResolvers": [{ "name": "own", "servers": ["10.0.0.53"] }] }));
    world.post("/sites", plain).await.expect(StatusCode::OK);
    assert_eq!(messages(&world).await, [""; 0]);
    let clouds = json!({ "awsResolvers": [{ "name": "a" }], "gcpResolvers": [{ "name": "g" }] });
    world.post("/sites", site("clouds", clouds)).await.expect(StatusCode::OK);
    let told = messages(&world).await;
    assert!(told.len() == 1 && told[0].ends_with("does not resolve: awsResolvers, gcpResolvers"), "{told:?}");
}
