//! Running scripts for a session: whose secrets they may name, and what their runs leave behind (D 30).

use std::sync::Arc;

use sandbox::{Batch, RunRecord, Script, Urgency};
use serde_json::{Map, Value};

use super::LiveSession;
use crate::{
    audit::{Daemon, Weight},
    config::Definitions,
    scripts::milliseconds,
};

impl LiveSession {
    /// Runs scripts with these claims: one record per script, in order.
    pub(super) async fn run(
        &self,
        definitions: &Definitions,
        scripts: Vec<Script>,
        claims: Arc<Value>,
        urgency: Urgency,
    ) -> Vec<RunRecord> {
        if scripts.is_empty() {
            return Vec::new();
        }
        let mut batch = Batch::new(claims, self.gateway.clock.wall(), scripts, Arc::from([]));
        batch.urgency = urgency;
        batch.secrets = definitions.secrets();
        batch.subject = self.name.user.to_string().into();
        let records = self.gateway.scripts.run(batch).await;
        records.iter().for_each(|record| self.note_run(record));
        records
    }

    /// Keeps what a run printed and did. Texts come scrubbed of secrets from the sandbox.
    fn note_run(&self, run: &RunRecord) {
        for line in run.output.lines() {
            tracing::debug!(target: "script", script = %run.script, line, "Script printed");
        }
        for call in &run.http_calls {
            let told = [
                ("script", Value::from(run.script.as_ref())),
                ("method", call.method.as_str().into()),
                ("url", call.url.as_str().into()),
                ("status", call.status.into()),
                ("outcome", call.outcome.into()),
                ("bytes", call.bytes.into()),
                ("execution_ms", milliseconds(call.duration).into()),
            ];
            self.note(Daemon::Session, "script_http_call", Weight::Flow, members(told));
        }
        for text in &run.audit {
            let told = [("script", Value::from(run.script.as_ref())), ("message", text.as_str().into())];
            self.note(Daemon::Session, "script_audit_log", Weight::Event, members(told));
        }
    }
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
