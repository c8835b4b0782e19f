//! One-time codes on the client port: enrolment, codes that are taken once, guessing that ends.

use controller::store::{Op, OtpSeed};
use data_encoding::BASE32_NOPAD;
use engine::id::ConditionId;
use protocol::{
    message::{ControllerRequest, Refusal, RemedyAnswer, RemedyNeed, RemedyQuestion, SignedToken},
    object::{ObjectKind, TOTP_PROVIDER},
};
use ring::hmac;
use serde_json::json;
use time::Duration;

use crate::harness::{House, Session, ask, clock, condition, id_of, payload, refused};

clock!(code_clock);
clock!(enrolment_clock);
clock!(guess_clock);
clock!(patient_clock);
clock!(replay_clock);

/// A condition that asks for a code, and for a code of a provider nobody can ask.
async fn two_remedies(house: &House) {
    let mut body = condition("fresh code", "return claims.user.hasOtp('fresh', 5);");
    let remedy = |provider: &str| json!({ "type": "OtpAuthentication", "message": "m", "claimSuffix": "fresh", "providerId": provider });
    let fido = "3ae98d53-c520-437f-99e4-451f936e6d2c";
    body["remedyMethods"] = json!([remedy(&TOTP_PROVIDER.to_string()), remedy(fido)]);
    house.put(ObjectKind::Condition, body).await;
}

impl Session {
    async fn need(&self, place: u32) -> Result<RemedyNeed, Refusal> {
        let condition = ConditionId::new(id_of("fresh code"));
        let question = RemedyQuestion { claims_token: self.claims.token.clone(), condition, place };
        ask(&self.carrier, &ControllerRequest::PrepareRemedy(question)).await
    }

    /// The secret that is shown.
    async fn secret(&self) -> Vec<u8> {
        let Ok(RemedyNeed::Enrol { uri }) = self.need(0).await else { panic!("no secret") };
        let query = uri.strip_prefix("otpauth://totp/ana@local@localhost?secret=").expect("a URI for apps");
        let secret = query.strip_suffix("&issuer=Portcullis").unwrap();
        BASE32_NOPAD.decode(secret.as_bytes()).unwrap()
    }

    async fn answer(&self, code: &str) -> Result<SignedToken, Refusal> {
        let condition = ConditionId::new(id_of("fresh code"));
        let claims_token = self.claims.token.clone();
        let answer = RemedyAnswer { claims_token, condition, place: 0, answer: code.to_owned() };
        ask(&self.carrier, &ControllerRequest::AnswerRemedy(answer)).await
    }
}

