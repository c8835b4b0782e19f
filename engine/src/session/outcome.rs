//! What a session tells its shell to do.

use std::{net::IpAddr, sync::Arc};

use time::OffsetDateTime;

use super::{Answer, FlowId, RunId};
use crate::{
    id::{ConditionId, EntitlementId},
    object::Direction,
    rules::{Protocol, Rule, Target},
    script::Failure,
};

/// What the shell carries out.
#[derive(Debug)]
pub enum Effect {
    /// Run the condition's script; the answer comes back with the same run.
    Evaluate { condition: ConditionId, run: RunId },
    /// Open the flow.
    Allow(FlowId, Permit),
    /// Keep the flow waiting and tell the user why.
    Hold(FlowId, Hold),
    /// Refuse a flow that was never open.
    Deny(FlowId, Denial),
    /// Pass nothing of an open flow until `Resume` or `Cut`.
    Pause(FlowId),
    /// Go on with a paused flow.
    Resume(FlowId),
    /// End an open flow at once; what is buffered is dropped.
    Cut(FlowId, Denial),
    /// A condition began or ceased to hold; the user may be told.
    ConditionChanged { condition: ConditionId, name: Arc<str>, answer: Answer },
    /// The session's tokens die at a known time; the user is told to renew before, or to sign in again.
    RenewBefore { effective: OffsetDateTime, seq: u64, reason: String, sign_in: bool },
    /// End the session and all its flows at once.
    End(EndReason),
}

/// Proof that one flow was allowed to one address and port. Not `Clone`, no public constructor; whatever dials takes it
/// by value.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    entitlement: EntitlementId,
    rule: Arc<str>,
    target: Target,
}

impl Permit {
    pub(super) fn new(rule: &Rule, target: Target) -> Self {
        Self { entitlement: rule.entitlement, rule: rule.name.clone(), target }
    }

    /// The entitlement that allowed it.
    pub fn entitlement(&self) -> EntitlementId {
        self.entitlement
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &Arc<str> {
        &self.rule
    }

    /// The protocol it is for.
    pub fn protocol(&self) -> Protocol {
        self.target.protocol
    }

    /// The direction it is for.
    pub fn direction(&self) -> Direction {
        self.target.direction
    }

    /// The one address it is for.
    pub fn address(&self) -> IpAddr {
        self.target.address
    }

    /// The one port it is for.
    pub fn port(&self) -> u16 {
        self.target.port
    }
}

/// What a held flow waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The rule that would allow it.
    pub rule: Arc<str>,
    /// The rule's entitlement.
    pub entitlement: Arc<str>,
    /// The condition that is not satisfied.
    pub condition: Arc<str>,
}

/// Why a flow is refused or cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No rule matches; what is not granted is refused.
    NoRule,
    /// A block rule wins.
    Blocked { rule: Arc<str> },
    /// An alert rule wins: refused, and a record is raised.
    Alerted { rule: Arc<str> },
    /// The winning rule's entitlement has no conditions, so it never allows (D 35, 21).
    NoConditions { rule: Arc<str> },
    /// A condition turned false under an open flow.
    ConditionFalse(Hold),
    /// A condition stayed false for as long as a flow is held.
    HoldTimedOut(Hold),
    /// A condition could not be checked.
    ConditionFailed { rule: Arc<str>, condition: Arc<str>, failure: Failure },
    /// No answer came in time.
    NoAnswer,
    /// The session has as many flows as it may have.
    TooManyFlows,
    /// The session is over.
    SessionEnded,
}

impl Denial {
    /// Stable reason code for records, metrics, clients and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRule => "flow.no-rule",
            Self::Blocked { .. } => "flow.blocked",
            Self::Alerted { .. } => "flow.alerted",
            Self::NoConditions { .. } => "flow.no-conditions",
            Self::ConditionFalse(_) => "flow.condition-false",
            Self::HoldTimedOut(_) => "flow.hold-timed-out",
            Self::ConditionFailed { .. } => "flow.condition-failed",
            Self::NoAnswer => "flow.no-answer",
            Self::TooManyFlows => "flow.too-many",
            Self::SessionEnded => "flow.session-ended",
        }
    }

    /// The rule that settled it, where one did.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Blocked { rule }
            | Self::Alerted { rule }
            | Self::NoConditions { rule }
            | Self::ConditionFailed { rule, .. } => Some(rule),
            Self::ConditionFalse(hold) | Self::HoldTimedOut(hold) => Some(&hold.rule),
            Self::NoRule | Self::NoAnswer | Self::TooManyFlows | Self::SessionEnded => None,
        }
    }

    /// Plain language for the user, with what to do.
    pub fn message(&self) -> String {
        match self {
            Self::NoRule => {
                "you have no access to this host and port; ask your administrator if you need it".to_owned()
            }
            Self::Blocked { .. } | Self::Alerted { .. } => {
                "access to this host and port is blocked; ask your administrator".to_owned()
            }
            Self::NoConditions { .. } => {
                "this access has no condition and so never opens; ask your administrator".to_owned()
            }
            Self::ConditionFalse(hold) => {
                format!("access to {} ended because `{}` is no longer met", hold.entitlement, hold.condition)
            }
            Self::HoldTimedOut(hold) => format!(
                "access to {} needs `{}`, which was not met in time; try again once it is",
                hold.entitlement, hold.condition
            ),
            Self::ConditionFailed { condition, failure, .. } => {
                format!("`{condition}` could not be checked ({}); try again, or ask your administrator", failure.kind)
            }
            Self::NoAnswer => "the access check took too long; try again".to_owned(),
            Self::TooManyFlows => "too many connections are open; close some and try again".to_owned(),
            Self::SessionEnded => "your session is over; sign in again".to_owned(),
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Its tokens expired.
    Expired,
    /// Its tokens were revoked; the text is the administrator's.
    Revoked { reason: String },
    /// The user signed out.
    SignedOut,
    /// The connection was lost or closed.
    Disconnected,
    /// The same session connected again; this connection is the older one.
    Replaced,
    /// The gateway may not keep sessions without hearing a controller for so long.
    ControllerLost,
    /// The gateway stops.
    Shutdown,
}

impl EndReason {
    /// Stable reason code for records, clients and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired => "session.expired",
            Self::Revoked { .. } => "session.revoked",
            Self::SignedOut => "session.signed-out",
            Self::Disconnected => "session.disconnected",
            Self::Replaced => "session.replaced",
            Self::ControllerLost => "session.controller-lost",
            Self::Shutdown => "session.shutdown",
        }
    }

    /// Plain language for the user, with what to do.
    pub fn message(&self) -> String {
        match self {
            Self::Expired => "your access has expired; the client asks for new access".to_owned(),
            Self::Revoked { reason } if reason.is_empty() => {
                "your access was revoked; the client asks whether there is new access for you".to_owned()
            }
            Self::Revoked { reason } => {
                format!("your access was revoked ({reason}); the client asks whether there is new access for you")
            }
            Self::SignedOut => "you signed out".to_owned(),
            Self::Disconnected => "the connection was lost".to_owned(),
            Self::Replaced => "this session connected again from elsewhere".to_owned(),
            Self::ControllerLost => "the gateway has lost its controller; access is paused until it is back".to_owned(),
            Self::Shutdown => "the gateway is stopping; the client reconnects by itself".to_owned(),
        }
    }
}
