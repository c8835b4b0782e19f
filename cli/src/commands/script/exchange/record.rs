//! The form of a recording, and the backend that makes one.
//!
//! A recording is for the author's eyes and for a repository, so secrets become names, access tokens in answers and
//! authorization headers are left out, and the file is readable by its owner only until the author says otherwise.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use sandbox::{HttpBackend, HttpFuture, HttpOutcome, HttpRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{commands::script::exchange::Redactor, process};

/// A file of HTTP exchanges.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recording {
    /// The form of this file; 1.
    pub(super) version: u32,
    /// In the order the calls were answered.
    pub(super) exchanges: Vec<Recorded>,
}

/// One call and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Recorded {
    pub(super) method: String,
    pub(super) url: String,
    /// For people; a call is found again by its other members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<Header>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    /// The answer's status and text, or how the call failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fails: Option<String>,
}

/// A request header as scripts write it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) key: String,
    pub(super) value: String,
}

/// Version of the form this program writes and reads.
pub(super) const VERSION: u32 = 1;

/// Passes calls on and keeps what came of them.
pub(in crate::commands::script) struct Recorder {
    inner: Arc<dyn HttpBackend>,
    redactor: Arc<Redactor>,
    exchanges: Mutex<Vec<Recorded>>,
}

impl Recorder {
    /// Records what `inner` answers.
    pub(in crate::commands::script) fn new(inner: Arc<dyn HttpBackend>, redactor: Arc<Redactor>) -> Self {
        Self { inner, redactor, exchanges: Mutex::default() }
    }

    /// Writes the recording.
    pub(in crate::commands::script) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = serde_json::to_string_pretty(&Recording { version: VERSION, exchanges })?;
        text.push('\n');
        process::write_file(path, text.as_bytes(), 0o600)
    }

    async fn call_recorded(&self, request: HttpRequest) -> HttpOutcome {
        let mut recorded = self.describe(&request);
        let outcome = self.inner.call(request).await;
        match &outcome {
            HttpOutcome::Answer { status, body } => {
                recorded.status = Some(*status);
                recorded.answer = Some(self.redactor.redact(&without_tokens(body)));
            }
            HttpOutcome::Failed(failure) => recorded.fails = Some(failure.as_str().to_owned()),
            // Nothing was sent, so there is nothing to answer from; a replay refuses what it does not know.
            HttpOutcome::Refused(_) | HttpOutcome::Invalid(_) => return outcome,
        }
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
        outcome
    }

    fn describe(&self, request: &HttpRequest) -> Recorded {
        let key = CallKey::of(request, &self.redactor);
        let header =
            |(name, value): &(String, String)| Header { key: name.clone(), value: self.header_value(name, value) };
        Recorded {
            method: key.method.to_owned(),
            url: key.url,
            headers: request.headers.iter().map(header).collect(),
            body: key.body,
            status: None,
            answer: None,
            fails: None,
        }
    }

    fn header_value(&self, name: &str, value: &str) -> String {
        let redacted = self.redactor.redact(value);
        // A token that the script got from a server is no secret we know by name, and no less worth keeping.
        let is_known = redacted != value;
        if CREDENTIAL_HEADERS.iter().any(|credential| name.eq_ignore_ascii_case(credential)) && !is_known {
            LEFT_OUT.to_owned()
        } else {
            redacted
        }
    }
}

impl HttpBackend for Recorder {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(self.call_recorded(request))
    }
}

/// What a call is found again by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CallKey {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) body: Option<String>,
}

impl CallKey {
    /// Describes a call without its secrets.
    pub(super) fn of(request: &HttpRequest, redactor: &Redactor) -> Self {
        Self {
            method: request.method.as_str(),
            url: redactor.redact(&request.url),
            body: request.body.as_deref().map(|body| redactor.redact(body)),
        }
    }
}

const CREDENTIAL_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];
const TOKEN_MEMBERS: [&str; 4] = ["access_token", "refresh_token", "id_token", "client_secret"];
const LEFT_OUT: &str = "(left out)";

/// The answer of a token endpoint without the tokens.
fn without_tokens(body: &str) -> String {
    let Ok(Value::Object(mut members)) = serde_json::from_str(body) else { return body.to_owned() };
    let mut found = false;
    for name in TOKEN_MEMBERS {
        if let Some(value) = members.get_mut(name) {
            *value = LEFT_OUT.into();
            found = true;
        }
    }
    if found { Value::Object(members).to_string() } else { body.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_token_endpoints_are_left_out() {
        let answer = without_tokens(r#"{"access_token":"eyJ","expires_in":3599}"#);
        assert_eq!(answer, r#"{"access_token":"(left out)","expires_in":3599}"#);
        assert_eq!(without_tokens(r#"{ "value": [1] }"#), r#"{ "value": [1] }"#);
        assert_eq!(without_tokens("no json"), "no json");
    }
}
