//! Tests of the session: named situations, then random steps against a slow and obvious model.

mod incomplete;
mod model;

use uuid::Uuid;

use super::*;
use crate::{
    claims::Reads,
    id::SiteId,
    object::{Action, Direction, Effect as Action_, HostSpec, PortRange, PortSpec, Schedule, Traffic},
    revocation::{RevocationRule, RevocationScope},
    rules::{NameAnswers, Protocol, ScriptAnswers, build},
    script::{Failure, FailureKind},
    token::TokenKind,
};

const START: OffsetDateTime = time::macros::datetime!(2026-01-05 09:00 UTC);

/// When the sessions of these tests expire.
const END: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> Moment {
    Moment { monotonic: Duration::from_secs(seconds), wall: START + Duration::from_secs(seconds) }
}

fn condition(number: u128) -> ConditionId {
    ConditionId::new(Uuid::from_u128(number))
}

fn entitlement(number: u128, effect: Action_, host: &str, conditions: &[u128], logic: Logic) -> Arc<Entitlement> {
    Arc::new(Entitlement {
        id: EntitlementId::new(Uuid::from_u128(number)),
        name: format!("e{number}"),
        disabled: false,
        site: SiteId::new(Uuid::from_u128(1)),
        tags: BTreeSet::new(),
        conditions: conditions.iter().map(|number| condition(*number)).collect(),
        condition_logic: logic,
        actions: vec![Action {
            effect,
            traffic: Traffic::Tcp(Direction::Up, vec![PortSpec::Range(PortRange::new(443, 443).unwrap())]),
            hosts: vec![HostSpec::parse(host).unwrap()],
        }],
        app_shortcuts: vec![],
        app_shortcut_scripts: BTreeSet::new(),
    })
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, script: "c".into(), message: String::new(), line: None, column: None }
}

fn target(host: &str) -> Target {
    Target { protocol: Protocol::Tcp, direction: Direction::Up, address: host.parse().unwrap(), port: 443 }
}

/// Conditions of these numbers; the third is asked again every minute.
fn facts(numbers: &[u128]) -> BTreeMap<ConditionId, ConditionFacts> {
    let every_minute = [Schedule::Every(Duration::from_secs(60))];
    let schedules = |number| if number == 3 { every_minute.as_slice() } else { &[] };
    let of = |number: &u128| ConditionFacts { name: format!("c{number}").into(), schedules: schedules(*number).into() };
    numbers.iter().map(|number| (condition(*number), of(number))).collect()
}

fn set(session: &mut Session, entitlements: &[Arc<Entitlement>], now: Moment) -> Vec<Effect> {
    set_with(session, entitlements, &[1, 2, 3], now)
}

fn set_with(session: &mut Session, entitlements: &[Arc<Entitlement>], defined: &[u128], now: Moment) -> Vec<Effect> {
    let (rules, _) = build(entitlements.iter().map(Arc::as_ref), &ScriptAnswers::new(), &NameAnswers::new());
    session.handle_rules(entitlements, rules, &facts(defined), now)
}

/// A session whose one entitlement allows 10.0.0.5:443 under the conditions.
fn session(conditions: &[u128], logic: Logic) -> Session {
    let mut session = Session::new(Limits::default(), START + Duration::from_secs(3600), at(0));
    set(&mut session, &[entitlement(1, Action_::Allow, "10.0.0.5", conditions, logic)], at(0));
    session
}

/// The run the effects ask for.
#[track_caller]
fn run_of(effects: &[Effect], wanted: u128) -> RunId {
    let mut runs = effects.iter().filter_map(|effect| match effect {
        Effect::Evaluate { condition: id, run } if *id == condition(wanted) => Some(*run),
        _ => None,
    });
    runs.next().expect("condition was not asked")
}

fn told(effects: &[Effect]) -> Vec<String> {
    let tell = |effect: &Effect| match effect {
        Effect::Evaluate { .. } => "ask".to_owned(),
        Effect::Allow(_, permit) => format!("allow {}", permit.rule()),
        Effect::Hold(_, hold) => format!("hold {}", hold.condition),
        Effect::Deny(_, denial) => format!("deny {}", denial.code()),
        Effect::Pause(_) => "pause".to_owned(),
        Effect::Resume(_) => "resume".to_owned(),
        Effect::Cut(_, denial) => format!("cut {}", denial.code()),
        Effect::ConditionChanged { name, answer, .. } => format!("{name} {}", *answer == Ok(true)),
        Effect::RenewBefore { sign_in, .. } => format!("renew before, sign in: {sign_in}"),
        Effect::End(reason) => format!("end {}", reason.code()),
    };
    effects.iter().map(tell).collect()
}

