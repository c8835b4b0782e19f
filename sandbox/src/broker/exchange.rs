//! One request and its answer on one connection.
//!
//! The connection is driven by the call that uses it and by nobody else: there is no task to own, and giving up a call closes what it used.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::Stop;
use super::connect::Stream;
use crate::http::HttpFailure;

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why a request got no answer.
pub(super) enum NoAnswer {
    /// The connection had ended before anything was sent.
    NotSent(Box<Request<Full<Bytes>>>),
    /// The connection ended before an answer began.
    NothingBack,
    /// Something else.
    Stop(Stop),
}

impl From<NoAnswer> for Stop {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            NoAnswer::NotSent(_) | NoAnswer::NothingBack => Self::Failed(HttpFailure::Broken),
            NoAnswer::Stop(stop) => stop,
        }
    }
}

/// An HTTP/1.1 connection.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    connection: Option<Pin<Box<Wire>>>,
}

/// What moves the bytes of a connection.
type Wire = Connection<TokioIo<Stream>, Full<Bytes>>;

impl Link {
    /// Speaks HTTP over `stream`.
    pub(super) async fn new(stream: Stream) -> Result<Self, Stop> {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS);
        let handshake = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Stop::Failed(HttpFailure::Broken))?;
        Ok(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// Sends `request` and reads the whole answer.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let sent = self.sender.try_send_request(request);
        let response = match self.drive(sent).await {
            Ok(response) => response,
            Err(mut refused) => {
                return Err(match refused.take_message() {
                    Some(request) => NoAnswer::NotSent(Box::new(request)),
                    None if refused.error().is_incomplete_message() => NoAnswer::NothingBack,
                    None => NoAnswer::Stop(failure(refused.error())),
                });
            }
        };
        self.drive(read(response)).await.map_err(NoAnswer::Stop)
    }

    /// Can another request be sent? Looks at the connection once, so that an end the peer has announced is seen.
    pub(super) fn is_ready(&mut self) -> bool {
        self.poll(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Does `work`, which needs the connection to move.
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            self.poll(context);
            work.as_mut().poll(context)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let Some(connection) = &mut self.connection else { return };
        if let Poll::Ready(_ended) = connection.as_mut().poll(context) {
            self.connection = None;
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Stop> {
    let (head, mut incoming) = response.into_parts();
    let too_large = || Stop::Failed(HttpFailure::TooLarge);
    if incoming.size_hint().lower() > MAX_ANSWER as u64 {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| failure(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > MAX_ANSWER {
            return Err(too_large());
        }
        body.extend_from_slice(&data);
    }
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Answer { status: head.status.as_u16(), location, body })
}

fn failure(error: &hyper::Error) -> Stop {
    Stop::Failed(if error.is_parse_too_large() { HttpFailure::TooLarge } else { HttpFailure::Broken })
}

/// Largest body of an answer, in bytes (D 7.3).
const MAX_ANSWER: usize = 1024 * 1024;

/// Most bytes of an answer's head, and of what is read ahead.
const MAX_BUFFER: usize = 64 * 1024;

/// Most headers of an answer.
const MAX_HEADERS: usize = 128;
