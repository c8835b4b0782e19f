//! What the audit log says of a session's life.

use std::time::Duration;

use engine::token::TokenKind;
use protocol::message::ChainedRecord;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::{client::Client, world::World};

/// Each hash is over the 32 bytes of the one before and the record.
fn check_chain(records: &[ChainedRecord]) {
    let mut previous = vec![0; 32];
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.position, index as u64 + 1);
        previous = digest(&SHA256, &[&previous, record.record.as_bytes()].concat()).as_ref().to_vec();
        let hash: String = previous.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(record.hash, hash, "position {}", record.position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_life_is_told_in_one_unbroken_chain() {
    let mut world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let device = world.device();
    let client = Client::admitted(&world, &device).await;
    client.open_tcp(echo).await.echo(b"x").await;
    client.denied("127.0.0.1:9".parse().unwrap()).await;
    world.controller.sessions(|sessions| sessions.len() == 1).await;
    world.controller.revoke("OU=local", &[TokenKind::Claims], Duration::ZERO).await;
    let removed = world.controller.record(|record| record["event_type"] == "session_removed").await;
    assert_eq!(
        (&removed["reason"], &removed["revocation_reason"]),
        (&"session.revoked".into(), &"left the company".into())
    );
    assert_eq!(removed["distinguished_name"], device.name.to_string());
    assert_eq!(removed["client_ip"], "127.0.0.1");
    world.controller.sessions(<[_]>::is_empty).await;

    // A gateway that starts again goes on with its chain.
    world.restart().await;
    Client::admitted(&world, &world.device()).await;
    let created = |record: &Value| {
        record["event_type"] == "session_created" && record["session_id"] != device.session.to_string()
    };
    world.controller.record(created).await;
    let records = world.controller.records();
    check_chain(&records);
    let parsed: Vec<Value> = records.iter().map(|record| serde_json::from_str(&record.record).unwrap()).collect();
    let kinds: Vec<&str> = parsed
        .iter()
        .filter(|record| record["session_id"] == device.session.to_string())
        .filter_map(|record| record["event_type"].as_str())
        .collect();
    let expected = [
        "claims_token_accepted",
        "device_claims_accepted",
        "entitlement_token_accepted",
        "session_created",
        "entitlement_token_evaluated",
        "condition_evaluated",
        "ip_access",
        "ip_access",
        "session_removed",
    ];
    assert_eq!(kinds, expected);
    let access = |action: &str| parsed.iter().find(|record| record["action"] == action).unwrap();
    assert_eq!(access("allow")["rule_name"], "servers#0");
    assert_eq!(
        (&access("drop")["drop_reason"], &access("drop")["destination_port"]),
        (&"flow.no-rule".into(), &9.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_records_that_find_no_room_are_counted_in_the_chain() {
    let world = World::with(|config| config.limits.audit_bytes = 6_000).await;
    let client = Client::admitted(&world, &world.device()).await;
    world.controller.record(|record| record["event_type"] == "entitlement_token_evaluated").await;
    world.controller.vanish().await;
    for _ in 0..60 {
        client.denied("127.0.0.1:9".parse().unwrap()).await;
    }
    world.controller.resume().await;
    // Room is made by shipping; the next record brings the count along.
    let dropped = loop {
        client.denied("127.0.0.1:9".parse().unwrap()).await;
        let records = world.controller.records();
        let parsed = records.iter().map(|record| serde_json::from_str::<Value>(&record.record).unwrap());
        if let Some(dropped) = parsed.into_iter().find(|record| record["event_type"] == "audit_records_dropped") {
            break dropped;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(dropped["count"].as_u64().unwrap() > 10, "{dropped}");
    check_chain(&world.controller.records());
}
