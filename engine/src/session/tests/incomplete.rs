//! Flows that meet no rule while rules are still being built.

use super::*;

fn allow(host: &str) -> Arc<Entitlement> {
    entitlement(1, Action_::Allow, host, &[1], Logic::And)
}

/// A session whose rules are being built; what it holds now allows 10.0.0.5.
fn building() -> Session {
    let mut session = session(&[1], Logic::And);
    session.handle_incomplete();
    session
}

#[test]
fn a_flow_without_a_rule_waits_for_the_rules_and_is_then_decided() {
    let mut session = building();
    assert_eq!(told(&session.open(FLOW, target("10.0.0.6"), at(0))), [""; 0]);
    assert!(!session.passes(FLOW, at(0)));
    let effects = set(&mut session, &[allow("10.0.0.0/24")], at(1));
    assert_eq!(told(&effects), ["ask"], "a rule that came is met at once");
    assert!(!session.passes(FLOW, at(0)));
    let effects = session.handle_answer(condition(1), run_of(&effects, 1), Ok(true), at(1));
    assert_eq!(told(&effects), ["c1 true", "allow e1#0"]);
    assert_eq!(told(&session.handle_complete(at(1))), [""; 0]);
    assert!(session.passes(FLOW, at(0)));
}

#[test]
fn rules_that_stand_refuse_what_they_do_not_hold() {
    let mut session = building();
    session.open(FLOW, target("10.0.0.6"), at(0));
    assert_eq!(told(&set(&mut session, &[allow("10.0.0.7")], at(1))), [""; 0]);
    assert_eq!(told(&session.handle_complete(at(1))), ["deny flow.no-rule"]);
    assert_eq!(told(&session.open(FLOW, target("10.0.0.6"), at(1))), ["deny flow.no-rule"]);
}

#[test]
fn nobody_waits_longer_than_for_a_first_answer() {
    let mut session = building();
    session.open(FLOW, target("10.0.0.6"), at(0));
    assert_eq!(session.poll_timeout(), at(10).monotonic);
    assert_eq!(told(&session.handle_timeout(at(9))), [""; 0]);
    assert_eq!(told(&session.handle_timeout(at(10))), ["deny flow.no-rule"]);
}

#[test]
fn a_block_refuses_and_an_open_flow_is_cut_all_the_same() {
    let mut session = open_flow();
    session.handle_incomplete();
    let block = entitlement(2, Action_::Block, "10.0.0.9", &[], Logic::And);
    assert_eq!(told(&set(&mut session, &[block], at(1))), ["cut flow.no-rule"], "what was taken away ends at once");
    assert_eq!(told(&session.open(FlowId(2), target("10.0.0.9"), at(1))), ["deny flow.blocked"]);
    assert_eq!(told(&session.open(FlowId(3), target("10.0.0.5"), at(1))), [""; 0]);
    let block = entitlement(2, Action_::Block, "10.0.0.0/24", &[], Logic::And);
    assert_eq!(told(&set(&mut session, &[block], at(2))), ["deny flow.blocked"]);
}

#[test]
fn a_held_flow_whose_rule_is_gone_stays_held_until_the_rules_stand() {
    let mut session = session(&[1], Logic::And);
    let run = run_of(&session.open(FLOW, target("10.0.0.5"), at(0)), 1);
    session.handle_answer(condition(1), run, Ok(false), at(0));
    session.handle_incomplete();
    assert_eq!(told(&set(&mut session, &[], at(1))), [""; 0]);
    assert_eq!(session.poll_timeout(), at(60).monotonic, "as long as a flow is held");
    assert_eq!(told(&session.handle_complete(at(1))), ["deny flow.no-rule"]);
}

#[test]
fn only_conditions_that_were_asked_are_asked_again() {
    let mut session = session(&[1, 2], Logic::Or);
    let both = [condition(1), condition(2)].into();
    assert_eq!(told(&session.reevaluate_some(&both, at(0))), [""; 0]);
    let effects = session.open(FLOW, target("10.0.0.5"), at(0));
    session.handle_answer(condition(1), run_of(&effects, 1), Ok(true), at(0));
    session.handle_answer(condition(2), run_of(&effects, 2), Ok(true), at(0));
    assert_eq!(told(&session.reevaluate_some(&[condition(2)].into(), at(1))), ["ask"]);
    assert!(session.passes(FLOW, at(0)), "the last answers stand meanwhile");
}
