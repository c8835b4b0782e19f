//! Who may do what: privileges from administrative roles (D 22), and the one function that decides, [`Privileges::allows`].
//!
//! A privilege is an action on a target within a scope. A scope that is absent where one applies covers nothing, except
//! on "All on All", which has to be written by somebody. Privileges are read from the roles in the current
//! configuration at every call, so that a role taken away is gone at once.

use std::collections::{BTreeMap, BTreeSet};

use engine::id::AdministrativeRoleId;
use protocol::object::ObjectKind;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{config::Config, store::Object};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($word:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($word),+ }

        impl $name {
            /// Every word.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$word),+];
            /// Every word as text.
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($word)),+];

            /// The word as the API writes it.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word)),+ }
            }

            /// Reads the word.
            pub(crate) fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }
    };
}

words! {
    /// What is done: the `type` of a privilege.
    Action {
        All, View, Create, Edit, Tag, Delete, Revoke, Export, Upgrade, RenewCertificate, DownloadLogs, Test, GetUserAttributes,
        Backup, CheckStatus, Reevaluate, Reboot, AssignFunction,
    }
}

words! {
    /// What it is done on.
    Target {
        All, Appliance, Condition, CriteriaScript, Entitlement, AdministrativeRole, IdentityProvider, MfaProvider, IpPool, LocalUser,
        ServiceUser, Policy, Site, DeviceClaimScript, EntitlementScript, RingfenceRule, ApplianceCustomization, TrustedCertificate,
        UserClaimScript, OtpSeed, Fido2Device, Blacklist, License, UserLicense, RegisteredDevice, AllocatedIp, SessionInfo, AuditLog,
        AdminMessage, GlobalSetting, CaCertificate, File, AutoUpdate, RiskModel, Ztp, ClientProfile, Secret, DiscoveredApp,
        TokenRecord, FailedAuthentication, ClientConnection,
    }
}

impl Target {
    /// The target that objects of a kind are.
    pub(crate) fn of(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::AdministrativeRole => Self::AdministrativeRole,
            ObjectKind::Appliance => Self::Appliance,
            ObjectKind::Condition => Self::Condition,
            ObjectKind::CriteriaScript => Self::CriteriaScript,
            ObjectKind::DeviceScript => Self::DeviceClaimScript,
            ObjectKind::Entitlement => Self::Entitlement,
            ObjectKind::EntitlementScript => Self::EntitlementScript,
            ObjectKind::GlobalSettings => Self::GlobalSetting,
            ObjectKind::IdentityProvider => Self::IdentityProvider,
            ObjectKind::IpPool => Self::IpPool,
            ObjectKind::LocalUser => Self::LocalUser,
            ObjectKind::MfaProvider => Self::MfaProvider,
            ObjectKind::Policy => Self::Policy,
            ObjectKind::RingfenceRule => Self::RingfenceRule,
            ObjectKind::Secret => Self::Secret,
            ObjectKind::Site => Self::Site,
            ObjectKind::TrustedCertificate => Self::TrustedCertificate,
            ObjectKind::UserScript => Self::UserClaimScript,
        }
    }

    /// Registered devices were called token records up to peer version 21; a role may use either word.
    fn canonical(self) -> Self {
        match self {
            Self::TokenRecord => Self::RegisteredDevice,
            other => other,
        }
    }

    fn actions(self) -> &'static [Action] {
        use Action::{
            AssignFunction, Backup, CheckStatus, Create, Delete, DownloadLogs, Edit, Export, GetUserAttributes, Reboot,
            Reevaluate, RenewCertificate, Revoke, Tag, Test, Upgrade, View,
        };
        match self {
            Self::All => Action::ALL,
            Self::Appliance => &[
                View,
                Create,
                Edit,
                Tag,
                Delete,
                Export,
                Upgrade,
                RenewCertificate,
                DownloadLogs,
                Test,
                Backup,
                CheckStatus,
                Reboot,
                AssignFunction,
            ],
            Self::Condition
            | Self::CriteriaScript
            | Self::Policy
            | Self::EntitlementScript
            | Self::UserClaimScript
            | Self::MfaProvider => &[View, Create, Edit, Tag, Delete, Test],
            Self::IdentityProvider => &[View, Create, Edit, Tag, Delete, Test, GetUserAttributes],
            Self::Entitlement
            | Self::AdministrativeRole
            | Self::IpPool
            | Self::LocalUser
            | Self::ServiceUser
            | Self::Site
            | Self::DeviceClaimScript
            | Self::RingfenceRule
            | Self::ApplianceCustomization
            | Self::TrustedCertificate
            | Self::ClientProfile
            | Self::Secret => &[View, Create, Edit, Tag, Delete],
            Self::RegisteredDevice | Self::TokenRecord => &[View, Delete, Revoke, Reevaluate],
            Self::OtpSeed | Self::Fido2Device | Self::UserLicense => &[View, Delete],
            Self::Blacklist | Self::File => &[View, Create, Delete],
            Self::License => &[View, Create, Edit, Delete],
            Self::AllocatedIp | Self::SessionInfo | Self::AuditLog | Self::FailedAuthentication => &[View],
            Self::AdminMessage => &[View, Edit, Delete],
            Self::DiscoveredApp => &[View, Edit, Tag, Delete],
            Self::GlobalSetting
            | Self::CaCertificate
            | Self::AutoUpdate
            | Self::RiskModel
            | Self::Ztp
            | Self::ClientConnection => &[View, Edit],
        }
    }

    fn has_objects(self) -> bool {
        self == Self::All || self.actions().contains(&Action::Tag)
    }
}

