//! Every route: refused without a version, without a token and with a wrong one.

use super::*;
use crate::api::{
    caller::{Access, EXCEPTIONS},
    route::routes,
};

fn filled(path: &str) -> String {
    let path = path.strip_prefix("/admin").unwrap();
    path.replace("{id}", &Uuid::from_u128(1).to_string())
        .replace("{dn}", "CN=nobody,OU=nowhere")
        .replace("{type}", "All")
}

async fn statuses(world: &World, accept: &str, token: Option<&str>) -> Vec<(String, StatusCode)> {
    let mut found = Vec::new();
    for (method, path) in routes().listed {
        let reply =
            world.send(request(method.clone(), &filled(&path), accept, token).body(Body::from("{}")).unwrap()).await;
        found.push((format!("{method} {path}"), reply.status));
    }
    found
}

fn access(route: &str) -> Option<Access> {
    EXCEPTIONS.iter().find(|(method, path, _, _)| format!("{method} {path}") == route).map(|(_, _, access, _)| *access)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answers_without_a_believed_token() {
    let world = World::new().await;
    let before = world.stored().await;
    let mut forged = world.token.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    let name: DistinguishedName = ADMIN.parse().unwrap();
    let config = world.controller.config.current();
    let long_ago = world.controller.now() - time::Duration::days(30);
    let (expired, _) =
        world.controller.issuer.admin(&Subject::new(&name, &config, long_ago), &BTreeSet::new()).unwrap();
    for token in [None, Some(""), Some("x.y.z"), Some(forged.as_str()), Some(expired.as_str())] {
        for (route, status) in statuses(&world, NEWEST, token).await {
            match access(&route) {
                Some(Access::Open) => assert_ne!(status, StatusCode::UNAUTHORIZED, "{route}"),
                Some(Access::Partial) | None => assert_eq!(status, StatusCode::UNAUTHORIZED, "{route} {token:?}"),
            }
        }
    }
    assert_eq!(world.stored().await, before);
    let reasons: BTreeSet<String> = world
        .records("token_refused")
        .await
        .iter()
        .map(|record| record["reason"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        reasons.contains("token.signature") && reasons.contains("token.expired") && reasons.contains("token.malformed"),
        "{reasons:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_token_opens_the_sign_in_only() {
    let world = World::new().await;
    let credentials = json!({ "providerName": "local", "username": "admin", "password": world.password, "deviceId": Uuid::from_u128(3) });
    let partial = world
        .send(request(Method::POST, "/authentication", NEWEST, None).body(Body::from(credentials.to_string())).unwrap())
        .await;
    let partial = partial.expect(StatusCode::OK)["token"].as_str().unwrap().to_owned();
    for (method, path) in routes().listed {
        let route = format!("{method} {path}");
        if access(&route).is_none() {
            let reply = world
                .send(request(method, &filled(&path), NEWEST, Some(&partial)).body(Body::from("{}")).unwrap())
                .await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{route}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_checked_before_everything_else() {
    let world = World::new().await;
    for accept in [
        "application/vnd.appgate.peer-v0+json",
        "application/vnd.appgate.peer-v5+json",
        "application/vnd.appgate.peer-v24+json",
        "text/html",
    ] {
        for (route, status) in statuses(&world, accept, None).await {
            assert_eq!(status, StatusCode::NOT_ACCEPTABLE, "{route} {accept}");
        }
    }
    let reply = world
        .send(
            request(Method::POST, "/authentication", "application/vnd.appgate.peer-v5+json", None)
                .body(Body::from("{"))
                .unwrap(),
        )
        .await;
    let body = reply.expect(StatusCode::NOT_ACCEPTABLE);
    assert_eq!(body["id"], "not acceptable");
    assert_eq!((&body["minSupportedVersion"], &body["maxSupportedVersion"]), (&json!(16), &json!(23)));
    let none = Request::builder().uri("/admin/sites").body(Body::empty()).unwrap();
    world.send(none).await.expect(StatusCode::NOT_ACCEPTABLE);
    let version =
        world.send(request(Method::GET, "/version", "application/json", None).body(Body::empty()).unwrap()).await;
    assert_eq!(version.content_type, "application/json");
    assert_eq!(version.expect(StatusCode::OK), json!({ "peerVersion": 23, "lowestPeerVersionSupported": 16 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_are_told_to_those_with_a_token_only() {
    let world = World::new().await;
    for path in ["/nothing", "/token-records/revoked/by-dn/", "/sites/x/y/z"] {
        let reply = world.send(request(Method::GET, path, NEWEST, None).body(Body::empty()).unwrap()).await;
        reply.expect(StatusCode::UNAUTHORIZED);
        assert_eq!(world.get(path).await.expect(StatusCode::NOT_FOUND)["id"], "not found");
    }
    let reply = world.send(request(Method::PATCH, "/sites", NEWEST, None).body(Body::empty()).unwrap()).await;
    reply.expect(StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.call(Method::PATCH, "/sites", None).await.expect(StatusCode::METHOD_NOT_ALLOWED)["id"],
        "method not allowed"
    );
}

#[test]
fn every_exception_is_a_route() {
    let listed = routes().listed;
    for (method, path, _, reason) in EXCEPTIONS {
        assert!(listed.iter().any(|(other, route)| other == method && route == path), "{method} {path}");
        assert!(!reason.is_empty());
    }
}
