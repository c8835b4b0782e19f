//! Rules: what the entitlements of one session come to once scripts have answered and names are resolved.
//!
//! [`scripts_needed`] and [`names_needed`] say what has to be asked of the world; [`build`] turns the answers into a
//! [`RuleSet`]. An error never widens: what an allow cannot name yields no rule, and a block or alert that cannot tell what
//! it is about refuses everything of its protocol, direction and ports. Both are reported.
//! Which rule wins is one table, [`Rule::rank`] (D 12.2).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    id::EntitlementId,
    object::{BadShortcut, Direction, Effect, Entitlement, HostSpec, PortRange, PortSpec, Traffic},
    script::{Failure, ScriptKind},
};

/// Protocols a rule can speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP on TCP ports 80 and 443.
    Http,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// ICMP for IPv6.
    Icmpv6,
    /// IPsec authentication header.
    Ah,
    /// IPsec encapsulating payload.
    Esp,
    /// Generic routing encapsulation.
    Gre,
}

/// One firewall rule of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The entitlement it comes from.
    pub entitlement: EntitlementId,
    /// `<entitlement name>#<index of the action>`, as logs show it.
    pub name: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Protocol.
    pub protocol: Protocol,
    /// Direction of the first packet.
    pub direction: Direction,
    /// Addresses of the protected side.
    pub net: IpNet,
    /// Destination ports or ICMP types.
    pub ports: PortRange,
    /// The host text it came from.
    pub host: Arc<str>,
}

/// A flow's first packet, as far as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Protocol; [`Protocol::Http`] is not a target, rules for it match TCP.
    pub protocol: Protocol,
    /// Direction.
    pub direction: Direction,
    /// Address of the protected side.
    pub address: IpAddr,
    /// Destination port or ICMP type.
    pub port: u16,
}

impl Rule {
    fn matches(&self, target: Target) -> bool {
        self.covers_traffic(target) && self.net.contains(&target.address)
    }

    fn covers_traffic(&self, target: Target) -> bool {
        let protocol = match self.protocol {
            Protocol::Http => target.protocol == Protocol::Tcp,
            other => target.protocol == other,
        };
        protocol && self.direction == target.direction && self.ports.contains(target.port)
    }

    /// The precedence table of D 12.2; the greatest rank wins, position means nothing.
    fn rank(&self) -> (bool, u8, Reverse<u32>, u16) {
        (self.protocol == Protocol::Http, self.net.prefix_len(), Reverse(self.ports.size()), self.ports.first())
    }
}

/// The rules of one session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Blocks and alerts whose hosts or ports are not all known; their `net` means nothing.
    vague: Vec<Rule>,
}

/// What the rules say of a target, conditions aside.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No rule matches.
    NoRule,
    /// A block wins, alone or by a tie.
    Block(&'a Rule),
    /// An alert wins: drop and raise a record.
    Alert(&'a Rule),
    /// These allows win, fully equal; one whose conditions hold is enough.
    Allow(Vec<&'a Rule>),
}

impl RuleSet {
    /// The winning rules for a target: greatest rank, then block over alert over allow (D 35, 5).
    ///
    /// A block or alert that does not know all its hosts comes before everything: any target may be one of them.
    pub fn verdict(&self, target: Target) -> Verdict<'_> {
        if let Some(rule) = self.vague.iter().find(|rule| rule.covers_traffic(target)) {
            return if rule.effect == Effect::Alert { Verdict::Alert(rule) } else { Verdict::Block(rule) };
        }
        let Some(best) = self.rules.iter().filter(|rule| rule.matches(target)).map(Rule::rank).max() else {
            return Verdict::NoRule;
        };
        let winners: Vec<&Rule> =
            self.rules.iter().filter(|rule| rule.matches(target) && rule.rank() == best).collect();
        let with = |effect| winners.iter().copied().find(|rule| rule.effect == effect);
        match (with(Effect::Block), with(Effect::Alert)) {
            (Some(rule), _) => Verdict::Block(rule),
            (None, Some(rule)) => Verdict::Alert(rule),
            (None, None) => Verdict::Allow(winners),
        }
    }

    /// All rules, in a stable order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Blocks and alerts that do not know all their hosts and refuse whatever their protocol, direction and ports match.
    pub fn vague(&self) -> &[Rule] {
        &self.vague
    }
}

/// Answers of entitlement scripts by name.
pub type ScriptAnswers = BTreeMap<String, Result<Vec<String>, Failure>>;

/// Addresses of names; a name without addresses has an empty set.
pub type NameAnswers = BTreeMap<String, BTreeSet<IpAddr>>;

/// Something that yielded no rule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule name it would have had.
    pub rule: Arc<str>,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// Why a part of an action yields no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// The script does not exist.
    ScriptMissing(String),
    /// The script failed.
    ScriptFailed(Failure),
    /// The script answered something that is no host or port.
    BadAnswer { script: String, answer: String },
    /// The script answered more than is taken.
    TooManyAnswers(String),
    /// The name has no addresses.
    NameWithoutAddress(String),
    /// A host form this version does not resolve.
    NotResolved(String),
    /// HTTP rules need the URL access proxy, which this version lacks; they permit nothing.
    HttpNotEnforced,
    /// More rules than a session may have.
    TooManyRules,
    /// An app shortcut that cannot be shown.
    BadShortcut(BadShortcut),
    /// More app shortcuts than are shown.
    TooManyShortcuts,
}

