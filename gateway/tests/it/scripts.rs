//! What scripts of a gateway see, call and leave behind.

use std::time::Duration;

use engine::dn::UserName;
use protocol::{
    message::{ControlDown, FlowAnswer, MessageLevel},
    object::ObjectKind,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use crate::{
    client::{Client, PATIENCE},
    world::{World, action},
};

async fn calling_world() -> World {
    World::with(|config| {
        config.script_networks = vec!["127.0.0.0/8".parse().unwrap()];
        config.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    })
    .await
}

async fn put_secret(world: &World, value: &str) {
    let body = json!({ "id": Uuid::from_u128(40), "name": "TICKETS", "secret": value, "allowedOrigins": [] });
    world.controller.put([(ObjectKind::Secret, body)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_calls_out_with_a_secret_and_leaves_records() {
    let mut world = calling_world().await;
    let (echo, web) = (testing::echo_server().await, testing::Web::start("open").await);
    put_secret(&world, "ticket-Token-1").await;
    let expression = format!(
        "var answer = httpGet('http://{}/ticket?user=' + claims.user.username, [{{key: 'X-Key', value: '%SECRET:TICKETS%'}}]);\n\
         auditLog('asked for ' + claims.user.username + ' %SECRET:TICKETS%');\n\
         return answer !== null && answer.data === 'open';",
        web.address
    );
    world.condition(&expression).await;
    world.allow(echo).await;
    let device = world.device();
    let client = Client::admitted(&world, &device).await;
    client.open_tcp(echo).await.echo(b"let in").await;
    let asked = web.requests();
    assert!(
        asked[0].starts_with("GET /ticket?user=ana HTTP/1.1\r\n") && asked[0].contains("ticket-Token-1"),
        "{asked:?}"
    );
    let call = world.controller.record(|record| record["event_type"] == "script_http_call").await;
    assert_eq!(
        (&call["script"], &call["url"], &call["status"]),
        (&json!("healthy"), &json!(format!("http://{}/ticket", web.address)), &json!(200))
    );
    assert_eq!(call["distinguished_name"], device.name.to_string());
    let told = world.controller.record(|record| record["event_type"] == "script_audit_log").await;
    assert!(told["message"].as_str().unwrap().starts_with("asked for ana "), "{told}");
    let all: Vec<String> = world.controller.records().into_iter().map(|record| record.record).collect();
    assert!(!all.concat().contains("ticket-Token-1"));

    let metrics = metrics(&world).await;
    assert!(metrics.contains("gw_session_js_exectime{type=\"condition\",measure=\"count\"} 1"), "{metrics}");
    assert!(metrics.contains("gw_vpn_sessions 1\n") && metrics.contains("no_new_privs"), "{metrics}");
    drop(client);

    // What is kept on disk is sealed, and a gateway that starts again without its controller still has the secret.
    world.controller.vanish().await;
    world.restart().await;
    for entry in std::fs::read_dir(world.directory.path().join("gateway")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("ticket-Token-1"));
    }
    let client = Client::admitted(&world, &world.device()).await;
    client.open_tcp(echo).await.echo(b"let in again").await;
    assert!(web.requests().last().unwrap().contains("ticket-Token-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_value_of_a_secret_asks_the_scripts_that_name_it_again() {
    let world = calling_world().await;
    let echo = testing::echo_server().await;
    let script = json!({
        "id": Uuid::from_u128(41), "name": "hosts", "type": "host",
        "expression": "return '%SECRET:TICKETS%' === 'right' ? ['127.0.0.1'] : [];",
    });
    world.controller.put([(ObjectKind::EntitlementScript, script)]).await;
    world.entitlement(json!([action("allow", "tcp_up", "script://hosts", echo.port())])).await;
    let client = Client::admitted(&world, &world.device()).await;
    assert_eq!(client.denied(echo).await, "flow.no-rule");
    put_secret(&world, "wrong").await;
    put_secret(&world, "right").await;
    let opened = async {
        loop {
            let mut flow = client.tcp(echo).await;
            if flow.answer().await == FlowAnswer::Open {
                return flow.echo(b"after all").await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, opened).await.expect("the new value is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_entitlement_scripts_see_what_user_claim_scripts_answered() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.condition("return claims.user.agScripted.team === 'red';").await;
    let script = json!({
        "id": Uuid::from_u128(41), "name": "hosts", "type": "host", "expression": "return claims.user.agScripted.hosts;",
    });
    world.controller.put([(ObjectKind::EntitlementScript, script)]).await;
    world.entitlement(json!([action("allow", "tcp_up", "script://hosts", echo.port())])).await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    tokens.grant().scripted = json!({ "team": "red", "hosts": ["127.0.0.1"] }).as_object().unwrap().clone();
    let (client, _) = Client::present(&world, &device, tokens.present()).await;
    client.open_tcp(echo).await.echo(b"red").await;
    let other = Client::admitted(&world, &world.device()).await;
    assert_eq!(other.denied(echo).await, "flow.no-rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_keeps_costing_others_is_reported_and_not_run_any_more() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.condition("for (;;) {}").await;
    world.allow(echo).await;
    let mut clients = Vec::new();
    for name in ["ana", "ben", "eve"] {
        let mut device = world.device();
        device.name.user = UserName::new(name, "local");
        clients.push(Client::admitted(&world, &device).await);
    }
    let asking = async {
        loop {
            for client in &clients {
                client.denied(echo).await;
            }
        }
    };
    let message = tokio::select! {
        message = world.controller.message(|message| message.message.contains("\"healthy\"")) => message,
        _ = asking => panic!("it asks for ever"),
    };
    assert_eq!(message.level, MessageLevel::Error);
    world.condition("return true;").await;
    clients[0].open_tcp(echo).await.echo(b"mended").await;
}

async fn metrics(world: &World) -> String {
    let mut stream = TcpStream::connect(world.gateway().metrics_address.unwrap()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn new_claims_ask_what_reads_them_and_new_entitlements_ask_everything() {
    let world = calling_world().await;
    let (echo, web) = (testing::echo_server().await, testing::Web::start("open").await);
    let asks = format!("return httpGet('http://{}/').data === 'open' && !claims.device.lost;", web.address);
    world.condition(&asks).await;
    world.allow(echo).await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    let (mut client, _) = Client::present(&world, &device, tokens.present()).await;
    let mut flow = client.open_tcp(echo).await;
    for told in [json!({ "color": "red" }), json!({ "color": "blue" }), json!({ "lost": false })] {
        assert_eq!(web.requests().len(), 1, "nothing it reads has changed");
        tokens = tokens.reporting(told);
        client.show(tokens.present()).await;
        client.next_matching(|message| matches!(message, ControlDown::Admitted { .. })).await;
        flow.echo(b"still there").await;
    }
    let asked = async |times: usize| {
        while web.requests().len() < times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(web.requests().len(), times);
    };
    tokio::time::timeout(PATIENCE, asked(2)).await.expect("a claim it reads has changed");
    client.show(world.tokens(&device).reporting(json!({ "lost": false })).present()).await;
    tokio::time::timeout(PATIENCE, asked(3)).await.expect("the entitlement token is new");
}
