//! A controller as a gateway sees it: enrolment, the watch stream, the report stream.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    dn::DnEnding,
    id::{ApplianceId, SiteId},
    token::TokenKind,
};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_MESSAGE, read_frame, write_frame},
    message::{
        AdminMessage, Answer, Asked, ChainedRecord, Change, ConfigObject, ControllerRequest, Enrolled, GatewayAnswer,
        GatewayEndpoint, MAX_ANSWER, Question, Report, ReportAck, SessionFacts, Snapshot, Told, WatchAck, WatchEvent,
        WireRevocation,
    },
    object::ObjectKind,
    quic::{CONTROLLER_ALPN, Limits, Listener, QuicError},
    tls::{ClientCertificates, server_config},
};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
};
use uuid::Uuid;

use crate::pki::Authority;

pub struct Facts {
    pub authority: Authority,
    pub collective: Uuid,
    pub appliance: ApplianceId,
    pub site: SiteId,
    pub keys: Vec<String>,
    pub claims_key: String,
}

pub struct Controller {
    pub facts: Arc<Facts>,
    pub address: SocketAddr,
    state: Arc<State>,
    running: Mutex<Option<JoinSet<()>>>,
}

struct State {
    store: Mutex<Store>,
    changes: broadcast::Sender<Value>,
    acknowledged: watch::Sender<u64>,
    records: watch::Sender<Vec<ChainedRecord>>,
    sessions: watch::Sender<Vec<SessionFacts>>,
    messages: watch::Sender<Vec<AdminMessage>>,
    questions: broadcast::Sender<Question>,
    answers: broadcast::Sender<GatewayAnswer>,
}

struct Store {
    epoch: Uuid,
    seq: u64,
    objects: BTreeMap<(ObjectKind, Uuid), ConfigObject>,
    revocations: Vec<WireRevocation>,
}

impl Controller {
    pub fn start(facts: Facts) -> Self {
        let state = State {
            store: Mutex::new(Store {
                epoch: Uuid::new_v4(),
                seq: 1,
                objects: BTreeMap::new(),
                revocations: Vec::new(),
            }),
            changes: broadcast::Sender::new(1024),
            acknowledged: watch::Sender::new(0),
            records: watch::Sender::new(Vec::new()),
            sessions: watch::Sender::new(Vec::new()),
            messages: watch::Sender::new(Vec::new()),
            questions: broadcast::Sender::new(64),
            answers: broadcast::Sender::new(64),
        };
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let controller = Self { facts: Arc::new(facts), address, state: Arc::new(state), running: Mutex::new(None) };
        let address = controller.listen().unwrap();
        Self { address, ..controller }
    }

