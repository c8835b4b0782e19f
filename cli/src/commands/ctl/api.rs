//! Calls of the admin REST API with its conventions (D 27): version header, errors, paging, waiting when asked to.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Client, Method, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A connection to the admin API of one collective.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    token: Option<Token>,
}

/// A bearer token; it does not show itself.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CallError {
    /// The authority's certificate cannot be used.
    #[error(
        "the certificate of the authority cannot be used; take the file `authority.pem` from the controller's data directory"
    )]
    Authority(#[source] reqwest::Error),
    /// The address is none.
    #[error("`{0}` is not an address of the form `https://HOST:8443`")]
    Address(String),
    /// No connection.
    #[error("the controller at {base} cannot be reached; check the address and that the controller runs")]
    Unreachable {
        /// Where it was tried.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server is not the collective's.
    #[error(
        "the server at {base} is not the controller that the given authority vouches for, so nothing was sent to it"
    )]
    NotTrusted {
        /// Where it was tried.
        base: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time, or a broken one.
    #[error("the controller's answer did not arrive")]
    NoAnswer(#[source] reqwest::Error),
    /// An answer that is no JSON.
    #[error("the controller's answer is not JSON; is {0} really the admin API?")]
    NotJson(String),
    /// An answer beyond all bounds.
    #[error("the controller's answer is larger than {} MiB", MAX_ANSWER >> 20)]
    TooLarge,
    /// The controller said no.
    #[error("{}", .0.text())]
    Refused(Box<Refused>),
}

/// What the controller said instead of yes.
#[derive(Debug)]
pub(crate) struct Refused {
    /// HTTP status.
    pub(crate) status: StatusCode,
    id: String,
    message: String,
    /// Wrong fields, each with what is wrong.
    pub(crate) fields: Vec<(String, String)>,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    id: String,
    message: String,
    reason: Option<String>,
    errors: Vec<FieldBody>,
}

#[derive(Deserialize)]
struct FieldBody {
    field: String,
    message: String,
}

impl CallError {
    /// The HTTP status, when there was an answer.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refused) => Some(refused.status),
            _ => None,
        }
    }

    /// What programs want to know about the error.
    pub(crate) fn details(&self) -> Map<String, Value> {
        let Self::Refused(refused) = self else { return Map::new() };
        let fields: Vec<Value> =
            refused.fields.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
        Map::from_iter([
            ("status".to_owned(), refused.status.as_u16().into()),
            ("id".to_owned(), refused.id.clone().into()),
            ("errors".to_owned(), fields.into()),
        ])
    }
}

