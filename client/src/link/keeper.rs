//! Keeps one Site connected: chooses a gateway, presents tokens, listens, and starts over when the gateway is lost.
//!
//! A gateway's "no" is not argued with: the client asks a controller for new tokens and waits for them or for a growing
//! pause. A lost gateway is left for another one of the Site when there is one. One that has only fallen silent is left
//! when its host says that it is gone, or when another gateway has taken the session in while the silence lasted; until
//! then its connection and all flows on it stay, because a network that stalls goes on as a rule.

mod around;
mod words;

use std::{sync::Arc, time::Duration};

use engine::id::ApplianceId;
use protocol::{
    carrier::{SendHalf, SharedCarrier},
    frame::{self, MAX_MESSAGE},
    message::{ControlDown, GatewayEndpoint, GatewayRequest, Refusal, close_code},
    tls::gateway_name,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use self::{
    around::Around,
    words::{GRACE, end_of, present, say_goodbye, set_unmet, unmet},
};
use super::{
    Grant, Link, Order,
    choice::{choose, endpoint_name},
    silence::Silence,
};
use crate::{
    dial::Backoff,
    event::ClientEvent,
    hub::{Command, Hub},
    status::{SiteState, SiteStatus},
};

/// The task behind a link.
pub(super) struct Keeper {
    hub: Arc<Hub>,
    link: Arc<Link>,
    tls: rustls::ClientConfig,
    orders: watch::Receiver<Order>,
    lost: Backoff,
    refused: Backoff,
    avoid: Option<ApplianceId>,
    told: bool,
}

/// An admitted session on a gateway.
struct Live {
    carrier: SharedCarrier,
    control: Box<dyn SendHalf>,
    frames: mpsc::Receiver<ControlDown>,
    /// What it said is held, when it took the session in.
    entitlements: Vec<String>,
}

/// Why a connection is no more.
enum End {
    /// It was wanted.
    Done,
    /// The gateway is away.
    Lost(String),
    /// The gateway did not admit the session.
    Refused(Refusal),
    /// The gateway ended the session.
    Ended(Refusal),
}

/// A connection on the way to being admitted; closed when that is given up.
struct Opening(Option<SharedCarrier>);

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(carrier) = self.0.take() {
            carrier.close(close_code::DONE, "not needed");
        }
    }
}

impl Keeper {
    pub(super) fn new(
        hub: Arc<Hub>,
        link: Arc<Link>,
        tls: rustls::ClientConfig,
        orders: watch::Receiver<Order>,
    ) -> Self {
        let lost = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
        let refused = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        Self { hub, link, tls, orders, lost, refused, avoid: None, told: false }
    }

    pub(super) async fn run(mut self) {
        while let Some(grant) = self.grant() {
            let end = self.attempt(&grant).await;
            self.link.carrier.send_replace(None);
            if self.link.is_retired() {
                break;
            }
            let pause = match end {
                End::Done => break,
                End::Lost(reason) => self.note_lost(reason),
                End::Refused(refusal) => self.note_refused(&refusal, ClientEvent::refused(&self.link.name, &refusal)),
                End::Ended(refusal) => self.note_refused(&refusal, ClientEvent::ended(&self.link.name, &refusal)),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = self.orders.changed() => if changed.is_err() { break },
            }
        }
        self.link.carrier.send_replace(None);
    }

    fn grant(&mut self) -> Option<Arc<Grant>> {
        match &*self.orders.borrow_and_update() {
            Order::Serve(grant) => Some(grant.clone()),
            Order::Retire | Order::Stop => None,
        }
    }

    /// One connection from dialling to its end.
    async fn attempt(&mut self, grant: &Grant) -> End {
        let Some(gateway) = choose(&grant.gateways, self.avoid, |total| rand::random_range(0..total)).cloned() else {
            return End::Lost("the Site has no gateway".to_owned());
        };
        self.avoid = Some(gateway.appliance);
        self.report(|site| {
            site.gateway = Some(endpoint_name(&gateway));
            // A gateway tells its shortcuts anew, and nothing when there are none.
            site.shortcuts.clear();
        });
        let mut orders = self.orders.clone();
        let connected = tokio::select! {
            connected = self.connect(grant, &gateway) => connected,
            _ = orders.wait_for(|order| !matches!(order, Order::Serve(_))) => Err(End::Done),
        };
        match connected {
            Ok(live) => {
                self.note_admitted(&live, &gateway);
                let since = Instant::now();
                self.told = false;
                let end = self.serve(live).await;
                if since.elapsed() > STEADY {
                    self.lost.reset();
                    self.refused.reset();
                    // After a long service the same gateway is as good as any other.
                    self.avoid = self.avoid.filter(|_| matches!(end, End::Lost(_)));
                }
                end
            }
            Err(end) => end,
        }
    }

