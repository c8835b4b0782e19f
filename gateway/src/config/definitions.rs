//! The configured objects a gateway decides by, and what an edit touches.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use engine::{
    id::{ConditionId, EntitlementId, EntitlementScriptId, SiteId},
    object::{Condition, Entitlement, EntitlementScript, EntitlementScriptType, Site},
    script::ScriptKind,
};
use ipnet::IpNet;
use protocol::{
    message::ConfigObject,
    object::{Definition, ObjectKind},
    tls::trust_anchor_of_pem,
};
use rustls::pki_types::CertificateDer;
use sandbox::{Origin, Script, Secret, Secrets};
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::scripts::script;

/// Configured objects by id; scripts by name, as entitlements refer to them.
#[derive(Default, Clone)]
pub(crate) struct Definitions {
    site_id: Option<SiteId>,
    shipped: BTreeMap<(ObjectKind, Uuid), Arc<ConfigObject>>,
    entitlements: BTreeMap<EntitlementId, Arc<Entitlement>>,
    conditions: BTreeMap<ConditionId, Arc<Condition>>,
    /// The same as the sandbox takes them; it knows a text again by its place in memory.
    condition_scripts: BTreeMap<ConditionId, Script>,
    scripts: BTreeMap<Uuid, Arc<EntitlementScript>>,
    scripts_by_name: BTreeMap<String, Arc<EntitlementScript>>,
    site: Option<Arc<Site>>,
    sources: Sources,
    secrets: BTreeMap<Uuid, (Box<str>, Secret)>,
    secrets_by_name: Secrets,
    trusted: BTreeMap<Uuid, CertificateDer<'static>>,
}

/// Who may connect, as the gateway's own document says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum Sources {
    /// No source is named.
    #[default]
    Anyone,
    /// Only these.
    Only(Vec<IpNet>),
}

impl Definitions {
    pub(super) fn new(site: SiteId, objects: Vec<ConfigObject>) -> Self {
        let empty = Self { site_id: Some(site), ..Self::default() };
        empty.changed(objects, &[])
    }

    /// These objects after one transaction.
    pub(super) fn changed(&self, put: Vec<ConfigObject>, removed: &[(ObjectKind, Uuid)]) -> Self {
        let mut changed = self.clone();
        for (kind, id) in removed {
            changed.remove(*kind, *id);
        }
        for object in put {
            changed.remove(object.kind, object.id);
            changed.put(object);
        }
        let by_name = changed.scripts.values().map(|script| (script.name.clone(), script.clone()));
        changed.scripts_by_name = by_name.collect();
        changed.secrets_by_name = changed.secrets.values().cloned().collect();
        changed
    }

    pub(crate) fn condition(&self, id: ConditionId) -> Option<&Arc<Condition>> {
        self.conditions.get(&id)
    }

    pub(crate) fn condition_script(&self, id: ConditionId) -> Option<&Script> {
        self.condition_scripts.get(&id)
    }

    pub(crate) fn script(&self, name: &str) -> Option<&Arc<EntitlementScript>> {
        self.scripts_by_name.get(name)
    }

    /// The scripts that answer app shortcuts of these entitlements, as far as they exist and are of that type.
    pub(crate) fn shortcut_scripts(
        &self,
        held: &[Arc<Entitlement>],
    ) -> BTreeMap<EntitlementScriptId, Arc<EntitlementScript>> {
        let named = held.iter().filter(|held| !held.disabled).flat_map(|held| &held.app_shortcut_scripts);
        let found = named.filter_map(|id| Some((*id, self.scripts.get(&id.uuid())?.clone())));
        found.filter(|(_, script)| script.script_type == EntitlementScriptType::AppShortcut).collect()
    }

    /// The secrets that scripts of this gateway name.
    pub(crate) fn secrets(&self) -> Secrets {
        self.secrets_by_name.clone()
    }

