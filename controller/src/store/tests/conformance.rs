use std::collections::BTreeSet;

use engine::{
    dn::{DnEnding, UserName},
    id::{ApplianceId, SiteId},
    revocation::{RevocationScope, TokenFacts},
};
use protocol::message::{AdminMessage, MessageCategory, MessageLevel};

use super::*;
use crate::store::{
    AdminMessageRow, BlacklistRow, Committed, DeviceRow, Enrolment, MessageStatus, NewRevocation, OtpSeed, StoreError,
    TokenFilter,
    audit::{Link, verify_audit},
};

/// Makes a test of each behaviour for one kind of store.
macro_rules! conformance {
    ($home:ty: $($behaviour:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            let home = <$home as Home>::new().await;
            super::conformance::$behaviour(&home).await;
        }
    )+};
    ($home:ty) => {
        super::conformance::conformance! { $home:
            commit_order_is_number_order
            only_configuration_takes_numbers
            what_fails_leaves_nothing_behind
            what_fails_takes_no_neighbour_down
            the_configuration_shows_a_commit_before_anybody_hears_of_it
            everything_is_there_after_reopening
            deleting_takes_secrets_and_enrolment_along
            a_revocation_marks_the_rows_it_covers
            a_token_decided_before_a_revocation_is_stored_as_revoked
            several_revocations_share_a_number
            tokens_are_listed_newest_first_by_filter
            devices_add_up
            lockouts_come_and_go
            a_seed_is_written_only_by_who_read_it_last
            the_blacklist_is_kept
            admin_messages_count_up_survive_and_are_bounded
            the_audit_chain_holds_and_is_filtered
            a_gateways_chain_is_taken_over_once_and_only_whole
        }
    };
}
pub(super) use conformance;

async fn transact(store: &dyn Store, transaction: Transaction) -> Arc<Committed> {
    store.transact(transaction).await.unwrap()
}

async fn refused(store: &dyn Store, transaction: Transaction) -> &'static str {
    store.transact(transaction).await.unwrap_err().code()
}

fn revoke(ending: &str, kinds: &[TokenKind], delay: Duration) -> NewRevocation {
    let scope = RevocationScope {
        ending: ending.parse().unwrap(),
        kinds: kinds.iter().copied().collect(),
        site: None,
        token: None,
    };
    NewRevocation { scope, effective: NOW + delay, reason: "lost laptop".into(), forget_after: NOW + Duration::days(2) }
}

pub(super) async fn commit_order_is_number_order(home: &impl Home) {
    let store = home.open().await;
    let mut heard = store.subscribe();
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                for round in 0..4 {
                    let written = object(&format!("script{writer}x{round}"));
                    let committed =
                        transact(store.as_ref(), told([put(&written, Expect::Absent)], "entity_created")).await;
                    assert_eq!(committed.objects[0].seq, committed.seq.unwrap());
                    numbers.push(committed.seq.unwrap());
                }
                numbers
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for writer in writers {
        let numbers = writer.await.unwrap();
        assert!(numbers.is_sorted(), "{numbers:?}");
        given.extend(numbers);
    }
    assert_eq!(given, (1..=200).collect());
    for expected in 1..=200 {
        assert_eq!(heard.try_recv().unwrap().seq, Some(expected));
    }
    assert_eq!(store.load().await.unwrap().seq, 200);
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 200);
}

pub(super) async fn only_configuration_takes_numbers(home: &impl Home) {
    let store = home.open().await;
    let user = UserName::new("ana", "local");
    let quiet = [
        Op::InsertToken(token(TokenKind::Claims, name(1, "ana", "local"))),
        Op::PutLockout { user, failures: 1, locked_at: None },
        Op::PutKey { name: "ca".into(), value: b"key".to_vec() },
        Op::DeleteDevice { name: name(1, "ana", "local") },
    ];
    assert_eq!(transact(store.as_ref(), told(quiet, "authentication_succeeded")).await.seq, None);
    let reevaluate = Op::Reevaluate { ending: DnEnding::All, reason: "edit".into() };
    let committed = transact(store.as_ref(), ops([reevaluate])).await;
    assert_eq!(committed.seq, Some(1));
    assert_eq!(committed.reevaluations, [DnEnding::All]);
    assert_eq!(store.config().current().seq, 1);
}

