//! Documents of identity providers and their users.

use std::time::Duration;

use engine::{
    id::{IdentityProviderId, LocalUserId, UserScriptId},
    object::{ClaimMapping, IdentityProvider, IdentityProviderType, LocalUser, OnDemandMapping},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderDocument {
    id: IdentityProviderId,
    name: String,
    #[serde(rename = "type")]
    provider_type: String,
    #[serde(default)]
    admin_provider: bool,
    #[serde(default = "default_lockout_threshold")]
    user_lockout_threshold: u32,
    #[serde(default = "default_lockout_minutes")]
    user_lockout_duration_minutes: u64,
    #[serde(default)]
    claim_mappings: Vec<ClaimMappingDocument>,
    #[serde(default)]
    user_scripts: Vec<UserScriptId>,
    #[serde(default)]
    on_demand_claim_mappings: Vec<OnDemandDocument>,
    #[serde(default = "default_device_limit")]
    device_limit_per_user: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimMappingDocument {
    attribute_name: String,
    claim_name: String,
    #[serde(default)]
    list: bool,
    #[serde(default)]
    encrypt: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OnDemandDocument {
    command: String,
    claim_name: String,
    platform: String,
    #[serde(default)]
    parameters: Option<OnDemandParameters>,
}

#[derive(Deserialize, Default)]
struct OnDemandParameters {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    args: Option<String>,
}

impl OnDemandDocument {
    fn into_mapping(self) -> OnDemandMapping {
        let OnDemandParameters { name, path, args } = self.parameters.unwrap_or_default();
        OnDemandMapping { claim: self.claim_name, platform: self.platform, command: self.command, name, path, args }
    }
}

fn default_lockout_threshold() -> u32 {
    5
}

fn default_lockout_minutes() -> u64 {
    1
}

fn default_device_limit() -> u32 {
    100
}

impl ProviderDocument {
    pub(super) fn into_provider(self) -> IdentityProvider {
        let mapping = |mapping: ClaimMappingDocument| ClaimMapping {
            attribute: mapping.attribute_name,
            claim: mapping.claim_name,
            list: mapping.list,
            encrypt: mapping.encrypt,
        };
        IdentityProvider {
            id: self.id,
            name: self.name,
            provider_type: match self.provider_type.as_str() {
                "LocalDatabase" => IdentityProviderType::LocalDatabase,
                "ServiceDatabase" => IdentityProviderType::ServiceDatabase,
                "Connector" => IdentityProviderType::Connector,
                _ => IdentityProviderType::External,
            },
            admin_provider: self.admin_provider,
            lockout_threshold: self.user_lockout_threshold,
            lockout_duration: Duration::from_secs(self.user_lockout_duration_minutes.saturating_mul(60)),
            claim_mappings: self.claim_mappings.into_iter().map(mapping).collect(),
            user_scripts: self.user_scripts,
            on_demand: self.on_demand_claim_mappings.into_iter().map(OnDemandDocument::into_mapping).collect(),
            device_limit: self.device_limit_per_user,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserDocument {
    id: LocalUserId,
    name: String,
    first_name: String,
    last_name: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    phone: Option<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    tags: Vec<String>,
}

impl UserDocument {
    pub(super) fn into_user(self) -> LocalUser {
        LocalUser {
            id: self.id,
            name: self.name,
            first_name: self.first_name,
            last_name: self.last_name,
            email: self.email,
            phone: self.phone,
            disabled: self.disabled,
            tags: self.tags,
        }
    }
}
