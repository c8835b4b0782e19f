//! Parsed objects by kind, shared between moments of the configuration.

use std::{collections::BTreeMap, sync::Arc};

use engine::{
    id::{
        ConditionId, CriteriaScriptId, EntitlementId, EntitlementScriptId, IdentityProviderId, LocalUserId, PolicyId,
        SiteId, UserScriptId,
    },
    object::{
        Condition, CriteriaScript, Entitlement, EntitlementScript, IdentityProvider, LocalUser, Policy, Site,
        UserScript,
    },
};
use protocol::object::{Definition, ObjectKind};
use uuid::Uuid;

use super::Config;

macro_rules! definitions {
    ($($all:ident, $one:ident, $what:literal: $id:ident => $type:ident;)+) => {
        #[derive(Debug, Clone, Default)]
        pub(super) struct Definitions { $($all: Arc<BTreeMap<$id, Arc<$type>>>,)+ }

        impl Definitions {
            pub(super) fn put(&mut self, definition: Definition) {
                match definition {
                    $(Definition::$type(value) => {
                        Arc::make_mut(&mut self.$all).insert(value.id, Arc::new(value));
                    })+
                    Definition::Other => {}
                }
            }

            pub(super) fn remove(&mut self, kind: ObjectKind, id: Uuid) {
                match kind {
                    $(ObjectKind::$type => {
                        Arc::make_mut(&mut self.$all).remove(&$id::new(id));
                    })+
                    ObjectKind::AdministrativeRole
                    | ObjectKind::Appliance
                    | ObjectKind::DeviceScript
                    | ObjectKind::GlobalSettings
                    | ObjectKind::IpPool
                    | ObjectKind::MfaProvider
                    | ObjectKind::RingfenceRule
                    | ObjectKind::Secret
                    | ObjectKind::TrustedCertificate => {}
                }
            }
        }

        /// The object a definition says it is.
        pub(super) fn id_of(definition: &Definition) -> Option<Uuid> {
            match definition {
                $(Definition::$type(value) => Some(value.id.uuid()),)+
                Definition::Other => None,
            }
        }

        impl Config {
            $(
                #[doc = concat!("Every ", $what, ", ordered by id.")]
                pub fn $all(&self) -> impl Iterator<Item = &Arc<$type>> {
                    self.definitions.$all.values()
                }

                #[doc = concat!("One ", $what, ".")]
                pub fn $one(&self, id: $id) -> Option<&Arc<$type>> {
                    self.definitions.$all.get(&id)
                }
            )+
        }
    };
}

definitions! {
    policies, policy, "policy": PolicyId => Policy;
    criteria_scripts, criteria_script, "criteria script": CriteriaScriptId => CriteriaScript;
    conditions, condition, "condition": ConditionId => Condition;
    entitlements, entitlement, "entitlement": EntitlementId => Entitlement;
    entitlement_scripts, entitlement_script, "entitlement script": EntitlementScriptId => EntitlementScript;
    sites, site, "Site": SiteId => Site;
    identity_providers, identity_provider, "identity provider": IdentityProviderId => IdentityProvider;
    local_users, local_user, "local user": LocalUserId => LocalUser;
    user_scripts, user_script, "user-claim script": UserScriptId => UserScript;
}

impl Config {
    /// A local user by name.
    pub fn local_user_by_name(&self, name: &str) -> Option<&Arc<LocalUser>> {
        self.local_user(LocalUserId::new(self.by_name(ObjectKind::LocalUser, name)?.id))
    }

    /// An identity provider by name.
    pub fn identity_provider_by_name(&self, name: &str) -> Option<&Arc<IdentityProvider>> {
        self.identity_provider(IdentityProviderId::new(self.by_name(ObjectKind::IdentityProvider, name)?.id))
    }
}
