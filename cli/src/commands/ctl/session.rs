//! `ctl session`: what one user holds on one device now, and why not more.

use anyhow::bail;
use serde_json::{Map, Value};

use super::{
    api::{Api, Call, segment},
    objects::text,
};
use crate::output::{Output, print_json, print_table, printable, say, warn};

/// Arguments of `ctl session`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whole distinguished name, as `portcullis ctl sessions` shows it: `CN=<device id>,CN=ana,OU=local`.
    name: String,
}

/// Shows the sessions of a name.
pub(super) async fn show(api: &Api, args: &Args, output: Output) -> anyhow::Result<()> {
    if args.name.trim().is_empty() {
        bail!("name a session; `portcullis ctl sessions` shows those there are");
    }
    let info = api.call(&Call::get(format!("/session-info/{}", segment(&args.name)))).await?;
    match output {
        Output::Json => print_json(&info),
        Output::Table => {
            for (gateway, session) in members(&info, "data") {
                show_session(gateway, session);
            }
        }
    }
    for gateway in info.get("unanswered").and_then(Value::as_array).into_iter().flatten() {
        let line = format!("warning: gateway `{}` {}", text(gateway, "gateway"), text(gateway, "reason"));
        warn(format_args!("{}", printable(line)));
    }
    Ok(())
}

fn show_session(gateway: &str, session: &Value) {
    let vpn = session.get("vpn").unwrap_or(&Value::Null);
    let line = format!(
        "{gateway} (site {}): since {}, until {}, {} open connections",
        text(session, "site"),
        text(vpn, "connected"),
        text(vpn, "expires"),
        text(vpn, "flows"),
    );
    say!("{}\n", printable(line));
    let entitlements: Vec<_> = members(session, "entitlementInfos").collect();
    let row = |(name, held): &(&String, &Value)| {
        vec![(*name).clone(), access(held), conditions(held), text(held, "policyNames")]
    };
    print_table(&["entitlement", "access", "conditions", "policies"], entitlements.iter().map(row));
    say!("");
    let rules = entitlements.iter().flat_map(|(_, held)| held.get("firewallRules").and_then(Value::as_array)).flatten();
    print_table(&["rule", "action", "traffic", "hosts", "ports"], rules.map(rule));
    say!("");
    for (_, held) in &entitlements {
        for problem in held.get("problems").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            say!("no rule: {}", printable(problem.to_owned()));
        }
        if held.get("truncated") == Some(&Value::Bool(true)) {
            say!("there are more rules than are shown");
        }
    }
    let claims = [("user", "userClaims"), ("device", "deviceClaims"), ("system", "systemClaims")];
    let claims = claims.into_iter().flat_map(|(kind, member)| {
        members(session, member).map(move |(name, _)| vec![format!("{kind}.{name}"), text_of(session, member, name)])
    });
    print_table(&["claim", "value"], claims);
}

/// Whether the entitlement is usable now, in a word a person can act on.
fn access(held: &Value) -> String {
    let false_one = members(held, "conditionResults").any(|(_, answer)| answer == &Value::Bool(false));
    let not_asked = held.get("conditionsNotAsked").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    let one_is_enough = text(held, "conditionLogic") == "or";
    let word = if held.get("access") == Some(&Value::Bool(true)) {
        "yes"
    } else if not_asked && (one_is_enough || !false_one) {
        "when used"
    } else if false_one {
        "no"
    } else {
        "never"
    };
    word.to_owned()
}

fn conditions(held: &Value) -> String {
    let answered = members(held, "conditionResults").map(|(name, answer)| {
        let word = if answer == &Value::Bool(true) { "true" } else { "false" };
        format!("{name}={word}")
    });
    let not_asked = held.get("conditionsNotAsked").and_then(Value::as_array).into_iter().flatten();
    let not_asked = not_asked.filter_map(Value::as_str).map(|name| format!("{name}=not asked yet"));
    answered.chain(not_asked).collect::<Vec<_>>().join(" ")
}

fn rule(rule: &Value) -> Vec<String> {
    let traffic = format!("{} {}", text(rule, "protocol"), text(rule, "direction"));
    let ports = [text(rule, "ports"), text(rule, "types")].concat();
    vec![text(rule, "name"), text(rule, "action"), traffic, text(rule, "subnets"), ports]
}

fn text_of(session: &Value, member: &str, name: &str) -> String {
    match session.get(member).and_then(|claims| claims.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

fn members<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(member).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}
