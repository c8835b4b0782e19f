//! What is sent: a script's call turned into a request whose framing the script has no say in.
//!
//! Headers that belong to the connection or to the framing are dropped, since scripts that set them mean no harm and run unchanged without:
//! `Host` is the URL's, the length is the body's. `Accept-Encoding` is dropped too: compressed answers are not asked for, so none has to be inflated.
//! A `Content-Type` header comes before the content type given as an argument; of several, the last one counts (D 7.3 leaves it open).

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;

use super::Stop;
use super::exchange::Answer;
use super::target::Target;
use crate::http::{HttpMethod, HttpRequest};

/// One request of a call: the first, or one that a redirect led to.
#[derive(Clone)]
pub(super) struct Hop {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Option<Bytes>,
}

impl Hop {
    /// What the script asked for.
    pub(super) fn first(request: &HttpRequest) -> Result<Self, Stop> {
        let target = Target::parse(&request.url)?;
        let mut headers = headers(&request.headers)?;
        let (method, sends) = match request.method {
            HttpMethod::Get => (Method::GET, false),
            HttpMethod::Post => (Method::POST, true),
            HttpMethod::Put => (Method::PUT, true),
            HttpMethod::Delete => (Method::DELETE, false),
        };
        let body = sends.then(|| Bytes::from(request.body.clone().unwrap_or_default()));
        if body.as_ref().is_some_and(|body| body.len() > MAX_BODY) {
            return Err(Stop::Invalid("the body to send is larger than 1 MiB".to_owned()));
        }
        if sends && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, content_type(request.content_type.as_deref())?);
        }
        if let Some(authorization) = target.authorization() {
            headers.entry(AUTHORIZATION).or_insert(authorization);
        }
        Ok(Self { method, target, headers, body })
    }

    /// The request that `answer` redirects this one to, when it is one to follow: a `GET`, or any method after 303, that stays at its origin.
    pub(super) fn after(&self, answer: &Answer) -> Option<Self> {
        let follows = match StatusCode::from_u16(answer.status).ok()? {
            StatusCode::SEE_OTHER => true,
            StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT => self.method == Method::GET,
            _ => false,
        };
        let target = self.target.redirected(answer.location.as_deref().filter(|_| follows)?)?;
        let mut headers = self.headers.clone();
        if self.method != Method::GET {
            headers.remove(CONTENT_TYPE);
        }
        Some(Self { method: Method::GET, target, headers, body: None })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// May the request be sent a second time when a kept connection broke before the answer?
    pub(super) fn is_repeatable(&self) -> bool {
        self.method == Method::GET
    }

    /// The request as it goes to the peer.
    pub(super) fn request(&self) -> Result<Request<Full<Bytes>>, Stop> {
        let unusable = || Stop::Invalid("the URL holds what cannot be sent".to_owned());
        let mut request = Request::new(Full::new(self.body.clone().unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.request_target().ok_or_else(unusable)?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.target.host_header().ok_or_else(unusable)?);
        headers.extend(self.headers.clone());
        if let Some(body) = &self.body {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        for (name, value) in [(USER_AGENT, "Portcullis"), (ACCEPT, "*/*")] {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        Ok(request)
    }
}

/// The script's headers without those it has no say in.
fn headers(given: &[(String, String)]) -> Result<HeaderMap, Stop> {
    let size: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
        return Err(Stop::Invalid("there are more than 64 headers or more than 64 KiB of them".to_owned()));
    }
    let mut headers = HeaderMap::new();
    for (index, (name, value)) in given.iter().enumerate() {
        // Names and values may hold secrets, so the text counts headers instead.
        let invalid = |what: &str| Stop::Invalid(format!("the {what} of header {} is not valid", index + 1));
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| invalid("name"))?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| invalid("value"))?;
        if name == CONTENT_TYPE {
            headers.insert(name, value);
        } else if !is_ours(&name) {
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// Headers of the connection and of the framing.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 9] =
        [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE, TE, TRAILER, EXPECT, ACCEPT_ENCODING];
    let name_text = name.as_str();
    OURS.contains(name) || name_text.starts_with("proxy-") || ["keep-alive", "http2-settings"].contains(&name_text)
}

/// What the argument says, else what [`fetch` sends](https://fetch.spec.whatwg.org/#bodyinit-unions) with a text.
fn content_type(argument: Option<&str>) -> Result<HeaderValue, Stop> {
    let text = argument.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("text/plain;charset=UTF-8");
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Stop::Invalid("the content type is not valid".to_owned()))
}

/// Largest body of a request, in bytes: as large as an answer may be.
const MAX_BODY: usize = 1024 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// Names and values together; tokens of some identity providers take 10 KiB each.
const MAX_HEADER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
