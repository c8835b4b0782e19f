//! Talking to a controller: one connection per piece of work, one stream per request, everything within a time.

use std::time::Duration;

use protocol::{
    carrier::SharedCarrier,
    frame::{self, FrameError, MAX_TOKENS_MESSAGE},
    message::{Answer, ControllerRequest, Refusal, close_code},
    quic::HandshakeCause,
    tls::CONTROLLER_NAME,
};
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use crate::{err::ClientError, hub::Hub};

/// A connection to one controller.
pub(crate) struct Controller {
    carrier: SharedCarrier,
    name: String,
}

/// Why a request has no answer that can be used.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The controller said no.
    Refused(Refusal),
    /// The connection failed or took too long.
    Lost(String),
    /// The answer is none.
    Protocol(String),
}

impl Controller {
    /// Connects to the first controller of the profile that answers.
    pub(crate) async fn connect(hub: &Hub, tls: &rustls::ClientConfig) -> Result<Self, ClientError> {
        let mut worst: Option<ClientError> = None;
        for name in &hub.profile.controllers {
            match hub.dialers.dial(name, CONTROLLER_NAME, tls).await {
                Ok(carrier) => {
                    hub.board.update(|status| status.controller = Some(name.clone()));
                    return Ok(Self { carrier, name: name.clone() });
                }
                Err(failure) => {
                    let error = match failure.cause {
                        HandshakeCause::Authority => ClientError::WrongAuthority { controller: name.clone() },
                        HandshakeCause::CertificateTime => ClientError::Clock,
                        HandshakeCause::NoAnswer | HandshakeCause::Other => hub.unreachable(failure.detail),
                    };
                    // What somebody must do something about is not hidden by a controller that is merely away.
                    let keep = matches!(worst, Some(ClientError::WrongAuthority { .. } | ClientError::Clock));
                    worst = if keep { worst } else { Some(error) };
                }
            }
        }
        Err(worst.unwrap_or_else(|| hub.unreachable("the profile names none".to_owned())))
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, request: ControllerRequest) -> Result<T, RequestError> {
        match tokio::time::timeout(ANSWER, self.exchange(request)).await {
            Ok(Ok(Answer::Ok(answer))) => Ok(answer),
            Ok(Ok(Answer::Refused(refusal))) => Err(RequestError::Refused(refusal)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RequestError::Lost("it took too long to answer".to_owned())),
        }
    }

    async fn exchange<T: DeserializeOwned>(&self, request: ControllerRequest) -> Result<Answer<T>, RequestError> {
        let request = Wiped(request);
        let mut stream = self.carrier.open().await.map_err(|error| RequestError::Lost(error.to_string()))?;
        frame::write_frame(&mut stream.send, &request.0).await.map_err(RequestError::of_frame)?;
        drop(request);
        stream.send.finish();
        frame::read_frame(&mut stream.receive, MAX_TOKENS_MESSAGE).await.map_err(RequestError::of_frame)
    }

    /// Turns a failed request into what the user is told.
    pub(crate) fn explain(&self, hub: &Hub, error: RequestError) -> ClientError {
        match error {
            RequestError::Refused(refusal) => ClientError::Refused(refusal),
            RequestError::Lost(detail) => hub.unreachable(detail),
            RequestError::Protocol(detail) => ClientError::Protocol { controller: self.name.clone(), detail },
        }
    }
}

/// A request whose password or code does not outlive it.
struct Wiped(ControllerRequest);

impl Drop for Wiped {
    fn drop(&mut self) {
        if let ControllerRequest::Authenticate(authenticate) = &mut self.0 {
            authenticate.password.zeroize();
        }
        if let ControllerRequest::AnswerRemedy(remedy) = &mut self.0 {
            remedy.answer.zeroize();
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.carrier.close(close_code::DONE, "done");
    }
}

impl RequestError {
    fn of_frame(error: FrameError) -> Self {
        match error {
            FrameError::Ended => Self::Lost("it ended the connection".to_owned()),
            FrameError::Io(error) => Self::Lost(error.to_string()),
            FrameError::Body(error) => Self::Protocol(error.to_string()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl Hub {
    fn unreachable(&self, detail: String) -> ClientError {
        ClientError::Unreachable { controllers: self.profile.controllers.join(", "), detail }
    }
}

/// A controller gives a request 30 s; beyond that it is gone.
const ANSWER: Duration = Duration::from_secs(40);
