//! `cargo xtask bench NAME`: figures of Portcullis, measured on real processes on this machine.
//!
//! `cut`, `login-storm` and `signin` start their own controller and gateway as processes and measure through sockets from outside;
//! `reeval` holds a gateway of its own, `sandbox` starts script workers. Each prints what was measured on what. A table is for people; `--output json` prints one object a line:
//! `{"bench","case","metric","value","unit","peer","ratio"}`.

mod admin;
mod cut;
mod login_storm;
mod reeval;
mod report;
mod scripts;
mod session;
mod signin;
mod world;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

use report::{Output, Report};

/// Which bench to run, and how to print it.
#[derive(Parser)]
struct Args {
    /// `cut`, `login-storm`, `reeval`, `sandbox` or `signin`.
    name: String,
    /// How to print the figures.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// The portcullis program to measure, built in release.
    #[arg(long, env = "PORTCULLIS")]
    program: PathBuf,
    /// Runs; the median over them is printed.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// `cut`: cuts in one run, a third each by revocation, by an edit and by re-evaluation.
    #[arg(long, default_value_t = 3000)]
    cuts: u32,
    /// `cut`: idle sessions beside the one that is cut.
    #[arg(long, default_value_t = 1000)]
    idle: u32,
    /// `signin`: seconds per row and run, 4 when not given; `sandbox`: seconds per case, 60 when not given;
    /// `login-storm`: seconds alone, before and after the storm, 6 when not given.
    #[arg(long)]
    seconds: Option<u64>,
    /// `login-storm`, `reeval`: little load, to see that it works.
    #[arg(long)]
    quick: bool,
    /// `reeval`: sessions, 100000 when not given.
    #[arg(long)]
    sessions: Option<usize>,
    /// `sandbox`: use all processors, not one.
    #[arg(long)]
    spread: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.name == reeval::SERVICES {
        return reeval::serve();
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("another TLS provider is installed already");
    }
    if args.name == "sandbox" && !args.spread {
        scripts::stay_on_one_processor()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report::new(&args.name, args.output);
    match args.name.as_str() {
        "cut" => runtime.block_on(cut::run(&args, &mut report))?,
        "sandbox" => scripts::run(&args, &runtime, &mut report)?,
        "signin" => runtime.block_on(signin::run(&args, &mut report))?,
        "reeval" => runtime.block_on(reeval::run(&args, &mut report))?,
        "login-storm" => login_storm::run(&args, &mut report)?,
        other => bail!("there is no bench `{other}`; there are `cut`, `login-storm`, `reeval`, `sandbox` and `signin`"),
    }
    report.print()
}
