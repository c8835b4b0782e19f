//! The state of a running client, for people and programs.

use client::{FlowState, SiteState, State, Status};

use crate::output::{Output, print_json, print_table, printable, say, time};

/// Prints the state.
pub(super) fn print(status: &Status, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(&serde_json::to_value(status)?),
        Output::Table => print_text(status),
    }
    Ok(())
}

fn print_text(status: &Status) {
    say!("{}", state(status.state));
    if let Some(message) = &status.message {
        say!("{}", printable(message.clone()));
    }
    if let Some(ends) = status.ends {
        say!("access ends at {} unless that is settled before", time(ends));
    }
    say_advice("", status.advice.as_ref());
    let name = status.name.as_ref().unwrap_or(&status.username);
    say!("user        {} at {}", printable(name.clone()), printable(status.provider.clone()));
    if !status.policies.is_empty() {
        say!("policies    {}", printable(status.policies.join(", ")));
    }
    for listener in &status.listeners {
        say!("listening   {} for {}", listener.address, listener.purpose);
    }
    print_sites(status);
    print_flows(status);
    print_tokens(status);
    print_device_claims(status);
    print_events(status);
}

fn print_sites(status: &Status) {
    section(&["site", "state", "gateway", "entitlements", ""], &status.sites, |site| {
        let gateway = site.gateway.clone().unwrap_or_default();
        let message = site.message.clone().unwrap_or_default();
        vec![site.name.clone(), site_state(site.state).to_owned(), gateway, site.entitlements.join(", "), message]
    });
    for site in status.sites.iter().filter(|site| site.advice.is_some()) {
        say_advice(&format!("{}: ", site.name), site.advice.as_ref());
    }
    let shortcuts: Vec<_> = status.sites.iter().flat_map(|site| &site.shortcuts).collect();
    section(&["application", "url", "description", "group"], &shortcuts, |shortcut| {
        let group = shortcut.group_name.clone().unwrap_or_default();
        vec![shortcut.name.clone(), shortcut.url.clone(), shortcut.description.clone(), group]
    });
    for unmet in status.sites.iter().flat_map(|site| &site.unmet) {
        say!("waiting for `{}`: {}", printable(unmet.condition.clone()), printable(unmet.message.clone()));
        for (remedy, number) in unmet.remedies.iter().zip(1..) {
            let state = if remedy.answered { "answered" } else { "open" };
            let asked = client::what(remedy.offer.kind);
            say!("  {number}. asks for {asked} ({state}): {}", printable(remedy.offer.message.clone()));
        }
        say_advice("  ", unmet.advice.as_ref());
    }
}

fn print_flows(status: &Status) {
    section(&["connection", "state", "site", "since", ""], &status.flows, |flow| {
        let message = flow.message.clone().unwrap_or_default();
        vec![flow.flow.clone(), flow_state(flow.state).to_owned(), flow.site.clone(), time(flow.since), message]
    });
    if status.open_flows > status.flows.len() {
        say!("{} connections open in all", status.open_flows);
    }
}

fn print_tokens(status: &Status) {
    section(&["token", "site", "expires"], &status.tokens, |token| {
        vec![token.kind.clone(), token.site.clone().unwrap_or_default(), time(token.expires)]
    });
}

fn print_device_claims(status: &Status) {
    section(&["device claim", "of", ""], &status.device_claims, |row| {
        let restless = row.restless.then(|| "changes nearly every time, reported now and then".to_owned());
        vec![row.claim.clone(), row.subject.clone(), row.problem.clone().or(restless).unwrap_or_default()]
    });
    if status.device_claims.iter().any(|row| row.problem.is_some()) {
        let advice = "what is decided by a claim without a value is refused; set right what the table says, or tell \
                      your administrator";
        say!("to do: {advice}");
    }
}

fn print_events(status: &Status) {
    if !status.events.is_empty() {
        say!("");
    }
    for event in status.events.iter().skip(status.events.len().saturating_sub(RECENT)) {
        say!("{}  {}", time(event.at), printable(event.message.clone()));
    }
}

fn say_advice(before: &str, advice: Option<&String>) {
    if let Some(advice) = advice {
        say!("{}to do: {}", printable(before.to_owned()), printable(advice.clone()));
    }
}

/// A table after an empty line; nothing when there is nothing to show.
fn section<T>(headings: &[&str], items: &[T], row: impl Fn(&T) -> Vec<String>) {
    if !items.is_empty() {
        say!("");
        print_table(headings, items.iter().map(row));
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::SigningIn => "signing in",
        State::Connecting => "signed in, connecting",
        State::Connected => "connected",
        State::NothingGranted => "signed in, nothing granted",
        State::MustSignIn => "must sign in again",
        State::Ended => "ended",
    }
}

fn site_state(state: SiteState) -> &'static str {
    match state {
        SiteState::Connecting => "connecting",
        SiteState::Connected => "connected",
        SiteState::Refused => "refused",
    }
}

fn flow_state(state: FlowState) -> &'static str {
    match state {
        FlowState::Held => "held",
        FlowState::Asking => "asking",
        FlowState::Open => "open",
    }
}

/// How many of the last events people see.
const RECENT: usize = 10;
