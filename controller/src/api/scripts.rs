//! Trying out expressions (D 10). They run on the controller, in the sandbox, whatever the kind of script.

use std::sync::Arc;

use axum::extract::State;
use engine::script::{FailureKind, ScriptKind};
use sandbox::{Batch, HttpCall, Purpose, RunRecord, Script};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    api::{
        Api,
        call::{Answer, Call, ok},
        caller::Admin,
        error::{ApiError, FieldError},
        privilege::{Action, Subject, Target},
        schema,
    },
    runs::{self, failure_value},
    store::Object,
};

/// `POST /conditions/test`: conditions, policies and criteria scripts.
pub(crate) async fn test_condition(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    let may_test = |target| admin.privileges.allows(Action::Test, target, Subject::Whole);
    if !may_test(Target::Policy) && !may_test(Target::CriteriaScript) {
        admin.require(Action::Test, Target::Condition)?;
    }
    let request = TestRequest::read(call.body.object().await?, api.controller.now(), false)?;
    // As policies, so that criteria scripts can be called by name.
    let record = request.run(&api, &admin, ScriptKind::Policy).await?;
    Ok(ok(&answer(&record, &Value::Bool(false))))
}

/// `POST /entitlement-scripts/test`.
pub(crate) async fn test_entitlement_script(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Test, Target::EntitlementScript)?;
    let request = TestRequest::read(call.body.object().await?, api.controller.now(), true)?;
    let kind = match request.script_type.as_deref() {
        Some("portOrType") => ScriptKind::PortOrType,
        Some("appShortcut") => ScriptKind::AppShortcut,
        _ => ScriptKind::Host,
    };
    let record = request.run(&api, &admin, kind).await?;
    Ok(ok(&answer(&record, &Value::Array(Vec::new()))))
}

/// `POST /user-scripts/test`, ours: the vendor's console has the button without a public endpoint.
pub(crate) async fn test_user_script(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Test, Target::UserClaimScript)?;
    let request = TestRequest::read(call.body.object().await?, api.controller.now(), false)?;
    let record = request.run(&api, &admin, ScriptKind::UserClaim).await?;
    Ok(ok(&answer(&record, &Value::Object(Map::new()))))
}

struct TestRequest {
    expression: String,
    claims: Value,
    now: OffsetDateTime,
    script_type: Option<String>,
}

impl TestRequest {
    fn read(mut body: Map<String, Value>, now: OffsetDateTime, typed: bool) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let mut take = |name: &str| body.remove(name).filter(|value| !value.is_null());
        let expression = match take("expression") {
            Some(Value::String(text)) if !text.trim().is_empty() => text,
            given => {
                let message = if given.is_none() { "may not be null" } else { "must be text that is not empty" };
                errors.push(FieldError::new("expression", message));
                String::new()
            }
        };
        let mut claims = Map::new();
        for (member, name) in [("userClaims", "user"), ("deviceClaims", "device"), ("systemClaims", "system")] {
            let given = take(member).unwrap_or_else(|| Value::Object(Map::new()));
            if !given.is_object() {
                errors.push(FieldError::new(member, "must be an object"));
            }
            claims.insert(name.to_owned(), given);
        }
        let time = match take("time") {
            None => Some(now),
            Some(text) => text.as_str().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
        };
        if time.is_none() {
            errors.push(FieldError::new("time", "is not a time such as 2026-01-05T09:00:00Z"));
        }
        let script_type = take("type").and_then(|value| value.as_str().map(str::to_owned));
        if typed && !script_type.as_deref().is_some_and(|text| schema::ENTITLEMENT_SCRIPT_TYPES.contains(&text)) {
            errors.push(FieldError::new(
                "type",
                format!("must be one of {}", schema::ENTITLEMENT_SCRIPT_TYPES.join(", ")),
            ));
        }
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        Ok(Self { expression, claims: Value::Object(claims), now: time.unwrap_or(now), script_type })
    }

    /// Runs as a test: it does not count for quarantine, and what it would write to the audit log is shown instead.
    async fn run(&self, api: &Api, admin: &Admin, kind: ScriptKind) -> Result<RunRecord, ApiError> {
        let config = api.controller.config.current();
        let criteria = config.criteria_scripts().map(|script| Script {
            name: script.name.as_str().into(),
            kind: ScriptKind::Criteria,
            source: script.expression.as_str().into(),
        });
        let script = Script { name: "test".into(), kind, source: self.expression.as_str().into() };
        let mut batch = Batch::new(Arc::new(self.claims.clone()), self.now, vec![script], criteria.collect());
        batch.purpose = Purpose::Test;
        batch.subject = admin.actor().name.user.to_string().into();
        let may_use = |secret: &Object| admin.may(Action::View, secret);
        let store = api.controller.store.as_ref();
        batch.secrets = api.controller.secrets.those(store, &config, may_use).await;
        let busy = || ApiError::Busy { retry_after: std::time::Duration::from_secs(1) };
        let mut record = api.controller.sandbox.evaluate(batch).await.into_iter().next().ok_or_else(busy)?;
        match &mut record.result {
            Err(failure) if failure.kind == FailureKind::Overloaded => return Err(busy()),
            Err(failure) if failure.kind == FailureKind::SecretMissing => failure.message.push_str(NOT_VIEWABLE),
            Ok(_) | Err(_) => {}
        }
        runs::note(&api.controller, Some(&admin.actor().name), &RunRecord { audit: Vec::new(), ..record.clone() });
        Ok(record)
    }
}

/// 200 whether or not the script failed; a failure stands in `error`, with its parts in `errorDetails`.
fn answer(record: &RunRecord, nothing: &Value) -> Value {
    let (result, error) = match &record.result {
        Ok(result) => (result.clone(), None),
        Err(failure) => (nothing.clone(), Some(failure)),
    };
    let mut answer = json!({
        "result": result,
        "output": record.output,
        "executionMs": record.duration.as_secs_f64() * 1000.0,
        "lane": record.lane.as_str(),
        "instructions": record.instructions,
        "claimsRead": record.claims_read,
        "httpCalls": record.http_calls.iter().map(call_document).collect::<Vec<_>>(),
        "auditLog": record.audit,
    });
    if let (Some(members), Some(failure)) = (answer.as_object_mut(), error) {
        members.insert("error".to_owned(), failure.to_string().into());
        members.insert("errorDetails".to_owned(), failure_value(failure));
    }
    answer
}

fn call_document(call: &HttpCall) -> Value {
    json!({
        "method": call.method.as_str(), "url": call.url, "status": call.status, "outcome": call.outcome, "bytes": call.bytes,
        "executionMs": call.duration.as_secs_f64() * 1000.0,
    })
}

/// Added to the text of a missing secret, because one that may not be viewed is not told from one that does not exist.
const NOT_VIEWABLE: &str = "; tests use only secrets that you may view";
