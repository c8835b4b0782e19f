//! A session on a gateway: the enforcement point.
//!
//! Every flow goes through [`Session::open`]; only an [`Effect::Allow`] carries the [`Permit`] that whatever dials asks
//! for by value. A flow is `Pending` while its conditions are being asked, `Held` while one is false and the user may do
//! something about it, `Allowed` with the rule-set generation and the slot epochs it was allowed under.
//!
//! INVARIANT: a flow passes only while [`Session::passes`] says so, that is while the session lives, the generation is
//! the one it was allowed under and none of its slots has moved on. Changing rules bumps the generation, changing a
//! condition's answer bumps the slots that use it; every flow is then decided anew, and what no longer stands is cut.
//! Ending the session is one flag, whatever the number of flows.
//!
//! While rules are being built ([`Session::handle_incomplete`]), a flow that was never open and meets no rule waits until
//! they stand: only "no rule" waits, a block refuses as ever, and nothing is permitted by it.
//!
//! Errors deny: a failed condition never satisfies anything. A block blocks whatever its own conditions say, because the
//! rule that wins a packet is the only one asked (D 12.2), and it permits nothing.

mod condemned;
mod condition;
mod deadline;
mod decide;
mod outcome;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    id::{ConditionId, EntitlementId},
    object::{Entitlement, Logic},
    rules::{RuleSet, Target, Verdict},
};

use condemned::Condemned;
use condition::{Cause, Conditions};
use deadline::Deadline;
use decide::Standpoint;

pub use condition::{Answer, Answered, ConditionFacts, RunId};
pub use outcome::{Denial, Effect, EndReason, Hold, Permit};

/// Names one flow of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u64);

/// A moment on both clocks: holds and retries count on the monotonic one, expiry on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since an arbitrary start; never goes backwards.
    pub monotonic: Duration,
    /// The time of day, which may jump.
    pub wall: OffsetDateTime,
}

/// Bounds and times of a session.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Flows open or waiting at once. Default 4,096.
    pub flows: usize,
    /// Flows that wait at once; each is looked at again whenever time passes. Default 256.
    pub waiting: usize,
    /// How long a flow is held for a condition to turn true. Default 60 s (design 3.6).
    pub hold: Duration,
    /// How long a flow waits for an answer before it is refused. Default 10 s: twice what a script may run.
    pub pending: Duration,
    /// A condition that was not satisfied is not asked again by traffic sooner than this. Default 1 s.
    pub retry: Duration,
    /// How long after a scheduled moment this session asks, so that not all sessions ask at once. Default none.
    pub schedule_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 4096,
            waiting: 256,
            hold: Duration::from_secs(60),
            pending: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            schedule_delay: Duration::ZERO,
        }
    }
}

/// The state of one session on one gateway.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    rules: RuleSet,
    /// Rules are being built that may hold more than those in force.
    incomplete: bool,
    generation: u64,
    slots: BTreeMap<EntitlementId, Slot>,
    conditions: Conditions,
    flows: BTreeMap<FlowId, Flow>,
    expires: Deadline,
    condemned: Option<Condemned>,
    ended: Option<EndReason>,
}

/// What an entitlement's conditions stand for; all its rules share it.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    conditions: BTreeSet<ConditionId>,
    logic: Logic,
    epoch: u64,
}

#[derive(Debug)]
struct Flow {
    target: Target,
    since: Duration,
    state: FlowState,
}

impl Flow {
    fn was_open(&self) -> bool {
        match self.state {
            FlowState::Allowed { .. } | FlowState::Pending { opened: true, .. } => true,
            FlowState::Pending { opened: false, .. } | FlowState::Held => false,
        }
    }
}

#[derive(Debug)]
enum FlowState {
    /// Conditions are being asked; `opened` flows are paused meanwhile.
    Pending { opened: bool, since: Duration },
    /// A condition is false; the flow waits for it to turn.
    Held,
    /// Open, as long as generation and epochs stay.
    Allowed { generation: u64, epochs: Vec<(EntitlementId, u64)> },
}