const FLOW: FlowId = FlowId(1);

/// An open flow under condition 1.
fn open_flow() -> Session {
    let mut session = session(&[1], Logic::And);
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    assert_eq!(told(&session.handle_answer(condition(1), run, Ok(true), at(0))), ["c1 true", "allow e1#0"]);
    assert!(session.passes(FLOW, at(0)));
    session
}

#[test]
fn what_is_not_granted_is_refused() {
    let mut session = session(&[1], Logic::And);
    assert_eq!(told(&session.open(FLOW, target("10.0.0.6"), at(0))), ["deny flow.no-rule"]);
    assert_eq!(session.flow_count(), 0);
}

#[test]
fn nothing_passes_before_the_condition_answered() {
    let mut session = session(&[1], Logic::And);
    assert_eq!(told(&session.open(FLOW, target("10.0.0.5"), at(0))), ["ask"]);
    assert!(!session.passes(FLOW, at(0)));
    assert_eq!(told(&session.open(FlowId(2), target("10.0.0.5"), at(0))), [""; 0], "one question serves all who wait");
    assert_eq!(told(&session.handle_timeout(at(10))), ["deny flow.no-answer", "deny flow.no-answer"]);
}

#[test]
fn a_false_condition_holds_and_lets_go_when_it_turns() {
    let mut session = session(&[1], Logic::And);
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    assert_eq!(told(&session.handle_answer(condition(1), run, Ok(false), at(0))), ["c1 false", "hold c1"]);
    assert_eq!(session.poll_timeout(), Duration::from_secs(1));
    let run = run_of(&session.handle_timeout(at(1)), 1);
    assert_eq!(told(&session.handle_answer(condition(1), run, Ok(true), at(1))), ["c1 true", "allow e1#0"]);
    assert_eq!(session.poll_timeout(), END);
}

#[test]
fn a_hold_ends() {
    let mut session = session(&[1], Logic::And);
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    session.handle_answer(condition(1), run, Ok(false), at(0));
    assert_eq!(told(&session.handle_timeout(at(60))), ["deny flow.hold-timed-out"]);
    assert_eq!(session.poll_timeout(), END, "a condition nobody waits for wakes nobody");
}

#[test]
fn thrown_holds_as_false_does_and_a_timeout_denies() {
    let mut holding = session(&[1], Logic::And);
    let run = run_of(&holding.open(FLOW, target("10.0.0.5"), at(0)), 1);
    assert_eq!(
        told(&holding.handle_answer(condition(1), run, Err(failure(FailureKind::Thrown)), at(0))),
        ["c1 false", "hold c1"]
    );

    let mut denying = session(&[1], Logic::And);
    let run = run_of(&denying.open(FLOW, target("10.0.0.5"), at(0)), 1);
    assert_eq!(
        told(&denying.handle_answer(condition(1), run, Err(failure(FailureKind::Timeout)), at(0))),
        ["c1 false", "deny flow.condition-failed"]
    );
    assert_eq!(told(&denying.open(FLOW, target("10.0.0.5"), at(0))), ["deny flow.condition-failed"]);
    assert_eq!(
        told(&denying.open(FLOW, target("10.0.0.5"), at(2))),
        ["ask"],
        "the next attempt after the floor asks again"
    );
}

#[test]
fn a_condition_that_turns_false_cuts() {
    let mut session = open_flow();
    let run = run_of(&session.reevaluate(at(5)), 1);
    assert!(session.passes(FLOW, at(0)), "the last answer stands while it is asked again");
    assert_eq!(
        told(&session.handle_answer(condition(1), run, Ok(false), at(5))),
        ["c1 false", "cut flow.condition-false"]
    );
    assert!(!session.passes(FLOW, at(0)));
}

/// An open flow under condition 3, which is asked every minute.
fn open_scheduled_flow(opened: u64) -> Session {
    let mut session = session(&[3], Logic::And);
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(opened)), 3);
    session.handle_answer(condition(3), run, Ok(true), at(opened));
    session
}

