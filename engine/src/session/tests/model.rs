//! A flow passes exactly when the model says so, after any sequence of steps.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Open(u8),
    Close(u8),
    Answer(u8, Said),
    AnswerOvertaken(u8, Said),
    Edit(u8),
    Reevaluate,
    /// The rules, and which conditions are defined.
    Rules(Vec<(u8, bool, u8, bool)>, u8),
    Wait(u8),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    True,
    False,
    Thrown,
    TimedOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Never open yet; the second number is since when nothing is known, `None` while held.
    New {
        opened: u64,
        pending: Option<u64>,
    },
    Open,
    /// Was open; since when it waits for an answer.
    Paused(u64),
}

/// Everything the naive way: no epochs, no generations, decided from scratch after every step.
#[derive(Default)]
struct Model {
    /// Per rule: the last octet of its /32 or `None` for the /24, whether it allows, and its conditions with their logic.
    rules: Vec<(u8, bool, Vec<u8>, bool)>,
    answers: BTreeMap<u8, Said>,
    defined: Vec<u8>,
    flows: BTreeMap<u64, (u8, Status)>,
    ended: bool,
}

enum View {
    Permitted,
    Unknown,
    Unsatisfied,
    Refused,
}

impl Model {
    fn view(&self, host: u8) -> View {
        let exact: Vec<_> = self.rules.iter().filter(|rule| rule.0 == host).collect();
        let wide: Vec<_> = self.rules.iter().filter(|rule| rule.0 == WIDE).collect();
        let winners = if exact.is_empty() { wide } else { exact };
        if winners.is_empty() || winners.iter().any(|rule| !rule.1) {
            return View::Refused;
        }
        let said = |condition: &u8| self.answers.get(condition).copied();
        let views: Vec<View> = winners
            .iter()
            .map(|(_, _, conditions, all)| {
                let defined: Vec<u8> = conditions.iter().copied().filter(|id| self.defined.contains(id)).collect();
                if *all && defined.len() < conditions.len() {
                    return View::Refused;
                }
                let answers: Vec<Option<Said>> = defined.iter().map(said).collect();
                let held = answers.iter().filter(|answer| **answer == Some(Said::True)).count();
                if held > 0 && (!*all || held == answers.len()) {
                    View::Permitted
                } else if answers.contains(&None) {
                    View::Unknown
                } else if answers.iter().any(|answer| matches!(answer, Some(Said::False | Said::Thrown))) {
                    View::Unsatisfied
                } else {
                    View::Refused
                }
            })
            .collect();
        let any = |wanted: fn(&View) -> bool| views.iter().any(wanted);
        if any(|view| matches!(view, View::Permitted)) {
            View::Permitted
        } else if any(|view| matches!(view, View::Unknown)) {
            View::Unknown
        } else if any(|view| matches!(view, View::Unsatisfied)) {
            View::Unsatisfied
        } else {
            View::Refused
        }
    }

