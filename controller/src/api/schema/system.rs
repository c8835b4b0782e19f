//! Fields of the collective itself: Sites, appliances, address pools, global settings (D 15, 16, 25, 26).

use protocol::object::ObjectKind;

use super::{
    ADDRESS, Constant, FILLED, Field, HOST, ID, NETWORK, Shape, Text, choice, filled, flag, flag_on, list, number,
    object, reference, text,
};

pub(super) const SITE: &[Field] = &[
    text("shortName"),
    text("description"),
    object(
        "geolocation",
        &[
            Field::new("latitude", Shape::Number(-90, 90)).required(),
            Field::new("longitude", Shape::Number(-180, 180)).required(),
        ],
    ),
    list("networkSubnets", &NETWORK),
    reference("fallbackSite", ObjectKind::Site),
    object("localSiteDetection", &[flag("enabled"), list("publicIps", &NETWORK)]),
    flag("useForNearestSiteSelection"),
    list(
        "ipPoolMappings",
        &Shape::Object(&[
            reference("from", ObjectKind::IpPool).required(),
            reference("to", ObjectKind::IpPool).required(),
            choice("type", &["Translation", "Allocation"], "Translation"),
        ]),
    ),
    object("defaultGateway", &[flag("enabledV4"), flag("enabledV6"), list("excludedSubnets", &NETWORK)])
        .or(Constant::Object),
    flag("entitlementBasedRouting"),
    object("vpn", VPN).or(Constant::Object),
    object("nameResolution", NAME_RESOLUTION).or(Constant::Object),
    // Our own: how long gateways of the Site admit and keep sessions without hearing a controller (promise 7).
    Field::new("admitWithoutControllerSeconds", Shape::Integer(0, 31_536_000)),
    Field::new("keepWithoutControllerSeconds", Shape::Integer(0, 31_536_000)),
];

const VPN: &[Field] = &[
    flag("snat"),
    object("tls", &[flag_on("enabled"), choice("version", &["TLSv1.2", "TLSv1.3", "TLSv23"], "TLSv23")])
        .or(Constant::Object),
    object("dtls", &[flag("enabled")]).or(Constant::Object),
    object("routeVia", &[Field::new("ipv4", ADDRESS), Field::new("ipv6", ADDRESS)]),
    flag("urlAccessEnabled"),
    list(
        "urlAccessP12s",
        &Shape::Object(&[
            Field::new("id", ID),
            Field::new("content", Shape::Text(Text::Base64)).secret(),
            text("password").secret(),
            text("subjectName").read_only(),
            flag_on("verifyUpstream"),
        ]),
    ),
    number("ipAccessLogIntervalSeconds", 0, 86_400, 120),
    flag("logNatIpAndNatPort"),
];

const NAME_RESOLUTION: &[Field] = &[
    flag("useHostsFile"),
    list(
        "dnsResolvers",
        &Shape::Object(&[
            filled("name").required(),
            UPDATE_INTERVAL,
            flag("queryAAAA"),
            flag("zonesTransfers"),
            number("defaultTtlSeconds", 1, 86_400, 300),
            list("servers", &Shape::Text(Text::DnsServer)),
            list("matchDomains", &FILLED),
            flag("autoClientDns"),
        ]),
    ),
    list("awsResolvers", &Shape::Object(AWS)),
    list(
        "azureResolvers",
        &Shape::Object(&[
            filled("name").required(),
            UPDATE_INTERVAL,
            flag("useManagedIdentities"),
            filled("tenantId"),
            filled("clientId"),
            filled("secret").secret(),
            list("subscriptionIds", &FILLED),
            filled("subscriptionId"),
            flag("subscriptionIdAutoDiscovery"),
        ]),
    ),
    list(
        "gcpResolvers",
        &Shape::Object(&[
            filled("name").required(),
            UPDATE_INTERVAL,
            filled("projectFilter"),
            filled("instanceFilter"),
            filled("forwardingRulesFilter"),
        ]),
    ),
    list(
        "esxResolvers",
        &Shape::Object(&[
            filled("name").required(),
            UPDATE_INTERVAL,
            filled("hostname").required(),
            filled("username").required(),
            filled("password").required_secret(),
        ]),
    ),
    list(
        "illumioResolvers",
        &Shape::Object(&[
            filled("name").required(),
            UPDATE_INTERVAL,
            filled("orgId").required(),
            filled("hostname").required(),
            Field::new("port", PORT).required(),
            filled("username").required(),
            filled("password").required_secret(),
        ]),
    ),
    object(
        "dnsForwarding",
        &[
            Field::new("siteIpv4", ADDRESS),
            Field::new("siteIpv6", ADDRESS),
            list("dnsServers", &ADDRESS),
            Field::new(
                "allowDestinations",
                Shape::List(&Shape::Object(&[Field::new("address", ADDRESS).required(), NETMASK.required()])),
            )
            .required(),
            number("defaultTtlSeconds", 1, 86_400, 300),
            list("matchDomains", &FILLED),
            flag("autoClientDns"),
        ],
    ),
];