#[test]
fn a_schedule_asks_at_the_full_minute_and_cuts() {
    let mut session = open_scheduled_flow(20);
    assert_eq!(session.poll_wall(), START + Duration::from_secs(60));
    assert_eq!(told(&session.handle_timeout(at(59))), [""; 0]);
    let run = run_of(&session.handle_timeout(at(60)), 3);
    assert!(session.passes(FLOW, at(0)), "the last answer stands while it is asked again");
    assert_eq!(told(&session.handle_timeout(at(61))), [""; 0], "once for each moment");
    assert_eq!(
        told(&session.handle_answer(condition(3), run, Ok(false), at(61))),
        ["c3 false", "cut flow.condition-false"]
    );
    assert_eq!(session.poll_wall(), START + Duration::from_secs(120), "it is asked whether or not anything flows");
}

#[test]
fn a_schedule_waits_for_the_first_use() {
    let mut session = session(&[3], Logic::And);
    assert_eq!(session.poll_wall(), session.expires(), "nobody has asked yet");
    assert_eq!(told(&session.handle_timeout(at(65))), [""; 0]);
    session.open(FLOW, target("10.0.0.5"), at(70));
    assert_eq!(session.poll_wall(), START + Duration::from_secs(120));
}

#[test]
fn a_clock_that_jumps_skips_and_repeats_nothing_for_long() {
    let mut session = open_scheduled_flow(0);
    let jump = |monotonic: u64, wall: i64| Moment {
        monotonic: Duration::from_secs(monotonic),
        wall: START + time::Duration::seconds(wall),
    };
    assert_eq!(told(&session.handle_timeout(jump(1, 1805))), ["ask"], "a laptop that slept asks once");
    assert_eq!(told(&session.handle_timeout(jump(2, 1806))), [""; 0]);
    assert_eq!(told(&session.handle_timeout(jump(3, -3590))), [""; 0]);
    assert_eq!(session.poll_wall(), START - Duration::from_secs(3540), "not an hour later");
    assert_eq!(told(&session.handle_timeout(jump(53, -3540))), ["ask"]);
}

#[test]
fn a_session_asks_a_little_after_the_scheduled_moment() {
    let delay = Duration::from_secs(3);
    let limits = Limits { schedule_delay: delay, ..Limits::default() };
    let mut session = Session::new(limits, START + Duration::from_secs(3600), at(0));
    set(&mut session, &[entitlement(1, Action_::Allow, "10.0.0.5", &[3], Logic::And)], at(0));
    session.open(FLOW, target("10.0.0.5"), at(0));
    assert_eq!(session.poll_wall(), START + Duration::from_secs(60) + delay);
    assert_eq!(told(&session.handle_timeout(at(62))), ["deny flow.no-answer"]);
    assert_eq!(told(&session.handle_timeout(at(63))), ["ask"], "the run under way was asked of older facts");
    assert_eq!(session.poll_wall(), START + Duration::from_secs(120) + delay);
}

#[test]
fn an_overtaken_answer_takes_away_but_never_gives() {
    let mut session = open_flow();
    let old = run_of(&session.reevaluate(at(5)), 1);
    let new = run_of(&session.reevaluate(at(6)), 1);
    assert_eq!(
        told(&session.handle_answer(condition(1), new, Ok(false), at(6))),
        ["c1 false", "cut flow.condition-false"]
    );
    assert_eq!(told(&session.handle_answer(condition(1), old, Ok(true), at(6))), [""; 0]);

    let mut session = self::session(&[1], Logic::And);
    let old = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    let new = run_of(&session.reevaluate(at(1)), 1);
    assert_eq!(
        told(&session.handle_answer(condition(1), old, Ok(true), at(1))),
        [""; 0],
        "it was asked before the fact"
    );
    assert_eq!(told(&session.handle_answer(condition(1), new, Ok(true), at(1))), ["c1 true", "allow e1#0"]);
}

#[test]
fn asking_without_end_keeps_no_answer_standing() {
    let mut session = open_flow();
    let first = run_of(&session.reevaluate(at(5)), 1);
    let second = run_of(&session.reevaluate(at(5)), 1);
    assert_eq!(told(&session.reevaluate(at(5))), [""; 0], "two at once");
    let effects = session.handle_answer(condition(1), first, Ok(true), at(6));
    assert_eq!(told(&effects), ["ask"], "what was asked third");
    let third = run_of(&effects, 1);
    session.reevaluate(at(6));
    let effects = session.handle_answer(condition(1), second, Ok(false), at(7));
    assert_eq!(told(&effects), ["c1 false", "cut flow.condition-false", "ask"]);
    assert_eq!(told(&session.handle_answer(condition(1), third, Ok(false), at(8))), [""; 0]);
}

