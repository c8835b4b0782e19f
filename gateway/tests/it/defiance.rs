//! Clients that do as they like: what is over is over, whatever a client makes of it. And one that does as it should:
//! nothing of it is cut.

use std::time::Duration;

use engine::token::TokenKind;
use protocol::{
    frame::{MAX_MESSAGE, read_frame, write_frame},
    message::{ControlDown, FlowAnswer, GatewayRequest, Present, TargetHost, Transport, close_code},
};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};

use crate::{
    client::{Client, Device},
    services::{End, Stream},
    world::World,
};

const BOUND: [TokenKind; 3] = [TokenKind::Claims, TokenKind::DeviceClaims, TokenKind::Entitlement];

/// Asks for new flows until the gateway closes the connection; none may open.
async fn ask_until_closed(client: &Client, service: &Stream) {
    let asking = async {
        while let Ok(mut stream) = client.carrier.open().await {
            let (host, port) = (TargetHost::Address(service.address.ip()), service.address.port());
            let request = GatewayRequest::Open { transport: Transport::Tcp, host, port };
            if write_frame(&mut stream.send, &request).await.is_err() {
                break;
            }
            let answer = read_frame::<FlowAnswer, _>(&mut stream.receive, MAX_MESSAGE).await;
            assert!(!matches!(answer, Ok(FlowAnswer::Open)), "a flow was opened for a session that is over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), asking).await.expect("the gateway closes the connection by itself");
    assert_eq!(client.carrier.closed().await.code, Some(close_code::SESSION_ENDED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_its_end_gets_nothing_through() {
    let world = World::new().await;
    let device = world.device();
    let service = Stream::start().await;
    world.allow(service.address).await;
    let old = world.tokens(&device).present();
    let (client, _) = Client::present(&world, &device, world.tokens(&device).present()).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    world.controller.revoke("OU=local", &BOUND, Duration::ZERO).await;
    assert_eq!(busy.ended().await, (Some(close_code::CUT), Some(close_code::CUT)));
    assert_eq!(service.ended().await, End::Reset);
    let received = service.received();
    // It neither reads why nor closes anything.
    ask_until_closed(&client, &service).await;
    let (_, again) = Client::present(&world, &device, old).await;
    assert!(matches!(again, ControlDown::Refused(refusal) if refusal.code == "token.refused"));
    assert_eq!(service.received(), received, "something came through after the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ignores_an_announced_end_is_cut_when_it_comes() {
    let world = World::new().await;
    let device = world.device();
    let service = Stream::start().await;
    world.allow(service.address).await;
    let client = Client::admitted(&world, &device).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    let revoked = Instant::now();
    world.controller.revoke("OU=local", &BOUND, Duration::from_secs(2)).await;
    assert_eq!(busy.ended().await, (Some(close_code::CUT), Some(close_code::CUT)));
    let lived = revoked.elapsed();
    assert!(lived > Duration::from_millis(1500) && lived < Duration::from_secs(4), "{lived:?}");
    assert_eq!(service.ended().await, End::Reset);
    let received = service.received();
    ask_until_closed(&client, &service).await;
    assert_eq!(service.received(), received);
}

/// Tokens whose access ends in three seconds, give or take the second that tokens count in.
fn short(world: &World, device: &Device) -> Present {
    let mut tokens = world.tokens(device);
    tokens.entitlement.expires = OffsetDateTime::now_utc() + Duration::from_secs(3);
    tokens.present()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_lives_as_long_as_tokens_are_renewed_and_no_longer() {
    let world = World::new().await;
    let device = world.device();
    let service = Stream::start().await;
    world.allow(service.address).await;
    let (mut client, _) = Client::present(&world, &device, short(&world, &device)).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    for _ in 0..3 {
        let until = Instant::now() + Duration::from_millis(1200);
        while Instant::now() < until {
            busy.flows().await;
        }
        client.show(short(&world, &device)).await;
        assert!(matches!(client.next().await, ControlDown::Admitted { .. }));
    }
    let last = Instant::now();
    assert_eq!(busy.ended().await, (Some(close_code::CUT), Some(close_code::CUT)));
    assert!(last.elapsed() < Duration::from_secs(5), "the last renewal is not the last word");
    assert!(matches!(client.next().await, ControlDown::Ended(refusal) if refusal.code == "session.expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_cuts_what_flows_at_once() {
    let world = World::new().await;
    let device = world.device();
    let service = Stream::start().await;
    world.allow(service.address).await;
    let mut client = Client::admitted(&world, &device).await;
    let mut busy = client.open_tcp(service.address).await.busy();
    busy.flows().await;
    client.sign_out().await;
    assert_eq!(busy.ended().await, (Some(close_code::CUT), Some(close_code::CUT)));
    assert!(matches!(client.next().await, ControlDown::Ended(refusal) if refusal.code == "session.signed-out"));
    assert_eq!(service.ended().await, End::Reset);
}
