//! The documents of the built-in objects, as D 32 and the sections it names describe them.

use protocol::object::ObjectKind;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ADMIN_POLICY, ADMIN_USER, ALWAYS_CONDITION, API_ROLE, BLOCK_IN_RULE, CONNECTOR_PROVIDER, ControllerRecord,
    DEFAULT_SITE, EVERYONE_SCRIPT, FIDO2_PROVIDER, GLOBAL_SETTINGS, LOCAL_PROVIDER, MACOS_SCRIPT, POOL_V4, POOL_V6,
    SERVICE_PROVIDER, SYSTEM_ROLE, TOTP_PROVIDER, WINDOWS_SCRIPT,
};

/// One built-in object: what its document holds beside the members every object has.
pub(super) struct Builtin {
    pub(super) kind: ObjectKind,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) fields: Value,
}

/// Every built-in object.
pub(super) fn all(appliance: Uuid, controller: &ControllerRecord) -> Vec<Builtin> {
    let mut all = vec![global_settings(), site(), own_appliance(appliance, controller)];
    all.extend(pools());
    all.extend(providers());
    all.extend(people());
    all.extend(scripts());
    all.push(block_in());
    all
}

/// Contents of the built-in device scripts.
pub(super) const DEVICE_SCRIPT_FILES: [(Uuid, &str); 2] =
    [(MACOS_SCRIPT, include_str!("risk-data.sh")), (WINDOWS_SCRIPT, include_str!("risk-data.bat"))];

fn builtin(kind: ObjectKind, id: Uuid, name: &str, fields: Value) -> Builtin {
    Builtin { kind, id, name: name.to_owned(), fields }
}

fn global_settings() -> Builtin {
    let fields = json!({
        "claimsTokenExpiration": 1440, "entitlementTokenExpiration": 180, "administrationTokenExpiration": 720,
        "vpnCertificateExpiration": 525_600, "registeredDeviceExpirationDays": 90, "spaMode": "TCP",
        "spaTimeWindowSeconds": 600, "loginBannerMessage": "", "messageOfTheDay": "", "backupApiEnabled": false,
        "geoIpUpdates": false, "auditLogPersistenceMode": "Default",
    });
    builtin(ObjectKind::GlobalSettings, GLOBAL_SETTINGS, "Global Settings", fields)
}

fn site() -> Builtin {
    let fields = json!({
        "shortName": "", "description": "", "networkSubnets": [], "ipPoolMappings": [],
        "useForNearestSiteSelection": false, "entitlementBasedRouting": true,
        "defaultGateway": { "enabledV4": false, "enabledV6": false, "excludedSubnets": [] },
        "vpn": {
            "snat": true, "tls": { "enabled": true, "version": "TLSv23" }, "dtls": { "enabled": false },
            "urlAccessEnabled": false, "urlAccessP12s": [], "ipAccessLogIntervalSeconds": 120, "logNatIpAndNatPort": false,
        },
        "nameResolution": {
            "useHostsFile": false, "dnsResolvers": [], "awsResolvers": [], "azureResolvers": [], "gcpResolvers": [],
            "esxResolvers": [], "illumioResolvers": [],
        },
    });
    builtin(ObjectKind::Site, DEFAULT_SITE, "Default Site", fields)
}

fn own_appliance(id: Uuid, controller: &ControllerRecord) -> Builtin {
    let hostname = controller.hostname.as_str();
    let fields = json!({
        "activated": true, "hostname": hostname, "site": DEFAULT_SITE,
        "clientInterface": {
            "proxyProtocol": false, "hostname": hostname, "httpsPort": controller.client_port,
            "dtlsPort": controller.client_port, "allowSources": [],
        },
        "adminInterface": { "hostname": hostname, "httpsPort": controller.admin_port, "allowSources": [] },
        "networking": { "hosts": [], "nics": [], "dnsServers": [], "dnsDomains": [], "routes": [] },
        "controller": { "enabled": true },
        "gateway": { "enabled": false, "suspended": false, "vpn": { "weight": 100, "allowDestinations": [] } },
    });
    builtin(ObjectKind::Appliance, id, &controller.name, fields)
}

fn pools() -> [Builtin; 2] {
    let pool = |id, name, v6: bool, first, last| {
        let ranges = json!([{ "first": first, "last": last }]);
        let fields = json!({ "ipVersion6": v6, "ranges": ranges, "excludedRanges": [], "leaseTimeDays": 30 });
        builtin(ObjectKind::IpPool, id, name, fields)
    };
    [
        pool(POOL_V4, "default pool v4", false, "192.168.100.1", "192.168.100.254"),
        pool(POOL_V6, "default pool v6", true, "fd00::ffff:c0a8:6401", "fd00::ffff:c0a8:64fe"),
    ]
}

