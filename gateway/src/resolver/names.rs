//! Names as sessions use them: answers are kept for as long as they say, and looked up again at the Site's interval.
//!
//! A server that fails is not a name that went away: the last answer lingers for a while, and only then counts as none. A
//! server that says there is no such name is believed at once.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::{object::Site, rules::NameAnswers};
use tokio::task::JoinSet;

use super::{ResolveError, Resolved, Resolver, site::SiteResolver};
use crate::clock::Clock;

/// Resolves names and remembers.
pub(crate) struct Names {
    clock: Clock,
    hosts_file: PathBuf,
    resolver: Mutex<Option<Arc<dyn Resolver>>>,
    kept: Mutex<HashMap<String, Kept>>,
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
}

/// A name whose answer is worth telling the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameProblem {
    pub(crate) name: String,
    pub(crate) code: &'static str,
}

impl Names {
    pub(crate) fn new(clock: Clock, hosts_file: PathBuf) -> Self {
        Self { clock, hosts_file, resolver: Mutex::default(), kept: Mutex::default() }
    }

    /// From now on names resolve as this Site says; nothing else is remembered.
    pub(crate) fn configure(&self, site: Option<&Site>) {
        let resolver = site.map(|site| Arc::new(SiteResolver::new(site, &self.hosts_file)) as Arc<dyn Resolver>);
        *self.resolver.lock().unwrap_or_else(PoisonError::into_inner) = resolver;
        self.lock().clear();
    }

    /// The addresses of a name, remembered or asked for.
    pub(crate) async fn resolve(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        if let Some(kept) = self.lock().get(name).filter(|kept| kept.until > now) {
            return kept.answer.clone();
        }
        self.ask(name).await
    }

    /// The addresses of names; one without addresses gets an empty set, and why is told beside it.
    pub(crate) async fn resolve_all(self: &Arc<Self>, names: BTreeSet<String>) -> (NameAnswers, Vec<NameProblem>) {
        let (mut answers, mut problems) = (NameAnswers::new(), Vec::new());
        let mut waiting = names.into_iter();
        let mut running = JoinSet::new();
        loop {
            while running.len() < AT_ONCE {
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

    /// Looks names in use up again where it is time; the answer holds their addresses.
    pub(crate) async fn refresh(self: &Arc<Self>, used: &BTreeSet<String>) -> NameAnswers {
        let now = self.clock.now().monotonic;
        let Some(resolver) = self.resolver() else { return NameAnswers::new() };
        let due = {
            let mut kept = self.lock();
            kept.retain(|name, kept| kept.until > now || used.contains(name));
            let is_due =
                |name: &&String| kept.get(*name).is_none_or(|kept| kept.asked + resolver.interval(name) <= now);
            let due: BTreeSet<String> = used.iter().filter(is_due).cloned().collect();
            for name in &due {
                if let Some(kept) = kept.get_mut(name) {
                    kept.until = Duration::ZERO;
                }
            }
            due
        };
        self.resolve_all(due).await.0
    }

    /// Asks the Site's resolvers as if for the first time; no session sees the answer.
    pub(crate) async fn probe(&self, name: &str) -> Result<Resolved, ResolveError> {
        let Some(resolver) = self.resolver() else { return Err(ResolveError::ServersFailed) };
        resolver.resolve(name).await
    }

    /// What is known of a name now: its addresses, and why they may be old or missing. `None` before it was asked for.
    pub(crate) fn known(&self, name: &str) -> Option<(BTreeSet<IpAddr>, Option<ResolveError>)> {
        let kept = self.lock();
        let kept = kept.get(name)?;
        Some(match &kept.answer {
            Ok(addresses) => (addresses.clone(), kept.failure),
            Err(error) => (BTreeSet::new(), Some(*error)),
        })
    }

    async fn ask(&self, name: &str) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let Some(resolver) = self.resolver() else { return Err(ResolveError::ServersFailed) };
        let outcome = resolver.resolve(name).await;
        if outcome.as_ref().is_ok_and(|resolved| resolved.truncated) {
            tracing::warn!("A name has more addresses than are taken; the rest is dropped");
        }
        self.keep(name, outcome)
    }

    fn keep(&self, name: &str, outcome: Result<Resolved, ResolveError>) -> Result<BTreeSet<IpAddr>, ResolveError> {
        let now = self.clock.now().monotonic;
        let mut kept = self.lock();
        let lingering = kept.get(name).filter(|kept| kept.answer.is_ok() && now < kept.answered + LINGER).cloned();
        let entry = match (outcome, lingering) {
            (Ok(resolved), _) => {
                let ttl = resolved.ttl.clamp(MIN_TTL, MAX_TTL);
                Kept { answer: Ok(resolved.addresses), until: now + ttl, answered: now, asked: now, failure: None }
            }
            (Err(error @ (ResolveError::NoAnswer | ResolveError::ServersFailed)), Some(old)) => {
                Kept { until: now + MIN_TTL, asked: now, failure: Some(error), ..old }
            }
            (Err(error), _) => {
                Kept { answer: Err(error), until: now + NEGATIVE_TTL, answered: now, asked: now, failure: None }
            }
        };
        let answer = entry.answer.clone();
        if kept.len() < MAX_NAMES || kept.contains_key(name) {
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
}

/// Questions under way at once for one session.
const AT_ONCE: usize = 16;

/// Names remembered; beyond it names are asked for each time.
const MAX_NAMES: usize = 10_000;

/// Answers that want to be forgotten at once are still kept so long.
const MIN_TTL: Duration = Duration::from_secs(1);

const MAX_TTL: Duration = Duration::from_secs(3600);

/// How long "no" is remembered.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);

/// How long the last answer stands while servers fail.
const LINGER: Duration = Duration::from_secs(300);
