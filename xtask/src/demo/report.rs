//! What the demo prints: one line per step with its measured time, and the sum at the end.

use std::{
    fmt,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;

use crate::Output;

/// What a step found out.
pub struct Done {
    /// What was seen, in plain words.
    pub detail: String,
    /// The time that matters, when it is not that of the whole step.
    pub measured: Option<Duration>,
}

impl Done {
    /// The step's own time is what matters.
    pub fn saw(detail: impl fmt::Display) -> Result<Self> {
        Ok(Self { detail: detail.to_string(), measured: None })
    }

    /// This time is what matters.
    pub fn measured(time: Duration, detail: impl fmt::Display) -> Result<Self> {
        Ok(Self { detail: detail.to_string(), measured: Some(time) })
    }
}

/// Counts and prints.
pub struct Report {
    output: Output,
    passed: usize,
    failed: usize,
}

impl Report {
    /// Nothing counted yet.
    pub fn new(output: Output) -> Self {
        Self { output, passed: 0, failed: 0 }
    }

    /// Takes one step and says whether it passed.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Done>) -> bool {
        let before = Instant::now();
        let outcome = run();
        let whole = before.elapsed();
        let (ok, time, detail) = match outcome {
            Ok(done) => (true, done.measured.unwrap_or(whole), done.detail),
            Err(error) => (false, whole, format!("{error:#}")),
        };
        *(if ok { &mut self.passed } else { &mut self.failed }) += 1;
        match self.output {
            Output::Text => println!("{:<4} {:>9}  {name}: {detail}", if ok { "ok" } else { "FAIL" }, text(time)),
            Output::Json => {
                println!("{}", json!({ "step": name, "ok": ok, "ms": time.as_secs_f64() * 1000.0, "detail": detail }))
            }
        }
        ok
    }

    /// Says something beside the steps; programs do not get it.
    pub fn note(&self, line: impl fmt::Display) {
        if self.output == Output::Text {
            println!("{line}");
        }
    }

    /// Whether any step failed.
    pub fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// The sum, printed and as exit code.
    pub fn end(&self) -> ExitCode {
        match self.output {
            Output::Text => println!("demo: {} passed, {} failed", self.passed, self.failed),
            Output::Json => println!("{}", json!({ "passed": self.passed, "failed": self.failed })),
        }
        if self.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// A time as people read it: `12 ms`, `1.3 ms`, `61.2 s`.
pub fn text(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        10.0..10_000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.1} s", millis / 1000.0),
    }
}
