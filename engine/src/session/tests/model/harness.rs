//! A session and the model side by side, given the same steps.

use serde_json::{Value, json};

use super::{
    reference::{Model, Status, View, numbers},
    *,
};
use crate::{
    claims::Reads,
    dn::DistinguishedName,
    id::{SiteId, TokenId},
    revocation::{Revocations, TokenFacts},
};

pub(super) struct Pair {
    session: Session,
    model: Model,
    entitlements: Vec<Arc<Entitlement>>,
    /// Runs under way with when the model says they began, and runs of definitions that are gone.
    runs: BTreeMap<u8, Vec<(RunId, u64)>>,
    void: BTreeMap<u8, Vec<RunId>>,
    revocations: Revocations,
    claims: [u32; CLAIMS.len()],
    now: u64,
    clock: i64,
    next_flow: u64,
}

impl Pair {
    pub(super) fn new() -> Self {
        let model = Model { expires: (3600, 3600), ..Model::default() };
        let mut pair = Self {
            session: Session::new(Limits::default(), START + Duration::from_secs(3600), at(0)),
            model,
            entitlements: Vec::new(),
            runs: BTreeMap::new(),
            void: BTreeMap::new(),
            revocations: Revocations::default(),
            claims: [0; CLAIMS.len()],
            now: 0,
            clock: 0,
            next_flow: 0,
        };
        let wide = RuleStep { host: WIDE, allow: true, conditions: 1, all: true };
        let exact = RuleStep { host: 1, allow: true, conditions: 6, all: false };
        pair.step(&Step::Rules(vec![wide, exact], 7));
        pair
    }

    pub(super) fn step(&mut self, step: &Step) {
        if self.is_looked_at(step) && self.model.is_over(self.wall(), self.now) {
            self.model.ended = true;
        }
        let effects = self.carry_out(step);
        self.note(&effects);
        self.model.settle(self.now);
    }

    pub(super) fn check(&self, step: &Step) -> Result<(), TestCaseError> {
        let over = self.model.is_over(self.wall(), self.now);
        for id in 1..=self.next_flow {
            let expected = !over && self.model.flows.get(&id).is_some_and(|(_, status)| *status == Status::Open);
            let got = self.session.passes(FlowId(id), self.moment());
            prop_assert_eq!(got, expected, "flow {} after {:?} at {} s", id, step, self.now);
        }
        prop_assert_eq!(self.session.flow_count(), self.model.flows.len(), "flows after {:?}", step);
        if !self.model.ended {
            self.check_asked(step)?;
            self.check_wake(step)?;
        }
        Ok(())
    }

    /// What changed is being asked about, what flows wait for is being asked, and never more than two runs at once.
    fn check_asked(&self, step: &Step) -> Result<(), TestCaseError> {
        for (number, condition) in &self.model.conditions {
            let newest = condition.runs.iter().max().copied().unwrap_or(0);
            let settled = condition.answered.max(newest);
            prop_assert!(condition.runs.len() <= 2, "runs of {} after {:?}", number, step);
            prop_assert!(
                settled >= condition.changed
                    || condition.runs.len() == 2
                    || (condition.later && !condition.runs.is_empty()),
                "{} is not asked again after {:?}",
                number,
                step
            );
        }
        for (host, _) in self.model.flows.values() {
            if self.model.view(*host) == View::Unknown {
                let winners = self.model.winners(*host);
                let asked = |number: &u8| self.model.conditions.get(number).is_some_and(|found| !found.runs.is_empty());
                let asks = winners.iter().any(|rule| numbers(rule.conditions).iter().any(asked));
                prop_assert!(asks, "nobody asks for host {} after {:?}", host, step);
            }
        }
        Ok(())
    }

    /// The session wants to be woken when the wall clock ends or asks something.
    fn check_wake(&self, step: &Step) -> Result<(), TestCaseError> {
        let scheduled = self.model.conditions.get(&3).filter(|condition| condition.was_asked());
        let revoked = self.model.condemned;
        let due = [revoked.map(|(wall, _)| wall), scheduled.and_then(|condition| condition.due)];
        let expected = due.into_iter().flatten().fold(self.model.expires.0, i64::min);
        prop_assert_eq!(self.session.poll_wall(), START + time::Duration::seconds(expected), "wake after {:?}", step);
        let end = revoked.map_or(self.model.expires.1, |(_, monotonic)| self.model.expires.1.min(monotonic));
        prop_assert!(self.session.poll_timeout() <= Duration::from_secs(end), "wake after {:?}", step);
        Ok(())
    }

