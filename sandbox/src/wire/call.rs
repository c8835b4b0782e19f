//! What a running script asks of its host, and what it is told: the frames that go the other way in the middle of a run.
//!
//! A worker sends one call and waits for its reply before anything else happens; answers of earlier runs go out before it.

use std::time::Duration;

use super::codec::{Malformed, Reader, Writer};
use crate::http::HttpMethod;

/// A call of the running script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostCall {
    /// `httpGet` and its like.
    Http(HttpCallWire),
    /// `cache.getIfPresent(key)`
    CacheGet { key: String },
    /// `cache.put(key, value, ttlSeconds)`; the value is JSON text.
    CachePut { key: String, value: String, ttl: Duration },
    /// `auditLog(text)`
    Audit { text: String },
}

/// An HTTP call as the script made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpCallWire {
    pub(crate) method: HttpMethod,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
    pub(crate) content_type: Option<String>,
    /// None when the script names none.
    pub(crate) timeout: Option<Duration>,
}

/// What a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostReply {
    /// Done; `undefined` for the script.
    Done,
    /// The cached value as JSON text.
    Cached(String),
    /// Nothing there: `null` for the script.
    Nothing,
    /// An HTTP answer.
    Http { status: u16, body: String },
    /// The call makes no sense: a `TypeError` with this text.
    Invalid(String),
    /// Refused; the run ends as `http-refused` with this text, whatever the script does now.
    Refused(String),
}

const HTTP: u8 = 1;
const CACHE_GET: u8 = 2;
const CACHE_PUT: u8 = 3;
const AUDIT: u8 = 4;

const DONE: u8 = 1;
const CACHED: u8 = 2;
const NOTHING: u8 = 3;
const ANSWER: u8 = 4;
const INVALID: u8 = 5;
const REFUSED: u8 = 6;

impl HostCall {
    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Http(call) => {
                to.u8(HTTP);
                call.write(to);
            }
            Self::CacheGet { key } => {
                to.u8(CACHE_GET);
                to.text(key);
            }
            Self::CachePut { key, value, ttl } => {
                to.u8(CACHE_PUT);
                to.text(key);
                to.text(value);
                to.u64(milliseconds(*ttl));
            }
            Self::Audit { text } => {
                to.u8(AUDIT);
                to.text(text);
            }
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            HTTP => Self::Http(HttpCallWire::read(from)?),
            CACHE_GET => Self::CacheGet { key: from.text()?.to_owned() },
            CACHE_PUT => Self::CachePut {
                key: from.text()?.to_owned(),
                value: from.text()?.to_owned(),
                ttl: Duration::from_millis(from.u64()?),
            },
            AUDIT => Self::Audit { text: from.text()?.to_owned() },
            _ => return Err(Malformed("unknown call")),
        })
    }
}

impl HttpCallWire {
    fn write(&self, to: &mut Writer<'_>) {
        to.u8(match self.method {
            HttpMethod::Get => 1,
            HttpMethod::Post => 2,
            HttpMethod::Put => 3,
            HttpMethod::Delete => 4,
        });
        to.text(&self.url);
        to.count(self.headers.len());
        for (name, value) in &self.headers {
            to.text(name);
            to.text(value);
        }
        write_optional(self.body.as_deref(), to);
        write_optional(self.content_type.as_deref(), to);
        to.u8(u8::from(self.timeout.is_some()));
        to.u64(self.timeout.map_or(0, milliseconds));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let method = match from.u8()? {
            1 => HttpMethod::Get,
            2 => HttpMethod::Post,
            3 => HttpMethod::Put,
            4 => HttpMethod::Delete,
            _ => return Err(Malformed("unknown method")),
        };
        let url = from.text()?.to_owned();
        let headers = (0..from.count()?)
            .map(|_| Ok((from.text()?.to_owned(), from.text()?.to_owned())))
            .collect::<Result<_, Malformed>>()?;
        let body = read_optional(from)?;
        let content_type = read_optional(from)?;
        let has_timeout = from.u8()? != 0;
        let millis = from.u64()?;
        let timeout = has_timeout.then(|| Duration::from_millis(millis));
        Ok(Self { method, url, headers, body, content_type, timeout })
    }
}

impl HostReply {
    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Done => to.u8(DONE),
            Self::Cached(value) => {
                to.u8(CACHED);
                to.text(value);
            }
            Self::Nothing => to.u8(NOTHING),
            Self::Http { status, body } => {
                to.u8(ANSWER);
                to.u32(u32::from(*status));
                to.text(body);
            }
            Self::Invalid(text) => {
                to.u8(INVALID);
                to.text(text);
            }
            Self::Refused(text) => {
                to.u8(REFUSED);
                to.text(text);
            }
        }
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match from.u8()? {
            DONE => Self::Done,
            CACHED => Self::Cached(from.text()?.to_owned()),
            NOTHING => Self::Nothing,
            ANSWER => Self::Http {
                status: u16::try_from(from.u32()?).map_err(|_| Malformed("no status"))?,
                body: from.text()?.to_owned(),
            },
            INVALID => Self::Invalid(from.text()?.to_owned()),
            REFUSED => Self::Refused(from.text()?.to_owned()),
            _ => return Err(Malformed("unknown reply")),
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn write_optional(text: Option<&str>, to: &mut Writer<'_>) {
    to.u8(u8::from(text.is_some()));
    to.text(text.unwrap_or_default());
}

fn read_optional(from: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    let present = from.u8()? != 0;
    let text = from.text()?;
    Ok(present.then(|| text.to_owned()))
}
