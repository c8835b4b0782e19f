//! User-claim scripts (D 8, D 19): what the provider's scripts add to the claims of a user.
//!
//! They run together, at every authorization, before the policies, and see the claims of user, device and system. Answers
//! are merged in the provider's order; of two that name the same claim the later wins. A script that fails, or whose answer
//! would make the whole too large, contributes nothing, and the others stay. The outcome goes into the entitlement tokens,
//! so that gateways decide by the same claims.

use std::{sync::Arc, time::Instant};

use engine::{
    claims::Claims,
    dn::DistinguishedName,
    script::{Failure, FailureKind, ScriptKind},
};
use sandbox::{Batch, Script};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{config::Config, runs, state::Controller};

/// What the scripts answered.
#[derive(Default)]
pub(super) struct Scripted {
    /// `claims.user.agScripted`; nothing when the provider has no scripts.
    pub(super) claims: Option<Map<String, Value>>,
    /// What went wrong.
    pub(super) failures: Vec<Failure>,
}

impl Scripted {
    /// Adds the answers to the claims that policies see.
    pub(super) fn add_to(&self, user: &mut Map<String, Value>) {
        if let Some(scripted) = &self.claims {
            user.insert(SCRIPTED.to_owned(), Value::Object(scripted.clone()));
        }
    }
}

/// Runs the scripts of the user's provider.
pub(super) async fn run(
    c: &Controller,
    config: &Arc<Config>,
    name: &DistinguishedName,
    claims: &Claims,
    now: OffsetDateTime,
) -> Scripted {
    let provider = config.identity_provider_by_name(&name.user.provider);
    let Some(provider) = provider.filter(|provider| !provider.user_scripts.is_empty()) else {
        return Scripted::default();
    };
    let mut scripts = Vec::new();
    let mut failures = Vec::new();
    for id in &provider.user_scripts {
        match config.user_script(*id) {
            Some(script) => scripts.push(Script {
                name: script.name.as_str().into(),
                kind: ScriptKind::UserClaim,
                source: script.expression.as_str().into(),
            }),
            None => failures.push(failed(FailureKind::Syntax, &id.to_string(), "the script cannot be read")),
        }
    }
    let mut batch = Batch::new(Arc::new(claims.to_value()), now, scripts, Arc::from([]));
    batch.secrets = c.secrets.of(c.store.as_ref(), config).await;
    let started = Instant::now();
    let records = runs::evaluate(c, name, batch).await;
    let answers = records.into_iter().map(|record| (record.script, record.result));
    let merged = merge(answers, &mut failures);
    c.metrics.evaluate_user_claim_script.note(failures.is_empty(), started.elapsed());
    Scripted { claims: Some(merged), failures }
}

fn merge(
    answers: impl Iterator<Item = (Arc<str>, Result<Value, Failure>)>,
    failures: &mut Vec<Failure>,
) -> Map<String, Value> {
    let mut merged: Map<String, Value> = Map::new();
    let mut size = 0;
    for (script, answer) in answers {
        let members = match answer {
            Ok(Value::Object(members)) => members,
            Ok(_) => {
                failures.push(failed(FailureKind::WrongResult, &script, "the answer is no object"));
                continue;
            }
            Err(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let bytes = serde_json::to_string(&members).map_or(usize::MAX, |text| text.len());
        if bytes > MAX_SCRIPTED_BYTES.saturating_sub(size) || !engine::claims::within_bounds(&members) {
            failures.push(failed(FailureKind::WrongResult, &script, "the answer makes the claims too large"));
            continue;
        }
        size += bytes;
        for (claim, value) in members {
            if merged.contains_key(&claim) {
                tracing::warn!(%script, claim, "User-claim scripts answer the same claim and the later one wins");
            }
            merged.insert(claim, value);
        }
    }
    merged
}

fn failed(kind: FailureKind, script: &str, message: &str) -> Failure {
    Failure { kind, script: script.to_owned(), message: message.to_owned(), line: None, column: None }
}

const SCRIPTED: &str = "agScripted";

/// Most bytes that the answers may take as JSON; they travel in every entitlement token of the user.
const MAX_SCRIPTED_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(answers: Vec<(&str, Result<Value, Failure>)>) -> (Value, Vec<String>) {
        let mut failures = Vec::new();
        let answers = answers.into_iter().map(|(script, answer)| (Arc::from(script), answer));
        let merged = merge(answers, &mut failures);
        (Value::Object(merged), failures.into_iter().map(|failure| failure.script).collect())
    }

    #[test]
    fn the_later_answer_wins_and_a_failure_costs_only_itself() {
        let (claims, failures) = merged(vec![
            ("groups", Ok(json!({ "groups": ["a"], "team": "red" }))),
            ("broken", Err(failed(FailureKind::Timeout, "broken", "too slow"))),
            ("odd", Ok(json!(["no object"]))),
            ("team", Ok(json!({ "team": "blue" }))),
        ]);
        assert_eq!(claims, json!({ "groups": ["a"], "team": "blue" }));
        assert_eq!(failures, ["broken", "odd"]);
    }

    #[test]
    fn an_answer_that_is_too_large_contributes_nothing() {
        let large = "x".repeat(MAX_SCRIPTED_BYTES);
        let (claims, failures) = merged(vec![
            ("small", Ok(json!({ "a": 1 }))),
            ("large", Ok(json!({ "a": large }))),
            ("last", Ok(json!({ "b": 2 }))),
        ]);
        assert_eq!((claims, failures), (json!({ "a": 1, "b": 2 }), vec!["large".to_owned()]));
    }
}
