//! Opening a flow: one stream to the gateway of the Site that grants it, and the gateway's answer.
//!
//! The client does not know which Site grants a destination; it asks them in the order of their ids and takes the first
//! that neither lacks a rule nor fails to know the name. A denial from a Site that does have a rule is final.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{self, FrameError, MAX_MESSAGE},
    message::{FlowAnswer, GatewayRequest, Refusal, TargetHost, Transport, close_code},
    quic::reset_code,
};
use time::OffsetDateTime;

use crate::{
    event::ClientEvent,
    hub::Hub,
    link::Link,
    status::{FlowState, FlowStatus, State},
};

/// Where a flow goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) transport: Transport,
    pub(crate) host: TargetHost,
    pub(crate) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            TargetHost::Address(IpAddr::V6(host)) => write!(f, "[{host}]:{}", self.port)?,
            TargetHost::Address(IpAddr::V4(host)) => write!(f, "{host}:{}", self.port)?,
            TargetHost::Name(host) => write!(f, "{host}:{}", self.port)?,
        }
        match self.transport {
            Transport::Tcp => f.write_str("/tcp"),
            Transport::Udp => f.write_str("/udp"),
        }
    }
}

/// Why a flow was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// A flow that carries data. It counts as open until it is dropped.
pub(crate) struct OpenFlow {
    pub(crate) stream: Stream,
    pub(crate) entry: FlowEntry,
}

/// A flow on the status board.
pub(crate) struct FlowEntry {
    hub: Arc<Hub>,
    id: u64,
    link: Option<Arc<Link>>,
}

/// Asks the Sites for a flow; a denial is shown to the user.
pub(crate) async fn open(hub: &Arc<Hub>, target: &Target) -> Result<OpenFlow, Denial> {
    let opened = find_site(hub, target).await;
    if let Err(denial) = &opened {
        hub.tell(ClientEvent::Denied {
            flow: target.to_string(),
            code: denial.code.clone(),
            message: denial.message.clone(),
        });
    }
    opened
}

async fn find_site(hub: &Arc<Hub>, target: &Target) -> Result<OpenFlow, Denial> {
    let mut entry = FlowEntry::new(hub, target);
    let mut denial = None;
    let mut away = Vec::new();
    let links = hub.links();
    for link in links.iter() {
        let Some(carrier) = link.carrier() else {
            away.push(link);
            continue;
        };
        match ask(&mut entry, link, &carrier, target).await {
            Ok(stream) => return Ok(OpenFlow { stream, entry }),
            Err(Asked::Elsewhere(no)) => denial = Some(no.or_earlier(denial)),
            Err(Asked::Lost) => away.push(link),
            Err(Asked::Denied(no)) => return Err(no),
        }
    }
    // A session that waits for its user will not be admitted in a moment.
    let patience = if hub.board.state() == State::MustSignIn { Duration::ZERO } else { PATIENCE };
    for link in away {
        let Some(carrier) = link.wait_carrier(patience).await else {
            denial = Some(Denial::away(hub, &link.name));
            continue;
        };
        match ask(&mut entry, link, &carrier, target).await {
            Ok(stream) => return Ok(OpenFlow { stream, entry }),
            Err(Asked::Elsewhere(no)) => denial = Some(no.or_earlier(denial)),
            Err(Asked::Lost) => denial = Some(Denial::away(hub, &link.name)),
            Err(Asked::Denied(no)) => return Err(no),
        }
    }
    Err(denial.unwrap_or_else(|| Denial::nothing_granted(hub)))
}

/// Why a Site did not open the flow.
enum Asked {
    /// Another Site may know better.
    Elsewhere(Denial),
    Denied(Denial),
    Lost,
}

async fn ask(
    entry: &mut FlowEntry,
    link: &Arc<Link>,
    carrier: &SharedCarrier,
    target: &Target,
) -> Result<Stream, Asked> {
    entry.ask(link);
    let opening = tokio::time::timeout(STREAM, carrier.open()).await;
    let mut guarded = Guarded(Some(opening.map_err(|_| Asked::Denied(Denial::too_many()))?.map_err(|_| Asked::Lost)?));
    let stream = guarded.0.as_mut().ok_or(Asked::Lost)?;
    let request = GatewayRequest::Open { transport: target.transport, host: target.host.clone(), port: target.port };
    frame::write_frame(&mut stream.send, &request).await.map_err(|_| Asked::Lost)?;
    loop {
        let answer = tokio::time::timeout(ANSWER, frame::read_frame(&mut stream.receive, MAX_MESSAGE)).await;
        match answer {
            Ok(Ok(FlowAnswer::Open)) => break,
            Ok(Ok(FlowAnswer::Held { message })) => entry.hold(target, message),
            Ok(Ok(FlowAnswer::Denied(refusal))) if refusal.code == NO_RULE || refusal.code.starts_with(NAME) => {
                return Err(Asked::Elsewhere(refusal.into()));
            }
            Ok(Ok(FlowAnswer::Denied(refusal))) => return Err(Asked::Denied(refusal.into())),
            // A gateway that ends only this stream has decided about it; asking again would hide that.
            Ok(Err(error)) if ended_by_gateway(&error) => return Err(Asked::Denied(Denial::ended())),
            Ok(Err(_)) => return Err(Asked::Lost),
            Err(_) => return Err(Asked::Denied(Denial::no_answer(&link.name))),
        }
    }
    entry.set(FlowState::Open, None);
    guarded.0.take().ok_or(Asked::Lost)
}