pub(super) async fn what_fails_leaves_nothing_behind(home: &impl Home) {
    let store = home.open().await;
    let store = store.as_ref();
    let first = object("first");
    transact(store, told([put(&first, Expect::Absent)], "entity_created")).await;
    let before = (store.load().await.unwrap().objects, audit(store).await);

    let same_id = Object { name: "other".into(), ..first.clone() };
    let same_name = object("first");
    let stranger = object("stranger");
    let secret = |id| Op::PutSecret { kind: ObjectKind::CriteriaScript, id, field: "password", value: b"x".to_vec() };
    let enrolment = Enrolment::Seeded { secret_sha256: [7; 32], expires: NOW };
    let cases = [
        (put(&same_id, Expect::Absent), "store.conflict"),
        (put(&same_name, Expect::Absent), "store.conflict"),
        (put(&same_name, Expect::Any), "store.conflict"),
        (put(&stranger, Expect::Present), "store.missing"),
        (put(&Object { name: "first".into(), ..stranger.clone() }, Expect::Present), "store.missing"),
        (Op::DeleteObject { kind: ObjectKind::CriteriaScript, id: stranger.id }, "store.missing"),
        (Op::DeleteObject { kind: ObjectKind::Policy, id: first.id }, "store.missing"),
        (secret(stranger.id), "store.missing"),
        (Op::PutEnrolment { appliance: ApplianceId::new(first.id), enrolment }, "store.missing"),
    ];
    for (failing, code) in cases {
        let transaction = told([put(&object("fresh"), Expect::Absent), failing], "entity_created");
        assert_eq!(refused(store, transaction).await, code);
    }
    assert_eq!((store.load().await.unwrap().objects, audit(store).await), before);
    assert_eq!(store.config().current().seq, 1);
    assert!(store.config().current().by_name(ObjectKind::CriteriaScript, "fresh").is_none());

    let renamed = Object { name: "renamed".into(), ..first };
    assert_eq!(transact(store, ops([put(&renamed, Expect::Present)])).await.seq, Some(2));
    assert_eq!(transact(store, ops([put(&same_name, Expect::Absent)])).await.seq, Some(3));
}