    /// Whether the session looks at the clock in this step.
    fn is_looked_at(&self, step: &Step) -> bool {
        match step {
            Step::Open(_) | Step::Edit(_) | Step::Reevaluate | Step::Rules(..) | Step::Claims(_) => true,
            Step::Building(building) => !building,
            Step::NameMoved | Step::ReevaluateLater => true,
            Step::Answer(number, ..) => self.runs.get(number).is_some_and(|runs| !runs.is_empty()),
            Step::AnswerVoid(number, _) => self.void.get(number).is_some_and(|runs| !runs.is_empty()),
            // These move the clock or the end themselves.
            Step::Wait(_) | Step::SetClock(..) | Step::Renew(..) => false,
            Step::Close(_) | Step::Revoke(_) | Step::Pardon | Step::End => false,
        }
    }

    fn carry_out(&mut self, step: &Step) -> Vec<Effect> {
        let moment = self.moment();
        match step {
            Step::Open(host) => self.open(*host, moment),
            Step::Close(index) => self.close(*index),
            Step::Answer(number, said, which) => self.answer(*number, *said, *which),
            Step::AnswerVoid(number, said) => match self.void.get_mut(number).and_then(Vec::pop) {
                Some(run) => {
                    self.session.handle_answer(condition((*number).into()), run, answered(*number, *said), moment)
                }
                None => Vec::new(),
            },
            Step::Edit(number) => {
                self.forget(*number);
                self.session.handle_edited(condition((*number).into()), moment)
            }
            Step::Reevaluate => {
                self.model.change(|_, _| true);
                self.session.reevaluate(moment)
            }
            Step::ReevaluateLater => {
                self.model.change(|_, _| true);
                self.model.conditions.values_mut().for_each(|condition| condition.later = !condition.runs.is_empty());
                self.session.reevaluate_later(moment)
            }
            Step::Rules(rules, defined) => self.rules(rules, *defined),
            Step::Building(true) => {
                self.model.building = true;
                self.session.handle_incomplete();
                Vec::new()
            }
            Step::Building(false) => {
                self.model.building = false;
                self.session.handle_complete(moment)
            }
            Step::NameMoved => {
                self.model.change(|number, _| number == 1);
                self.session.reevaluate_some(&BTreeSet::from([condition(1)]), moment)
            }
            Step::Claims(mask) => {
                self.model.change_claims(*mask);
                let (before, after) = self.change_claims(*mask);
                self.session.handle_claims(&before, &after, moment)
            }
            Step::Renew(mask, life) => self.renew(*mask, *life),
            Step::Revoke(revocation) => self.revoke(revocation),
            Step::Pardon => {
                self.model.revocations.clear();
                self.model.condemned = None;
                self.revocations = Revocations::default();
                self.session.handle_all_revocations(&[], moment)
            }
            Step::Wait(seconds) => {
                self.now += u64::from(*seconds);
                self.tick()
            }
            Step::SetClock(seconds, noticed) => {
                self.clock += i64::from(*seconds);
                if *noticed { self.tick() } else { Vec::new() }
            }
            Step::End => {
                self.model.ended = true;
                self.session.end(EndReason::SignedOut)
            }
        }
    }

    fn open(&mut self, host: u8, moment: Moment) -> Vec<Effect> {
        self.next_flow += 1;
        if !self.model.ended {
            self.forget_failures(host);
            let status = Status::New { opened: self.now, pending: Some(self.now) };
            self.model.flows.insert(self.next_flow, (host, status));
        }
        self.session.open(FlowId(self.next_flow), target(&format!("10.0.0.{host}")), moment)
    }

    /// An attempt asks again what could not be checked, a second after it was last asked.
    fn forget_failures(&mut self, host: u8) {
        let winners: Vec<RuleStep> = self.model.winners(host).into_iter().cloned().collect();
        if winners.iter().any(|rule| !rule.allow) {
            return;
        }
        for number in winners.iter().flat_map(|rule| numbers(rule.conditions)) {
            let Some(condition) = self.model.conditions.get_mut(&number) else { continue };
            let idle = condition.runs.is_empty() && self.now > condition.asked;
            if idle && condition.answer == Some(Said::TimedOut) {
                condition.answer = None;
            }
        }
    }

    fn close(&mut self, index: u8) -> Vec<Effect> {
        let open: Vec<u64> = self.model.flows.keys().copied().collect();
        if let Some(id) = open.get(usize::from(index)) {
            self.model.flows.remove(id);
            self.session.close(FlowId(*id));
        }
        Vec::new()
    }