fn ended_by_gateway(error: &FrameError) -> bool {
    match error {
        FrameError::Io(error) => reset_code(error).is_some(),
        _ => true,
    }
}

/// Resets a stream that is not handed on, so that the gateway stops at once.
struct Guarded(Option<Stream>);

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            stream.send.reset(close_code::DONE);
            stream.receive.stop(close_code::DONE);
        }
    }
}

impl FlowEntry {
    fn new(hub: &Arc<Hub>, target: &Target) -> Self {
        let id = hub.board.add_flow(FlowStatus {
            flow: target.to_string(),
            site: String::new(),
            state: FlowState::Asking,
            message: None,
            since: OffsetDateTime::now_utc(),
        });
        Self { hub: hub.clone(), id, link: None }
    }

    fn ask(&mut self, link: &Arc<Link>) {
        link.add_flow();
        if let Some(before) = self.link.replace(link.clone()) {
            before.remove_flow();
        }
        self.hub.board.update_flow(self.id, |flow| flow.site.clone_from(&link.name));
        self.set(FlowState::Asking, None);
    }

    fn hold(&self, target: &Target, message: String) {
        self.set(FlowState::Held, Some(message.clone()));
        self.hub.tell(ClientEvent::Held { flow: target.to_string(), message });
    }

    fn set(&self, state: FlowState, message: Option<String>) {
        self.hub.board.update_flow(self.id, |flow| {
            flow.state = state;
            flow.message = message;
        });
    }
}

impl Drop for FlowEntry {
    fn drop(&mut self) {
        self.hub.board.remove_flow(self.id);
        if let Some(link) = &self.link {
            link.remove_flow();
        }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message }
    }
}

impl Denial {
    fn new(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message }
    }

    /// A Site that might grant it cannot be asked.
    fn away(hub: &Hub, site: &str) -> Self {
        if hub.board.state() == State::MustSignIn {
            return Self::new("client.must-sign-in", "you must sign in again first".to_owned());
        }
        Self::new(GATEWAY_AWAY, format!("no gateway of {site} serves this session now; the client keeps trying"))
    }

    fn nothing_granted(hub: &Hub) -> Self {
        match hub.board.state() {
            State::MustSignIn => Self::new("client.must-sign-in", "you must sign in again first".to_owned()),
            State::SigningIn | State::Connecting | State::Connected | State::NothingGranted | State::Ended => {
                Self::new(NO_RULE, "no policy gives you access to anything now".to_owned())
            }
        }
    }

    fn too_many() -> Self {
        Self::new(GATEWAY_AWAY, "too many connections are open at once; close some and try again".to_owned())
    }

    fn ended() -> Self {
        Self::new("flow.ended", "the gateway ended the attempt".to_owned())
    }

    fn no_answer(site: &str) -> Self {
        Self::new(GATEWAY_AWAY, format!("the gateway of {site} gave no answer in time"))
    }

    /// What to tell when several Sites cannot help: one that is away might have, and "not granted" says more than "no
    /// such name".
    fn or_earlier(self, earlier: Option<Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.is_gateway_away() || self.code.starts_with(NAME) => earlier,
            Some(_) | None => self,
        }
    }

    pub(crate) fn is_gateway_away(&self) -> bool {
        self.code == GATEWAY_AWAY
    }
}

/// The gateway has no rule for the destination; another Site may have one.
const NO_RULE: &str = "flow.no-rule";

/// Denials because the Site's name servers do not know the name.
const NAME: &str = "name.";

const GATEWAY_AWAY: &str = "client.gateway-away";

/// How long a flow waits for a Site that is just connecting.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a flow waits for room among the streams of its connection.
const STREAM: Duration = Duration::from_secs(15);

/// Gateways hold a flow at most 60 s, then dial.
const ANSWER: Duration = Duration::from_secs(90);
