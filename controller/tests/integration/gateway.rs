//! A gateway's way into the collective, and what it is told.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use controller::{
    enrol::{ExportError, Seed, export_seed},
    store::{AuditEvent, Expect, NewRevocation, Op, Transaction},
};
use engine::{
    dn::{DistinguishedName, DnEnding, UserName},
    id::{ApplianceId, DeviceId, SessionId, SiteId},
    revocation::RevocationScope,
    token::TokenKind,
};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::write_frame,
    message::{
        AdminMessage, Change, ClientFacts, ControllerRequest, Enrol, Enrolled, MessageCategory, MessageLevel, Refusal,
        Report, ReportAck, SessionFacts, Snapshot, WatchAck, WatchEvent, WatchFrom,
    },
    object::ObjectKind,
    tls::Identity,
};
use rcgen::KeyPair;
use serde_json::{Map, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::harness::{
    ALWAYS, DEFAULT_SITE, House, PATIENCE, appliance, ask, clock, condition, csr, entitlement, id_of, new_key, open,
    policy, read, refused, site,
};

clock!(seed_clock);

#[tokio::test(flavor = "multi_thread")]
async fn a_seed_makes_one_gateway_a_member_once() {
    let house = House::with(|settings| settings.clock = seed_clock::now).await;
    house.put(ObjectKind::Appliance, appliance("gate", DEFAULT_SITE, 4433)).await;
    let seed = export(&house, "gate").await.ok().unwrap();
    assert_eq!(seed.ca_fingerprint, house.running.authority_pin.to_string());
    assert_eq!(seed.controllers, [format!("localhost:{}", house.running.client_address.port())]);
    let key = new_key();
    assert_eq!(refused(enrol(&house, "gate", &STANDARD.encode([7; 32]), &key).await), "enrol.refused");
    assert_eq!(house.audit("appliance_enrolment_failed").await["reason"], "wrong-secret");
    let enrolled = enrol(&house, "gate", &seed.secret, &key).await.ok().unwrap();
    assert_eq!(enrolled.site.to_string(), DEFAULT_SITE);
    assert_eq!(refused(enrol(&house, "gate", &seed.secret, &key).await), "enrol.refused");
    assert_eq!(house.audit("appliance_enrolment_failed").await["reason"], "no-seed");
    assert!(matches!(export(&house, "gate").await, Err(ExportError::Enrolled)));
    house.put(ObjectKind::Appliance, appliance("late", DEFAULT_SITE, 4434)).await;
    let late = export(&house, "late").await.ok().unwrap();
    seed_clock::forward(Duration::hours(25));
    assert_eq!(refused(enrol(&house, "late", &late.secret, &key).await), "enrol.refused");
    assert_eq!(house.audit("appliance_enrolment_failed").await["reason"], "seed-expired");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_its_part_and_every_change_of_it() {
    let house = House::new().await;
    house.put(ObjectKind::Site, site("berlin")).await;
    let berlin = id_of("berlin").to_string();
    house.put(ObjectKind::Condition, condition("office", "return true;")).await;
    house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[&id_of("office").to_string()])).await;
    house.put(ObjectKind::Entitlement, entitlement("build", &berlin, &[ALWAYS])).await;
    let mut gate = Gate::new(&house, "gate").await;
    let snapshot = gate.snapshot().await;
    let names: BTreeSet<_> =
        snapshot.objects.iter().map(|object| object.body["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["Default Site", "gate", "office", "wiki"]);
    assert_eq!((snapshot.keys.len(), snapshot.seq), (1, seq(&house)));

    house.put(ObjectKind::Condition, condition("office", "return false;")).await;
    let change = gate.change().await;
    assert_eq!(
        (change.put.len(), change.put[0].body["expression"].as_str(), change.seq),
        (1, Some("return false;"), seq(&house))
    );

    house.put(ObjectKind::Condition, condition("unused", "return true;")).await;
    gate.progress_to(seq(&house)).await;

    let mut moving = policy("moving", "Access", "return true;", &[id_of("build")]);
    moving["overrideSite"] = json!(DEFAULT_SITE);
    house.put(ObjectKind::Policy, moving).await;
    let change = gate.change().await;
    let kinds: Vec<_> = change.put.iter().map(|object| object.kind).collect();
    assert_eq!(kinds, [ObjectKind::Condition, ObjectKind::Entitlement]);

    house.delete(ObjectKind::Policy, id_of("moving")).await;
    let change = gate.change().await;
    assert!(change.put.is_empty());
    assert_eq!(change.removed.len(), 2);

    gate.ack(seq(&house)).await;
    until(|| {
        house
            .running
            .controller
            .gateways
            .connected()
            .first()
            .is_some_and(|gate| gate.position == seq(&house) && gate.lag == 0)
    })
    .await;
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_the_secrets_its_scripts_name_and_no_others() {
    let house = House::new().await;
    put_secret(&house, "NAMED", "first").await;
    put_secret(&house, "OTHER", "not for gateways").await;
    let asks = condition("ticket", "return httpGet('https://x/?k=%SECRET:NAMED%').statusCode === 200;");
    house.put(ObjectKind::Condition, asks).await;
    house.put(ObjectKind::Condition, condition("unused", "return '%SECRET:OTHER%' === '';")).await;
    house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[&id_of("ticket").to_string()])).await;
    house.put(ObjectKind::Policy, policy("names it", "Access", "return '%SECRET:OTHER%' === '';", &[])).await;
    let mut gate = Gate::new(&house, "gate").await;
    let snapshot = gate.snapshot().await;
    let secrets: Vec<_> = snapshot.objects.iter().filter(|object| object.kind == ObjectKind::Secret).collect();
    assert_eq!(secrets.len(), 1);
    assert_eq!((&secrets[0].body["name"], &secrets[0].body["secret"]), (&json!("NAMED"), &json!("first")));

    put_secret(&house, "NAMED", "second").await;
    assert_eq!(gate.change().await.put[0].body["secret"], "second");
    put_secret(&house, "OTHER", "still not").await;
    gate.progress_to(seq(&house)).await;
    house.put(ObjectKind::Condition, condition("ticket", "return true;")).await;
    let change = gate.change().await;
    assert_eq!(change.removed, [(ObjectKind::Secret, id_of("NAMED"))]);
    let certificate = rcgen::generate_simple_self_signed(["x.example.com".to_owned()]).unwrap().cert.pem();
    let trusted = json!({ "id": id_of("own root"), "name": "own root", "pem": certificate });
    house.put(ObjectKind::TrustedCertificate, trusted).await;
    assert_eq!(gate.change().await.put[0].kind, ObjectKind::TrustedCertificate);
    house.running.stop().await;
}

async fn put_secret(house: &House, name: &str, value: &str) {
    let id = id_of(name);
    let body = json!({ "id": id, "name": name });
    let kind = ObjectKind::Secret;
    let object = controller::store::Object { kind, id, name: name.into(), tags: Vec::new(), seq: 0, body };
    let secret = Op::PutSecret { kind, id, field: "secret", value: value.as_bytes().to_vec() };
    house.transact(vec![Op::PutObject { object, expect: Expect::Any }, secret]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_one_frame() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    gate.snapshot().await;
    let body = entitlement("wiki", DEFAULT_SITE, &[ALWAYS]);
    let object = controller::store::Object {
        kind: ObjectKind::Entitlement,
        id: id_of("wiki"),
        name: "wiki".into(),
        tags: Vec::new(),
        seq: 0,
        body,
    };
    let ops =
        vec![Op::PutObject { object, expect: Expect::Absent }, Op::Revoke(revocation("ana")), reevaluation("ben")];
    house.running.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
    let change = gate.change().await;
    assert_eq!(change.put.len(), 2, "the entitlement and its condition");
    assert_eq!(
        (change.revocations[0].ending.to_string(), change.revocations[0].seq),
        ("CN=ana,OU=local".to_owned(), change.seq)
    );
    assert_eq!(change.reevaluate, [DnEnding::User(UserName::new("ben", "local"))]);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_up_to_date_gets_no_snapshot_and_others_do() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    let snapshot = gate.snapshot().await;
    let at = |epoch, seq| WatchFrom { epoch: Some(epoch), seq };
    gate.watch(at(snapshot.epoch, snapshot.seq)).await;
    assert!(matches!(gate.next().await, WatchEvent::Progress { seq } if seq == snapshot.seq));
    gate.watch(at(Uuid::new_v4(), snapshot.seq)).await;
    gate.snapshot().await;
    house.transact(vec![Op::Revoke(revocation("ana"))]).await;
    gate.watch(at(snapshot.epoch, snapshot.seq)).await;
    assert_eq!(gate.snapshot().await.revocations.len(), 1);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_and_a_burst_loses_nothing() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    let snapshot = gate.snapshot().await;
    assert!(matches!(gate.next().await, WatchEvent::Progress { seq } if seq == snapshot.seq), "a heartbeat");
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = house.running.controller.store.clone();
        let ops = vec![Op::Revoke(revocation(&format!("user{number}")))];
        writes.spawn(async move { store.transact(Transaction { ops, audit: Vec::new() }).await });
    }
    assert!(writes.join_all().await.iter().all(Result::is_ok));
    let last = seq(&house);
    let mut heard = BTreeSet::new();
    let mut position = 0;
    while position < last {
        let (seq, revocations) = match gate.next().await {
            WatchEvent::Snapshot(snapshot) => (snapshot.seq, snapshot.revocations),
            WatchEvent::Change(change) => (change.seq, change.revocations),
            WatchEvent::Progress { seq } => (seq, Vec::new()),
        };
        assert!(seq >= position, "numbers never go back");
        position = seq;
        heard.extend(revocations.into_iter().map(|rule| rule.ending));
    }
    assert_eq!(heard.len(), 200);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_disabled_or_deleted_is_left_with_nothing() {
    let house = House::new().await;
    house.put(ObjectKind::Entitlement, entitlement("wiki", DEFAULT_SITE, &[ALWAYS])).await;
    let mut gate = Gate::new(&house, "gate").await;
    gate.snapshot().await;
    let mut off = appliance("gate", DEFAULT_SITE, 4433);
    off["gateway"]["enabled"] = json!(false);
    house.put(ObjectKind::Appliance, off).await;
    assert_eq!(gate.change().await.removed.len(), 4);
    house.put(ObjectKind::Appliance, appliance("gate", DEFAULT_SITE, 4433)).await;
    assert_eq!(gate.change().await.put.len(), 4);
    house.delete(ObjectKind::Appliance, id_of("gate")).await;
    let emptied = gate.snapshot().await;
    assert!(emptied.objects.is_empty());
    gate.ack(emptied.seq).await;
    let closed = tokio::time::timeout(PATIENCE, gate.carrier.closed()).await.expect("connection stayed open");
    assert_eq!(closed.reason, "not admitted");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_key_that_enrolled_watches() {
    let house = House::new().await;
    let gate = Gate::new(&house, "gate").await;
    let (controller, key) = (&house.running.controller, new_key());
    let id = ApplianceId::new(id_of("gate"));
    let issued = controller.authority.gateway_certificate(&csr(&key), id, controller.now()).unwrap();
    let identity = Identity { certificate: issued.certificate, key: Zeroizing::new(key.serialize_der()) };
    let carrier = house.connect(Some(&identity)).await;
    let _stream = open(&carrier, &ControllerRequest::Watch(WatchFrom::default())).await;
    let closed = tokio::time::timeout(PATIENCE, carrier.closed()).await.expect("connection stayed open");
    assert_eq!(closed.reason, "not admitted");
    assert_eq!(house.audit("appliance_refused").await["reason"], "certificate-not-pinned");
    drop(gate);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reported_sessions_are_listed_and_records_are_kept() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    gate.snapshot().await;
    let mut stream = open(&gate.carrier, &ControllerRequest::Report).await;
    let facts = SessionFacts {
        session: SessionId::new(Uuid::new_v4()),
        name: DistinguishedName { device: DeviceId::new(Uuid::new_v4()), user: UserName::new("ana", "local") },
        site: DEFAULT_SITE.parse::<SiteId>().unwrap(),
        address: [192, 0, 2, 1].into(),
        since: 1_700_000_000,
        expires: 1_700_000_600,
        entitlements: vec!["wiki".to_owned()],
        client: Box::new(ClientFacts { hostname: Some("laptop".to_owned()), ..ClientFacts::default() }),
    };
    let session = facts.session;
    write_frame(stream.send.as_mut(), &Report::SessionStarted(facts)).await.unwrap();
    let ack: ReportAck = read(&mut stream).await;
    assert_eq!(ack.audit_position, 0);
    let listed = house.running.controller.gateways.sessions();
    assert_eq!((listed.len(), listed[0].session, listed[0].appliance.uuid()), (1, session, id_of("gate")));
    assert_eq!(listed[0].client.hostname.as_deref(), Some("laptop"));
    write_frame(stream.send.as_mut(), &Report::SessionEnded { session }).await.unwrap();
    let _: ReportAck = read(&mut stream).await;
    assert!(house.running.controller.gateways.sessions().is_empty());
    house.running.stop().await;
}

/// An enrolled gateway with an open watch stream.
pub(crate) struct Gate {
    pub(crate) carrier: SharedCarrier,
    stream: Stream,
}

impl Gate {
    pub(crate) async fn new(house: &House, name: &str) -> Self {
        house.put(ObjectKind::Appliance, appliance(name, DEFAULT_SITE, 4433)).await;
        let seed = export(house, name).await.ok().unwrap();
        let key = new_key();
        let enrolled = enrol(house, name, &seed.secret, &key).await.ok().unwrap();
        let certificate = STANDARD.decode(&enrolled.certificate).unwrap().into();
        let identity = Identity { certificate, key: Zeroizing::new(key.serialize_der()) };
        let carrier = house.connect(Some(&identity)).await;
        let stream = open(&carrier, &ControllerRequest::Watch(WatchFrom::default())).await;
        Self { carrier, stream }
    }

    async fn watch(&mut self, from: WatchFrom) {
        self.stream = open(&self.carrier, &ControllerRequest::Watch(from)).await;
    }

    async fn next(&mut self) -> WatchEvent {
        read(&mut self.stream).await
    }

    pub(crate) async fn snapshot(&mut self) -> Snapshot {
        match self.next().await {
            WatchEvent::Snapshot(snapshot) => *snapshot,
            WatchEvent::Change(_) | WatchEvent::Progress { .. } => panic!("no snapshot"),
        }
    }

    /// The next change; heartbeats are passed over.
    async fn change(&mut self) -> Change {
        loop {
            match self.next().await {
                WatchEvent::Change(change) => return *change,
                WatchEvent::Progress { .. } => {}
                WatchEvent::Snapshot(_) => panic!("a snapshot"),
            }
        }
    }

    async fn progress_to(&mut self, wanted: u64) {
        loop {
            match self.next().await {
                WatchEvent::Progress { seq } if seq == wanted => return,
                WatchEvent::Progress { .. } => {}
                WatchEvent::Snapshot(_) | WatchEvent::Change(_) => panic!("not only progress"),
            }
        }
    }

    async fn ack(&mut self, seq: u64) {
        write_frame(self.stream.send.as_mut(), &WatchAck { seq }).await.unwrap();
    }
}

async fn export(house: &House, name: &str) -> Result<Seed, ExportError> {
    let record = AuditEvent { event_type: "appliance_seed_exported", members: Map::new() };
    export_seed(&house.running.controller, ApplianceId::new(id_of(name)), record).await
}

async fn enrol(house: &House, name: &str, secret: &str, key: &KeyPair) -> Result<Enrolled, Refusal> {
    let request = Enrol { appliance: ApplianceId::new(id_of(name)), secret: secret.to_owned(), csr: csr(key) };
    ask(&house.connect(None).await, &ControllerRequest::Enrol(request)).await
}

fn seq(house: &House) -> u64 {
    house.running.controller.config.current().seq
}

fn revocation(user: &str) -> NewRevocation {
    let now = OffsetDateTime::now_utc();
    let scope = RevocationScope {
        ending: DnEnding::User(UserName::new(user, "local")),
        kinds: BTreeSet::from(TokenKind::ALL),
        site: None,
        token: None,
    };
    NewRevocation { scope, effective: now, reason: "test".into(), forget_after: now + Duration::days(2) }
}

fn reevaluation(user: &str) -> Op {
    Op::Reevaluate { ending: DnEnding::User(UserName::new(user, "local")), reason: "test".into() }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("state not reached in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_says_to_administrators_is_kept_and_counted() {
    let house = House::new().await;
    let mut gate = Gate::new(&house, "gate").await;
    gate.snapshot().await;
    let mut stream = open(&gate.carrier, &ControllerRequest::Report).await;
    let message = AdminMessage {
        level: MessageLevel::Error,
        category: MessageCategory::Configuration,
        message: "Script \"slow\" is not run any more".to_owned(),
    };
    for _ in 0..2 {
        write_frame(stream.send.as_mut(), &Report::AdminMessage(message.clone())).await.unwrap();
        let _: ReportAck = read(&mut stream).await;
    }
    let rows = house.running.controller.store.admin_messages().await.unwrap();
    let row = rows.iter().find(|row| row.source.uuid() == id_of("gate")).unwrap();
    assert_eq!((row.message.as_str(), row.level.as_str(), row.count), (message.message.as_str(), "Error", 2));
    assert_eq!(house.audit("admin_message_posted").await["admin_message"]["source"], "gate");
    house.running.stop().await;
}
