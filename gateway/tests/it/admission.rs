//! Who is taken in.

use std::time::Duration;

use engine::{
    dn::UserName,
    id::SiteId,
    token::{Audience, TokenKind},
};
use protocol::{
    frame::{MAX_MESSAGE, read_frame, write_frame},
    message::{ControlDown, GatewayRequest, Refusal, TargetHost, Transport, close_code},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::{
    client::{Client, Device, PATIENCE},
    world::{Tokens, World},
};

/// Presents tokens made wrong and checks what the client hears and what the log says.
async fn check(world: &World, device: &Device, spoil: impl FnOnce(&mut Tokens<'_>), reason: &str) -> Refusal {
    let mut tokens = world.tokens(device);
    spoil(&mut tokens);
    let (_, answer) = Client::present(world, device, tokens.present()).await;
    let ControlDown::Refused(refusal) = answer else { panic!("{reason}: {answer:?}") };
    let session = device.session.to_string();
    let is_ours =
        |record: &Value| record["event_type"] == "entitlement_token_not_accepted" && record["session_id"] == session;
    assert_eq!(world.controller.record(is_ours).await["reason"], reason);
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_believed_are_refused_with_one_word_and_logged_with_the_reason() {
    let world = World::new().await;
    let device = || world.device();
    let stolen = world.device();
    let other = (stolen.session, stolen.thumbprint());
    let long_ago = OffsetDateTime::now_utc() - Duration::from_secs(10);
    let refusals = [
        check(&world, &device(), |tokens| tokens.entitlement.binding = Some(other), "token.binding").await,
        check(&world, &device(), |tokens| tokens.claims.binding = Some(other), "token.binding").await,
        check(&world, &device(), |tokens| tokens.claims.binding = None, "token.unbound").await,
        check(
            &world,
            &device(),
            |tokens| tokens.entitlement.audience = Audience::Site(SiteId::new(Uuid::new_v4())),
            "token.audience",
        )
        .await,
        check(
            &world,
            &device(),
            |tokens| tokens.claims.audience = Audience::Collective(Uuid::new_v4()),
            "token.audience",
        )
        .await,
        check(&world, &device(), |tokens| tokens.claims.issuer = Uuid::new_v4(), "token.issuer").await,
        check(&world, &device(), |tokens| tokens.claims.expires = long_ago, "token.expired").await,
        check(&world, &device(), |tokens| tokens.claims.issued += Duration::from_secs(600), "token.not-yet-valid")
            .await,
        check(&world, &device(), |tokens| std::mem::swap(&mut tokens.claims, &mut tokens.entitlement), "token.kind")
            .await,
        check(
            &world,
            &device(),
            |tokens| tokens.entitlement.name.user = UserName::new("eve", "local"),
            "token.mismatch",
        )
        .await,
        check(&world, &device(), |tokens| tokens.grant().site = SiteId::new(Uuid::new_v4()), "token.mismatch").await,
    ];
    for refusal in refusals {
        assert_eq!(refusal.code, "token.refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_session_does_not_open_the_tokens() {
    let world = World::new().await;
    let mut device = world.device();
    let tokens = world.tokens(&device).present();
    // The thief has the tokens and a certificate of the same authority, with a key of their own.
    device.identity = world.facts().authority.session(device.session);
    let (_, answer) = Client::present(&world, &device, tokens).await;
    assert!(matches!(answer, ControlDown::Refused(refusal) if refusal.code == "token.refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_decided_by_a_newer_configuration_wait_for_it_and_are_then_refused() {
    let world = World::with(|config| config.limits.config_wait = Duration::from_millis(300)).await;
    let device = world.device();
    let ahead = world.controller.seq() + 1;
    let refusal = check(&world, &device, |tokens| tokens.grant().config = ahead, "config.behind").await;
    assert_eq!((refusal.code.as_str(), refusal.retry_after_secs), ("config.behind", Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_that_arrives_meanwhile_is_waited_for() {
    let world = World::new().await;
    let device = world.device();
    let mut tokens = world.tokens(&device);
    tokens.grant().config = world.controller.seq() + 1;
    let mut client = Client::connect(&world, &device).await;
    client.show(tokens.present()).await;
    world.controller.progress().await;
    assert!(matches!(client.next().await, ControlDown::Admitted { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_looked_at_before_the_tokens() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let device = world.device();
    let tls = protocol::tls::client_config(
        world.facts().authority.pin(),
        Some(&device.identity),
        protocol::quic::GATEWAY_ALPN,
    )
    .unwrap();
    let dialer = protocol::quic::Dialer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let name = protocol::tls::gateway_name(world.facts().appliance);
    let carrier = dialer.dial(world.gateway().address, &name, tls, Default::default()).await.unwrap();
    let mut stream = carrier.open().await.unwrap();
    let open =
        GatewayRequest::Open { transport: Transport::Tcp, host: TargetHost::Address(echo.ip()), port: echo.port() };
    write_frame(&mut stream.send, &open).await.unwrap();
    assert!(read_frame::<serde_json::Value, _>(&mut stream.receive, MAX_MESSAGE).await.is_err());
    assert_eq!(carrier.closed().await.code, Some(close_code::PROTOCOL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_connects_again_takes_over() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let device = world.device();
    let mut older = Client::admitted(&world, &device).await;
    let newer = Client::admitted(&world, &device).await;
    assert!(matches!(older.next().await, ControlDown::Ended(refusal) if refusal.code == "session.replaced"));
    older.carrier.closed().await;
    newer.open_tcp(echo).await.echo(b"here").await;
    world.controller.sessions(|sessions| sessions.len() == 1 && sessions[0].session == device.session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_revoked_before_it_was_shown_is_refused_and_a_newer_one_is_not() {
    let world = World::new().await;
    let device = world.device();
    let old = world.tokens(&device).present();
    world.controller.revoke("OU=local", &[TokenKind::Entitlement], Duration::ZERO).await;
    let (_, answer) = Client::present(&world, &device, old).await;
    assert!(matches!(answer, ControlDown::Refused(_)));
    Client::admitted(&world, &device).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_renewals_leave_the_session_as_it_is() {
    let world = World::new().await;
    let echo = testing::echo_server().await;
    world.allow(echo).await;
    let device = world.device();
    let mut client = Client::admitted(&world, &device).await;
    let mut flow = client.open_tcp(echo).await;
    let mut wrong = world.tokens(&device);
    wrong.claims.issuer = Uuid::new_v4();
    client.show(wrong.present()).await;
    assert!(matches!(client.next().await, ControlDown::Refused(_)));
    flow.echo(b"as before").await;
    // Fewer rights in newer tokens end what they no longer grant.
    let mut fewer = world.tokens(&device);
    fewer.grant().grants.clear();
    client.show(fewer.present()).await;
    client
        .next_matching(|message| matches!(message, ControlDown::Admitted { entitlements } if entitlements.is_empty()))
        .await;
    assert_eq!(flow.busy().ended().await, (Some(close_code::CUT), Some(close_code::CUT)));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_sessions_than_configured() {
    let world = World::with(|config| config.limits.sessions = 1).await;
    let mut first = Client::admitted(&world, &world.device()).await;
    let device = world.device();
    let (_, answer) = Client::present(&world, &device, world.tokens(&device).present()).await;
    assert!(matches!(answer, ControlDown::Refused(refusal) if refusal.code == "gateway.full"));
    first.sign_out().await;
    assert!(matches!(first.next().await, ControlDown::Ended(refusal) if refusal.code == "session.signed-out"));
    first.carrier.closed().await;
    world.controller.sessions(|sessions| sessions.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_sources_connect() {
    let world = World::new().await;
    let appliance = |sources| {
        let body = json!({ "id": world.facts().appliance, "name": "gw", "clientInterface": { "hostname": "gw", "allowSources": sources } });
        [(protocol::object::ObjectKind::Appliance, body)]
    };
    world.controller.put(appliance(json!([{ "address": "192.0.2.0", "netmask": 24 }]))).await;
    let device = world.device();
    let tls = protocol::tls::client_config(
        world.facts().authority.pin(),
        Some(&device.identity),
        protocol::quic::GATEWAY_ALPN,
    )
    .unwrap();
    let dialer = protocol::quic::Dialer::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let name = protocol::tls::gateway_name(world.facts().appliance);
    assert!(dialer.dial(world.gateway().address, &name, tls, Default::default()).await.is_err());
    world.controller.put(appliance(json!([{ "address": "127.0.0.0", "netmask": 8 }]))).await;
    Client::admitted(&world, &device).await;
}

/// The records of one kind about a session, once the session is over and everything is told.
async fn recorded(world: &World, device: &Device, event_type: &str) -> usize {
    let session = device.session.to_string();
    world
        .controller
        .record(|record| record["event_type"] == "session_removed" && record["session_id"] == session)
        .await;
    let records = world.controller.records();
    let parsed = records.iter().map(|record| serde_json::from_str::<Value>(&record.record).unwrap());
    parsed.filter(|record| record["session_id"] == session && record["event_type"] == event_type).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_shows_its_tokens_again_and_again_is_slowed_down_and_recorded_once() {
    let world = World::new().await;
    let device = world.device();
    let tokens = world.tokens(&device);
    let (mut client, _) = Client::present(&world, &device, tokens.present()).await;
    let began = Instant::now();
    for _ in 0..8 {
        client.show(tokens.present()).await;
    }
    for _ in 0..8 {
        client.next_matching(|message| matches!(message, ControlDown::Admitted { .. })).await;
    }
    assert!(began.elapsed() > Duration::from_millis(2_900), "three of eight wait: {:?}", began.elapsed());
    client.sign_out().await;
    for event_type in ["claims_token_accepted", "device_claims_accepted", "entitlement_token_accepted"] {
        assert_eq!(recorded(&world, &device, event_type).await, 1, "{event_type}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_tokens_are_refused_again_and_again_is_not_listened_to() {
    let world = World::new().await;
    let device = world.device();
    let mut client = Client::admitted(&world, &device).await;
    let mut tokens = world.tokens(&device);
    tokens.claims.binding = None;
    for _ in 0..20 {
        client.show(tokens.present()).await;
    }
    let closed = timeout(PATIENCE, client.carrier.closed()).await.expect("the gateway closes the connection");
    assert_eq!(closed.code, Some(close_code::PROTOCOL));
    assert_eq!(recorded(&world, &device, "entitlement_token_not_accepted").await, 10);
}
