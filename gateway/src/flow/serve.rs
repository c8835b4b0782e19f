//! A flow from the client's request to its end.

use std::{net::IpAddr, sync::Arc};

use engine::{
    object::{Direction, HostSpec},
    rules::{Protocol, Target},
    session::{Denial, FlowId, Limits, Permit},
};
use protocol::{
    carrier::Stream,
    frame,
    message::{FlowAnswer, Refusal, TargetHost, Transport, close_code},
};
use tokio::{io::AsyncReadExt as _, sync::mpsc, time::timeout};

use super::{Gate, GateState, datagrams, pump, pump::Ending};
use crate::{
    dial::{DialError, Upstream},
    resolver::ResolveError,
    session::{FlowEvent, LiveSession},
};

/// Serves one flow: decides, connects, carries, ends.
pub(crate) async fn serve(
    session: Arc<LiveSession>,
    stream: Stream,
    transport: Transport,
    host: TargetHost,
    port: u16,
) {
    let gate = Arc::new(Gate::new(stream));
    let attempt = Attempt { session: &session, gate: &gate, transport, port };
    let refusal = match attempt.addresses(host).await {
        Ok(addresses) => match attempt.connect_any(addresses).await {
            Ok(Some(place)) => return attempt.carry(place).await,
            Ok(None) => return,
            Err(refusal) => refusal,
        },
        Err(refusal) => refusal,
    };
    attempt.answer(&FlowAnswer::Denied(refusal)).await;
    gate.finish();
}

struct Attempt<'a> {
    session: &'a Arc<LiveSession>,
    gate: &'a Arc<Gate>,
    transport: Transport,
    port: u16,
}

/// A flow's place in the session; it is given up when this is dropped.
struct Place<'a> {
    session: &'a Arc<LiveSession>,
    flow: FlowId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.session.close(self.flow);
    }
}

impl<'a> Attempt<'a> {
    /// The addresses of the destination, those the rules know first of all.
    async fn addresses(&self, host: TargetHost) -> Result<Vec<IpAddr>, Refusal> {
        let name = match host {
            TargetHost::Address(address) => return Ok(vec![address.to_canonical()]),
            TargetHost::Name(name) => name,
        };
        match HostSpec::parse(&name) {
            Some(HostSpec::Name(name)) => self.session.addresses_of(&name).await.map_err(unresolved),
            Some(HostSpec::Net(net)) if net.prefix_len() == net.max_prefix_len() => Ok(vec![net.addr().to_canonical()]),
            Some(HostSpec::Net(_) | HostSpec::Script(_) | HostSpec::Unresolved(_)) | None => {
                Err(refusal("flow.host", "this is no host name or address"))
            }
        }
    }

    /// Tries address after address; a refusal by a rule says more than the absence of one. `None` when it was cut or the
    /// client went away.
    async fn connect_any(&self, addresses: Vec<IpAddr>) -> Result<Option<Place<'a>>, Refusal> {
        let mut outcome: Option<Refusal> = None;
        for address in addresses.into_iter().take(MAX_ATTEMPTS) {
            match self.connect(address).await {
                Ok(place) => return Ok(Some(place)),
                Err(Failed::Gone) => return Ok(None),
                Err(Failed::Refused(refusal)) => {
                    let says_more = outcome.as_ref().is_none_or(|earlier| earlier.code == Denial::NoRule.code());
                    if says_more {
                        outcome = Some(refusal);
                    }
                }
            }
        }
        Err(outcome.unwrap_or_else(|| unresolved(ResolveError::NoSuchName)))
    }

    async fn connect(&self, address: IpAddr) -> Result<Place<'a>, Failed> {
        let protocol = match self.transport {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        };
        let target = Target { protocol, direction: Direction::Up, address, port: self.port };
        let (flow, mut events) = self.session.open(self.gate, target);
        let place = Place { session: self.session, flow };
        let permit = self.await_permit(&mut events).await?;
        let mut state = self.gate.subscribe();
        let dialled = tokio::select! {
            biased;
            _ = state.wait_for(|state| *state == GateState::Cut) => return Err(Failed::Gone),
            dialled = self.session.dial(permit) => dialled,
        };
        let upstream = dialled.map_err(|error| {
            self.session.note_unreached(target, &error);
            Failed::Refused(unreached(&error))
        })?;
        if self.gate.attach(upstream) { Ok(place) } else { Err(Failed::Gone) }
    }

    async fn await_permit(&self, events: &mut mpsc::Receiver<FlowEvent>) -> Result<Permit, Failed> {
        loop {
            let mut early = [0; 1];
            let mut client = self.gate.client();
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(FlowEvent::Allow(permit)) => return Ok(permit),
                    Some(FlowEvent::Hold(hold)) => {
                        let message = format!("access to {} waits for `{}`", hold.entitlement, hold.condition);
                        self.answer(&FlowAnswer::Held { message }).await;
                    }
                    Some(FlowEvent::Deny(denial)) => {
                        return Err(Failed::Refused(refusal(denial.code(), &denial.message())));
                    }
                    None => return Err(Failed::Gone),
                },
                // Nothing is to be said before the flow is open: this is the client giving up, or breaking the protocol.
                _ = client.read(&mut early) => {
                    self.gate.reset(close_code::PROTOCOL);
                    return Err(Failed::Gone);
                }
            }
        }
    }

    async fn carry(&self, place: Place<'_>) {
        let Place { session, flow } = &place;
        let Some(upstream) = self.gate.upstream() else { return };
        if !self.answer(&FlowAnswer::Open).await {
            return self.gate.abort_upstream();
        }
        let ended = match upstream {
            Upstream::Tcp(stream) => pump::carry(session, *flow, self.gate, stream).await,
            Upstream::Udp(socket) => {
                datagrams::carry(session, *flow, self.gate, socket, session.limits().udp_idle).await
            }
        };
        match ended {
            Ok(()) | Err(Ending::Idle) => {
                self.gate.finish();
                self.gate.release_upstream();
            }
            Err(Ending::Cut) => {}
            Err(Ending::Client) => self.gate.abort_upstream(),
            Err(Ending::Upstream) => {
                self.gate.reset(close_code::UPSTREAM);
                self.gate.abort_upstream();
            }
        }
    }

    /// Tells the client; false when it does not take it within the time a flow may wait for an answer.
    async fn answer(&self, answer: &FlowAnswer) -> bool {
        let mut state = self.gate.subscribe();
        let mut client = self.gate.client();
        tokio::select! {
            biased;
            _ = state.wait_for(|state| *state == GateState::Cut) => false,
            written = timeout(Limits::default().pending, frame::write_frame(&mut client, answer)) => matches!(written, Ok(Ok(()))),
        }
    }
}

enum Failed {
    Refused(Refusal),
    Gone,
}

fn refusal(code: &str, message: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: message.to_owned(), retry_after_secs: None }
}

fn unreached(error: &DialError) -> Refusal {
    refusal(error.code(), error.message())
}

fn unresolved(error: ResolveError) -> Refusal {
    let message = match error {
        ResolveError::NoSuchName => "the gateway knows no address for this name; check the spelling",
        ResolveError::NoAnswer | ResolveError::ServersFailed => {
            "the gateway's name servers did not answer for this name; try again, or ask your administrator"
        }
        ResolveError::TooMany => "the gateway has no room for this name; ask your administrator",
    };
    refusal(error.code(), message)
}

/// Addresses of one name that are tried.
const MAX_ATTEMPTS: usize = 8;
