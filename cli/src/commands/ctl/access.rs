//! `ctl revoke`, `reeval`, `sessions` and `logs`: who has access now, and ending it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::bail;
use clap::ValueEnum;
use protocol::object::ObjectKind;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::{Api, Call, segment},
    objects::{find_id, text},
};
use crate::output::{self, Output, print_json, print_table, printable, say};

/// Arguments of `ctl revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    /// End of the distinguished names: `CN=ana,OU=local` is a user on all devices, `OU=local` everybody of a provider.
    ending: String,
    /// Revoke tokens of one type only. Default: every type, so the user must sign in again.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    token_type: Option<TokenType>,
    /// Revoke entitlement tokens of one Site only.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Minutes until the tokens die, so that users can renew without losing connections. 0 cuts at once.
    #[arg(long, value_name = "MINUTES", default_value_t = 0)]
    delay: u32,
    /// Why, for the audit log.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Types of tokens, by their names in the API.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum TokenType {
    /// What is known about user and device.
    Claims,
    /// The first step of an administrator's sign-in.
    AdminClaims,
    /// Access to a Site.
    Entitlement,
    /// Use of the admin API.
    Administration,
}

/// Arguments of `ctl reeval`.
#[derive(Debug, clap::Args)]
pub(super) struct ReevalArgs {
    /// End of the distinguished names.
    ending: String,
}

/// Arguments of `ctl logs`.
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// Records of one event type only, such as `token_revoked`.
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Records that hold a text only.
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// Go on showing what arrives, but for looks at the log itself. With JSON one record a line.
    #[arg(long, short)]
    follow: bool,
    /// How many records, counted from the newest.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
}

/// Revokes tokens.
pub(super) async fn revoke(api: &Api, args: &RevokeArgs, output: Output) -> anyhow::Result<()> {
    if args.ending.trim().is_empty() {
        bail!(
            "an empty ending would be everybody; name a provider (`OU=local`) or use `portcullis ctl api PUT /token-records/revoked/by-type/All`"
        );
    }
    let site = match &args.site {
        Some(site) => Some(find_id(api, ObjectKind::Site, site).await?),
        None => None,
    };
    let body = json!({ "delayMinutes": args.delay, "revocationReason": args.reason });
    let path = format!("/token-records/revoked/by-dn/{}", segment(&args.ending));
    let token_type = args.token_type.and_then(|token_type| Some(token_type.to_possible_value()?.get_name().to_owned()));
    let call = Call::new(Method::PUT, path).with("siteId", site).with("tokenType", token_type).body(&body);
    let answer = api.call(&call).await?;
    let tokens = answer.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
    match output {
        Output::Json => print_json(&answer),
        Output::Table if tokens.is_empty() => {
            say!("no token issued so far matches; tokens that are being issued right now are covered too");
        }
        Output::Table => {
            let row = |token: &Value| {
                ["distinguishedName", "tokenType", "siteName", "revocationTime"].map(|name| text(token, name)).to_vec()
            };
            print_table(&["distinguished name", "token", "site", "revoked at"], tokens.iter().map(row));
        }
    }
    Ok(())
}

/// Starts re-evaluation of live sessions.
pub(super) async fn reevaluate(api: &Api, args: &ReevalArgs, output: Output) -> anyhow::Result<()> {
    let answer =
        api.call(&Call::new(Method::POST, format!("/token-records/reeval/by-dn/{}", segment(&args.ending)))).await?;
    let names = answer.get("reevaluatedDistinguishedNames").and_then(Value::as_array).cloned().unwrap_or_default();
    match output {
        Output::Json => print_json(&answer),
        Output::Table if names.is_empty() => say!("no live session matches"),
        Output::Table => names.iter().filter_map(Value::as_str).for_each(|name| say!("{}", printable(name.to_owned()))),
    }
    Ok(())
}

/// Shows live sessions.
pub(super) async fn sessions(api: &Api, output: Output) -> anyhow::Result<()> {
    let sessions = api.list("/sessions").await?;
    match output {
        Output::Json => print_json(&Value::Array(sessions)),
        Output::Table => {
            let members = [
                "username",
                "providerName",
                "siteName",
                "applianceName",
                "address",
                "since",
                "entitlements",
                "distinguishedName",
            ];
            let headings =
                ["user", "provider", "site", "gateway", "address", "since", "entitlements", "distinguished name"];
            print_table(&headings, sessions.iter().map(|session| members.map(|name| text(session, name)).to_vec()));
        }
    }
    Ok(())
}

