//! A live session: the engine's state machine with the connection, tokens and flows it decides for.
//!
//! All that happens to a session happens under its one lock, effects included, so that effects are carried out in the
//! order they were decided. Nothing under the lock waits: scripts, names and sockets run elsewhere and come back as input.

mod details;
mod effects;
mod evaluate;
mod facts;
mod instantiate;
mod names;
mod revoke;
mod run;
mod shortcuts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use engine::{
    dn::DistinguishedName,
    id::{ConditionId, EntitlementId, SessionId},
    rules::{NameAnswers, Problem, ScriptAnswers, Target},
    session::{Denial, Effect, EndReason, FlowId, Hold, Limits, Moment, Permit, Session},
};
use protocol::{carrier::SharedCarrier, message::ControlDown};
use sandbox::Urgency;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    admission::Tokens,
    dial::{DialError, Upstream},
    flow::Gate,
    gateway::Gateway,
    settings::GatewayLimits,
};
pub(crate) use details::net_text;
use instantiate::{Instantiation, Used};
use names::Moved;
use shortcuts::Offers;

/// A session on its connection.
pub(crate) struct LiveSession {
    id: SessionId,
    name: DistinguishedName,
    gateway: Arc<Gateway>,
    carrier: SharedCarrier,
    source: IpAddr,
    connected: OffsetDateTime,
    control: mpsc::Sender<ControlDown>,
    /// Wakes whoever sleeps until the session has work.
    retime: Notify,
    /// Wakes an instantiation in the background that somebody waits for now.
    hurry: Notify,
    over: watch::Sender<bool>,
    /// False while rules are being built.
    settled: watch::Sender<bool>,
    /// How many flows there are, to be read without the lock.
    flow_count: AtomicUsize,
    inner: Mutex<Inner>,
}

struct Inner {
    session: Session,
    tokens: Tokens,
    granted: BTreeSet<EntitlementId>,
    claims: Arc<Value>,
    flows: HashMap<FlowId, FlowHandle>,
    next_flow: u64,
    /// What scripts and names last answered; rules can be built again from it without waiting.
    scripts: ScriptAnswers,
    names: NameAnswers,
    used: Used,
    problems: Vec<Problem>,
    entitlement_names: Vec<String>,
    instantiation: Instantiation,
    moved: Moved,
    offers: Offers,
    /// Conditions the user was told are false.
    told_false: BTreeSet<ConditionId>,
    /// How urgent the conditions are that are asked next.
    urgency: Urgency,
}

/// A flow as its session reaches it.
struct FlowHandle {
    gate: Arc<Gate>,
    events: mpsc::Sender<FlowEvent>,
    target: Target,
}

/// What a flow that is not open yet hears.
pub(crate) enum FlowEvent {
    Allow(Permit),
    Hold(Hold),
    Deny(Denial),
}

/// What a session begins with.
pub(crate) struct Beginning {
    pub(crate) id: SessionId,
    pub(crate) tokens: Tokens,
    pub(crate) carrier: SharedCarrier,
    pub(crate) control: mpsc::Sender<ControlDown>,
}

