//! Serving clients: connections, their control stream, their flows.
//!
//! The first stream of a connection is its control stream; nothing else is looked at before the tokens shown there were
//! believed. One connection is one task, one flow is one task; a connection's end ends its flows.

use std::{sync::Arc, time::Duration};

use engine::session::EndReason;
use protocol::{
    carrier::{Peer, ReceiveHalf, SendHalf, SharedCarrier, Stream},
    frame::{self, FrameError, MAX_MESSAGE, MAX_TOKENS_MESSAGE},
    message::{ControlDown, ControlUp, FlowAnswer, GatewayRequest, Present, Refusal, close_code},
    quic::{Incoming, Listener},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    admission::{AdmissionError, Applicant},
    flow,
    gateway::Gateway,
    pace::Pace,
    session::LiveSession,
};

/// Accepts clients until told to stop; ends with every connection closed.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            incoming = listener.accept() => {
                let Some(incoming) = incoming else { break };
                let source = incoming.remote_address().ip().to_canonical();
                // Room for as many again that are not admitted yet or on their way out.
                if connections.len() >= gateway.limits.sessions.saturating_mul(2) || !gateway.allows_source(source) {
                    incoming.refuse();
                    continue;
                }
                connections.spawn(serve_connection(gateway.clone(), incoming));
            }
        }
    }
    gateway.end_all(&EndReason::Shutdown);
    let farewell = async { while connections.join_next().await.is_some() {} };
    // Connections that do not end by themselves are closed with the listener.
    let _ = timeout(FAREWELL, farewell).await;
    listener.close(close_code::SHUTDOWN, "the gateway is stopping");
    connections.shutdown().await;
}

async fn serve_connection(gateway: Arc<Gateway>, incoming: Incoming) {
    let limit = gateway.limits.handshake;
    let carrier = match timeout(limit, incoming.finish()).await {
        Ok(Ok(carrier)) => carrier,
        Ok(Err(error)) => return tracing::debug!(%error, "Handshake failed"),
        Err(_) => return tracing::debug!("Handshake took too long"),
    };
    serve_carrier(gateway, carrier).await;
}

/// Serves a client on its connection, whatever that runs over, until it ends.
pub(crate) async fn serve_carrier(gateway: Arc<Gateway>, carrier: SharedCarrier) {
    let limit = gateway.limits.handshake;
    let Peer::Session(session, certificate) = carrier.peer() else {
        return carrier.close(close_code::PROTOCOL, "the certificate names no session");
    };
    let applicant = Applicant { session, certificate, carrier: carrier.clone() };
    match timeout(limit, first_words(&carrier)).await {
        Ok(Ok((stream, present))) => serve_control(gateway, applicant, stream, present).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "Client did not begin with its tokens");
            carrier.close(close_code::PROTOCOL, "tokens come first");
        }
        Err(_) => carrier.close(close_code::PROTOCOL, "tokens did not come in time"),
    }
}

/// The control stream and the tokens first shown on it.
async fn first_words(carrier: &SharedCarrier) -> Result<(Stream, Present), WordsError> {
    let mut stream = carrier.accept().await.map_err(|error| WordsError::Lost(error.0))?;
    let GatewayRequest::Control = frame::read_frame(&mut stream.receive, MAX_MESSAGE).await? else {
        return Err(WordsError::NotControl);
    };
    match frame::read_frame(&mut stream.receive, MAX_TOKENS_MESSAGE).await? {
        ControlUp::Present(present) => Ok((stream, present)),
        ControlUp::SignOut => Err(WordsError::NotControl),
    }
}

#[derive(Debug, thiserror::Error)]
enum WordsError {
    #[error("the connection was lost: {0}")]
    Lost(String),
    #[error("the first stream is no control stream")]
    NotControl,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

async fn serve_control(gateway: Arc<Gateway>, applicant: Applicant, stream: Stream, present: Present) {
    let Stream { send, receive } = stream;
    let (control, messages) = mpsc::channel(CONTROL_QUEUE);
    let carrier = applicant.carrier.clone();
    let admitted = tokio::select! {
        admitted = gateway.admit(applicant.clone(), &present, control.clone()) => admitted,
        // The guard of a session that was begun already ends it.
        _ = carrier.closed() => return,
    };
    drop(present);
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(error) => return refuse(&carrier, send, &error).await,
    };
    let session = &admitted.session;
    // A session that was ended meanwhile has said so already.
    let _ = control.try_send(ControlDown::Admitted { entitlements: session.entitlement_names() });
    let talk = Talk { gateway: &gateway, applicant: &applicant, session, control: &control };
    tokio::select! {
        () = talk.listen(receive) => {}
        () = write_control(send, messages, &carrier, session) => {}
        () = accept_flows(&carrier, session) => {}
        never = keep_time(session) => match never {},
        _ = carrier.closed() => {}
    }
    drop(admitted);
    carrier.close(close_code::SESSION_ENDED, "the session is over");
}

async fn keep_time(session: &Arc<LiveSession>) -> std::convert::Infallible {
    session.keep_time().await;
    // The session is over; its last words are still on their way.
    std::future::pending().await
}

/// What is needed to answer a client on its control stream.
struct Talk<'a> {
    gateway: &'a Arc<Gateway>,
    applicant: &'a Applicant,
    session: &'a Arc<LiveSession>,
    control: &'a mpsc::Sender<ControlDown>,
}

