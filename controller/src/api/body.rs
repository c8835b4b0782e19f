//! Request bodies: bounded while they are read, in size and in time, and JSON objects only.

use std::time::Duration;

use axum::body::Body;
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use crate::api::error::ApiError;

/// Largest body in bytes. Device scripts are the largest documents and stay far below.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A body that has not been read yet: it is read only after the caller's right to the call is known.
#[derive(Debug)]
pub(crate) struct Unread {
    body: Body,
    announced: Option<u64>,
}

impl Unread {
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let announced = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        Self { body, announced }
    }

    /// Reads a JSON object.
    pub(crate) async fn object(self) -> Result<Map<String, Value>, ApiError> {
        let bytes = self.bytes().await?;
        parse(&bytes)
    }

    /// Reads a JSON object; an absent body is an empty one.
    pub(crate) async fn object_or_empty(self) -> Result<Map<String, Value>, ApiError> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() { Ok(Map::new()) } else { parse(&bytes) }
    }

    async fn bytes(self) -> Result<bytes::Bytes, ApiError> {
        let too_large = || ApiError::TooLarge { limit: MAX_BODY_BYTES };
        if self.announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
            return Err(too_large());
        }
        let read = Limited::new(self.body, MAX_BODY_BYTES).collect();
        match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Err(_) => Err(ApiError::Slow),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(ApiError::BadRequest("the request body ended early".to_owned())),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(ApiError::BadRequest("the request body must be a JSON object".to_owned())),
        Err(error) => Err(ApiError::BadRequest(format!(
            "the request body is not JSON: line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

/// How long a body may take. A full body at 0.3 Mbit/s still fits.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
