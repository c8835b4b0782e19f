//! The objects an administrator configures, as the decision code needs them.
//!
//! The wire forms stand in `protocol`; these hold only valid values. Fields that nothing decides by stay in the stored
//! document and are not repeated here.

mod shortcut;

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;

use crate::id::{
    AdministrativeRoleId, ConditionId, CriteriaScriptId, EntitlementId, EntitlementScriptId, IdentityProviderId,
    LocalUserId, PolicyId, SiteId, UserScriptId,
};

pub use shortcut::{AppShortcut, BadShortcut, steers_display};

/// Who gets what (D 11): an expression, and what its match grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Id.
    pub id: PolicyId,
    /// Name, as shown in reasons.
    pub name: String,
    /// Disabled policies are skipped.
    pub disabled: bool,
    /// What the policy may do; `Stop` ends the authorization.
    pub policy_type: PolicyType,
    /// Boolean script.
    pub expression: String,
    /// Entitlements granted by id.
    pub entitlements: BTreeSet<EntitlementId>,
    /// Entitlements granted by tag; tags are compared without case.
    pub entitlement_tags: BTreeSet<String>,
    /// All entitlements of this policy move to this Site.
    pub override_site: Option<SiteId>,
    /// Path of a claim that holds a Site id, without the leading `claims`.
    pub override_site_claim: Option<Vec<String>>,
    /// Admin rights granted.
    pub administrative_roles: BTreeSet<AdministrativeRoleId>,
}

/// The type of a policy (D 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyType {
    /// Entitlements and Site overrides.
    Access,
    /// Settings of the device.
    Device,
    /// DNS settings and what makes them reachable.
    Dns,
    /// Administrative roles.
    Admin,
    /// Anything except stopping.
    Mixed,
    /// A match refuses the authorization.
    Stop,
}

/// A reusable boolean that policies call by name (D 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriteriaScript {
    /// Id.
    pub id: CriteriaScriptId,
    /// Name; a JavaScript identifier.
    pub name: String,
    /// Boolean script.
    pub expression: String,
}

/// Network actions on one Site plus conditions (D 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Id.
    pub id: EntitlementId,
    /// Name, as shown in rules and reasons.
    pub name: String,
    /// Disabled entitlements are dropped at authorization and yield no rules.
    pub disabled: bool,
    /// Site the actions apply on, unless a policy moves it.
    pub site: SiteId,
    /// Tags in lower case, as policies refer to them.
    pub tags: BTreeSet<String>,
    /// Conditions; an entitlement without any never allows (D 35, 21).
    pub conditions: BTreeSet<ConditionId>,
    /// Whether all conditions must hold or one.
    pub condition_logic: Logic,
    /// Actions in the stored order; their position is part of their name.
    pub actions: Vec<Action>,
    /// What clients show as applications; one that cannot be shown says why.
    pub app_shortcuts: Vec<Result<AppShortcut, BadShortcut>>,
    /// Scripts that answer more of them.
    pub app_shortcut_scripts: BTreeSet<EntitlementScriptId>,
}

/// How several answers combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logic {
    /// All must be true.
    And,
    /// One must be true.
    Or,
}

/// One network action of an entitlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What happens to a packet that matches.
    pub effect: Effect,
    /// Which packets can match at all.
    pub traffic: Traffic,
    /// Hosts in the stored order.
    pub hosts: Vec<HostSpec>,
}

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Drops.
    Block,
    /// Drops and raises an alert record (D 35, 6).
    Alert,
    /// Permits while the conditions hold.
    Allow,
}

/// Protocol, direction and ports or types of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// TCP with destination ports.
    Tcp(Direction, Vec<PortSpec>),
    /// UDP with destination ports.
    Udp(Direction, Vec<PortSpec>),
    /// HTTP through the URL access proxy; the methods, empty for all.
    HttpUp(Vec<String>),
    /// ICMP types.
    Icmp(Direction, Vec<PortSpec>),
    /// ICMPv6 types.
    Icmpv6(Direction, Vec<PortSpec>),
    /// IPsec authentication header.
    Ah(Direction),
    /// IPsec encapsulating payload.
    Esp(Direction),
    /// Generic routing encapsulation.
    Gre(Direction),
    /// Only removes routes in the client; has no effect on rules.
    Exclude,
}

/// Direction of a flow's first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the user's device to a protected host.
    Up,
    /// From a protected host to the user's device.
    Down,
}

