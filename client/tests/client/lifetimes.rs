//! Tokens and sign-ins that end: renewed in time, or told ahead of time.

use std::{sync::atomic::Ordering, time::Duration};

use client::{ClientEvent, SiteState, State};
use time::OffsetDateTime;

use crate::{
    gateway::ECHO,
    user::{User, echo},
    world::World,
};

/// Short lives for tokens: renewed after two thirds of them.
const LIFE: i64 = 9;

#[tokio::test]
async fn a_connection_carries_data_through_renewals() {
    let world = World::start(&[1]);
    world.shared.token_life.store(LIFE, Ordering::Relaxed);
    let user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    let started = tokio::time::Instant::now();
    while world.lines("present again") < 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "no two renewals in three lives");
        echo(&mut stream, "still here").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    echo(&mut stream, "after two renewals").await;
    assert_eq!((world.lines("present first"), world.lines("authenticate")), (1, 1), "nothing began anew");
    let left = user.status().await.tokens.iter().map(|token| token.expires).min().unwrap() - OffsetDateTime::now_utc();
    assert!(left > time::Duration::ZERO, "a token was dead before it was renewed");
}

#[tokio::test]
async fn the_longest_life_of_a_sign_in_is_told_before_it_ends() {
    let world = World::start(&[1]);
    world.shared.token_life.store(LIFE, Ordering::Relaxed);
    world.shared.sign_in_life.store(LIFE, Ordering::Relaxed);
    let mut user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    let asked = user.event("sign-in-needed").await;
    let ClientEvent::SignInNeeded { until: Some(_), .. } = &asked else { panic!("{asked:?}") };
    assert!(asked.to_string().contains("longest life"), "{asked}");
    let status = user.status().await;
    assert_eq!(status.state, State::MustSignIn);
    let left = status.ends.unwrap() - OffsetDateTime::now_utc();
    assert!(left > time::Duration::ZERO && left <= time::Duration::seconds(LIFE), "{left}");
    assert!(status.advice.unwrap().contains("give your password"));
    echo(&mut stream, "until then it works").await;
}

#[tokio::test]
async fn without_a_controller_the_end_of_access_is_told_before_it_comes() {
    let world = World::start(&[1]);
    world.shared.token_life.store(LIFE, Ordering::Relaxed);
    let mut user = User::start(&world, 1, |_| ()).await;
    world.controller_listener.close(0, "gone");
    let failed = user.event("renewal-failed").await;
    let ClientEvent::RenewalFailed { code, retry_secs, .. } = &failed else { panic!("{failed:?}") };
    assert_eq!(code, "client.unreachable");
    assert!((3..=5).contains(retry_secs), "{retry_secs}");
    assert!(failed.to_string().contains("check your network"), "{failed}");
    let status = user.status().await;
    assert_eq!((status.state, status.sites[0].state), (State::Connected, SiteState::Connected), "it works until then");
    assert_eq!(status.code.as_deref(), Some("client.unreachable"));
    assert!(status.advice.is_some() && status.ends.unwrap() > OffsetDateTime::now_utc());
    let ClientEvent::RenewalFailed { retry_secs, .. } = user.event("renewal-failed").await else { panic!("told") };
    assert!((5..=10).contains(&retry_secs), "the next pause is longer: {retry_secs}");
}

#[tokio::test]
async fn access_that_is_taken_and_given_back_needs_no_sign_in() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let grants = world.take_grants();
    assert_eq!(client::renew(user.dir.path()).await.unwrap_err().code(), "client.nothing-granted");
    user.event("nothing-granted").await;
    let status = user.status().await;
    assert_eq!((status.state, status.sites.len()), (State::NothingGranted, 0));
    assert!(status.advice.unwrap().contains("which policy"));
    world.give_grants(grants);
    client::renew(user.dir.path()).await.unwrap();
    user.event("admitted").await;
    assert_eq!((world.lines("authenticate"), user.status().await.code), (1, None));
}
