//! What a handler gets of a request beside the caller: path parameters, query and the unread body.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    response::{IntoResponse, Response},
};
use engine::dn::DnError;
use http::{StatusCode, header};
use protocol::object::ObjectKind;
use serde_json::Value;
use uuid::Uuid;

use crate::api::{
    Api,
    accept::{Media, PeerVersion},
    body::Unread,
    caller::PeerAddress,
    error::ApiError,
    query::Query,
};

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    /// Version to answer in.
    pub(crate) version: PeerVersion,
    /// Query parameters.
    pub(crate) query: Query,
    /// Address of the caller.
    pub(crate) address: Option<IpAddr>,
    /// The body; reading it takes the call.
    pub(crate) body: Unread,
    parameters: Vec<(String, String)>,
}

impl Call {
    /// The object id in the path. What is no uuid names no object.
    pub(crate) fn id(&self, kind: ObjectKind) -> Result<Uuid, ApiError> {
        let text = self.parameter("id");
        Uuid::from_str(text).map_err(|_| ApiError::NotFound(format!("{kind} `{text}` does not exist")))
    }

    /// The distinguished name, or ending of one, in the path. An empty segment is no route, so it never means everybody.
    pub(crate) fn distinguished_name<T: FromStr<Err = DnError>>(&self) -> Result<T, ApiError> {
        let text = self.parameter("dn");
        if text.is_empty() {
            return Err(ApiError::field("distinguished-name", "may not be empty"));
        }
        text.parse().map_err(|error: DnError| ApiError::field("distinguished-name", error.to_string()))
    }

    /// A path parameter, percent-decoded.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl FromRequest<Arc<Api>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<Api>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let media = Media::from_request_parts(&mut parts, state).await?;
        let raw = RawPathParams::from_request_parts(&mut parts, state).await;
        let raw = raw.map_err(|_| ApiError::BadRequest("the path is not UTF-8".to_owned()))?;
        let parameters = raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let address = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
        Ok(Self { version: media.version(), query, address, body: Unread::new(body, &parts.headers), parameters })
    }
}

/// What handlers answer.
pub(crate) type Answer = Result<Response, ApiError>;

/// 200 with a document.
pub(crate) fn ok(document: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// 204.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