impl Talk<'_> {
    /// Takes in renewed tokens until the client is done. What comes too fast waits: looking at tokens costs signatures,
    /// scripts and records, and others need them too.
    async fn listen(&self, mut receive: Box<dyn ReceiveHalf>) {
        let mut pace = Pace::new(Instant::now());
        let mut refusals = 0;
        loop {
            match frame::read_frame(&mut receive, MAX_TOKENS_MESSAGE).await {
                Ok(ControlUp::Present(present)) => {
                    sleep(pace.wait(Instant::now())).await;
                    refusals = match self.renew(&present).await {
                        Renewal::Done => 0,
                        Renewal::Later => refusals,
                        Renewal::Refused => refusals + 1,
                    };
                    if refusals >= MAX_REFUSALS {
                        return self.applicant.carrier.close(close_code::PROTOCOL, "tokens were refused too often");
                    }
                }
                Ok(ControlUp::SignOut) => {
                    self.session.end(EndReason::SignedOut);
                    // The last words go out; then the connection ends.
                    return std::future::pending().await;
                }
                Err(FrameError::Ended) => return,
                Err(error) => return tracing::debug!(%error, "Control stream failed"),
            }
        }
    }

    /// Newer tokens take the place of the older ones; refused ones leave them.
    async fn renew(&self, present: &Present) -> Renewal {
        let believed = self.gateway.believe(self.applicant, present, &self.session.token_ids()).await;
        let tokens = match believed {
            Ok(tokens) if tokens.name() == self.session.name() => tokens,
            Ok(tokens) => return self.refuse(&AdmissionError::Mismatch(Box::new(tokens.name().clone()))),
            Err(error) => return self.refuse(&error),
        };
        self.session.renew(tokens);
        self.session.settled().await;
        self.say(ControlDown::Admitted { entitlements: self.session.entitlement_names() });
        Renewal::Done
    }

    fn refuse(&self, error: &AdmissionError) -> Renewal {
        self.gateway.note_refused(self.applicant, error);
        self.say(ControlDown::Refused(error.refusal()));
        if error.is_of_tokens() { Renewal::Refused } else { Renewal::Later }
    }

    fn say(&self, message: ControlDown) {
        if self.control.try_send(message).is_err() {
            self.applicant.carrier.close(close_code::PROTOCOL, "control stream is not read");
        }
    }
}

/// What became of tokens shown again.
enum Renewal {
    Done,
    /// They could not be looked at, which is not the client's doing.
    Later,
    Refused,
}

/// Sends what is to be said; ends when the session's last words are out.
async fn write_control(
    mut send: Box<dyn SendHalf>,
    mut messages: mpsc::Receiver<ControlDown>,
    carrier: &SharedCarrier,
    session: &Arc<LiveSession>,
) {
    while let Some(message) = messages.recv().await {
        let written = timeout(CONTROL_WRITE, frame::write_frame(&mut send, &message)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        if let ControlDown::Ended(refusal) = message {
            send.finish();
            // The client closes when it has read it; flows are cut already.
            let _ = timeout(LAST_WORDS, carrier.closed()).await;
            return carrier.close(close_code::SESSION_ENDED, &refusal.message);
        }
    }
    session.end(EndReason::Disconnected);
}

async fn refuse(carrier: &SharedCarrier, mut send: Box<dyn SendHalf>, error: &AdmissionError) {
    let refusal = error.refusal();
    let message = refusal.message.clone();
    let said = async {
        frame::write_frame(&mut send, &ControlDown::Refused(refusal)).await?;
        send.finish();
        carrier.closed().await;
        Ok::<(), FrameError>(())
    };
    // A client that does not read is closed all the same.
    let _ = timeout(LAST_WORDS, said).await;
    carrier.close(close_code::SESSION_ENDED, &message);
}

/// Takes streams for flows; their number is bounded by the carrier.
async fn accept_flows(carrier: &SharedCarrier, session: &Arc<LiveSession>) {
    let mut flows = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = flows.join_next() => {}
            stream = carrier.accept() => {
                let Ok(stream) = stream else { return };
                flows.spawn(serve_stream(session.clone(), stream));
            }
        }
    }
}

async fn serve_stream(session: Arc<LiveSession>, mut stream: Stream) {
    let request = timeout(session.limits().handshake, frame::read_frame(&mut stream.receive, MAX_MESSAGE)).await;
    match request {
        Ok(Ok(GatewayRequest::Open { transport, host, port })) => {
            flow::serve(session, stream, transport, host, port).await
        }
        Ok(Ok(GatewayRequest::Control)) => {
            let refusal = Refusal {
                code: "control.open".to_owned(),
                message: "the control stream is open already".to_owned(),
                retry_after_secs: None,
            };
            // A client that breaks the protocol may well not read this.
            let _ = timeout(CONTROL_WRITE, frame::write_frame(&mut stream.send, &FlowAnswer::Denied(refusal))).await;
            stream.send.finish();
        }
        Ok(Err(_)) | Err(_) => {
            stream.send.reset(close_code::PROTOCOL);
            stream.receive.stop(close_code::PROTOCOL);
        }
    }
}

/// Refused tokens in a row after which a client is not listened to any longer.
const MAX_REFUSALS: u32 = 10;

/// Messages to one client on their way; a client that lets more pile up is not reading.
const CONTROL_QUEUE: usize = 256;

const CONTROL_WRITE: Duration = Duration::from_secs(10);

/// How long a client may take to read why it is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long all clients together may take at the gateway's stop.
const FAREWELL: Duration = Duration::from_secs(2);
