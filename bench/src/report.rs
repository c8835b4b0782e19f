//! Figures and how they are printed.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One object a line.
    Json,
}

/// The figures of one bench.
pub struct Report {
    bench: String,
    output: Output,
    rows: Vec<Row>,
    notes: Vec<String>,
    verdicts: Vec<String>,
}

struct Row {
    case: String,
    metric: String,
    value: f64,
    unit: &'static str,
    /// Who did the same in the same run, and how many times as much it took.
    beside: Option<(String, f64)>,
}

impl Report {
    /// An empty report.
    pub fn new(bench: &str, output: Output) -> Self {
        Self { bench: bench.to_owned(), output, rows: Vec::new(), notes: vec![machine()], verdicts: Vec::new() }
    }

    /// Adds one figure.
    pub fn add(&mut self, case: &str, metric: &str, value: f64, unit: &'static str) {
        self.push(case, metric, value, unit, None);
    }

    /// Adds a cost that a peer was measured at in the same run.
    pub fn add_beside(&mut self, case: &str, metric: &str, value: f64, unit: &'static str, peer: (&str, f64)) {
        let (name, theirs) = peer;
        self.push(case, metric, value, unit, Some((name.to_owned(), theirs / value)));
    }

    fn push(&mut self, case: &str, metric: &str, value: f64, unit: &'static str, beside: Option<(String, f64)>) {
        self.rows.push(Row { case: case.to_owned(), metric: metric.to_owned(), value, unit, beside });
    }

    /// Says what was measured, for people.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Says whether a figure keeps within a bound.
    pub fn verdict(&mut self, text: String, holds: bool) {
        self.verdicts.push(format!("{}  {text}", if holds { "pass" } else { "FAIL" }));
    }

    /// Tells how far a long run is.
    pub fn progress(&self, text: &str) {
        eprintln!("{}: {text}", self.bench);
    }

    /// Prints everything.
    pub fn print(&self) -> Result<()> {
        match self.output {
            Output::Table => self.print_table(),
            Output::Json => {
                self.print_lines()?;
                self.verdicts.iter().for_each(|verdict| eprintln!("{}: {verdict}", self.bench));
            }
        }
        Ok(())
    }

    fn print_lines(&self) -> Result<()> {
        for row in &self.rows {
            let mut line = json!({ "bench": self.bench, "case": row.case, "metric": row.metric, "value": row.value, "unit": row.unit });
            if let (Some((peer, ratio)), Some(line)) = (&row.beside, line.as_object_mut()) {
                line.insert("peer".to_owned(), peer.as_str().into());
                line.insert("ratio".to_owned(), (*ratio).into());
            }
            println!("{}", serde_json::to_string(&line)?);
        }
        Ok(())
    }

    fn print_table(&self) {
        for note in &self.notes {
            println!("{note}");
        }
        let width = self.rows.iter().map(|row| row.case.len()).max().unwrap_or(0);
        for row in &self.rows {
            let beside = row.beside.as_ref().map(|(peer, ratio)| format!("  {ratio:.2} x as cheap as {peer}"));
            let beside = beside.unwrap_or_default();
            println!("{:width$}  {:<12} {:>12.3} {}{beside}", row.case, row.metric, row.value, row.unit);
        }
        self.verdicts.iter().for_each(|verdict| println!("{verdict}"));
    }
}

/// The value below which a share of the samples lies; samples need no order.
pub fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    let index = ((last as f64) * share).round() as usize;
    samples.get(index.min(last)).copied().unwrap_or_default()
}

/// Milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The middle of the figures of several runs.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    format!("machine: {cores} cores, {}", model.unwrap_or_else(|| "unknown processor".to_owned()))
}