impl Refused {
    fn text(&self) -> String {
        if !self.fields.is_empty() {
            let fields: Vec<String> =
                self.fields.iter().map(|(field, message)| format!("\n  {field}: {message}")).collect();
            return format!("the controller refused it:{}", fields.concat());
        }
        let message = self.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or(&self.message);
        let message =
            if message.is_empty() { self.status.canonical_reason().unwrap_or("no reason given") } else { message };
        match self.status {
            // A refused sign-in has a reason; without one it is the token that is not believed.
            StatusCode::UNAUTHORIZED if self.reason.is_some() => message.to_owned(),
            StatusCode::UNAUTHORIZED => format!("not signed in: {message}; use `portcullis ctl login`"),
            StatusCode::FORBIDDEN => format!("not permitted: {message}"),
            StatusCode::SERVICE_UNAVAILABLE => format!("the controller is busy: {message}"),
            status => format!("the controller answered {}: {message}", status.as_u16()),
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    method: Method,
    path: String,
    query: Vec<(&'a str, String)>,
    body: Option<&'a Value>,
    version: u16,
}

impl<'a> Call<'a> {
    /// A call of a path below `/admin`.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        // Later API versions have no token records any more.
        let version = if path.starts_with("/token-records") { TOKEN_RECORDS_VERSION } else { PEER_VERSION };
        Self { method, path, query: Vec::new(), body: None, version }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a query parameter if there is a value.
    pub(crate) fn with(mut self, name: &'a str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(crate) fn body(mut self, body: &'a Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn version(mut self, version: Option<u16>) -> Self {
        self.version = version.unwrap_or(self.version);
        self
    }
}

impl Api {
    /// Prepares calls of the API at `url`, trusting the given authority only. Nothing is sent yet.
    pub(crate) fn new(url: &str, authority_pem: &str) -> Result<Self, CallError> {
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix("/admin").unwrap_or(url);
        let address = || CallError::Address(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| address())?;
        if parsed.scheme() != "https" || parsed.path() != "/" || parsed.query().is_some() {
            return Err(address());
        }
        let authority = Certificate::from_pem(authority_pem.as_bytes()).map_err(CallError::Authority)?;
        let client = Client::builder()
            .tls_certs_only([authority])
            .tls_version_min(reqwest::tls::Version::TLS_1_3)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .build()
            .map_err(CallError::Authority)?;
        Ok(Self { client, base: format!("{url}/admin"), token: None })
    }

    /// The same with a token.
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.token = Some(Token(token));
        self
    }

    /// Makes a call; null when the answer has no body.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, CallError> {
        let mut waited = 0;
        loop {
            let response = self.send(call).await?;
            let status = response.status();
            let retry_after =
                response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            let body = read(response).await?;
            if status.is_success() {
                return parse(&body, &self.base);
            }
            if let (StatusCode::SERVICE_UNAVAILABLE, Some(seconds)) = (status, retry_after)
                && waited < MAX_WAITS
            {
                waited += 1;
                tokio::time::sleep(Duration::from_secs(seconds).min(MAX_WAIT)).await;
                continue;
            }
            return Err(refused(status, &body));
        }
    }

    /// Everything of a list, page by page.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<Value>, CallError> {
        let mut all = Vec::new();
        loop {
            let range = format!("{}-{}", all.len(), all.len() + PAGE - 1);
            let mut answer =
                self.call(&Call::get(path).with("range", Some(range)).with("orderBy", Some("name"))).await?;
            let total = answer.get("totalCount").and_then(Value::as_u64);
            let page = match answer.get_mut("data").map(Value::take) {
                Some(Value::Array(page)) => page,
                _ => return Err(CallError::NotJson(self.base.clone())),
            };
            let last = page.is_empty()
                || total.map_or(page.len() < PAGE, |total| all.len() as u64 + page.len() as u64 >= total);
            all.extend(page);
            if last {
                return Ok(all);
            }
        }
    }

    async fn send(&self, call: &Call<'_>) -> Result<Response, CallError> {
        let mut request = self.client.request(call.method.clone(), format!("{}{}", self.base, call.path));
        request = request.header(header::ACCEPT, format!("application/vnd.appgate.peer-v{}+json", call.version));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        if let Some(Token(token)) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|source| self.unsent(source.without_url()))
    }

    fn unsent(&self, source: reqwest::Error) -> CallError {
        let base = self.base.trim_end_matches("/admin").to_owned();
        if is_certificate_error(&source) {
            CallError::NotTrusted { base, source }
        } else if source.is_connect() {
            CallError::Unreachable { base, source }
        } else {
            CallError::NoAnswer(source)
        }
    }
}

/// A text as one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

async fn read(mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| CallError::NoAnswer(error.without_url()))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(body: &[u8], base: &str) -> Result<Value, CallError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|_| CallError::NotJson(base.to_owned()))
}

fn refused(status: StatusCode, body: &[u8]) -> CallError {
    let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
    CallError::Refused(Box::new(Refused {
        status,
        id: body.id,
        message: body.message,
        fields: body.errors.into_iter().map(|error| (error.field, error.message)).collect(),
        reason: body.reason,
    }))
}

fn is_certificate_error(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An input-output error shows what it wraps by its own way; its source is already one further.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|inner| inner as _).or_else(|| error.source());
    }
    false
}

/// Everything but what RFC 3986 leaves unreserved, and the comma and equals sign of names, which need no escape either.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b',').remove(b'=');
/// Newest version of the API this tool speaks.
const PEER_VERSION: u16 = 23;
const TOKEN_RECORDS_VERSION: u16 = 21;
/// Items asked for at once.
const PAGE: usize = 500;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often one call waits for a busy controller, and how long at most each time.
const MAX_WAITS: u32 = 5;
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Far more than a page of the largest objects.
const MAX_ANSWER: usize = 64 << 20;
