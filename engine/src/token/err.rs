//! Why a token is not believed.

/// The first reason found not to believe a token.
///
/// The text is for logs: a caller is only told that the token was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No JWT, too long, or contents that do not fit the kind.
    #[error("token is malformed")]
    Malformed,
    /// The header names another algorithm than EdDSA.
    #[error("token uses another algorithm than EdDSA")]
    Algorithm,
    /// The `typ` is not the expected kind's.
    #[error("token is of another kind")]
    Kind,
    /// The `kid` is not in the pinned set.
    #[error("token names an unknown key")]
    Key,
    /// The signature does not fit.
    #[error("token signature is wrong")]
    Signature,
    /// Issued by another collective.
    #[error("token comes from another collective")]
    Issuer,
    /// Meant for somebody else.
    #[error("token is for another audience")]
    Audience,
    /// Its time has not come.
    #[error("token is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("token has expired")]
    Expired,
    /// Carries no key binding though its kind needs one.
    #[error("token is not bound to a key")]
    Unbound,
    /// Bound to another key than the connection's.
    #[error("token is bound to another key")]
    Binding,
    /// A revocation rule covers it.
    #[error("token was revoked: {reason}")]
    Revoked {
        /// Sequence of the rule.
        seq: u64,
        /// Why, as the administrator wrote.
        reason: String,
    },
}

impl TokenError {
    /// Stable code for audit records, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "token.malformed",
            Self::Algorithm => "token.algorithm",
            Self::Kind => "token.kind",
            Self::Key => "token.key",
            Self::Signature => "token.signature",
            Self::Issuer => "token.issuer",
            Self::Audience => "token.audience",
            Self::NotYetValid => "token.not-yet-valid",
            Self::Expired => "token.expired",
            Self::Unbound => "token.unbound",
            Self::Binding => "token.binding",
            Self::Revoked { .. } => "token.revoked",
        }
    }
}
