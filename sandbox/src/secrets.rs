//! Secrets that scripts name as `%SECRET:NAME%`, and where they may be sent.
//!
//! INVARIANT: a value leaves this module only into the source of a run that names it; `Debug` never shows it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Scheme, host and port that a secret may be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `http` or `https`.
    scheme: String,
    /// Lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

/// A text that is no origin such as `https://api.example.com`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an origin such as https://api.example.com or http://10.0.0.5:8080, without a path")]
pub struct NoOrigin;

impl Origin {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    /// When the text is anything else; a path, query, user or fragment is refused.
    pub fn parse(text: &str) -> Result<Self, NoOrigin> {
        let url = url::Url::parse(text).map_err(|_| NoOrigin)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !bare || url.password().is_some() || text.ends_with('/') {
            return Err(NoOrigin);
        }
        Self::of(&url).ok_or(NoOrigin)
    }

    /// The origin of a URL; none unless it is HTTP or HTTPS with a host.
    pub fn of(url: &url::Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            ("http", 80) | ("https", 443) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

/// One secret.
#[derive(Clone)]
pub struct Secret {
    /// What takes the place of its name.
    pub value: Arc<Zeroizing<String>>,
    /// When present, a run that names the secret may call these origins only.
    pub allowed_origins: Option<Arc<[Origin]>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("allowed_origins", &self.allowed_origins).finish_non_exhaustive()
    }
}

/// Secrets by name; clones are cheap.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<BTreeMap<Box<str>, Secret>>);

impl Secrets {
    /// The secret of this name.
    pub fn find(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

impl FromIterator<(Box<str>, Secret)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (Box<str>, Secret)>>(items: T) -> Self {
        Self(Arc::new(items.into_iter().collect()))
    }
}
