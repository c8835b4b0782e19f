//! `cargo xtask`: the demo, the tests and the benchmarks, one command each.
//!
//! Nothing here ships. The demo drives the real binary from outside, as a user would; the servers it needs beside it are
//! hidden commands of this program, so that each runs as a process of its own.

mod bench;
mod cargo;
mod demo;
mod reaper;
mod serve;
mod test;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "The demo, the tests and the benchmarks of Portcullis"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Tells the whole story on real processes, on loopback and without root.
    Demo {
        /// Leave everything running at the end and say how to look around.
        #[arg(long)]
        keep: bool,
        /// A line per step for people, or a JSON object per step for programs.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Builds and runs all tests.
    Test {
        /// Add the long runs.
        #[arg(long)]
        long: bool,
    },
    /// Builds and runs one benchmark in release mode.
    Bench {
        /// Name of the benchmark: `cut`, `login-storm`, `reeval`, `sandbox` or `signin`.
        name: String,
        /// Much less load for `login-storm` and `reeval`, to see that they work.
        #[arg(long)]
        quick: bool,
        /// Seconds to measure each row of `sandbox` and `signin`, and before and after the storm of `login-storm`.
        #[arg(long)]
        seconds: Option<u64>,
        /// A table for people, or a JSON object per line for programs.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// The demo's protected services: `NAME=ADDRESS:PORT` each.
    #[command(hide = true)]
    ServeHttp {
        #[arg(required = true)]
        services: Vec<serve::Service>,
        /// Directory of files that are answered to `/facts/NAME`.
        #[arg(long)]
        facts: PathBuf,
    },
    /// The demo's name server.
    #[command(hide = true)]
    ServeDns {
        #[arg(long)]
        listen: SocketAddr,
        /// Lines of a name and an address; read again for every question.
        #[arg(long)]
        names: PathBuf,
    },
    /// Ends the demo's processes when the demo is gone.
    #[command(hide = true)]
    Reap,
}

/// For whom to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo { keep, output } => demo::run(demo::Options { keep, output }),
        Task::Test { long } => test::run(long),
        Task::Bench { name, quick, seconds, output } => bench::run(&bench::Options { name, quick, seconds, output }),
        Task::ServeHttp { services, facts } => serve::http(&services, &facts),
        Task::ServeDns { listen, names } => serve::dns(listen, &names),
        Task::Reap => reaper::reap(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