const AWS: &[Field] = &[
    filled("name").required(),
    UPDATE_INTERVAL,
    list("vpcs", &FILLED),
    flag("vpcAutoDiscovery"),
    list("regions", &FILLED),
    flag("useIAMRole"),
    filled("accessKeyId"),
    filled("secretAccessKey").secret(),
    filled("httpsProxy"),
    flag("resolveWithMasterCredentials"),
    Field::new("partition", FILLED).or(Constant::Text("aws")),
    flag_on("ec2"),
    flag("apiGateway"),
    flag("eks"),
    flag("rds"),
    list(
        "assumedRoles",
        &Shape::Object(&[filled("accountId"), filled("roleName"), filled("externalId"), list("regions", &FILLED)]),
    ),
];

const UPDATE_INTERVAL: Field = number("updateInterval", 1, 86_400, 60);
const NETMASK: Field = Field::new("netmask", Shape::Integer(0, 128));
const PORT: Shape = Shape::Integer(1, 65_535);

pub(super) const APPLIANCE: &[Field] = &[
    Field::new("activated", Shape::Bool).read_only(),
    Field::new("pendingCertificateRenewal", Shape::Bool).read_only(),
    Field::new("version", Shape::Integer(0, i64::MAX)).read_only(),
    Field::new("hostname", HOST).required(),
    reference("site", ObjectKind::Site),
    text("siteName").read_only(),
    Field::new("customization", ID),
    object(
        "clientInterface",
        &[
            flag("proxyProtocol"),
            Field::new("hostname", HOST).required(),
            Field::new("localHostname", HOST),
            number("httpsPort", 1, 65_535, 443),
            number("dtlsPort", 1, 65_535, 443),
            ALLOW_SOURCES,
            Field::new("overrideSpaMode", Shape::Choice(SPA_MODES)),
        ],
    )
    .required(),
    object(
        "adminInterface",
        &[
            Field::new("hostname", HOST).required(),
            number("httpsPort", 1, 65_535, 8443),
            Field::new("httpsCiphers", Shape::List(&FILLED)).or(Constant::Texts(&[
                "TLS13-AES256-GCM-SHA384",
                "ECDHE-RSA-AES256-GCM-SHA384",
                "ECDHE-RSA-AES128-GCM-SHA256",
            ])),
            ALLOW_SOURCES,
            object("httpsP12", P12),
        ],
    ),
    object("networking", NETWORKING).required(),
    object(
        "ntp",
        &[list(
            "servers",
            &Shape::Object(&[
                Field::new("hostname", HOST).required(),
                Field::new("keyType", Shape::Choice(&["MD5", "SHA", "SHA1", "SHA256", "SHA512", "RMD160"])),
                Field::new("keyNo", Shape::Integer(0, 65_535)),
                filled("key").secret(),
            ]),
        )],
    ),
    object(
        "sshServer",
        &[flag("enabled"), number("port", 1, 65_535, 22), ALLOW_SOURCES, flag_on("passwordAuthentication")],
    ),
    object(
        "snmpServer",
        &[flag("enabled"), Field::new("tcpPort", PORT), Field::new("udpPort", PORT), text("snmpd.conf"), ALLOW_SOURCES],
    ),
    object("healthcheckServer", &[flag("enabled"), number("port", 1, 65_535, 5555), ALLOW_SOURCES]),
    object("prometheusExporter", PROMETHEUS),
    object("ping", &[ALLOW_SOURCES]),
    object("logServer", &[flag("enabled"), number("retentionDays", 1, 3650, 30)]),
    object("controller", &[flag("enabled")]).or(Constant::Object),
    // `pinSourceAddress` is our own: whether the gateway may only come from the address it enrolled from.
    object(
        "gateway",
        &[
            flag("enabled"),
            flag("suspended"),
            flag_on("pinSourceAddress"),
            object(
                "vpn",
                &[
                    number("weight", 0, 1000, 100),
                    Field::new("localWeight", Shape::Integer(0, 1000)),
                    list(
                        "allowDestinations",
                        &Shape::Object(&[Field::new("address", ADDRESS), NETMASK, Field::new("nic", FILLED)]),
                    ),
                ],
            )
            .or(Constant::Object),
        ],
    )
    .or(Constant::Object),
    object("metricsAggregator", &[flag("enabled"), object("prometheusExporter", PROMETHEUS), SITES]),
    object("logForwarder", LOG_FORWARDER),
    object(
        "connector",
        &[
            flag("enabled"),
            list(
                "expressClients",
                &Shape::Object(&[
                    filled("name").required(),
                    Field::new("deviceId", ID),
                    ALLOW_RESOURCES,
                    flag_on("snatToResources"),
                    flag("dnatToResource"),
                ]),
            ),
            list(
                "advancedClients",
                &Shape::Object(&[
                    filled("name").required(),
                    Field::new("deviceId", ID),
                    ALLOW_RESOURCES,
                    flag_on("snatToTunnel"),
                    flag_on("snatToResources"),
                    flag("dnatToResource"),
                    flag("defaultGateway"),
                    object("dhcpRelay", &[list("servers", &ADDRESS)]),
                ]),
            ),
        ],
    ),
    list(
        "rsyslogDestinations",
        &Shape::Object(&[
            Field::new("selector", FILLED).or(Constant::Text("*.*")),
            Field::new("template", FILLED).or(Constant::Text("%HOSTNAME% %msg%")),
            filled("destination").required(),
        ]),
    ),
    list("hostnameAliases", &HOST),
];

