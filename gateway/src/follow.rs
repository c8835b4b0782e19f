//! Following a controller: one connection out, on which configuration and questions come in, reports and answers
//! go out.
//!
//! Any controller will do; when the connection is lost or silent, the next one is tried. What was applied stays in force
//! meanwhile.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use protocol::{
    carrier::{CarrierError, SharedCarrier},
    frame::{self, FrameError, MAX_CONFIG_MESSAGE},
    message::{ControllerRequest, WatchAck, WatchEvent, WatchFrom, close_code},
    quic::{CONTROLLER_ALPN, Dialer, Limits, QuicError},
    tls::{CONTROLLER_NAME, client_config},
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use crate::{config::ConfigError, gateway::Gateway, identity::GatewayIdentity, questions, report};

/// Errors from connecting to a controller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the name has no address")]
    Name,
    #[error("{0}")]
    Quic(#[from] QuicError),
}

/// Connects to `host:port`, trying each of its addresses.
pub(crate) async fn dial(controller: &str, tls: rustls::ClientConfig) -> Result<SharedCarrier, DialError> {
    let addresses = tokio::net::lookup_host(controller).await.map_err(|_| DialError::Name)?;
    let mut outcome = Err(DialError::Name);
    for address in addresses {
        let any: SocketAddr =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let limits = Limits { streams: 0, idle: SILENCE * 2, keep_alive: SILENCE / 2, ..Limits::DEFAULT };
        match Dialer::bind(any)?.dial(address, CONTROLLER_NAME, tls.clone(), limits).await {
            Ok(carrier) => return Ok(carrier),
            Err(error) => outcome = Err(error.into()),
        }
    }
    outcome
}

/// Follows controllers until told to stop.
pub(crate) async fn follow(gateway: Arc<Gateway>, identity: Arc<GatewayIdentity>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = follow_for_ever(&gateway, &identity) => {}
    }
}

async fn follow_for_ever(gateway: &Arc<Gateway>, identity: &GatewayIdentity) {
    let mut pause = FIRST_PAUSE;
    loop {
        for controller in &identity.controllers {
            let began = Instant::now();
            let Err(error) = follow_one(gateway, identity, controller).await;
            tracing::warn!(controller, error = %report_chain(&error), "Controller connection lost");
            if began.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
        }
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why a controller is no longer followed.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("cannot connect")]
    Dial(#[from] DialError),
    #[error("cannot connect in time")]
    DialTimeout,
    #[error("own certificate cannot be used")]
    Tls(#[from] protocol::tls::TlsError),
    #[error("connection lost")]
    Carrier(#[from] CarrierError),
    #[error("watch stream failed")]
    Frame(#[from] FrameError),
    #[error("the controller fell silent")]
    Silent,
    #[error("configuration cannot be applied")]
    Config(#[from] ConfigError),
}

async fn follow_one(
    gateway: &Arc<Gateway>,
    identity: &GatewayIdentity,
    controller: &str,
) -> Result<std::convert::Infallible, FollowError> {
    let tls = client_config(identity.pin, Some(&identity.tls), CONTROLLER_ALPN)?;
    let carrier = timeout(DIAL_TIMEOUT, dial(controller, tls)).await.map_err(|_| FollowError::DialTimeout)??;
    let _closing = Closing(carrier.clone());
    // A controller knows the gateway by its watch stream; what it is told before that it forgets.
    let known = Notify::new();
    let speaking = async {
        known.notified().await;
        tokio::select! {
            never = report::ship(gateway, &carrier) => never,
            never = questions::answer(gateway, &carrier) => never,
        }
    };
    tokio::select! {
        ended = watch_stream(gateway, &carrier, &known) => ended,
        never = speaking => match never {},
    }
}

/// Closes the connection when nobody follows it any more.
struct Closing(SharedCarrier);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close(close_code::DONE, "no longer followed");
    }
}

async fn watch_stream(
    gateway: &Arc<Gateway>,
    carrier: &SharedCarrier,
    known: &Notify,
) -> Result<std::convert::Infallible, FollowError> {
    let mut stream = carrier.open().await?;
    let current = gateway.config.current();
    let from =
        current.map_or_else(WatchFrom::default, |config| WatchFrom { epoch: Some(config.epoch), seq: config.seq });
    frame::write_frame(&mut stream.send, &ControllerRequest::Watch(from)).await?;
    let heard = Heard::new();
    let mut receive = Attentive { stream: &mut stream.receive, heard: &heard };
    loop {
        let event: WatchEvent = tokio::select! {
            biased;
            event = frame::read_frame(&mut receive, MAX_CONFIG_MESSAGE) => event?,
            () = heard.silence() => return Err(FollowError::Silent),
        };
        let seq = gateway.apply(event).await?;
        known.notify_one();
        let acknowledged = timeout(SILENCE, frame::write_frame(&mut stream.send, &WatchAck { seq })).await;
        acknowledged.map_err(|_| FollowError::Silent)??;
    }
}

/// When the last byte came in; a long frame is no silence.
struct Heard {
    start: Instant,
    last: AtomicU64,
}

impl Heard {
    fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0) }
    }

    fn note(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    async fn silence(&self) {
        loop {
            let due = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + SILENCE;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

struct Attentive<'a, R: ?Sized> {
    stream: &'a mut R,
    heard: &'a Heard,
}

impl<R: AsyncRead + Unpin + ?Sized> AsyncRead for Attentive<'_, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = Pin::new(&mut *self.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = read {
            self.heard.note();
        }
        read
    }
}

fn report_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Controllers speak every two seconds; twice missed means lost.
const SILENCE: Duration = Duration::from_secs(5);

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// A restarted controller is back within moments.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// A connection that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(5);
