//! What is remembered of names, in two places that cannot push each other out: names that rules are built from, and names
//! that somebody merely asked for.
//!
//! INVARIANT: a name that rules are about has an entry here or no addresses at all, so that what has an address is looked up
//! again. Both places are bounded in names and in addresses.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use engine::rules::NameAnswers;

use super::Kept;
use crate::resolver::ResolveError;

type Answer = Result<BTreeSet<IpAddr>, ResolveError>;

#[derive(Default)]
pub(super) struct Memory {
    kept: HashMap<String, Kept>,
    /// How many addresses `kept` holds.
    addresses: usize,
    /// Names that sessions used when they were last asked.
    used: BTreeSet<String>,
    passing: HashMap<String, Passing>,
}

/// An answer for a name without rules.
struct Passing {
    answer: Answer,
    until: Duration,
}

/// Names in use that it is time to see to.
pub(super) struct Due {
    pub(super) names: Vec<String>,
    /// There is no room for them, so they have no addresses.
    pub(super) refused: Vec<String>,
}

impl Memory {
    pub(super) fn kept(&self, name: &str) -> Option<&Kept> {
        self.kept.get(name)
    }

    /// The answer for a name in rules, while it is fresh.
    pub(super) fn fresh(&self, name: &str, now: Duration) -> Option<Answer> {
        self.kept.get(name).filter(|kept| kept.until > now).map(|kept| kept.answer.clone())
    }

    /// The answer for a name without rules, while it is fresh.
    pub(super) fn passing(&self, name: &str, now: Duration) -> Option<Answer> {
        self.passing.get(name).filter(|passing| passing.until > now).map(|passing| passing.answer.clone())
    }

    /// Keeps what is known of a name in rules. Without room for it, the name has no addresses.
    pub(super) fn keep(&mut self, name: &str, entry: Kept) -> Answer {
        if !self.kept.contains_key(name) && self.kept.len() >= MAX_NAMES {
            self.forget_unused();
            if self.kept.len() >= MAX_NAMES {
                return Err(ResolveError::TooMany);
            }
        }
        let old = self.kept.remove(name);
        self.addresses -= old.as_ref().map_or(0, Kept::size).min(self.addresses);
        if self.addresses + entry.size() > MAX_KEPT_ADDRESSES {
            self.forget_unused();
        }
        let fits = self.addresses + entry.size() <= MAX_KEPT_ADDRESSES;
        let entry = if fits { entry } else { entry.refused() };
        self.addresses += entry.size();
        let answer = entry.answer.clone();
        self.kept.insert(name.to_owned(), entry);
        answer
    }

    /// Keeps an answer for a name without rules for a moment; flows try no more than a few of its addresses.
    pub(super) fn keep_passing(&mut self, name: &str, answer: Answer, ttl: Duration, now: Duration) {
        if self.passing.len() >= MAX_PASSING && !self.passing.contains_key(name) {
            self.passing.retain(|_, passing| passing.until > now);
        }
        if self.passing.len() >= MAX_PASSING && !self.passing.contains_key(name) {
            let first = self.passing.iter().min_by_key(|(_, passing)| passing.until).map(|(name, _)| name.clone());
            first.into_iter().for_each(|first| drop(self.passing.remove(&first)));
        }
        let answer = answer.map(|addresses| addresses.into_iter().take(MAX_PASSING_ADDRESSES).collect());
        self.passing.insert(name.to_owned(), Passing { answer, until: now + ttl.min(MAX_PASSING_TTL) });
    }

    /// The names to be looked up again: those unasked for longest, and among them names in use without an entry.
    pub(super) fn due(
        &mut self,
        used: BTreeSet<String>,
        interval: impl Fn(&str) -> Duration,
        (most, now): (usize, Duration),
    ) -> Due {
        self.used = used;
        self.passing.retain(|_, passing| passing.until > now);
        let used = &self.used;
        self.kept.retain(|name, kept| used.contains(name) || now < kept.asked + UNUSED);
        self.count();
        let mut missing: Vec<String> =
            self.used.iter().filter(|name| !self.kept.contains_key(*name)).cloned().collect();
        if self.kept.len() + missing.len() > MAX_NAMES {
            self.forget_unused();
        }
        let refused = missing.split_off(missing.len().min(MAX_NAMES.saturating_sub(self.kept.len())));
        let is_due = |(name, kept): &(&String, &mut Kept)| {
            self.used.contains(*name) && kept.asked + interval(name.as_str()) <= now
        };
        let mut due: Vec<(&String, &mut Kept)> = self.kept.iter_mut().filter(is_due).collect();
        // Servers that do not answer must not keep news of other names back for long, nor new names the older ones.
        due.sort_by_key(|(_, kept)| kept.asked);
        missing.truncate(most.saturating_sub(due.len()).max(most / 2));
        due.truncate(most.saturating_sub(missing.len()));
        due.iter_mut().for_each(|(_, kept)| kept.until = Duration::ZERO);
        Due { names: due.into_iter().map(|(name, _)| name.clone()).chain(missing).collect(), refused }
    }

    /// Answers for names in use that sessions were not told of.
    pub(super) fn news(&mut self) -> NameAnswers {
        let news = self.kept.iter_mut().filter(|(name, kept)| kept.news && self.used.contains(*name));
        let tell = |(name, kept): (&String, &mut Kept)| {
            kept.news = false;
            (name.clone(), kept.answer.clone().unwrap_or_default())
        };
        news.map(tell).collect()
    }

    fn forget_unused(&mut self) {
        let used = &self.used;
        self.kept.retain(|name, _| used.contains(name));
        self.count();
    }

    fn count(&mut self) {
        self.addresses = self.kept.values().map(Kept::size).sum();
    }
}

/// Names in rules; there are no addresses for more.
pub(super) const MAX_NAMES: usize = 10_000;

/// Addresses of all names in rules, those counted twice that are both in the newest answer and in force; some tens of MiB.
pub(super) const MAX_KEPT_ADDRESSES: usize = 1_000_000;

/// How long a name that no session uses keeps its place; rules may be about to be built from it.
const UNUSED: Duration = Duration::from_secs(60);

/// Names without rules.
pub(super) const MAX_PASSING: usize = 256;

/// Twice what a flow tries.
const MAX_PASSING_ADDRESSES: usize = 16;

const MAX_PASSING_TTL: Duration = Duration::from_secs(60);
