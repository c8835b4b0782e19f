//! Names as sessions use them: answers are kept for as long as they say, and looked up again at the Site's interval.
//!
//! A server that fails is not a name that went away: the last answer lingers for a while, and only then counts as none. A
//! server that says there is no such name is believed at once. What an answer lacks that an earlier one had is gone, unless
//! the name rotates ([`History`]). However many ask for a name at once, its servers are asked once.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::{object::Site, rules::NameAnswers};
use tokio::{sync::OnceCell, task::JoinSet};

use super::{
    ResolveError, Resolved, Resolver,
    history::{History, linger},
    site::SiteResolver,
};
use crate::clock::Clock;

/// Resolves names and remembers.
pub(crate) struct Names {
    clock: Clock,
    hosts_file: PathBuf,
    resolver: Mutex<Option<Arc<dyn Resolver>>>,
    kept: Mutex<HashMap<String, Kept>>,
    /// Names that are being asked for.
    asking: Mutex<HashMap<String, Arc<Question>>>,
}

type Question = OnceCell<Result<BTreeSet<IpAddr>, ResolveError>>;

/// What is known of a name.
#[derive(Clone)]
struct Kept {
    answer: Result<BTreeSet<IpAddr>, ResolveError>,
    until: Duration,
    /// When servers last answered at all.
    answered: Duration,
    asked: Duration,
    /// Why the last question failed, while an older answer stands.
    failure: Option<ResolveError>,
    history: History,
    /// Whether the answer is another one than sessions were told.
    news: bool,
}

/// What is known of a name, for administrators.
pub(crate) struct Known {
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Why they may be old or missing.
    pub(crate) error: Option<ResolveError>,
    /// How many of them an earlier answer had and the newest one lacks.
    pub(crate) lingering: usize,
}

/// A name whose answer is worth telling the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameProblem {
    pub(crate) name: String,
    pub(crate) code: &'static str,
}

impl Names {
    pub(crate) fn new(clock: Clock, hosts_file: PathBuf) -> Self {
        Self { clock, hosts_file, resolver: Mutex::default(), kept: Mutex::default(), asking: Mutex::default() }
    }

    /// From now on names resolve as this Site says; nothing else is remembered.
    pub(crate) fn configure(&self, site: Option<&Site>) {
        let resolver = site.map(|site| Arc::new(SiteResolver::new(site, &self.hosts_file)) as Arc<dyn Resolver>);
        *self.resolver.lock().unwrap_or_else(PoisonError::into_inner) = resolver;
        self.lock().clear();
        self.asking().clear();
    }

    /// The addresses of a name, remembered or asked for.
    pub(crate) async fn resolve(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        if let Some(kept) = self.lock().get(name).filter(|kept| kept.until > now) {
            return kept.answer.clone();
        }
        let question = Asking { names: self, name, cell: self.asking().entry(name.to_owned()).or_default().clone() };
        question.cell.get_or_init(|| self.ask(name)).await.clone()
    }

    /// The addresses of names; one without addresses gets an empty set, and why is told beside it.
    pub(crate) async fn resolve_all(self: &Arc<Self>, names: BTreeSet<String>) -> (NameAnswers, Vec<NameProblem>) {
        self.resolve_in_parts(names.into_iter().collect(), AT_ONCE).await
    }

