//! The one binary `portcullis`: every role, the administrator's tool, and the hidden processes that run scripts.
//!
//! This crate reads arguments, files and the environment, starts what the other crates offer and prints what happens.
//! It decides nothing about access.

mod args;
mod commands;
mod environment;
mod logging;
mod output;
mod process;
#[cfg(any(feature = "controller", feature = "client", feature = "ctl"))]
mod secret;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;

/// Counts what a script worker allocates; everywhere else it only passes through.
#[cfg(any(feature = "controller", feature = "gateway", feature = "script"))]
#[global_allocator]
static ALLOCATOR: sandbox::WorkerAllocator = sandbox::WorkerAllocator;

fn main() -> ExitCode {
    // A worker must be confined before anything else has run, so this comes before arguments, logging and threads.
    #[cfg(any(feature = "controller", feature = "gateway", feature = "script"))]
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::WORKER_ARGUMENT) {
        return sandbox::worker_main();
    }
    #[cfg(feature = "client")]
    if std::env::args_os().nth(1).is_some_and(|argument| argument == process::DEVICE_SCRIPT_ARGUMENT) {
        return client::script_runner_main();
    }
    let cli = Cli::parse();
    let output = cli.command.output();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error, output);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Fails only when a provider is installed already, and nothing before this installs one.
    rustls::crypto::ring::default_provider().install_default().ok();
    logging::start(&cli.log, cli.command.default_log_level())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(cli.command.run());
    // What still runs on blocking threads, such as a prompt nobody answers, must not keep the process.
    runtime.shutdown_background();
    result
}