    fn settle(&mut self, now: u64) {
        if self.ended {
            self.flows.clear();
        }
        let flows = std::mem::take(&mut self.flows);
        for (id, (host, status)) in flows {
            let after = match (self.view(host), status) {
                (View::Permitted, _) => Some(Status::Open),
                (View::Refused, _) => None,
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

    fn pass_time(&mut self, now: u64) {
        self.flows.retain(|_, (_, status)| match status {
            Status::New { opened, pending: None } => now < *opened + 60,
            Status::New { pending: Some(since), .. } | Status::Paused(since) => now < *since + 10,
            Status::Open => true,
        });
    }
}

/// Stands for the /24 beside the addresses 1 to 3.
const WIDE: u8 = 0;

#[derive(Default)]
struct Runs {
    latest: BTreeMap<u8, RunId>,
    overtaken: BTreeMap<u8, RunId>,
    started: BTreeMap<u8, u64>,
}

impl Runs {
    fn note(&mut self, effects: &[Effect], now: u64) {
        for effect in effects {
            if let Effect::Evaluate { condition, run } = effect {
                let number = u8::try_from(condition.uuid().as_u128()).unwrap();
                if let Some(old) = self.latest.insert(number, *run) {
                    self.overtaken.insert(number, old);
                }
                self.started.insert(number, now);
            }
        }
    }
}

fn answer_of(said: Said) -> Answer {
    match said {
        Said::True => Ok(true),
        Said::False => Ok(false),
        Said::Thrown => Err(failure(FailureKind::Thrown)),
        Said::TimedOut => Err(failure(FailureKind::Timeout)),
    }
}

struct Pair {
    session: Session,
    model: Model,
    runs: Runs,
    now: u64,
    next_flow: u64,
}

impl Pair {
    fn step(&mut self, step: &Step) {
        let moment = at(self.now);
        let effects = match step {
            Step::Open(host) => self.open(*host, moment),
            Step::Close(index) => self.close(*index),
            Step::Answer(number, said) => match self.runs.latest.remove(number) {
                Some(run) => {
                    self.model.answers.insert(*number, *said);
                    self.session.handle_answer(condition((*number).into()), run, answer_of(*said), moment)
                }
                None => Vec::new(),
            },
            Step::AnswerOvertaken(number, said) => match self.runs.overtaken.remove(number) {
                Some(run) => self.session.handle_answer(condition((*number).into()), run, answer_of(*said), moment),
                None => Vec::new(),
            },
            Step::Edit(number) => {
                self.model.answers.remove(number);
                if let Some(run) = self.runs.latest.remove(number) {
                    self.runs.overtaken.insert(*number, run);
                }
                self.session.handle_edited(condition((*number).into()), moment)
            }
            Step::Reevaluate => self.session.reevaluate(moment),
            Step::Rules(rules, defined) => self.rules(rules, *defined, moment),
            Step::Wait(seconds) => {
                self.now += u64::from(*seconds);
                self.model.pass_time(self.now);
                self.session.handle_timeout(at(self.now))
            }
            Step::End => {
                self.model.ended = true;
                self.session.end(EndReason::SignedOut)
            }
        };
        self.runs.note(&effects, self.now);
        self.model.settle(self.now);
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
        let exact = self.model.rules.iter().any(|rule| rule.0 == host);
        let winners: Vec<_> =
            self.model.rules.iter().filter(|rule| rule.0 == if exact { host } else { WIDE }).cloned().collect();
        if winners.iter().any(|rule| !rule.1) {
            return;
        }
        for number in winners.into_iter().flat_map(|rule| rule.2) {
            let idle = !self.runs.latest.contains_key(&number);
            let due = self.runs.started.get(&number).is_some_and(|started| self.now > *started);
            if idle && due && self.model.answers.get(&number) == Some(&Said::TimedOut) {
                self.model.answers.remove(&number);
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

    fn rules(&mut self, rules: &[(u8, bool, u8, bool)], defined: u8, moment: Moment) -> Vec<Effect> {
        let picked = |mask: u8| (1..=3u8).filter(|number| mask & (1 << (number - 1)) != 0).collect::<Vec<_>>();
        self.model.rules = rules.iter().map(|(host, allow, mask, all)| (*host, *allow, picked(*mask), *all)).collect();
        let entitlements: Vec<_> = self
            .model
            .rules
            .iter()
            .enumerate()
            .map(|(index, (host, allow, conditions, all))| {
                let host = if *host == WIDE { "10.0.0.0/24".to_owned() } else { format!("10.0.0.{host}") };
                let conditions: Vec<u128> = conditions.iter().map(|number| u128::from(*number)).collect();
                let effect = if *allow { Action_::Allow } else { Action_::Block };
                entitlement(100 + index as u128, effect, &host, &conditions, if *all { Logic::And } else { Logic::Or })
            })
            .collect();
        self.model.defined = picked(defined);
        let defined = &self.model.defined;
        self.model.answers.retain(|number, _| defined.contains(number));
        let (kept, gone) =
            std::mem::take(&mut self.runs.latest).into_iter().partition(|(number, _)| defined.contains(number));
        self.runs.latest = kept;
        self.runs.overtaken.extend::<BTreeMap<u8, RunId>>(gone);
        let defined: Vec<u128> = defined.iter().map(|number| u128::from(*number)).collect();
        set_with(&mut self.session, &entitlements, &defined, moment)
    }

    fn check(&self, step: &Step) -> Result<(), TestCaseError> {
        for id in 1..=self.next_flow {
            let expected = self.model.flows.get(&id).is_some_and(|(_, status)| *status == Status::Open);
            let got = self.session.passes(FlowId(id), at(self.now).wall);
            prop_assert_eq!(got, expected, "flow {} after {:?} at {} s", id, step, self.now);
        }
        prop_assert_eq!(self.session.flow_count(), self.model.flows.len(), "flows after {:?}", step);
        Ok(())
    }
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![4 => Just(Said::True), 2 => Just(Said::False), 1 => Just(Said::Thrown), 1 => Just(Said::TimedOut)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..=4).prop_map(Step::Open),
        1 => (0u8..6).prop_map(Step::Close),
        8 => ((1u8..=3), said()).prop_map(|(number, said)| Step::Answer(number, said)),
        1 => ((1u8..=3), said()).prop_map(|(number, said)| Step::AnswerOvertaken(number, said)),
        2 => (1u8..=3).prop_map(Step::Edit),
        2 => Just(Step::Reevaluate),
        3 => prop::collection::vec((0u8..=3, prop::bool::weighted(0.8), 0u8..8, any::<bool>()), 0..5)
            .prop_flat_map(|rules| prop_oneof![4 => Just(7u8), 1 => 0u8..8].prop_map(move |defined| Step::Rules(rules.clone(), defined))),
        3 => prop_oneof![3 => 1u8..3, 1 => 5u8..70].prop_map(Step::Wait),
        1 => prop::bool::weighted(0.1).prop_map(|end| if end { Step::End } else { Step::Reevaluate }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("PORTCULLIS_LONG").is_some() { 40_000 } else { 400 }, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_passes_exactly_when_the_model_says_so(steps in prop::collection::vec(step(), 1..60)) {
        let session = Session::new(Limits::default(), START + Duration::from_secs(100_000));
        let mut pair = Pair { session, model: Model::default(), runs: Runs::default(), now: 0, next_flow: 0 };
        pair.step(&Step::Rules(vec![(0, true, 1, true), (1, true, 6, false)], 7));
        for step in &steps {
            pair.step(step);
            pair.check(step)?;
        }
    }
}
