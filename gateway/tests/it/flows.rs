//! What is carried and what is not.

use std::net::SocketAddr;

use protocol::message::{FlowAnswer, TargetHost, Transport};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::Client,
    services,
    world::{World, action, allow},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_is_carried_and_nothing_else() {
    let world = World::new().await;
    let (granted, other) = (testing::echo_server().await, testing::echo_server().await);
    world.allow(granted).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut flow = client.open_tcp(granted).await;
    flow.echo(b"hello").await;
    assert_eq!(client.denied(other).await, "flow.no-rule");
    let elsewhere = SocketAddr::new("127.0.0.2".parse().unwrap(), granted.port());
    assert_eq!(client.denied(elsewhere).await, "flow.no-rule");
    flow.echo(b"still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_by_itself() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut flow = client.open_tcp(echo).await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut send, mut receive) = (flow.stream.send, flow.stream.receive);
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        send.write_all(&sent).await.unwrap();
        send.finish();
        send
    });
    let mut back = Vec::new();
    receive.read_to_end(&mut back).await.unwrap();
    assert!(back == bytes, "{} bytes came back", back.len());
    flow.stream.send = sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_never_dialled_unless_configured() {
    let world = World::with(|config| config.dial_allow.clear()).await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let client = Client::admitted(&world, &world.device()).await;
    assert_eq!(client.denied(echo).await, "flow.guarded");
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), echo.port());
    assert_eq!(client.denied(mapped).await, "flow.guarded");
    world.controller.record(|record| record["drop_reason"] == "flow.guarded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_carried_one_by_one() {
    let world = World::new().await;
    let echo = services::udp_echo().await;
    world.entitlement(json!([action("allow", "udp_up", "127.0.0.1", echo.port())])).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut flow = client.ask(Transport::Udp, TargetHost::Address(echo.ip()), echo.port()).await;
    assert_eq!(flow.answer().await, FlowAnswer::Open);
    for datagram in [b"one".to_vec(), Vec::new(), vec![9; 60_000]] {
        let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
        flow.echo(&[length.as_slice(), &datagram].concat()).await;
    }
    assert_eq!(client.denied(echo).await, "flow.no-rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved_by_the_gateway_and_followed() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let hosts = world.directory.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 git.corp.example\n").unwrap();
    let resolver =
        json!({ "name": "dns", "matchDomains": ["corp.example"], "servers": ["127.0.0.1:1"], "updateInterval": 1 });
    world.site(json!({ "nameResolution": { "useHostsFile": true, "dnsResolvers": [resolver] } })).await;
    world.entitlement(json!([action("allow", "tcp_up", "git.corp.example", echo.port())])).await;
    let client = Client::admitted(&world, &world.device()).await;
    let name = || TargetHost::Name("git.corp.example".into());
    let mut flow = client.ask(Transport::Tcp, name(), echo.port()).await;
    assert_eq!(flow.answer().await, FlowAnswer::Open);
    flow.echo(b"by name").await;
    client.open_tcp(echo).await.echo(b"by the address behind it").await;

    // The name moves away: flows to where it was end.
    std::fs::write(&hosts, "127.0.0.9 git.corp.example\n").unwrap();
    let (up, down) = flow.busy().ended().await;
    assert_eq!((up, down), (Some(2), Some(2)));
    assert_eq!(client.denied(echo).await, "flow.no-rule");
    let unknown = client.ask(Transport::Tcp, TargetHost::Name("no.corp.example".into()), 80).await.denial().await;
    assert!(unknown.code.starts_with("name."), "{}", unknown.code);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sites_name_servers_are_asked_on_their_port() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let address = tokio::sync::watch::Sender::new("127.0.0.1".parse().unwrap());
    let server = services::name_server("db.corp.example", address.subscribe()).await;
    let resolver = json!({ "name": "dns", "servers": [server.to_string()], "updateInterval": 1 });
    world.site(json!({ "nameResolution": { "dnsResolvers": [resolver] } })).await;
    world.entitlement(json!([action("allow", "tcp_up", "db.corp.example", echo.port())])).await;
    let client = Client::admitted(&world, &world.device()).await;
    let by_name = |name: &str| client.ask(Transport::Tcp, TargetHost::Name(name.into()), echo.port());
    let mut flow = by_name("DB.corp.example").await;
    assert_eq!(flow.answer().await, FlowAnswer::Open);
    flow.echo(b"found").await;
    assert_eq!(by_name("web.corp.example").await.denial().await.code, "name.unknown");
    address.send_replace("127.0.0.9".parse().unwrap());
    assert_eq!(flow.busy().ended().await, (Some(2), Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_script_says_where_to_and_a_broken_one_gives_nothing() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    let script = |id: u8, name: &str, expression: &str| {
        let id = uuid::Uuid::from_u128(u128::from(id));
        (
            protocol::object::ObjectKind::EntitlementScript,
            json!({ "id": id, "name": name, "type": "host", "expression": expression }),
        )
    };
    let scripts = [script(1, "good", "return ['127.0.0.1'];"), script(2, "bad", "for (;;) {}")];
    world.controller.put(scripts).await;
    let port = echo.port();
    world
        .entitlement(json!([
            action("allow", "tcp_up", "script://bad", port),
            action("allow", "tcp_up", "script://good", port)
        ]))
        .await;
    let client = Client::admitted(&world, &world.device()).await;
    client.open_tcp(echo).await.echo(b"found").await;
    let evaluated = world.controller.record(|record| record["event_type"] == "entitlement_token_evaluated").await;
    assert_eq!(evaluated["problems"][0]["rule_name"], "servers#0", "{evaluated}");

    // The script is edited and no longer answers the host.
    world.controller.put([script(1, "good", "return ['127.0.0.9'];")]).await;
    world
        .controller
        .record(|record| record["event_type"] == "entitlement_token_evaluated" && record["id"] != evaluated["id"])
        .await;
    assert_eq!(client.denied(echo).await, "flow.no-rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_is_told_apart_from_a_rule_that_refuses() {
    let world = World::new().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    world.entitlement(json!([allow(address)])).await;
    let client = Client::admitted(&world, &world.device()).await;
    assert_eq!(client.denied(address).await, "upstream.refused");
}
