//! Identifiers: every kind of thing has an id of its own type, so that one cannot be taken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a uuid that is known to name this kind of thing.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare uuid, for storage and wire formats.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

ids! {
    /// A policy.
    PolicyId,
    /// A criteria script.
    CriteriaScriptId,
    /// An entitlement.
    EntitlementId,
    /// An entitlement script.
    EntitlementScriptId,
    /// A user-claim script.
    UserScriptId,
    /// A condition.
    ConditionId,
    /// A Site.
    SiteId,
    /// An identity provider.
    IdentityProviderId,
    /// A local user.
    LocalUserId,
    /// An administrative role.
    AdministrativeRoleId,
    /// An appliance: a controller or a gateway.
    ApplianceId,
    /// A token, its `jti`.
    TokenId,
    /// A signed-in session: one session key, one certificate.
    SessionId,
    /// A device, as it names itself.
    DeviceId,
}
