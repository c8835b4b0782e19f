//! `portcullis client`: connecting this device, and asking or steering a client that runs.

mod answer;
mod code;
mod connect;
mod qr;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use serde_json::json;

use crate::output::{Output, print_json, say};

/// Arguments of `portcullis client`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    /// Form of what is printed; with JSON one event a line.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    connect: connect::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the state of the running client.
    Status(Running),
    /// Fetch new tokens now, so that changed claims and policies take effect.
    Renew(Running),
    /// Answer what a condition asks for, so that what waits for it goes on.
    Answer(answer::Args),
    /// End the session: its tokens are revoked and its connections end.
    SignOut(Running),
}

/// Which running client.
#[derive(Debug, clap::Args)]
struct Running {
    /// The data directory it was started with.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.output;
    match args.command {
        None => return connect::run(args.connect, output).await,
        Some(Command::Status(running)) => status::print(&client::status(&running.data).await?, output)?,
        Some(Command::Renew(running)) => {
            client::renew(&running.data).await?;
            done("renewed", output);
        }
        Some(Command::Answer(args)) => {
            let result = answer::run(args).await?;
            done(result, output);
        }
        Some(Command::SignOut(running)) => {
            client::sign_out(&running.data).await?;
            done("signed out", output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn done(result: &str, output: Output) {
    match output {
        Output::Table => say!("{result}"),
        Output::Json => print_json(&json!({ "result": result })),
    }
}
