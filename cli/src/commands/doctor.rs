//! `portcullis doctor`: what this machine offers and lacks. It changes nothing.

mod checks;

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;

use crate::output::{Output, print_json, print_table};

/// Arguments of `portcullis doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of the answer.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Also check who can read the files of this data directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    check: String,
    result: Outcome,
    detail: String,
}

/// How good that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// There.
    Ok,
    /// Not there, and needed for some use only.
    Absent,
    /// Not there, and everything suffers.
    Bad,
}

impl Finding {
    fn new(check: impl Into<String>, result: Outcome, detail: impl Into<String>) -> Self {
        Self { check: check.into(), result, detail: detail.into() }
    }
}

/// Runs the checks; fails when one is bad.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = checks::system();
    findings.extend(checks::ports());
    findings.extend(checks::network());
    #[cfg(any(feature = "controller", feature = "gateway"))]
    findings.extend(checks::isolation().await);
    if let Some(data) = &args.data {
        findings.extend(checks::data_dir(data));
    }
    match args.output {
        Output::Json => print_json(&serde_json::to_value(&findings)?),
        Output::Table => {
            let word = |outcome| match outcome {
                Outcome::Ok => "ok",
                Outcome::Absent => "absent",
                Outcome::Bad => "BAD",
            };
            print_table(
                &["check", "result", ""],
                findings.iter().map(|finding| {
                    vec![finding.check.clone(), word(finding.result).to_owned(), finding.detail.clone()]
                }),
            );
        }
    }
    let bad = findings.iter().any(|finding| finding.result == Outcome::Bad);
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