/// The code of a secret so many steps from a moment.
fn code(secret: &[u8], now: time::OffsetDateTime, steps: i64) -> String {
    let step = (now.unix_timestamp() / 30 + steps) as u64;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// Codes that no step near a moment has.
fn wrong_codes(secret: &[u8], now: time::OffsetDateTime) -> impl Iterator<Item = String> {
    let right: Vec<String> = (-3..=3).map(|steps| code(secret, now, steps)).collect();
    (100_000..).map(|number| number.to_string()).filter(move |guess| !right.contains(guess))
}

async fn reasons(house: &House) -> Vec<String> {
    let records = house.audits("authentication_failed").await;
    assert!(records.iter().all(|record| record["authentication_type"] == "Remedy"), "{records:?}");
    records.iter().map(|record| record["reason"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_right_code_confirms_the_secret_shown_last() {
    let house = House::with(|settings| settings.clock = enrolment_clock::now).await;
    house.add_user("ana").await;
    two_remedies(&house).await;
    let session = house.sign_in("ana").await;
    assert_eq!(refused(session.answer("123456").await), "remedy.not-enrolled");
    assert_eq!(refused(session.need(1).await), "remedy.not-asked", "nobody can ask that provider");
    assert_eq!(refused(session.need(2).await), "remedy.not-asked");

    let seen_by_another = session.secret().await;
    let Err(too_soon) = session.need(0).await else { panic!("a secret after the other") };
    assert_eq!((too_soon.code.as_str(), too_soon.retry_after_secs.is_some()), ("controller.busy", true));
    enrolment_clock::forward(Duration::seconds(10));
    let secret = session.secret().await;
    assert_ne!(seen_by_another, secret);
    let now = enrolment_clock::now();
    assert_eq!(refused(session.answer(&code(&seen_by_another, now, 0)).await), "remedy.wrong-code");
    assert_eq!(refused(session.answer("12345").await), "remedy.bad-code");
    enrolment_clock::forward(Duration::minutes(10));
    let late = code(&secret, enrolment_clock::now(), 0);
    assert_eq!(refused(session.answer(&late).await), "remedy.not-enrolled", "the secret lay about for too long");

    let secret = session.secret().await;
    let token = session.answer(&code(&secret, enrolment_clock::now(), 0)).await.ok().unwrap();
    let responses = &payload(&token.token)["content"]["responses"];
    assert_eq!((&responses[0]["suffix"], &responses[0]["kind"]), (&json!("fresh"), &json!("otp")));
    assert!(matches!(session.need(0).await, Ok(RemedyNeed::Answer)), "a confirmed secret is shown no more");
    assert_eq!(house.audits("otp_seed_shown").await.len(), 3);
    let enrolled = house.audits("otp_seed_enrolled").await;
    assert_eq!(enrolled.iter().map(|record| &record["distinguished_name_user"]).collect::<Vec<_>>(), ["ana"]);
    let answered = house.audit("remedy_answered").await;
    assert_eq!(
        (&answered["remedy_type"], &answered["claim_suffix"], &answered["claims_token_id"]),
        (&json!("OtpAuthentication"), &json!("fresh"), &json!(token.id))
    );
    let everything = format!("{:?}", house.audits("otp_seed_shown").await);
    assert!(!everything.contains(&BASE32_NOPAD.encode(&secret)));
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_taken_once_in_whatever_session() {
    let house = House::with(|settings| settings.clock = replay_clock::now).await;
    house.add_user("ana").await;
    two_remedies(&house).await;
    let (first, second) = (house.sign_in("ana").await, house.sign_in("ana").await);
    let secret = first.secret().await;
    let now = replay_clock::now();
    first.answer(&code(&secret, now, 1)).await.ok().unwrap();
    assert_eq!(refused(second.answer(&code(&secret, now, 1)).await), "remedy.used-code");
    assert_eq!(refused(second.answer(&code(&secret, now, 0)).await), "remedy.used-code", "nor an older one");
    replay_clock::forward(Duration::seconds(60));
    let next = code(&secret, replay_clock::now(), 0);
    let (one, other) = tokio::join!(first.answer(&next), second.answer(&next));
    let refusals: Vec<String> = [one, other].into_iter().filter_map(Result::err).map(|refusal| refusal.code).collect();
    assert_eq!(refusals, ["remedy.used-code"], "of two at once, one is taken");
    assert_eq!(reasons(&house).await, ["code-used"; 3]);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_at_once_from_two_sessions_gains_nothing() {
    let house = House::with(|settings| settings.clock = guess_clock::now).await;
    house.add_user("ana").await;
    two_remedies(&house).await;
    let sessions = [house.sign_in("ana").await, house.sign_in("ana").await];
    let secret = sessions[0].secret().await;
    sessions[0].answer(&code(&secret, guess_clock::now(), 0)).await.ok().unwrap();
    let mut guesses = tokio::task::JoinSet::new();
    for (guess, session) in wrong_codes(&secret, guess_clock::now()).zip(sessions.iter().cycle()).take(20) {
        let (carrier, claims_token) = (session.carrier.clone(), session.claims.token.clone());
        let condition = ConditionId::new(id_of("fresh code"));
        let answer = RemedyAnswer { claims_token, condition, place: 0, answer: guess };
        guesses.spawn(
            async move { refused(ask::<SignedToken>(&carrier, &ControllerRequest::AnswerRemedy(answer)).await) },
        );
    }
    let codes = guesses.join_all().await;
    assert!(codes.iter().all(|code| code == "remedy.wrong-code"), "{codes:?}");
    let judged = reasons(&house).await.iter().filter(|reason| reason.starts_with("wrong-code")).count();
    assert_eq!(judged, 5, "as many as the provider forgives");

    let right = code(&secret, guess_clock::now(), 0);
    assert_eq!(refused(sessions[1].answer(&right).await), "remedy.wrong-code", "not even the right one");
    let told = reasons(&house).await;
    assert_eq!(told.iter().filter(|reason| *reason == "code-locked").count(), 1, "a lock is told of once: {told:?}");
    house.sign_in("ana").await;
    guess_clock::forward(Duration::seconds(61));
    sessions[1].answer(&code(&secret, guess_clock::now(), 0)).await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_password_buys_no_guesses() {
    let house = House::with(|settings| settings.clock = code_clock::now).await;
    house.add_user("ana").await;
    two_remedies(&house).await;
    let session = house.sign_in("ana").await;
    let secret = session.secret().await;
    let mut guesses = wrong_codes(&secret, code_clock::now());
    for _ in 0..5 {
        assert_eq!(refused(session.answer(&guesses.next().unwrap()).await), "remedy.wrong-code");
        house.sign_in("ana").await;
    }
    assert_eq!(reasons(&house).await[0], "wrong-code-locked");
    code_clock::forward(Duration::seconds(10));
    let seen_again = session.secret().await;
    let right = code(&seen_again, code_clock::now(), 0);
    assert_eq!(refused(session.answer(&right).await), "remedy.wrong-code", "a new secret does not unlock");
    code_clock::forward(Duration::seconds(61));
    session.answer(&code(&seen_again, code_clock::now(), 0)).await.ok().unwrap();
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_locks_to_end_is_told_of_and_locked_out_for_good() {
    let house = House::with(|settings| settings.clock = patient_clock::now).await;
    house.add_user("ana").await;
    two_remedies(&house).await;
    let session = house.sign_in("ana").await;
    let secret = session.secret().await;
    session.answer(&code(&secret, patient_clock::now(), -1)).await.ok().unwrap();
    let wrong = || wrong_codes(&secret, patient_clock::now()).next().unwrap();
    let messages = || async { house.running.controller.store.admin_messages().await.unwrap() };
    for lock in 1..=2 {
        for _ in 0..5 {
            assert!(messages().await.is_empty());
            assert_eq!(refused(session.answer(&wrong()).await), "remedy.wrong-code");
        }
        assert_eq!(reasons(&house).await[0], "wrong-code-locked");
        if lock == 1 {
            patient_clock::forward(Duration::seconds(61));
        }
    }
    assert!(messages().await[0].message.contains("CN=ana,OU=local were locked a second time"));
    patient_clock::forward(Duration::seconds(61));
    let now = patient_clock::now();
    assert_eq!(refused(session.answer(&code(&secret, now, 0)).await), "remedy.wrong-code", "the second is longer");

    let user = session.name.user.clone();
    let seed = house.running.controller.store.otp_seed(&user).await.unwrap().unwrap();
    house.transact(vec![Op::PutOtpSeed(OtpSeed { failures: 99, locked_at: None, ..seed })]).await;
    assert_eq!(refused(session.answer(&wrong()).await), "remedy.codes-locked");
    assert_eq!(reasons(&house).await[0], "wrong-code-locked-for-good");
    patient_clock::forward(Duration::hours(1));
    let now = patient_clock::now();
    for _ in 0..3 {
        assert_eq!(refused(session.answer(&code(&secret, now, 0)).await), "remedy.codes-locked");
    }
    let told = reasons(&house).await;
    assert_eq!(told.iter().filter(|reason| *reason == "code-locked-for-good").count(), 1, "{told:?}");
    assert!(messages().await.iter().any(|row| row.message.contains("ctl otp-seeds delete")));

    house.transact(vec![Op::DeleteOtpSeed { user }]).await;
    let secret = session.secret().await;
    session.answer(&code(&secret, patient_clock::now(), 0)).await.ok().unwrap();
    house.running.stop().await;
}
