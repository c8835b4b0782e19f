//! The kinds of configured object, and how their documents become the engine's types.
//!
//! Documents are the JSON of the admin API (D 11 to 22). The controller stores them as they are; controller and gateway
//! read the parts they decide by through [`Definition::parse`].

mod definition;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::{Uuid, uuid};

pub use definition::{Definition, DefinitionError, host_entries, parse_schedule, parse_server};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $path:literal, $title:literal;)+) => {
        /// A kind of configured object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ObjectKind { $($(#[$doc])* $name,)+ }

        impl ObjectKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The path segment of the admin API, also the name in store and frames.
            pub fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)+ }
            }

            /// The name in audit records, privileges and messages, as the vendor's API writes it.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

kinds! {
    /// Administrative role.
    AdministrativeRole = "administrative-roles", "AdministrativeRole";
    /// Appliance: controller or gateway.
    Appliance = "appliances", "Appliance";
    /// Condition.
    Condition = "conditions", "Condition";
    /// Criteria script.
    CriteriaScript = "criteria-scripts", "CriteriaScript";
    /// Device script.
    DeviceScript = "device-scripts", "DeviceClaimScript";
    /// Entitlement.
    Entitlement = "entitlements", "Entitlement";
    /// Entitlement script.
    EntitlementScript = "entitlement-scripts", "EntitlementScript";
    /// The one object of global settings.
    GlobalSettings = "global-settings", "GlobalSetting";
    /// Identity provider.
    IdentityProvider = "identity-providers", "IdentityProvider";
    /// Address pool.
    IpPool = "ip-pools", "IpPool";
    /// User of the built-in database.
    LocalUser = "local-users", "LocalUser";
    /// Multi-factor provider.
    MfaProvider = "mfa-providers", "MfaProvider";
    /// Policy.
    Policy = "policies", "Policy";
    /// Ringfence rule.
    RingfenceRule = "ringfence-rules", "RingfenceRule";
    /// A value that scripts name and nobody reads.
    Secret = "secrets", "Secret";
    /// Site.
    Site = "sites", "Site";
    /// A certificate that HTTPS calls of scripts trust beside the public roots.
    TrustedCertificate = "trusted-certificates", "TrustedCertificate";
    /// User-claim script.
    UserScript = "user-scripts", "UserClaimScript";
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// A path segment that names no kind.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no kind of object")]
pub struct UnknownKind(String);

impl FromStr for ObjectKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.path() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

impl Serialize for ObjectKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.path())
    }
}

impl<'de> Deserialize<'de> for ObjectKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The built-in MFA provider of time-based one-time codes, the only one of its type (D 32).
pub const TOTP_PROVIDER: Uuid = uuid!("03542d1e-733c-4c43-a567-d28fbc4649a7");

#[cfg(test)]
mod tests {
    use engine::object::RemedyAsk;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn codes_are_asked_for_by_the_built_in_provider_only() {
        let condition = |provider: Value| {
            let remedy =
                json!({ "type": "OtpAuthentication", "message": "m", "claimSuffix": "s", "providerId": provider });
            let body = json!({
                "id": "0f1d3ed5-8b2b-4f6f-9b6a-1d1f4a1c3c01", "name": "n", "expression": "return false;",
                "remedyMethods": [remedy],
            });
            match Definition::parse(ObjectKind::Condition, &body) {
                Ok(Definition::Condition(condition)) => Ok(condition.remedies[0].ask.clone()),
                Ok(other) => panic!("a condition and not: {other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(condition(json!(TOTP_PROVIDER)), Ok(RemedyAsk::Otp { suffix: "s".into() }));
        assert_eq!(condition(json!("3ae98d53-c520-437f-99e4-451f936e6d2c")), Ok(RemedyAsk::OtherFactor));
        let missing = condition(Value::Null).unwrap_err();
        assert!(missing.ends_with("is unusable: providerId is missing"), "{missing}");
    }
}
