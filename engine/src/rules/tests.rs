//! Tests of rules: precedence, ties, and what yields no rule.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    id::{ConditionId, SiteId},
    object::{Action, Logic},
    script::FailureKind,
};

fn entitlement(number: u128, actions: Vec<Action>) -> Entitlement {
    Entitlement {
        id: EntitlementId::new(Uuid::from_u128(number)),
        name: format!("e{number}"),
        disabled: false,
        site: SiteId::new(Uuid::from_u128(1)),
        tags: BTreeSet::new(),
        conditions: BTreeSet::from([ConditionId::new(Uuid::from_u128(1))]),
        condition_logic: Logic::And,
        actions,
        app_shortcuts: vec![],
        app_shortcut_scripts: BTreeSet::new(),
    }
}

fn tcp(effect: Effect, hosts: &[&str], ports: &[&str]) -> Action {
    let port = |text: &&str| match text.strip_prefix("script://") {
        Some(script) => PortSpec::Script(script.to_owned()),
        None => PortSpec::Range(PortRange::parse(text).unwrap()),
    };
    Action {
        effect,
        traffic: Traffic::Tcp(Direction::Up, ports.iter().map(port).collect()),
        hosts: hosts.iter().map(|host| HostSpec::parse(host).unwrap()).collect(),
    }
}

fn target(address: &str, port: u16) -> Target {
    Target { protocol: Protocol::Tcp, direction: Direction::Up, address: address.parse().unwrap(), port }
}

#[track_caller]
fn check(actions: Vec<Action>, to: Target, winner: &str) {
    let (rules, problems) = build(&[entitlement(1, actions)], &ScriptAnswers::new(), &NameAnswers::new());
    assert_eq!(problems, []);
    let got = match rules.verdict(to) {
        Verdict::NoRule => "none".to_owned(),
        Verdict::Block(rule) => format!("block {}", rule.name),
        Verdict::Alert(rule) => format!("alert {}", rule.name),
        Verdict::Allow(rules) => {
            format!("allow {}", rules.iter().map(|rule| &*rule.name).collect::<Vec<_>>().join(" "))
        }
    };
    assert_eq!(got, winner);
}

#[test]
fn precedence_follows_the_table() {
    use Effect::{Alert, Allow, Block};
    let to = target("10.0.0.5", 443);
    check(vec![], to, "none");
    check(vec![tcp(Allow, &["10.0.0.0/24"], &["1-65535"])], target("10.0.1.5", 443), "none");
    check(vec![tcp(Allow, &["10.0.0.0/24"], &["443"]), tcp(Block, &["10.0.0.5"], &["1-65535"])], to, "block e1#1");
    check(vec![tcp(Block, &["10.0.0.0/24"], &["443"]), tcp(Allow, &["10.0.0.5"], &["1-65535"])], to, "allow e1#1");
    check(vec![tcp(Block, &["10.0.0.5"], &["400-500"]), tcp(Allow, &["10.0.0.5"], &["443"])], to, "allow e1#1");
    check(vec![tcp(Block, &["10.0.0.5"], &["440-449"]), tcp(Allow, &["10.0.0.5"], &["443-452"])], to, "allow e1#1");
    check(vec![tcp(Allow, &["10.0.0.5"], &["443"]), tcp(Block, &["10.0.0.5"], &["443"])], to, "block e1#1");
    check(vec![tcp(Allow, &["10.0.0.5"], &["443"]), tcp(Alert, &["10.0.0.5"], &["443"])], to, "alert e1#1");
    check(vec![tcp(Allow, &["10.0.0.5"], &["443"]), tcp(Allow, &["10.0.0.5"], &["443"])], to, "allow e1#0 e1#1");
    let http =
        Action { effect: Block, traffic: Traffic::HttpUp(vec![]), hosts: vec![HostSpec::parse("10.0.0.0/8").unwrap()] };
    check(vec![tcp(Allow, &["10.0.0.5"], &["443"]), http], to, "block e1#1");
}

#[test]
fn errors_yield_no_rule_and_are_reported() {
    let failure = Failure {
        kind: FailureKind::Timeout,
        script: "slow".into(),
        message: "too slow".into(),
        line: None,
        column: None,
    };
    let scripts = ScriptAnswers::from([
        ("good".to_owned(), Ok(vec!["10.1.0.1".to_owned(), "red.example.com".to_owned(), "not a host".to_owned()])),
        ("slow".to_owned(), Err(failure.clone())),
        ("nested".to_owned(), Ok(vec!["script://good".to_owned()])),
    ]);
    let hosts =
        ["script://good", "script://slow", "script://gone", "script://nested", "aws://tag:x", "lost.example.com"];
    let granted = [entitlement(1, vec![tcp(Effect::Allow, &hosts, &["22"])])];
    assert_eq!(
        names_needed(&granted, &scripts),
        BTreeSet::from(["lost.example.com".to_owned(), "red.example.com".to_owned()])
    );
    let names = NameAnswers::from([("red.example.com".to_owned(), BTreeSet::from(["10.1.0.9".parse().unwrap()]))]);
    let (rules, problems) = build(&granted, &scripts, &names);
    assert_eq!(
        rules.rules().iter().map(|rule| rule.net.to_string()).collect::<Vec<_>>(),
        ["10.1.0.1/32", "10.1.0.9/32"]
    );
    let kinds: Vec<ProblemKind> = problems.into_iter().map(|problem| problem.kind).collect();
    assert_eq!(
        kinds,
        [
            ProblemKind::BadAnswer { script: "good".into(), answer: "not a host".into() },
            ProblemKind::ScriptFailed(failure),
            ProblemKind::ScriptMissing("gone".into()),
            ProblemKind::BadAnswer { script: "nested".into(), answer: "script://good".into() },
            ProblemKind::NotResolved("aws://tag:x".into()),
            ProblemKind::NameWithoutAddress("lost.example.com".into()),
        ]
    );
}

