//! The peer version a client asks for in its `Accept` header, and the media type answers carry (D 27).
//!
//! Clients probe the window with versions far outside it, so this comes before authentication and before the body.

use http::{HeaderMap, HeaderValue, header};

/// Oldest peer version spoken.
pub(crate) const MIN_PEER_VERSION: u32 = 16;
/// Newest peer version spoken.
pub(crate) const MAX_PEER_VERSION: u32 = 23;

/// How an answer is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// The vendor's type with a version inside the window.
    Peer(PeerVersion),
    /// Bare `application/json`, for the version endpoint only.
    Json,
}

/// A peer version inside the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerVersion(u32);

impl PeerVersion {
    /// The newest one.
    pub(crate) const NEWEST: Self = Self(MAX_PEER_VERSION);

    /// Whether the client speaks at least `version`.
    pub(crate) fn at_least(self, version: u32) -> bool {
        self.0 >= version
    }
}

impl Media {
    /// The `Content-Type` of answers.
    pub(crate) fn content_type(self) -> HeaderValue {
        match self {
            Self::Peer(PeerVersion(version)) => {
                HeaderValue::from_str(&format!("application/vnd.appgate.peer-v{version}+json"))
                    .unwrap_or(HeaderValue::from_static("application/json"))
            }
            Self::Json => HeaderValue::from_static("application/json"),
        }
    }

    /// The version to shape answers by.
    pub(crate) fn version(self) -> PeerVersion {
        match self {
            Self::Peer(version) => version,
            Self::Json => PeerVersion::NEWEST,
        }
    }
}

/// Reads the `Accept` header. `None` is a 406.
pub(crate) fn negotiate(headers: &HeaderMap, plain_json_allowed: bool) -> Option<Media> {
    let mut items = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    items.find_map(|item| {
        let media = item.split(';').next().unwrap_or_default().trim();
        if plain_json_allowed && matches!(media, "application/json" | "*/*") {
            return Some(Media::Json);
        }
        parse_peer_version(media).map(Media::Peer)
    })
}

fn parse_peer_version(media: &str) -> Option<PeerVersion> {
    let digits = media.strip_prefix("application/vnd.appgate.peer-v")?.strip_suffix("+json")?;
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let version = digits.parse().ok()?;
    (MIN_PEER_VERSION..=MAX_PEER_VERSION).contains(&version).then_some(PeerVersion(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, plain: bool, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        let media = negotiate(&headers, plain).map(|media| media.content_type().to_str().unwrap().to_owned());
        assert_eq!(media.as_deref(), expected, "{accept}");
    }

    #[test]
    fn window() {
        check("application/vnd.appgate.peer-v16+json", false, Some("application/vnd.appgate.peer-v16+json"));
        check("application/vnd.appgate.peer-v23+json; q=1", false, Some("application/vnd.appgate.peer-v23+json"));
        check("text/html, application/vnd.appgate.peer-v18+json", false, Some("application/vnd.appgate.peer-v18+json"));
        for refused in [
            "application/vnd.appgate.peer-v0+json",
            "application/vnd.appgate.peer-v5+json",
            "application/vnd.appgate.peer-v15+json",
            "application/vnd.appgate.peer-v24+json",
            "application/vnd.appgate.peer-v+16+json",
            "application/vnd.appgate.peer-v00000000016+json",
            "application/vnd.appgate.peer-v16+text",
            "application/json",
            "*/*",
        ] {
            check(refused, false, None);
        }
        check("application/json", true, Some("application/json"));
        check("*/*", true, Some("application/json"));
    }
}
