//! Authorization: who may do what, decided by policies (D 2.7, D 11).
//!
//! Nothing on this path reads the database: decisions are made on a snapshot of the configuration, and the sequence of
//! that snapshot goes into every token. Stop policies run first, in a batch of their own; one that matches or fails
//! refuses everything. A document that cannot be read refuses everything too, when it might be a Stop policy or hold a rule
//! that blocks.

mod catalog;
mod client;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use engine::{
    authorize::{self, Answer, Granted, PolicyOutcome, Refused},
    claims::Claims,
    dn::DistinguishedName,
    id::AdministrativeRoleId,
    object::{Entitlement, Policy},
    script::{Failure, FailureKind},
    token::{Response, ResponseKind},
};
use sandbox::Batch;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use crate::{config::Config, state::Controller};

pub(crate) use catalog::Catalogs;
pub(crate) use client::{Asking, AuthorizeError, authorize_client, endpoint, hostname};

/// What an administrator may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminGrant {
    /// Roles whose privileges count.
    pub roles: BTreeSet<AdministrativeRoleId>,
    /// Names of the policies that matched.
    pub policy_names: Vec<String>,
}

/// Why somebody is no administrator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminDenied {
    /// A Stop policy refused, or the policies could not be asked.
    #[error("a policy refuses access")]
    Refused(#[from] Denied),
    /// No policy that matched grants an administrative role.
    #[error("no policy grants an administrative role")]
    NoRoles,
}

impl AdminDenied {
    /// Stable reason for audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(denied) => denied.code(),
            Self::NoRoles => "authorization.no-roles",
        }
    }
}

/// Why nothing at all is granted. The text is for the user; [`Denied::detail`] is for the audit log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A Stop policy matched or failed.
    #[error("a policy refuses access; ask your administrator")]
    Stopped(Refused),
    /// A document cannot be read that might be a Stop policy or hold a rule that blocks.
    #[error("access cannot be decided at the moment; tell your administrator")]
    Unreadable(Uuid),
}

impl Denied {
    /// Stable reason for audit records.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stopped(refused) => refused.code(),
            Self::Unreadable(_) => "authorization.unreadable",
        }
    }

    /// Which policy settled it, and how it failed.
    pub fn detail(&self) -> Value {
        match self {
            Self::Stopped(refused) => {
                json!({ "policy": refused.name, "failure": refused.failure.as_ref().map(failure_value) })
            }
            Self::Unreadable(object) => json!({ "id": object }),
        }
    }
}

/// Decides what an administrator may do. The caller writes the audit record, together with the token it leads to.
///
/// # Errors
/// When policies refuse or grant no role.
pub async fn authorize_admin(
    c: &Controller,
    name: &DistinguishedName,
    user_claims: &Map<String, Value>,
    address: Option<IpAddr>,
) -> Result<AdminGrant, AdminDenied> {
    let now = c.now();
    let config = c.config.current();
    let claims = Claims { user: user_claims.clone(), device: Map::new(), system: system_claims(address, now) };
    let decision = decide(c, &config, &claims, &[], now).await?;
    if decision.roles.is_empty() {
        tracing::debug!(device = %name.device, "No administrative role granted");
        return Err(AdminDenied::NoRoles);
    }
    Ok(AdminGrant { roles: decision.roles, policy_names: decision.matched.into_iter().collect() })
}

/// Asks every policy and merges what matched.
pub(crate) async fn decide(
    c: &Controller,
    config: &Arc<Config>,
    claims: &Claims,
    responses: &[Response],
    now: OffsetDateTime,
) -> Result<Granted, Denied> {
    let catalog = c.catalogs.of(config);
    if let Some(object) = catalog.unreadable {
        return Err(Denied::Unreadable(object));
    }
    let value = Arc::new(claims_value(claims, responses));
    let run = |scripts| Batch::new(value.clone(), now, scripts, catalog.criteria.clone());
    if !catalog.stops.scripts.is_empty() {
        let answers = ask(c, run(catalog.stops.scripts.clone()), &catalog.stops.policies).await;
        authorize::check_stops(answers).map_err(Denied::Stopped)?;
    }
    let answers = ask(c, run(catalog.grants.scripts.clone()), &catalog.grants.policies).await;
    let entitlements: &mut dyn Iterator<Item = &Entitlement> = &mut config.entitlements().map(Arc::as_ref);
    Ok(authorize::merge(answers, entitlements, &catalog.sites, claims))
}

/// Runs the expressions; a script without a record counts as failed.
async fn ask<'a>(c: &Controller, batch: Batch, policies: &'a [Arc<Policy>]) -> Vec<(&'a Policy, Answer)> {
    if batch.scripts.is_empty() {
        return Vec::new();
    }
    let mut records = c.sandbox.evaluate(batch).await.into_iter();
    let answer = |policy: &'a Arc<Policy>| {
        let answer = match records.next() {
            Some(record) => {
                record.result.and_then(|value| value.as_bool().ok_or_else(|| no_answer(policy, "no boolean")))
            }
            None => Err(no_answer(policy, "no record of the run")),
        };
        (policy.as_ref(), answer)
    };
    policies.iter().map(answer).collect()
}

fn no_answer(policy: &Policy, what: &str) -> Failure {
    Failure {
        kind: FailureKind::WrongResult,
        script: policy.name.clone(),
        message: what.to_owned(),
        line: None,
        column: None,
    }
}

/// `{user, device, system}` and the remedies the user answered, as the sandbox takes them.
fn claims_value(claims: &Claims, responses: &[Response]) -> Value {
    let mut value = claims.to_value();
    if let (Some(members), false) = (value.as_object_mut(), responses.is_empty()) {
        let answered = responses.iter().map(|response| {
            let kind = match response.kind {
                ResponseKind::Password => "password",
                ResponseKind::Otp => "otp",
                ResponseKind::Reason => "reason",
            };
            json!({ "suffix": response.suffix, "kind": kind, "at": response.at.unix_timestamp() })
        });
        members.insert("responses".to_owned(), answered.collect());
    }
    value
}

/// What the controller observes of a connection (D 9.3).
pub(crate) fn system_claims(address: Option<IpAddr>, now: OffsetDateTime) -> Map<String, Value> {
    let mut claims = Map::new();
    if let Some(address) = address {
        claims.insert("clientSrcIP".to_owned(), address.to_canonical().to_string().into());
    }
    if let Ok(text) = now.to_offset(UtcOffset::UTC).format(CONNECT_TIME) {
        claims.insert("connectTime".to_owned(), text.into());
    }
    claims
}

/// Policies whose expression failed, for audit records.
fn failures(outcomes: &[PolicyOutcome]) -> Vec<Value> {
    let failed = |outcome: &PolicyOutcome| {
        let failure = outcome.answer.as_ref().err()?;
        Some(json!({ "policy": outcome.name, "failure": failure_value(failure) }))
    };
    outcomes.iter().filter_map(failed).collect()
}

fn failure_value(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.as_str(), "script": failure.script, "message": failure.message,
        "line": failure.line, "column": failure.column,
    })
}

const CONNECT_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