    async fn connect(&self, grant: &Grant, gateway: &GatewayEndpoint) -> Result<Live, End> {
        let endpoint = endpoint_name(gateway);
        let name = gateway_name(gateway.appliance);
        let carrier =
            self.hub.dialers.dial(&endpoint, &name, &self.tls).await.map_err(|failure| End::Lost(failure.detail))?;
        let mut opening = Opening(Some(carrier.clone()));
        let mut stream = carrier.open().await.map_err(|error| End::Lost(error.to_string()))?;
        let lost = |error: frame::FrameError| End::Lost(error.to_string());
        frame::write_frame(&mut stream.send, &GatewayRequest::Control).await.map_err(lost)?;
        present(&mut *stream.send, grant).await.map_err(End::Lost)?;
        let (sender, frames) = mpsc::channel(QUEUED_FRAMES);
        let mut receive = stream.receive;
        tokio::spawn(async move {
            while let Ok(frame) = frame::read_frame(&mut receive, MAX_MESSAGE).await {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let mut live = Live { carrier, control: stream.send, frames, entitlements: Vec::new() };
        match tokio::time::timeout(ADMISSION, self.admission(&mut live)).await {
            Ok(Ok(entitlements)) => live.entitlements = entitlements,
            Ok(Err(end)) => return Err(end),
            Err(_) => return Err(End::Lost("the gateway does not answer".to_owned())),
        }
        opening.0 = None;
        Ok(live)
    }

    async fn admission(&self, live: &mut Live) -> Result<Vec<String>, End> {
        loop {
            match live.frames.recv().await {
                Some(ControlDown::Admitted { entitlements }) => return Ok(entitlements),
                Some(ControlDown::Refused(refusal) | ControlDown::Ended(refusal)) => return Err(End::Refused(refusal)),
                Some(other) => drop(self.note(other)),
                None => return Err(end_of(&live.carrier.closed().await)),
            }
        }
    }

    async fn serve(&mut self, mut live: Live) -> End {
        let mut flows = self.link.flows.subscribe();
        let mut retiring = false;
        let mut silence = Silence::new(&live.carrier);
        loop {
            let step = tokio::select! {
                biased;
                frame = live.frames.recv() => Step::Frame(frame),
                order = next_order(&mut self.orders) => Step::Order(order),
                () = no_flows(&mut flows), if retiring => Step::Order(Order::Stop),
                () = silence.suspicious(&live.carrier) => Step::Silent,
            };
            match step {
                Step::Frame(Some(frame)) => {
                    if let Some(end) = self.note(frame) {
                        live.carrier.close(close_code::DONE, "ended");
                        return end;
                    }
                }
                Step::Frame(None) => return without_control(&live).await,
                Step::Order(Order::Serve(grant)) => {
                    if let Err(reason) = present(&mut *live.control, &grant).await {
                        live.carrier.close(close_code::DONE, "control stream is stuck");
                        return End::Lost(reason);
                    }
                }
                Step::Order(Order::Retire) => {
                    self.link.carrier.send_replace(None);
                    retiring = true;
                }
                Step::Order(Order::Stop) => {
                    say_goodbye(live).await;
                    return End::Done;
                }
                Step::Silent => match self.look_around(&live.carrier, &mut silence).await {
                    Around::Stay => {}
                    Around::Gone => {
                        live.carrier.close(close_code::DONE, "gone");
                        return End::Lost("nothing listens there any more".to_owned());
                    }
                    Around::Moved(newer, other) => {
                        live.carrier.close(close_code::DONE, "silent");
                        self.avoid = Some(other.appliance);
                        self.note_admitted(&newer, &other);
                        silence = Silence::new(&newer.carrier);
                        live = newer;
                    }
                },
            }
        }
    }

    /// Takes in what the gateway says; an end when it ends the session.
    fn note(&self, frame: ControlDown) -> Option<End> {
        let site_name = self.link.name.clone();
        match frame {
            ControlDown::Admitted { entitlements } => self.report(|site| site.entitlements = entitlements),
            ControlDown::Refused(refusal) => {
                self.tell(ClientEvent::refused(&site_name, &refusal));
                self.command(Command::SiteEnded);
            }
            ControlDown::ConditionFalse { condition, entitlements, message, remedies } => {
                let unmet = unmet(&condition, &message, remedies);
                self.report(|site| set_unmet(site, &condition, Some(unmet.clone())));
                let remedies = unmet.remedies.into_iter().map(|remedy| remedy.offer).collect();
                self.tell(ClientEvent::ConditionFalse { site_name, condition, entitlements, message, remedies });
            }
            ControlDown::ConditionTrue { condition } => {
                self.report(|site| set_unmet(site, &condition, None));
                self.tell(ClientEvent::ConditionTrue { site_name, condition });
            }
            ControlDown::RenewBefore { at, sign_in, reason } => {
                self.command(Command::EndAnnounced { at, sign_in, reason })
            }
            ControlDown::Ended(refusal) => return Some(End::Ended(refusal)),
            ControlDown::RulesChanged { entitlements } => {
                self.report(|site| site.entitlements.clone_from(&entitlements));
                self.tell(ClientEvent::RulesChanged { site_name, entitlements });
            }
            ControlDown::Shortcuts { shortcuts } => self.report(|site| site.shortcuts = shortcuts),
        }
        None
    }

    fn note_admitted(&self, live: &Live, gateway: &GatewayEndpoint) {
        let (gateway, entitlements) = (endpoint_name(gateway), live.entitlements.clone());
        self.report(|site| {
            site.state = SiteState::Connected;
            site.gateway = Some(gateway.clone());
            site.code = None;
            site.unmet.clear();
            site.entitlements.clone_from(&entitlements);
            site.message = None;
        });
        self.link.carrier.send_replace(Some(live.carrier.clone()));
        self.tell(ClientEvent::Admitted {
            site: self.link.site,
            site_name: self.link.name.clone(),
            gateway,
            entitlements,
        });
    }

    fn note_lost(&mut self, reason: String) -> Duration {
        let pause = self.lost.pause();
        let message = format!("no gateway serves it, the next attempt is in {} s: {reason}", rounded(pause));
        self.set_down(SiteState::Connecting, GATEWAY_AWAY, &message);
        if !std::mem::replace(&mut self.told, true) {
            self.tell(ClientEvent::GatewayLost { site_name: self.link.name.clone(), reason });
        }
        pause
    }

    fn note_refused(&mut self, refusal: &Refusal, event: ClientEvent) -> Duration {
        self.set_down(SiteState::Refused, &refusal.code, &refusal.message);
        if !std::mem::replace(&mut self.told, true) {
            self.tell(event);
        }
        self.command(Command::SiteEnded);
        let pause = self.refused.pause();
        // New tokens wake the link at once; the old ones would only be refused again.
        if SPENT_TOKENS.contains(&refusal.code.as_str()) { pause.max(LONG_PAUSE) } else { pause }
    }

    fn set_down(&self, state: SiteState, code: &str, message: &str) {
        self.report(|site| {
            site.state = state;
            site.code = Some(code.to_owned());
            site.unmet.clear();
            site.message = Some(message.to_owned());
        });
    }

    // What a retired link sees concerns a session that was already replaced.

    fn report(&self, change: impl FnOnce(&mut SiteStatus)) {
        if !self.link.is_retired() {
            self.hub.board.update_site(self.link.site, change);
        }
    }

    fn tell(&self, event: ClientEvent) {
        if !self.link.is_retired() {
            self.hub.tell(event);
        }
    }

    fn command(&self, command: Command) {
        if !self.link.is_retired() {
            self.hub.command(command);
        }
    }
}

/// What happens next to a live connection.
enum Step {
    Frame(Option<ControlDown>),
    Order(Order),
    /// Nothing has come for a while.
    Silent,
}

/// The next order; without a manager there is nothing left to do.
async fn next_order(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.changed().await {
        Ok(()) => orders.borrow_and_update().clone(),
        Err(_) => Order::Stop,
    }
}

async fn no_flows(flows: &mut watch::Receiver<usize>) {
    // The count outlives the link's task, so waiting cannot fail.
    let _ = flows.wait_for(|count| *count == 0).await;
}

/// Without its control stream a session cannot be told what it must know.
async fn without_control(live: &Live) -> End {
    let closed = tokio::time::timeout(GRACE, live.carrier.closed()).await;
    live.carrier.close(close_code::DONE, "no control stream");
    closed.map_or_else(|_| End::Lost("the gateway ended the control stream".to_owned()), |closed| end_of(&closed))
}

/// Whole seconds, as people count them.
fn rounded(pause: Duration) -> u64 {
    pause.as_secs_f64().ceil() as u64
}

/// The code a Site shows while no gateway serves it.
const GATEWAY_AWAY: &str = "client.gateway-away";

/// Service after which an end counts as a new one.
const STEADY: Duration = Duration::from_secs(10);

/// Refusals after which only other tokens can help.
const SPENT_TOKENS: [&str; 4] = ["token.refused", "token.mismatch", "session.revoked", "session.expired"];

/// How long a link waits for other tokens before it tries the spent ones all the same.
const LONG_PAUSE: Duration = Duration::from_secs(600);

/// A gateway may wait for configuration before it admits.
const ADMISSION: Duration = Duration::from_secs(30);

/// Messages of a gateway waiting to be read; beyond it the gateway waits.
const QUEUED_FRAMES: usize = 64;
