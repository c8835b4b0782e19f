//! `portcullis script`: tools for people who write scripts, without a controller.
//!
//! Scripts run in the same workers, under the same limits and by the same rules as on a controller or gateway;
//! only the HTTP calls are the author's business: they go where the author allows them to, are recorded, or come from a recording.
//!
//! INVARIANTS: no call leaves this machine unless its origin was named on the command line; no secret is printed or recorded.

mod exchange;
mod input;
mod lint;
mod place;
mod report;
mod run;
mod test;

use std::process::ExitCode;

use clap::{Subcommand, builder::PossibleValuesParser, builder::TypedValueParser};
use engine::script::ScriptKind;

use crate::output::{Output, print_error};

/// Arguments of `portcullis script`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one script and show what it answers, prints and calls.
    Run(Box<run::Args>),
    /// Run the test files beside scripts: files named `NAME.test.yaml` for `NAME.js`.
    Test(test::Args),
    /// Look for mistakes in scripts without running them.
    Lint(lint::Args),
}

impl Args {
    /// The form of the answer that was asked for.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            Command::Run(args) => args.output,
            Command::Test(args) => args.output,
            Command::Lint(args) => args.output,
        }
    }
}

/// Runs the command. 0: all is well; 1: a script failed; 2: the command could not do its work.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.output();
    let result = match args.command {
        Command::Run(args) => run::run(*args).await,
        Command::Test(args) => test::run(args).await,
        Command::Lint(args) => lint::run(args).await,
    };
    Ok(result.unwrap_or_else(|error| {
        print_error(&error, output);
        ExitCode::from(WRONG_USE)
    }))
}

/// Exit code for arguments and files that make no sense, as the argument parser has it too.
const WRONG_USE: u8 = 2;

/// Every kind of script, by the names used everywhere.
const KINDS: [ScriptKind; 7] = [
    ScriptKind::Policy,
    ScriptKind::Criteria,
    ScriptKind::Condition,
    ScriptKind::Host,
    ScriptKind::PortOrType,
    ScriptKind::AppShortcut,
    ScriptKind::UserClaim,
];

/// The kind of this name.
fn kind_named(name: &str) -> Option<ScriptKind> {
    KINDS.into_iter().find(|kind| kind.as_str() == name)
}

/// Reads a kind on the command line and lists the kinds in the help.
fn kind_parser() -> impl TypedValueParser<Value = ScriptKind> {
    PossibleValuesParser::new(KINDS.map(ScriptKind::as_str))
        .try_map(|name| kind_named(&name).ok_or_else(|| format!("`{name}` is no kind of script")))
}
