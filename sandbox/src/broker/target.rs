//! Where a call goes: a URL read once, by the one parser whose answer is also what is dialled and sent.
//!
//! Reading by the [URL Standard][standard] turns every spelling of an address (octal, hexadecimal, short, with a final dot, in full-width digits)
//! into the address it means before anything is judged. The request line and the `Host` header are written from what was read, never from the script's text.
//!
//! [standard]: https://url.spec.whatwg.org/

use std::net::IpAddr;

use base64::Engine as _;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::Stop;
use crate::secrets::Origin;

/// A URL that can be called, if its address may be.
#[derive(Clone)]
pub(crate) struct Target {
    url: Url,
    origin: Origin,
    port: u16,
}

impl Target {
    /// Reads what a script gave.
    pub(crate) fn parse(text: &str) -> Result<Self, Stop> {
        if text.len() > MAX_URL {
            return Err(Stop::Invalid("the URL is longer than 8 KiB".to_owned()));
        }
        let url = Url::parse(text).map_err(|error| Stop::Invalid(format!("this is not a URL: {error}")))?;
        Self::new(url)
    }

    fn new(mut url: Url) -> Result<Self, Stop> {
        url.set_fragment(None);
        let origin =
            Origin::of(&url).ok_or_else(|| Stop::Refused("scripts may call http and https URLs only".to_owned()))?;
        if url.domain().is_some_and(|name| !is_name(name)) {
            return Err(Stop::Invalid("the host of the URL is neither a name nor an address".to_owned()));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if url.as_str().len() > 3 * MAX_URL {
            return Err(Stop::Invalid("the URL is longer than 8 KiB".to_owned()));
        }
        Ok(Self { url, origin, port })
    }

    /// Where a redirect from here leads, when it stays: the same origin, or the same host from `http` to `https`.
    pub(crate) fn redirected(&self, location: &str) -> Option<Self> {
        if location.len() > MAX_URL {
            return None;
        }
        let next = Self::new(self.url.join(location).ok()?).ok()?;
        let upgraded =
            self.url.scheme() == "http" && next.url.scheme() == "https" && self.url.host() == next.url.host();
        (next.origin == self.origin || upgraded).then_some(next)
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The port to dial.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Is TLS spoken?
    pub(crate) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The host: an address as it stands, or a name to look up.
    pub(crate) fn host(&self) -> Option<Result<IpAddr, &str>> {
        Some(match self.url.host()? {
            Host::Ipv4(address) => Ok(address.into()),
            Host::Ipv6(address) => Ok(address.into()),
            Host::Domain(name) => Err(name),
        })
    }

    /// The name the peer's certificate must hold.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        match self.host()? {
            Ok(address) => Some(ServerName::IpAddress(address.into())),
            Err(name) => ServerName::try_from(name.to_owned()).ok(),
        }
    }

    /// What stands in the request line.
    pub(crate) fn request_target(&self) -> Option<Uri> {
        let path = self.url.path();
        let target = match self.url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        Uri::try_from(target).ok()
    }

    /// The `Host` header.
    pub(crate) fn host_header(&self) -> Option<HeaderValue> {
        let host = self.url.host_str()?;
        let value = match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        HeaderValue::try_from(value).ok()
    }

    /// User and password of the URL as basic authentication ([RFC 7617 section 2](https://www.rfc-editor.org/rfc/rfc7617#section-2)).
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        if self.url.username().is_empty() && self.url.password().is_none() {
            return None;
        }
        let mut pair: Vec<u8> = percent_decode_str(self.url.username()).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(self.url.password().unwrap_or_default()));
        let mut value =
            HeaderValue::try_from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Does a name have only labels that hold something, but for the final dot? `127.0.0.1..` is not one to be passed on to others.
fn is_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    labels.len() <= MAX_NAME && labels.split('.').all(|label| !label.is_empty())
}

/// Longest name, in bytes ([RFC 1035 section 2.3.4](https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4)).
const MAX_NAME: usize = 253;

/// Longest URL of a script, in bytes; servers seldom take more.
const MAX_URL: usize = 8 * 1024;