    /// Is back at its address, as soon as the kernel has it free.
    pub async fn resume(&self) {
        let wait = async {
            while self.listen().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the address is free");
    }

    fn listen(&self) -> Result<SocketAddr, QuicError> {
        let identity = self.facts.authority.controller(ApplianceId::new(Uuid::new_v4()));
        let tls =
            server_config(&identity, &self.facts.authority.certificate, ClientCertificates::Optional, CONTROLLER_ALPN)
                .unwrap();
        let listener = Listener::bind(self.address, tls, Limits::default())?;
        let address = listener.local_address().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, self.facts.clone(), self.state.clone()));
        *self.running.lock().unwrap() = Some(tasks);
        Ok(address)
    }

    /// Vanishes, with all its connections.
    pub async fn vanish(&self) {
        let tasks = self.running.lock().unwrap().take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
        let wait = async {
            while self.state.changes.receiver_count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("nobody follows any more");
    }

    pub fn seq(&self) -> u64 {
        self.state.store.lock().unwrap().seq
    }

    /// Commits objects and waits until the gateway has applied them.
    pub async fn put(&self, objects: impl IntoIterator<Item = (ObjectKind, Value)>) {
        let change = |change: &mut Change| {
            change.put = objects
                .into_iter()
                .map(|(kind, body)| {
                    let id = body["id"].as_str().unwrap().parse().unwrap();
                    ConfigObject { kind, id, seq: change.seq, body }
                })
                .collect();
        };
        self.commit(change).await;
    }

    pub async fn remove(&self, kind: ObjectKind, id: Uuid) {
        self.commit(|change| change.removed = vec![(kind, id)]).await;
    }

    pub async fn revoke(&self, ending: &str, kinds: &[TokenKind], delay: Duration) {
        let ending: DnEnding = ending.parse().unwrap();
        let millis = |moment: OffsetDateTime| i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap();
        let now = OffsetDateTime::now_utc();
        let effective_ms = millis(now + delay);
        let forget_after_ms = millis(now + Duration::from_secs(86_400));
        let kinds = kinds.to_vec();
        self.commit(|change| {
            let reason = "left the company".to_owned();
            let revocation = WireRevocation {
                seq: change.seq,
                ending,
                kinds,
                site: None,
                token: None,
                effective_ms,
                reason,
                forget_after_ms,
            };
            change.revocations = vec![revocation];
        })
        .await;
    }

    pub async fn reevaluate(&self, ending: &str) {
        let ending: DnEnding = ending.parse().unwrap();
        self.commit(|change| change.reevaluate = vec![ending]).await;
    }

    /// A transaction that concerns no gateway.
    pub async fn progress(&self) {
        let seq = {
            let mut store = self.state.store.lock().unwrap();
            store.seq += 1;
            store.seq
        };
        let _ = self.state.changes.send(serde_json::to_value(WatchEvent::Progress { seq }).unwrap());
        self.applied(seq).await;
    }

    async fn commit(&self, change: impl FnOnce(&mut Change)) {
        let seq = {
            let mut store = self.state.store.lock().unwrap();
            store.seq += 1;
            let mut new = Change {
                seq: store.seq,
                put: vec![],
                removed: vec![],
                revocations: vec![],
                reevaluate: vec![],
                keys: None,
            };
            change(&mut new);
            for object in &new.put {
                store.objects.insert((object.kind, object.id), object.clone());
            }
            new.removed.iter().for_each(|key| drop(store.objects.remove(key)));
            store.revocations.extend(new.revocations.iter().cloned());
            // Nobody may follow at the moment; the next snapshot tells.
            let _ = self.state.changes.send(serde_json::to_value(WatchEvent::Change(Box::new(new))).unwrap());
            store.seq
        };
        if self.running.lock().unwrap().is_some() {
            self.applied(seq).await;
        }
    }

    async fn applied(&self, seq: u64) {
        let mut acknowledged = self.state.acknowledged.subscribe();
        let wait = acknowledged.wait_for(|applied| *applied >= seq);
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the gateway applies").unwrap();
    }

    /// Waits until a record was reported.
    pub async fn record(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut records = self.state.records.subscribe();
        let parse = |record: &ChainedRecord| serde_json::from_str::<Value>(&record.record).unwrap();
        let wait = records.wait_for(|records| records.iter().any(|record| wanted(&parse(record))));
        let found = tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the record is reported").unwrap();
        found.iter().map(parse).find(|record| wanted(record)).unwrap()
    }

    /// Everything reported so far, in the order of the chain.
    pub fn records(&self) -> Vec<ChainedRecord> {
        self.state.records.borrow().clone()
    }

    /// Waits until an admin message was reported.
    pub async fn message(&self, wanted: impl Fn(&AdminMessage) -> bool) -> AdminMessage {
        let mut messages = self.state.messages.subscribe();
        let wait = messages.wait_for(|messages| messages.iter().any(&wanted));
        let found =
            tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the message is reported").unwrap();
        found.iter().find(|message| wanted(message)).unwrap().clone()
    }

    /// Asks the gateway, once it lets itself be asked.
    pub async fn ask(&self, question: Question) -> GatewayAnswer {
        let mut answers = self.state.answers.subscribe();
        let asking = async {
            while self.state.questions.send(question.clone()).is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answers.recv().await.unwrap()
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the gateway answers")
    }

    /// Waits until the reported sessions are as wanted.
    pub async fn sessions(&self, wanted: impl Fn(&[SessionFacts]) -> bool) {
        let mut sessions = self.state.sessions.subscribe();
        let wait = sessions.wait_for(|sessions| wanted(sessions));
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the sessions are reported").unwrap();
    }
}

async fn accept(listener: Listener, facts: Arc<Facts>, state: Arc<State>) {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = listener.accept().await {
        let (facts, state) = (facts.clone(), state.clone());
        tasks.spawn(async move {
            let Ok(carrier) = incoming.finish().await else { return };
            serve(carrier, facts, state).await;
        });
    }
}

async fn serve(carrier: SharedCarrier, facts: Arc<Facts>, state: Arc<State>) {
    let mut tasks = JoinSet::new();
    while let Ok(mut stream) = carrier.accept().await {
        let (facts, state) = (facts.clone(), state.clone());
        tasks.spawn(async move {
            match read_frame(&mut stream.receive, MAX_MESSAGE).await.unwrap() {
                ControllerRequest::Enrol(enrol) => {
                    let answer = Answer::Ok(Enrolled {
                        collective: facts.collective,
                        certificate: facts.authority.gateway(&enrol.csr, enrol.appliance),
                        authority: STANDARD.encode(&facts.authority.certificate),
                        site: facts.site,
                    });
                    write_frame(&mut stream.send, &answer).await.unwrap();
                    stream.send.finish();
                }
                ControllerRequest::Watch(_) => watch_stream(stream, &facts, &state).await,
                ControllerRequest::Report => report_stream(stream, &state).await,
                ControllerRequest::Questions => question_stream(stream, &state).await,
                _ => panic!("no gateway asks this"),
            }
        });
    }
}

async fn watch_stream(mut stream: Stream, facts: &Facts, state: &State) {
    let mut changes = state.changes.subscribe();
    let snapshot = {
        let store = state.store.lock().unwrap();
        WatchEvent::Snapshot(Box::new(Snapshot {
            collective: facts.collective,
            epoch: store.epoch,
            seq: store.seq,
            site: facts.site,
            gateway: GatewayEndpoint { appliance: facts.appliance, host: "127.0.0.1".into(), port: 443, weight: 100 },
            objects: store.objects.values().cloned().collect(),
            revocations: store.revocations.clone(),
            keys: facts.keys.clone(),
            claims_key: facts.claims_key.clone(),
        }))
    };
    let mut next = serde_json::to_value(snapshot).unwrap();
    loop {
        if write_frame(&mut stream.send, &next).await.is_err() {
            return;
        }
        let Ok(ack) = read_frame::<WatchAck, _>(&mut stream.receive, MAX_MESSAGE).await else { return };
        state.acknowledged.send_modify(|acknowledged| *acknowledged = ack.seq.max(*acknowledged));
        next = tokio::select! {
            change = changes.recv() => change.unwrap(),
            () = tokio::time::sleep(Duration::from_secs(1)) => serde_json::to_value(WatchEvent::Progress { seq: ack.seq }).unwrap(),
        };
    }
}

async fn report_stream(mut stream: Stream, state: &State) {
    loop {
        let Ok(report) = read_frame::<Report, _>(&mut stream.receive, 1 << 20).await else { return };
        match report {
            Report::Sessions { sessions } => drop(state.sessions.send_replace(sessions)),
            Report::MoreSessions { sessions } => state.sessions.send_modify(|known| known.extend(sessions)),
            Report::SessionStarted(facts) => state.sessions.send_modify(|sessions| {
                sessions.retain(|known| known.session != facts.session);
                sessions.push(facts);
            }),
            Report::SessionEnded { session } => {
                state.sessions.send_modify(|sessions| sessions.retain(|known| known.session != session));
            }
            Report::AdminMessage(message) => state.messages.send_modify(|messages| messages.push(message)),
            Report::Audit { records } => state.records.send_modify(|held| {
                let last = held.last().map_or(0, |record| record.position);
                held.extend(records.into_iter().filter(|record| record.position > last));
            }),
        }
        let audit_position = state.records.borrow().last().map_or(0, |record| record.position);
        if write_frame(&mut stream.send, &ReportAck { audit_position }).await.is_err() {
            return;
        }
    }
}

async fn question_stream(mut stream: Stream, state: &State) {
    let mut questions = state.questions.subscribe();
    for number in 1.. {
        let question = questions.recv().await.unwrap();
        if write_frame(&mut stream.send, &Asked { number, question }).await.is_err() {
            return;
        }
        let Ok(told) = read_frame::<Told, _>(&mut stream.receive, MAX_ANSWER).await else { return };
        assert_eq!(told.number, number);
        let _ = state.answers.send(told.answer);
    }
}