    fn answer(&mut self, number: u8, said: Said, which: Which) -> Vec<Effect> {
        let moment = self.moment();
        let runs = self.runs.entry(number).or_default();
        let (run, began) = match which {
            Which::Newest if !runs.is_empty() => runs.remove(runs.len() - 1),
            Which::Oldest if !runs.is_empty() => runs.remove(0),
            Which::Newest | Which::Oldest => return Vec::new(),
        };
        if let Some(condition) = self.model.conditions.get_mut(&number).filter(|_| !self.model.ended) {
            condition.runs.retain(|other| *other != began);
            condition.take(began, said);
        }
        self.session.handle_answer(condition(number.into()), run, answered(number, said), moment)
    }

    fn forget(&mut self, number: u8) {
        if let Some(condition) = self.model.conditions.get_mut(&number) {
            condition.answer = None;
            condition.reads_known = false;
            condition.runs.clear();
            condition.changed = 0;
        }
        let gone = self.runs.remove(&number).unwrap_or_default();
        self.void.entry(number).or_default().extend(gone.into_iter().map(|(run, _)| run));
    }

    fn rules(&mut self, rules: &[RuleStep], defined: u8) -> Vec<Effect> {
        self.model.rules = rules.to_vec();
        let of = |(index, rule): (usize, &RuleStep)| {
            let host = if rule.host == WIDE { "10.0.0.0/24".to_owned() } else { format!("10.0.0.{}", rule.host) };
            let conditions: Vec<u128> = numbers(rule.conditions).into_iter().map(u128::from).collect();
            let effect = if rule.allow { Action_::Allow } else { Action_::Block };
            let logic = if rule.all { Logic::And } else { Logic::Or };
            entitlement(100 + index as u128, effect, &host, &conditions, logic)
        };
        self.entitlements = rules.iter().enumerate().map(of).collect();
        let wall = self.wall();
        for number in 1..=3 {
            if !numbers(defined).contains(&number) {
                self.forget(number);
                self.model.conditions.remove(&number);
            } else if !self.model.ended {
                self.model.conditions.entry(number).or_default();
            }
        }
        if let Some(scheduled) = self.model.conditions.get_mut(&3) {
            scheduled.plan(wall);
        }
        self.build()
    }

    /// Builds the same rules again, as a renewal does.
    fn build(&mut self) -> Vec<Effect> {
        let moment = self.moment();
        let defined: Vec<u128> = self.model.conditions.keys().map(|number| u128::from(*number)).collect();
        set_with(&mut self.session, &self.entitlements, &defined, moment)
    }

    fn renew(&mut self, mask: u8, life: Option<u16>) -> Vec<Effect> {
        let moment = self.moment();
        if self.model.ended {
            return Vec::new();
        }
        self.model.decided.0 = self.model.seq;
        if let Some(life) = life {
            self.model.decided.1 = self.model.seq;
            let wall = self.wall() + i64::from(life);
            if wall != self.model.expires.0 {
                self.model.expires = (wall, self.now + u64::from(life));
            }
        }
        self.session.handle_expiry(START + time::Duration::seconds(self.model.expires.0), moment);
        let mut effects = self.session.handle_all_revocations(&self.covering(), moment);
        self.model.condemn_anew(self.wall(), self.now);
        self.model.ended |= self.model.is_over(self.wall(), self.now);
        let (before, after) = self.change_claims(mask);
        if let Some(scheduled) = self.model.conditions.get_mut(&3).filter(|_| !self.model.ended) {
            scheduled.plan(self.now as i64 + self.clock);
        }
        effects.extend(self.build());
        self.note(&effects);
        self.model.settle(self.now);
        match life {
            Some(_) => {
                self.model.change(|_, _| true);
                self.session.reevaluate(moment)
            }
            None => {
                self.model.change_claims(mask);
                self.session.handle_claims(&before, &after, moment)
            }
        }
    }

    fn revoke(&mut self, revocation: &Revocation) -> Vec<Effect> {
        let moment = self.moment();
        self.model.seq += 1;
        let effective = self.wall() + i64::from(revocation.delay);
        self.model.revocations.push((self.model.seq, effective, revocation.clone()));
        let rule = self.rule(revocation, effective);
        self.revocations.push(rule.clone());
        let covered =
            self.tokens().into_iter().filter(|(_, facts)| rule.covers(*facts)).map(|(kind, _)| (kind, rule.clone()));
        let covering: Vec<(TokenKind, RevocationRule)> = covered.collect();
        if !covering.is_empty() {
            self.model.condemn(effective, self.wall(), self.now);
        }
        self.session.handle_revocations(&covering, moment)
    }

