//! What a false condition asks of the user, and the user's answer. The question comes from a gateway, the answer goes to a
//! controller (design 3.7).

use engine::id::ConditionId;
use serde::{Deserialize, Serialize};

/// What the user can do about a false condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedies {
    /// In the order they are asked.
    pub offers: Vec<RemedyOffer>,
    /// Whether one of them is enough.
    pub any: bool,
}

/// One thing the user is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemedyOffer {
    /// The condition.
    pub condition: ConditionId,
    /// Place among the condition's remedies, from 0.
    pub place: u32,
    /// What is asked for.
    pub kind: RemedyKind,
    /// The administrator's text.
    pub message: String,
}

/// What a remedy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemedyKind {
    /// A free text.
    Reason,
    /// The user's password.
    Password,
    /// A one-time code.
    Code,
}

/// Asks what the user must have before a remedy can be answered.
#[derive(Serialize, Deserialize)]
pub struct RemedyQuestion {
    /// The claims token.
    pub claims_token: String,
    /// The condition.
    pub condition: ConditionId,
    /// Place among the condition's remedies, from 0.
    pub place: u32,
}

/// What the user must have before a remedy can be answered. Has no `Debug`: it may hold a secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum RemedyNeed {
    /// Nothing more than the answer.
    Answer,
    /// An authenticator app that knows this secret. An earlier one that no code has confirmed is void.
    Enrol {
        /// `otpauth://totp/…`, as apps read it from a QR code.
        uri: String,
    },
}

/// A user's answer. Has no `Debug`: it may be a password.
#[derive(Serialize, Deserialize)]
pub struct RemedyAnswer {
    /// The claims token.
    pub claims_token: String,
    /// The condition.
    pub condition: ConditionId,
    /// Place among the condition's remedies, from 0.
    pub place: u32,
    /// The reason, the password or the code.
    pub answer: String,
}
