//! What one run came to, for people and for programs.

use std::collections::BTreeMap;

use engine::script::{Failure, lint::Finding};
use sandbox::{HttpCall, RunRecord, Script};
use serde_json::{Value, json};

use crate::{
    commands::script::place::excerpt,
    output::{print_json, print_table, printable, say},
};

/// Prints the record as one document with exactly these members, so that programs can rely on them.
pub(super) fn print_record_json(record: &RunRecord) {
    let (result, error) = match &record.result {
        Ok(result) => (result.clone(), Value::Null),
        Err(failure) => (Value::Null, failure_json(failure)),
    };
    print_json(&json!({
        "result": result,
        "output": record.output,
        "error": error,
        "executionMs": milliseconds(record.duration),
        "lane": record.lane.as_str(),
        "instructions": record.instructions,
        "claimsRead": record.claims_read.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "httpCalls": record.http_calls.iter().map(call_json).collect::<Vec<_>>(),
    }));
}

/// A failure for programs.
pub(super) fn failure_json(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.as_str(),
        "message": failure.message,
        "line": failure.line,
        "column": failure.column,
    })
}

fn call_json(call: &HttpCall) -> Value {
    json!({
        "method": call.method.as_str(),
        "url": call.url,
        "status": call.status,
        "outcome": call.outcome,
        "bytes": call.bytes,
        "durationMs": milliseconds(call.duration),
    })
}

/// Milliseconds to the microsecond.
pub(super) fn milliseconds(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Prints the record for people; `scripts` are those whose lines a failure may name, the one that was run first,
/// and `suspects` what in that one may have caused the failure.
pub(super) fn print_record(record: &RunRecord, scripts: &[Script], suspects: &[Finding]) {
    match &record.result {
        Ok(result) => show("Result", &format!("{result:#}")),
        Err(failure) => say!("{}", failure_text(failure, scripts)),
    }
    for suspect in suspects {
        print_suspect(suspect, scripts);
    }
    if !record.output.is_empty() {
        say!("");
        show("Output", &record.output);
    }
    if !record.audit.is_empty() {
        say!("");
        show("Audit log", &record.audit.join("\n"));
    }
    say!("");
    print_facts(record);
    print_calls(&record.http_calls);
}

/// A failure with the line it points at.
pub(super) fn failure_text(failure: &Failure, scripts: &[Script]) -> String {
    let mut text = format!("Failed: {}: {}", failure.kind, one_line(&failure.message));
    if let Some(line) = failure.line {
        let column = failure.column.map_or_else(String::new, |column| format!(":{column}"));
        text.push_str(&format!("\n --> {}.js:{line}{column}", one_line(&failure.script)));
        let source = scripts.iter().find(|script| script.name.as_ref() == failure.script).map(|script| &script.source);
        if let Some(excerpt) = source.and_then(|source| excerpt(source, line, failure.column)) {
            text.push('\n');
            text.push_str(&excerpt);
        }
    }
    text
}

fn print_suspect(suspect: &Finding, scripts: &[Script]) {
    let (Some(script), Some(span)) = (scripts.first(), suspect.span) else { return };
    say!("Perhaps because {}", one_line(&suspect.message));
    say!(" --> {}.js:{}:{}", one_line(&script.name), span.start.line, span.start.column);
    if let Some(excerpt) = excerpt(&script.source, span.start.line, Some(span.start.column)) {
        say!("{excerpt}");
    }
}

fn one_line(text: &str) -> String {
    printable(text.to_owned())
}

fn show(heading: &str, text: &str) {
    say!("{heading}:");
    for line in text.lines() {
        say!("  {}", one_line(line));
    }
}

fn print_facts(record: &RunRecord) {
    let claims: Vec<String> = record.claims_read.iter().map(ToString::to_string).collect();
    print_table(
        &["lane", "time", "instructions", "claims read"],
        [vec![
            record.lane.to_string(),
            format!("{:.3} ms", milliseconds(record.duration)),
            record.instructions.to_string(),
            if claims.is_empty() { "none".to_owned() } else { claims.join(", ") },
        ]],
    );
}

fn print_calls(calls: &[HttpCall]) {
    if calls.is_empty() {
        return;
    }
    say!("");
    let rows = calls.iter().map(|call| {
        let outcome = call.status.map_or_else(|| call.outcome.to_owned(), |status| status.to_string());
        vec![
            format!("{} {}", call.method.as_str(), call.url),
            outcome,
            format!("{} bytes", call.bytes),
            format!("{:.0} ms", milliseconds(call.duration)),
        ]
    });
    print_table(&["http call", "answer", "size", "time"], rows);
}

/// Counts of something by name, such as runs by lane, as `2 fresh, 10 warm`.
pub(super) fn counts(counts: &BTreeMap<&str, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// So many things, such as `1 script` and `2 scripts`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
