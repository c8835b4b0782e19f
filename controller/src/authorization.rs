//! Authorization: who may do what, decided by policies (D 2.7, D 11).
//!
//! Nothing on this path reads the database, except to open a secret for the first time after it was written: decisions are
//! made on a snapshot of the configuration, and the sequence of that snapshot goes into every token. User-claim scripts run
//! first. Then Stop policies, in a batch of their own; one that matches or fails refuses everything. A document that cannot
//! be read refuses everything too, when it might be a Stop policy or hold a rule that blocks.

mod catalog;
mod client;
mod scripted;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Instant};

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

use crate::{
    config::Config,
    runs::{self, failure_value},
    state::Controller,
};

pub(crate) use catalog::Catalogs;
pub(crate) use client::{Asking, AuthorizeError, authorize_client, endpoint, hostname};

/// What an administrator may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminGrant {
    /// Roles whose privileges count.
    pub roles: BTreeSet<AdministrativeRoleId>,
    /// Names of the policies that matched.
    pub policy_names: Vec<String>,
    /// What user-claim scripts answered, and their and the policies' failures, for audit records.
    pub scripted: ScriptedFacts,
}

/// What scripts came to, as audit records tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScriptedFacts {
    /// `scripted_user_claims`; null when the provider has no scripts.
    pub claims: Value,
    /// `script_failures`.
    pub failures: Vec<Value>,
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
    let started = Instant::now();
    let granted = grant_admin(c, name, user_claims, address).await;
    c.metrics.admin_authorization.note(granted.is_ok(), started.elapsed());
    granted
}

async fn grant_admin(
    c: &Controller,
    name: &DistinguishedName,
    user_claims: &Map<String, Value>,
    address: Option<IpAddr>,
) -> Result<AdminGrant, AdminDenied> {
    let now = c.now();
    let config = c.config.current();
    let mut claims = Claims { user: user_claims.clone(), device: Map::new(), system: system_claims(address, now) };
    let scripted = scripted::run(c, &config, name, &claims, now).await;
    scripted.add_to(&mut claims.user);
    let decision = decide(c, &config, name, Deciding { claims: &claims, responses: &[], now }).await?;
    if decision.roles.is_empty() {
        tracing::debug!(device = %name.device, "No administrative role granted");
        return Err(AdminDenied::NoRoles);
    }
    let mut facts = ScriptedFacts { claims: scripted.claims.into(), failures: Vec::new() };
    facts.failures.extend(script_failures(&scripted.failures));
    facts.failures.extend(failures(&decision.outcomes));
    let policy_names = decision.matched.into_iter().collect();
    Ok(AdminGrant { roles: decision.roles, policy_names, scripted: facts })
}

/// What policies decide by.
pub(crate) struct Deciding<'a> {
    /// Claims of user, device and system.
    pub(crate) claims: &'a Claims,
    /// Remedies the user answered.
    pub(crate) responses: &'a [Response],
    /// The moment.
    pub(crate) now: OffsetDateTime,
}

/// Asks every policy and merges what matched.
pub(crate) async fn decide(
    c: &Controller,
    config: &Arc<Config>,
    name: &DistinguishedName,
    deciding: Deciding<'_>,
) -> Result<Granted, Denied> {
    let started = Instant::now();
    let Deciding { claims, responses, now } = deciding;
    let catalog = c.catalogs.of(config);
    if let Some(object) = catalog.unreadable {
        return Err(Denied::Unreadable(object));
    }
    let value = Arc::new(claims_value(claims, responses));
    let secrets = c.secrets.of(c.store.as_ref(), config).await;
    let run = |scripts| {
        let mut batch = Batch::new(value.clone(), now, scripts, catalog.criteria.clone());
        batch.secrets = secrets.clone();
        batch
    };
    let answers = ask(c, name, run(catalog.stops.scripts.clone()), &catalog.stops.policies).await;
    let stopped = authorize::check_stops(answers).map_err(Denied::Stopped);
    if let Err(stopped) = stopped {
        c.metrics.evaluate_all_policies.note(false, started.elapsed());
        return Err(stopped);
    }
    let answers = ask(c, name, run(catalog.grants.scripts.clone()), &catalog.grants.policies).await;
    let entitlements: &mut dyn Iterator<Item = &Entitlement> = &mut config.entitlements().map(Arc::as_ref);
    let granted = authorize::merge(answers, entitlements, &catalog.sites, claims);
    c.metrics.evaluate_all_policies.note(true, started.elapsed());
    Ok(granted)
}

/// Runs the expressions; a script without a record counts as failed.
async fn ask<'a>(
    c: &Controller,
    name: &DistinguishedName,
    batch: Batch,
    policies: &'a [Arc<Policy>],
) -> Vec<(&'a Policy, Answer)> {
    let mut records = runs::evaluate(c, name, batch).await.into_iter();
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

/// User-claim scripts that failed, for audit records.
fn script_failures(failures: &[Failure]) -> impl Iterator<Item = Value> {
    failures.iter().map(|failure| json!({ "user_script": failure.script, "failure": failure_value(failure) }))
}

const CONNECT_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
