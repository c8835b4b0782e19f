//! Deciding a flow: what rules and conditions say of it together, and what becomes of it.

use std::collections::BTreeSet;

use super::{
    Denial, Effect, FlowId, FlowState, Hold, Moment, Permit, Session,
    condition::{Cause, Standing},
};
use crate::{
    id::{ConditionId, EntitlementId},
    rules::{Target, Verdict},
};

/// What the rules and conditions say of a target right now.
pub(super) enum Standpoint {
    Permitted { permit: Permit, slots: Vec<EntitlementId> },
    Unknown(BTreeSet<ConditionId>),
    Unsatisfied(Hold, BTreeSet<ConditionId>),
    Refused(Denial),
}

impl Session {
    /// Decides one flow anew; the whole combination in one place.
    pub(super) fn decide(&mut self, id: FlowId, now: Moment) -> Vec<Effect> {
        if self.passes(id, now) {
            return Vec::new();
        }
        let Some(flow) = self.flows.get(&id) else { return Vec::new() };
        match self.standpoint(flow.target) {
            Standpoint::Refused(Denial::NoRule) if self.incomplete && !flow.was_open() => Vec::new(),
            Standpoint::Refused(denial) => self.refuse(id, denial),
            Standpoint::Permitted { permit, slots } => self.allow(id, permit, slots),
            Standpoint::Unknown(conditions) => self.wait(id, conditions, now),
            Standpoint::Unsatisfied(hold, conditions) => self.hold(id, hold, conditions, now),
        }
    }

    pub(super) fn standpoint(&self, target: Target) -> Standpoint {
        let rules = match self.rules.verdict(target) {
            Verdict::NoRule => return Standpoint::Refused(Denial::NoRule),
            Verdict::Block(rule) => return Standpoint::Refused(Denial::Blocked { rule: rule.name.clone() }),
            Verdict::Alert(rule) => return Standpoint::Refused(Denial::Alerted { rule: rule.name.clone() }),
            Verdict::Allow(rules) => rules,
        };
        let mut satisfied = None;
        let mut slots = Vec::new();
        let mut unknown = BTreeSet::new();
        let mut unsatisfied: Option<(Hold, BTreeSet<ConditionId>)> = None;
        let mut failed = None;
        for rule in rules {
            let Some(slot) = self.slots.get(&rule.entitlement) else { continue };
            slots.push(rule.entitlement);
            match self.conditions.standing(&slot.conditions, slot.logic) {
                Standing::Satisfied => satisfied = satisfied.or(Some(rule)),
                Standing::Unknown(ask) => unknown.extend(ask),
                Standing::Unsatisfied { name, ask } => {
                    let hold = Hold { rule: rule.name.clone(), entitlement: slot.name.clone(), condition: name };
                    unsatisfied.get_or_insert_with(|| (hold, BTreeSet::new())).1.extend(ask);
                }
                Standing::Failed { name, failure } => {
                    failed =
                        failed.or(Some(Denial::ConditionFailed { rule: rule.name.clone(), condition: name, failure }))
                }
                Standing::Never => failed = failed.or(Some(Denial::NoConditions { rule: rule.name.clone() })),
            }
        }
        match (satisfied, unsatisfied, failed) {
            (Some(rule), _, _) => Standpoint::Permitted { permit: Permit::new(rule, target), slots },
            (None, _, _) if !unknown.is_empty() => Standpoint::Unknown(unknown),
            (None, Some((hold, ask)), _) => Standpoint::Unsatisfied(hold, ask),
            (None, None, Some(denial)) => Standpoint::Refused(denial),
            (None, None, None) => Standpoint::Refused(Denial::NoRule),
        }
    }

    pub(super) fn allow(&mut self, id: FlowId, permit: Permit, slots: Vec<EntitlementId>) -> Vec<Effect> {
        let generation = self.generation;
        let epochs =
            slots.into_iter().filter_map(|slot| self.slots.get(&slot).map(|found| (slot, found.epoch))).collect();
        let Some(flow) = self.flows.get_mut(&id) else { return Vec::new() };
        let before = std::mem::replace(&mut flow.state, FlowState::Allowed { generation, epochs });
        match before {
            FlowState::Pending { opened: false, .. } | FlowState::Held => vec![Effect::Allow(id, permit)],
            FlowState::Pending { opened: true, .. } => vec![Effect::Resume(id)],
            // Decided anew under the new generation and epochs without ever having stopped.
            FlowState::Allowed { .. } => Vec::new(),
        }
    }

    pub(super) fn wait(&mut self, id: FlowId, conditions: BTreeSet<ConditionId>, now: Moment) -> Vec<Effect> {
        let Some(flow) = self.flows.get_mut(&id) else { return Vec::new() };
        let mut effects = Vec::new();
        if let FlowState::Allowed { .. } = flow.state {
            flow.state = FlowState::Pending { opened: true, since: now.monotonic };
            effects.push(Effect::Pause(id));
        }
        effects.extend(self.ask(conditions, now, Cause::Traffic));
        effects
    }

    pub(super) fn hold(
        &mut self,
        id: FlowId,
        hold: Hold,
        conditions: BTreeSet<ConditionId>,
        now: Moment,
    ) -> Vec<Effect> {
        let Some(flow) = self.flows.get_mut(&id) else { return Vec::new() };
        let mut effects = Vec::new();
        match flow.state {
            FlowState::Allowed { .. } | FlowState::Pending { opened: true, .. } => {
                return self.refuse(id, Denial::ConditionFalse(hold));
            }
            FlowState::Pending { opened: false, .. } => {
                flow.state = FlowState::Held;
                effects.push(Effect::Hold(id, hold));
            }
            FlowState::Held => {}
        }
        effects.extend(self.ask(conditions, now, Cause::Retry(self.limits.retry)));
        effects
    }

    pub(super) fn refuse(&mut self, id: FlowId, denial: Denial) -> Vec<Effect> {
        match self.flows.remove(&id).map(|flow| flow.state) {
            None => Vec::new(),
            Some(FlowState::Held | FlowState::Pending { opened: false, .. }) => vec![Effect::Deny(id, denial)],
            Some(FlowState::Allowed { .. } | FlowState::Pending { opened: true, .. }) => vec![Effect::Cut(id, denial)],
        }
    }

    pub(super) fn ask(&mut self, conditions: BTreeSet<ConditionId>, now: Moment, cause: Cause) -> Vec<Effect> {
        let runs = conditions
            .into_iter()
            .filter_map(|condition| self.conditions.start(condition, cause, now).map(|run| (condition, run)));
        runs.map(|(condition, run)| Effect::Evaluate { condition, run }).collect()
    }
}