#[track_caller]
fn check_block(hosts: &[&str], ports: &[&str], to: Target, blocked: bool) {
    let failure =
        Failure { kind: FailureKind::Timeout, script: "slow".into(), message: "".into(), line: None, column: None };
    let scripts = ScriptAnswers::from([
        ("slow".to_owned(), Err(failure)),
        ("odd".to_owned(), Ok(vec!["10.0.0.9".to_owned(), "not a host".to_owned()])),
        ("ports".to_owned(), Ok(vec!["443".to_owned(), "many".to_owned()])),
    ]);
    let granted = [
        entitlement(1, vec![tcp(Effect::Allow, &["10.0.0.5"], &["443", "22"])]),
        entitlement(2, vec![tcp(Effect::Block, hosts, ports)]),
    ];
    let (rules, _) = build(&granted, &scripts, &NameAnswers::new());
    assert_eq!(matches!(rules.verdict(to), Verdict::Block(_)), blocked);
}

#[test]
fn a_block_that_cannot_tell_its_hosts_blocks_all_of_its_ports() {
    for host in ["script://slow", "script://gone", "script://odd", "aws://tag:x"] {
        check_block(&[host], &["443"], target("10.0.0.5", 443), true);
        check_block(&[host], &["443"], target("10.0.0.5", 22), false);
    }
    check_block(&["10.0.0.9"], &["script://slow"], target("10.0.0.5", 22), true);
    check_block(&["10.0.0.9"], &["script://ports"], target("10.0.0.5", 22), true);
    check_block(&["lost.example.com"], &["443"], target("10.0.0.5", 443), false);
    check_block(&["10.0.0.9"], &["443"], target("10.0.0.5", 443), false);
}

#[test]
fn an_allow_with_a_broken_script_allows_only_what_is_known() {
    let scripts = ScriptAnswers::from([("ports".to_owned(), Ok(vec!["443".to_owned(), "many".to_owned()]))]);
    let granted = [entitlement(1, vec![tcp(Effect::Allow, &["10.0.0.5"], &["script://ports", "script://gone"])])];
    let (rules, _) = build(&granted, &scripts, &NameAnswers::new());
    assert!(matches!(rules.verdict(target("10.0.0.5", 443)), Verdict::Allow(_)));
    assert_eq!(rules.verdict(target("10.0.0.5", 22)), Verdict::NoRule);
    assert_eq!(rules.verdict(target("10.0.0.6", 443)), Verdict::NoRule);
}

#[test]
fn an_action_without_ports_or_hosts_permits_nothing() {
    check(vec![tcp(Effect::Allow, &["10.0.0.5"], &[])], target("10.0.0.5", 443), "none");
    check(vec![tcp(Effect::Allow, &[], &["443"])], target("10.0.0.5", 443), "none");
}

#[test]
fn http_allows_permit_nothing_without_the_proxy() {
    let action = Action {
        effect: Effect::Allow,
        traffic: Traffic::HttpUp(vec!["GET".into()]),
        hosts: vec![HostSpec::parse("10.0.0.5").unwrap()],
    };
    let (rules, problems) = build(&[entitlement(1, vec![action])], &ScriptAnswers::new(), &NameAnswers::new());
    assert_eq!(rules.verdict(target("10.0.0.5", 443)), Verdict::NoRule);
    assert_eq!(problems[0].kind, ProblemKind::HttpNotEnforced);
}

proptest! {
    /// The order of actions never decides anything.
    #[test]
    fn order_means_nothing(
        parts in prop::collection::vec((0u8..3, 24u8..=32, 0u8..4, 0u16..4, 0u16..3), 1..8),
        port in 0u16..8,
        host in 0u8..4,
    ) {
        let actions: Vec<Action> = parts.iter().map(|(effect, prefix, host, first, length)| {
            let effect = [Effect::Block, Effect::Alert, Effect::Allow][usize::from(*effect)];
            let net = format!("10.0.0.{host}/{prefix}");
            let ports = format!("{first}-{}", first + length);
            tcp(effect, &[&net], &[&ports])
        }).collect();
        let verdict = |actions: Vec<Action>| {
            let granted: Vec<Entitlement> = actions.into_iter().map(|action| entitlement(1, vec![action])).collect();
            let (rules, _) = build(&granted, &ScriptAnswers::new(), &NameAnswers::new());
            match rules.verdict(target(&format!("10.0.0.{host}"), port)) {
                Verdict::NoRule => 0,
                Verdict::Block(_) => 1,
                Verdict::Alert(_) => 2,
                Verdict::Allow(_) => 3,
            }
        };
        let mut reversed = actions.clone();
        reversed.reverse();
        prop_assert_eq!(verdict(actions), verdict(reversed));
    }
}
