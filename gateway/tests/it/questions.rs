//! What a gateway tells a controller that asks.

use std::net::{Ipv4Addr, SocketAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::token::{ClaimsKey, Content};
use protocol::message::{EntitlementDetails, FlowAnswer, GatewayAnswer, Question, Resolution, SessionDetails};
use serde_json::{Map, Value, json};

use crate::{
    client::{Client, Device},
    world::{World, action, allow},
};

async fn sessions(world: &World, device: &Device) -> Vec<SessionDetails> {
    match world.controller.ask(Question::Sessions { name: device.name.clone() }).await {
        GatewayAnswer::Sessions { sessions } => sessions,
        other => panic!("{other:?}"),
    }
}

async fn held(world: &World, device: &Device) -> EntitlementDetails {
    sessions(world, device).await[0].entitlements[0].clone()
}

async fn resolve(world: &World, resource: &str) -> Resolution {
    match world.controller.ask(Question::Resolve { resource: resource.to_owned() }).await {
        GatewayAnswer::Resolved(resolution) => resolution,
        other => panic!("{other:?}"),
    }
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_in_full_and_as_it_is_now() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let lost = action("allow", "tcp_up", "script://nowhere", 22);
    world.entitlement(json!([allow(echo), action("block", "udp_up", "10.0.0.0/8", 53), lost])).await;
    let device = world.device();
    let tokens = world.tokens(&device).reporting(json!({ "os": { "hostname": "laptop", "family": "linux" } }));
    let (client, _admitted) = Client::present(&world, &device, tokens.present()).await;

    let told = sessions(&world, &device).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].session, told[0].address), (device.session, Ipv4Addr::LOCALHOST.into()));
    assert_eq!(told[0].user, members(json!({ "username": "ana" })));
    assert_eq!(told[0].device["os"]["hostname"], "laptop");
    assert_eq!(told[0].system["clientSrcIP"], "127.0.0.1");
    let before = held(&world, &device).await;
    assert_eq!((before.name.as_str(), before.access, before.all_conditions), ("servers", false, true));
    assert_eq!(before.conditions, [("healthy".to_owned(), None)].into(), "nobody used it yet");
    assert_eq!(before.policies, ["staff"]);
    let rows: Vec<_> = before.rules.iter().map(|rule| (rule.name.as_str(), rule.action.as_str())).collect();
    assert_eq!(rows, [("servers#0", "allow"), ("servers#1", "block")]);
    assert_eq!(
        (&before.rules[0].subnets, &before.rules[0].ports),
        (&vec!["127.0.0.1".to_owned()], &vec![echo.port().to_string()])
    );
    assert_eq!(before.rules[1].subnets, ["10.0.0.0/8"]);
    assert_eq!(before.problems, ["servers#2: script `nowhere` does not exist or is of another type"]);

    let flow = client.open_tcp(echo).await;
    let used = sessions(&world, &device).await;
    assert_eq!((used[0].flows, used[0].entitlements[0].access), (1, true));
    assert_eq!(used[0].entitlements[0].conditions, [("healthy".to_owned(), Some(true))].into());

    world.condition("return false;").await;
    let mut waiting = client.tcp(echo).await;
    assert!(matches!(waiting.answer().await, FlowAnswer::Held { .. }));
    let denied = held(&world, &device).await;
    assert_eq!((denied.access, denied.conditions), (false, [("healthy".to_owned(), Some(false))].into()));
    drop((flow, waiting, client));
    world.controller.sessions(<[_]>::is_empty).await;
    assert!(sessions(&world, &device).await.is_empty());
    assert!(sessions(&world, &world.device()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_claims_are_used_and_not_told() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    world.condition("return claims.user.clearance === 'hidden-value';").await;
    world.entitlement(json!([allow(echo), action("allow", "tcp_up", "script://leak", 22)])).await;
    let leak = json!({
        "id": uuid::Uuid::new_v4(), "name": "leak", "type": "host", "expression": "return [claims.user.clearance + '!'];",
    });
    world.controller.put([(protocol::object::ObjectKind::EntitlementScript, leak)]).await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    let key = ClaimsKey::new(&STANDARD.decode(&world.facts().claims_key).unwrap()).unwrap();
    let Content::Claims(user) = &mut tokens.claims.content else { panic!("no claims") };
    user.encrypted = Some(key.seal(&members(json!({ "clearance": "hidden-value" })), [3; 12]).unwrap());
    let (client, _admitted) = Client::present(&world, &device, tokens.present()).await;
    client.open_tcp(echo).await;
    let told = sessions(&world, &device).await;
    assert!(told[0].entitlements[0].access, "the condition read the claim");
    let problems = &told[0].entitlements[0].problems;
    assert_eq!(problems.as_slice(), ["servers#1: script `leak` answered something that is no host or port"]);
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("hidden-value") && !text.contains("clearance"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_tried_and_those_in_use_are_listed() {
    let world = World::new().await;
    let hosts = world.directory.path().join("hosts");
    std::fs::write(&hosts, "10.1.2.3 wiki.example.com\n10.1.2.4 wiki.example.com\n").unwrap();
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = json!({ "name": "own", "servers": [silent.local_addr().unwrap().to_string()], "matchDomains": [] });
    world.site(json!({ "nameResolution": { "useHostsFile": true, "dnsResolvers": [resolver] } })).await;
    let known = resolve(&world, "Wiki.Example.com").await;
    assert_eq!((known.addresses, known.error), (vec!["10.1.2.3".to_owned(), "10.1.2.4".to_owned()], None));
    assert_eq!(resolve(&world, "10.0.0.0/8").await.addresses, ["10.0.0.0/8"]);
    assert_eq!(resolve(&world, "10.0.0.1").await.addresses, ["10.0.0.1"]);
    for (resource, error) in [
        ("other.example.com", "no name server answered in time"),
        ("aws://tag:Application=Wiki", "not resolved by this version"),
        ("script://hosts", "entitlement scripts"),
        ("not a name", "no address, network or name"),
    ] {
        let failed = resolve(&world, resource).await;
        assert!(failed.addresses.is_empty(), "{resource}");
        assert!(failed.error.as_ref().is_some_and(|text| text.contains(error)), "{resource}: {failed:?}");
    }

    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    world.entitlement(json!([allow(nobody), action("allow", "tcp_up", "wiki.example.com", 443)])).await;
    assert!(
        matches!(world.controller.ask(Question::Names).await, GatewayAnswer::Names { names, .. } if names.is_empty())
    );
    let device = world.device();
    let _client = Client::admitted(&world, &device).await;
    let GatewayAnswer::Names { names, truncated } = world.controller.ask(Question::Names).await else {
        panic!("no names")
    };
    assert_eq!(names.keys().collect::<Vec<_>>(), ["wiki.example.com"], "what was only tried is not in use");
    assert_eq!(
        (names["wiki.example.com"].addresses.len(), &names["wiki.example.com"].error, truncated),
        (2, &None, false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_say_what_the_client_is() {
    let world = World::new().await;
    let device = world.device();
    let claims = json!({
        "os": { "hostname": "h".repeat(1000), "family": "linux", "name": 7 }, "clientVersion": "1.2.3", "clientType": "headless",
    });
    let (_client, _admitted) =
        Client::present(&world, &device, world.tokens(&device).reporting(claims).present()).await;
    world
        .controller
        .sessions(|sessions| {
            let Some(client) = sessions.first().map(|session| &session.client) else { return false };
            client.hostname == Some("h".repeat(128))
                && client.os_family.as_deref() == Some("linux")
                && client.os_name.is_none()
                && client.version.as_deref() == Some("1.2.3")
        })
        .await;
}
