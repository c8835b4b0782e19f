//! Carrying out what the engine decided. Runs under the session's lock and never waits.

use std::{sync::Arc, time::Duration};

use engine::{
    id::ConditionId,
    object::{Condition, Logic, RemedyAsk},
    rules::{Protocol, Target},
    script::FailureKind,
    session::{Answer, Answered, Denial, Effect, EndReason, FlowId},
};
use protocol::message::{ControlDown, Refusal, Remedies, RemedyKind, RemedyOffer, close_code};
use sandbox::{RunRecord, Urgency};
use serde_json::{Map, Value};

use super::{FlowEvent, Inner, LiveSession};
use crate::{
    audit::{Daemon, Weight},
    dial::DialError,
    scripts::{condition_answer, failure},
};

impl LiveSession {
    pub(super) fn carry_out(self: &Arc<Self>, inner: &mut Inner, effects: Vec<Effect>) {
        let mut asked = Vec::new();
        for effect in effects {
            match effect {
                Effect::Evaluate { condition, run } => asked.push((condition, run)),
                Effect::Allow(flow, permit) => {
                    self.note_access(inner, flow, "allow", Some(permit.rule()), None);
                    say(inner, flow, FlowEvent::Allow(permit));
                }
                Effect::Hold(flow, hold) => say(inner, flow, FlowEvent::Hold(hold)),
                Effect::Deny(flow, denial) => {
                    self.note_denial(inner, flow, &denial);
                    say(inner, flow, FlowEvent::Deny(denial));
                    inner.flows.remove(&flow);
                }
                Effect::Pause(flow) => {
                    if let Some(handle) = inner.flows.get(&flow) {
                        handle.gate.pause();
                    }
                }
                Effect::Resume(flow) => {
                    if let Some(handle) = inner.flows.get(&flow) {
                        handle.gate.resume();
                    }
                }
                Effect::Cut(flow, denial) => {
                    if let Some(handle) = inner.flows.get(&flow) {
                        handle.gate.cut(close_code::CUT);
                    }
                    self.note_denial(inner, flow, &denial);
                    inner.flows.remove(&flow);
                }
                Effect::ConditionChanged { condition, name, answer } => {
                    self.tell_condition(inner, condition, &name, &answer)
                }
                Effect::RenewBefore { effective, seq, reason, sign_in } => {
                    self.announce(effective, seq, reason, sign_in);
                }
                Effect::End(reason) => self.carry_out_end(inner, &reason),
            }
        }
        self.evaluate(inner, asked);
    }

    /// Records that a permitted host was not reached.
    pub(crate) fn note_unreached(&self, target: Target, error: &DialError) {
        let mut members = access(target, "drop");
        members.insert("drop_reason".to_owned(), error.code().into());
        self.note(Daemon::Vpn, "ip_access", Weight::Flow, members);
    }

    fn carry_out_end(&self, inner: &mut Inner, reason: &EndReason) {
        let flows: Vec<_> = inner.flows.drain().collect();
        for (_, handle) in &flows {
            handle.gate.cut(close_code::CUT);
        }
        let refusal = Refusal { code: reason.code().to_owned(), message: reason.message(), retry_after_secs: None };
        if self.control.try_send(ControlDown::Ended(refusal)).is_err() {
            self.carrier.close(close_code::SESSION_ENDED, &reason.message());
        }
        self.over.send_replace(true);
        let mut members = Map::new();
        members.insert("reason".to_owned(), reason.code().into());
        members.insert("flows_cut".to_owned(), flows.len().into());
        if let EndReason::Revoked { reason } = reason {
            members.insert("revocation_reason".to_owned(), reason.clone().into());
        }
        self.note(Daemon::Session, "session_removed", Weight::Event, members);
        self.gateway.reports.ended(self.id);
    }

    pub(super) async fn ask(&self, condition: ConditionId, claims: Arc<Value>, urgency: Urgency) -> Answered {
        let config = self.gateway.config.current();
        let found = config.as_ref().and_then(|config| {
            let definitions = &config.definitions;
            Some((definitions, definitions.condition(condition)?, definitions.condition_script(condition)?))
        });
        let Some((definitions, condition, script)) = found else {
            return Err(failure(FailureKind::Crash, "", "the condition is not configured")).into();
        };
        let mut record = self.run(definitions, vec![script.clone()], claims.clone(), urgency).await.pop();
        // What never ran in the background is no answer; the last one stands for a while longer.
        for _ in 0..LATE_ATTEMPTS {
            if urgency == Urgency::Now || !record.as_ref().is_some_and(never_ran) {
                break;
            }
            tokio::time::sleep(LATE_PAUSE).await;
            record = self.run(definitions, vec![script.clone()], claims.clone(), urgency).await.pop();
        }
        let answered = condition_answer(&condition.name, record);
        if let Err(failure) = &answered.answer {
            let mut members = Map::new();
            members.insert("condition_name".to_owned(), condition.name.clone().into());
            members.insert("failure".to_owned(), failure.kind.as_str().into());
            members.insert("message".to_owned(), failure.message.clone().into());
            self.note(Daemon::Session, "condition_failed", Weight::Flow, members);
        }
        answered
    }