impl Session {
    /// A live session without rules: it permits nothing yet.
    pub fn new(limits: Limits, expires: OffsetDateTime, now: Moment) -> Self {
        Self {
            limits,
            rules: RuleSet::default(),
            incomplete: false,
            generation: 0,
            slots: BTreeMap::new(),
            conditions: Conditions::new(limits.schedule_delay),
            flows: BTreeMap::new(),
            expires: Deadline::new(expires, now),
            condemned: None,
            ended: None,
        }
    }

    /// Takes in the rules of the entitlements held, with what is to be known of the conditions they use.
    ///
    /// `conditions` are the definitions in force; one that an entitlement names but that is missing can never hold.
    pub fn handle_rules(
        &mut self,
        entitlements: &[Arc<Entitlement>],
        rules: RuleSet,
        conditions: &BTreeMap<ConditionId, ConditionFacts>,
        now: Moment,
    ) -> Vec<Effect> {
        self.while_live(now, |session| {
            if session.rules != rules || session.slots.len() != entitlements.len() {
                session.generation += 1;
            }
            session.rules = rules;
            session.slots =
                entitlements.iter().map(|entitlement| (entitlement.id, session.slot_of(entitlement))).collect();
            for gone in session.conditions.define(conditions, now) {
                session.bump(gone);
            }
            session.decide_all(now)
        })
    }

