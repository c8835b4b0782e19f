//! `portcullis script lint`: reads scripts in a worker, never runs them, and says what looks like a mistake.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use engine::script::{
    Failure, ScriptKind,
    lint::{Finding, LintContext, lint},
};
use sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use crate::{
    commands::script::{
        input::{self, InputError},
        kind_parser,
        report::counted,
        test::{TestFile, find, test_of},
    },
    output::{Output, printable, say},
    process,
};

/// Arguments of `portcullis script lint`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Scripts, or folders that are searched for them.
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// What scripts without a test file are written for.
    #[arg(long, value_parser = kind_parser())]
    kind: Option<ScriptKind>,
    /// Fail on warnings too.
    #[arg(long)]
    deny_warnings: bool,
    /// Form of the answer; with `json` one object a line.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// A controller would not take the script, or it cannot be looked at.
    Error,
    /// It runs, and probably not as its author thinks.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Something to tell about a script.
struct Remark {
    severity: Severity,
    code: String,
    line: Option<u32>,
    column: Option<u32>,
    message: String,
}

/// Looks at every script; fails on errors, and on warnings when they are denied.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let scripts = find(&args.paths)?.scripts;
    let mut config = SandboxConfig::new(process::worker_command()?);
    config.workers = 1;
    config.spares = 0;
    let sandbox = Sandbox::start(config).await.context("could not start a script worker")?;
    let (mut errors, mut warnings) = (0, 0);
    for script in &scripts {
        for remark in remarks(&sandbox, script, args.kind).await {
            match remark.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            print(script, &remark, args.output);
        }
    }
    sandbox.stop().await;
    if args.output == Output::Table {
        let counts = [(scripts.len(), "script"), (errors, "error"), (warnings, "warning")];
        say!("{}", counts.map(|(count, thing)| counted(count, thing)).join(", "));
    }
    let passed = errors == 0 && (warnings == 0 || !args.deny_warnings);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn remarks(sandbox: &Sandbox, path: &Path, kind: Option<ScriptKind>) -> Vec<Remark> {
    match look_at(sandbox, path, kind).await {
        Ok(remarks) => remarks,
        Err(error) => vec![Remark {
            severity: Severity::Error,
            code: "unreadable".to_owned(),
            line: None,
            column: None,
            message: error.to_string(),
        }],
    }
}

async fn look_at(sandbox: &Sandbox, path: &Path, kind: Option<ScriptKind>) -> Result<Vec<Remark>, InputError> {
    let test_path = test_of(path);
    let test = if test_path.is_file() { Some(TestFile::read(&test_path)?) } else { None };
    let kind = match &test {
        Some(test) => Some(test.kind(&test_path)?),
        None => kind,
    };
    let Some(kind) = kind else {
        let message = "what is it written for? Put a test file beside it, or say it with --kind".to_owned();
        return Ok(vec![Remark {
            severity: Severity::Error,
            code: "unknown-kind".to_owned(),
            line: None,
            column: None,
            message,
        }]);
    };
    let script = input::read_script(path, kind)?;
    let schedules = test.as_ref().map(|test| test.schedules.as_slice());
    let secrets = test.as_ref().map(TestFile::secret_names);
    match sandbox.admit(script.clone()).await {
        Err(failure) => Ok(vec![refused(failure)]),
        Ok(admission) => {
            let context = LintContext { kind, schedules, secrets: secrets.as_deref(), source: &script.source };
            Ok(lint(&admission.tree, &context).into_iter().map(warning).collect())
        }
    }
}

fn refused(failure: Failure) -> Remark {
    let Failure { kind, script: _, message, line, column } = failure;
    Remark { severity: Severity::Error, code: kind.to_string(), line, column, message }
}

fn warning(finding: Finding) -> Remark {
    let Finding { code, span, message } = finding;
    let start = span.map(|span| span.start);
    Remark {
        severity: Severity::Warning,
        code: code.to_owned(),
        line: start.map(|start| start.line),
        column: start.map(|start| start.column),
        message,
    }
}

fn print(script: &Path, remark: &Remark, output: Output) {
    let Remark { severity, code, line, column, message } = remark;
    match output {
        Output::Json => say!(
            "{}",
            json!({ "file": script, "line": line, "column": column, "severity": severity.as_str(), "code": code, "message": message })
        ),
        Output::Table => {
            let place = match (line, column) {
                (Some(line), Some(column)) => format!(":{line}:{column}"),
                (Some(line), None) => format!(":{line}"),
                (None, _) => String::new(),
            };
            let file = printable(script.display().to_string());
            say!("{file}{place}: {}[{code}]: {}", severity.as_str(), printable(message.clone()));
        }
    }
}