#[test]
fn what_may_take_its_time_stands_in_nobodys_way() {
    let mut session = open_flow();
    let now = run_of(&session.handle_edited(condition(1), at(5)), 1);
    assert_eq!(told(&session.reevaluate_later(at(5))), [""; 0], "it is being asked already");
    let effects = session.handle_answer(condition(1), now, Ok(true), at(6));
    assert_eq!(told(&effects), ["ask"], "it was asked before the facts changed");
    let again = run_of(&effects, 1);
    assert_eq!(told(&session.handle_answer(condition(1), again, Ok(true), at(6))), ["c1 true", "resume"]);

    let late = run_of(&session.reevaluate_later(at(10)), 1);
    assert_eq!(told(&session.reevaluate_later(at(11))), [""; 0], "one of them is enough");
    let now = run_of(&session.reevaluate(at(12)), 1);
    let effects = session.handle_answer(condition(1), now, Ok(false), at(12));
    assert_eq!(told(&effects), ["c1 false", "cut flow.condition-false"]);
    assert_eq!(told(&session.handle_answer(condition(1), late, Ok(true), at(20))), [""; 0]);
}

#[test]
fn changed_claims_ask_what_reads_them() {
    let claims = |groups: u32, os: u32| serde_json::json!({"user": {"groups": groups}, "device": {"os": os}});
    let mut session = session(&[1, 2], Logic::And);
    let asked = session.open(FLOW, target("10.0.0.5"), at(0));
    let (first, second) = (run_of(&asked, 1), run_of(&asked, 2));
    let of = |path: &str| Answered { answer: Ok(true), reads: Reads::of([path]) };
    session.handle_answer(condition(1), first, of("user.groups"), at(0));
    assert_eq!(told(&session.handle_answer(condition(2), second, of("device.os"), at(0))), ["c2 true", "allow e1#0"]);
    assert_eq!(told(&session.handle_claims(&claims(1, 1), &claims(1, 1), at(1))), [""; 0]);
    let asked = session.handle_claims(&claims(1, 1), &claims(1, 2), at(1));
    assert_eq!(told(&asked), ["ask"]);
    assert!(session.passes(FLOW, at(0)), "the last answer stands while it is asked again");
    let run = run_of(&asked, 2);
    let effects = session.handle_answer(condition(2), run, Err(failure(FailureKind::Crash)), at(1));
    assert_eq!(told(&effects), ["c2 false", "cut flow.condition-failed"]);
    assert_eq!(
        told(&session.handle_claims(&claims(1, 2), &claims(2, 2), at(2))),
        ["ask", "ask"],
        "a failure may read anything"
    );
}

#[test]
fn an_edited_condition_pauses_until_it_answers() {
    let mut session = open_flow();
    let effects = session.handle_edited(condition(1), at(5));
    assert_eq!(told(&effects), ["pause", "ask"]);
    assert!(!session.passes(FLOW, at(0)));
    let run = run_of(&effects, 1);
    assert_eq!(told(&session.handle_answer(condition(1), run, Ok(true), at(5))), ["c1 true", "resume"]);
    assert!(session.passes(FLOW, at(0)));
    let run = run_of(&session.handle_edited(condition(1), at(6)), 1);
    assert_eq!(
        told(&session.handle_answer(condition(1), run, Err(failure(FailureKind::Timeout)), at(6))),
        ["c1 false", "cut flow.condition-failed"]
    );
}

#[test]
fn a_narrower_block_cuts_what_a_wider_rule_allowed() {
    let mut session = open_flow();
    let allow = entitlement(1, Action_::Allow, "10.0.0.0/24", &[1], Logic::And);
    assert_eq!(
        told(&set(&mut session, std::slice::from_ref(&allow), at(1))),
        [""; 0],
        "still allowed, never interrupted"
    );
    assert!(session.passes(FLOW, at(0)));
    let block = entitlement(2, Action_::Block, "10.0.0.5", &[], Logic::And);
    assert_eq!(told(&set(&mut session, &[allow, block], at(2))), ["cut flow.blocked"]);
}

