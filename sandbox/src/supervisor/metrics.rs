//! Numbers about the sandbox for operators.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use engine::script::FailureKind;
use engine::script::lanes::Lane;

use crate::batch::RunRecord;
use crate::http::{HttpFailure, HttpOutcome};

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By outcome, then lane.
    runs: [[AtomicU64; LANES.len()]; OUTCOMES.len()],
    http: [AtomicU64; HTTP_OUTCOMES.len()],
    spawned: AtomicU64,
    killed: AtomicU64,
    /// Runs that wait for HTTP now.
    parked: AtomicUsize,
}

impl Counters {
    pub(super) fn ran(&self, record: &RunRecord) {
        let outcome = record.result.as_ref().err().map(|failure| failure.kind);
        let row = OUTCOMES.iter().position(|each| *each == outcome).and_then(|at| self.runs.get(at));
        let lane = LANES.iter().position(|lane| *lane == record.lane);
        if let Some(counter) = row.zip(lane).and_then(|(row, lane)| row.get(lane)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn called(&self, outcome: &HttpOutcome) {
        let code = outcome_code(outcome);
        if let Some(counter) = HTTP_OUTCOMES.iter().position(|name| *name == code).and_then(|at| self.http.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn spawned(&self) {
        self.spawned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn killed(&self) {
        self.killed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one parked run until the guard is dropped.
    pub(super) fn parked(&self) -> ParkedGuard<'_> {
        self.parked.fetch_add(1, Ordering::Relaxed);
        ParkedGuard(&self.parked)
    }

    pub(super) fn parked_now(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    /// The metrics these counters make up; the rest is for the caller to fill in.
    pub(super) fn metrics(&self) -> SandboxMetrics {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let runs = OUTCOMES.iter().zip(&self.runs).flat_map(|(outcome, lanes)| {
            LANES.iter().zip(lanes).map(|(lane, count)| RunCount {
                outcome: outcome_name(*outcome),
                lane: *lane,
                count: load(count),
            })
        });
        SandboxMetrics {
            runs: runs.collect(),
            http_calls: HTTP_OUTCOMES.iter().zip(&self.http).map(|(code, count)| (*code, load(count))).collect(),
            workers_spawned: load(&self.spawned),
            workers_killed: load(&self.killed),
            workers_parked: self.parked_now(),
            ..SandboxMetrics::default()
        }
    }
}

/// See [`Counters::parked`].
pub(super) struct ParkedGuard<'a>(&'a AtomicUsize);

impl Drop for ParkedGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The code of a call's end in records and metrics.
pub(super) fn outcome_code(outcome: &HttpOutcome) -> &'static str {
    match outcome {
        HttpOutcome::Answer { .. } => "answer",
        HttpOutcome::Failed(failure) => failure.as_str(),
        HttpOutcome::Refused(_) => "refused",
        HttpOutcome::Invalid(_) => "invalid",
    }
}

/// Numbers about the sandbox at one moment; counters count from its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxMetrics {
    /// Runs that ended, by outcome and lane.
    pub runs: Vec<RunCount>,
    /// HTTP calls that ended, by the code of [`crate::HttpCall::outcome`].
    pub http_calls: Vec<(&'static str, u64)>,
    /// Worker processes started.
    pub workers_spawned: u64,
    /// Worker processes killed for what a script did.
    pub workers_killed: u64,
    /// Workers waiting for work.
    pub workers_ready: usize,
    /// Workers computing.
    pub workers_busy: usize,
    /// Workers whose script waits for HTTP.
    pub workers_parked: usize,
    /// Entries of the scripts' cache.
    pub cache_entries: u64,
    /// Scripts that are not run until they are edited.
    pub quarantined: usize,
    /// Isolation layers and whether each is in force.
    pub layers: Vec<(&'static str, bool)>,
}

/// How many runs ended one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCount {
    /// `ok` or the code of a [`FailureKind`].
    pub outcome: &'static str,
    /// Where they ran.
    pub lane: Lane,
    /// How many.
    pub count: u64,
}

impl SandboxMetrics {
    /// The metrics in Prometheus' text format, every name beginning with `prefix`.
    pub fn prometheus(&self, prefix: &str) -> String {
        let mut out = String::with_capacity(4096);
        self.write(prefix, &mut out).map(|()| out).unwrap_or_default()
    }

    fn write(&self, prefix: &str, out: &mut String) -> std::fmt::Result {
        head(out, prefix, "script_runs_total", "counter", "Script runs by outcome and lane.")?;
        for RunCount { outcome, lane, count } in &self.runs {
            writeln!(out, "{prefix}script_runs_total{{outcome=\"{outcome}\",lane=\"{lane}\"}} {count}")?;
        }
        head(out, prefix, "script_http_calls_total", "counter", "HTTP calls of scripts by outcome.")?;
        for (outcome, count) in &self.http_calls {
            writeln!(out, "{prefix}script_http_calls_total{{outcome=\"{outcome}\"}} {count}")?;
        }
        head(out, prefix, "script_workers", "gauge", "Script workers by state.")?;
        for (state, count) in
            [("ready", self.workers_ready), ("busy", self.workers_busy), ("parked", self.workers_parked)]
        {
            writeln!(out, "{prefix}script_workers{{state=\"{state}\"}} {count}")?;
        }
        head(out, prefix, "script_isolation_layer", "gauge", "Whether an isolation layer is in force.")?;
        for (layer, present) in &self.layers {
            writeln!(out, "{prefix}script_isolation_layer{{layer=\"{layer}\"}} {}", u8::from(*present))?;
        }
        let quarantined = u64::try_from(self.quarantined).unwrap_or(u64::MAX);
        for (name, kind, help, value) in [
            ("script_workers_spawned_total", "counter", "Script workers started.", self.workers_spawned),
            ("script_workers_killed_total", "counter", "Script workers killed for a script.", self.workers_killed),
            ("script_cache_entries", "gauge", "Entries of the scripts' cache.", self.cache_entries),
            ("script_quarantined", "gauge", "Scripts not run until they are edited.", quarantined),
        ] {
            head(out, prefix, name, kind, help)?;
            writeln!(out, "{prefix}{name} {value}")?;
        }
        Ok(())
    }
}

fn head(out: &mut String, prefix: &str, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(out, "# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}")
}

const LANES: [Lane; 3] = [Lane::Native, Lane::Warm, Lane::Fresh];

/// How runs end; well or with a failure.
const OUTCOMES: [Option<FailureKind>; 13] = [
    None,
    Some(FailureKind::Syntax),
    Some(FailureKind::Type),
    Some(FailureKind::Thrown),
    Some(FailureKind::Timeout),
    Some(FailureKind::Instructions),
    Some(FailureKind::Memory),
    Some(FailureKind::Crash),
    Some(FailureKind::HttpRefused),
    Some(FailureKind::SecretMissing),
    Some(FailureKind::WrongResult),
    Some(FailureKind::Overloaded),
    Some(FailureKind::Quarantined),
];

/// The name of an outcome in metrics.
fn outcome_name(outcome: Option<FailureKind>) -> &'static str {
    outcome.map_or("ok", FailureKind::as_str)
}

const HTTP_OUTCOMES: [&str; 9] = [
    "answer",
    "refused",
    "invalid",
    HttpFailure::Timeout.as_str(),
    HttpFailure::Resolve.as_str(),
    HttpFailure::Connect.as_str(),
    HttpFailure::Certificate.as_str(),
    HttpFailure::TooLarge.as_str(),
    HttpFailure::Broken.as_str(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_text_names_every_series_once() {
        let counters = Counters::default();
        counters.called(&HttpOutcome::Failed(HttpFailure::Broken));
        let mut metrics = counters.metrics();
        metrics.layers = vec![("rlimits", true), ("landlock", false)];
        let text = metrics.prometheus("portcullis_");
        let mut series: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|it| it.0)
            .collect();
        assert!(text.contains("portcullis_script_http_calls_total{outcome=\"broken\"} 1\n"));
        assert!(text.contains("portcullis_script_isolation_layer{layer=\"landlock\"} 0\n"));
        assert!(text.contains("portcullis_script_runs_total{outcome=\"http-refused\",lane=\"warm\"} 0\n"));
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all);
    }
}
