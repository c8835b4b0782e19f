//! `portcullis ctl`: everything an administrator does, through the admin REST API and nothing else.
//!
//! It trusts the collective's authority and no other, keeps the sign-in in one private file, and never shows the token.

mod access;
pub(crate) mod api;
pub(crate) mod apply;
pub(crate) mod bundle;
pub(crate) mod client_profile;
pub(crate) mod gateway;
pub(crate) mod login;
mod objects;
mod otp_seeds;
pub(crate) mod profile;
mod raw;
mod session;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use crate::output::Output;

/// Arguments of `portcullis ctl`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Form of the answer.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// File that keeps the sign-in. Default: `portcullis/ctl.json` in the user's configuration directory.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign in; the sign-in is kept until it expires.
    Login(login::Args),
    /// Sign out and forget the sign-in.
    Logout,
    /// Create or update what YAML bundles describe.
    Apply(apply::Args),
    /// Show objects of a kind, or one of them.
    Get(objects::GetArgs),
    /// Delete an object.
    Delete(objects::DeleteArgs),
    /// Revoke tokens of users or devices whose distinguished name ends with a text.
    Revoke(access::RevokeArgs),
    /// Ask entitlement scripts and conditions again for live sessions.
    Reeval(access::ReevalArgs),
    /// Show live sessions.
    Sessions,
    /// Show what one session holds: entitlements, conditions, rules and claims.
    Session(session::Args),
    /// Show the audit log.
    Logs(access::LogsArgs),
    /// Administer gateways.
    #[command(subcommand)]
    Gateway(gateway::Command),
    /// Administer users of the built-in database.
    #[command(subcommand)]
    User(user::Command),
    /// Show who has set up one-time codes, or let somebody start over.
    OtpSeeds(otp_seeds::Args),
    /// Print the profile that clients sign in with.
    Profile(client_profile::Args),
    /// Make any call of the API.
    Api(raw::Args),
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file = profile::file(args.config)?;
    let output = args.output;
    match args.command {
        Command::Login(args) => login::login(args, &file, output).await?,
        Command::Logout => login::logout(&file, output).await?,
        Command::Apply(args) => apply::run(&login::open(&file).await?, &args, output).await?,
        Command::Get(args) => objects::get(&login::open(&file).await?, &args, output).await?,
        Command::Delete(args) => objects::delete(&login::open(&file).await?, &args, output).await?,
        Command::Revoke(args) => access::revoke(&login::open(&file).await?, &args, output).await?,
        Command::Reeval(args) => access::reevaluate(&login::open(&file).await?, &args, output).await?,
        Command::Sessions => access::sessions(&login::open(&file).await?, output).await?,
        Command::Session(args) => session::show(&login::open(&file).await?, &args, output).await?,
        Command::Logs(args) => access::logs(&login::open(&file).await?, &args, output).await?,
        Command::Gateway(command) => gateway::run(&login::open(&file).await?, command, output).await?,
        Command::User(command) => user::run(&login::open(&file).await?, command, output).await?,
        Command::OtpSeeds(args) => otp_seeds::run(&login::open(&file).await?, args, output).await?,
        Command::Profile(args) => client_profile::run(&login::open(&file).await?, &file, &args, output).await?,
        Command::Api(args) => raw::run(&login::open(&file).await?, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