/// Scripts whose answers [`build`] needs.
pub fn scripts_needed<'a>(entitlements: impl IntoIterator<Item = &'a Entitlement>) -> BTreeMap<String, ScriptKind> {
    let mut needed = BTreeMap::new();
    for action in entitlements
        .into_iter()
        .filter(|entitlement| !entitlement.disabled)
        .flat_map(|entitlement| &entitlement.actions)
    {
        for host in &action.hosts {
            if let HostSpec::Script(name) = host {
                needed.insert(name.clone(), ScriptKind::Host);
            }
        }
        for port in ports_of(&action.traffic) {
            if let PortSpec::Script(name) = port {
                needed.insert(name.clone(), ScriptKind::PortOrType);
            }
        }
    }
    needed
}

/// Names whose addresses [`build`] needs, given what the scripts answered.
pub fn names_needed<'a>(
    entitlements: impl IntoIterator<Item = &'a Entitlement>,
    answers: &ScriptAnswers,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for action in entitlements
        .into_iter()
        .filter(|entitlement| !entitlement.disabled)
        .flat_map(|entitlement| &entitlement.actions)
    {
        for host in &action.hosts {
            match host {
                HostSpec::Name(name) => {
                    names.insert(name.clone());
                }
                HostSpec::Script(script) => names.extend(script_hosts(script, answers).filter_map(|host| match host {
                    Ok(HostSpec::Name(name)) => Some(name),
                    Ok(HostSpec::Net(_) | HostSpec::Script(_) | HostSpec::Unresolved(_)) | Err(_) => None,
                })),
                HostSpec::Net(_) | HostSpec::Unresolved(_) => {}
            }
        }
    }
    names
}

/// Builds the rules of a session.
pub fn build<'a>(
    entitlements: impl IntoIterator<Item = &'a Entitlement>,
    scripts: &ScriptAnswers,
    names: &NameAnswers,
) -> (RuleSet, Vec<Problem>) {
    let mut builder = Builder { scripts, names, rules: Vec::new(), vague: Vec::new(), problems: Vec::new() };
    for entitlement in entitlements.into_iter().filter(|entitlement| !entitlement.disabled) {
        builder.entitlement(entitlement);
    }
    let rules = RuleSet { rules: builder.rules, vague: builder.vague };
    (rules, builder.problems)
}

