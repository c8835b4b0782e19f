//! `ctl gateway`: making gateways known and exporting the seeds they enrol with.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use protocol::object::ObjectKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::{Api, Call, segment},
    objects::{find_id, text},
};
use crate::{
    output::{Output, print_json, print_table, say},
    process,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a gateway known, or change where it is reached, and export the seed it enrols with.
    Add(AddArgs),
    /// Show gateways and whether they are connected.
    Status,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// Name of the gateway.
    name: String,
    /// Site it serves, by name or id.
    #[arg(long)]
    site: String,
    /// Name or address clients reach it by.
    #[arg(long)]
    hostname: String,
    /// UDP port clients reach it on.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Where to write the seed; it is a secret and can be used once. Without it the seed is printed.
    #[arg(long, value_name = "FILE")]
    seed_out: Option<PathBuf>,
}

/// Runs the command.
pub(super) async fn run(api: &Api, command: Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add(api, &args, output).await,
        Command::Status => status(api, output).await,
    }
}

async fn add(api: &Api, args: &AddArgs, output: Output) -> anyhow::Result<()> {
    let added =
        put(api, &Wanted { name: &args.name, site: &args.site, hostname: &args.hostname, port: args.port }).await?;
    if let (Some(file), Some(seed)) = (&args.seed_out, &added.seed) {
        process::write_file(file, format!("{seed}\n").as_bytes(), 0o600)?;
    }
    report(args, &added, output);
    Ok(())
}

/// A gateway as it should be known.
pub(crate) struct Wanted<'a> {
    /// Name of the appliance.
    pub(crate) name: &'a str,
    /// Its Site, by name or id.
    pub(crate) site: &'a str,
    /// Where clients reach it.
    pub(crate) hostname: &'a str,
    /// On which port.
    pub(crate) port: u16,
}

/// A gateway that is known.
pub(crate) struct Added {
    id: String,
    /// What it enrols with; `None` when it is enrolled already.
    pub(crate) seed: Option<String>,
}

/// Makes a gateway known, or changes where it is reached, and exports its seed unless it is enrolled already.
pub(crate) async fn put(api: &Api, wanted: &Wanted<'_>) -> anyhow::Result<Added> {
    let site = find_id(api, ObjectKind::Site, wanted.site).await?;
    let appliance = put_appliance(api, wanted, &site.to_string()).await?;
    let id = text(&appliance, "id");
    // A running gateway has its certificate and needs no seed.
    let enrolled = appliance.get("activated") == Some(&Value::Bool(true));
    let seed = if enrolled { None } else { Some(export_seed(api, &id).await?) };
    Ok(Added { id, seed })
}

async fn export_seed(api: &Api, id: &str) -> anyhow::Result<String> {
    let answer =
        api.call(&Call::new(Method::POST, format!("/appliances/{}/export", segment(id))).body(&json!({}))).await?;
    let seed = answer.get("seed").and_then(Value::as_str).context("the controller's answer holds no seed")?;
    Ok(seed.to_owned())
}

async fn put_appliance(api: &Api, wanted: &Wanted<'_>, site: &str) -> anyhow::Result<Value> {
    let existing = api.list("/appliances").await?.into_iter().find(|appliance| text(appliance, "name") == wanted.name);
    let mut appliance = existing.clone().unwrap_or_else(|| json!({ "name": wanted.name, "networking": {} }));
    let client_interface = appliance.get("clientInterface").cloned().unwrap_or_else(|| json!({}));
    let gateway = appliance.get("gateway").cloned().unwrap_or_else(|| json!({}));
    merge(
        &mut appliance,
        json!({
            "hostname": wanted.hostname,
            "site": site,
            "clientInterface": merged(client_interface, json!({ "hostname": wanted.hostname, "httpsPort": wanted.port, "dtlsPort": wanted.port })),
            "gateway": merged(gateway, json!({ "enabled": true })),
        }),
    );
    if existing.as_ref() == Some(&appliance) {
        return Ok(appliance);
    }
    let call = match existing {
        Some(existing) => Call::new(Method::PUT, format!("/appliances/{}", segment(&text(&existing, "id")))),
        None => Call::new(Method::POST, "/appliances"),
    };
    Ok(api.call(&call.body(&appliance)).await?)
}

fn merge(into: &mut Value, members: Value) {
    if let (Value::Object(into), Value::Object(members)) = (into, members) {
        into.extend(members);
    }
}

fn merged(mut base: Value, members: Value) -> Value {
    merge(&mut base, members);
    base
}

fn report(args: &AddArgs, added: &Added, output: Output) {
    let Added { id, seed } = added;
    // A seed that went into a private file is not shown as well.
    let shown = seed.as_deref().filter(|_| args.seed_out.is_none());
    match output {
        Output::Json => print_json(
            &json!({ "id": id, "name": args.name, "enrolled": seed.is_none(), "seed": shown, "seedFile": args.seed_out }),
        ),
        Output::Table => match (seed, &args.seed_out, shown) {
            (Some(_), Some(file), _) => {
                say!(
                    "gateway `{}` is known; on its machine run\n\n    portcullis gateway --data DIR --seed {}\n",
                    args.name,
                    file.display()
                );
            }
            (_, _, Some(seed)) => say!("{seed}"),
            _ => say!("gateway `{}` is known and enrolled already", args.name),
        },
    }
}

async fn status(api: &Api, output: Output) -> anyhow::Result<()> {
    let appliances = api.list("/appliances/status").await?;
    match output {
        Output::Json => print_json(&Value::Array(appliances)),
        Output::Table => {
            let members = ["name", "status", "state", "siteName", "numberOfSessions", "hostname", "id"];
            let headings = ["name", "status", "state", "site", "sessions", "hostname", "id"];
            print_table(
                &headings,
                appliances.iter().map(|appliance| members.map(|name| text(appliance, name)).to_vec()),
            );
        }
    }
    Ok(())
}
