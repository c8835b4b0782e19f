//! `portcullis script test`: runs the test files beside scripts.
//!
//! Cases run in real workers, with the clock, claims, secrets, cache and HTTP answers they state and nothing else.
//! INVARIANT: a case passes only when the result, or the kind of failure, is exactly what it wants and every HTTP answer was asked for.

mod case;
mod expect;
mod file;
mod find;
mod report;

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sandbox::{Sandbox, SandboxConfig};

use crate::{output::Output, process};
use case::{Bench, FileReport};
use expect::SwitchedHttp;

pub(super) use file::TestFile;
pub(super) use find::{find, test_of};

/// Arguments of `portcullis script test`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders that are searched for test files, or test files.
    #[arg(required = true, value_name = "DIR")]
    paths: Vec<PathBuf>,
    /// Do not mind scripts that have no test file.
    #[arg(long)]
    allow_untested: bool,
    /// Take the read-only members of Java strings and lists away from scripts, such as `isEmpty()` and `equalsIgnoreCase()`.
    #[arg(long)]
    no_java_members: bool,
    /// Form of the answer; with `json` one object a line.
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

/// Runs every test file; fails when a case does, or when a script has none.
pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let found = find(&args.paths)?;
    let progress = progress(found.tests.len(), args.output);
    let reports = run_files(&found.tests, !args.no_java_members, &progress).await?;
    progress.finish_and_clear();
    let untested: &[PathBuf] = if args.allow_untested { &[] } else { &found.untested };
    let passed = report::print(&reports, untested, args.output);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn progress(files: usize, output: Output) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} test files");
    match (output, style) {
        (Output::Table, Ok(style)) => ProgressBar::new(files as u64).with_style(style),
        (Output::Table, Err(_)) | (Output::Json, _) => ProgressBar::hidden(),
    }
}

/// Runs the files on a few sandboxes side by side; the reports come in the order of the files.
async fn run_files(files: &[PathBuf], java_members: bool, progress: &ProgressBar) -> anyhow::Result<Vec<FileReport>> {
    let queue: Arc<Mutex<VecDeque<PathBuf>>> = Arc::new(Mutex::new(files.iter().cloned().collect()));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let mut benches = tokio::task::JoinSet::new();
    for _ in 0..cores.min(MAX_BENCHES).min(files.len()) {
        let (queue, progress) = (Arc::clone(&queue), progress.clone());
        benches.spawn(async move {
            let bench = start_bench(java_members).await?;
            let mut reports = Vec::new();
            while let Some(file) = next(&queue) {
                reports.push(bench.run_file(&file).await);
                progress.inc(1);
            }
            bench.sandbox.stop().await;
            anyhow::Ok(reports)
        });
    }
    let mut reports = Vec::new();
    while let Some(done) = benches.join_next().await {
        reports.extend(done.context("a test run ended early")??);
    }
    reports.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(reports)
}

fn next(queue: &Mutex<VecDeque<PathBuf>>) -> Option<PathBuf> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

async fn start_bench(java_members: bool) -> anyhow::Result<Bench> {
    let http = Arc::new(SwitchedHttp::default());
    let mut config = SandboxConfig::new(process::worker_command()?);
    config.workers = 1;
    config.spares = 1;
    config.java_members = java_members;
    config.http = Arc::clone(&http) as Arc<dyn sandbox::HttpBackend>;
    let sandbox = Sandbox::start(config).await.context("could not start a script worker")?;
    Ok(Bench { sandbox, http })
}

/// Most sandboxes at once; each costs about 20 MiB.
const MAX_BENCHES: usize = 4;