pub(super) async fn what_fails_takes_no_neighbour_down(home: &impl Home) {
    let store = home.open().await;
    let taken = object("taken");
    transact(store.as_ref(), ops([put(&taken, Expect::Absent)])).await;
    let writers: Vec<_> = (0..60)
        .map(|index| {
            let (store, taken) = (Arc::clone(&store), taken.clone());
            tokio::spawn(async move {
                let good = index % 2 == 0;
                let written = if good { object(&format!("good{index}")) } else { taken };
                let row = token(TokenKind::Claims, name(index, "ana", "local"));
                let answer = store.transact(told([Op::InsertToken(row), put(&written, Expect::Absent)], "x")).await;
                assert_eq!(answer.is_ok(), good);
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.load().await.unwrap().seq, 31);
    assert_eq!(store.tokens(TokenFilter::default()).await.unwrap().len(), 30);
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 30);
}

pub(super) async fn the_configuration_shows_a_commit_before_anybody_hears_of_it(home: &impl Home) {
    let store = home.open().await;
    let config = store.config();
    let mut heard = store.subscribe();
    let (watched, kept) = (Arc::clone(&store), config.clone());
    let listener = tokio::spawn(async move {
        for _ in 0..40 {
            let committed = heard.recv().await.unwrap();
            let current = kept.current();
            assert!(current.seq >= committed.seq.unwrap());
            assert!(current.object(ObjectKind::CriteriaScript, committed.objects[0].id).is_some());
        }
        drop(watched);
    });
    for index in 0..40 {
        let written = object(&format!("script{index}"));
        let before = config.current();
        let committed = transact(store.as_ref(), ops([put(&written, Expect::Absent)])).await;
        let shown = config.current();
        let shown = shown.by_name(ObjectKind::CriteriaScript, &written.name).unwrap();
        assert_eq!((shown.id, shown.seq), (written.id, committed.seq.unwrap()));
        assert!(before.object(ObjectKind::CriteriaScript, written.id).is_none());
    }
    listener.await.unwrap();
}

pub(super) async fn everything_is_there_after_reopening(home: &impl Home) {
    let store = home.open().await;
    let (script, gateway) = (object("kept"), Object { kind: ObjectKind::Appliance, ..object("gateway") });
    let row =
        TokenRow { site: Some(SiteId::new(Uuid::new_v4())), ..token(TokenKind::Entitlement, name(1, "a,b", "local")) };
    let device = device(1, true, false);
    let appliance = ApplianceId::new(gateway.id);
    let enrolled = Enrolment::Enrolled { certificate_sha256: [9; 32], address: "fd00::7".parse().unwrap() };
    let locked = NOW + Duration::microseconds(5);
    let written = [
        put(&script, Expect::Any),
        put(&gateway, Expect::Absent),
        Op::PutSecret { kind: script.kind, id: script.id, field: "password", value: b"phc".to_vec() },
        Op::PutKey { name: "ca".into(), value: b"key".to_vec() },
        Op::InsertToken(row.clone()),
        Op::PutDevice(device.clone()),
        Op::PutLockout { user: UserName::new("ana", "local"), failures: 5, locked_at: Some(locked) },
        Op::PutEnrolment { appliance, enrolment: enrolled.clone() },
        Op::Revoke(revoke("CN=bob,OU=local", &[TokenKind::Claims, TokenKind::DeviceClaims], Duration::minutes(5))),
    ];
    let committed = transact(store.as_ref(), told(written, "entity_created")).await;
    let identity = (store.epoch(), store.collective(), store.appliance());
    let (loaded, records) = (store.load().await.unwrap(), audit(store.as_ref()).await);
    drop(store);
    home.close().await;

    let store = home.open().await;
    let again = store.load().await.unwrap();
    assert_eq!((store.epoch(), store.collective(), store.appliance()), identity);
    assert_eq!((again.seq, &again.objects), (1, &loaded.objects));
    assert!(committed.objects.iter().all(|object| again.objects.get(&(object.kind, object.id)) == Some(object)));
    assert_eq!(again.revocations, committed.revocations);
    assert!(store.config().current().revocations.rules().eq(&committed.revocations));
    assert_eq!(store.secret(script.kind, script.id, "password").await.unwrap().unwrap(), b"phc");
    assert_eq!(store.secret(script.kind, script.id, "other").await.unwrap(), None);
    assert_eq!(store.key("ca").await.unwrap().unwrap(), b"key");
    assert_eq!(store.key("other").await.unwrap(), None);
    assert_eq!(store.tokens(TokenFilter::default()).await.unwrap(), [row]);
    assert_eq!(store.devices().await.unwrap(), [device]);
    assert_eq!(store.lockout(&UserName::new("ana", "local")).await.unwrap(), (5, Some(locked)));
    assert_eq!(store.enrolment(appliance).await.unwrap(), Some(enrolled));
    assert_eq!(audit(store.as_ref()).await, records);
    let next = transact(store.as_ref(), told([put(&object("next"), Expect::Absent)], "entity_created")).await;
    assert_eq!(next.seq, Some(2));
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 2);
}

pub(super) async fn deleting_takes_secrets_and_enrolment_along(home: &impl Home) {
    let store = home.open().await;
    let gateway = Object { kind: ObjectKind::Appliance, ..object("gateway") };
    let (kind, id, appliance) = (gateway.kind, gateway.id, ApplianceId::new(gateway.id));
    let enrolment = Enrolment::Seeded { secret_sha256: [7; 32], expires: NOW };
    let written = [
        put(&gateway, Expect::Absent),
        Op::PutSecret { kind, id, field: "key", value: b"x".to_vec() },
        Op::PutEnrolment { appliance, enrolment: enrolment.clone() },
    ];
    transact(store.as_ref(), ops(written)).await;
    assert_eq!(store.enrolment(appliance).await.unwrap(), Some(enrolment));

    transact(store.as_ref(), ops([put(&gateway, Expect::Present)])).await;
    assert!(store.secret(kind, id, "key").await.unwrap().is_some());

    let committed = transact(store.as_ref(), ops([Op::DeleteObject { kind, id }])).await;
    assert_eq!(committed.deleted, [(kind, id)]);
    assert_eq!(store.enrolment(appliance).await.unwrap(), None);
    assert_eq!(store.secret(kind, id, "key").await.unwrap(), None);
    assert!(store.config().current().object(kind, id).is_none());
}

pub(super) async fn a_revocation_marks_the_rows_it_covers(home: &impl Home) {
    use TokenKind::{Administration, Claims, Entitlement};
    let store = home.open().await;
    let site = SiteId::new(Uuid::new_v4());
    let rows = [
        token(Claims, name(1, "ana", "local")),
        token(Claims, name(2, "ana", "local")),
        token(Administration, name(2, "ana", "local")),
        token(Claims, name(3, "ana", "ldap")),
        TokenRow { site: Some(site), ..token(Entitlement, name(1, "ana", "local")) },
        TokenRow { expires: NOW, ..token(Claims, name(1, "ana", "local")) },
    ];
    assert_eq!(store.latest_expiry().await.unwrap(), None);
    transact(store.as_ref(), ops(rows.clone().map(Op::InsertToken))).await;
    assert_eq!(store.latest_expiry().await.unwrap(), rows.iter().map(|row| row.expires).max());
    let check = async |revocation: NewRevocation, expected: &[usize], at: OffsetDateTime| {
        let committed = transact(store.as_ref(), told([Op::Revoke(revocation)], "token_revoked")).await;
        assert_eq!(committed.revocations[0].seq, committed.seq.unwrap());
        let marked: BTreeSet<_> = committed.revoked_tokens.iter().map(|row| row.id).collect();
        assert_eq!(marked, expected.iter().map(|index| rows[*index].id).collect());
        assert!(committed.revoked_tokens.iter().all(|row| row.revoked_at == Some(at)));
        let stored = store.tokens(TokenFilter::default()).await.unwrap();
        assert!(committed.revoked_tokens.iter().all(|row| stored.contains(row)));
    };
    let later = Duration::minutes(5);
    let device = name(1, "ana", "local").to_string();
    check(revoke(&device, &[Claims], later), &[0], NOW + later).await;
    check(revoke("OU=ldap", &TokenKind::ALL, later), &[3], NOW + later).await;
    let mut one_site = revoke("", &TokenKind::ALL, later);
    one_site.scope.site = Some(site);
    check(one_site, &[4], NOW + later).await;
    let mut one_token = revoke("", &TokenKind::ALL, later);
    one_token.scope.token = Some(rows[2].id);
    check(one_token, &[2], NOW + later).await;
    check(revoke("CN=ana,OU=local", &[Claims, Administration, Entitlement], Duration::ZERO), &[0, 1, 2, 4], NOW).await;
    // Those that die sooner anyway are left as they are.
    check(revoke("CN=ana,OU=local", &[Claims], later), &[], NOW).await;
}

pub(super) async fn a_token_decided_before_a_revocation_is_stored_as_revoked(home: &impl Home) {
    let store = home.open().await;
    transact(store.as_ref(), ops([put(&object("script"), Expect::Absent)])).await;
    let rule =
        transact(store.as_ref(), ops([Op::Revoke(revoke("CN=ana,OU=local", &[TokenKind::Claims], Duration::ZERO))]))
            .await;
    let early = TokenRow { decided_at: 1, ..token(TokenKind::Claims, name(1, "ana", "local")) };
    let late = TokenRow { decided_at: rule.seq.unwrap(), ..token(TokenKind::Claims, name(1, "ana", "local")) };
    transact(store.as_ref(), ops([Op::InsertToken(early.clone()), Op::InsertToken(late.clone())])).await;
    let find =
        async |id| store.tokens(TokenFilter { id: Some(id), ..TokenFilter::default() }).await.unwrap()[0].revoked_at;
    assert_eq!(find(early.id).await, Some(NOW));
    assert_eq!(find(late.id).await, None);
    let facts = TokenFacts { id: early.id, kind: early.kind, name: &early.name, site: None, decided_at: 1 };
    assert!(store.config().current().revocations.in_effect(facts, NOW).is_some());
}

pub(super) async fn several_revocations_share_a_number(home: &impl Home) {
    let store = home.open().await;
    transact(store.as_ref(), ops([Op::InsertToken(token(TokenKind::Claims, name(1, "ana", "local")))])).await;
    let rules = ["CN=ana,OU=local", "CN=bob,OU=local", "OU=local"];
    let rules = rules.map(|ending| Op::Revoke(revoke(ending, &[TokenKind::Claims], Duration::ZERO)));
    let committed = transact(store.as_ref(), ops(rules)).await;
    assert!(committed.revocations.iter().all(|rule| rule.seq == 1));
    assert_eq!(committed.revoked_tokens.len(), 1);
    assert_eq!(store.load().await.unwrap().revocations, committed.revocations);
}

pub(super) async fn tokens_are_listed_newest_first_by_filter(home: &impl Home) {
    let store = home.open().await;
    let rows: Vec<TokenRow> = [(1, "ana", "local"), (2, "ana", "local"), (3, "bob", "local"), (4, "ana", "ldap")]
        .into_iter()
        .map(|(device, user, provider)| token(TokenKind::Claims, name(device, user, provider)))
        .collect();
    for row in &rows {
        transact(store.as_ref(), ops([Op::InsertToken(row.clone())])).await;
    }
    let check = async |ending: &str, expected: &[usize]| {
        let filter = TokenFilter { ending: Some(ending.parse().unwrap()), ..TokenFilter::default() };
        let expected: Vec<&TokenRow> = expected.iter().map(|index| &rows[*index]).collect();
        assert_eq!(store.tokens(filter).await.unwrap().iter().collect::<Vec<_>>(), expected);
    };
    check("", &[3, 2, 1, 0]).await;
    check("OU=local", &[2, 1, 0]).await;
    check("CN=ana,OU=local", &[1, 0]).await;
    check(&rows[1].name.to_string(), &[1]).await;
    check("OU=loc", &[]).await;
    let filter = TokenFilter { expires_after: Some(NOW + Duration::hours(3)), ..TokenFilter::default() };
    assert_eq!(store.tokens(filter).await.unwrap(), []);
}

fn device(device: u128, client: bool, admin: bool) -> DeviceRow {
    let hostname = Some("laptop".into());
    DeviceRow { name: name(device, "ana", "local"), client, admin, hostname, on_boarded: NOW, last_seen: NOW }
}

pub(super) async fn devices_add_up(home: &impl Home) {
    let store = home.open().await;
    let later = NOW + Duration::hours(1);
    let again = DeviceRow { hostname: None, on_boarded: later, last_seen: later, ..device(1, false, true) };
    transact(store.as_ref(), ops([Op::PutDevice(device(1, true, false)), Op::PutDevice(again)])).await;
    let merged = DeviceRow { admin: true, last_seen: later, ..device(1, true, false) };
    assert_eq!(store.devices().await.unwrap(), std::slice::from_ref(&merged));
    transact(store.as_ref(), ops([Op::DeleteDevice { name: merged.name }])).await;
    assert_eq!(store.devices().await.unwrap(), []);
}

pub(super) async fn lockouts_come_and_go(home: &impl Home) {
    let store = home.open().await;
    let user = UserName::new("ana", "local");
    for (failures, locked_at) in [(1, None), (5, Some(NOW)), (0, None)] {
        transact(store.as_ref(), ops([Op::PutLockout { user: user.clone(), failures, locked_at }])).await;
        assert_eq!(store.lockout(&user).await.unwrap(), (failures, locked_at));
    }
    assert_eq!(store.lockout(&UserName::new("ana", "ldap")).await.unwrap(), (0, None));
}

fn seed(user: &str, provider: &str) -> OtpSeed {
    OtpSeed {
        user: UserName::new(user, provider),
        secret: b"a secret of twenty b".to_vec().into(),
        verified: false,
        shown: NOW,
        last_step: 0,
        failures: 0,
        locked_at: None,
        revision: None,
    }
}

pub(super) async fn a_seed_is_written_only_by_who_read_it_last(home: &impl Home) {
    let store = home.open().await;
    let first = seed("ana", "local");
    let user = first.user.clone();
    assert!(store.otp_seed(&user).await.unwrap().is_none());
    let others = [Op::PutOtpSeed(seed("ana", "ldap")), Op::PutOtpSeed(seed("ben", "local"))];
    transact(store.as_ref(), ops([&[Op::PutOtpSeed(first.clone())], &others[..]].concat())).await;
    assert_eq!(refused(store.as_ref(), ops([Op::PutOtpSeed(first.clone())])).await, "store.stale");
    let read = store.otp_seed(&user).await.unwrap().unwrap();
    assert_eq!((&read.user, &read.secret, read.verified, read.shown), (&user, &first.secret, false, NOW));
    let changed =
        OtpSeed { verified: true, last_step: u64::from(u32::MAX), failures: 3, locked_at: Some(NOW), ..read.clone() };
    transact(store.as_ref(), ops([Op::PutOtpSeed(changed)])).await;
    let both = told([put(&object("x"), Expect::Absent), Op::PutOtpSeed(read.clone())], "entity_created");
    assert_eq!(refused(store.as_ref(), both).await, "store.stale");
    assert_eq!(audit(store.as_ref()).await, [], "nothing of a stale transaction stays");
    drop(store);
    home.close().await;

    let store = home.open().await;
    let changed = store.otp_seed(&user).await.unwrap().unwrap();
    assert_eq!((changed.verified, changed.last_step, changed.failures), (true, u64::from(u32::MAX), 3));
    assert_eq!(changed.locked_at, Some(NOW));
    let ldap = UserName::new("ana", "ldap");
    let ben = UserName::new("ben", "local");
    assert_eq!(store.otp_seeds().await.unwrap(), [(ldap, false), (user.clone(), true), (ben, false)]);
    transact(store.as_ref(), ops([Op::DeleteOtpSeed { user: user.clone() }])).await;
    assert!(store.otp_seed(&user).await.unwrap().is_none());
    assert_eq!(refused(store.as_ref(), ops([Op::PutOtpSeed(changed.clone())])).await, "store.stale");
    transact(store.as_ref(), ops([Op::PutOtpSeed(first)])).await;
    assert_eq!(refused(store.as_ref(), ops([Op::PutOtpSeed(changed)])).await, "store.stale", "it is another seed");
}

pub(super) async fn the_blacklist_is_kept(home: &impl Home) {
    let store = home.open().await;
    let row = |user: &str, reason: &str| BlacklistRow {
        user: UserName::new(user, "local"),
        reason: reason.to_owned(),
        since: NOW,
    };
    let put = |row: &BlacklistRow| Op::PutBlacklisted(row.clone());
    let (ana, ben) = (row("ana", "left"), row("ben", "lost a laptop"));
    transact(store.as_ref(), ops([put(&ben), put(&row("ana", "once")), put(&ana)])).await;
    drop(store);
    home.close().await;
    let store = home.open().await;
    assert_eq!(store.blacklist().await.unwrap(), [ana.clone(), ben.clone()], "one row for each, with the last reason");
    transact(store.as_ref(), ops([Op::DeleteBlacklisted { user: ben.user.clone() }])).await;
    assert_eq!(store.blacklisted(&ana.user).await.unwrap(), Some(ana));
    assert_eq!(store.blacklisted(&ben.user).await.unwrap(), None);
    assert_eq!(store.blacklisted(&UserName::new("ana", "ldap")).await.unwrap(), None);
}

pub(super) async fn admin_messages_count_up_survive_and_are_bounded(home: &impl Home) {
    let post = |source: u128, text: &str| Op::PostAdminMessage {
        source: ApplianceId::new(Uuid::from_u128(source)),
        message: AdminMessage {
            level: MessageLevel::Error,
            category: MessageCategory::Configuration,
            message: text.to_owned(),
        },
    };
    let store = home.open().await;
    transact(store.as_ref(), ops([post(1, "slow"), post(2, "slow"), post(1, "slow"), post(1, "odd")])).await;
    let before = store.admin_messages().await.unwrap();
    let counts = |rows: &[AdminMessageRow]| {
        let mut counts: Vec<_> =
            rows.iter().map(|row| (row.message.clone(), row.source.uuid().as_u128(), row.count)).collect();
        counts.sort();
        counts
    };
    assert_eq!(counts(&before), [("odd".to_owned(), 1, 1), ("slow".to_owned(), 1, 2), ("slow".to_owned(), 2, 1)]);
    let id = before.iter().find(|row| row.message == "slow").unwrap().id;
    transact(store.as_ref(), ops([Op::SetAdminMessageStatus { id, status: MessageStatus::Muted }])).await;
    drop(store);
    home.close().await;

    let store = home.open().await;
    transact(store.as_ref(), ops([post(1, "slow")])).await;
    let after = store.admin_messages().await.unwrap();
    let muted: Vec<_> = after.iter().filter(|row| row.message == "slow").map(|row| row.status).collect();
    assert_eq!(muted, [MessageStatus::Muted, MessageStatus::Muted], "muted stays muted");
    let only = Some(("slow".to_owned(), ApplianceId::new(Uuid::from_u128(2))));
    transact(store.as_ref(), ops([Op::DeleteAdminMessages { only }])).await;
    assert_eq!(counts(&store.admin_messages().await.unwrap()), [("odd".to_owned(), 1, 1), ("slow".to_owned(), 1, 3)]);
    let many: Vec<Op> = (0..1100).map(|number| post(3, &format!("message {number}"))).collect();
    store.transact(Transaction { ops: many, audit: Vec::new() }).await.unwrap();
    assert_eq!(store.admin_messages().await.unwrap().len(), 1000);
    transact(store.as_ref(), ops([Op::DeleteAdminMessages { only: None }])).await;
    assert_eq!(store.admin_messages().await.unwrap(), []);
}

pub(super) async fn the_audit_chain_holds_and_is_filtered(home: &impl Home) {
    let store = home.open().await;
    for event_type in ["authentication_failed", "authentication_succeeded", "entity_created"] {
        transact(store.as_ref(), told([], event_type)).await;
    }
    let rows = audit(store.as_ref()).await;
    assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [3, 2, 1]);
    let record: Map<String, serde_json::Value> = serde_json::from_str(&rows[2].record).unwrap();
    assert_eq!(record["event_type"], "authentication_failed");
    assert_eq!(record["timestamp"], "2026-01-05T09:00:00.000000Z");
    assert_eq!(record["reason"], "because");
    assert_eq!(record["daemon"], "cz-controllerd");
    assert_eq!(record["collective_id"], store.collective().to_string());
    assert_eq!(rows[2].hash, Link::START.next(&rows[2].record).hash_text());

    let find = async |filter: AuditFilter| {
        let rows = store.audit(AuditFilter { limit: 10, ..filter }).await.unwrap();
        rows.iter().map(|row| row.position).collect::<Vec<_>>()
    };
    assert_eq!(find(AuditFilter { before: Some(rows[0].number), ..AuditFilter::default() }).await, [2, 1]);
    assert_eq!(find(AuditFilter { after: Some(rows[2].number), ..AuditFilter::default() }).await, [3, 2]);
    assert_eq!(find(AuditFilter { event_type: Some("entity_created".into()), ..AuditFilter::default() }).await, [3]);
    assert_eq!(find(AuditFilter { contains: Some("authentication".into()), ..AuditFilter::default() }).await, [2, 1]);
    assert_eq!(store.audit(AuditFilter { limit: 1, ..AuditFilter::default() }).await.unwrap().len(), 1);
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 3);
}

