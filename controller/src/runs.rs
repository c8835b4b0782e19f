//! Running scripts on the controller: every run leaves what it printed in the log and what it did in the audit log.
//!
//! Texts come scrubbed of secrets from the sandbox.

use engine::{dn::DistinguishedName, script::Failure};
use sandbox::{Batch, RunRecord};
use serde_json::{Value, json};

use crate::{audit::Record, state::Controller};

/// A script called out.
pub(crate) const SCRIPT_HTTP_CALL: &str = "script_http_call";
/// A script wrote to the audit log.
pub(crate) const SCRIPT_AUDIT_LOG: &str = "script_audit_log";

/// Runs a batch for somebody: one record per script, in order.
pub(crate) async fn evaluate(c: &Controller, name: &DistinguishedName, mut batch: Batch) -> Vec<RunRecord> {
    if batch.scripts.is_empty() {
        return Vec::new();
    }
    batch.subject = name.user.to_string().into();
    let records = c.sandbox.evaluate(batch).await;
    for record in &records {
        note(c, Some(name), record);
    }
    records
}

/// Keeps what a run printed and did.
pub(crate) fn note(c: &Controller, name: Option<&DistinguishedName>, run: &RunRecord) {
    for line in run.output.lines() {
        tracing::debug!(target: "script", script = %run.script, line, "Script printed");
    }
    let record = |event_type| {
        let record = Record::new(event_type).with("script", run.script.as_ref());
        if let Some(name) = name { record.name(name) } else { record }
    };
    for call in &run.http_calls {
        let told = record(SCRIPT_HTTP_CALL)
            .with("method", call.method.as_str())
            .with("url", call.url.as_str())
            .with("status", call.status)
            .with("outcome", call.outcome)
            .with("bytes", call.bytes)
            .with("execution_ms", milliseconds(call.duration));
        // One for which there is no room is counted, and the count becomes a record.
        let _ = c.records.push(told.event());
    }
    for text in &run.audit {
        let _ = c.records.push(record(SCRIPT_AUDIT_LOG).with("message", text.as_str()).event());
    }
}

/// A failure as audit records and the API tell it.
pub(crate) fn failure_value(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.as_str(), "script": failure.script, "message": failure.message,
        "line": failure.line, "column": failure.column,
    })
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
