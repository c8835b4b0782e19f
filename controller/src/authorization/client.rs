//! Authorizing a client: one entitlement token per Site, durable before the answer leaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use engine::{
    authorize::Granted,
    claims::Claims,
    dn::DistinguishedName,
    id::{EntitlementId, SiteId},
    token::{EntitlementContent, GatewayAddress, Grant, Response},
};
use protocol::{
    message::{Authorized, GatewayEndpoint, SignedToken, SiteGrant},
    object::ObjectKind,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{
    Deciding, Denied,
    catalog::Catalog,
    decide, failures, script_failures,
    scripted::{self, Scripted},
    system_claims,
};
use crate::{
    audit::{self, Record},
    config::Config,
    issue::{Binding, IssueError, Subject},
    state::Controller,
    store::{AuditEvent, Op, StoreError, Transaction},
};

/// Who asks, and what is claimed of them.
pub(crate) struct Asking<'a> {
    /// The session's name.
    pub(crate) name: &'a DistinguishedName,
    /// The session's certificate; tokens are bound to it.
    pub(crate) binding: Binding,
    /// User claims, encrypted ones included.
    pub(crate) user: Map<String, Value>,
    /// Countersigned device claims.
    pub(crate) device: Map<String, Value>,
    /// Remedies the user answered.
    pub(crate) responses: &'a [Response],
    /// Where the connection comes from.
    pub(crate) address: IpAddr,
    /// When the decision started.
    pub(crate) now: OffsetDateTime,
}