const SPA_MODES: &[&str] = &["TCP", "UDP-TCP"];
const ALLOW_SOURCES: Field =
    list("allowSources", &Shape::Object(&[Field::new("address", ADDRESS), NETMASK, Field::new("nic", FILLED)]));
const ALLOW_RESOURCES: Field =
    list("allowResources", &Shape::Object(&[Field::new("address", ADDRESS), NETMASK, Field::new("nic", FILLED)]));
const SITES: Field = list("sites", &ID);

const P12: &[Field] = &[
    Field::new("id", ID),
    Field::new("content", Shape::Text(Text::Base64)).secret(),
    text("password").secret(),
    text("subjectName").read_only(),
];

const PROMETHEUS: &[Field] = &[
    flag("enabled"),
    number("port", 1, 65_535, 5556),
    ALLOW_SOURCES,
    flag("useHTTPS"),
    object("httpsP12", P12),
    flag("basicAuth"),
    list("allowedUsers", &Shape::Object(&[filled("username").required(), filled("password").required_secret()])),
    list("labelsDisabled", &FILLED),
];

const NETWORKING: &[Field] = &[
    list(
        "hosts",
        &Shape::Object(&[Field::new("hostname", HOST).required(), Field::new("address", ADDRESS).required()]),
    ),
    list(
        "nics",
        &Shape::Object(&[
            flag("enabled"),
            filled("name").required(),
            object("ipv4", FAMILY),
            object("ipv6", FAMILY),
            Field::new("mtu", Shape::Integer(576, 65_535)),
        ]),
    ),
    list("dnsServers", &ADDRESS),
    list("dnsDomains", &FILLED),
    list(
        "routes",
        &Shape::Object(&[
            Field::new("address", ADDRESS).required(),
            NETMASK.required(),
            Field::new("gateway", ADDRESS),
            Field::new("nic", FILLED),
        ]),
    ),
];

