//! The life of a session: renewal, revocation, signing out, and tokens in the wrong hands.

use std::collections::BTreeSet;

use controller::store::{BlacklistRow, NewRevocation, Op};
use engine::{
    dn::{DnEnding, UserName},
    revocation::RevocationScope,
    token::TokenKind,
};
use protocol::message::{Authorized, ControllerRequest, Done, Renewed};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::harness::{House, Session, ask, clock, payload, refused};

clock!(renewal_clock);

#[tokio::test(flavor = "multi_thread")]
async fn claims_renew_until_the_sign_in_ends() {
    let house = House::with(|settings| {
        settings.clock = renewal_clock::now;
        settings.sign_in_life = Duration::hours(60);
    })
    .await;
    house.add_user("ana").await;
    let mut session = house.sign_in("ana").await;
    let first = payload(&session.claims.token);
    for _ in 0..2 {
        renewal_clock::forward(Duration::hours(23));
        session.claims = session.renew().await.ok().unwrap();
    }
    let renewed = payload(&session.claims.token);
    assert_eq!(renewed["content"]["authenticated"], first["content"]["authenticated"]);
    let sign_in_ends = first["content"]["authenticated"].as_i64().unwrap() + 60 * 3600;
    assert!(
        (sign_in_ends - 1..=sign_in_ends).contains(&renewed["exp"].as_i64().unwrap()),
        "no token outlives the sign-in"
    );
    renewal_clock::forward(Duration::hours(15));
    assert_eq!(refused(session.renew().await), "token.refused");
    assert_eq!(house.audit("token_refused").await["reason"], "token.expired");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_neither_renews_nor_gets_anything() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    session.renew().await.ok().unwrap();
    house.disable_user("ana").await;
    assert_eq!(refused(session.renew().await), "sign-in.user-gone");
    assert_eq!(refused(session.authorize().await), "sign-in.user-gone");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_worth_nothing_on_another_connection() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.add_user("eve").await;
    let (ana, eve) = (house.sign_in("ana").await, house.sign_in("eve").await);
    let stolen = ControllerRequest::Authorize { claims_token: ana.claims.token.clone(), device_claims_token: None };
    assert_eq!(refused(ask::<Authorized>(&eve.carrier, &stolen).await), "token.refused");
    let record = house.audit("token_refused").await;
    assert_eq!((&record["reason"], &record["session_id"]), (&json!("token.binding"), &json!(eve.session)));
    let anonymous = house.connect(None).await;
    assert_eq!(refused(ask::<Authorized>(&anonymous, &stolen).await), "certificate.session-required");
    ana.authorize().await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_floods_is_slowed_down_and_no_other_is() {
    let house = House::new().await;
    house.add_user("ana").await;
    let (flooding, other) = (house.sign_in("ana").await, house.sign_in("ana").await);
    let began = std::time::Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (carrier, claims_token) = (flooding.carrier.clone(), flooding.claims.token.clone());
        requests.spawn(async move { ask::<Renewed>(&carrier, &ControllerRequest::RenewClaims { claims_token }).await });
    }
    let answers = requests.join_all().await;
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    let most = 31 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((30..=most).contains(&served), "{served} of at most {most}");
    let slowed: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(slowed.iter().all(|refusal| refusal.code == "controller.busy" && refusal.retry_after_secs.is_some()));
    assert_eq!(house.audits("token_renewed").await.len(), served, "what is refused leaves nothing");
    other.renew().await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_claims_asks_for_a_new_sign_in_even_before_it_takes_effect() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    revoke(&house, &session, &[TokenKind::Entitlement], Duration::ZERO).await;
    session.authorize().await.ok().unwrap();
    revoke(&house, &session, &[TokenKind::Claims, TokenKind::Entitlement], Duration::minutes(5)).await;
    assert_eq!(refused(session.authorize().await), "token.refused");
    assert_eq!(refused(session.renew().await), "token.refused");
    assert_eq!(house.audit("token_refused").await["reason"], "token.revoked");
    house.sign_in_on("ana", session.name.device.uuid()).await.ok().unwrap().authorize().await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_every_token_of_the_session() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    let request = ControllerRequest::SignOut { claims_token: session.claims.token.clone() };
    let _: Done = ask(&session.carrier, &request).await.unwrap();
    assert_eq!(refused(session.authorize().await), "token.refused");
    assert_eq!(house.audit("token_revoked").await["reason"], "signed out");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blacklisted_user_signs_in_nowhere() {
    let house = House::new().await;
    house.add_user("ana").await;
    house.add_user("ben").await;
    let user = UserName::new("ana", "local");
    let row = BlacklistRow { user: user.clone(), reason: "left".to_owned(), since: OffsetDateTime::now_utc() };
    house.transact(vec![Op::PutBlacklisted(row)]).await;
    assert_eq!(refused(house.sign_in_on("ana", Uuid::new_v4()).await), "sign-in.failed");
    assert_eq!(house.audit("authentication_failed").await["reason"], "blacklisted");
    house.sign_in("ben").await;
    house.transact(vec![Op::DeleteBlacklisted { user }]).await;
    house.sign_in("ana").await;
    house.running.stop().await;
}

async fn revoke(house: &House, session: &Session, kinds: &[TokenKind], delay: Duration) {
    let now = OffsetDateTime::now_utc();
    let scope = RevocationScope {
        ending: DnEnding::Device(session.name.clone()),
        kinds: kinds.iter().copied().collect::<BTreeSet<_>>(),
        site: None,
        token: None,
    };
    let rule =
        NewRevocation { scope, effective: now + delay, reason: "test".into(), forget_after: now + Duration::days(2) };
    house.transact(vec![Op::Revoke(rule)]).await;
}