/// A port or ICMP type range, or a script that answers some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortSpec {
    /// An inclusive range.
    Range(PortRange),
    /// `script://name`.
    Script(String),
}

/// An inclusive range of ports or ICMP types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// A range; `None` when it ends before it starts.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// Reads `80` or `1024-65535`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |part: &str| {
            let part = part.trim();
            (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
        };
        match text.split_once('-') {
            Some((first, last)) => Self::new(number(first)?, number(last)?),
            None => number(text).map(|port| Self { first: port, last: port }),
        }
    }

    /// First port of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Last port of the range.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports lie in the range.
    pub fn size(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }

    /// Whether the port lies in the range.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// One host entry of an action (D 12.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostSpec {
    /// An address or a network.
    Net(IpNet),
    /// A name for the Site's DNS resolvers; also `dns://` and `idns://`.
    Name(String),
    /// `script://name`; what the script answers re-enters this table.
    Script(String),
    /// A form this version stores but does not resolve; yields no rule and says so.
    Unresolved(String),
}

impl HostSpec {
    /// Reads one entry; `None` for text that no form of the table fits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(net) = text.parse::<IpNet>() {
            return Some(Self::Net(net.trunc()));
        }
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Some(Self::Net(address.into()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return is_host_name(text).then(|| Self::Name(text.to_ascii_lowercase()));
        };
        match scheme {
            "script" => is_script_name(rest).then(|| Self::Script(rest.to_owned())),
            "dns" | "idns" => is_host_name(rest).then(|| Self::Name(rest.to_ascii_lowercase())),
            "domain" | "http" | "https" | "aws" | "azure" | "gcp" | "esx" | "illumio" => {
                (!rest.is_empty()).then(|| Self::Unresolved(text.to_owned()))
            }
            _ => None,
        }
    }
}

/// Whether the text may be an entitlement script's name: lower-case letters, digits, `_` and `-` (D 8).
pub fn is_script_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

fn is_host_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // A name whose last label is all digits is a mistyped address, never a name.
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= 253 && !last_is_number && name.split('.').all(label)
}

/// A boolean asked on the gateway while the access is used (D 13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Id.
    pub id: ConditionId,
    /// Name, as shown in reasons.
    pub name: String,
    /// Boolean script.
    pub expression: String,
    /// When it is asked again without any other cause.
    pub schedules: Vec<Schedule>,
    /// How several remedies combine.
    pub remedy_logic: Logic,
    /// What the user can do about a false answer, in the order shown.
    pub remedies: Vec<Remedy>,
}

/// One entry of a condition's `repeatSchedules`; both forms are aligned to the clock (D 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// At every multiple of the interval.
    Every(Duration),
    /// Every day at a time of day, counted from midnight UTC.
    DailyAt(Duration),
}

/// What the user can do about a false condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// Text for the user.
    pub message: String,
    /// What is asked of the user.
    pub ask: RemedyAsk,
}

/// What a remedy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemedyAsk {
    /// Shows the message, asks nothing.
    DisplayMessage,
    /// A time-based one-time code, remembered under the suffix.
    Otp { suffix: String },
    /// Proof for an MFA provider that nothing here can ask. It is shown and never answered.
    OtherFactor,
    /// The user's password at an identity provider, remembered under the suffix.
    Password { suffix: String, provider: IdentityProviderId },
    /// A free text, remembered under the suffix.
    Reason { suffix: String },
}

/// A script that answers hosts, ports or shortcuts on the gateway (D 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitlementScript {
    /// Id.
    pub id: EntitlementScriptId,
    /// Name, as used in `script://name`.
    pub name: String,
    /// What it must answer.
    pub script_type: EntitlementScriptType,
    /// The script.
    pub expression: String,
}

/// What an entitlement script answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntitlementScriptType {
    /// Host strings.
    Host,
    /// Ports or ICMP types.
    PortOrType,
    /// Shortcut objects.
    AppShortcut,
}

/// A script that adds claims about a user at every authorization (D 8, D 14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserScript {
    /// Id.
    pub id: UserScriptId,
    /// Name.
    pub name: String,
    /// The body of a function that answers an object.
    pub expression: String,
}

