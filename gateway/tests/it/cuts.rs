//! Permission that ends under running flows: both directions stop, and stop for good.

use std::time::Duration;

use engine::token::TokenKind;
use protocol::message::{ControlDown, close_code};
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    client::{Busy, Client, Device},
    services::{End, Stream},
    world::{World, action, allow},
};

const BOUND: [TokenKind; 3] = [TokenKind::Claims, TokenKind::DeviceClaims, TokenKind::Entitlement];

/// A flow in full swing both ways.
async fn busy_flow(world: &World, device: &Device) -> (Client, Busy, Stream) {
    let service = Stream::start().await;
    world.allow(service.address).await;
    let client = Client::admitted(world, device).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    (client, busy, service)
}

/// Nothing arrives at the server any more once it has seen the end.
async fn check_cut(busy: Busy, service: &Stream) {
    let ended = busy.ended().await;
    assert_eq!(ended, (Some(close_code::CUT), Some(close_code::CUT)));
    assert_eq!(service.ended().await, End::Reset);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_means_cut_in_both_directions() {
    let world = World::new().await;
    let device = world.device();
    let (mut client, busy, service) = busy_flow(&world, &device).await;
    let tokens = world.tokens(&device).present();
    world.controller.revoke("CN=ana,OU=local", &BOUND, Duration::ZERO).await;
    let received = service.received();
    check_cut(busy, &service).await;
    // What the service had not read when the revocation was acknowledged is gone with its buffers.
    assert!(service.received() - received < 1024 * 1024);
    let ended = client.next().await;
    assert!(
        matches!(&ended, ControlDown::Ended(refusal) if refusal.code == "session.revoked" && refusal.message.contains("left the company")),
        "{ended:?}"
    );
    assert_eq!(client.carrier.closed().await.code, Some(close_code::SESSION_ENDED));
    let (_, again) = Client::present(&world, &device, tokens).await;
    assert!(matches!(again, ControlDown::Refused(refusal) if refusal.code == "token.refused"));
    let renewed = Client::admitted(&world, &device).await;
    renewed.open_tcp(service.address).await.busy().flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_others_or_of_another_kind_cuts_nobody() {
    let world = World::new().await;
    let device = world.device();
    let (_client, mut busy, _service) = busy_flow(&world, &device).await;
    world.controller.revoke("CN=ann,OU=local", &BOUND, Duration::ZERO).await;
    world.controller.revoke("OU=local", &[TokenKind::Administration], Duration::ZERO).await;
    busy.flows().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_delay_flows_live_until_it_is_due() {
    let world = World::new().await;
    let device = world.device();
    let (mut client, mut busy, service) = busy_flow(&world, &device).await;
    let due = OffsetDateTime::now_utc() + Duration::from_secs(2);
    world.controller.revoke("OU=local", &BOUND, Duration::from_secs(2)).await;
    let told = client.next().await;
    assert!(
        matches!(told, ControlDown::RenewBefore { sign_in: true, at, .. } if (at - due.unix_timestamp()).abs() <= 1),
        "{told:?}"
    );
    busy.flows().await;
    check_cut(busy, &service).await;
    assert!(OffsetDateTime::now_utc() >= due - Duration::from_millis(50));
    assert!(matches!(client.next().await, ControlDown::Ended(refusal) if refusal.code == "session.revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_tokens_survive_the_delay() {
    let world = World::new().await;
    let device = world.device();
    let (mut client, mut busy, _service) = busy_flow(&world, &device).await;
    world.controller.revoke("OU=local", &[TokenKind::Entitlement], Duration::from_secs(2)).await;
    let told = client.next().await;
    assert!(matches!(told, ControlDown::RenewBefore { sign_in: false, .. }), "{told:?}");
    let due = tokio::time::Instant::now() + Duration::from_secs(2);
    client.show(world.tokens(&device).present()).await;
    assert!(matches!(client.next().await, ControlDown::Admitted { .. }));
    // It flows on well past the moment the old tokens died.
    while tokio::time::Instant::now() < due + Duration::from_millis(500) {
        busy.flows().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_condition_cuts() {
    let world = World::new().await;
    let device = world.device();
    let (mut client, busy, service) = busy_flow(&world, &device).await;
    world.condition("return false;").await;
    check_cut(busy, &service).await;
    assert!(matches!(client.next().await, ControlDown::ConditionFalse { condition, .. } if condition == "healthy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_deleted_can_never_hold() {
    let world = World::new().await;
    let device = world.device();
    let (_client, busy, service) = busy_flow(&world, &device).await;
    world.controller.remove(protocol::object::ObjectKind::Condition, world.condition.uuid()).await;
    check_cut(busy, &service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_block_cuts_what_a_wider_rule_allowed() {
    let world = World::new().await;
    let service = Stream::start().await;
    let port = service.address.port();
    let wide = action("allow", "tcp_up", "127.0.0.0/8", port);
    world.entitlement(json!([wide])).await;
    let client = Client::admitted(&world, &world.device()).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    world.entitlement(json!([wide, action("block", "tcp_up", "127.0.0.1", port)])).await;
    check_cut(busy, &service).await;
    assert_eq!(client.denied(service.address).await, "flow.blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_changes_nothing_for_a_flow_leaves_it() {
    let world = World::new().await;
    let device = world.device();
    let (_client, mut busy, service) = busy_flow(&world, &device).await;
    let other = action("allow", "tcp_up", "127.0.0.7", 7);
    world.entitlement(json!([other, allow(service.address)])).await;
    busy.flows().await;
    world.entitlement(json!([other])).await;
    check_cut(busy, &service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_does_not_wait_for_a_client_that_does_not_read() {
    let world = World::new().await;
    let service = Stream::start().await;
    world.allow(service.address).await;
    let client = Client::admitted(&world, &world.device()).await;
    // Nobody reads this flow: every buffer on the way down is full.
    let _stuck = client.open_tcp(service.address).await;
    world.controller.revoke("OU=local", &BOUND, Duration::ZERO).await;
    assert_eq!(service.ended().await, End::Reset);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_cuts_too() {
    let world = World::new().await;
    let service = Stream::start().await;
    world.allow(service.address).await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    tokens.entitlement.expires = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let (mut client, _) = Client::present(&world, &device, tokens.present()).await;
    let busy = client.open_tcp(service.address).await.busy();
    check_cut(busy, &service).await;
    assert!(matches!(client.next().await, ControlDown::Ended(refusal) if refusal.code == "session.expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_client_does_not_look_like_a_finished_one() {
    let world = World::new().await;
    let device = world.device();
    let (client, _busy, service) = busy_flow(&world, &device).await;
    client.carrier.close(close_code::DONE, "gone");
    assert_eq!(service.ended().await, End::Reset);
}