fn providers() -> [Builtin; 5] {
    let local = json!({
        "type": "LocalDatabase", "adminProvider": true, "deviceLimitPerUser": 100_000, "ipPoolV4": POOL_V4,
        "ipPoolV6": POOL_V6, "userScripts": [], "inactivityTimeoutMinutes": 0, "networkInactivityTimeoutEnabled": false,
        "enforceWindowsNetworkProfileAsDomain": false, "blockLocalDnsRequests": false, "onDemandClaimMappings": [],
        "dnsServers": [], "dnsSearchDomains": [], "userLockoutThreshold": 5, "userLockoutDurationMinutes": 1,
        "minPasswordLength": 0,
        "claimMappings": mappings(&[
            ("username", "username", false), ("firstName", "firstName", false), ("lastName", "lastName", false),
            ("email", "emails", true), ("phone", "phone", false), ("tags", "tags", true), ("id", "id", false),
        ]),
    });
    let service = json!({
        "type": "ServiceDatabase", "deviceLimitPerUser": 10_000, "ipPoolV4": POOL_V4, "ipPoolV6": POOL_V6,
        "userScripts": [], "dnsServers": [], "dnsSearchDomains": [], "userLockoutThreshold": 5,
        "userLockoutDurationMinutes": 1, "minPasswordLength": 0,
        "claimMappings": mappings(&[
            ("username", "username", false), ("id", "id", false), ("tags", "tags", true), ("labels", "labels", false),
        ]),
    });
    let connector = json!({
        "type": "Connector", "ipPoolV4": POOL_V4, "ipPoolV6": POOL_V6, "userScripts": [],
        "claimMappings": mappings(&[
            ("clientName", "clientName", false), ("applianceName", "applianceName", false),
            ("applianceApiVersion", "applianceApiVersion", false), ("hostname", "hostname", false), ("id", "id", false),
            ("tags", "tags", true),
        ]),
    });
    let totp = json!({ "type": "DefaultTimeBased", "inputType": "Numeric" });
    let fido2 = json!({ "type": "Fido2", "inputType": "Masked" });
    [
        builtin(ObjectKind::IdentityProvider, LOCAL_PROVIDER, "local", local),
        builtin(ObjectKind::IdentityProvider, SERVICE_PROVIDER, "service", service),
        builtin(ObjectKind::IdentityProvider, CONNECTOR_PROVIDER, "Connector", connector),
        builtin(ObjectKind::MfaProvider, TOTP_PROVIDER, "Default Time-Based OTP Provider", totp),
        builtin(ObjectKind::MfaProvider, FIDO2_PROVIDER, "Default FIDO2 Provider", fido2),
    ]
}

/// Attribute, claim, and whether the claim is always a list (D 9.1).
fn mappings(mappings: &[(&str, &str, bool)]) -> Value {
    let mapping = |(attribute, claim, list): &(&str, &str, bool)| json!({ "attributeName": attribute, "claimName": claim, "list": list, "encrypt": false });
    mappings.iter().map(mapping).collect()
}

fn people() -> [Builtin; 4] {
    let admin = json!({ "firstName": "Builtin", "lastName": "Administrator", "disabled": false });
    let expression =
        format!("return claims.user.ag.identityProviderId === '{LOCAL_PROVIDER}' && claims.user.username === 'admin';");
    let policy = json!({
        "type": "Admin", "disabled": false, "expression": expression, "administrativeRoles": [SYSTEM_ROLE],
        "entitlements": [], "entitlementLinks": [], "ringfenceRules": [], "ringfenceRuleLinks": [], "dnsSettings": [],
        "tamperProofing": false, "overrideNearestSite": false, "applyFallbackSite": false, "blockLocalDnsRequests": false,
    });
    let everything = json!({ "scope": { "all": true, "ids": [], "tags": [] }, "type": "All", "target": "All" });
    [
        builtin(
            ObjectKind::AdministrativeRole,
            SYSTEM_ROLE,
            "System Administration",
            json!({ "privileges": [everything] }),
        ),
        builtin(ObjectKind::AdministrativeRole, API_ROLE, "Api Access", json!({ "privileges": api_privileges() })),
        builtin(ObjectKind::LocalUser, ADMIN_USER, "admin", admin),
        builtin(ObjectKind::Policy, ADMIN_POLICY, "Builtin Administrator Policy", policy),
    ]
}

fn api_privileges() -> Vec<Value> {
    let scoped = |action: &str, target: &str| json!({ "type": action, "target": target, "scope": { "all": true, "ids": [], "tags": [] } });
    let mut privileges = Vec::new();
    for target in ["Condition", "Policy", "Entitlement", "CriteriaScript"] {
        privileges.push(json!({ "type": "Create", "target": target, "defaultTags": ["api-created"] }));
        privileges.extend(["View", "Edit", "Delete"].map(|action| scoped(action, target)));
    }
    privileges.push(scoped("View", "Site"));
    privileges
}

fn scripts() -> Vec<Builtin> {
    let always =
        json!({ "expression": "return true;", "repeatSchedules": [], "remedyLogic": "and", "remedyMethods": [] });
    let everyone = json!({ "expression": "return true;" });
    let names = [("Risk data (macOS)", "risk-data.sh"), ("Risk data (Windows)", "risk-data.bat")];
    let mut scripts = vec![
        builtin(ObjectKind::Condition, ALWAYS_CONDITION, "Always", always),
        builtin(ObjectKind::CriteriaScript, EVERYONE_SCRIPT, "Everyone", everyone),
    ];
    scripts.extend(DEVICE_SCRIPT_FILES.iter().zip(names).map(|((id, file), (name, filename))| {
        let fields = json!({ "filename": filename, "checksumSha256": sha256(file) });
        builtin(ObjectKind::DeviceScript, *id, name, fields)
    }));
    scripts
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn block_in() -> Builtin {
    let action = |protocol: &str, member: &str, all: &str| {
        let mut action = json!({
            "protocol": protocol, "direction": "in", "action": "block", "hosts": ["0.0.0.0/0", "::/0"], "ports": [], "types": [],
        });
        if let Some(action) = action.as_object_mut() {
            action.insert(member.to_owned(), json!([all]));
        }
        action
    };
    let actions = [
        action("tcp", "ports", "0-65535"),
        action("udp", "ports", "0-65535"),
        action("icmp", "types", "0-255"),
        action("icmpv6", "types", "0-255"),
    ];
    builtin(ObjectKind::RingfenceRule, BLOCK_IN_RULE, "Block-in", json!({ "actions": actions }))
}