    /// What HTTPS calls of scripts trust beside the public roots.
    pub(crate) fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.trusted.values().cloned().collect()
    }

    /// This gateway's Site, once it is known.
    pub(crate) fn site(&self) -> Option<&Arc<Site>> {
        self.site.as_ref()
    }

    /// What of the granted is configured; the rest yields nothing.
    pub(crate) fn entitlements(&self, granted: &BTreeSet<EntitlementId>) -> Vec<Arc<Entitlement>> {
        granted.iter().filter_map(|id| self.entitlements.get(id).cloned()).collect()
    }

    /// Whether a source address may connect.
    pub(crate) fn allows_source(&self, source: IpAddr) -> bool {
        match &self.sources {
            Sources::Anyone => true,
            Sources::Only(nets) => nets.iter().any(|net| net.contains(&source.to_canonical())),
        }
    }

    /// The objects as they were shipped.
    pub(super) fn shipped(&self) -> Vec<ConfigObject> {
        self.shipped.values().map(|object| ConfigObject::clone(object)).collect()
    }

    fn remove(&mut self, kind: ObjectKind, id: Uuid) {
        self.shipped.remove(&(kind, id));
        match kind {
            ObjectKind::Entitlement => drop(self.entitlements.remove(&EntitlementId::new(id))),
            ObjectKind::Condition => {
                self.conditions.remove(&ConditionId::new(id));
                self.condition_scripts.remove(&ConditionId::new(id));
            }
            ObjectKind::EntitlementScript => drop(self.scripts.remove(&id)),
            ObjectKind::Site => {
                if self.site_id == Some(SiteId::new(id)) {
                    self.site = None;
                }
            }
            ObjectKind::Appliance => self.sources = Sources::Anyone,
            ObjectKind::AdministrativeRole
            | ObjectKind::CriteriaScript
            | ObjectKind::DeviceScript
            | ObjectKind::GlobalSettings
            | ObjectKind::IdentityProvider
            | ObjectKind::IpPool
            | ObjectKind::LocalUser
            | ObjectKind::MfaProvider
            | ObjectKind::Policy
            | ObjectKind::RingfenceRule
            | ObjectKind::UserScript => {}
            ObjectKind::Secret => drop(self.secrets.remove(&id)),
            ObjectKind::TrustedCertificate => drop(self.trusted.remove(&id)),
        }
    }

    fn put(&mut self, object: ConfigObject) {
        match Definition::parse(object.kind, &object.body) {
            Ok(definition) => self.define(&object, definition),
            Err(error) => {
                tracing::warn!(kind = %object.kind, id = %object.id, %error, "Object is unusable and counts as absent");
            }
        }
        self.shipped.insert((object.kind, object.id), Arc::new(object));
    }

    fn define(&mut self, object: &ConfigObject, definition: Definition) {
        match definition {
            Definition::Entitlement(entitlement) => {
                self.entitlements.insert(entitlement.id, Arc::new(entitlement));
            }
            Definition::Condition(condition) => {
                let script = script(&condition.name, ScriptKind::Condition, &condition.expression);
                self.condition_scripts.insert(condition.id, script);
                self.conditions.insert(condition.id, Arc::new(condition));
            }
            Definition::EntitlementScript(script) => {
                self.scripts.insert(object.id, Arc::new(script));
            }
            Definition::Site(site) if self.site_id == Some(site.id) => self.site = Some(Arc::new(site)),
            Definition::Other if object.kind == ObjectKind::Appliance => self.sources = sources(&object.body),
            Definition::Other if object.kind == ObjectKind::Secret => {
                // One without a name or a value is missing, and scripts that name it fail.
                self.secrets.extend(secret(&object.body).map(|secret| (object.id, secret)));
            }
            Definition::Other if object.kind == ObjectKind::TrustedCertificate => {
                let pem = object.body.get("pem").and_then(Value::as_str);
                self.trusted.extend(pem.and_then(trust_anchor_of_pem).map(|certificate| (object.id, certificate)));
            }
            Definition::Site(_)
            | Definition::Policy(_)
            | Definition::CriteriaScript(_)
            | Definition::IdentityProvider(_)
            | Definition::LocalUser(_)
            | Definition::UserScript(_)
            | Definition::Other => {}
        }
    }
}

/// Reads `clientInterface.allowSources` (D 25); one that cannot be read lets nobody in.
fn sources(appliance: &Value) -> Sources {
    let listed = appliance.pointer("/clientInterface/allowSources").and_then(Value::as_array);
    let Some(listed) = listed.filter(|listed| !listed.is_empty()) else { return Sources::Anyone };
    let net = |source: &Value| {
        let address: IpAddr = source.get("address")?.as_str()?.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length = source.get("netmask").map_or(Some(whole), |netmask| u8::try_from(netmask.as_u64()?).ok())?;
        IpNet::new(address, length).ok()
    };
    Sources::Only(listed.iter().filter_map(net).collect())
}

