//! Fields of who signs in and how: identity providers, local users, MFA providers (D 19 to 21).

use protocol::object::ObjectKind;

use super::{
    ADDRESS, BASE, Constant, FILLED, FREE, Field, HOST, Shape, choice, filled, flag, list, number, object, reference,
    text,
};

pub(super) const LOCAL_USER: &[Field] = &[
    filled("firstName").required(),
    filled("lastName").required(),
    filled("password").required_secret(),
    filled("email"),
    filled("phone"),
    flag("disabled"),
    Field::new("failedLoginAttempts", Shape::Integer(0, i64::MAX)).read_only(),
    text("lockStart").read_only(),
];

/// The fields of an identity provider of a type.
pub(super) fn provider_fields(provider_type: Option<&str>) -> &'static [&'static [Field]] {
    match provider_type {
        Some("LocalDatabase") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, LOCAL],
        Some("ServiceDatabase") => &[BASE, PROVIDER, DEVICE_LIMIT, DNS, LOCAL],
        Some("Ldap") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, LDAP],
        Some("LdapCertificate") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, LDAP, CERTIFICATE],
        Some("Radius") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, RADIUS],
        Some("Saml") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, SAML],
        Some("Oidc") => &[BASE, PROVIDER, CONFIGURABLE, DEVICE_LIMIT, DNS, OIDC],
        _ => &[BASE, PROVIDER],
    }
}

const PROVIDER: &[Field] = &[
    Field::new("type", Shape::Choice(PROVIDER_TYPES)).required(),
    reference("ipPoolV4", ObjectKind::IpPool),
    reference("ipPoolV6", ObjectKind::IpPool),
    list("claimMappings", &Shape::Object(CLAIM_MAPPING)),
    list("userScripts", &Shape::Reference(ObjectKind::UserScript)),
];

const PROVIDER_TYPES: &[&str] =
    &["LocalDatabase", "ServiceDatabase", "Ldap", "LdapCertificate", "Radius", "Saml", "Connector", "Oidc"];

const CLAIM_MAPPING: &[Field] =
    &[filled("attributeName").required(), filled("claimName").required(), flag("list"), flag("encrypt")];

const CONFIGURABLE: &[Field] = &[
    flag("adminProvider"),
    object(
        "onBoarding2FA",
        &[
            reference("mfaProviderId", ObjectKind::MfaProvider).required(),
            text("message"),
            Field::new("claimSuffix", FILLED).or(Constant::Text("onBoarding")),
            flag("alwaysRequired"),
        ],
    ),
    number("inactivityTimeoutMinutes", 0, 525_600, 0),
    flag("networkInactivityTimeoutEnabled"),
    flag("enforceWindowsNetworkProfileAsDomain"),
    flag("blockLocalDnsRequests"),
    list("onDemandClaimMappings", &Shape::Object(ON_DEMAND)),
];

const ON_DEMAND: &[Field] = &[
    Field::new("command", Shape::Choice(COMMANDS)).required(),
    filled("claimName").required(),
    object("parameters", &[filled("name"), filled("path"), text("args")]),
    Field::new("platform", Shape::Choice(PLATFORMS)).required(),
];

const COMMANDS: &[&str] = &[
    "fileSize",
    "fileExists",
    "fileCreated",
    "fileUpdated",
    "fileVersion",
    "fileSha512",
    "processRunning",
    "processList",
    "serviceRunning",
    "serviceList",
    "regExists",
    "regQuery",
    "runScript",
];

const PLATFORMS: &[&str] = &[
    "desktop.windows.all",
    "desktop.macos.all",
    "desktop.linux.all",
    "desktop.all",
    "mobile.android.all",
    "mobile.ios.all",
    "mobile.all",
    "all",
];

const DEVICE_LIMIT: &[Field] = &[number("deviceLimitPerUser", 0, 1_000_000, 100)];

const DNS: &[Field] = &[list("dnsServers", &ADDRESS), list("dnsSearchDomains", &FILLED)];

const LOCAL: &[Field] = &[
    number("userLockoutThreshold", 1, 1000, 5),
    number("userLockoutDurationMinutes", 0, 525_600, 1),
    number("minPasswordLength", 0, 128, 0),
];

const LDAP: &[Field] = &[
    Field::new("hostnames", Shape::List(&HOST)).required(),
    Field::new("port", Shape::Integer(1, 65_535)).required(),
    flag("sslEnabled"),
    filled("adminDistinguishedName").required(),
    filled("adminPassword").required_secret(),
    text("baseDn"),
    text("objectClass"),
    text("userFilter"),
    Field::new("usernameAttribute", FILLED).or(Constant::Text("sAMAccountName")),
    Field::new("membershipFilter", FILLED).or(Constant::Text("(objectCategory=group)")),
    text("membershipBaseDn"),
    object("passwordWarning", &[flag("enabled"), number("thresholdDays", 0, 3650, 5), text("message")]),
];

const CERTIFICATE: &[Field] = &[
    Field::new("caCertificates", Shape::List(&FILLED)).required(),
    Field::new("caCertificatesDetails", Shape::List(&FREE)).read_only(),
    Field::new("certificateUserAttribute", FILLED).or(Constant::Text("userPrincipalName")),
    filled("certificateAttribute"),
    flag("skipX509ExternalChecks"),
    list(
        "certificatePriorities",
        &Shape::Object(&[choice("type", &["Template", "Issuer"], "Template"), filled("value").required()]),
    ),
];

const RADIUS: &[Field] = &[
    Field::new("hostnames", Shape::List(&HOST)).required(),
    number("port", 1, 65_535, 1812),
    filled("sharedSecret").required_secret(),
    choice("authenticationProtocol", PROTOCOLS, "CHAP"),
];

const PROTOCOLS: &[&str] = &["PAP", "CHAP"];

const SAML: &[Field] = &[
    filled("redirectUrl").required(),
    filled("issuer").required(),
    filled("audience").required(),
    filled("providerCertificate").required(),
    filled("decryptionKey").secret(),
    flag("forceAuthn"),
];

const OIDC: &[Field] = &[
    filled("issuer").required(),
    filled("audience").required(),
    Field::new("scope", FILLED).or(Constant::Text("openid profile email offline_access")),
    object("google", &[flag("enabled"), filled("clientSecret").secret(), flag("refreshToken")]),
];

/// The fields of an MFA provider of a type.
pub(super) fn mfa_fields(provider_type: Option<&str>) -> &'static [&'static [Field]] {
    match provider_type {
        Some("Radius") => &[BASE, MFA, MFA_RADIUS],
        _ => &[BASE, MFA],
    }
}

const MFA: &[Field] = &[
    Field::new("type", Shape::Choice(&["Radius", "DefaultTimeBased", "Fido2"])).required(),
    choice("inputType", &["Masked", "Numeric", "Text"], "Masked"),
];

const MFA_RADIUS: &[Field] = &[
    Field::new("hostnames", Shape::List(&HOST)).required(),
    number("port", 1, 65_535, 1812),
    filled("sharedSecret").required_secret(),
    choice("authenticationProtocol", PROTOCOLS, "CHAP"),
    number("timeout", 1, 120, 6),
    choice("mode", &["OneFactor", "Challenge", "Push"], "Challenge"),
    flag("useUserPassword"),
    filled("challengeSharedSecret").secret(),
];