    /// Rules are being built for newer tokens, names or scripts: until [`Self::handle_complete`], a flow that was never open
    /// and meets no rule waits, as long as one waits for a first answer.
    pub fn handle_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// The rules in force are all there are; whatever waited for others is decided.
    pub fn handle_complete(&mut self, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| match std::mem::take(&mut session.incomplete) {
            true => session.decide_all(now),
            false => Vec::new(),
        })
    }

    /// A flow's first packet. The answer holds exactly one of `Allow`, `Hold`, `Deny` for it, or none while it is pending.
    pub fn open(&mut self, flow: FlowId, target: Target, now: Moment) -> Vec<Effect> {
        let mut over = self.end_if_due(now);
        if self.ended.is_some() {
            over.push(Effect::Deny(flow, Denial::SessionEnded));
            return over;
        }
        if self.flows.len() >= self.limits.flows {
            return vec![Effect::Deny(flow, Denial::TooManyFlows)];
        }
        self.forget_failures(target, now);
        if self.waiting().count() >= self.limits.waiting && !self.is_settled(target) {
            return vec![Effect::Deny(flow, Denial::TooManyFlows)];
        }
        self.flows.insert(
            flow,
            Flow { target, since: now.monotonic, state: FlowState::Pending { opened: false, since: now.monotonic } },
        );
        self.decide(flow, now)
    }

    /// The flow is over by itself.
    pub fn close(&mut self, flow: FlowId) {
        self.flows.remove(&flow);
    }

    /// Whether the flow may pass a packet right now. The one check every packet and every chunk of a stream goes through.
    pub fn passes(&self, flow: FlowId, now: Moment) -> bool {
        if self.ended.is_some() || self.due(now).is_some() {
            return false;
        }
        match self.flows.get(&flow).map(|flow| &flow.state) {
            Some(FlowState::Allowed { generation, epochs }) => {
                *generation == self.generation
                    && epochs.iter().all(|(slot, epoch)| self.slots.get(slot).is_some_and(|slot| slot.epoch == *epoch))
            }
            Some(FlowState::Pending { .. } | FlowState::Held) | None => false,
        }
    }

    /// A condition was answered. An answer that was asked of older facts than another run under way may take away, but not
    /// give.
    pub fn handle_answer(
        &mut self,
        condition: ConditionId,
        run: RunId,
        answered: impl Into<Answered>,
        now: Moment,
    ) -> Vec<Effect> {
        self.while_live(now, |session| {
            let mut effects = match session.conditions.answer(condition, run, answered.into()) {
                None => Vec::new(),
                Some(change) if change.changed => {
                    session.bump(condition);
                    let mut effects =
                        vec![Effect::ConditionChanged { condition, name: change.name, answer: change.answer }];
                    effects.extend(session.decide_all(now));
                    effects
                }
                Some(change) if change.settles => session.decide_all(now),
                Some(_) => Vec::new(),
            };
            let again = session.conditions.start_again(condition, now);
            effects.extend(again.map(|run| Effect::Evaluate { condition, run }));
            effects
        })
    }

    /// A condition's definition changed: its last answer belongs to something that no longer exists, so what it
    /// permitted waits for the new answer.
    pub fn handle_edited(&mut self, condition: ConditionId, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            session.conditions.forget(condition);
            session.bump(condition);
            session.decide_all(now)
        })
    }

    /// Asks those of the conditions again that were ever asked; the last answers stand until the new ones are there.
    pub fn reevaluate_some(&mut self, conditions: &BTreeSet<ConditionId>, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            let asked = session.conditions.asked().intersection(conditions).copied().collect();
            session.ask(asked, now, Cause::Changed)
        })
    }

    /// Asks all conditions that were ever asked again; the last answers stand until the new ones are there.
    pub fn reevaluate(&mut self, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            let asked = session.conditions.asked();
            session.ask(asked, now, Cause::Changed)
        })
    }

    /// The same when the answers may take their time: what is being asked already is asked again when it has answered.
    pub fn reevaluate_later(&mut self, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            let asked = session.conditions.asked();
            session.ask(asked, now, Cause::ChangedLater)
        })
    }

    /// The claims changed: asks again what was asked before and reads one of those that did.
    pub fn handle_claims(&mut self, before: &Value, after: &Value, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            let touched = session.conditions.touched(before, after);
            session.ask(touched, now, Cause::Changed)
        })
    }

    /// Renewed tokens prolong the session. The same ones shown again do not, whatever the clock says by now.
    pub fn handle_expiry(&mut self, expires: OffsetDateTime, now: Moment) {
        if expires != self.expires.wall() {
            self.expires = Deadline::new(expires, now);
        }
    }

    /// Ends the session; every flow is cut with this one flag.
    pub fn end(&mut self, reason: EndReason) -> Vec<Effect> {
        if self.ended.is_some() {
            return Vec::new();
        }
        self.ended = Some(reason.clone());
        self.flows.clear();
        vec![Effect::End(reason)]
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<&EndReason> {
        self.ended.as_ref()
    }

    /// Does what is due at `now`: expiry, schedules, holds and waits that ran out, traffic that asks again.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<Effect> {
        self.while_live(now, |session| {
            let mut effects = session.drop_overdue(now);
            let scheduled = session.conditions.scheduled(now.wall);
            effects.extend(session.ask(scheduled, now, Cause::Changed));
            let waiting: Vec<FlowId> = session.waiting().collect();
            for flow in waiting {
                effects.extend(session.decide(flow, now));
            }
            effects
        })
    }

    /// The next moment of the monotonic clock at which [`Self::handle_timeout`] has work. What is on the wall clock stands
    /// beside it in [`Self::poll_wall`].
    pub fn poll_timeout(&self) -> Duration {
        let held = self.flows.values().filter(|flow| matches!(flow.state, FlowState::Held));
        let asked_by_traffic = held.filter_map(|flow| match self.standpoint(flow.target) {
            Standpoint::Unsatisfied(_, conditions) => Some(conditions),
            Standpoint::Permitted { .. } | Standpoint::Unknown(_) | Standpoint::Refused(_) => None,
        });
        let retry = self.conditions.next_retry(&asked_by_traffic.flatten().collect(), self.limits.retry);
        let overdue = self.flows.values().filter_map(|flow| self.deadline(flow)).min();
        let condemned = self.condemned.as_ref().map(|condemned| condemned.effective.monotonic());
        [retry, overdue, condemned].into_iter().flatten().fold(self.expires.monotonic(), Ord::min)
    }

    /// The next moment of the wall clock at which [`Self::handle_timeout`] has work: expiry, a revocation or a schedule.
    pub fn poll_wall(&self) -> OffsetDateTime {
        let revoked = self.condemned.as_ref().map(|condemned| condemned.effective.wall());
        let due = [self.conditions.next_scheduled(), revoked].into_iter().flatten();
        due.fold(self.expires.wall(), Ord::min)
    }

    /// When the session's tokens expire.
    pub fn expires(&self) -> OffsetDateTime {
        self.expires.wall()
    }

    /// Flows open or waiting.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// The rules in force.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The last answer of every condition asked, by name.
    pub fn condition_answers(&self) -> BTreeMap<Arc<str>, bool> {
        self.conditions.answers()
    }

    /// Ends a session whose time is over before anything else is done for it.
    fn end_if_due(&mut self, now: Moment) -> Vec<Effect> {
        self.due(now).map_or_else(Vec::new, |reason| self.end(reason))
    }

    /// Does something for a session that is live: one whose time is over ends instead.
    fn while_live(&mut self, now: Moment, act: impl FnOnce(&mut Self) -> Vec<Effect>) -> Vec<Effect> {
        let over = self.end_if_due(now);
        if self.ended.is_some() { over } else { act(self) }
    }

    /// Why the session ends now, if its time is over.
    fn due(&self, now: Moment) -> Option<EndReason> {
        let revoked = self.condemned.as_ref().filter(|condemned| condemned.effective.is_over(now));
        revoked.map(Condemned::end).or_else(|| self.expires.is_over(now).then_some(EndReason::Expired))
    }

    fn slot_of(&self, entitlement: &Entitlement) -> Slot {
        let old = self.slots.get(&entitlement.id);
        let same =
            old.is_some_and(|old| old.conditions == entitlement.conditions && old.logic == entitlement.condition_logic);
        let epoch = old.map_or(0, |old| if same { old.epoch } else { old.epoch + 1 });
        Slot {
            name: entitlement.name.as_str().into(),
            conditions: entitlement.conditions.clone(),
            logic: entitlement.condition_logic,
            epoch,
        }
    }

    /// An attempt asks again what could not be checked before, no sooner than the retry floor.
    fn forget_failures(&mut self, target: Target, now: Moment) {
        let Verdict::Allow(rules) = self.rules.verdict(target) else { return };
        let slots = rules.iter().filter_map(|rule| self.slots.get(&rule.entitlement));
        let conditions: BTreeSet<ConditionId> = slots.flat_map(|slot| slot.conditions.iter().copied()).collect();
        for condition in conditions {
            self.conditions.forget_failure(condition, self.limits.retry, now.monotonic);
        }
    }

    fn bump(&mut self, condition: ConditionId) {
        for slot in self.slots.values_mut().filter(|slot| slot.conditions.contains(&condition)) {
            slot.epoch += 1;
        }
    }

    fn waiting(&self) -> impl Iterator<Item = FlowId> {
        let waits = |flow: &Flow| match flow.state {
            FlowState::Pending { .. } | FlowState::Held => true,
            FlowState::Allowed { .. } => false,
        };
        self.flows.iter().filter(move |(_, flow)| waits(flow)).map(|(id, _)| *id)
    }

    /// Whether a new flow to the target is allowed or refused without waiting.
    fn is_settled(&self, target: Target) -> bool {
        match self.standpoint(target) {
            Standpoint::Permitted { .. } => true,
            Standpoint::Refused(denial) => !(self.incomplete && denial == Denial::NoRule),
            Standpoint::Unknown(_) | Standpoint::Unsatisfied(..) => false,
        }
    }

    fn deadline(&self, flow: &Flow) -> Option<Duration> {
        match flow.state {
            FlowState::Pending { since, .. } => Some(since + self.limits.pending),
            FlowState::Held => Some(flow.since + self.limits.hold),
            FlowState::Allowed { .. } => None,
        }
    }

    fn drop_overdue(&mut self, now: Moment) -> Vec<Effect> {
        let overdue =
            self.flows.iter().filter(|(_, flow)| self.deadline(flow).is_some_and(|deadline| deadline <= now.monotonic));
        let overdue: Vec<FlowId> = overdue.map(|(id, _)| *id).collect();
        let mut effects = Vec::new();
        for id in overdue {
            let Some(flow) = self.flows.get(&id) else { continue };
            let denial = match self.standpoint(flow.target) {
                Standpoint::Unsatisfied(hold, _) => Denial::HoldTimedOut(hold),
                Standpoint::Refused(denial) => denial,
                Standpoint::Unknown(_) => Denial::NoAnswer,
                // A flow that may pass is decided, not dropped.
                Standpoint::Permitted { .. } => continue,
            };
            effects.extend(self.refuse(id, denial));
        }
        effects
    }

    fn decide_all(&mut self, now: Moment) -> Vec<Effect> {
        let flows: Vec<FlowId> = self.flows.keys().copied().collect();
        flows.into_iter().flat_map(|flow| self.decide(flow, now)).collect()
    }
}
