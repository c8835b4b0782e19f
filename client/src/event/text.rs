//! Events in plain language, each with what to do when something went wrong.

use std::fmt;

use protocol::message::RemedyOffer;

use super::{ClientEvent, what};
use crate::advice::advice;

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)?;
        match self.code() {
            Some(code) => write!(f, "\n  to do: {}", advice(code)),
            None => Ok(()),
        }
    }
}

impl ClientEvent {
    /// What something went wrong by, and is known by.
    fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. }
            | Self::Denied { code, .. }
            | Self::AccessEnded { code, .. }
            | Self::RenewalFailed { code, .. }
            | Self::SignInFailed { code, .. } => Some(code),
            Self::Listening { .. }
            | Self::SignedIn { .. }
            | Self::Authorized { .. }
            | Self::Admitted { .. }
            | Self::GatewayLost { .. }
            | Self::RulesChanged { .. }
            | Self::ConditionFalse { .. }
            | Self::RemedyAnswered { .. }
            | Self::ConditionTrue { .. }
            | Self::Held { .. }
            | Self::Cut { .. }
            | Self::DeviceClaimMissing { .. }
            | Self::DeviceClaimRestless { .. }
            | Self::EndAnnounced { .. }
            | Self::Renewed { .. }
            | Self::NothingGranted { .. }
            | Self::SignInNeeded { .. }
            | Self::SignedOut => None,
        }
    }

    /// What happened, without what to do about it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { purpose, address } => write!(f, "Listening on {address} for {purpose}"),
            Self::SignedIn { name, message_of_the_day: None } => write!(f, "Signed in as {name}"),
            Self::SignedIn { name, message_of_the_day: Some(message) } => write!(f, "Signed in as {name}\n{message}"),
            Self::Authorized { policies, sites } => {
                write!(f, "Policies {} give access to {}", List(policies), List(sites))
            }
            Self::Admitted { site_name, gateway, entitlements, .. } => {
                write!(f, "Connected to {site_name} through {gateway}: {}", List(entitlements))
            }
            Self::Refused { site_name, message, .. } => write!(f, "{site_name} refused this session: {message}"),
            Self::GatewayLost { site_name, reason } => {
                write!(f, "Connection to {site_name} lost, reconnecting ({reason})")
            }
            Self::RulesChanged { site_name, entitlements } => {
                write!(f, "Access to {site_name} changed: {}", List(entitlements))
            }
            Self::ConditionFalse { condition, entitlements, message, remedies, .. } => {
                write!(f, "{} must wait for `{condition}`: {message}", List(entitlements))?;
                write_remedies(f, condition, remedies)
            }
            Self::RemedyAnswered { condition } => write!(f, "Your answer for `{condition}` was accepted"),
            Self::ConditionTrue { condition, .. } => write!(f, "`{condition}` is met"),
            Self::Held { flow, message } => write!(f, "Connection to {flow} is waiting: {message}"),
            Self::Denied { flow, message, .. } => write!(f, "Connection to {flow} was refused: {message}"),
            Self::Cut { flow } => write!(f, "Connection to {flow} was ended because access to it ended"),
            Self::AccessEnded { site_name, message, .. } => write!(f, "Access to {site_name} ended: {message}"),
            Self::DeviceClaimMissing { claim, subject, message } => {
                write!(f, "Device claim `{claim}` ({subject}) has no value: {message}")
            }
            Self::DeviceClaimRestless { claim } => write!(
                f,
                "Device claim `{claim}` changes nearly every time it is looked at, so its changes are reported only now \
                 and then; tell your administrator"
            ),
            Self::EndAnnounced { .. }
            | Self::Renewed { .. }
            | Self::RenewalFailed { .. }
            | Self::NothingGranted { .. }
            | Self::SignInNeeded { .. }
            | Self::SignInFailed { .. }
            | Self::SignedOut => self.write_life(f),
        }
    }

    /// What happened to the tokens and the sign-in; nothing for other events.
    fn write_life(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndAnnounced { at, sign_in: true, reason } => {
                write!(f, "Access ends at {at} unless you sign in again: {reason}")
            }
            Self::EndAnnounced { at, sign_in: false, reason } => write!(f, "Access is renewed before {at}: {reason}"),
            Self::Renewed { until } => write!(f, "Access renewed until {until}"),
            Self::RenewalFailed { message, until, retry_secs, .. } => {
                write!(f, "Access could not be renewed yet: {message}\n  ")?;
                write!(f, "it ends at {until} unless that succeeds; the next attempt is in {retry_secs} s")
            }
            Self::NothingGranted { message } => write!(f, "No access is granted now: {message}"),
            Self::SignInNeeded { reason, until: None, .. } => write!(f, "You must sign in again: {reason}"),
            Self::SignInNeeded { reason, until: Some(until), .. } => {
                write!(f, "You must sign in again before {until}, when your access ends: {reason}")
            }
            Self::SignInFailed { message, .. } => write!(f, "Signing in failed: {message}"),
            Self::SignedOut => write!(f, "Signed out"),
            _ => Ok(()),
        }
    }
}

fn write_remedies(f: &mut fmt::Formatter<'_>, condition: &str, remedies: &[RemedyOffer]) -> fmt::Result {
    for remedy in remedies {
        write!(f, "\n  asks for {}: {}", what(remedy.kind), remedy.message)?;
    }
    if remedies.is_empty() {
        return Ok(());
    }
    write!(f, "\n  answer with `portcullis client answer \"{condition}\"`")
}

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, name) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_is_told_with_what_to_do() {
        let (name, text) = (|| "Berlin".to_owned(), || "it is so".to_owned());
        let code = |code: &str| code.to_owned();
        for (event, to_do) in [
            (ClientEvent::Denied { flow: name(), code: code("flow.no-rule"), message: text() }, "see the entitlements"),
            (
                ClientEvent::Refused { site_name: name(), code: code("gateway.full"), message: text() },
                "the client keeps trying",
            ),
            (
                ClientEvent::AccessEnded { site_name: name(), code: code("session.signed-out"), message: text() },
                "sign in again",
            ),
            (ClientEvent::SignInFailed { code: code("sign-in.failed"), message: text() }, "check user name"),
        ] {
            let told = event.to_string();
            let (happened, advised) = told.split_once("\n  to do: ").expect("a next step");
            assert!(happened.ends_with("it is so") && advised.contains(to_do), "{told}");
        }
        assert!(!ClientEvent::SignedOut.to_string().contains("to do"));
    }
}
