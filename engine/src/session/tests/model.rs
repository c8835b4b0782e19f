//! A flow passes exactly when the model says so, after any sequence of steps.
//!
//! The model remembers everything the naive way and decides from scratch after every step: no epochs, no generations, no
//! timers. Both are given the same steps; what the session asks for is answered by later steps, late, twice or never.

mod harness;
mod reference;

use proptest::prelude::*;

use super::*;
use harness::Pair;

/// Everything that can happen to a session.
#[derive(Debug, Clone)]
enum Step {
    Open(u8),
    Close(u8),
    /// The newest or the oldest run of a condition ends.
    Answer(u8, Said, Which),
    /// A run of a definition that was replaced meanwhile ends.
    AnswerVoid(u8, Said),
    Edit(u8),
    Reevaluate,
    /// The same among very many.
    ReevaluateLater,
    /// The rules, and which conditions are defined.
    Rules(Vec<RuleStep>, u8),
    /// Rules are being built, or those in force are all there are.
    Building(bool),
    /// A name moved: the first condition is asked again.
    NameMoved,
    /// Claims change, those of the mask, without newer tokens.
    Claims(u8),
    /// Newer tokens, with changed claims: a new claims token, or all of them with so many seconds to live.
    Renew(u8, Option<u16>),
    Revoke(Revocation),
    /// A snapshot of the configuration without any revocation.
    Pardon,
    Wait(u8),
    /// The wall clock is set; the session notices at once or with the next step.
    SetClock(i16, bool),
    End,
}

#[derive(Debug, Clone)]
struct RuleStep {
    /// The last octet of a /32, or [`WIDE`] for the /24.
    host: u8,
    allow: bool,
    /// Conditions 1 to 3 by bit.
    conditions: u8,
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    True,
    False,
    Thrown,
    TimedOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Newest,
    Oldest,
}

#[derive(Debug, Clone)]
struct Revocation {
    claims: bool,
    entitlement: bool,
    /// Whether it names this user.
    mine: bool,
    /// Whether it names the Site of this session, or another, or none.
    site: Option<bool>,
    delay: u16,
}

/// Stands for the /24 beside the addresses 1 to 3.
const WIDE: u8 = 0;

/// A claim each of the first two conditions reads, one nobody reads, one the device reports, and the remedies answered.
const CLAIMS: [&str; 5] = ["c1", "c2", "c3", "device", "responses"];

/// Steps of one sequence.
const STEPS: usize = 50;

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![4 => Just(Said::True), 2 => Just(Said::False), 1 => Just(Said::Thrown), 1 => Just(Said::TimedOut)]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![2 => Just(Which::Newest), 1 => Just(Which::Oldest)]
}

fn rule() -> impl Strategy<Value = RuleStep> {
    (0u8..=3, prop::bool::weighted(0.8), 0u8..8, any::<bool>()).prop_map(|(host, allow, conditions, all)| RuleStep {
        host,
        allow,
        conditions,
        all,
    })
}

fn rules() -> impl Strategy<Value = Step> {
    (prop::collection::vec(rule(), 0..5), prop_oneof![4 => Just(7u8), 1 => 0u8..8])
        .prop_map(|(rules, defined)| Step::Rules(rules, defined))
}

fn revocation() -> impl Strategy<Value = Step> {
    let site = prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    let delay = prop_oneof![1 => 0u16..3, 6 => 3u16..600];
    (any::<bool>(), any::<bool>(), prop::bool::weighted(0.7), site, delay).prop_map(
        |(claims, entitlement, mine, site, delay)| Step::Revoke(Revocation { claims, entitlement, mine, site, delay }),
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1u8..=4).prop_map(Step::Open),
        2 => (0u8..6).prop_map(Step::Close),
        16 => ((1u8..=3), said(), which()).prop_map(|(number, said, which)| Step::Answer(number, said, which)),
        1 => ((1u8..=3), said()).prop_map(|(number, said)| Step::AnswerVoid(number, said)),
        3 => (1u8..=3).prop_map(Step::Edit),
        4 => Just(Step::Reevaluate),
        2 => Just(Step::ReevaluateLater),
        5 => rules(),
        3 => any::<bool>().prop_map(Step::Building),
        1 => Just(Step::NameMoved),
        4 => (0u8..32).prop_map(Step::Claims),
        4 => (0u8..32, prop_oneof![Just(None), (60u16..1200).prop_map(Some)])
            .prop_map(|(mask, life)| Step::Renew(mask, life)),
        2 => revocation(),
        1 => Just(Step::Pardon),
        6 => prop_oneof![3 => 1u8..3, 1 => 5u8..70].prop_map(Step::Wait),
        1 => (prop_oneof![4 => -70i16..70, 1 => -4000i16..4000], any::<bool>())
            .prop_map(|(seconds, noticed)| Step::SetClock(seconds, noticed)),
        1 => prop::bool::weighted(0.1).prop_map(|end| if end { Step::End } else { Step::Reevaluate }),
    ]
}

/// 20,000 steps, and 2,000,000 in the long form.
fn sequences() -> u32 {
    if std::env::var_os("PORTCULLIS_LONG").is_some() { 40_000 } else { 400 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sequences(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_passes_exactly_when_the_model_says_so(steps in prop::collection::vec(step(), STEPS)) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            pair.check(step)?;
        }
    }
}
