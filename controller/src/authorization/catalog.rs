//! What authorization needs of a configuration, prepared once per sequence number and shared by all decisions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use engine::{
    authorize::takes_part,
    id::SiteId,
    object::{Policy, PolicyType},
    script::ScriptKind,
    token::GatewayAddress,
};
use protocol::object::ObjectKind;
use sandbox::Script;
use serde_json::Value;
use uuid::Uuid;

use crate::{appliance, config::Config};

/// The catalog of the newest configuration that was asked for.
#[derive(Default)]
pub(crate) struct Catalogs {
    newest: ArcSwapOption<Catalog>,
}

/// Policies as scripts, and where gateways listen.
pub(super) struct Catalog {
    config: Arc<Config>,
    /// Callable by name from policies.
    pub(super) criteria: Arc<[Script]>,
    /// Stop policies.
    pub(super) stops: Prepared,
    /// All other policies.
    pub(super) grants: Prepared,
    /// Sites that exist.
    pub(super) sites: BTreeSet<SiteId>,
    /// Gateways that take new sessions.
    pub(super) gateways: BTreeMap<SiteId, Vec<GatewayAddress>>,
    /// A document that cannot be read and whose absence could open something.
    pub(super) unreadable: Option<Uuid>,
}

/// Policies and their expressions, in the same order.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) scripts: Vec<Script>,
}

impl Catalogs {
    /// The catalog of this configuration; made when the last one asked for was another.
    pub(super) fn of(&self, config: &Arc<Config>) -> Arc<Catalog> {
        if let Some(catalog) = self.newest.load_full().filter(|catalog| Arc::ptr_eq(&catalog.config, config)) {
            return catalog;
        }
        let catalog = Arc::new(Catalog::new(config));
        self.newest.store(Some(catalog.clone()));
        catalog
    }
}

impl Catalog {
    fn new(config: &Arc<Config>) -> Self {
        let criteria = config.criteria_scripts().map(|script| Script {
            name: script.name.as_str().into(),
            kind: ScriptKind::Criteria,
            source: script.expression.as_str().into(),
        });
        let (stops, grants) = config
            .policies()
            .filter(|policy| takes_part(policy))
            .partition(|policy| policy.policy_type == PolicyType::Stop);
        Self {
            criteria: criteria.collect(),
            stops: Prepared::new(stops),
            grants: Prepared::new(grants),
            sites: config.sites().map(|site| site.id).collect(),
            gateways: appliance::gateways_by_site(config),
            unreadable: unreadable_guard(config),
            config: config.clone(),
        }
    }
}

impl Prepared {
    fn new(policies: Vec<&Arc<Policy>>) -> Self {
        let script = |policy: &&Arc<Policy>| Script {
            name: policy.name.as_str().into(),
            kind: ScriptKind::Policy,
            source: policy.expression.as_str().into(),
        };
        Self { scripts: policies.iter().map(script).collect(), policies: policies.into_iter().cloned().collect() }
    }
}

/// A document that cannot be read and whose absence could open something: a policy that may be one that stops, or an
/// entitlement that may hold a rule that blocks.
fn unreadable_guard(config: &Config) -> Option<Uuid> {
    let guards = |kind: ObjectKind, id: Uuid| {
        let Some(object) = config.object(kind, id) else { return false };
        let disabled = object.body.get("disabled").and_then(Value::as_bool) == Some(true);
        !disabled
            && match kind {
                ObjectKind::Policy => !member_is(&object.body, "type", &["Access", "Device", "Dns", "Admin", "Mixed"]),
                ObjectKind::Entitlement => !only_opens(&object.body),
                _ => false,
            }
    };
    config.unreadable().iter().find(|(kind, id)| guards(*kind, *id)).map(|(_, id)| *id)
}

fn only_opens(entitlement: &Value) -> bool {
    let actions = entitlement.get("actions").and_then(Value::as_array);
    actions.is_some_and(|actions| actions.iter().all(|action| member_is(action, "action", &["allow", "exclude"])))
}

fn member_is(body: &Value, member: &str, known: &[&str]) -> bool {
    body.get(member).and_then(Value::as_str).is_some_and(|text| known.contains(&text))
}
