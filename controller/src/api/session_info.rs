//! `GET /session-info/{dn}`: what the sessions of a name hold, as their gateways know it now (D 29).
//!
//! Every gateway is asked. One that does not answer is named, in the answer or in the error that stands in its place, so
//! that "no session" always means that nobody has one.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use engine::{dn::DistinguishedName, id::ApplianceId};
use protocol::{
    message::{EntitlementDetails, GatewayAnswer, Question, RuleDetails, SessionDetails},
    object::ObjectKind,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use crate::{
    api::{
        Api,
        accept::PeerVersion,
        call::{Answer, Call, ok},
        caller::Admin,
        devices,
        error::ApiError,
        privilege::{Action, Target},
        sessions::appliance_name,
        view,
    },
    config::Config,
    questions::AskError,
    state::Controller,
};

/// Shows the sessions of one name.
pub(crate) async fn show(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    let name: DistinguishedName = call.distinguished_name()?;
    let config = api.controller.config.current();
    let found = Found::ask(&api.controller, &config, &name).await;
    let unanswered = found.unanswered(&api, &config, &name).await?;
    if found.sessions.is_empty() {
        return Err(found.nothing(&name, &unanswered));
    }
    let mut data = Map::new();
    for (appliance, sessions) in &found.sessions {
        for session in sessions {
            // A gateway has one session of a device, and for moments the older one beside it.
            let mut key = appliance_name(&config, *appliance);
            if data.contains_key(&key) {
                key = format!("{key} ({})", session.session);
            }
            data.insert(key, session_document(&config, *appliance, session, call.version)?);
        }
    }
    let record = admin.actor().record("entity_viewed").with("entity_type", Target::SessionInfo.as_str());
    api.reads.record(&config, record.with("entity_name", name.to_string()).event())?;
    let mut document = devices::name_document(&name);
    document.insert("data".to_owned(), data.into());
    let unanswered = unanswered.into_iter().map(|(gateway, reason)| json!({ "gateway": gateway, "reason": reason }));
    document.insert("unanswered".to_owned(), unanswered.collect());
    Ok(ok(&Value::Object(document)))
}

/// What the gateways said.
#[derive(Default)]
struct Found {
    sessions: BTreeMap<ApplianceId, Vec<SessionDetails>>,
    failed: BTreeMap<ApplianceId, AskError>,
}

impl Found {
    async fn ask(controller: &Arc<Controller>, config: &Config, name: &DistinguishedName) -> Self {
        let mut asking = JoinSet::new();
        let mut found = Self::default();
        for appliance in gateways(config) {
            // Until it has said something, it has not answered.
            found.failed.insert(appliance, AskError::Lost);
            let (controller, question) = (controller.clone(), Question::Sessions { name: name.clone() });
            asking.spawn(async move { (appliance, controller.questions.ask(appliance, question).await) });
        }
        while let Some(done) = asking.join_next().await {
            let Ok((appliance, answer)) = done else { continue };
            let failed = match answer {
                Ok(GatewayAnswer::Sessions { sessions }) => {
                    found.failed.remove(&appliance);
                    if !sessions.is_empty() {
                        found.sessions.insert(appliance, sessions);
                    }
                    continue;
                }
                Ok(GatewayAnswer::Resolved(_) | GatewayAnswer::Names { .. } | GatewayAnswer::Refused(_)) => {
                    AskError::Confused
                }
                Err(error) => error,
            };
            found.failed.insert(appliance, failed);
        }
        found
    }

    /// The gateways that may have a session and did not say, by name, with the reason.
    async fn unanswered(
        &self,
        api: &Api,
        config: &Config,
        name: &DistinguishedName,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        let mut unanswered = BTreeMap::new();
        for (appliance, error) in &self.failed {
            // One that never enrolled has no sessions.
            let matters = *error != AskError::NotConnected
                || self.reported(api, name, *appliance)
                || view::is_enrolled(api, appliance.uuid()).await?;
            if matters {
                unanswered.insert(appliance_name(config, *appliance), error.to_string());
            }
        }
        Ok(unanswered)
    }

    fn reported(&self, api: &Api, name: &DistinguishedName, appliance: ApplianceId) -> bool {
        let sessions = api.controller.gateways.sessions();
        sessions.iter().any(|session| session.appliance == appliance && session.name == *name)
    }

    /// Why there is nothing to show: nobody has a session, or somebody did not say.
    fn nothing(&self, name: &DistinguishedName, unanswered: &BTreeMap<String, String>) -> ApiError {
        if unanswered.is_empty() {
            return ApiError::NotFound(format!("`{name}` has no live session"));
        }
        let reasons: Vec<String> = unanswered.iter().map(|(gateway, reason)| format!("`{gateway}` {reason}")).collect();
        ApiError::Unanswered(format!("no other gateway has a session of `{name}`, but {}", reasons.join(", ")))
    }
}

/// The appliances that are configured as gateways.
fn gateways(config: &Config) -> Vec<ApplianceId> {
    let serving = |object: &&Arc<crate::store::Object>| object.body.pointer("/gateway/enabled") == Some(&true.into());
    config.all(ObjectKind::Appliance).filter(serving).map(|object| ApplianceId::new(object.id)).collect()
}

fn session_document(
    config: &Config,
    appliance: ApplianceId,
    session: &SessionDetails,
    version: PeerVersion,
) -> Result<Value, ApiError> {
    let site = config.object(ObjectKind::Appliance, appliance.uuid()).and_then(|appliance| {
        let site = appliance.body.get("site")?.as_str()?.parse().ok()?;
        view::site_name(config, site)
    });
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(ApiError::internal);
    let entitlements: Map<String, Value> = session
        .entitlements
        .iter()
        .map(|entitlement| (entitlement.name.clone(), entitlement_document(entitlement, version)))
        .collect();
    Ok(json!({
        "userClaims": session.user,
        "deviceClaims": session.device,
        "systemClaims": session.system,
        "site": site,
        "vpn": {
            "sessionId": session.session.to_string(),
            "connected": view::timestamp(moment(session.since)?)?,
            "expires": view::timestamp(moment(session.expires)?)?,
            "flows": session.flows,
        },
        "entitlementInfos": entitlements,
    }))
}

/// An entitlement in the shape of the version. `conditionsNotAsked`, `problems` and `truncated` are ours.
fn entitlement_document(entitlement: &EntitlementDetails, version: PeerVersion) -> Value {
    let answered = entitlement.conditions.iter().filter_map(|(name, answer)| Some((name.clone(), (*answer)?.into())));
    let answered: Map<String, Value> = answered.collect();
    let not_asked: Vec<&String> =
        entitlement.conditions.iter().filter(|(_, answer)| answer.is_none()).map(|(name, _)| name).collect();
    let mut document = json!({
        "conditionResults": answered,
        "conditionsNotAsked": not_asked,
        "firewallRules": entitlement.rules.iter().map(rule_document).collect::<Vec<_>>(),
        "policyNames": entitlement.policies,
        "problems": entitlement.problems,
        "truncated": entitlement.truncated,
    });
    let since = [
        (17, "conditionLogic", json!(if entitlement.all_conditions { "and" } else { "or" })),
        (20, "access", json!(entitlement.access)),
        (21, "domainEntitlement", json!(entitlement.domains_only)),
    ];
    if let Value::Object(document) = &mut document {
        let shown = since.into_iter().filter(|(first, _, _)| version.at_least(*first));
        document.extend(shown.map(|(_, name, value)| (name.to_owned(), value)));
    }
    document
}

fn rule_document(rule: &RuleDetails) -> Value {
    let typed = matches!(rule.protocol.as_str(), "icmp" | "icmpv6");
    let (ports, types): (&[String], &[String]) = if typed { (&[], &rule.ports) } else { (&rule.ports, &[]) };
    json!({
        "name": rule.name,
        "protocol": rule.protocol,
        "direction": rule.direction,
        "action": rule.action,
        "subnets": rule.subnets,
        "urls": [],
        "ports": ports,
        "types": types,
    })
}
