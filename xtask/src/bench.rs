//! `cargo xtask bench NAME`: the benchmarks are a workspace of their own, built in release mode like what they measure.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{Output, cargo};

/// Which benchmark to run, and how.
pub struct Options {
    /// Its name.
    pub name: String,
    /// Little load.
    pub quick: bool,
    /// How long it measures each of its rows.
    pub seconds: Option<u64>,
    /// For whom to print.
    pub output: Output,
}

/// Builds the program and the benchmarks, and runs one.
///
/// # Errors
/// When a tool is missing, the build fails or the benchmark does.
pub fn run(options: &Options) -> Result<ExitCode> {
    cargo::require_tools()?;
    let manifest = cargo::root().join("bench/Cargo.toml");
    if !manifest.exists() {
        bail!("`{}` is missing; the benchmarks live there", manifest.display());
    }
    let mut program = cargo::cargo();
    program.args(["build", "--release", "--locked", "--package", "cli"]);
    cargo::run(&mut program)?;
    let mut command = cargo::cargo();
    command.env("PORTCULLIS", cargo::target_dir().join("release/portcullis"));
    command.args(["run", "--release", "--locked", "--manifest-path"]).arg(&manifest);
    command.env("CARGO_TARGET_DIR", cargo::target_dir());
    command.arg("--").arg(&options.name);
    if options.quick {
        command.arg("--quick");
    }
    if let Some(seconds) = options.seconds {
        command.arg("--seconds").arg(seconds.to_string());
    }
    if options.output == Output::Json {
        command.args(["--output", "json"]);
    }
    cargo::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