/// Why an authorization came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorizeError {
    /// Policies refuse; it is in the audit log.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A token could not be signed.
    #[error("tokens cannot be issued")]
    Issue(#[from] IssueError),
    /// The store failed; nothing was issued.
    #[error("tokens cannot be recorded")]
    Store(#[from] StoreError),
}

/// Decides, signs and stores. `config` is the snapshot the caller's token was believed on.
pub(crate) async fn authorize_client(
    c: &Controller,
    config: &Arc<Config>,
    asking: Asking<'_>,
) -> Result<Authorized, AuthorizeError> {
    let started = Instant::now();
    let authorized = authorize(c, config, asking).await;
    c.metrics.client_authorization.note(authorized.is_ok(), started.elapsed());
    authorized
}

async fn authorize(c: &Controller, config: &Arc<Config>, asking: Asking<'_>) -> Result<Authorized, AuthorizeError> {
    let system = system_claims(Some(asking.address), asking.now);
    let mut claims = Claims { user: asking.user.clone(), device: asking.device.clone(), system };
    let scripted = scripted::run(c, config, asking.name, &claims, asking.now).await;
    scripted.add_to(&mut claims.user);
    let deciding = Deciding { claims: &claims, responses: asking.responses, now: asking.now };
    let granted = match decide(c, config, asking.name, deciding).await {
        Ok(granted) => granted,
        Err(denied) => {
            let event = denied_record(&asking, &denied, &scripted);
            c.store.transact(Transaction { ops: Vec::new(), audit: vec![event] }).await?;
            return Err(denied.into());
        }
    };
    let catalog = c.catalogs.of(config);
    let mut ops = Vec::new();
    let mut sites = Vec::new();
    for (site, entitlements) in &granted.sites {
        let Some(mut content) = site_content(config, &catalog, *site, entitlements) else { continue };
        content.scripted = scripted.claims.clone().unwrap_or_default();
        let (grant, op) = issue(c, config, &asking, content)?;
        sites.push(grant);
        ops.push(op);
    }
    let event = granted_record(&asking, claims, &granted, &sites, scripted);
    c.store.transact(Transaction { ops, audit: vec![event] }).await?;
    Ok(Authorized { sites, policies: granted.matched.into_iter().collect() })
}

/// What a Site's token says; `None` when the Site does not exist any more.
fn site_content(
    config: &Config,
    catalog: &Catalog,
    site: SiteId,
    entitlements: &BTreeMap<EntitlementId, BTreeSet<String>>,
) -> Option<EntitlementContent> {
    let grants = entitlements.iter().map(|(entitlement, policies)| Grant {
        entitlement: *entitlement,
        policies: policies.iter().cloned().collect(),
    });
    let grants: Vec<Grant> = grants.collect();
    Some(EntitlementContent {
        site,
        site_name: config.site(site)?.name.clone(),
        config: needed_sequence(config, site, &grants),
        grants,
        scripted: Map::new(),
        gateways: catalog.gateways.get(&site).cloned().unwrap_or_default(),
    })
}

/// The highest sequence among the objects a gateway must know to enforce the grants: the Site, the entitlements, their
/// conditions, and the policies, which may be what moves an entitlement to the Site.
fn needed_sequence(config: &Config, site: SiteId, grants: &[Grant]) -> u64 {
    let mut highest = config.object(ObjectKind::Site, site.uuid()).map_or(0, |object| object.seq);
    let mut note = |seq: Option<u64>| highest = highest.max(seq.unwrap_or(0));
    for grant in grants {
        note(config.object(ObjectKind::Entitlement, grant.entitlement.uuid()).map(|object| object.seq));
        let conditions =
            config.entitlement(grant.entitlement).into_iter().flat_map(|entitlement| &entitlement.conditions);
        conditions.for_each(|id| note(config.object(ObjectKind::Condition, id.uuid()).map(|object| object.seq)));
        grant.policies.iter().for_each(|name| note(config.by_name(ObjectKind::Policy, name).map(|object| object.seq)));
    }
    highest
}

fn issue(
    c: &Controller,
    config: &Config,
    asking: &Asking<'_>,
    content: EntitlementContent,
) -> Result<(SiteGrant, Op), IssueError> {
    let subject = Subject::new(asking.name, config, asking.now).on(hostname(&asking.device));
    let names = content
        .grants
        .iter()
        .filter_map(|grant| config.entitlement(grant.entitlement))
        .map(|entitlement| entitlement.name.clone());
    let (site, name, entitlements) = (content.site, content.site_name.clone(), names.collect());
    let gateways = content.gateways.iter().map(endpoint).collect();
    let (token, row) = c.issuer.entitlement(&subject, asking.binding, content)?;
    let entitlement =
        SignedToken { id: row.id, token, issued: row.issued.unix_timestamp(), expires: row.expires.unix_timestamp() };
    Ok((SiteGrant { site, name, entitlement, gateways, entitlements }, Op::InsertToken(row)))
}

pub(crate) fn endpoint(address: &GatewayAddress) -> GatewayEndpoint {
    GatewayEndpoint {
        appliance: address.appliance,
        host: address.host.clone(),
        port: address.port,
        weight: address.weight,
    }
}

/// The host name among reported device claims.
pub(crate) fn hostname(device: &Map<String, Value>) -> Option<String> {
    device.get("os")?.get("hostname")?.as_str().map(|name| name.chars().take(MAX_HOSTNAME).collect())
}

fn granted_record(
    asking: &Asking<'_>,
    claims: Claims,
    granted: &Granted,
    sites: &[SiteGrant],
    scripted: Scripted,
) -> AuditEvent {
    let mut failed: Vec<Value> = script_failures(&scripted.failures).collect();
    failed.extend(failures(&granted.outcomes));
    let texts = |texts: &mut dyn Iterator<Item = String>| Value::from(texts.collect::<Vec<_>>());
    let entitlements: BTreeSet<&String> = sites.iter().flat_map(|site| &site.entitlements).collect();
    Record::new(audit::AUTHORIZATION_SUCCEEDED)
        .name(asking.name)
        .address(Some(asking.address))
        .with("session_id", asking.binding.session.to_string())
        .with("policy_names", texts(&mut granted.matched.iter().cloned()))
        .with("entitlement_names", texts(&mut entitlements.into_iter().cloned()))
        .with("site_names", texts(&mut sites.iter().map(|site| site.name.clone())))
        .with("entitlement_token_ids", texts(&mut sites.iter().map(|site| site.entitlement.id.to_string())))
        .with("device_claims", claims.device)
        .with("system_claims", claims.system)
        .with("scripted_user_claims", scripted.claims)
        .with("script_failures", failed)
        .event()
}

fn denied_record(asking: &Asking<'_>, denied: &Denied, scripted: &Scripted) -> AuditEvent {
    Record::new(audit::AUTHORIZATION_FAILED)
        .name(asking.name)
        .address(Some(asking.address))
        .with("session_id", asking.binding.session.to_string())
        .with("reason", denied.code())
        .with("detail", denied.detail())
        .with("script_failures", script_failures(&scripted.failures).collect::<Vec<Value>>())
        .event()
}

/// Longest host name kept; DNS allows no longer one.
const MAX_HOSTNAME: usize = 253;
