//! `ctl otp-seeds`: who has set up one-time codes, and letting somebody start over.

use clap::Subcommand;
use engine::dn::UserName;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::{Api, Call, segment},
    objects::text,
};
use crate::output::{Output, print_json, print_table, say};

/// Arguments of `ctl otp-seeds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the codes of a user worthless; whoever answers the next condition as this user sets up a new app.
    Delete {
        /// The user, as the list shows it: `CN=ana,OU=local`.
        user: UserName,
    },
}

/// Runs the command.
pub(super) async fn run(api: &Api, args: Args, output: Output) -> anyhow::Result<()> {
    match args.command {
        None => list(api, output).await,
        Some(Command::Delete { user }) => delete(api, &user, output).await,
    }
}

async fn list(api: &Api, output: Output) -> anyhow::Result<()> {
    let seeds = api.list("/otp/seeds").await?;
    match output {
        Output::Json => print_json(&Value::Array(seeds)),
        Output::Table => {
            let state = |seed: &Value| match seed.get("verified") {
                Some(Value::Bool(true)) => "confirmed by a code",
                _ => "shown, no right code yet",
            };
            let rows = seeds.iter().map(|seed| vec![text(seed, "userDistinguishedName"), state(seed).to_owned()]);
            print_table(&["user", "state"], rows);
        }
    }
    Ok(())
}

async fn delete(api: &Api, user: &UserName, output: Output) -> anyhow::Result<()> {
    let name = user.to_string();
    api.call(&Call::new(Method::DELETE, format!("/otp/seeds/{}", segment(&name)))).await?;
    match output {
        Output::Table => say!("`{name}` sets up one-time codes anew when the next condition asks for one"),
        Output::Json => print_json(&json!({ "userDistinguishedName": name, "result": "deleted" })),
    }
    Ok(())
}