pub(super) async fn a_gateways_chain_is_taken_over_once_and_only_whole(home: &impl Home) {
    let store = home.open().await;
    let writer = ApplianceId::new(Uuid::new_v4());
    let mut head = Link::START;
    let rows: Vec<AuditRow> = (1..=5)
        .map(|number| {
            let record = format!(r#"{{"event_type":"ip_access","packet":{number}}}"#);
            head = head.next(&record);
            AuditRow { number: 0, writer, position: number, record, hash: head.hash_text() }
        })
        .collect();
    let append = async |rows: &[AuditRow]| store.append_foreign_audit(writer, rows.to_vec()).await;
    let refused = |answer: Result<u64, StoreError>| assert_eq!(answer.unwrap_err().code(), "store.audit.chain");
    assert_eq!(append(&[]).await.unwrap(), 0);
    assert_eq!(append(&rows[..2]).await.unwrap(), 2);
    assert_eq!(append(&rows[..2]).await.unwrap(), 2);
    refused(append(&rows[3..]).await);
    refused(append(&[rows[1].clone(), rows[3].clone()]).await);
    let altered = AuditRow { record: r#"{"event_type":"ip_access","packet":0}"#.into(), ..rows[2].clone() };
    refused(append(&[altered]).await);
    let other = AuditRow { hash: rows[0].hash.clone(), ..rows[1].clone() };
    refused(append(&[other]).await);
    refused(store.append_foreign_audit(store.appliance(), rows.clone()).await);
    transact(store.as_ref(), told([], "entity_created")).await;
    assert_eq!(append(&rows[1..]).await.unwrap(), 5);
    assert_eq!(append(&[]).await.unwrap(), 5);
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 6);
}