/// Shows the audit log, oldest of the wanted records first.
pub(super) async fn logs(api: &Api, args: &LogsArgs, output: Output) -> anyhow::Result<()> {
    let mut records = newest(api, args).await?;
    records.reverse();
    let newest = records.iter().filter_map(number).max().unwrap_or(0);
    match output {
        Output::Json if !args.follow => print_json(&Value::Array(records)),
        Output::Json | Output::Table => records.iter().for_each(|record| say!("{}", record_line(record, output))),
    }
    if args.follow { follow(api, args, newest, output).await } else { Ok(()) }
}

/// Shows what arrives until nobody reads any more.
async fn follow(api: &Api, args: &LogsArgs, mut newest: u64, output: Output) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        for record in arrived(api, args, newest).await? {
            newest = newest.max(number(&record).unwrap_or(0));
            if args.event.is_none() && is_look_at_log(&record) {
                continue;
            }
            if !output::print_line(format_args!("{}", record_line(&record, output))) {
                return Ok(());
            }
        }
    }
}

/// The newest records, newest first.
async fn newest(api: &Api, args: &LogsArgs) -> anyhow::Result<Vec<Value>> {
    let mut records = Vec::new();
    let mut before = None;
    loop {
        let wanted = (args.limit - records.len() as u64).min(PAGE);
        let mut answer = api.call(&filtered(args).with("before", before).with("limit", Some(wanted))).await?;
        before = answer.get("next").and_then(Value::as_u64);
        let Some(Value::Array(page)) = answer.get_mut("data").map(Value::take) else {
            bail!("the controller's answer holds no records")
        };
        records.extend(page);
        if before.is_none() || records.len() as u64 >= args.limit {
            return Ok(records);
        }
    }
}

/// Everything after a record, oldest first.
async fn arrived(api: &Api, args: &LogsArgs, after: u64) -> anyhow::Result<Vec<Value>> {
    let mut records = Vec::new();
    let mut before = None;
    let mut seen = BTreeSet::new();
    loop {
        let mut answer = api
            .call(&filtered(args).with("after", Some(after)).with("before", before).with("limit", Some(PAGE)))
            .await?;
        before = answer.get("next").and_then(Value::as_u64).filter(|next| *next > after && seen.insert(*next));
        let Some(Value::Array(page)) = answer.get_mut("data").map(Value::take) else {
            bail!("the controller's answer holds no records")
        };
        records.extend(page);
        if before.is_none() {
            records.reverse();
            return Ok(records);
        }
    }
}

fn filtered(args: &LogsArgs) -> Call<'_> {
    Call::get("/audit-logs").with("eventType", args.event.as_ref()).with("query", args.query.as_ref())
}

/// Following the log writes to it: every look is a record. Shown, they would drown all others.
fn is_look_at_log(record: &Value) -> bool {
    text(record, "event_type") == "entities_listed" && text(record, "entity_type") == "AuditLog"
}

fn number(record: &Value) -> Option<u64> {
    record.get("number")?.as_u64()
}

/// One record as a line; for people: when, what, and every further member.
fn record_line(record: &Value, output: Output) -> String {
    let (Output::Table, Value::Object(members)) = (output, record) else { return record.to_string() };
    let mut line = format!("{}  {:<32}", text(record, "timestamp"), text(record, "event_type"));
    for (name, value) in members.iter().filter(|(name, value)| !ENVELOPE.contains(&name.as_str()) && !value.is_null()) {
        let value = match value {
            Value::String(text) if !text.contains(' ') && !text.is_empty() => text.clone(),
            other => other.to_string(),
        };
        line.push_str(&format!(" {name}={value}"));
    }
    printable(line).trim_end().to_owned()
}

/// Members that are shown elsewhere in the line, or only hold the chain together.
const ENVELOPE: [&str; 14] = [
    "timestamp",
    "event_type",
    "version",
    "daemon",
    "id",
    "number",
    "writer",
    "position",
    "hash",
    "collective_id",
    "log_source",
    "distinguished_name_device_id",
    "distinguished_name_user",
    "distinguished_name_ou",
];
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// Records asked for at once.
const PAGE: u64 = 500;
