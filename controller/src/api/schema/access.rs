//! Fields of what decides about access: policies, entitlements, conditions, scripts, roles, ringfence rules (D 11 to 14,
//! 17, 22).

use engine::script::ScriptKind;
use protocol::object::ObjectKind;

use super::{
    Constant, FILLED, FREE, Field, HOST, ICMP_TYPES, ID, PORTS, Shape, Text, choice, filled, flag, list, number,
    object, reference, text,
};
use crate::api::privilege::{Action, Target};

pub(super) const POLICY: &[Field] = &[
    flag("disabled"),
    Field::new("expression", Shape::Script(ScriptKind::Policy)).required(),
    choice("type", &["Access", "Device", "Dns", "Admin", "Mixed", "Stop"], "Mixed"),
    list("entitlements", &Shape::Reference(ObjectKind::Entitlement)),
    list("entitlementLinks", &FILLED),
    list("ringfenceRules", &Shape::Reference(ObjectKind::RingfenceRule)),
    list("ringfenceRuleLinks", &FILLED),
    Field::new("tamperProofing", Shape::Bool),
    reference("overrideSite", ObjectKind::Site),
    Field::new("overrideSiteClaim", Shape::Text(Text::ClaimPath)),
    flag("overrideNearestSite"),
    flag("applyFallbackSite"),
    flag("blockLocalDnsRequests"),
    object("proxyAutoConfig", &[flag("enabled"), filled("url"), flag("persist")]),
    object("trustedNetworkCheck", &[flag("enabled"), filled("dnsSuffix")]),
    list("dnsSettings", &Shape::Object(DNS_SETTING)),
    object("clientSettings", CLIENT_SETTINGS),
    object("clientProfileSettings", &[flag("enabled"), list("profiles", &ID), flag("force")]),
    filled("customClientHelpUrl"),
    list("administrativeRoles", &Shape::Reference(ObjectKind::AdministrativeRole)),
];

const DNS_SETTING: &[Field] = &[
    filled("domain").required(),
    Field::new("servers", Shape::List(&Shape::Text(Text::DnsServer))).required(),
    flag("registerTunIpsToActiveDirectory"),
];

const CLIENT_SETTINGS: &[Field] = &[
    flag("enabled"),
    choice("entitlementsList", SHOW, "Show"),
    choice("attentionLevel", &["Show", "Low", "Medium", "High"], "Show"),
    choice("autoStart", SWITCH, "Show"),
    choice("addRemoveProfiles", SHOW, "Show"),
    choice("keepMeSignedIn", SWITCH, "Show"),
    choice("samlAutoSignIn", SWITCH, "Show"),
    choice("quit", SHOW, "Show"),
    choice("signOut", SHOW, "Show"),
    choice("suspend", SHOW, "Show"),
    choice("newUserOnboarding", SHOW, "Show"),
];

const SHOW: &[&str] = &["Show", "Hide"];
const SWITCH: &[&str] = &["Show", "Enabled", "Disabled"];

pub(super) const ENTITLEMENT: &[Field] = &[
    flag("disabled"),
    reference("site", ObjectKind::Site).required(),
    text("siteName").read_only(),
    Field::new("riskSensitivity", Shape::Choice(&["Low", "Medium", "High"])),
    choice("conditionLogic", LOGIC, "and"),
    Field::new("conditions", Shape::List(&Shape::Reference(ObjectKind::Condition))).required(),
    Field::new("actions", Shape::List(&Shape::Object(ACTION))).required(),
    list("appShortcuts", &Shape::Object(APP_SHORTCUT)),
    list("appShortcutScripts", &Shape::Reference(ObjectKind::EntitlementScript)),
];

const LOGIC: &[&str] = &["and", "or"];

const ACTION: &[Field] = &[
    Field::new("subtype", Shape::Choice(SUBTYPES)),
    Field::new("action", Shape::Choice(&["allow", "block", "alert", "exclude"])).required(),
    Field::new("hosts", Shape::List(&Shape::Text(Text::Hosts))).required(),
    Field::new("ports", Shape::List(&PORTS)),
    Field::new("types", Shape::List(&ICMP_TYPES)),
    Field::new("methods", Shape::List(&Shape::Choice(METHODS))),
    object("monitor", &[flag("enabled"), number("timeout", 1, 3600, 30)]),
];