#[test]
fn tied_allows_need_one_that_holds() {
    let mut session = open_flow();
    let both = [
        entitlement(1, Action_::Allow, "10.0.0.5", &[1], Logic::And),
        entitlement(2, Action_::Allow, "10.0.0.5", &[2], Logic::And),
    ];
    assert_eq!(told(&set(&mut session, &both, at(1))), [""; 0]);
    let run = run_of(&session.reevaluate(at(2)), 1);
    let effects = session.handle_answer(condition(1), run, Ok(false), at(2));
    assert_eq!(told(&effects), ["c1 false", "pause", "ask"], "the other allow is asked before the flow is cut");
    let run = run_of(&effects, 2);
    assert_eq!(told(&session.handle_answer(condition(2), run, Ok(true), at(2))), ["c2 true", "resume"]);
}

#[test]
fn condition_logic_combines() {
    let mut either = session(&[1, 2], Logic::Or);
    let effects = either.open(FLOW, target("10.0.0.5"), at(0));
    assert_eq!(told(&either.handle_answer(condition(1), run_of(&effects, 1), Ok(false), at(0))), ["c1 false"]);
    assert_eq!(
        told(&either.handle_answer(condition(2), run_of(&effects, 2), Ok(true), at(0))),
        ["c2 true", "allow e1#0"]
    );

    let mut both = session(&[1, 2], Logic::And);
    let effects = both.open(FLOW, target("10.0.0.5"), at(0));
    assert_eq!(told(&both.handle_answer(condition(1), run_of(&effects, 1), Ok(true), at(0))), ["c1 true"]);
    assert_eq!(told(&both.handle_answer(condition(2), run_of(&effects, 2), Ok(false), at(0))), ["c2 false", "hold c2"]);
}

#[test]
fn an_entitlement_without_or_with_a_missing_condition_never_allows() {
    assert_eq!(told(&session(&[], Logic::And).open(FLOW, target("10.0.0.5"), at(0))), ["deny flow.no-conditions"]);
    assert_eq!(told(&session(&[9], Logic::And).open(FLOW, target("10.0.0.5"), at(0))), ["deny flow.no-conditions"]);
}

#[test]
fn a_condition_that_is_deleted_cuts_what_it_permitted() {
    let mut session = open_flow();
    let same = [entitlement(1, Action_::Allow, "10.0.0.5", &[1], Logic::And)];
    assert_eq!(told(&set_with(&mut session, &same, &[2, 3], at(1))), ["cut flow.no-conditions"]);
}

#[test]
fn the_end_is_the_end() {
    let mut session = open_flow();
    let reason = EndReason::Revoked { reason: "lost laptop".into() };
    assert_eq!(told(&session.end(reason)), ["end session.revoked"]);
    assert!(!session.passes(FLOW, at(0)));
    assert_eq!(told(&session.open(FlowId(2), target("10.0.0.5"), at(1))), ["deny flow.session-ended"]);
    assert_eq!(told(&session.end(EndReason::SignedOut)), [""; 0]);
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let back = |monotonic: u64| Moment {
        monotonic: Duration::from_secs(monotonic),
        wall: START + Duration::from_secs(monotonic) - Duration::from_secs(1800),
    };
    let mut session = open_flow();
    assert!(session.passes(FLOW, back(3599)) && !session.passes(FLOW, back(3600)));
    session.handle_expiry(START + Duration::from_secs(3600), back(100));
    assert!(!session.passes(FLOW, back(3600)), "the same tokens shown again");
    session.handle_revocations(&[(TokenKind::Claims, revocation(7, 300))], at(200));
    assert!(session.passes(FLOW, back(299)) && !session.passes(FLOW, back(300)));
    assert_eq!(session.poll_timeout(), Duration::from_secs(300));
    assert_eq!(told(&session.handle_timeout(back(300))), ["end session.revoked"]);
}

fn revocation(seq: u64, after: u64) -> RevocationRule {
    let effective = START + Duration::from_secs(after);
    let scope =
        RevocationScope { ending: "OU=local".parse().unwrap(), kinds: TokenKind::ALL.into(), site: None, token: None };
    RevocationRule { seq, scope, effective, reason: "lost laptop".into(), forget_after: effective }
}

