//! Names as sessions use them: answers are kept for as long as they say, and looked up again at the Site's interval.
//!
//! A server that fails is not a name that went away: the last answer stands for a while, stale ([RFC 8767, section 4,
//! "Standard Method for Serving Stale Data"]), and only then counts as none. A server that says there is no such name is
//! believed at once. What an answer lacks that an earlier one had is gone, unless the name rotates ([`History`]). However
//! many ask for a name at once, its servers are asked once.
//!
//! Anybody who is admitted may ask for any name, and may own the domain that answers. So a name that no rules are about is
//! remembered for a moment only, in a place of its own ([`memory`]).
//!
//! [RFC 8767, section 4, "Standard Method for Serving Stale Data"]: https://www.rfc-editor.org/rfc/rfc8767#section-4

mod memory;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::{object::Site, rules::NameAnswers};
use tokio::{sync::OnceCell, task::JoinSet};

use memory::{Due, Memory};

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
    memory: Mutex<Memory>,
    /// Names that are being asked for.
    asking: Mutex<HashMap<Asked, Arc<Question>>>,
}

type Question = OnceCell<Result<BTreeSet<IpAddr>, ResolveError>>;

/// A name, and what it is asked for.
type Asked = (String, Use);

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Use {
    /// Rules are built from it.
    Rules,
    /// Somebody wants to go there, and no rules may be about it.
    Flow,
}

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

impl Kept {
    /// How many addresses it holds.
    fn size(&self) -> usize {
        self.answer.as_ref().map_or(0, BTreeSet::len) + self.history.size()
    }