const FAMILY: &[Field] = &[
    object("dhcp", &[flag("enabled"), flag("dns"), flag("routers"), flag("ntp"), flag("mtu")]),
    list("static", &Shape::Object(&[Field::new("address", ADDRESS).required(), NETMASK.required(), flag("snat")])),
    Field::new("virtualIp", ADDRESS),
];

const LOG_FORWARDER: &[Field] = &[
    flag("enabled"),
    list(
        "tcpClients",
        &Shape::Object(&[
            filled("name").required(),
            Field::new("host", HOST).required(),
            Field::new("port", PORT).required(),
            Field::new("format", Shape::Choice(&["json", "syslog"])).required(),
            flag("useTLS"),
            filled("filter"),
        ]),
    ),
    list("splunkClients", &Shape::Object(&[filled("url").required(), filled("token").secret()])),
    list("sumoLogicClients", &Shape::Object(&[filled("url").required()])),
    SITES,
];

pub(super) const TRUSTED_CERTIFICATE: &[Field] =
    &[Field::new("pem", Shape::Text(Text::Certificate)).required(), object("details", &[]).read_only()];

pub(super) const IP_POOL: &[Field] = &[
    flag("ipVersion6"),
    list("ranges", &Shape::Object(RANGE)),
    list("excludedRanges", &Shape::Object(RANGE)),
    number("leaseTimeDays", 0, 3650, 30),
    Field::new("total", Shape::Integer(0, i64::MAX)).read_only(),
    Field::new("currentlyUsed", Shape::Integer(0, i64::MAX)).read_only(),
    Field::new("reserved", Shape::Integer(0, i64::MAX)).read_only(),
];

const RANGE: &[Field] = &[Field::new("first", ADDRESS), Field::new("last", ADDRESS), Field::new("cidr", NETWORK)];

pub(super) const GLOBAL_SETTINGS: &[Field] = &[
    LIFETIME_CLAIMS.required(),
    LIFETIME_ENTITLEMENT.required(),
    LIFETIME_ADMINISTRATION.required(),
    LIFETIME_CERTIFICATE.required(),
    number("registeredDeviceExpirationDays", 1, 3650, 90),
    choice("spaMode", SPA_MODES, "TCP"),
    number("spaTimeWindowSeconds", 1, 86_400, 600),
    text("loginBannerMessage"),
    text("messageOfTheDay"),
    flag("backupApiEnabled"),
    filled("backupPassphrase").secret(),
    flag("geoIpUpdates"),
    Field::new("auditLogPersistenceMode", Shape::Choice(&["Default", "Guaranteed", "Performance"])).required(),
    Field::new("profileHostname", HOST),
    filled("collectiveName"),
    Field::new("collectiveId", ID).read_only(),
];

/// Longest life of a token in minutes. Revocation rules outlive every token decided before them, so this bounds them too.
pub(crate) const MAX_LIFETIME_MINUTES: i64 = 43_200;

const LIFETIME_CLAIMS: Field = Field::new("claimsTokenExpiration", Shape::Integer(1, MAX_LIFETIME_MINUTES));
const LIFETIME_ENTITLEMENT: Field = Field::new("entitlementTokenExpiration", Shape::Integer(1, MAX_LIFETIME_MINUTES));
const LIFETIME_ADMINISTRATION: Field =
    Field::new("administrationTokenExpiration", Shape::Integer(1, MAX_LIFETIME_MINUTES));
const LIFETIME_CERTIFICATE: Field = Field::new("vpnCertificateExpiration", Shape::Integer(1, 5_256_000));