struct Builder<'a> {
    scripts: &'a ScriptAnswers,
    names: &'a NameAnswers,
    rules: Vec<Rule>,
    vague: Vec<Rule>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn entitlement(&mut self, entitlement: &Entitlement) {
        for (index, action) in entitlement.actions.iter().enumerate() {
            let name: Arc<str> = format!("{}#{index}", entitlement.name).into();
            let Some((protocol, direction)) = protocol_of(&action.traffic) else { continue };
            if protocol == Protocol::Http && action.effect == Effect::Allow {
                self.problem(&name, ProblemKind::HttpNotEnforced);
                continue;
            }
            let rule = |net, ports, host| Rule {
                entitlement: entitlement.id,
                name: name.clone(),
                effect: action.effect,
                protocol,
                direction,
                net,
                ports,
                host,
            };
            let before = self.problems.len();
            let ports = self.ports(&name, &action.traffic);
            let ports_hidden = self.hides_something(before);
            let nets = self.nets(&name, &action.hosts);
            if action.effect != Effect::Allow && self.hides_something(before) {
                let refused = if ports_hidden { vec![PortRange::ANY] } else { ports.clone() };
                self.vague.extend(refused.into_iter().map(|ports| rule(EVERYWHERE, ports, "unknown".into())));
            }
            for (net, host) in nets {
                for ports in &ports {
                    self.push(rule(net, *ports, host.clone()));
                }
            }
        }
    }

    /// Whether problems from `before` on leave open what an action is about. A name without addresses is nobody's, so
    /// there is nothing to block there.
    fn hides_something(&self, before: usize) -> bool {
        self.problems.iter().skip(before).any(|problem| match problem.kind {
            ProblemKind::NameWithoutAddress(_) => false,
            ProblemKind::ScriptMissing(_)
            | ProblemKind::ScriptFailed(_)
            | ProblemKind::BadAnswer { .. }
            | ProblemKind::TooManyAnswers(_)
            | ProblemKind::NotResolved(_)
            | ProblemKind::HttpNotEnforced
            | ProblemKind::TooManyRules
            | ProblemKind::BadShortcut(_)
            | ProblemKind::TooManyShortcuts => true,
        })
    }

    fn push(&mut self, rule: Rule) {
        if self.rules.len() < MAX_RULES {
            self.rules.push(rule);
            return;
        }
        if self.problems.last().is_none_or(|last| last.kind != ProblemKind::TooManyRules) {
            self.problem(&rule.name, ProblemKind::TooManyRules);
        }
        let known = |vague: &Rule| vague.name == rule.name && vague.ports == rule.ports;
        if rule.effect != Effect::Allow && !self.vague.iter().any(known) {
            self.vague.push(rule);
        }
    }

    fn problem(&mut self, rule: &Arc<str>, kind: ProblemKind) {
        self.problems.push(Problem { rule: rule.clone(), kind });
    }

    fn ports(&mut self, rule: &Arc<str>, traffic: &Traffic) -> Vec<PortRange> {
        match traffic {
            Traffic::HttpUp(_) => [80, 443].into_iter().filter_map(|port| PortRange::new(port, port)).collect(),
            Traffic::Ah(_) | Traffic::Esp(_) | Traffic::Gre(_) | Traffic::Exclude => vec![PortRange::ANY],
            Traffic::Tcp(..) | Traffic::Udp(..) | Traffic::Icmp(..) | Traffic::Icmpv6(..) => {
                let specs = ports_of(traffic).to_vec();
                specs.iter().flat_map(|spec| self.port_spec(rule, spec)).collect()
            }
        }
    }

    fn port_spec(&mut self, rule: &Arc<str>, spec: &PortSpec) -> Vec<PortRange> {
        let script = match spec {
            PortSpec::Range(range) => return vec![*range],
            PortSpec::Script(script) => script,
        };
        let mut ranges = Vec::new();
        for answer in self.answers(rule, script) {
            match PortRange::parse(&answer) {
                Some(range) => ranges.push(range),
                None => self.problem(rule, ProblemKind::BadAnswer { script: script.clone(), answer }),
            }
        }
        ranges
    }

    fn nets(&mut self, rule: &Arc<str>, hosts: &[HostSpec]) -> Vec<(IpNet, Arc<str>)> {
        let mut nets = Vec::new();
        for host in hosts {
            match host {
                HostSpec::Script(script) => {
                    self.answers(rule, script);
                    for answer in script_hosts(script, self.scripts) {
                        match answer {
                            Ok(HostSpec::Script(nested)) => {
                                self.problem(
                                    rule,
                                    ProblemKind::BadAnswer {
                                        script: script.clone(),
                                        answer: format!("script://{nested}"),
                                    },
                                );
                            }
                            Ok(host) => self.plain_host(rule, &host, &mut nets),
                            Err(answer) => {
                                self.problem(rule, ProblemKind::BadAnswer { script: script.clone(), answer })
                            }
                        }
                    }
                }
                HostSpec::Net(_) | HostSpec::Name(_) | HostSpec::Unresolved(_) => {
                    self.plain_host(rule, host, &mut nets)
                }
            }
        }
        nets.sort_unstable();
        nets.dedup_by(|(left, _), (right, _)| left == right);
        nets
    }

    fn plain_host(&mut self, rule: &Arc<str>, host: &HostSpec, nets: &mut Vec<(IpNet, Arc<str>)>) {
        match host {
            HostSpec::Net(net) => nets.push((*net, net.to_string().into())),
            HostSpec::Name(name) => match self.names.get(name).filter(|addresses| !addresses.is_empty()) {
                Some(addresses) => {
                    let text: Arc<str> = name.as_str().into();
                    nets.extend(addresses.iter().map(|address| (IpNet::from(*address), text.clone())));
                }
                None => self.problem(rule, ProblemKind::NameWithoutAddress(name.clone())),
            },
            HostSpec::Unresolved(text) => self.problem(rule, ProblemKind::NotResolved(text.clone())),
            HostSpec::Script(_) => {}
        }
    }

    /// What a script answered; a missing or failed one answers nothing and is reported.
    fn answers(&mut self, rule: &Arc<str>, script: &str) -> Vec<String> {
        match self.scripts.get(script) {
            Some(Ok(answers)) => {
                if answers.len() > MAX_SCRIPT_ANSWERS {
                    self.problem(rule, ProblemKind::TooManyAnswers(script.to_owned()));
                }
                answers.iter().take(MAX_SCRIPT_ANSWERS).cloned().collect()
            }
            Some(Err(failure)) => {
                self.problem(rule, ProblemKind::ScriptFailed(failure.clone()));
                Vec::new()
            }
            None => {
                self.problem(rule, ProblemKind::ScriptMissing(script.to_owned()));
                Vec::new()
            }
        }
    }
}

