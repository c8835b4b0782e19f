//! What one gateway may know: its part of the configuration, and the difference between two of them.
//!
//! The part is the gateway's own record, its Site, the entitlements that are or may be used there, their conditions, the
//! scripts they name, the secrets that these scripts and conditions name, and the trusted certificates. Everything else of
//! the configuration never reaches the gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use engine::{
    id::{ApplianceId, SiteId},
    object::{Entitlement, HostSpec, Policy, PortSpec, Traffic},
};
use protocol::{
    message::{ConfigObject, GatewayEndpoint},
    object::ObjectKind,
};
use uuid::Uuid;

use crate::{appliance::Gateway, authorization::endpoint, config::Config, script_secrets::named_in, store::Object};

/// A gateway's part of one configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// Its Site.
    pub(super) site: SiteId,
    /// Where and how it serves.
    pub(super) endpoint: GatewayEndpoint,
    objects: BTreeMap<(ObjectKind, Uuid), Arc<Object>>,
}

impl View {
    /// The part of an appliance; `None` when it is gone or belongs to no Site. A gateway that is disabled knows nothing.
    pub(super) fn of(config: &Config, appliance: ApplianceId) -> Option<Self> {
        let gateway = Gateway::find(config, appliance)?;
        let mut view = Self { site: gateway.site, endpoint: endpoint(&gateway.address), objects: BTreeMap::new() };
        if !gateway.enabled {
            return Some(view);
        }
        view.take(config, ObjectKind::Appliance, appliance.uuid());
        view.take(config, ObjectKind::Site, gateway.site.uuid());
        let moved = Moved::to(config, gateway.site);
        for entitlement in config.entitlements() {
            if entitlement.site == gateway.site || moved.covers(entitlement) {
                view.take_entitlement(config, entitlement);
            }
        }
        view.take_secrets(config);
        config.all(ObjectKind::TrustedCertificate).for_each(|object| view.put(object));
        Some(view)
    }

    /// The same gateway with nothing to serve.
    pub(super) fn emptied(&self) -> Self {
        Self { site: self.site, endpoint: self.endpoint.clone(), objects: BTreeMap::new() }
    }

    /// Everything, as shipped.
    pub(super) fn all(&self) -> Vec<ConfigObject> {
        self.objects.values().map(|object| shipped(object)).collect()
    }

    /// Whether a difference says what changed; a gateway that moved or listens elsewhere starts over.
    pub(super) fn continues(&self, older: &Self) -> bool {
        self.site == older.site && self.endpoint == older.endpoint
    }

    /// What was written and what is gone since an older view.
    pub(super) fn since(&self, older: &Self) -> (Vec<ConfigObject>, Vec<(ObjectKind, Uuid)>) {
        let is_new = |(key, object): &(&(ObjectKind, Uuid), &Arc<Object>)| {
            older.objects.get(*key).is_none_or(|old| old.seq != object.seq)
        };
        let put = self.objects.iter().filter(is_new).map(|(_, object)| shipped(object)).collect();
        let removed = older.objects.keys().filter(|key| !self.objects.contains_key(*key)).copied().collect();
        (put, removed)
    }

    fn take_entitlement(&mut self, config: &Config, entitlement: &Entitlement) {
        self.take(config, ObjectKind::Entitlement, entitlement.id.uuid());
        for condition in &entitlement.conditions {
            self.take(config, ObjectKind::Condition, condition.uuid());
        }
        for name in script_names(entitlement) {
            if let Some(script) = config.by_name(ObjectKind::EntitlementScript, name) {
                self.take(config, ObjectKind::EntitlementScript, script.id);
            }
        }
        for script in &entitlement.app_shortcut_scripts {
            self.take(config, ObjectKind::EntitlementScript, script.uuid());
        }
    }

    /// The secrets that what was taken names.
    fn take_secrets(&mut self, config: &Config) {
        let scripts = self
            .objects
            .values()
            .filter(|object| matches!(object.kind, ObjectKind::Condition | ObjectKind::EntitlementScript));
        let sources = scripts.filter_map(|object| object.body.get("expression")?.as_str());
        let names: BTreeSet<&str> = sources.flat_map(named_in).collect();
        let secrets = names.into_iter().filter_map(|name| config.by_name(ObjectKind::Secret, name).cloned());
        for secret in secrets.collect::<Vec<_>>() {
            self.put(&secret);
        }
    }

    fn take(&mut self, config: &Config, kind: ObjectKind, id: Uuid) {
        if let Some(object) = config.object(kind, id) {
            self.put(object);
        }
    }

    fn put(&mut self, object: &Arc<Object>) {
        self.objects.insert((object.kind, object.id), object.clone());
    }
}

/// Entitlements that policies may move to a Site.
struct Moved<'a> {
    policies: Vec<&'a Arc<Policy>>,
    tags: BTreeSet<&'a str>,
}

impl<'a> Moved<'a> {
    /// Disabled policies count too: tokens they led to may still live.
    fn to(config: &'a Config, site: SiteId) -> Self {
        let may_move =
            |policy: &&Arc<Policy>| policy.override_site == Some(site) || policy.override_site_claim.is_some();
        let policies: Vec<_> = config.policies().filter(may_move).collect();
        let tags = policies.iter().flat_map(|policy| &policy.entitlement_tags).map(String::as_str).collect();
        Self { policies, tags }
    }

    fn covers(&self, entitlement: &Entitlement) -> bool {
        entitlement.tags.iter().any(|tag| self.tags.contains(tag.as_str()))
            || self.policies.iter().any(|policy| policy.entitlements.contains(&entitlement.id))
    }
}

fn script_names(entitlement: &Entitlement) -> impl Iterator<Item = &str> {
    entitlement.actions.iter().flat_map(|action| {
        let hosts = action.hosts.iter().filter_map(|host| match host {
            HostSpec::Script(name) => Some(name.as_str()),
            HostSpec::Net(_) | HostSpec::Name(_) | HostSpec::Unresolved(_) => None,
        });
        hosts.chain(ports(&action.traffic).iter().filter_map(|port| match port {
            PortSpec::Script(name) => Some(name.as_str()),
            PortSpec::Range(_) => None,
        }))
    })
}

fn ports(traffic: &Traffic) -> &[PortSpec] {
    match traffic {
        Traffic::Tcp(_, ports) | Traffic::Udp(_, ports) | Traffic::Icmp(_, ports) | Traffic::Icmpv6(_, ports) => ports,
        Traffic::HttpUp(_) | Traffic::Ah(_) | Traffic::Esp(_) | Traffic::Gre(_) | Traffic::Exclude => &[],
    }
}

fn shipped(object: &Object) -> ConfigObject {
    ConfigObject { kind: object.kind, id: object.id, seq: object.seq, body: object.body.clone() }
}
