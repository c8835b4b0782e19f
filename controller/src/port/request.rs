//! One stream of the client port: reads the request, has it answered, writes the answer.

use std::{future::Future, net::IpAddr, time::Duration};

use engine::token::MAX_TOKEN_BYTES;
use protocol::{
    carrier::{Peer, SharedCarrier, Stream},
    frame::{self, FrameError, MAX_MESSAGE, MAX_TOKENS_MESSAGE},
    message::{
        Answer, ChainedRecord, ControllerRequest, Done, Providers, Refusal, Report, ReportAck, WatchFrom, close_code,
    },
};
use serde::Serialize;
use tokio::time::timeout;

use engine::object::IdentityProviderType;

use super::{
    Port,
    session::{self, SessionPeer},
};
use crate::{
    audit::Record,
    enrol, messages, refusal,
    state::Controller,
    store::{AuditRow, Transaction},
    watch::{self, GatewayPeer, WatchError},
};

/// Why a stream ended without an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    /// The peer did not send its request in time, or does not read the answer.
    #[error("peer is too slow")]
    Slow,
    /// The stream or what came on it is broken.
    #[error("request cannot be read or answered")]
    Frame(#[from] FrameError),
    /// A gateway's stream ended.
    #[error("gateway stream ended")]
    Watch(#[from] WatchError),
    /// A request that needs a gateway's certificate came without.
    #[error("peer is no gateway")]
    NoGateway,
}

/// Serves one stream.
pub(super) async fn serve(port: &Port, carrier: &SharedCarrier, mut stream: Stream) -> Result<(), StreamError> {
    let peer = carrier.peer();
    let address = carrier.remote_address().ip();
    let limit = match peer {
        Peer::Anonymous => MAX_MESSAGE,
        Peer::Session(..) | Peer::Appliance(..) => 2 * MAX_TOKEN_BYTES + MAX_MESSAGE,
    };
    let request = timeout(READ_TIMEOUT, frame::read_frame(stream.receive.as_mut(), limit))
        .await
        .map_err(|_| StreamError::Slow)??;
    if let Err(retry_after) = admit(port, &request, peer, address) {
        let whose = if peer == Peer::Anonymous { "from your address" } else { "of your session or address" };
        let refused = refusal::busy(&format!("too many requests {whose}; try again in a moment"), retry_after);
        return write::<Done>(stream, Answer::Refused(refused)).await;
    }
    let c = port.controller.as_ref();
    match request {
        ControllerRequest::Watch(from) => watch(c, carrier, from, stream).await,
        ControllerRequest::Report => report(c, carrier, stream).await,
        ControllerRequest::Questions => questions(c, carrier, stream).await,
        ControllerRequest::Providers => answer(stream, async { Ok(providers(c)) }).await,
        ControllerRequest::Authenticate(request) => answer(stream, session::authenticate(c, request, address)).await,
        ControllerRequest::Enrol(request) => answer(stream, enrol::enrol(c, &request, address)).await,
        ControllerRequest::ReportDevice { claims_token, device } => {
            answer(stream, async {
                session::report_device(c, session_peer(peer, address)?, &claims_token, device).await
            })
            .await
        }
        ControllerRequest::DownloadDeviceScript { claims_token, sha256 } => {
            answer(stream, async {
                session::download_device_script(c, session_peer(peer, address)?, &claims_token, &sha256).await
            })
            .await
        }
        ControllerRequest::Authorize { claims_token, device_claims_token } => {
            let device = device_claims_token.as_deref();
            answer(stream, async { session::authorize(c, session_peer(peer, address)?, &claims_token, device).await })
                .await
        }
        ControllerRequest::RenewClaims { claims_token } => {
            answer(stream, async { session::renew(c, session_peer(peer, address)?, &claims_token).await }).await
        }
        ControllerRequest::PrepareRemedy(request) => {
            answer(stream, async { session::prepare_remedy(c, session_peer(peer, address)?, request).await }).await
        }
        ControllerRequest::AnswerRemedy(request) => {
            answer(stream, async { session::answer_remedy(c, session_peer(peer, address)?, request).await }).await
        }
        ControllerRequest::SignOut { claims_token } => {
            answer(stream, async { session::sign_out(c, session_peer(peer, address)?, &claims_token).await }).await
        }
    }
}

/// Requests that anybody may make, and all requests without a certificate, count against their address; those of a session
/// that leave something behind, against the session.
fn admit(port: &Port, request: &ControllerRequest, peer: Peer, address: IpAddr) -> Result<(), Duration> {
    let of_session = match peer {
        Peer::Anonymous => return port.admit_anonymous(address),
        Peer::Session(session, _) => Some(session),
        Peer::Appliance(..) => None,
    };
    match request {
        ControllerRequest::Providers | ControllerRequest::Authenticate(_) | ControllerRequest::Enrol(_) => {
            port.admit_anonymous(address)
        }
        // A token that is not believed is a record, so this counts as well.
        ControllerRequest::DownloadDeviceScript { .. } => {
            of_session.map_or(Ok(()), |session| port.admit_download(session))
        }
        ControllerRequest::ReportDevice { .. }
        | ControllerRequest::Authorize { .. }
        | ControllerRequest::RenewClaims { .. }
        | ControllerRequest::PrepareRemedy(_)
        | ControllerRequest::AnswerRemedy(_)
        | ControllerRequest::SignOut { .. }
        // A session is refused there, and an appliance is bounded by what it reports.
        | ControllerRequest::Watch(_)
        | ControllerRequest::Report
        | ControllerRequest::Questions => of_session.map_or(Ok(()), |session| port.admit_write(session)),
    }
}

fn session_peer(peer: Peer, address: IpAddr) -> Result<SessionPeer, Refusal> {
    match peer {
        Peer::Session(session, certificate) => Ok(SessionPeer { session, certificate, address }),
        Peer::Anonymous | Peer::Appliance(..) => {
            Err(refusal::refused("certificate.session-required", "sign in first; this needs the session's certificate"))
        }
    }
}

fn providers(c: &Controller) -> Providers {
    let config = c.config.current();
    let signs_in =
        config.identity_providers().filter(|provider| provider.provider_type == IdentityProviderType::LocalDatabase);
    Providers {
        names: signs_in.map(|provider| provider.name.clone()).collect(),
        banner: session::setting(&config, "loginBannerMessage"),
    }
}

/// Answers within the time a request may take.
async fn answer<T: Serialize + Sync>(
    stream: Stream,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<(), StreamError> {
    let answer = match timeout(ANSWER_TIMEOUT, work).await {
        Ok(Ok(value)) => Answer::Ok(value),
        Ok(Err(refused)) => Answer::Refused(refused),
        Err(_) => Answer::Refused(refusal::busy(
            "the controller did not answer in time; try again in a moment",
            Duration::from_secs(2),
        )),
    };
    write(stream, answer).await
}

async fn write<T: Serialize + Sync>(mut stream: Stream, answer: Answer<T>) -> Result<(), StreamError> {
    timeout(WRITE_TIMEOUT, frame::write_frame(stream.send.as_mut(), &answer))
        .await
        .map_err(|_| StreamError::Slow)??;
    stream.send.finish();
    Ok(())
}

async fn watch(c: &Controller, carrier: &SharedCarrier, from: WatchFrom, stream: Stream) -> Result<(), StreamError> {
    let peer = admitted(c, carrier).await?;
    let ended = watch::serve(c, peer, from, stream).await;
    match &ended {
        Ok(()) | Err(WatchError::Stream(_) | WatchError::Closed) => {}
        Err(error) => {
            tracing::warn!(appliance = %peer.appliance, error = %refusal::chain(error), "Gateway is no longer served");
            carrier.close(close_code::SESSION_ENDED, "not admitted");
        }
    }
    Ok(ended?)
}

async fn report(c: &Controller, carrier: &SharedCarrier, mut stream: Stream) -> Result<(), StreamError> {
    let peer = admitted(c, carrier).await?;
    loop {
        let report: Report = frame::read_frame(stream.receive.as_mut(), MAX_TOKENS_MESSAGE).await?;
        c.gateways.report(peer.appliance, peer.address, &report, c.now());
        let rows = match report {
            Report::Audit { records } => records.into_iter().map(|record| audit_row(peer, record)).collect(),
            Report::AdminMessage(message) => {
                messages::post(c.store.as_ref(), peer.appliance, message).await;
                Vec::new()
            }
            Report::Sessions { .. }
            | Report::MoreSessions { .. }
            | Report::SessionStarted(_)
            | Report::SessionEnded { .. } => Vec::new(),
        };
        let audit_position = c.store.append_foreign_audit(peer.appliance, rows).await.map_err(WatchError::Store)?;
        frame::write_frame(stream.send.as_mut(), &ReportAck { audit_position }).await?;
    }
}

async fn questions(c: &Controller, carrier: &SharedCarrier, stream: Stream) -> Result<(), StreamError> {
    let peer = admitted(c, carrier).await?;
    Ok(c.questions.serve(peer.appliance, stream).await?)
}

/// The gateway at the other end; whoever is none, or not the one that enrolled, loses the connection.
async fn admitted(c: &Controller, carrier: &SharedCarrier) -> Result<GatewayPeer, StreamError> {
    let address = carrier.remote_address().ip();
    let Peer::Appliance(appliance, certificate) = carrier.peer() else {
        carrier.close(close_code::PROTOCOL, "certificate.appliance-required");
        return Err(StreamError::NoGateway);
    };
    let peer = GatewayPeer { appliance, certificate, address };
    if let Err(error) = watch::admit(c, peer).await {
        if let WatchError::NotAdmitted(reason) = &error {
            let event = Record::new("appliance_refused")
                .with("appliance_id", appliance.to_string())
                .address(Some(address))
                .with("reason", *reason);
            c.store
                .transact(Transaction { ops: Vec::new(), audit: vec![event.event()] })
                .await
                .map_err(WatchError::Store)?;
        }
        carrier.close(close_code::SESSION_ENDED, "not admitted");
        return Err(error.into());
    }
    Ok(peer)
}

fn audit_row(peer: GatewayPeer, record: ChainedRecord) -> AuditRow {
    AuditRow { number: 0, writer: peer.appliance, position: record.position, record: record.record, hash: record.hash }
}

/// How long a peer may take to send its request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request may take to be answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a peer may take to accept the answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