    /// The same question, with as good as no answer because there is no room for one.
    fn refused(self) -> Self {
        let history = History::default();
        Self { answer: Err(ResolveError::TooMany), failure: None, history, news: true, ..self }
    }
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
        Self { clock, hosts_file, resolver: Mutex::default(), memory: Mutex::default(), asking: Mutex::default() }
    }

    /// From now on names resolve as this Site says; nothing else is remembered.
    pub(crate) fn configure(&self, site: Option<&Site>) {
        let resolver = site.map(|site| Arc::new(SiteResolver::new(site, &self.hosts_file)) as Arc<dyn Resolver>);
        *self.resolver.lock().unwrap_or_else(PoisonError::into_inner) = resolver;
        *self.lock() = Memory::default();
        self.asking().clear();
    }

    /// The addresses of a name that somebody wants to go to, remembered or asked for.
    pub(crate) async fn resolve(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        let usage = {
            let memory = self.lock();
            let usage = if memory.kept(name).is_some() { Use::Rules } else { Use::Flow };
            let answer = match usage {
                Use::Rules => memory.fresh(name, now),
                Use::Flow => memory.passing(name, now),
            };
            if let Some(answer) = answer {
                return answer;
            }
            usage
        };
        self.question(name, usage).await
    }

    async fn resolve_for_rules(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        let fresh = self.lock().fresh(name, now);
        match fresh {
            Some(answer) => answer,
            None => self.question(name, Use::Rules).await,
        }
    }

    async fn question(&self, name: &str, usage: Use) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let asked = (name.to_owned(), usage);
        let cell = self.asking().entry(asked.clone()).or_default().clone();
        let question = Asking { names: self, asked, cell };
        question.cell.get_or_init(|| self.ask(name, usage)).await.clone()
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
                    let answer = names.resolve_for_rules(&name).await;
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
    pub(crate) async fn refresh(self: &Arc<Self>, used: BTreeSet<String>) -> NameAnswers {
        let now = self.clock.now().monotonic;
        let Some(resolver) = self.resolver() else { return NameAnswers::new() };
        let Due { names, refused } = self.lock().due(used, |name| resolver.interval(name), (MOST_DUE, now));
        if !refused.is_empty() {
            tracing::warn!(
                names = refused.len(),
                "Rules are about more names than are kept; the rest has no addresses"
            );
        }
        let mut answers = self.resolve_in_parts(names, DUE_AT_ONCE).await.0;
        answers.extend(refused.into_iter().map(|name| (name, BTreeSet::new())));
        answers.extend(self.lock().news());
        answers
    }

    /// The addresses in the order they are worth trying: those of the newest answer first.
    pub(crate) fn newest_first(&self, name: &str, addresses: BTreeSet<IpAddr>) -> Vec<IpAddr> {
        let memory = self.lock();
        let Some(kept) = memory.kept(name) else { return addresses.into_iter().collect() };
        let (mut first, rest): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|one| kept.history.is_newest(one));
        first.extend(rest);
        first
    }

    /// Puts newer answers in the place of older ones, where somebody has asked since.
    pub(crate) fn update(&self, answers: &mut NameAnswers) {
        let memory = self.lock();
        for (name, addresses) in answers {
            if let Some(kept) = memory.kept(name) {
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
        let memory = self.lock();
        let kept = memory.kept(name)?;
        Some(match &kept.answer {
            Ok(addresses) => {
                Known { addresses: addresses.clone(), error: kept.failure, lingering: kept.history.lingering() }
            }
            Err(error) => Known { addresses: BTreeSet::new(), error: Some(*error), lingering: 0 },
        })
    }

    async fn ask(&self, name: &str, usage: Use) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let Some(resolver) = self.resolver() else { return Err(ResolveError::ServersFailed) };
        let outcome = resolver.resolve(name).await;
        if outcome.as_ref().is_ok_and(|resolved| resolved.truncated) {
            tracing::warn!("A name has more addresses than are taken; the rest is dropped");
        }
        self.keep((name, usage), outcome, &resolver)
    }

    fn keep(
        &self,
        (name, usage): (&str, Use),
        outcome: Result<Resolved, ResolveError>,
        resolver: &Arc<dyn Resolver>,
    ) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        let mut memory = self.lock();
        // What a resolver says that was replaced meanwhile is of no use to anybody.
        let current = self.resolver().is_some_and(|current| Arc::ptr_eq(&current, resolver));
        if usage == Use::Flow {
            let ttl = outcome.as_ref().map_or(NEGATIVE_TTL, |resolved| resolved.ttl.max(MIN_TTL));
            let answer = outcome.map(|resolved| resolved.addresses);
            if current {
                memory.keep_passing(name, answer.clone(), ttl, now);
            }
            return answer;
        }
        let old = memory.kept(name).filter(|_| current);
        let entry = next(old, outcome, linger(resolver.interval(name)), now);
        if entry.history.lingering() > 0 && old.is_none_or(|old| old.history.lingering() == 0) {
            tracing::warn!("A name rotates; addresses that its newest answer lacks stay in the rules for a while");
        }
        if current { memory.keep(name, entry) } else { entry.answer }
    }

    fn resolver(&self) -> Option<Arc<dyn Resolver>> {
        self.resolver.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<Asked, Arc<Question>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for an answer. Whoever leaves first clears the question, so that no answer is taken for a later one.
struct Asking<'a> {
    names: &'a Names,
    asked: Asked,
    cell: Arc<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asking = self.names.asking();
        if asking.get(&self.asked).is_some_and(|held| Arc::ptr_eq(held, &self.cell)) {
            asking.remove(&self.asked);
        }
    }
}

/// What is known of a name after one more question.
fn next(old: Option<&Kept>, outcome: Result<Resolved, ResolveError>, linger: Duration, now: Duration) -> Kept {
    let mut history = old.map(|old| old.history.clone()).unwrap_or_default();
    let standing = old.filter(|old| old.answer.is_ok() && now < old.answered + STALE);
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

/// Answers that want to be forgotten at once are still kept so long.
const MIN_TTL: Duration = Duration::from_secs(1);

const MAX_TTL: Duration = Duration::from_secs(3600);

/// How long "no" is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);

/// How long the last answer stands while servers fail: a name in use must outlive a restart of its server, and an old
/// address must not outlive its name for long.
const STALE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