#[test]
fn a_delayed_revocation_ends_unless_newer_tokens_are_shown() {
    let mut session = open_flow();
    let covering = [(TokenKind::Claims, revocation(7, 300))];
    assert_eq!(told(&session.handle_revocations(&covering, at(1))), ["renew before, sign in: true"]);
    assert_eq!(told(&session.handle_revocations(&covering, at(1))), [""; 0], "told once");
    assert_eq!(session.poll_wall(), START + Duration::from_secs(300));
    assert!(session.passes(FLOW, at(299)) && !session.passes(FLOW, at(300)), "before any timer");
    let sooner = [(TokenKind::Entitlement, revocation(8, 100))];
    assert_eq!(told(&session.handle_revocations(&sooner, at(2))), ["renew before, sign in: false"]);
    assert!(!session.passes(FLOW, at(100)));
    assert_eq!(told(&session.handle_all_revocations(&covering, at(3))), ["renew before, sign in: true"]);
    assert!(session.passes(FLOW, at(299)), "newer entitlements are covered by the later rule only");
    assert_eq!(told(&session.handle_all_revocations(&[], at(4))), [""; 0]);
    assert!(session.passes(FLOW, at(300)));
    session.handle_revocations(&covering, at(5));
    assert_eq!(told(&session.handle_timeout(at(300))), ["end session.revoked"]);
}

#[test]
fn a_revocation_at_once_is_at_once() {
    let mut session = open_flow();
    let covering = [(TokenKind::Entitlement, revocation(7, 1))];
    assert_eq!(
        told(&session.handle_revocations(&covering, at(0))),
        ["end session.revoked"],
        "clocks are a second apart"
    );
}

#[test]
fn expiry_stops_packets_before_any_timer() {
    let mut session = open_flow();
    assert!(!session.passes(FLOW, at(3600)));
    assert_eq!(told(&session.handle_timeout(at(3600))), ["end session.expired"]);
    let mut renewed = open_flow();
    renewed.handle_expiry(START + Duration::from_secs(7200), at(10));
    assert!(renewed.passes(FLOW, at(3600)));
}

#[test]
fn flows_are_bounded() {
    let limits = Limits { flows: 1, ..Limits::default() };
    let mut session = Session::new(limits, START + Duration::from_secs(3600), at(0));
    set(&mut session, &[entitlement(1, Action_::Allow, "10.0.0.5", &[1], Logic::And)], at(0));
    session.open(FLOW, target("10.0.0.5"), at(0));
    assert_eq!(told(&session.open(FlowId(2), target("10.0.0.5"), at(0))), ["deny flow.too-many"]);
    session.close(FLOW);
    assert_eq!(told(&session.open(FlowId(2), target("10.0.0.5"), at(0))), [""; 0]);
}

#[test]
fn flows_that_wait_are_bounded_and_leave_the_others_alone() {
    let limits = Limits { waiting: 2, ..Limits::default() };
    let mut session = Session::new(limits, START + END, at(0));
    let held = entitlement(1, Action_::Allow, "10.0.0.5", &[1], Logic::And);
    let free = entitlement(2, Action_::Allow, "10.0.0.6", &[2], Logic::And);
    set(&mut session, &[held, free], at(0));
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    assert_eq!(told(&session.handle_answer(condition(1), run, Ok(false), at(0))), ["c1 false", "hold c1"]);
    let run = run_of(&session.open(FlowId(2), target("10.0.0.6"), at(0)), 2);
    assert_eq!(told(&session.open(FlowId(3), target("10.0.0.5"), at(0))), ["deny flow.too-many"]);
    assert_eq!(told(&session.handle_answer(condition(2), run, Ok(true), at(0))), ["c2 true", "allow e2#0"]);
    assert_eq!(told(&session.open(FlowId(4), target("10.0.0.5"), at(0))), ["hold c1"]);
    assert_eq!(told(&session.open(FlowId(5), target("10.0.0.5"), at(0))), ["deny flow.too-many"]);
    assert_eq!(told(&session.open(FlowId(6), target("10.0.0.6"), at(0))), ["allow e2#0"], "it does not wait");
    assert_eq!(told(&session.open(FlowId(7), target("10.0.0.7"), at(0))), ["deny flow.no-rule"]);
    session.close(FLOW);
    assert_eq!(told(&session.open(FlowId(8), target("10.0.0.5"), at(0))), ["hold c1"]);
}