impl Action {
    fn is_on_one_object(self) -> bool {
        match self {
            Self::All
            | Self::View
            | Self::Edit
            | Self::Tag
            | Self::Delete
            | Self::Export
            | Self::Upgrade
            | Self::RenewCertificate
            | Self::DownloadLogs
            | Self::GetUserAttributes
            | Self::Backup
            | Self::CheckStatus
            | Self::Reboot
            | Self::AssignFunction => true,
            Self::Create | Self::Revoke | Self::Test | Self::Reevaluate => false,
        }
    }
}

/// Whether a role may hold the combination.
pub(crate) fn is_legal(action: Action, target: Target) -> bool {
    action == Action::All || target.actions().contains(&action)
}

/// Whether a scope applies to the combination.
pub(crate) fn takes_scope(action: Action, target: Target) -> bool {
    action.is_on_one_object() && target.has_objects()
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// At least one object of the target, whichever.
    Some,
    /// The target as a whole, or a thing that is no object.
    Whole,
    /// One object.
    Object {
        /// Its id.
        id: Uuid,
        /// Its tags.
        tags: &'a [String],
    },
}

impl<'a> From<&'a Object> for Subject<'a> {
    fn from(object: &'a Object) -> Self {
        Self::Object { id: object.id, tags: &object.tags }
    }
}

#[derive(Debug, Clone)]
enum Scope {
    Absent,
    Everything,
    Listed { ids: BTreeSet<Uuid>, tags: BTreeSet<String> },
}

impl Scope {
    fn parse(value: Option<&Value>) -> Self {
        let Some(scope) = value.filter(|value| !value.is_null()) else { return Self::Absent };
        if scope.get("all") == Some(&Value::Bool(true)) {
            return Self::Everything;
        }
        let texts =
            |name: &str| scope.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        Self::Listed {
            ids: texts("ids").filter_map(|text| text.parse().ok()).collect(),
            tags: texts("tags").map(str::to_lowercase).collect(),
        }
    }

    fn covers(&self, subject: Subject<'_>) -> bool {
        match (self, subject) {
            (Self::Absent, _) => false,
            (Self::Everything, _) => true,
            (Self::Listed { .. }, Subject::Whole) => false,
            (Self::Listed { ids, tags }, Subject::Some) => !ids.is_empty() || !tags.is_empty(),
            (Self::Listed { ids, tags }, Subject::Object { id, tags: own }) => {
                ids.contains(&id) || own.iter().any(|tag| tags.contains(&tag.to_lowercase()))
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Privilege {
    action: Action,
    target: Target,
    scope: Scope,
    default_tags: Vec<String>,
    document: Value,
}

impl Privilege {
    fn parse(document: &Value) -> Option<Self> {
        let tags = document.get("defaultTags").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            action: Action::parse(document.get("type")?.as_str()?)?,
            target: Target::parse(document.get("target")?.as_str()?)?.canonical(),
            scope: Scope::parse(document.get("scope")),
            default_tags: tags.filter_map(Value::as_str).map(str::to_owned).collect(),
            document: document.clone(),
        })
    }

    fn names(&self, action: Action, target: Target) -> bool {
        (self.action == Action::All || self.action == action)
            && (self.target == Target::All || self.target == target.canonical())
    }

    fn covers(&self, action: Action, target: Target, subject: Subject<'_>) -> bool {
        let written_for_all =
            self.action == Action::All && self.target == Target::All && matches!(self.scope, Scope::Absent);
        let no_scope_applies = !takes_scope(action, target) && matches!(self.scope, Scope::Absent | Scope::Everything);
        written_for_all || no_scope_applies || self.scope.covers(subject)
    }
}

/// What an administrator may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Privileges(Vec<Privilege>);

impl Privileges {
    /// The privileges of roles as they are configured now; roles that are gone grant nothing.
    pub(crate) fn of_roles<'a>(config: &Config, roles: impl IntoIterator<Item = &'a AdministrativeRoleId>) -> Self {
        let bodies = roles.into_iter().filter_map(|role| config.object(ObjectKind::AdministrativeRole, role.uuid()));
        Self::of_documents(bodies.filter_map(|role| role.body.get("privileges")?.as_array()).flatten())
    }

    fn of_documents<'a>(documents: impl Iterator<Item = &'a Value>) -> Self {
        Self(documents.filter_map(Privilege::parse).collect())
    }

    /// Whether the action on the target is allowed for the subject. Every other check ends here.
    pub(crate) fn allows(&self, action: Action, target: Target, subject: Subject<'_>) -> bool {
        self.0.iter().any(|privilege| privilege.names(action, target) && privilege.covers(action, target, subject))
    }

    /// Tags that new objects of the target get.
    pub(crate) fn default_tags(&self, target: Target) -> Vec<String> {
        let creating = self.0.iter().filter(|privilege| privilege.names(Action::Create, target));
        let tags: BTreeSet<&String> = creating.flat_map(|privilege| &privilege.default_tags).collect();
        tags.into_iter().cloned().collect()
    }

    /// The privileges as roles hold them, for the sign-in answer.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.0.iter().map(|privilege| privilege.document.clone()).collect()
    }
}

/// The legal combinations: `{target: {type: {scope, defaultTags, functions}}}`.
pub(crate) fn type_target_map() -> Value {
    let row = |target: &Target| {
        let legal = Action::ALL.iter().filter(|action| is_legal(**action, *target));
        let cells: BTreeMap<&str, Value> = legal
            .map(|action| {
                let cell = json!({
                    "scope": takes_scope(*action, *target),
                    "defaultTags": *action == Action::Create,
                    "functions": *action == Action::AssignFunction,
                });
                (action.as_str(), cell)
            })
            .collect();
        (target.as_str(), cells)
    };
    let map: BTreeMap<&str, BTreeMap<&str, Value>> = Target::ALL.iter().map(row).collect();
    json!({ "actionMatrixMap": map })
}

#[cfg(test)]
mod tests;
