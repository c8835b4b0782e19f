//! What the user is told while a session lives: typed for programs, in plain language for people.

mod text;

use std::fmt;

use engine::id::SiteId;
use protocol::message::{Refusal, RemedyKind, RemedyOffer};
use serde::Serialize;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Something the user may want to know. As JSON it is tagged by `event`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ClientEvent {
    /// A local port is open.
    Listening {
        /// `SOCKS5`, or the forward's far end.
        purpose: String,
        /// The address really bound.
        address: String,
    },
    /// The user is signed in.
    SignedIn {
        /// Distinguished name.
        name: String,
        /// Text to show after sign-in.
        message_of_the_day: Option<String>,
    },
    /// What the policies gave.
    Authorized {
        /// Policies that matched.
        policies: Vec<String>,
        /// Sites there is access to.
        sites: Vec<String>,
    },
    /// A gateway took the tokens.
    Admitted {
        /// The Site.
        site: SiteId,
        /// Its name.
        site_name: String,
        /// The gateway.
        gateway: String,
        /// Names of the entitlements held.
        entitlements: Vec<String>,
    },
    /// A gateway refused the tokens.
    Refused {
        /// The Site's name.
        site_name: String,
        /// Why.
        code: String,
        /// Plain language.
        message: String,
    },
    /// A gateway was lost; the client reconnects by itself.
    GatewayLost {
        /// The Site's name.
        site_name: String,
        /// Why.
        reason: String,
    },
    /// What is granted on a Site changed.
    RulesChanged {
        /// The Site's name.
        site_name: String,
        /// Names of the entitlements held.
        entitlements: Vec<String>,
    },
    /// A condition is false.
    ConditionFalse {
        /// The Site's name.
        site_name: String,
        /// Name of the condition.
        condition: String,
        /// Names of the entitlements it guards.
        entitlements: Vec<String>,
        /// What to do.
        message: String,
        /// What the user is asked for.
        remedies: Vec<RemedyOffer>,
    },
    /// What a condition asked for was answered.
    RemedyAnswered {
        /// Name of the condition.
        condition: String,
    },
    /// A condition holds again.
    ConditionTrue {
        /// The Site's name.
        site_name: String,
        /// Name of the condition.
        condition: String,
    },
    /// A connection waits for a condition.
    Held {
        /// Where it wants to go.
        flow: String,
        /// Why, and what to do.
        message: String,
    },
    /// A connection was refused.
    Denied {
        /// Where it wanted to go.
        flow: String,
        /// Why.
        code: String,
        /// Plain language.
        message: String,
    },
    /// A running connection was ended by the gateway.
    Cut {
        /// Where it went.
        flow: String,
    },
    /// Access to a Site ended.
    AccessEnded {
        /// The Site's name.
        site_name: String,
        /// Why.
        code: String,
        /// What to do.
        message: String,
    },
    /// A device claim has no value.
    DeviceClaimMissing {
        /// The claim.
        claim: String,
        /// What it is about: the script, file, process or service.
        subject: String,
        /// Why.
        message: String,
    },
    /// A device claim changes nearly every time and is reported only now and then.
    DeviceClaimRestless {
        /// The claim.
        claim: String,
    },
    /// Tokens end at an announced time.
    EndAnnounced {
        /// When (RFC 3339).
        at: String,
        /// Whether the user must sign in again.
        sign_in: bool,
        /// Why.
        reason: String,
    },
    /// New tokens; running connections go on.
    Renewed {
        /// When the earliest of them ends (RFC 3339).
        until: String,
    },
    /// New tokens could not be had; those at hand stay in use.
    RenewalFailed {
        /// Why.
        code: String,
        /// Why, in plain language.
        message: String,
        /// When access ends unless a later attempt gets through (RFC 3339).
        until: String,
        /// When the next attempt is made.
        retry_secs: u64,
    },
    /// The policies grant nothing any more.
    NothingGranted {
        /// Why.
        message: String,
    },
    /// The user must authenticate again; whoever shows this may answer with the password.
    SignInNeeded {
        /// Why.
        reason: String,
        /// When access ends unless they do (RFC 3339), where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// Takes the password.
        #[serde(skip)]
        request: PasswordRequest,
    },
    /// Signing in again failed.
    SignInFailed {
        /// Why.
        code: String,
        /// What to do.
        message: String,
    },
    /// The session is over at the user's wish.
    SignedOut,
}

impl ClientEvent {
    /// Stable name, the same as the JSON tag.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Listening { .. } => "listening",
            Self::SignedIn { .. } => "signed-in",
            Self::Authorized { .. } => "authorized",
            Self::Admitted { .. } => "admitted",
            Self::Refused { .. } => "refused",
            Self::GatewayLost { .. } => "gateway-lost",
            Self::RulesChanged { .. } => "rules-changed",
            Self::ConditionFalse { .. } => "condition-false",
            Self::RemedyAnswered { .. } => "remedy-answered",
            Self::ConditionTrue { .. } => "condition-true",
            Self::Held { .. } => "held",
            Self::Denied { .. } => "denied",
            Self::Cut { .. } => "cut",
            Self::AccessEnded { .. } => "access-ended",
            Self::DeviceClaimMissing { .. } => "device-claim-missing",
            Self::DeviceClaimRestless { .. } => "device-claim-restless",
            Self::EndAnnounced { .. } => "end-announced",
            Self::Renewed { .. } => "renewed",
            Self::RenewalFailed { .. } => "renewal-failed",
            Self::NothingGranted { .. } => "nothing-granted",
            Self::SignInNeeded { .. } => "sign-in-needed",
            Self::SignInFailed { .. } => "sign-in-failed",
            Self::SignedOut => "signed-out",
        }
    }

    pub(crate) fn refused(site_name: &str, refusal: &Refusal) -> Self {
        Self::Refused { site_name: site_name.to_owned(), code: refusal.code.clone(), message: refusal.message.clone() }
    }

    pub(crate) fn ended(site_name: &str, refusal: &Refusal) -> Self {
        Self::AccessEnded {
            site_name: site_name.to_owned(),
            code: refusal.code.clone(),
            message: refusal.message.clone(),
        }
    }
}

/// What a remedy asks for, for people.
pub fn what(kind: RemedyKind) -> &'static str {
    match kind {
        RemedyKind::Reason => "a reason",
        RemedyKind::Password => "your password",
        RemedyKind::Code => "a one-time code",
    }
}

/// Takes the password of a user who must sign in again. Dropped unanswered, the session stays as it is until its tokens
/// end; `renew` on the control socket asks anew.
pub struct PasswordRequest(Option<oneshot::Sender<Zeroizing<String>>>);

impl PasswordRequest {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Zeroizing<String>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    /// Hands over the password; it is forgotten after the sign-in.
    pub fn answer(mut self, password: Zeroizing<String>) {
        if let Some(sender) = self.0.take() {
            // A session that ended meanwhile needs no password any more.
            let _ = sender.send(password);
        }
    }
}

impl fmt::Debug for PasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordRequest")
    }
}
