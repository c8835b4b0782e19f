//! From a document of the admin API to the engine's type.
//!
//! Documents were checked field by field when they were saved; what is refused here was written by another version or by
//! hand, and counts as absent.

mod identity;
mod site;

use std::{collections::BTreeSet, time::Duration};

use engine::{
    id::{
        AdministrativeRoleId, ConditionId, CriteriaScriptId, EntitlementId, EntitlementScriptId, IdentityProviderId,
        PolicyId, SiteId, UserScriptId,
    },
    object::{
        Action, AppShortcut, Condition, CriteriaScript, Direction, Effect, Entitlement, EntitlementScript,
        EntitlementScriptType, HostSpec, IdentityProvider, LocalUser, Logic, Policy, PolicyType, PortRange, PortSpec,
        Remedy, RemedyAsk, Schedule, Site, Traffic, UserScript,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ObjectKind, TOTP_PROVIDER};
use identity::{ProviderDocument, UserDocument};
use site::SiteDocument;

pub use site::parse_server;

/// A configured object as the engine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// A policy.
    Policy(Policy),
    /// A criteria script.
    CriteriaScript(CriteriaScript),
    /// A condition.
    Condition(Condition),
    /// An entitlement.
    Entitlement(Entitlement),
    /// An entitlement script.
    EntitlementScript(EntitlementScript),
    /// A Site.
    Site(Site),
    /// An identity provider.
    IdentityProvider(IdentityProvider),
    /// A local user.
    LocalUser(LocalUser),
    /// A user-claim script.
    UserScript(UserScript),
    /// A kind that nothing here decides by.
    Other,
}

/// A document that does not hold what its kind needs.
#[derive(Debug, thiserror::Error)]
#[error("{kind} document is unusable: {reason}")]
pub struct DefinitionError {
    kind: ObjectKind,
    reason: String,
}

impl Definition {
    /// Reads a document of a kind.
    ///
    /// # Errors
    /// When a member is missing, of the wrong type or holds no valid value.
    pub fn parse(kind: ObjectKind, body: &Value) -> Result<Self, DefinitionError> {
        Self::read(kind, body).map_err(|reason| DefinitionError { kind, reason })
    }

    fn read(kind: ObjectKind, body: &Value) -> Result<Self, String> {
        Ok(match kind {
            ObjectKind::Policy => Self::Policy(wire::<PolicyDocument>(body)?.into_policy()),
            ObjectKind::CriteriaScript => Self::CriteriaScript(wire::<CriteriaDocument>(body)?.into_script()),
            ObjectKind::Condition => Self::Condition(wire::<ConditionDocument>(body)?.into_condition()?),
            ObjectKind::Entitlement => Self::Entitlement(wire::<EntitlementDocument>(body)?.into_entitlement()?),
            ObjectKind::EntitlementScript => {
                Self::EntitlementScript(wire::<EntitlementScriptDocument>(body)?.into_script())
            }
            ObjectKind::Site => Self::Site(wire::<SiteDocument>(body)?.into_site()?),
            ObjectKind::IdentityProvider => Self::IdentityProvider(wire::<ProviderDocument>(body)?.into_provider()),
            ObjectKind::LocalUser => Self::LocalUser(wire::<UserDocument>(body)?.into_user()),
            ObjectKind::UserScript => Self::UserScript(wire::<UserScriptDocument>(body)?.into_script()),
            ObjectKind::AdministrativeRole
            | ObjectKind::Appliance
            | ObjectKind::DeviceScript
            | ObjectKind::GlobalSettings
            | ObjectKind::IpPool
            | ObjectKind::MfaProvider
            | ObjectKind::RingfenceRule
            | ObjectKind::Secret
            | ObjectKind::TrustedCertificate => Self::Other,
        })
    }
}

