//! Everything a call can end in other than success, and how each is told to the caller.
//!
//! One type, one table of status codes. What only the log may know is a source and never reaches a body.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use protocol::object::ObjectKind;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    api::accept::{MAX_PEER_VERSION, MIN_PEER_VERSION},
    refusal::chain,
    store::StoreError,
};

/// One field that a request got wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FieldError {
    /// Path of the field, such as `actions[0].hosts[1]`.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 406: the `Accept` header names no version this controller speaks.
    #[error("the Accept header must be application/vnd.appgate.peer-v<N>+json with a supported version")]
    NotAcceptable,
    /// 401: no token, or one that is not believed. Which part of it failed is for the audit log only.
    #[error("the token is missing or no longer valid; sign in again")]
    Unauthorized,
    /// 401 at sign-in.
    #[error("sign-in failed")]
    Login {
        /// What the user is told, never more than "wrong user name or password" about credentials.
        reason: String,
    },
    /// 403: the caller's privileges do not cover it.
    #[error("missing privilege: {action} on {target}")]
    Forbidden {
        /// The action asked for.
        action: &'static str,
        /// What it was asked on.
        target: &'static str,
    },
    /// 403 for a reason other than one privilege.
    #[error("{0}")]
    NotPermitted(String),
    /// 413: the body is over the limit.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// 408: the body did not arrive in time.
    #[error("the request body did not arrive in time")]
    Slow,
    /// 400: the body is no JSON.
    #[error("{0}")]
    BadRequest(String),
    /// 422: fields are wrong; all of them are named.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// 409: the id or name is taken, or the object is needed by others.
    #[error("{0}")]
    Conflict(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("this method is not offered here")]
    MethodNotAllowed,
    /// 412: the object or the sign-in is in the wrong state.
    #[error("{0}")]
    Precondition(String),
    /// 503: too much is waiting.
    #[error("the controller is busy; try again in a moment")]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// 504: the call took longer than the controller waits.
    #[error("the call took too long")]
    Timeout,
    /// 504: a gateway that had to be asked gave no answer.
    #[error("{0}")]
    Unanswered(String),
    /// 500: ours. The source goes to the log.
    #[error("the controller could not complete the call")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// One wrong field.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// No object of the kind has the id, or the caller may not know of it.
    pub(crate) fn missing(kind: ObjectKind, id: Uuid) -> Self {
        Self::NotFound(format!("{kind} `{id}` does not exist"))
    }

    /// Wraps an error of ours.
    pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Unauthorized | Self::Login { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::NotPermitted(_) => StatusCode::FORBIDDEN,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout | Self::Unanswered(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `id` member: stable, for programs.
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::NotAcceptable => "not acceptable",
            Self::Unauthorized | Self::Login { .. } => "unauthorized",
            Self::Forbidden { .. } | Self::NotPermitted(_) => "forbidden",
            Self::TooLarge { .. } => "payload too large",
            Self::Slow => "request timeout",
            Self::BadRequest(_) => "bad request",
            Self::Invalid(_) => "unprocessable entity",
            Self::Conflict(_) => "conflict",
            Self::NotFound(_) => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::Precondition(_) => "precondition failed",
            Self::Busy { .. } => "service unavailable",
            Self::Timeout | Self::Unanswered(_) => "gateway timeout",
            Self::Internal(_) => "internal server error",
        }
    }

    fn extra(&self) -> Map<String, Value> {
        let extra = match self {
            Self::NotAcceptable => {
                json!({ "minSupportedVersion": MIN_PEER_VERSION, "maxSupportedVersion": MAX_PEER_VERSION })
            }
            Self::Login { reason } => json!({ "reason": reason, "failureType": "Login" }),
            Self::Invalid(errors) => {
                let errors: Vec<Value> =
                    errors.iter().map(|error| json!({ "field": error.field, "message": error.message })).collect();
                json!({ "errors": errors })
            }
            Self::Unauthorized
            | Self::Forbidden { .. }
            | Self::NotPermitted(_)
            | Self::TooLarge { .. }
            | Self::Slow
            | Self::BadRequest(_)
            | Self::Conflict(_)
            | Self::NotFound(_)
            | Self::MethodNotAllowed
            | Self::Precondition(_)
            | Self::Busy { .. }
            | Self::Timeout
            | Self::Unanswered(_)
            | Self::Internal(_) => Value::Null,
        };
        match extra {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } | StoreError::Stale => Self::Conflict(error.to_string()),
            StoreError::Missing { .. } => Self::NotFound(error.to_string()),
            StoreError::Busy => Self::Busy { retry_after: Duration::from_secs(1) },
            error => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal(error) = &self {
            tracing::error!(error = %chain(error.as_ref()), "Admin call failed");
        }
        let mut body = Map::new();
        body.insert("id".to_owned(), self.id().into());
        body.insert("message".to_owned(), self.to_string().into());
        body.extend(self.extra());
        let mut response = (self.status(), Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::Busy { retry_after } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Self::TooLarge { .. } | Self::Slow => {
                // The rest of the body is not read, so the connection cannot carry another request.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [only] => format!("{}: {}", only.field, only.message),
        several => format!("{} fields are wrong; see `errors`", several.len()),
    }
}
