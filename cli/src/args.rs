//! The command line: subcommands of the roles that were compiled in.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::{commands, output::Output};

/// Zero-trust access: controllers decide, gateways enforce, clients connect.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, max_term_width = 110, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the process reports what it does. Logs go to the standard error output.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// Format of the log.
    #[arg(long = "log", global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) format: LogFormat,
    /// What to log: a level, or levels by module such as `info,gateway=debug`.
    #[arg(long = "log-level", global = true, value_name = "FILTER")]
    pub(crate) level: Option<String>,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a controller: signs users in, decides who may reach what, serves the admin API.
    #[cfg(feature = "controller")]
    Controller(commands::controller::Args),
    /// Run a gateway: lets in what controllers granted, and nothing else.
    #[cfg(feature = "gateway")]
    Gateway(commands::gateway::Args),
    /// Connect this device, or ask or steer a running client.
    #[cfg(feature = "client")]
    Client(Box<commands::client::Args>),
    /// Administer a collective through the admin API.
    #[cfg(feature = "ctl")]
    Ctl(commands::ctl::Args),
    /// Try, test and check scripts without a controller.
    #[cfg(feature = "script")]
    Script(commands::script::Args),
    /// Run a controller and a gateway with example data, to try things.
    #[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
    Dev(commands::dev::Args),
    /// Show what this machine offers and lacks.
    Doctor(commands::doctor::Args),
}

impl Command {
    /// Runs the command to its end.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            #[cfg(feature = "controller")]
            Self::Controller(args) => commands::controller::run(args).await,
            #[cfg(feature = "gateway")]
            Self::Gateway(args) => commands::gateway::run(args).await,
            #[cfg(feature = "client")]
            Self::Client(args) => commands::client::run(*args).await,
            #[cfg(feature = "ctl")]
            Self::Ctl(args) => commands::ctl::run(args).await,
            #[cfg(feature = "script")]
            Self::Script(args) => commands::script::run(args).await,
            #[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
            Self::Dev(args) => commands::dev::run(args).await,
            Self::Doctor(args) => commands::doctor::run(&args).await,
        }
    }

    /// What the log shows when nothing else is asked for: services tell what changes, tools only what is wrong.
    pub(crate) fn default_log_level(&self) -> &'static str {
        match self {
            #[cfg(feature = "controller")]
            Self::Controller(_) => "info",
            #[cfg(feature = "gateway")]
            Self::Gateway(_) => "info",
            #[cfg(feature = "client")]
            Self::Client(_) => "warn",
            #[cfg(feature = "ctl")]
            Self::Ctl(_) => "warn",
            #[cfg(feature = "script")]
            Self::Script(_) => "warn",
            #[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
            Self::Dev(_) => "warn",
            Self::Doctor(_) => "warn",
        }
    }

    /// How an error of the command is printed.
    pub(crate) fn output(&self) -> Output {
        match self {
            #[cfg(feature = "controller")]
            Self::Controller(_) => Output::Table,
            #[cfg(feature = "gateway")]
            Self::Gateway(_) => Output::Table,
            #[cfg(feature = "client")]
            Self::Client(args) => args.output,
            #[cfg(feature = "ctl")]
            Self::Ctl(args) => args.output,
            #[cfg(feature = "script")]
            Self::Script(args) => args.output(),
            #[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
            Self::Dev(_) => Output::Table,
            Self::Doctor(args) => args.output,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
