//! What the controller reads of an Appliance document: where gateways listen, and how they are pinned (D 25).

use std::collections::BTreeMap;

use engine::{
    id::{ApplianceId, SiteId},
    token::GatewayAddress,
};
use protocol::object::ObjectKind;
use serde::Deserialize;

use crate::{config::Config, store::Object};

/// A gateway as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its Site.
    pub site: SiteId,
    /// Where it listens.
    pub address: GatewayAddress,
    /// Whether it serves at all.
    pub enabled: bool,
    /// Keeps sessions but takes no new ones.
    pub suspended: bool,
    /// Whether it is held to the source address it enrolled from.
    pub pinned_to_address: bool,
}

impl Gateway {
    /// Reads an Appliance; `None` when it belongs to no Site or its document is unusable.
    pub fn of(object: &Object) -> Option<Self> {
        let document = ApplianceDocument::deserialize(&object.body).ok()?;
        let address = GatewayAddress {
            appliance: ApplianceId::new(object.id),
            host: document.client_interface.hostname,
            port: document.client_interface.https_port,
            weight: document.gateway.vpn.weight,
        };
        Some(Self {
            site: document.site?,
            address,
            enabled: object.kind == ObjectKind::Appliance && document.gateway.enabled,
            suspended: document.gateway.suspended,
            pinned_to_address: document.gateway.pin_source_address,
        })
    }

    /// Whether it takes new sessions.
    pub fn takes_sessions(&self) -> bool {
        self.enabled && !self.suspended
    }

    /// The gateway an appliance is.
    pub fn find(config: &Config, appliance: ApplianceId) -> Option<Self> {
        config.object(ObjectKind::Appliance, appliance.uuid()).and_then(|object| Self::of(object))
    }
}

/// Per Site the gateways that take new sessions.
pub fn gateways_by_site(config: &Config) -> BTreeMap<SiteId, Vec<GatewayAddress>> {
    let mut sites: BTreeMap<SiteId, Vec<GatewayAddress>> = BTreeMap::new();
    let gateways = config.all(ObjectKind::Appliance).filter_map(|object| Gateway::of(object));
    for gateway in gateways.filter(Gateway::takes_sessions) {
        sites.entry(gateway.site).or_default().push(gateway.address);
    }
    sites
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApplianceDocument {
    #[serde(default)]
    site: Option<SiteId>,
    client_interface: ClientInterface,
    #[serde(default)]
    gateway: GatewayDocument,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientInterface {
    hostname: String,
    #[serde(default = "default_port")]
    https_port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GatewayDocument {
    enabled: bool,
    suspended: bool,
    pin_source_address: bool,
    vpn: Vpn,
}

impl Default for GatewayDocument {
    fn default() -> Self {
        Self { enabled: false, suspended: false, pin_source_address: true, vpn: Vpn::default() }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Vpn {
    weight: u32,
}

impl Default for Vpn {
    fn default() -> Self {
        Self { weight: 100 }
    }
}

fn default_port() -> u16 {
    443
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[track_caller]
    fn read(body: serde_json::Value) -> Option<Gateway> {
        let id = Uuid::from_u128(1);
        Gateway::of(&Object { kind: ObjectKind::Appliance, id, name: "g".into(), tags: Vec::new(), seq: 1, body })
    }

    #[test]
    fn only_enabled_gateways_of_a_site_take_sessions() {
        let site = Uuid::from_u128(2);
        let body = json!({ "site": site, "clientInterface": { "hostname": "g.example.com", "httpsPort": 8443 }, "gateway": { "enabled": true } });
        let gateway = read(body.clone()).unwrap();
        assert_eq!(
            (gateway.address.host.as_str(), gateway.address.port, gateway.address.weight),
            ("g.example.com", 8443, 100)
        );
        assert!(gateway.pinned_to_address && gateway.takes_sessions());
        let with = |member: &str, value| {
            let mut other = body.clone();
            other[member] = value;
            read(other)
        };
        for gateway in [json!({ "enabled": false }), json!({}), json!({ "enabled": true, "suspended": true })] {
            assert!(!with("gateway", gateway).unwrap().takes_sessions());
        }
        for (member, value) in [("site", json!(null)), ("clientInterface", json!({})), ("gateway", json!(null))] {
            assert_eq!(with(member, value), None, "{member}");
        }
    }
}