fn script_hosts<'a>(
    script: &str,
    answers: &'a ScriptAnswers,
) -> impl Iterator<Item = Result<HostSpec, String>> + use<'a> {
    let answers = answers.get(script).and_then(|answer| answer.as_ref().ok()).map(Vec::as_slice).unwrap_or_default();
    answers.iter().take(MAX_SCRIPT_ANSWERS).map(|answer| HostSpec::parse(answer).ok_or_else(|| answer.clone()))
}

fn ports_of(traffic: &Traffic) -> &[PortSpec] {
    match traffic {
        Traffic::Tcp(_, ports) | Traffic::Udp(_, ports) | Traffic::Icmp(_, ports) | Traffic::Icmpv6(_, ports) => ports,
        Traffic::HttpUp(_) | Traffic::Ah(_) | Traffic::Esp(_) | Traffic::Gre(_) | Traffic::Exclude => &[],
    }
}

fn protocol_of(traffic: &Traffic) -> Option<(Protocol, Direction)> {
    Some(match traffic {
        Traffic::Tcp(direction, _) => (Protocol::Tcp, *direction),
        Traffic::Udp(direction, _) => (Protocol::Udp, *direction),
        Traffic::HttpUp(_) => (Protocol::Http, Direction::Up),
        Traffic::Icmp(direction, _) => (Protocol::Icmp, *direction),
        Traffic::Icmpv6(direction, _) => (Protocol::Icmpv6, *direction),
        Traffic::Ah(direction) => (Protocol::Ah, *direction),
        Traffic::Esp(direction) => (Protocol::Esp, *direction),
        Traffic::Gre(direction) => (Protocol::Gre, *direction),
        Traffic::Exclude => return None,
    })
}

/// Stands where a vague rule has no network of its own.
const EVERYWHERE: IpNet = IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0));

/// Most answers taken of one script.
const MAX_SCRIPT_ANSWERS: usize = 10_000;

/// Most rules of one session; more would make every new flow slow.
const MAX_RULES: usize = 100_000;

#[cfg(test)]
mod tests;
