//! Answers calls from a recording. A call that was not recorded is refused, which ends the run.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sandbox::{HttpBackend, HttpFailure, HttpFuture, HttpOutcome, HttpRequest};

use crate::commands::script::{
    exchange::{
        Redactor,
        record::{CallKey, Recorded, Recording, VERSION},
    },
    input::{InputError, read_document},
};

/// A recording that answers each of its exchanges once, in order among those that fit a call.
pub(in crate::commands::script) struct Replay {
    redactor: Arc<Redactor>,
    left: Mutex<Vec<Recorded>>,
}

impl Replay {
    /// Reads a recording.
    pub(in crate::commands::script) fn read(path: &Path, redactor: Arc<Redactor>) -> Result<Self, InputError> {
        let recording: Recording = read_document(path)?;
        let wrong = |message: String| InputError::Content { path: path.to_owned(), line: 1, message };
        if recording.version != VERSION {
            return Err(wrong(format!("this is a recording of version {}, not {VERSION}", recording.version)));
        }
        for (index, exchange) in recording.exchanges.iter().enumerate() {
            let is_answer = exchange.status.is_some() && exchange.fails.is_none();
            let is_failure = exchange.status.is_none() && exchange.fails.as_deref().and_then(failure_named).is_some();
            if !is_answer && !is_failure {
                return Err(wrong(format!("exchange {} needs either `status` or how it `fails`", index + 1)));
            }
        }
        Ok(Self { redactor, left: Mutex::new(recording.exchanges) })
    }

    fn answer(&self, request: &HttpRequest) -> HttpOutcome {
        let key = CallKey::of(request, &self.redactor);
        let fits =
            |exchange: &Recorded| exchange.method == key.method && exchange.url == key.url && exchange.body == key.body;
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = left.iter().position(fits) else {
            return HttpOutcome::Refused(format!("the recording has no answer to {} {}", key.method, key.url));
        };
        outcome(left.remove(index), &self.redactor)
    }
}

impl HttpBackend for Replay {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async move { self.answer(&request) })
    }
}

fn outcome(exchange: Recorded, redactor: &Redactor) -> HttpOutcome {
    match (exchange.status, exchange.fails.as_deref().and_then(failure_named)) {
        (Some(status), None) => {
            HttpOutcome::Answer { status, body: redactor.reveal(&exchange.answer.unwrap_or_default()) }
        }
        (None, Some(failure)) => HttpOutcome::Failed(failure),
        (Some(_), Some(_)) | (None, None) => {
            HttpOutcome::Refused("the recording has no answer to this call".to_owned())
        }
    }
}

/// The failure of this name.
pub(in crate::commands::script) fn failure_named(name: &str) -> Option<HttpFailure> {
    [
        HttpFailure::Timeout,
        HttpFailure::Resolve,
        HttpFailure::Connect,
        HttpFailure::Certificate,
        HttpFailure::TooLarge,
        HttpFailure::Broken,
    ]
    .into_iter()
    .find(|failure| failure.as_str() == name)
}