/// A secret as it was shipped. `allowedOrigins` absent or empty means everywhere; an entry that is no origin allows nothing.
fn secret(body: &Value) -> Option<(Box<str>, Secret)> {
    let name = body.get("name")?.as_str()?;
    let value = Arc::new(Zeroizing::new(body.get("secret")?.as_str()?.to_owned()));
    let listed = body.get("allowedOrigins").and_then(Value::as_array).filter(|listed| !listed.is_empty());
    let allowed_origins =
        listed.map(|listed| listed.iter().filter_map(|origin| Origin::parse(origin.as_str()?).ok()).collect());
    Some((name.into(), Secret { value, allowed_origins }))
}

/// What an edit touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Entitlements that were written, added or removed.
    pub(crate) entitlements: BTreeSet<EntitlementId>,
    /// Conditions that were added, removed, renamed or given other schedules.
    pub(crate) conditions: BTreeSet<ConditionId>,
    /// Conditions whose last answer means nothing any more: their expression is another, or they are gone or new.
    pub(crate) edited: BTreeSet<ConditionId>,
    /// Names of scripts that answer differently from now on.
    pub(crate) scripts: BTreeSet<String>,
    /// Whether names resolve differently from now on.
    pub(crate) names: bool,
    /// Whether HTTPS calls of scripts trust others from now on.
    pub(crate) trusted: bool,
}

impl Touched {
    /// What differs between two states.
    pub(super) fn between(old: &Definitions, new: &Definitions) -> Self {
        let (mut conditions, mut edited) = (BTreeSet::new(), BTreeSet::new());
        for id in differing(&old.conditions, &new.conditions) {
            match (old.conditions.get(&id), new.conditions.get(&id)) {
                (Some(old), Some(new)) => {
                    if old.expression != new.expression {
                        edited.insert(id);
                    }
                    if old.name != new.name || old.schedules != new.schedules {
                        conditions.insert(id);
                    }
                }
                // What is gone can no longer hold, and what is new was never asked.
                (None, _) | (_, None) => {
                    edited.insert(id);
                    conditions.insert(id);
                }
            }
        }
        let resolves = |definitions: &Definitions| {
            definitions.site.as_ref().map(|site| (site.use_hosts_file, site.dns_resolvers.clone()))
        };
        Self {
            entitlements: differing(&old.entitlements, &new.entitlements),
            conditions,
            edited,
            scripts: differing_scripts(old, new),
            names: resolves(old) != resolves(new),
            trusted: old.trusted != new.trusted,
        }
    }

    /// Whether no session can be concerned.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Scripts that answer differently: edited themselves, or naming a secret that is another now.
fn differing_scripts(old: &Definitions, new: &Definitions) -> BTreeSet<String> {
    let mut scripts = differing(&old.scripts_by_name, &new.scripts_by_name);
    let same =
        |(id, seq): &(Uuid, u64)| old.shipped.get(&(ObjectKind::Secret, *id)).is_some_and(|object| object.seq == *seq);
    let written =
        new.shipped.values().filter(|object| object.kind == ObjectKind::Secret && !same(&(object.id, object.seq)));
    let marks: Vec<String> =
        written.filter_map(|object| Some(format!("%SECRET:{}%", new.secrets.get(&object.id)?.0))).collect();
    let names = |script: &EntitlementScript| marks.iter().any(|mark| script.expression.contains(mark));
    scripts.extend(new.scripts_by_name.values().filter(|script| names(script)).map(|script| script.name.clone()));
    scripts
}

fn differing<K: Ord + Clone, V: PartialEq>(old: &BTreeMap<K, Arc<V>>, new: &BTreeMap<K, Arc<V>>) -> BTreeSet<K> {
    let same = |left: &Arc<V>, right: &Arc<V>| Arc::ptr_eq(left, right) || left == right;
    let written = new.iter().filter(|(key, value)| old.get(*key).is_none_or(|old| !same(old, value)));
    let removed = old.keys().filter(|key| !new.contains_key(*key));
    written.map(|(key, _)| key).chain(removed).cloned().collect()
}
