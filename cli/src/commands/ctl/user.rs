//! `ctl user`: users of the built-in database.

use std::path::PathBuf;

use clap::Subcommand;
use protocol::object::ObjectKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::{Api, Call, segment},
    objects::{find, text},
};
use crate::{
    output::{Output, print_json, say},
    secret,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set a user's password.
    SetPassword(PasswordArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswordArgs {
    /// Name or id of the user.
    user: String,
    /// File with the password on its first line, or `-` for the standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(api: &Api, command: Command, output: Output) -> anyhow::Result<()> {
    let Command::SetPassword(args) = command;
    let mut user = find(api, ObjectKind::LocalUser, &args.user).await?;
    let name = text(&user, "name");
    let password = secret::read_password(args.password_file.as_deref(), &format!("new password of {name}"))?;
    let path = format!("/{}/{}", ObjectKind::LocalUser.path(), segment(&text(&user, "id")));
    if let Value::Object(members) = &mut user {
        members.insert("password".to_owned(), password.as_str().into());
    }
    api.call(&Call::new(Method::PUT, path).body(&user)).await?;
    match output {
        Output::Table => {
            say!("the password of `{name}` is set; sessions that run go on until their tokens end or are revoked")
        }
        Output::Json => print_json(&json!({ "name": name, "result": "updated" })),
    }
    Ok(())
}
