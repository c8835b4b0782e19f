//! Refusals as peers read them: a stable code, and a text that says what to do. What went wrong inside is logged and not
//! told.

use std::{error::Error, time::Duration};

use engine::token::TokenError;
use protocol::message::Refusal;

use crate::{authorization::AuthorizeError, sign_in::SignInError};

/// A refusal with a text for the user.
pub(crate) fn refused(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into(), retry_after_secs: None }
}

/// Something inside failed. The error goes to the log.
pub(crate) fn unavailable(error: &(dyn Error + 'static)) -> Refusal {
    tracing::error!(error = %chain(error), "Request failed");
    let message =
        "the controller cannot answer at the moment; try again in a moment and tell your administrator if it stays";
    Refusal { code: "controller.unavailable".to_owned(), message: message.to_owned(), retry_after_secs: Some(5) }
}

/// The peer asks for more than its share.
pub(crate) fn busy(message: &str, retry_after: Duration) -> Refusal {
    Refusal {
        code: "controller.busy".to_owned(),
        message: message.to_owned(),
        retry_after_secs: Some(retry_after.as_secs().max(1)),
    }
}

/// A token was not believed; which part of it failed stands only in the audit log.
pub(crate) fn token(_: &TokenError) -> Refusal {
    refused("token.refused", "your session is not valid any more; sign in again")
}

/// An error with everything it came from, for the log.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

impl From<SignInError> for Refusal {
    fn from(error: SignInError) -> Self {
        match &error {
            SignInError::Refused => refused(error.code(), error.to_string()),
            SignInError::Busy { retry_after } => busy(&error.to_string(), *retry_after),
            SignInError::Store(inner) => unavailable(inner),
            SignInError::Password(inner) => unavailable(inner),
        }
    }
}

impl From<AuthorizeError> for Refusal {
    fn from(error: AuthorizeError) -> Self {
        match &error {
            AuthorizeError::Denied(denied) => refused(denied.code(), denied.to_string()),
            AuthorizeError::Issue(inner) => unavailable(inner),
            AuthorizeError::Store(inner) => unavailable(inner),
        }
    }
}