    async fn resolve_in_parts(self: &Arc<Self>, names: Vec<String>, at_once: usize) -> (NameAnswers, Vec<NameProblem>) {
        let (mut answers, mut problems) = (NameAnswers::new(), Vec::new());
        let mut waiting = names.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < at_once {
                let Some(name) = waiting.next() else { break };
                let names = self.clone();
                running.spawn(async move {
                    let answer = names.resolve(&name).await;
                    (name, answer)
                });
            }
            let Some(done) = running.join_next().await else { break };
            let Ok((name, answer)) = done else { continue };
            if let Err(error) = &answer {
                problems.push(NameProblem { name: name.clone(), code: error.code() });
            }
            answers.insert(name, answer.unwrap_or_default());
        }
        problems.sort_by(|left, right| left.name.cmp(&right.name));
        (answers, problems)
    }

    /// Looks names in use up again where it is time; the answer holds the addresses of those that were looked up, by this or
    /// by anybody's question, since the last time.
    pub(crate) async fn refresh(self: &Arc<Self>, used: &BTreeSet<String>) -> NameAnswers {
        let now = self.clock.now().monotonic;
        let Some(resolver) = self.resolver() else { return NameAnswers::new() };
        let due = {
            let mut kept = self.lock();
            kept.retain(|name, kept| kept.until > now || used.contains(name));
            let is_due =
                |name: &&String| kept.get(*name).is_none_or(|kept| kept.asked + resolver.interval(name) <= now);
            let mut due: Vec<String> = used.iter().filter(is_due).cloned().collect();
            // Servers that do not answer must not keep news of other names back for long.
            due.sort_by_cached_key(|name| kept.get(name).map(|kept| kept.asked));
            due.truncate(MOST_DUE);
            for name in &due {
                if let Some(kept) = kept.get_mut(name) {
                    kept.until = Duration::ZERO;
                }
            }
            due
        };
        let mut answers = self.resolve_in_parts(due, DUE_AT_ONCE).await.0;
        let mut kept = self.lock();
        let news = kept.iter_mut().filter(|(name, kept)| kept.news && used.contains(*name));
        for (name, kept) in news {
            kept.news = false;
            answers.insert(name.clone(), kept.answer.clone().unwrap_or_default());
        }
        answers
    }

    /// The addresses in the order they are worth trying: those of the newest answer first.
    pub(crate) fn newest_first(&self, name: &str, addresses: BTreeSet<IpAddr>) -> Vec<IpAddr> {
        let kept = self.lock();
        let Some(kept) = kept.get(name) else { return addresses.into_iter().collect() };
        let (mut first, rest): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|one| kept.history.is_newest(one));
        first.extend(rest);
        first
    }

    /// Puts newer answers in the place of older ones, where somebody has asked since.
    pub(crate) fn update(&self, answers: &mut NameAnswers) {
        let kept = self.lock();
        for (name, addresses) in answers {
            if let Some(kept) = kept.get(name) {
                *addresses = kept.answer.clone().unwrap_or_default();
            }
        }
    }

    /// Asks the Site's resolvers as if for the first time; no session sees the answer.
    pub(crate) async fn probe(&self, name: &str) -> Result<Resolved, ResolveError> {
        let Some(resolver) = self.resolver() else { return Err(ResolveError::ServersFailed) };
        resolver.resolve(name).await
    }

    /// What is known of a name now; `None` before it was asked for.
    pub(crate) fn known(&self, name: &str) -> Option<Known> {
        let kept = self.lock();
        let kept = kept.get(name)?;
        Some(match &kept.answer {
            Ok(addresses) => {
                Known { addresses: addresses.clone(), error: kept.failure, lingering: kept.history.lingering() }
            }
            Err(error) => Known { addresses: BTreeSet::new(), error: Some(*error), lingering: 0 },
        })
    }

    async fn ask(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let Some(resolver) = self.resolver() else { return Err(ResolveError::ServersFailed) };
        let outcome = resolver.resolve(name).await;
        if outcome.as_ref().is_ok_and(|resolved| resolved.truncated) {
            tracing::warn!("A name has more addresses than are taken; the rest is dropped");
        }
        self.keep(name, outcome, &resolver)
    }

    fn keep(
        &self,
        name: &str,
        outcome: Result<Resolved, ResolveError>,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        let mut kept = self.lock();
        // What a resolver says that was replaced meanwhile is of no use to anybody.
        let current = self.resolver().is_some_and(|current| Arc::ptr_eq(&current, resolver));
        let old = kept.get(name).filter(|_| current);
        let entry = next(old, outcome, linger(resolver.interval(name)), now);
        if entry.history.lingering() > 0 && old.is_none_or(|old| old.history.lingering() == 0) {
            tracing::warn!("A name rotates; addresses that its newest answer lacks stay in the rules for a while");
        }
        let answer = entry.answer.clone();
        if current && (kept.len() < MAX_NAMES || kept.contains_key(name)) {
            kept.insert(name.to_owned(), entry);
        }
        answer
    }

    fn resolver(&self) -> Option<Arc<dyn Resolver>> {
        self.resolver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<String, Arc<Question>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for an answer. Whoever leaves first clears the question, so that no answer is taken for a later one.
struct Asking<'a> {
    names: &'a Names,
    name: &'a str,
    cell: Arc<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self.names.asking();
        if asking.get(self.name).is_some_and(|held| Arc::ptr_eq(held, &self.cell)) {
            asking.remove(self.name);
        }
    }
}

/// What is known of a name after one more question.
fn next(old: Option<&Kept>, outcome: Result<Resolved, ResolveError>, linger: Duration, now: Duration) -> Kept {
    let mut history = old.map(|old| old.history.clone()).unwrap_or_default();
    let standing = old.filter(|old| old.answer.is_ok() && now < old.answered + LINGER);
    let mut kept = match (outcome, standing) {
        (Ok(resolved), _) => {
            history.answer(resolved.addresses, linger, now);
            let answer = Ok(history.standing(linger, now));
            let until = now + resolved.ttl.clamp(MIN_TTL, MAX_TTL);
            Kept { answer, until, answered: now, asked: now, failure: None, history, news: false }
        }
        (Err(error @ (ResolveError::NoAnswer | ResolveError::ServersFailed)), Some(old)) => {
            let (answer, until) = (Ok(history.standing(linger, now)), now + MIN_TTL);
            Kept { answer, until, answered: old.answered, asked: now, failure: Some(error), history, news: false }
        }
        (Err(error), _) => {
            let (until, history) = (now + NEGATIVE_TTL, History::default());
            Kept { answer: Err(error), until, answered: now, asked: now, failure: None, history, news: false }
        }
    };
    kept.news = old.is_some_and(|old| old.news || old.answer != kept.answer);
    kept
}

/// Questions under way at once for one session.
const AT_ONCE: usize = 16;

/// Names looked up again before sessions hear of it; the longest unasked come first.
const MOST_DUE: usize = 512;

/// Questions under way at once to look names up again.
const DUE_AT_ONCE: usize = 64;

/// Names remembered; beyond it names are asked for each time.
const MAX_NAMES: usize = 10_000;

/// Answers that want to be forgotten at once are still kept so long.
const MIN_TTL: Duration = Duration::from_secs(1);

const MAX_TTL: Duration = Duration::from_secs(3600);

/// How long "no" is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);

/// How long the last answer stands while servers fail.
const LINGER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
