//! The model: what a session should be, written down as plainly as possible.

use std::collections::BTreeMap;

use super::{Revocation, RuleStep, Said, WIDE};

/// Everything that counts, the naive way.
#[derive(Default)]
pub(super) struct Model {
    pub rules: Vec<RuleStep>,
    pub conditions: BTreeMap<u8, Condition>,
    pub flows: BTreeMap<u64, (u8, Status)>,
    /// Whether more rules may come.
    pub building: bool,
    pub ended: bool,
    /// Seconds of the wall clock and of the monotonic clock at which the tokens end, whichever comes first.
    pub expires: (i64, u64),
    /// The same of the first revocation that covers them.
    pub condemned: Option<(i64, u64)>,
    /// Revocations with their number and the second they take effect.
    pub revocations: Vec<(u64, i64, Revocation)>,
    pub seq: u64,
    /// At which number the claims token and the entitlement token were decided.
    pub decided: (u64, u64),
    /// Orders what happens to conditions.
    pub moment: u64,
}

/// A condition that is defined.
#[derive(Default)]
pub(super) struct Condition {
    pub answer: Option<Said>,
    /// Whether the last answer told what the script reads.
    pub reads_known: bool,
    /// When each run under way was started.
    pub runs: Vec<u64>,
    /// When the run that answered last was started.
    pub answered: u64,
    /// When facts last changed.
    pub changed: u64,
    /// The last change waits for the runs under way.
    pub later: bool,
    /// Seconds of the monotonic clock at which it was asked last.
    pub asked: u64,
    /// Seconds of the wall clock at which the schedule asks next.
    pub due: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Never open yet; `pending` is since when nothing is known, `None` while held.
    New {
        opened: u64,
        pending: Option<u64>,
    },
    Open,
    /// Was open; since when it waits for an answer.
    Paused(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Permitted,
    Unknown,
    Unsatisfied,
    Refused,
    NoRule,
}

impl Condition {
    pub(super) fn was_asked(&self) -> bool {
        self.answer.is_some() || !self.runs.is_empty()
    }

    /// Whether it could answer otherwise when the claims of this mask changed.
    fn reads(&self, number: u8, mask: u8) -> bool {
        match number {
            _ if !self.reads_known => mask != 0,
            1 => mask & 0b00001 != 0,
            2 => mask & 0b10010 != 0,
            _ => mask & 0b10111 != 0,
        }
    }

    /// A run that began at `began` says so.
    pub(super) fn take(&mut self, began: u64, said: Said) {
        let stale = began < self.changed;
        if began > self.answered && !(said == Said::True && stale) {
            self.answer = Some(said);
            self.answered = began;
            self.reads_known = said != Said::TimedOut;
        }
    }
}

impl Model {
    /// The rules that win for a host: those of the host itself, or else the wide ones.
    pub(super) fn winners(&self, host: u8) -> Vec<&RuleStep> {
        let exact = self.rules.iter().any(|rule| rule.host == host);
        self.rules.iter().filter(|rule| rule.host == if exact { host } else { WIDE }).collect()
    }

    pub(super) fn view(&self, host: u8) -> View {
        let winners = self.winners(host);
        if winners.is_empty() {
            return View::NoRule;
        }
        if winners.iter().any(|rule| !rule.allow) {
            return View::Refused;
        }
        let views: Vec<View> = winners.iter().map(|rule| self.view_of(rule)).collect();
        let best = [View::Permitted, View::Unknown, View::Unsatisfied];
        best.into_iter().find(|view| views.contains(view)).unwrap_or(View::Refused)
    }

    fn view_of(&self, rule: &RuleStep) -> View {
        let wanted = numbers(rule.conditions);
        let answers: Vec<Option<Said>> =
            wanted.iter().filter_map(|number| self.conditions.get(number)).map(|condition| condition.answer).collect();
        if rule.all && answers.len() < wanted.len() {
            return View::Refused;
        }
        let held = answers.iter().filter(|answer| **answer == Some(Said::True)).count();
        if held > 0 && (!rule.all || held == answers.len()) {
            View::Permitted
        } else if answers.contains(&None) {
            View::Unknown
        } else if answers.iter().any(|answer| matches!(answer, Some(Said::False | Said::Thrown))) {
            View::Unsatisfied
        } else {
            View::Refused
        }
    }

