//! Keeps one Site connected: chooses a gateway, presents tokens, listens, and starts over when the gateway is lost.
//!
//! A gateway's "no" is not argued with: the client asks a controller for new tokens and waits for them or for a growing
//! pause. A lost gateway is left for another one of the Site when there is one.

use std::{sync::Arc, time::Duration};

use engine::id::ApplianceId;
use protocol::{
    carrier::{Closed, SendHalf, SharedCarrier},
    frame::{self, MAX_MESSAGE},
    message::{ControlDown, ControlUp, GatewayEndpoint, GatewayRequest, Present, Refusal, Remedies, close_code},
    tls::gateway_name,
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Grant, Link, Order};
use crate::{
    dial::Backoff,
    event::ClientEvent,
    hub::{Command, Hub},
    status::{RemedyStatus, SiteState, SiteStatus, UnmetCondition},
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
        let mut orders = self.orders.clone();
        let connected = tokio::select! {
            connected = self.connect(grant, &gateway) => connected,
            _ = orders.wait_for(|order| !matches!(order, Order::Serve(_))) => Err(End::Done),
        };
        match connected {
            Ok(live) => {
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
        self.report(|site| {
            site.gateway = Some(endpoint.clone());
            // A gateway tells its shortcuts anew, and nothing when there are none.
            site.shortcuts.clear();
        });
        let name = gateway_name(gateway.appliance);
        let carrier =
            self.hub.dialers.dial(&endpoint, &name, &self.tls).await.map_err(|failure| End::Lost(failure.detail))?;
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
        let mut live = Live { carrier, control: stream.send, frames };
        match tokio::time::timeout(ADMISSION, self.admission(&mut live)).await {
            Ok(Ok(entitlements)) => self.note_admitted(&live, &endpoint, entitlements),
            Ok(Err(end)) => {
                live.carrier.close(close_code::DONE, "not admitted");
                return Err(end);
            }
            Err(_) => {
                live.carrier.close(close_code::DONE, "no answer");
                return Err(End::Lost("the gateway does not answer".to_owned()));
            }
        }
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
        loop {
            let step = tokio::select! {
                biased;
                frame = live.frames.recv() => Step::Frame(frame),
                order = next_order(&mut self.orders) => Step::Order(order),
                () = no_flows(&mut flows), if retiring => Step::Order(Order::Stop),
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

    fn note_admitted(&self, live: &Live, gateway: &str, entitlements: Vec<String>) {
        self.report(|site| {
            site.state = SiteState::Connected;
            site.entitlements.clone_from(&entitlements);
            site.message = None;
        });
        self.link.carrier.send_replace(Some(live.carrier.clone()));
        self.tell(ClientEvent::Admitted {
            site: self.link.site,
            site_name: self.link.name.clone(),
            gateway: gateway.to_owned(),
            entitlements,
        });
    }

    fn note_lost(&mut self, reason: String) -> Duration {
        self.set_down(SiteState::Connecting, &format!("its gateway cannot be reached, trying again: {reason}"));
        if !std::mem::replace(&mut self.told, true) {
            self.tell(ClientEvent::GatewayLost { site_name: self.link.name.clone(), reason });
        }
        self.lost.pause()
    }

    fn note_refused(&mut self, refusal: &Refusal, event: ClientEvent) -> Duration {
        self.set_down(SiteState::Refused, &refusal.message);
        if !std::mem::replace(&mut self.told, true) {
            self.tell(event);
        }
        self.command(Command::SiteEnded);
        let pause = self.refused.pause();
        // New tokens wake the link at once; the old ones would only be refused again.
        if SPENT_TOKENS.contains(&refusal.code.as_str()) { pause.max(LONG_PAUSE) } else { pause }
    }

    fn set_down(&self, state: SiteState, message: &str) {
        self.report(|site| {
            site.state = state;
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

async fn present(control: &mut dyn SendHalf, grant: &Grant) -> Result<(), String> {
    let message = ControlUp::Present(Present {
        claims: grant.claims.clone(),
        device_claims: grant.device_claims.clone(),
        entitlement: grant.entitlement.clone(),
    });
    match tokio::time::timeout(WRITE, frame::write_frame(control, &message)).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_) => Err("the gateway takes no more".to_owned()),
    }
}

/// Says that the user is done and waits a moment for the gateway to end the connection; closing it here would drop what
/// was said.
async fn say_goodbye(mut live: Live) {
    let said = async {
        frame::write_frame(&mut live.control, &ControlUp::SignOut).await?;
        live.control.finish();
        live.carrier.closed().await;
        Ok::<(), frame::FrameError>(())
    };
    // A gateway that does not listen learns from the closed connection.
    let _ = tokio::time::timeout(GRACE, said).await;
    live.carrier.close(close_code::DONE, "signed out");
}

fn end_of(closed: &Closed) -> End {
    match closed.code {
        Some(close_code::SESSION_ENDED | close_code::CUT) => End::Ended(Refusal {
            code: "session.ended".to_owned(),
            message: if closed.reason.is_empty() {
                "the gateway ended the session".to_owned()
            } else {
                closed.reason.clone()
            },
            retry_after_secs: None,
        }),
        Some(_) | None => End::Lost(closed.reason.clone()),
    }
}

fn set_unmet(site: &mut SiteStatus, condition: &str, now: Option<UnmetCondition>) {
    site.unmet.retain(|unmet| unmet.condition != condition);
    site.unmet.extend(now);
}

fn unmet(condition: &str, message: &str, remedies: Remedies) -> UnmetCondition {
    let offers = remedies.offers.into_iter();
    UnmetCondition {
        condition: condition.to_owned(),
        message: message.to_owned(),
        remedies: offers.map(|offer| RemedyStatus { offer, answered: false }).collect(),
        any: remedies.any,
    }
}

fn endpoint_name(gateway: &GatewayEndpoint) -> String {
    if gateway.host.contains(':') {
        format!("[{}]:{}", gateway.host, gateway.port)
    } else {
        format!("{}:{}", gateway.host, gateway.port)
    }
}

/// Chooses by weight; the one to avoid only when there is no other. `random` gives a number below its argument.
fn choose(
    gateways: &[GatewayEndpoint],
    avoid: Option<ApplianceId>,
    random: impl FnOnce(u64) -> u64,
) -> Option<&GatewayEndpoint> {
    let others: Vec<&GatewayEndpoint> = gateways.iter().filter(|gateway| Some(gateway.appliance) != avoid).collect();
    let pool = if others.is_empty() { gateways.iter().collect() } else { others };
    let weighted: Vec<&GatewayEndpoint> = pool.iter().copied().filter(|gateway| gateway.weight > 0).collect();
    // A weight of nothing means "only when no other is left".
    let Some(total) = Some(weighted.iter().map(|gateway| u64::from(gateway.weight)).sum()).filter(|total| *total > 0)
    else {
        return pool.first().copied();
    };
    let mut rest = random(total);
    weighted.into_iter().find(|gateway| {
        let weight = u64::from(gateway.weight);
        let found = rest < weight;
        rest = rest.saturating_sub(weight);
        found
    })
}

/// Service after which an end counts as a new one.
const STEADY: Duration = Duration::from_secs(10);

/// Refusals after which only other tokens can help.
const SPENT_TOKENS: [&str; 4] = ["token.refused", "token.mismatch", "session.revoked", "session.expired"];

/// How long a link waits for other tokens before it tries the spent ones all the same.
const LONG_PAUSE: Duration = Duration::from_secs(600);

/// A gateway may wait for configuration before it admits.
const ADMISSION: Duration = Duration::from_secs(30);

const WRITE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(500);

/// Messages of a gateway waiting to be read; beyond it the gateway waits.
const QUEUED_FRAMES: usize = 64;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn gateway(number: u128, weight: u32) -> GatewayEndpoint {
        GatewayEndpoint {
            appliance: ApplianceId::new(Uuid::from_u128(number)),
            host: "g".to_owned(),
            port: 443,
            weight,
        }
    }

    #[track_caller]
    fn check(weights: &[u32], avoid: u128, random: u64, expected: Option<u128>) {
        let gateways: Vec<GatewayEndpoint> =
            (1..).zip(weights).map(|(number, weight)| gateway(number, *weight)).collect();
        let avoid = ApplianceId::new(Uuid::from_u128(avoid));
        let found =
            choose(&gateways, Some(avoid), |total| random % total).map(|gateway| gateway.appliance.uuid().as_u128());
        assert_eq!(found, expected);
    }

    #[test]
    fn gateways_are_chosen_by_weight() {
        check(&[], 0, 0, None);
        check(&[1], 1, 0, Some(1));
        check(&[10, 30], 0, 9, Some(1));
        check(&[10, 30], 0, 10, Some(2));
        check(&[10, 30], 2, 39, Some(1));
        check(&[0, 0], 0, 5, Some(1));
        check(&[0, 5], 0, 4, Some(2));
    }

    #[test]
    fn addresses_of_six_are_bracketed() {
        let mut endpoint = gateway(1, 1);
        assert_eq!(endpoint_name(&endpoint), "g:443");
        endpoint.host = "::1".to_owned();
        assert_eq!(endpoint_name(&endpoint), "[::1]:443");
    }
}