    fn tell_condition(&self, inner: &mut Inner, id: ConditionId, name: &Arc<str>, answer: &Answer) {
        let holds = *answer == Ok(true);
        let mut members = Map::new();
        members.insert("condition_name".to_owned(), name.as_ref().into());
        members.insert("result".to_owned(), holds.into());
        if let Err(failure) = answer {
            members.insert("failure".to_owned(), failure.kind.as_str().into());
        }
        self.note(Daemon::Session, "condition_evaluated", Weight::Event, members);
        let condition = name.to_string();
        if holds {
            if inner.told_false.remove(&id) {
                self.tell(ControlDown::ConditionTrue { condition });
            }
            return;
        }
        inner.told_false.insert(id);
        let config = self.gateway.config.current();
        let definitions = config.as_ref().map(|config| &config.definitions);
        let held = definitions.map(|definitions| definitions.entitlements(&inner.granted)).unwrap_or_default();
        let guarded = held.iter().filter(|entitlement| entitlement.conditions.contains(&id));
        let entitlements = guarded.map(|entitlement| entitlement.name.clone()).collect();
        let (message, remedies) = match answer {
            Err(failure) if !failure.kind.starts_remedies() => {
                (Some(format!("`{name}` could not be checked ({})", failure.kind)), Remedies::default())
            }
            Ok(_) | Err(_) => match definitions.and_then(|definitions| definitions.condition(id)) {
                Some(definition) => (message_of(definition), remedies_of(definition)),
                None => (None, Remedies::default()),
            },
        };
        let message = message.unwrap_or_else(|| format!("`{name}` is not met"));
        self.tell(ControlDown::ConditionFalse { condition, entitlements, message, remedies });
    }

    fn note_denial(&self, inner: &Inner, flow: FlowId, denial: &Denial) {
        let action = if let Denial::Alerted { .. } = denial { "alert" } else { "drop" };
        self.note_access(inner, flow, action, denial.rule(), Some(denial));
    }

    fn note_access(&self, inner: &Inner, flow: FlowId, action: &str, rule: Option<&str>, denial: Option<&Denial>) {
        let Some(handle) = inner.flows.get(&flow) else { return };
        let mut members = access(handle.target, action);
        if let Some(rule) = rule {
            members.insert("rule_name".to_owned(), rule.into());
        }
        if let Some(denial) = denial {
            members.insert("drop_reason".to_owned(), denial.code().into());
        }
        self.note(Daemon::Vpn, "ip_access", Weight::Flow, members);
    }
}

/// Tells a flow that is not open yet. One that does not listen any more is cut, so that a permit never waits for it.
fn say(inner: &mut Inner, flow: FlowId, event: FlowEvent) {
    let Some(handle) = inner.flows.get(&flow) else { return };
    if handle.events.try_send(event).is_err() {
        handle.gate.cut(close_code::CUT);
    }
}

fn access(target: Target, action: &str) -> Map<String, Value> {
    let protocol = match target.protocol {
        Protocol::Http | Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
        Protocol::Icmpv6 => "icmpv6",
        Protocol::Ah => "ah",
        Protocol::Esp => "esp",
        Protocol::Gre => "gre",
    };
    let members = [
        ("action", Value::from(action)),
        ("protocol", protocol.into()),
        ("destination_ip", target.address.to_string().into()),
        ("destination_port", target.port.into()),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the administrator wrote for the user; what is asked for stands in the remedies.
fn message_of(condition: &Condition) -> Option<String> {
    let shown = condition.remedies.iter().filter_map(|remedy| match remedy.ask {
        RemedyAsk::DisplayMessage => Some(remedy.message.clone()),
        RemedyAsk::OtherFactor => Some(format!("{} (cannot be answered by this version)", remedy.message)),
        RemedyAsk::Otp { .. } | RemedyAsk::Password { .. } | RemedyAsk::Reason { .. } => None,
    });
    let texts: Vec<String> = shown.collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// What the user is asked for.
fn remedies_of(condition: &Condition) -> Remedies {
    let offers = condition.remedies.iter().zip(0..).filter_map(|(remedy, place)| {
        let kind = match remedy.ask {
            RemedyAsk::Password { .. } => RemedyKind::Password,
            RemedyAsk::Reason { .. } => RemedyKind::Reason,
            RemedyAsk::Otp { .. } => RemedyKind::Code,
            RemedyAsk::DisplayMessage | RemedyAsk::OtherFactor => return None,
        };
        Some(RemedyOffer { condition: condition.id, place, kind, message: remedy.message.clone() })
    });
    Remedies { offers: offers.collect(), any: condition.remedy_logic == Logic::Or }
}

fn never_ran(record: &RunRecord) -> bool {
    record.result.as_ref().is_err_and(|failure| failure.kind == FailureKind::Overloaded)
}

/// How often a question in the background is put again when there was no room for it.
const LATE_ATTEMPTS: usize = 30;

const LATE_PAUSE: Duration = Duration::from_secs(1);
