//! Conditions while access is used.

use std::time::{Duration, Instant};

use protocol::message::{ControlDown, FlowAnswer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    client::{Client, PATIENCE},
    services,
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_false_condition_holds_until_it_turns() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.condition("return claims.device.ready === true;").await;
    world.allow(echo).await;
    let device = world.device();
    let mut client = Client::admitted(&world, &device).await;
    let mut flow = client.tcp(echo).await;
    assert!(matches!(flow.answer().await, FlowAnswer::Held { message } if message.contains("healthy")));
    let told = client.next().await;
    assert!(
        matches!(told, ControlDown::ConditionFalse { condition, entitlements, .. } if condition == "healthy" && entitlements == ["servers"])
    );
    client.show(world.tokens(&device).reporting(json!({ "ready": true })).present()).await;
    assert_eq!(flow.answer().await, FlowAnswer::Open);
    flow.echo(b"at last").await;
    client.next_matching(|message| matches!(message, ControlDown::ConditionTrue { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_flow_is_refused_when_the_time_is_up() {
    let world = World::with(|config| config.limits.hold = Duration::from_millis(300)).await;
    let echo = testing::echo_server().await;
    world.condition("return false;").await;
    world.allow(echo).await;
    let client = Client::admitted(&world, &world.device()).await;
    assert_eq!(client.denied(echo).await, "flow.hold-timed-out");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_condition_denies_in_time_and_holds_up_nobody() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.condition("if (claims.device.bad) { for (;;) {} } return true;").await;
    world.allow(echo).await;
    let (good, bad) = (world.device(), world.device());
    let good = Client::admitted(&world, &good).await;
    let (bad, _) = Client::present(&world, &bad, world.tokens(&bad).reporting(json!({ "bad": true })).present()).await;
    let began = Instant::now();
    let denied = tokio::spawn(async move { bad.denied(echo).await });
    good.open_tcp(echo).await.echo(b"quick").await;
    assert_eq!(denied.await.unwrap(), "flow.condition-failed");
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_still_holds_loses_no_byte() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let client = Client::admitted(&world, &world.device()).await;
    let flow = client.open_tcp(echo).await;
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 253) as u8).collect();
    let (mut send, mut receive) = (flow.stream.send, flow.stream.receive);
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        for chunk in sent.chunks(10_000) {
            send.write_all(chunk).await.unwrap();
        }
        send.finish();
        send
    });
    let mut back = vec![0; 500_000];
    receive.read_exact(&mut back).await.unwrap();
    for number in 0..5 {
        world.condition(&format!("return {number} < 9;")).await;
    }
    receive.read_to_end(&mut back).await.unwrap();
    assert!(back == bytes, "{} bytes came back", back.len());
    drop(sending.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn reevaluation_looks_at_the_world_again() {
    reevaluation_beside(0).await;
}

/// So many are evaluated again in the background.
#[tokio::test(flavor = "multi_thread")]
async fn reevaluation_of_very_many_reaches_each() {
    reevaluation_beside(70).await;
}

async fn reevaluation_beside(others: usize) {
    let world = World::new().await;
    let mut idle = Vec::new();
    for _ in 0..others {
        let device = world.device();
        idle.push(Client::present(&world, &device, world.tokens(&device).present()).await);
    }
    let service = services::Stream::start().await;
    // True for as long as the clock is what it was at the first question.
    world.condition("return new Date().getTime() < Number(claims.device.until);").await;
    world.allow(service.address).await;
    let device = world.device();
    let until = time::OffsetDateTime::now_utc().unix_timestamp() * 1000 + 2_500;
    let tokens = world.tokens(&device).reporting(json!({ "until": until }));
    let (client, _) = Client::present(&world, &device, tokens.present()).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    let cut = busy.ended();
    let asking = async {
        loop {
            world.controller.reevaluate("OU=local").await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        ended = cut => assert_eq!(ended, (Some(2), Some(2))),
        () = asking => {}
    }
    assert_eq!(service.ended().await, services::End::Reset);
}
