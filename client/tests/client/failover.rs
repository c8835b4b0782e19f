//! Gateways that die, fall silent, and come back.

use std::time::{Duration, Instant};

use client::SiteState;

use crate::{
    gateway::ECHO,
    user::{User, echo},
    world::World,
};

/// What the documentation promises, with room for a busy machine.
const LEFT_WITHIN: Duration = Duration::from_secs(7);

async fn serving(user: &User) -> String {
    user.status_when(|status| status.sites[0].state == SiteState::Connected).await.sites[0].gateway.clone().unwrap()
}

#[tokio::test]
async fn a_gateway_whose_process_is_gone_is_left_for_another() {
    let mut world = World::relayed(&[2]).await;
    let mut user = User::start(&world, 1, |_| ()).await;
    let first = serving(&user).await;
    world.relay(&first).kill().await;
    let killed = Instant::now();
    user.event("gateway-lost").await;
    user.event("admitted").await;
    assert!(killed.elapsed() < LEFT_WITHIN, "{:?}", killed.elapsed());
    assert_ne!(serving(&user).await, first);
    echo(&mut user.socks("echo.test", ECHO).await.unwrap().get_socket(), "there").await;
    assert_eq!(world.lines("renew"), 0, "the tokens at hand are enough");
}

#[tokio::test]
async fn a_gateway_that_falls_silent_is_left_for_one_that_answers() {
    let mut world = World::relayed(&[2]).await;
    let mut user = User::start(&world, 1, |_| ()).await;
    let first = serving(&user).await;
    world.relay(&first).mute(true);
    let muted = Instant::now();
    user.event("admitted").await;
    assert!(muted.elapsed() < LEFT_WITHIN, "{:?}", muted.elapsed());
    assert_ne!(serving(&user).await, first);
    echo(&mut user.socks("echo.test", ECHO).await.unwrap().get_socket(), "there").await;
}

#[tokio::test]
async fn a_network_that_stalls_for_seconds_ends_no_connection() {
    let world = World::relayed(&[2]).await;
    let user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    echo(&mut stream, "before").await;
    world.relays.iter().for_each(|relay| relay.mute(true));
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.relays.iter().for_each(|relay| relay.mute(false));
    echo(&mut stream, "after").await;
}

#[tokio::test]
async fn while_every_gateway_is_gone_the_client_says_so_and_keeps_trying() {
    let mut world = World::relayed(&[2]).await;
    let mut user = User::start(&world, 1, |_| ()).await;
    for relay in &mut world.relays {
        relay.kill().await;
    }
    user.event("gateway-lost").await;
    let away = |status: &client::Status| status.sites[0].code.as_deref() == Some("client.gateway-away");
    let site = user.status_when(away).await.sites.remove(0);
    assert!(site.message.unwrap().contains("the next attempt is in"));
    assert!(site.advice.unwrap().contains("keeps trying"));
    for relay in &mut world.relays {
        relay.revive().await;
    }
    user.event("admitted").await;
    echo(&mut user.socks("echo.test", ECHO).await.unwrap().get_socket(), "back").await;
}
