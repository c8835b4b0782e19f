//! What bundles may hold, by kind: the members of the API's documents, which of them refer to other objects, which are
//! secrets, and what the API fills in when they are left out.
//!
//! The API skips members it does not know, so a mistyped `disabled` would open what its author meant to close. This
//! table is what refuses it. A default that is missing here costs an update without effect, never a wrong result.

use protocol::object::ObjectKind;

/// One member.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands::ctl) struct Member {
    /// Its name.
    pub(in crate::commands::ctl) name: &'static str,
    /// What it holds.
    pub(in crate::commands::ctl) shape: Shape,
    /// What the API fills in.
    pub(in crate::commands::ctl) default: Default,
}

/// What a member holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands::ctl) enum Shape {
    /// Anything; the API checks it.
    Any,
    /// A text; numbers are taken as text.
    Text,
    /// The source of a script; may be given as a file.
    Script,
    /// A text that is never shown again; may be given as a file.
    Secret,
    /// Base64 of a file's content, never shown again; given as a file.
    Content,
    /// The id of an object of the kind; may be given as its name.
    Reference(ObjectKind),
    /// The id of the provider that the remedy's `type` asks for; may be given as its name.
    RemedyProvider,
    /// A list.
    List(&'static Shape),
    /// Members.
    Object(&'static [Member]),
    /// Set by the API; skipped, so that what `get` shows can be applied.
    ReadOnly,
}

/// What the API fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands::ctl) enum Default {
    /// Nothing, false, zero, or something empty.
    Empty,
    /// True.
    True,
    /// A number.
    Number(i64),
    /// A text.
    Text(&'static str),
}

/// The members of a kind's documents.
pub(in crate::commands::ctl) fn members(kind: ObjectKind) -> [&'static [Member]; 2] {
    let own = match kind {
        ObjectKind::AdministrativeRole => ADMINISTRATIVE_ROLE,
        ObjectKind::Appliance => APPLIANCE,
        ObjectKind::Condition => CONDITION,
        ObjectKind::CriteriaScript | ObjectKind::UserScript => SCRIPT,
        ObjectKind::DeviceScript => DEVICE_SCRIPT,
        ObjectKind::Entitlement => ENTITLEMENT,
        ObjectKind::EntitlementScript => ENTITLEMENT_SCRIPT,
        ObjectKind::GlobalSettings => return [GLOBAL_SETTINGS, &[]],
        ObjectKind::IdentityProvider => IDENTITY_PROVIDER,
        ObjectKind::IpPool => IP_POOL,
        ObjectKind::LocalUser => LOCAL_USER,
        ObjectKind::MfaProvider => MFA_PROVIDER,
        ObjectKind::Policy => POLICY,
        ObjectKind::RingfenceRule => RINGFENCE_RULE,
        ObjectKind::Secret => SECRET,
        ObjectKind::Site => SITE,
        ObjectKind::TrustedCertificate => TRUSTED_CERTIFICATE,
    };
    [BASE, own]
}

/// Kinds in the order in which nothing refers to what comes later.
pub(in crate::commands::ctl) const ORDER: [ObjectKind; 18] = [
    ObjectKind::GlobalSettings,
    ObjectKind::Secret,
    ObjectKind::TrustedCertificate,
    ObjectKind::IpPool,
    ObjectKind::MfaProvider,
    ObjectKind::UserScript,
    ObjectKind::IdentityProvider,
    ObjectKind::CriteriaScript,
    ObjectKind::EntitlementScript,
    ObjectKind::DeviceScript,
    ObjectKind::Site,
    ObjectKind::Appliance,
    ObjectKind::Condition,
    ObjectKind::RingfenceRule,
    ObjectKind::AdministrativeRole,
    ObjectKind::Entitlement,
    ObjectKind::LocalUser,
    ObjectKind::Policy,
];

impl Member {
    const fn or(mut self, default: Default) -> Self {
        self.default = default;
        self
    }
}

const fn member(name: &'static str, shape: Shape) -> Member {
    Member { name, shape, default: Default::Empty }
}

const fn any(name: &'static str) -> Member {
    member(name, Shape::Any)
}

const fn text(name: &'static str) -> Member {
    member(name, Shape::Text)
}

const fn on(name: &'static str) -> Member {
    any(name).or(Default::True)
}

const fn number(name: &'static str, default: i64) -> Member {
    any(name).or(Default::Number(default))
}

const fn word(name: &'static str, default: &'static str) -> Member {
    text(name).or(Default::Text(default))
}

const fn read_only(name: &'static str) -> Member {
    member(name, Shape::ReadOnly)
}

const TEXTS: Shape = Shape::List(&Shape::Text);

const BASE: &[Member] =
    &[any("id"), text("name"), text("notes"), member("tags", TEXTS), read_only("created"), read_only("updated")];

const SCRIPT: &[Member] = &[member("expression", Shape::Script)];

const SECRET: &[Member] = &[member("secret", Shape::Secret), member("allowedOrigins", TEXTS)];

const TRUSTED_CERTIFICATE: &[Member] = &[text("pem"), read_only("details")];

const POLICY: &[Member] = &[
    any("disabled"),
    member("expression", Shape::Script),
    word("type", "Mixed"),
    member("entitlements", Shape::List(&Shape::Reference(ObjectKind::Entitlement))),
    member("entitlementLinks", TEXTS),
    member("ringfenceRules", Shape::List(&Shape::Reference(ObjectKind::RingfenceRule))),
    member("ringfenceRuleLinks", TEXTS),
    any("tamperProofing"),
    member("overrideSite", Shape::Reference(ObjectKind::Site)),
    text("overrideSiteClaim"),
    any("overrideNearestSite"),
    any("applyFallbackSite"),
    any("blockLocalDnsRequests"),
    any("proxyAutoConfig"),
    any("trustedNetworkCheck"),
    any("dnsSettings"),
    any("clientSettings"),
    any("clientProfileSettings"),
    text("customClientHelpUrl"),
    member("administrativeRoles", Shape::List(&Shape::Reference(ObjectKind::AdministrativeRole))),
];

const ENTITLEMENT: &[Member] = &[
    any("disabled"),
    member("site", Shape::Reference(ObjectKind::Site)),
    read_only("siteName"),
    text("riskSensitivity"),
    word("conditionLogic", "and"),
    member("conditions", Shape::List(&Shape::Reference(ObjectKind::Condition))),
    member("actions", Shape::List(&Shape::Object(ACTION))),
    member("appShortcuts", Shape::List(&Shape::Object(APP_SHORTCUT))),
    member("appShortcutScripts", Shape::List(&Shape::Reference(ObjectKind::EntitlementScript))),
];

const ACTION: &[Member] = &[
    text("subtype"),
    text("action"),
    member("hosts", TEXTS),
    member("ports", TEXTS),
    member("types", TEXTS),
    member("methods", TEXTS),
    member("monitor", Shape::Object(&[any("enabled"), number("timeout", 30)])),
];

const APP_SHORTCUT: &[Member] =
    &[text("name"), text("description"), text("url"), number("colorCode", 1), text("groupName")];

const CONDITION: &[Member] = &[
    member("expression", Shape::Script),
    member("repeatSchedules", TEXTS),
    word("remedyLogic", "and"),
    member("remedyMethods", Shape::List(&Shape::Object(REMEDY))),
];

const REMEDY: &[Member] =
    &[text("type"), text("message"), text("claimSuffix"), member("providerId", Shape::RemedyProvider)];

const ENTITLEMENT_SCRIPT: &[Member] = &[word("type", "host"), member("expression", Shape::Script)];

const DEVICE_SCRIPT: &[Member] = &[text("filename"), member("file", Shape::Content), read_only("checksumSha256")];

const ADMINISTRATIVE_ROLE: &[Member] = &[member("privileges", Shape::List(&Shape::Object(PRIVILEGE)))];

const PRIVILEGE: &[Member] = &[
    text("type"),
    text("target"),
    member("scope", Shape::Object(&[any("all"), member("ids", TEXTS), member("tags", TEXTS)])),
    member("defaultTags", TEXTS),
    member("functions", TEXTS),
];

const RINGFENCE_RULE: &[Member] = &[member("actions", Shape::List(&Shape::Object(RINGFENCE_ACTION)))];

const RINGFENCE_ACTION: &[Member] = &[
    text("protocol"),
    text("direction"),
    text("action"),
    member("hosts", TEXTS),
    member("ports", TEXTS),
    member("types", TEXTS),
];

const LOCAL_USER: &[Member] = &[
    text("firstName"),
    text("lastName"),
    member("password", Shape::Secret),
    text("email"),
    text("phone"),
    any("disabled"),
    read_only("failedLoginAttempts"),
    read_only("lockStart"),
];

const IDENTITY_PROVIDER: &[Member] = &[
    text("type"),
    member("ipPoolV4", Shape::Reference(ObjectKind::IpPool)),
    member("ipPoolV6", Shape::Reference(ObjectKind::IpPool)),
    member(
        "claimMappings",
        Shape::List(&Shape::Object(&[text("attributeName"), text("claimName"), any("list"), any("encrypt")])),
    ),
    member("userScripts", Shape::List(&Shape::Reference(ObjectKind::UserScript))),
    any("adminProvider"),
    member("onBoarding2FA", Shape::Object(ON_BOARDING)),
    any("inactivityTimeoutMinutes"),
    any("networkInactivityTimeoutEnabled"),
    any("enforceWindowsNetworkProfileAsDomain"),
    any("blockLocalDnsRequests"),
    any("onDemandClaimMappings"),
    number("deviceLimitPerUser", 100),
    member("dnsServers", TEXTS),
    member("dnsSearchDomains", TEXTS),
    number("userLockoutThreshold", 5),
    number("userLockoutDurationMinutes", 1),
    any("minPasswordLength"),
    any("hostnames"),
    any("port"),
    any("sslEnabled"),
    text("adminDistinguishedName"),
    member("adminPassword", Shape::Secret),
    text("baseDn"),
    text("objectClass"),
    text("userFilter"),
    word("usernameAttribute", "sAMAccountName"),
    word("membershipFilter", "(objectCategory=group)"),
    text("membershipBaseDn"),
    any("passwordWarning"),
    any("caCertificates"),
    read_only("caCertificatesDetails"),
    word("certificateUserAttribute", "userPrincipalName"),
    text("certificateAttribute"),
    any("skipX509ExternalChecks"),
    any("certificatePriorities"),
    member("sharedSecret", Shape::Secret),
    word("authenticationProtocol", "CHAP"),
    text("redirectUrl"),
    text("issuer"),
    text("audience"),
    any("providerCertificate"),
    member("decryptionKey", Shape::Secret),
    any("forceAuthn"),
    word("scope", "openid profile email offline_access"),
    any("google"),
];

const ON_BOARDING: &[Member] = &[
    member("mfaProviderId", Shape::Reference(ObjectKind::MfaProvider)),
    text("message"),
    word("claimSuffix", "onBoarding"),
    any("alwaysRequired"),
];

const MFA_PROVIDER: &[Member] = &[
    text("type"),
    word("inputType", "Masked"),
    any("hostnames"),
    number("port", 1812),
    member("sharedSecret", Shape::Secret),
    word("authenticationProtocol", "CHAP"),
    number("timeout", 6),
    word("mode", "Challenge"),
    any("useUserPassword"),
    member("challengeSharedSecret", Shape::Secret),
];

const SITE: &[Member] = &[
    text("shortName"),
    text("description"),
    any("geolocation"),
    member("networkSubnets", TEXTS),
    member("fallbackSite", Shape::Reference(ObjectKind::Site)),
    any("localSiteDetection"),
    any("useForNearestSiteSelection"),
    member("ipPoolMappings", Shape::List(&Shape::Object(POOL_MAPPING))),
    any("defaultGateway"),
    any("entitlementBasedRouting"),
    member("vpn", Shape::Object(VPN)),
    member("nameResolution", Shape::Object(NAME_RESOLUTION)),
    any("admitWithoutControllerSeconds"),
    any("keepWithoutControllerSeconds"),
];

const POOL_MAPPING: &[Member] = &[
    member("from", Shape::Reference(ObjectKind::IpPool)),
    member("to", Shape::Reference(ObjectKind::IpPool)),
    word("type", "Translation"),
];

const VPN: &[Member] = &[
    any("snat"),
    member("tls", Shape::Object(&[on("enabled"), word("version", "TLSv23")])),
    any("dtls"),
    any("routeVia"),
    any("urlAccessEnabled"),
    any("urlAccessP12s"),
    number("ipAccessLogIntervalSeconds", 120),
    any("logNatIpAndNatPort"),
];

const NAME_RESOLUTION: &[Member] = &[
    any("useHostsFile"),
    member("dnsResolvers", Shape::List(&Shape::Object(DNS_RESOLVER))),
    any("awsResolvers"),
    any("azureResolvers"),
    any("gcpResolvers"),
    any("esxResolvers"),
    any("illumioResolvers"),
    any("dnsForwarding"),
];

const DNS_RESOLVER: &[Member] = &[
    text("name"),
    number("updateInterval", 60),
    any("queryAAAA"),
    any("zonesTransfers"),
    number("defaultTtlSeconds", 300),
    member("servers", TEXTS),
    member("matchDomains", TEXTS),
    any("autoClientDns"),
];

const APPLIANCE: &[Member] = &[
    read_only("activated"),
    read_only("pendingCertificateRenewal"),
    read_only("version"),
    text("hostname"),
    member("site", Shape::Reference(ObjectKind::Site)),
    read_only("siteName"),
    any("customization"),
    member("clientInterface", Shape::Object(CLIENT_INTERFACE)),
    any("adminInterface"),
    any("networking"),
    any("ntp"),
    any("sshServer"),
    any("snmpServer"),
    any("healthcheckServer"),
    any("prometheusExporter"),
    any("ping"),
    any("logServer"),
    any("controller"),
    member("gateway", Shape::Object(GATEWAY)),
    any("metricsAggregator"),
    any("logForwarder"),
    any("connector"),
    any("rsyslogDestinations"),
    member("hostnameAliases", TEXTS),
];

const CLIENT_INTERFACE: &[Member] = &[
    any("proxyProtocol"),
    text("hostname"),
    text("localHostname"),
    number("httpsPort", 443),
    number("dtlsPort", 443),
    any("allowSources"),
    text("overrideSpaMode"),
];

const GATEWAY: &[Member] = &[
    any("enabled"),
    any("suspended"),
    member("vpn", Shape::Object(&[number("weight", 100), any("localWeight"), any("allowDestinations")])),
];

const IP_POOL: &[Member] = &[
    any("ipVersion6"),
    any("ranges"),
    any("excludedRanges"),
    number("leaseTimeDays", 30),
    read_only("total"),
    read_only("currentlyUsed"),
    read_only("reserved"),
];

const GLOBAL_SETTINGS: &[Member] = &[
    any("claimsTokenExpiration"),
    any("entitlementTokenExpiration"),
    any("administrationTokenExpiration"),
    any("vpnCertificateExpiration"),
    number("registeredDeviceExpirationDays", 90),
    word("spaMode", "TCP"),
    number("spaTimeWindowSeconds", 600),
    text("loginBannerMessage"),
    text("messageOfTheDay"),
    any("backupApiEnabled"),
    member("backupPassphrase", Shape::Secret),
    any("geoIpUpdates"),
    text("auditLogPersistenceMode"),
    text("profileHostname"),
    text("collectiveName"),
    read_only("collectiveId"),
];