    /// Facts changed for these conditions.
    pub(super) fn change(&mut self, concerns: impl Fn(u8, &Condition) -> bool) {
        self.moment += 1;
        for (number, condition) in &mut self.conditions {
            if condition.was_asked() && concerns(*number, condition) {
                condition.changed = self.moment;
                condition.later = false;
            }
        }
    }

    /// Claims of this mask changed.
    pub(super) fn change_claims(&mut self, mask: u8) {
        self.change(|number, condition| condition.reads(number, mask));
    }

    /// When the first revocation that covers the tokens now held takes effect.
    fn revoked_at(&self) -> Option<i64> {
        let covers = |seq: u64, revocation: &Revocation| {
            let claims = revocation.claims && revocation.site.is_none() && seq > self.decided.0;
            let entitlement = revocation.entitlement && revocation.site != Some(false) && seq > self.decided.1;
            revocation.mine && (claims || entitlement)
        };
        self.revocations.iter().filter(|(seq, _, said)| covers(*seq, said)).map(|(_, effective, _)| *effective).min()
    }

    /// A revocation covers a token held. What is due within the skew of clocks is due.
    pub(super) fn condemn(&mut self, effective: i64, wall: i64, now: u64) {
        if effective <= wall + 1 {
            self.ended = true;
        } else if self.condemned.is_none_or(|(first, _)| effective < first) {
            self.condemned = Some((effective, now + u64::try_from(effective - wall).unwrap()));
        }
    }

    /// Other tokens are held.
    pub(super) fn condemn_anew(&mut self, wall: i64, now: u64) {
        let first = self.revoked_at();
        self.condemned = self.condemned.filter(|(effective, _)| Some(*effective) == first);
        if let Some(effective) = first {
            self.condemn(effective, wall, now);
        }
    }

    /// Whether nothing may pass at this second of both clocks.
    pub(super) fn is_over(&self, wall: i64, now: u64) -> bool {
        let over = |end: (i64, u64)| wall >= end.0 || now >= end.1;
        self.ended || over(self.expires) || self.condemned.is_some_and(over)
    }

    /// Decides every flow from scratch.
    pub(super) fn settle(&mut self, now: u64) {
        if self.ended {
            self.flows.clear();
        }
        let flows = std::mem::take(&mut self.flows);
        for (id, (host, status)) in flows {
            let after = match (self.view(host), status) {
                (View::Permitted, _) => Some(Status::Open),
                (View::NoRule, waiting @ Status::New { .. }) if self.building => Some(waiting),
                (View::Refused | View::NoRule, _) => None,
                (View::Unknown, Status::Open) => Some(Status::Paused(now)),
                (View::Unknown, waiting) => Some(waiting),
                (View::Unsatisfied, Status::New { opened, .. }) => Some(Status::New { opened, pending: None }),
                (View::Unsatisfied, Status::Open | Status::Paused(_)) => None,
            };
            if let Some(after) = after {
                self.flows.insert(id, (host, after));
            }
        }
    }

    /// Holds last a minute, waiting for an answer ten seconds.
    pub(super) fn pass_time(&mut self, now: u64) {
        self.flows.retain(|_, (_, status)| match status {
            Status::New { opened, pending: None } => now < *opened + 60,
            Status::New { pending: Some(since), .. } | Status::Paused(since) => now < *since + 10,
            Status::Open => true,
        });
    }

    /// The third condition is asked at every full minute since somebody asked first. True when it is due.
    pub(super) fn is_scheduled(&mut self, wall: i64) -> bool {
        let Some(condition) = self.conditions.get_mut(&3) else { return false };
        let due = condition.due.is_some_and(|due| due <= wall);
        if due {
            condition.due = None;
        }
        condition.plan(wall);
        due && condition.was_asked()
    }
}

impl Condition {
    /// The next full minute, or an earlier moment that was planned before the clock was set.
    pub(super) fn plan(&mut self, wall: i64) {
        let next = (wall.div_euclid(60) + 1) * 60;
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
    }
}

/// The conditions of a mask.
pub(super) fn numbers(mask: u8) -> Vec<u8> {
    (1..=3).filter(|number| mask & (1 << (number - 1)) != 0).collect()
}
