//! Controllers come and go; sessions stay.

use std::time::Duration;

use engine::token::TokenKind;
use protocol::message::ControlDown;
use serde_json::json;

use crate::{client::Client, services, world::World};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_sessions_go_on_and_new_ones_are_admitted_even_after_a_restart() {
    let mut world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let device = world.device();
    let client = Client::admitted(&world, &device).await;
    let mut flow = client.open_tcp(echo).await;
    world.controller.vanish().await;
    flow.echo(b"without a controller").await;
    Client::admitted(&world, &world.device()).await.open_tcp(echo).await.echo(b"a new one").await;
    world.restart().await;
    world.gateway().ready().await;
    Client::admitted(&world, &device).await.open_tcp(echo).await.echo(b"from disk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_a_controller_was_away_is_carried_out_when_it_is_back() {
    let world = World::new().await;
    let service = services::Stream::start().await;
    world.allow(service.address).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    world.controller.vanish().await;
    world.controller.revoke("OU=local", &[TokenKind::Claims], Duration::ZERO).await;
    busy.flows().await;
    world.controller.resume().await;
    assert_eq!(busy.ended().await, (Some(2), Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_alone_cuts_nobody() {
    let world = World::new().await;
    let service = services::Stream::start().await;
    world.allow(service.address).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    world.controller.vanish().await;
    world.controller.resume().await;
    world.controller.progress().await;
    busy.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_may_bound_how_long_its_gateways_go_on_alone() {
    let world = World::new().await;
    world.site(json!({ "admitWithoutControllerSeconds": 2, "keepWithoutControllerSeconds": 4 })).await;
    let mut client = Client::admitted(&world, &world.device()).await;
    world.controller.vanish().await;
    let device = world.device();
    let refused = loop {
        match Client::present(&world, &device, world.tokens(&device).present()).await.1 {
            ControlDown::Admitted { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
            other => break other,
        }
    };
    assert!(matches!(refused, ControlDown::Refused(refusal) if refusal.code == "gateway.no-controller"));
    assert!(matches!(client.next().await, ControlDown::Ended(refusal) if refusal.code == "session.controller-lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_says_so() {
    let mut world = World::new().await;
    let mut client = Client::admitted(&world, &world.device()).await;
    let stopping = world.stop();
    let (ended, ()) = tokio::join!(client.next(), stopping);
    assert!(matches!(ended, ControlDown::Ended(refusal) if refusal.code == "session.shutdown"));
}