    fn rule(&self, revocation: &Revocation, effective: i64) -> RevocationRule {
        let kinds = [(revocation.claims, TokenKind::Claims), (revocation.entitlement, TokenKind::Entitlement)];
        let ending = if revocation.mine { "CN=ana,OU=local" } else { "CN=ben,OU=local" };
        let effective = START + time::Duration::seconds(effective);
        let scope = RevocationScope {
            ending: ending.parse().unwrap(),
            kinds: kinds.into_iter().filter(|(named, _)| *named).map(|(_, kind)| kind).collect(),
            site: revocation.site.map(|mine| SiteId::new(Uuid::from_u128(if mine { 1 } else { 2 }))),
            token: None,
        };
        RevocationRule { seq: self.model.seq, scope, effective, reason: String::new(), forget_after: effective }
    }

    /// The tokens held.
    fn tokens(&self) -> [(TokenKind, TokenFacts<'static>); 2] {
        let name: &'static DistinguishedName = &NAME;
        let facts = |kind, decided_at, site| TokenFacts { id: TokenId::new(Uuid::nil()), kind, name, site, decided_at };
        let site = SiteId::new(Uuid::from_u128(1));
        [
            (TokenKind::Claims, facts(TokenKind::Claims, self.model.decided.0, None)),
            (TokenKind::Entitlement, facts(TokenKind::Entitlement, self.model.decided.1, Some(site))),
        ]
    }

    fn covering(&self) -> Vec<(TokenKind, RevocationRule)> {
        let earliest = |(kind, facts)| Some((kind, self.revocations.earliest(facts)?.clone()));
        self.tokens().into_iter().filter_map(earliest).collect()
    }

    fn tick(&mut self) -> Vec<Effect> {
        let wall = self.wall();
        self.model.ended |= self.model.is_over(wall, self.now);
        if !self.model.ended {
            self.model.pass_time(self.now);
            if self.model.is_scheduled(wall) {
                self.model.change(|number, _| number == 3);
            }
        }
        self.session.handle_timeout(self.moment())
    }

    fn change_claims(&mut self, mask: u8) -> (Value, Value) {
        let before = self.claims_value();
        for (at, claim) in self.claims.iter_mut().enumerate() {
            *claim += u32::from(mask & (1 << at) != 0);
        }
        (before, self.claims_value())
    }

    fn claims_value(&self) -> Value {
        let [c1, c2, c3, device, responses] = self.claims;
        json!({"user": {"c1": c1, "c2": c2, "c3": c3}, "device": {"d": device}, "responses": [responses]})
    }

    /// Notes the runs the session started.
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Evaluate { condition, run } = effect else { continue };
            let number = u8::try_from(condition.uuid().as_u128()).unwrap();
            let wall = self.wall();
            self.model.moment += 1;
            let began = self.model.moment;
            let Some(condition) = self.model.conditions.get_mut(&number) else { continue };
            if !condition.was_asked() {
                condition.due = None;
                condition.plan(wall);
            }
            condition.runs.push(began);
            condition.asked = self.now;
            self.runs.entry(number).or_default().push((*run, began));
        }
    }

    fn wall(&self) -> i64 {
        i64::try_from(self.now).unwrap() + self.clock
    }

    fn moment(&self) -> Moment {
        Moment { monotonic: Duration::from_secs(self.now), wall: START + time::Duration::seconds(self.wall()) }
    }
}

/// What a condition's script says, and that it read its claim.
fn answered(number: u8, said: Said) -> Answered {
    let answer = match said {
        Said::True => Ok(true),
        Said::False => Ok(false),
        Said::Thrown => Err(failure(FailureKind::Thrown)),
        Said::TimedOut => return Err(failure(FailureKind::Timeout)).into(),
    };
    let reads = match number {
        1 => Reads::of(["user.c1"]),
        2 => Reads::of(["user.c2", "user.hasReason"]),
        _ => Reads::of(["user.*"]),
    };
    Answered { answer, reads }
}

static NAME: std::sync::LazyLock<DistinguishedName> =
    std::sync::LazyLock::new(|| "CN=4c07bc6757ea42ddb702c2d6c45419fc,CN=ana,OU=local".parse().unwrap());