fn wire<T: DeserializeOwned>(body: &Value) -> Result<T, String> {
    T::deserialize(body).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyDocument {
    id: PolicyId,
    name: String,
    #[serde(default)]
    disabled: bool,
    #[serde(default, rename = "type")]
    policy_type: PolicyTypeName,
    expression: String,
    #[serde(default)]
    entitlements: BTreeSet<EntitlementId>,
    #[serde(default)]
    entitlement_links: Vec<String>,
    #[serde(default)]
    override_site: Option<SiteId>,
    #[serde(default)]
    override_site_claim: Option<String>,
    #[serde(default)]
    administrative_roles: BTreeSet<AdministrativeRoleId>,
}

#[derive(Deserialize, Default, Clone, Copy)]
enum PolicyTypeName {
    Access,
    Device,
    Dns,
    Admin,
    #[default]
    Mixed,
    Stop,
}

impl PolicyDocument {
    fn into_policy(self) -> Policy {
        let claim_path = |path: String| {
            let parts: Vec<String> = path.split('.').skip(1).map(str::to_owned).collect();
            (path.starts_with("claims.") && !parts.is_empty()).then_some(parts)
        };
        Policy {
            id: self.id,
            name: self.name,
            disabled: self.disabled,
            policy_type: match self.policy_type {
                PolicyTypeName::Access => PolicyType::Access,
                PolicyTypeName::Device => PolicyType::Device,
                PolicyTypeName::Dns => PolicyType::Dns,
                PolicyTypeName::Admin => PolicyType::Admin,
                PolicyTypeName::Mixed => PolicyType::Mixed,
                PolicyTypeName::Stop => PolicyType::Stop,
            },
            expression: self.expression,
            entitlements: self.entitlements,
            entitlement_tags: lower(self.entitlement_links),
            override_site: self.override_site,
            override_site_claim: self.override_site_claim.and_then(claim_path),
            administrative_roles: self.administrative_roles,
        }
    }
}

fn lower(tags: Vec<String>) -> BTreeSet<String> {
    tags.into_iter().map(|tag| tag.to_lowercase()).collect()
}

#[derive(Deserialize)]
struct CriteriaDocument {
    id: CriteriaScriptId,
    name: String,
    expression: String,
}

impl CriteriaDocument {
    fn into_script(self) -> CriteriaScript {
        CriteriaScript { id: self.id, name: self.name, expression: self.expression }
    }
}

#[derive(Deserialize)]
struct UserScriptDocument {
    id: UserScriptId,
    name: String,
    expression: String,
}

impl UserScriptDocument {
    fn into_script(self) -> UserScript {
        UserScript { id: self.id, name: self.name, expression: self.expression }
    }
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum LogicName {
    #[default]
    And,
    Or,
}

impl From<LogicName> for Logic {
    fn from(name: LogicName) -> Self {
        match name {
            LogicName::And => Self::And,
            LogicName::Or => Self::Or,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConditionDocument {
    id: ConditionId,
    name: String,
    expression: String,
    #[serde(default)]
    repeat_schedules: Vec<String>,
    #[serde(default)]
    remedy_logic: LogicName,
    #[serde(default)]
    remedy_methods: Vec<RemedyDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemedyDocument {
    #[serde(rename = "type")]
    remedy_type: RemedyType,
    message: String,
    #[serde(default)]
    claim_suffix: Option<String>,
    /// Of an MFA provider or an identity provider, as the type has it.
    #[serde(default)]
    provider_id: Option<IdentityProviderId>,
}

#[derive(Deserialize, Clone, Copy)]
enum RemedyType {
    DisplayMessage,
    OtpAuthentication,
    PasswordAuthentication,
    Reason,
}

impl ConditionDocument {
    fn into_condition(self) -> Result<Condition, String> {
        let schedules = self
            .repeat_schedules
            .iter()
            .map(|text| parse_schedule(text).ok_or_else(|| format!("`{text}` is no schedule")));
        Ok(Condition {
            id: self.id,
            name: self.name,
            expression: self.expression,
            schedules: schedules.collect::<Result<_, _>>()?,
            remedy_logic: self.remedy_logic.into(),
            remedies: self.remedy_methods.into_iter().map(RemedyDocument::into_remedy).collect::<Result<_, _>>()?,
        })
    }
}

impl RemedyDocument {
    fn into_remedy(self) -> Result<Remedy, String> {
        let suffix = self.claim_suffix.ok_or_else(|| "claimSuffix is missing".to_owned());
        let ask = match self.remedy_type {
            RemedyType::DisplayMessage => RemedyAsk::DisplayMessage,
            RemedyType::OtpAuthentication => {
                let provider = self.provider_id.ok_or_else(|| "providerId is missing".to_owned())?;
                let suffix = suffix?;
                if provider.uuid() == TOTP_PROVIDER { RemedyAsk::Otp { suffix } } else { RemedyAsk::OtherFactor }
            }
            RemedyType::PasswordAuthentication => {
                let provider = self.provider_id.ok_or_else(|| "providerId is missing".to_owned())?;
                RemedyAsk::Password { suffix: suffix?, provider }
            }
            RemedyType::Reason => RemedyAsk::Reason { suffix: suffix? },
        };
        Ok(Remedy { message: self.message, ask })
    }
}

/// Reads one entry of `repeatSchedules`: `1m`, `5m`, `15m`, `1h`, or a time of day such as `13:32` or `2:10` (D 13).
pub fn parse_schedule(text: &str) -> Option<Schedule> {
    let minutes = |count: u64| Some(Schedule::Every(Duration::from_secs(count * 60)));
    match text {
        "1m" => minutes(1),
        "5m" => minutes(5),
        "15m" => minutes(15),
        "1h" => minutes(60),
        _ => {
            let (hours, minutes) = text.split_once(':')?;
            let digits = |part: &str, most: usize| {
                (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            let (hours, minutes): (u64, u64) = (digits(hours, 2) && digits(minutes, 2) && minutes.len() == 2)
                .then(|| Some((hours.parse().ok()?, minutes.parse().ok()?)))
                .flatten()?;
            (hours < 24 && minutes < 60).then(|| Schedule::DailyAt(Duration::from_secs((hours * 60 + minutes) * 60)))
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntitlementDocument {
    id: EntitlementId,
    name: String,
    #[serde(default)]
    disabled: bool,
    site: SiteId,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    conditions: BTreeSet<ConditionId>,
    #[serde(default)]
    condition_logic: LogicName,
    actions: Vec<ActionDocument>,
    #[serde(default)]
    app_shortcuts: Vec<Value>,
    #[serde(default)]
    app_shortcut_scripts: BTreeSet<EntitlementScriptId>,
}

#[derive(Deserialize)]
struct ActionDocument {
    action: EffectName,
    #[serde(default)]
    subtype: Option<String>,
    hosts: Vec<String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    methods: Vec<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum EffectName {
    Allow,
    Block,
    Alert,
    Exclude,
}

impl EntitlementDocument {
    fn into_entitlement(self) -> Result<Entitlement, String> {
        Ok(Entitlement {
            id: self.id,
            name: self.name,
            disabled: self.disabled,
            site: self.site,
            tags: lower(self.tags),
            conditions: self.conditions,
            condition_logic: self.condition_logic.into(),
            actions: self.actions.into_iter().map(ActionDocument::into_action).collect::<Result<_, _>>()?,
            app_shortcuts: self.app_shortcuts.iter().map(AppShortcut::parse).collect(),
            app_shortcut_scripts: self.app_shortcut_scripts,
        })
    }
}

impl ActionDocument {
    fn into_action(self) -> Result<Action, String> {
        let hosts = self
            .hosts
            .iter()
            .flat_map(|entry| host_entries(entry))
            .map(|text| HostSpec::parse(text).ok_or_else(|| format!("`{text}` is no host")));
        let hosts = hosts.collect::<Result<_, _>>()?;
        let effect = match self.action {
            EffectName::Allow => Effect::Allow,
            EffectName::Alert => Effect::Alert,
            EffectName::Block | EffectName::Exclude => Effect::Block,
        };
        let traffic = if self.action == EffectName::Exclude { Traffic::Exclude } else { self.traffic()? };
        Ok(Action { effect, traffic, hosts })
    }

    fn traffic(&self) -> Result<Traffic, String> {
        use Direction::{Down, Up};
        let subtype = self.subtype.as_deref().ok_or("subtype is missing")?;
        let ports = || parse_ranges(&self.ports);
        let types = || parse_ranges(&self.types);
        Ok(match subtype {
            "tcp_up" => Traffic::Tcp(Up, ports()?),
            "tcp_down" => Traffic::Tcp(Down, ports()?),
            "udp_up" => Traffic::Udp(Up, ports()?),
            "udp_down" => Traffic::Udp(Down, ports()?),
            "http_up" => Traffic::HttpUp(self.methods.clone()),
            "icmp_up" => Traffic::Icmp(Up, types()?),
            "icmp_down" => Traffic::Icmp(Down, types()?),
            "icmpv6_up" => Traffic::Icmpv6(Up, types()?),
            "icmpv6_down" => Traffic::Icmpv6(Down, types()?),
            "ah_up" => Traffic::Ah(Up),
            "ah_down" => Traffic::Ah(Down),
            "esp_up" => Traffic::Esp(Up),
            "esp_down" => Traffic::Esp(Down),
            "gre_up" => Traffic::Gre(Up),
            "gre_down" => Traffic::Gre(Down),
            other => return Err(format!("`{other}` is no subtype")),
        })
    }
}

/// The entries of a comma list of hosts. A resource in JSON form, such as `azure://{"lbs":"web"}`, is one entry with all its
/// commas.
pub fn host_entries(text: &str) -> impl Iterator<Item = &str> {
    let whole = text
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.contains(',') && rest.trim_start().starts_with('{'));
    text.split(if whole { '\0' } else { ',' }).map(str::trim)
}

fn parse_ranges(texts: &[String]) -> Result<Vec<PortSpec>, String> {
    let parse = |text: &str| {
        let text = text.trim();
        let script = text.strip_prefix("script://").filter(|name| engine::object::is_script_name(name));
        let spec = script
            .map(|name| PortSpec::Script(name.to_owned()))
            .or_else(|| PortRange::parse(text).map(PortSpec::Range));
        spec.ok_or_else(|| format!("`{text}` is no port"))
    };
    texts.iter().flat_map(|entry| entry.split(',')).map(parse).collect()
}

#[derive(Deserialize)]
struct EntitlementScriptDocument {
    id: EntitlementScriptId,
    name: String,
    #[serde(default, rename = "type")]
    script_type: ScriptTypeName,
    expression: String,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum ScriptTypeName {
    #[default]
    Host,
    PortOrType,
    AppShortcut,
}

impl EntitlementScriptDocument {
    fn into_script(self) -> EntitlementScript {
        EntitlementScript {
            id: self.id,
            name: self.name,
            script_type: match self.script_type {
                ScriptTypeName::Host => EntitlementScriptType::Host,
                ScriptTypeName::PortOrType => EntitlementScriptType::PortOrType,
                ScriptTypeName::AppShortcut => EntitlementScriptType::AppShortcut,
            },
            expression: self.expression,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entitlement_document_becomes_its_actions() {
        let body = json!({
            "id": "0f1d3ed5-8b2b-4f6f-9b6a-1d1f4a1c3c01", "name": "build servers",
            "site": "8a4add9e-0e99-4bb1-949c-c9faf9a49ad4", "conditions": ["ee7b7e6f-e904-4b4f-a5ec-b3bef040643e"],
            "actions": [{ "subtype": "tcp_up", "action": "allow", "type": "IpAccess", "hosts": ["script://team-hosts", "ci.example.com"], "ports": ["22", "443-445"] }]
        });
        let Ok(Definition::Entitlement(entitlement)) = Definition::parse(ObjectKind::Entitlement, &body) else {
            panic!("not read")
        };
        let range = |first, last| PortSpec::Range(PortRange::new(first, last).unwrap());
        assert_eq!(entitlement.actions[0].traffic, Traffic::Tcp(Direction::Up, vec![range(22, 22), range(443, 445)]));
        assert_eq!(
            entitlement.actions[0].hosts,
            [HostSpec::Script("team-hosts".into()), HostSpec::Name("ci.example.com".into())]
        );
    }

    #[test]
    fn schedules_are_intervals_or_times_of_day() {
        assert_eq!(parse_schedule("15m"), Some(Schedule::Every(Duration::from_secs(900))));
        assert_eq!(parse_schedule("2:10"), Some(Schedule::DailyAt(Duration::from_secs(7800))));
        for text in ["25:00", "24:00", "12:60", "2m", "1:5", "", ":", "-1:00"] {
            assert_eq!(parse_schedule(text), None, "{text}");
        }
    }
}
