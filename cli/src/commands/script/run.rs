//! `portcullis script run`: one script, once.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::ValueEnum;
use engine::script::{
    FailureKind, ScriptKind,
    lint::{Finding, LintContext, lint},
};
use sandbox::{Batch, HttpBackend, Lane, LaneChoice, Origin, RunRecord, Sandbox, SandboxConfig, Script};
use time::OffsetDateTime;

use crate::{
    commands::script::{
        exchange::{AllowOrigins, Recorder, Redactor, RefuseAll, Replay},
        input::{self, ClaimsFile, Known},
        kind_parser, report,
    },
    output::{Output, warn},
    process,
};

/// Arguments of `portcullis script run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The script.
    file: PathBuf,
    /// What it is written for.
    #[arg(long, value_parser = kind_parser())]
    kind: ScriptKind,
    /// What it sees: a JSON file with `user`, `device`, `system` and, for answered remedies, `responses`.
    #[arg(long, value_name = "FILE")]
    claims: PathBuf,
    /// Folder of criteria scripts; each can be called by the name of its file.
    #[arg(long, value_name = "DIR")]
    criteria: Option<PathBuf>,
    /// Secrets it may name: a YAML or JSON file of `NAME: value`.
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// What its clock says; now when absent.
    #[arg(long, value_name = "RFC3339", value_parser = input::parse_time)]
    time: Option<OffsetDateTime>,
    /// Lets it call this origin, such as https://api.example.com; may be given more than once.
    #[arg(long = "allow-http", value_name = "ORIGIN", value_parser = Origin::parse)]
    allow_http: Vec<Origin>,
    /// Keeps its HTTP exchanges in this file, without secrets.
    #[arg(long, value_name = "FILE", requires = "allow_http")]
    record: Option<PathBuf>,
    /// Answers its HTTP calls from this file, without network.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["allow_http", "record"])]
    replay: Option<PathBuf>,
    /// Take the read-only members of Java strings and lists away from scripts, such as `isEmpty()` and `equalsIgnoreCase()`.
    #[arg(long)]
    no_java_members: bool,
    /// Where to run it.
    #[arg(long, value_enum, default_value_t = LaneArgument::Auto)]
    lane: LaneArgument,
    /// Form of the answer.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

/// Where to run a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LaneArgument {
    /// The cheapest it is proved for.
    Auto,
    /// In this process, by our own evaluator.
    Native,
    /// In a prepared context.
    Warm,
    /// In a context of its own.
    Fresh,
}

impl From<LaneArgument> for LaneChoice {
    fn from(lane: LaneArgument) -> Self {
        match lane {
            LaneArgument::Auto => Self::Auto,
            LaneArgument::Native => Self::Only(Lane::Native),
            LaneArgument::Warm => Self::Only(Lane::Warm),
            LaneArgument::Fresh => Self::Only(Lane::Fresh),
        }
    }
}

/// Runs the script; fails when the script does.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let script = input::read_script(&args.file, args.kind)?;
    let claims = ClaimsFile::read(&args.claims)?.into_claims(Vec::new())?;
    let criteria: Arc<[Script]> = args.criteria.as_deref().map_or(Ok(Vec::new()), input::read_criteria)?.into();
    let known = read_secrets(&args)?;
    let redactor = Arc::new(Redactor::new(&known));
    let recorder = match &args.record {
        Some(_) => Some(Arc::new(Recorder::new(allowed(&args)?, Arc::clone(&redactor)))),
        None => None,
    };
    let mut config = SandboxConfig::new(process::worker_command()?);
    config.workers = 1;
    config.spares = 0;
    config.java_members = !args.no_java_members;
    config.http = match (&args.replay, &recorder) {
        (Some(file), _) => Arc::new(Replay::read(file, redactor)?),
        (None, Some(recorder)) => Arc::clone(recorder) as Arc<dyn HttpBackend>,
        (None, None) => allowed(&args)?,
    };
    let sandbox = Sandbox::start(config).await.context("could not start a script worker")?;
    let batch = Batch {
        secrets: known.secrets,
        subject: "author".into(),
        lane: args.lane.into(),
        ..Batch::new(
            claims,
            args.time.unwrap_or_else(OffsetDateTime::now_utc),
            vec![script.clone()],
            Arc::clone(&criteria),
        )
    };
    let record = sandbox.evaluate(batch).await.into_iter().next().context("the script was not run")?;
    let suspects = suspects(&sandbox, &script, &record).await;
    sandbox.stop().await;
    if let (Some(recorder), Some(path)) = (recorder, &args.record) {
        recorder.write(path)?;
    }
    let scripts: Vec<Script> = std::iter::once(script).chain(criteria.iter().cloned()).collect();
    match args.output {
        Output::Json => report::print_record_json(&record),
        Output::Table => report::print_record(&record, &scripts, &suspects),
    }
    Ok(if record.result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads that may have caused a failure whose place the engine does not know, as it does not where a claim is missing.
async fn suspects(sandbox: &Sandbox, script: &Script, record: &RunRecord) -> Vec<Finding> {
    let Err(failure) = &record.result else { return Vec::new() };
    if failure.kind != FailureKind::Type || failure.line.is_some() || failure.script != script.name.as_ref() {
        return Vec::new();
    }
    let Ok(admission) = sandbox.admit(script.clone()).await else { return Vec::new() };
    let context = LintContext { kind: script.kind, schedules: None, secrets: None, source: &script.source };
    let mut findings = lint(&admission.tree, &context);
    findings.retain(|finding| finding.code == UNGUARDED);
    findings.truncate(MAX_SUSPECTS);
    findings
}

/// The warning about a claim that may be missing.
const UNGUARDED: &str = "unguarded-claim";
/// More would not help anybody to find the right one.
const MAX_SUSPECTS: usize = 3;

fn read_secrets(args: &Args) -> anyhow::Result<Known> {
    let Some(path) = &args.secrets else { return Ok(Known::default()) };
    let (known, open) = Known::read(path)?;
    if open {
        warn(format_args!("warning: others can read `{}`; use `chmod 600`", path.display()));
    }
    Ok(known)
}

/// Who carries out calls: the broker for the origins the author named, nobody when there are none.
fn allowed(args: &Args) -> anyhow::Result<Arc<dyn HttpBackend>> {
    if args.allow_http.is_empty() {
        return Ok(Arc::new(RefuseAll));
    }
    Ok(Arc::new(AllowOrigins::new(args.allow_http.as_slice().into())?))
}
