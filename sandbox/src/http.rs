//! What a script asks of the network and what it is told: the seam between the supervisor and whoever carries calls out.
//!
//! The supervisor turns a worker's call into an [`HttpRequest`] with the limits of its run and hands it to an [`HttpBackend`]:
//! the [`crate::Broker`] of a controller or gateway, or a recorder or a recording when an author tries a script out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::secrets::Origin;

/// The methods scripts have a function for (D 7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpMethod {
    /// `httpGet`
    Get,
    /// `httpPost`
    Post,
    /// `httpPut`
    Put,
    /// `httpDelete`
    Delete,
}

impl HttpMethod {
    /// The method as it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One call of a script, as the script made it; nothing in it has been checked but its size.
#[derive(Clone)]
pub struct HttpRequest {
    /// What to do.
    pub method: HttpMethod,
    /// Where; may hold secrets.
    pub url: String,
    /// Names and values, in order; may hold secrets.
    pub headers: Vec<(String, String)>,
    /// What to send with `POST` and `PUT`; may hold secrets.
    pub body: Option<String>,
    /// The third argument of `httpPost` and `httpPut`.
    pub content_type: Option<String>,
    /// For the whole call, redirects included.
    pub timeout: Duration,
    /// When present, the only origins that may be called, because the run names a secret that says so.
    pub allowed_origins: Option<Arc<[Origin]>>,
    /// Name of the running script, for the records.
    pub script: Arc<str>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpOutcome {
    /// An answer, whatever its status (D 7.3).
    Answer {
        /// The status code.
        status: u16,
        /// The body as text.
        body: String,
    },
    /// No answer; the script sees `null` (D 7.3).
    Failed(HttpFailure),
    /// The call must not be made. The run ends as [`engine::script::FailureKind::HttpRefused`], whatever the script does about it.
    /// The text says why and what an administrator can do; it names neither resolved addresses nor secrets.
    Refused(String),
    /// The call makes no sense, such as a URL that is none; the script gets a `TypeError` with this text, which holds no secret.
    Invalid(String),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpFailure {
    /// It took too long.
    Timeout,
    /// The name has no address.
    Resolve,
    /// Nobody answers there.
    Connect,
    /// The peer's certificate is not trusted.
    Certificate,
    /// The answer is larger than the limit.
    TooLarge,
    /// The answer broke off or is no HTTP.
    Broken,
}

impl HttpFailure {
    /// Stable code for records, metrics and recordings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Certificate => "certificate",
            Self::TooLarge => "too-large",
            Self::Broken => "broken",
        }
    }
}

/// A call as records show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// What was done.
    pub method: HttpMethod,
    /// Where, without user, query and fragment, and without secrets.
    pub url: String,
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// `answer`, `refused`, `invalid` or the code of an [`HttpFailure`].
    pub outcome: &'static str,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// The answer to a call, later.
pub type HttpFuture<'a> = Pin<Box<dyn Future<Output = HttpOutcome> + Send + 'a>>;

/// Carries calls out.
pub trait HttpBackend: Send + Sync {
    /// Makes the call within its time; dropping the future gives it up.
    fn call(&self, request: HttpRequest) -> HttpFuture<'_>;
}

/// Refuses every call.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHttp;

impl HttpBackend for NoHttp {
    fn call(&self, _: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async { HttpOutcome::Refused("HTTP calls are not allowed here".to_owned()) })
    }
}