/// A group of gateways in front of the same protected networks (D 15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Id.
    pub id: SiteId,
    /// Name.
    pub name: String,
    /// Whether names are also looked up in the gateway's hosts file.
    pub use_hosts_file: bool,
    /// Name resolvers, tried in order.
    pub dns_resolvers: Vec<DnsResolver>,
    /// How long gateways admit without hearing a controller; `None` means until the tokens expire.
    pub admit_without_controller: Option<Duration>,
    /// How long gateways keep sessions without hearing a controller; `None` means until the tokens expire.
    pub keep_without_controller: Option<Duration>,
}

/// One DNS resolver of a Site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsResolver {
    /// Name.
    pub name: String,
    /// Servers; empty means those of the appliance.
    pub servers: Vec<std::net::SocketAddr>,
    /// Domains it answers for; empty means every name.
    pub match_domains: Vec<String>,
    /// How often names are looked up again.
    pub update_interval: Duration,
    /// Whether IPv6 addresses are asked for.
    pub query_aaaa: bool,
}

/// Where users are verified and where user claims come from (D 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Id.
    pub id: IdentityProviderId,
    /// Name; part of every distinguished name.
    pub name: String,
    /// What kind of provider.
    pub provider_type: IdentityProviderType,
    /// Whether it is offered for admin sign-in.
    pub admin_provider: bool,
    /// Consecutive failures that lock a user.
    pub lockout_threshold: u32,
    /// How long a lock holds.
    pub lockout_duration: Duration,
    /// Attributes that become claims.
    pub claim_mappings: Vec<ClaimMapping>,
    /// User-claim scripts that run at every authorization, in this order.
    pub user_scripts: Vec<UserScriptId>,
    /// What devices of its users are asked for beside the built-in claims.
    pub on_demand: Vec<OnDemandMapping>,
    /// Most devices one user may register.
    pub device_limit: u32,
}

/// One device claim that is found out by a command on the device (D 19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDemandMapping {
    /// Name of the device claim.
    pub claim: String,
    /// Platforms it is meant for.
    pub platform: String,
    /// What to do.
    pub command: String,
    /// Process, service or device script, by name.
    pub name: Option<String>,
    /// File.
    pub path: Option<String>,
    /// Arguments of a script.
    pub args: Option<String>,
}

/// The kinds of identity provider this version signs users in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityProviderType {
    /// Users of the built-in database.
    LocalDatabase,
    /// Service users of the built-in database.
    ServiceDatabase,
    /// Connectors.
    Connector,
    /// A kind that is stored but cannot sign anybody in here.
    External,
}

/// One attribute that becomes a user claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMapping {
    /// Attribute of the provider.
    pub attribute: String,
    /// Name of the claim.
    pub claim: String,
    /// Whether the claim is always a list.
    pub list: bool,
    /// Whether only controllers and gateways may read it in the token.
    pub encrypt: bool,
}

/// A user of the built-in database (D 21). The password hash stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// Id.
    pub id: LocalUserId,
    /// User name.
    pub name: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Disabled users cannot sign in or renew.
    pub disabled: bool,
    /// Tags, as claims see them.
    pub tags: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_host(text: &str, expected: Option<HostSpec>) {
        assert_eq!(HostSpec::parse(text), expected);
    }

    #[test]
    fn host_forms() {
        check_host("10.0.0.1", Some(HostSpec::Net("10.0.0.1/32".parse().unwrap())));
        check_host("10.0.0.9/24", Some(HostSpec::Net("10.0.0.0/24".parse().unwrap())));
        check_host("fd00::1", Some(HostSpec::Net("fd00::1/128".parse().unwrap())));
        check_host("CI.example.com", Some(HostSpec::Name("ci.example.com".into())));
        check_host("dns://ci.example.com", Some(HostSpec::Name("ci.example.com".into())));
        check_host("script://team-hosts", Some(HostSpec::Script("team-hosts".into())));
        check_host(
            "aws://tag:Application=Software",
            Some(HostSpec::Unresolved("aws://tag:Application=Software".into())),
        );
        check_host("10.0.0.300", None);
        check_host("script://Bad Name", None);
        check_host("ftp://x", None);
        check_host("", None);
        check_host("-a.example.com", None);
    }

    #[test]
    fn port_ranges() {
        assert_eq!(PortRange::parse("80"), PortRange::new(80, 80));
        assert_eq!(PortRange::parse("1024-65535"), PortRange::new(1024, 65535));
        for text in ["", "-", "65536", "5-4", "+5", "1-2-3", "x"] {
            assert_eq!(PortRange::parse(text), None, "{text}");
        }
    }
}
