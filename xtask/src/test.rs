//! `cargo xtask test`: builds everything the tests start, runs all tests, compiles what lives in workspaces of its own.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;

use crate::cargo;

/// Runs everything in order and stops at the first failure.
///
/// # Errors
/// When a tool is missing or a run fails.
pub fn run(long: bool) -> Result<ExitCode> {
    cargo::require_tools()?;
    let started = Instant::now();
    for (what, mut command) in plan(long) {
        println!("== {what}: {}", cargo::line_of(&command));
        let before = Instant::now();
        cargo::run(&mut command)?;
        println!("== {what}: done in {:.1} s", before.elapsed().as_secs_f64());
    }
    println!("test: all green in {:.1} s", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn plan(long: bool) -> Vec<(&'static str, Command)> {
    let mut steps = vec![
        // Tests start the binaries as processes of their own, so these are built before any test runs.
        ("build", cargo_with(&["build", "--workspace", "--all-targets", "--locked"])),
        ("tests", tests(long)),
    ];
    for (what, manifest) in [("benchmarks compile", "bench/Cargo.toml"), ("fuzz targets compile", "fuzz/Cargo.toml")] {
        if cargo::root().join(manifest).exists() {
            let mut check = cargo_with(&["check", "--all-targets", "--locked", "--manifest-path", manifest]);
            check.env("CARGO_TARGET_DIR", cargo::target_dir());
            steps.push((what, check));
        }
    }
    steps
}

fn tests(long: bool) -> Command {
    let mut command = cargo_with(&["test", "--workspace", "--locked"]);
    if long {
        command.env(LONG, "1");
    }
    command
}

fn cargo_with(arguments: &[&str]) -> Command {
    let mut command = cargo::cargo();
    command.args(arguments);
    command
}

/// Tests that have a long form read this.
const LONG: &str = "PORTCULLIS_LONG";
