//! Building audit records: the members of D 30 under their names, so that every record of a kind looks the same.
//!
//! Records never hold a secret, a token or a password.

use std::net::IpAddr;

use engine::dn::{DistinguishedName, UserName};
use serde_json::{Map, Value};

use crate::store::AuditEvent;

/// Somebody authenticated.
pub const AUTHENTICATION_SUCCEEDED: &str = "authentication_succeeded";
/// Somebody did not.
pub const AUTHENTICATION_FAILED: &str = "authentication_failed";
/// Somebody was granted something, or nothing.
pub const AUTHORIZATION_SUCCEEDED: &str = "authorization_succeeded";
/// A policy or an error refused somebody.
pub const AUTHORIZATION_FAILED: &str = "authorization_failed";
/// A token was not believed.
pub const TOKEN_REFUSED: &str = "token_refused";
/// Claims were renewed.
pub const TOKEN_RENEWED: &str = "token_renewed";
/// Device claims were countersigned.
pub const DEVICE_CLAIMS_ISSUED: &str = "device_claims_issued";
/// A user answered what a condition asks for.
pub const REMEDY_ANSWERED: &str = "remedy_answered";
/// A user was shown a new seed of one-time codes.
pub const OTP_SEED_SHOWN: &str = "otp_seed_shown";
/// A user's first right code confirmed their seed.
pub const OTP_SEED_ENROLLED: &str = "otp_seed_enrolled";
/// Tokens were revoked.
pub const TOKEN_REVOKED: &str = "token_revoked";

/// A record being put together.
#[derive(Debug, Clone)]
pub struct Record {
    event_type: &'static str,
    members: Map<String, Value>,
}

impl Record {
    /// A record of an event type.
    pub fn new(event_type: &'static str) -> Self {
        Self { event_type, members: Map::new() }
    }

    /// With the members that name a session.
    #[must_use]
    pub fn name(self, name: &DistinguishedName) -> Self {
        self.with("distinguished_name", name.to_string())
            .with("distinguished_name_device_id", name.device.uuid().simple().to_string())
            .with("distinguished_name_user", name.user.username.clone())
            .with("distinguished_name_ou", name.user.provider.clone())
    }

    /// With the members that name a user on no particular device.
    #[must_use]
    pub fn user(self, name: &UserName) -> Self {
        self.with("distinguished_name", name.to_string())
            .with("distinguished_name_user", name.username.clone())
            .with("distinguished_name_ou", name.provider.clone())
    }

    /// With the address the request came from, when it is known.
    #[must_use]
    pub fn address(self, address: Option<IpAddr>) -> Self {
        match address {
            Some(address) => self.with("client_ip", address.to_string()),
            None => self,
        }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The record for a transaction.
    pub fn event(self) -> AuditEvent {
        AuditEvent { event_type: self.event_type, members: self.members }
    }
}