const SUBTYPES: &[&str] = &[
    "icmp_up",
    "icmp_down",
    "icmpv6_up",
    "icmpv6_down",
    "udp_up",
    "udp_down",
    "tcp_up",
    "tcp_down",
    "ah_up",
    "ah_down",
    "esp_up",
    "esp_down",
    "gre_up",
    "gre_down",
    "http_up",
];

const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
];

const APP_SHORTCUT: &[Field] = &[
    filled("name").required(),
    text("description"),
    filled("url").required(),
    number("colorCode", 1, 20, 1),
    filled("groupName"),
];

pub(super) const CONDITION: &[Field] = &[
    Field::new("expression", Shape::Script(ScriptKind::Condition)).required(),
    list("repeatSchedules", &Shape::Text(Text::Schedule)),
    choice("remedyLogic", LOGIC, "and"),
    list("remedyMethods", &Shape::Object(REMEDY)),
];

const REMEDY: &[Field] = &[
    Field::new("type", Shape::Choice(&["DisplayMessage", "OtpAuthentication", "PasswordAuthentication", "Reason"]))
        .required(),
    filled("message").required(),
    filled("claimSuffix"),
    Field::new("providerId", ID),
];

pub(super) const CRITERIA_SCRIPT: &[Field] =
    &[Field::new("expression", Shape::Script(ScriptKind::Criteria)).required()];

pub(super) const USER_SCRIPT: &[Field] = &[Field::new("expression", Shape::Script(ScriptKind::UserClaim)).required()];

/// `allowedOrigins` is our own: where a script that names the secret may send requests to; empty means everywhere.
pub(super) const SECRET: &[Field] =
    &[filled("secret").required_secret(), list("allowedOrigins", &Shape::Text(Text::Origin))];

pub(super) const ENTITLEMENT_SCRIPT: &[Field] =
    &[choice("type", ENTITLEMENT_SCRIPT_TYPES, "host"), Field::new("expression", Shape::EntitlementScript).required()];

/// What an entitlement script may answer.
pub(crate) const ENTITLEMENT_SCRIPT_TYPES: &[&str] = &["host", "portOrType", "appShortcut"];

pub(super) const DEVICE_SCRIPT: &[Field] = &[
    filled("filename").required(),
    Field::new("file", Shape::Text(Text::Base64)).required_secret(),
    text("checksumSha256").read_only(),
];

pub(super) const ADMINISTRATIVE_ROLE: &[Field] =
    &[Field::new("privileges", Shape::List(&Shape::Object(PRIVILEGE))).required()];

const PRIVILEGE: &[Field] = &[
    Field::new("type", Shape::Choice(Action::NAMES)).required(),
    Field::new("target", Shape::Choice(Target::NAMES)).required(),
    object("scope", &[flag("all"), list("ids", &ID), list("tags", &FILLED)]),
    Field::new("defaultTags", Shape::List(&FILLED)),
    Field::new("functions", Shape::List(&Shape::Choice(FUNCTIONS))),
];

const FUNCTIONS: &[&str] =
    &["Controller", "Gateway", "LogServer", "LogForwarder", "Connector", "Portal", "Metrics Aggregator"];

pub(super) const RINGFENCE_RULE: &[Field] =
    &[Field::new("actions", Shape::List(&Shape::Object(RINGFENCE_ACTION))).required()];

const RINGFENCE_ACTION: &[Field] = &[
    Field::new("protocol", Shape::Choice(&["icmp", "icmpv6", "udp", "tcp"])).required(),
    Field::new("direction", Shape::Choice(&["up", "down", "out", "in"])).required(),
    Field::new("action", Shape::Choice(&["allow", "block"])).required(),
    Field::new("hosts", Shape::List(&HOST)).required(),
    Field::new("ports", Shape::List(&FREE)).or(Constant::Texts(&[])),
    Field::new("types", Shape::List(&FREE)).or(Constant::Texts(&[])),
];