impl LiveSession {
    pub(crate) fn new(gateway: Arc<Gateway>, beginning: Beginning) -> Arc<Self> {
        let Beginning { id, tokens, carrier, control } = beginning;
        let source = carrier.remote_address().ip().to_canonical();
        let connected = gateway.clock.wall();
        let limits = Limits {
            flows: usize::try_from(gateway.limits.flows_per_session).unwrap_or(usize::MAX),
            hold: gateway.limits.hold,
            schedule_delay: rand::random_range(Duration::ZERO..LONGEST_SCHEDULE_DELAY),
            ..Limits::default()
        };
        let claims = facts::claims(&gateway, &tokens, source, connected);
        let inner = Inner {
            session: Session::new(limits, tokens.expires(), gateway.clock.now()),
            granted: tokens.granted(),
            claims,
            tokens,
            flows: HashMap::new(),
            next_flow: 0,
            scripts: BTreeMap::new(),
            names: BTreeMap::new(),
            used: Used::default(),
            problems: Vec::new(),
            entitlement_names: Vec::new(),
            instantiation: Instantiation::default(),
            moved: Moved::default(),
            offers: Offers::default(),
            told_false: BTreeSet::new(),
            urgency: Urgency::Now,
        };
        let name = inner.tokens.name().clone();
        Arc::new(Self {
            id,
            name,
            gateway,
            carrier,
            source,
            connected,
            control,
            retime: Notify::new(),
            hurry: Notify::new(),
            over: watch::Sender::new(false),
            settled: watch::Sender::new(true),
            flow_count: AtomicUsize::new(0),
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn name(&self) -> &DistinguishedName {
        &self.name
    }

    pub(crate) fn limits(&self) -> &GatewayLimits {
        &self.gateway.limits
    }

    /// Turns true when the session is over.
    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// The names of the entitlements held.
    pub(crate) fn entitlement_names(&self) -> Vec<String> {
        self.lock().entitlement_names.clone()
    }

    /// A flow's first packet. What is decided comes as events.
    pub(crate) fn open(self: &Arc<Self>, gate: &Arc<Gate>, target: Target) -> (FlowId, mpsc::Receiver<FlowEvent>) {
        let (events, receiver) = mpsc::channel(FLOW_EVENTS);
        let flow = self.act(|inner, now| {
            let flow = FlowId(inner.next_flow);
            inner.next_flow += 1;
            inner.flows.insert(flow, FlowHandle { gate: gate.clone(), events, target });
            (flow, inner.session.open(flow, target, now))
        });
        self.retime();
        (flow, receiver)
    }

    /// The flow is over by itself.
    pub(crate) fn close(&self, flow: FlowId) {
        let mut inner = self.lock();
        inner.session.close(flow);
        inner.flows.remove(&flow);
        self.flow_count.store(inner.flows.len(), Ordering::Relaxed);
    }

    /// Whether there are flows to be cut.
    pub(crate) fn has_flows(&self) -> bool {
        self.flow_count.load(Ordering::Relaxed) > 0
    }

    /// Whether the flow may pass data at this moment.
    pub(crate) fn passes(&self, flow: FlowId) -> bool {
        let now = self.gateway.clock.now();
        self.lock().session.passes(flow, now)
    }

    /// Connects a permitted flow.
    pub(crate) async fn dial(&self, permit: Permit) -> Result<Upstream, DialError> {
        self.gateway.dialer.dial(permit).await
    }

    /// Does what is due now.
    pub(crate) fn tick(self: &Arc<Self>) {
        self.act(|inner, now| ((), inner.session.handle_timeout(now)));
    }

    /// Keeps the session's time until it is over.
    pub(crate) async fn keep_time(self: &Arc<Self>) {
        let mut over = self.over();
        loop {
            let sleep = self.next_wake();
            tokio::select! {
                _ = over.wait_for(|over| *over) => return,
                () = self.retime.notified() => {}
                () = tokio::time::sleep(sleep) => self.tick(),
            }
        }
    }

    /// Ends the session and all its flows, now.
    pub(crate) fn end(self: &Arc<Self>, reason: EndReason) {
        self.act(|inner, _| ((), inner.session.end(reason)));
    }

    /// Says something on the control stream. A client that does not read its control stream loses the connection.
    fn tell(&self, message: ControlDown) {
        if self.control.try_send(message).is_err() {
            self.carrier.close(protocol::message::close_code::PROTOCOL, "control stream is not read");
        }
    }

    fn next_wake(&self) -> Duration {
        let now = self.gateway.clock.now();
        let inner = self.lock();
        let at_wall = Duration::try_from(inner.session.poll_wall() - now.wall).unwrap_or_default();
        let waiting = inner.session.poll_timeout().saturating_sub(now.monotonic);
        // The wall clock may jump; nothing sleeps on it for long.
        at_wall.min(waiting).min(LONGEST_SLEEP)
    }

    /// The one way to change the session: under the lock, with the effects carried out before it is released.
    fn act<T>(self: &Arc<Self>, change: impl FnOnce(&mut Inner, Moment) -> (T, Vec<Effect>)) -> T {
        let mut inner = self.lock();
        let now = self.gateway.clock.now();
        let (answer, effects) = change(&mut inner, now);
        if !effects.is_empty() {
            self.carry_out(&mut inner, effects);
            self.retime();
        }
        self.flow_count.store(inner.flows.len(), Ordering::Relaxed);
        answer
    }

    /// The next moment with work may be another now.
    fn retime(&self) {
        self.retime.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flow hears at most that it is held, and then one answer.
const FLOW_EVENTS: usize = 4;

/// Sessions ask within this after a scheduled moment, each at its own time.
const LONGEST_SCHEDULE_DELAY: Duration = Duration::from_secs(5);

const LONGEST_SLEEP: Duration = Duration::from_secs(30);
