//! What is remembered of names, without any server.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::resolver::ResolverFuture;

/// Answers when it is told to.
#[derive(Default)]
struct Told {
    asked: AtomicUsize,
    now: Notify,
}

impl Resolver for Told {
    fn resolve<'a>(&'a self, _: &'a str) -> ResolverFuture<'a> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.now.notified().await;
            resolved(1)
        })
    }

    fn interval(&self, _: &str) -> Duration {
        Duration::from_secs(3600)
    }
}

fn addresses(host: u8) -> BTreeSet<IpAddr> {
    [IpAddr::from([10, 0, 0, host])].into()
}

fn resolved(host: u8) -> Result<Resolved, ResolveError> {
    Resolved::new(addresses(host), Duration::from_secs(60))
}

fn names() -> (Arc<Names>, Arc<Told>, Arc<dyn Resolver>) {
    let names = Arc::new(Names::new(Clock::start(), PathBuf::new()));
    let told = Arc::new(Told::default());
    let resolver: Arc<dyn Resolver> = told.clone();
    *names.resolver.lock().unwrap() = Some(resolver.clone());
    (names, told, resolver)
}

const NAME: &str = "db.corp.example";

#[tokio::test]
async fn however_many_ask_at_once_the_servers_are_asked_once() {
    let (names, told, _) = names();
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let names = names.clone();
        asking.spawn(async move { names.resolve(NAME).await });
    }
    while told.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    told.now.notify_one();
    assert!(asking.join_all().await.into_iter().all(|answer| answer == Ok(addresses(1))));
    assert_eq!(told.asked.load(Ordering::SeqCst), 1);
    assert_eq!(names.resolve(NAME).await, Ok(addresses(1)), "it is remembered");
    assert!(names.asking().is_empty());
}

#[tokio::test]
async fn whoever_gives_up_takes_no_answer_from_the_others() {
    let (names, told, _) = names();
    let (first, second) = (names.clone(), names.clone());
    let first = tokio::spawn(async move { first.resolve(NAME).await });
    let second = tokio::spawn(async move { second.resolve(NAME).await });
    while told.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    told.now.notify_one();
    told.now.notify_waiters();
    while !second.is_finished() {
        told.now.notify_one();
        tokio::task::yield_now().await;
    }
    assert_eq!(second.await.unwrap(), Ok(addresses(1)));
}

#[tokio::test]
async fn what_anybody_hears_is_news_to_sessions_once() {
    let (names, _, resolver) = names();
    let used: BTreeSet<String> = [NAME.to_owned()].into();
    names.keep((NAME, Use::Rules), resolved(1), &resolver).unwrap();
    assert_eq!(names.refresh(used.clone()).await, NameAnswers::new(), "it is not due");
    names.keep((NAME, Use::Rules), resolved(2), &resolver).unwrap();
    names.keep((NAME, Use::Rules), resolved(2), &resolver).unwrap();
    assert_eq!(names.refresh(used.clone()).await, [(NAME.to_owned(), addresses(2))].into());
    assert_eq!(names.refresh(used.clone()).await, NameAnswers::new());
    names.keep((NAME, Use::Rules), Err(ResolveError::NoSuchName), &resolver).unwrap_err();
    assert_eq!(names.refresh(used.clone()).await, [(NAME.to_owned(), BTreeSet::new())].into());
}

#[tokio::test]
async fn servers_that_fail_leave_the_last_answer_and_those_that_deny_do_not() {
    let (names, _, resolver) = names();
    names.keep((NAME, Use::Rules), resolved(1), &resolver).unwrap();
    assert_eq!(names.keep((NAME, Use::Rules), Err(ResolveError::NoAnswer), &resolver), Ok(addresses(1)));
    let known = names.known(NAME).unwrap();
    assert_eq!((known.addresses, known.error), (addresses(1), Some(ResolveError::NoAnswer)));
    assert_eq!(names.keep((NAME, Use::Rules), Err(ResolveError::NoSuchName), &resolver), Err(ResolveError::NoSuchName));
}

#[tokio::test]
async fn answers_of_a_resolver_that_was_replaced_are_not_kept() {
    let (names, _, older) = names();
    *names.resolver.lock().unwrap() = Some(Arc::new(Told::default()));
    names.keep((NAME, Use::Rules), resolved(1), &older).unwrap();
    assert!(names.known(NAME).is_none());
}

#[tokio::test]
async fn the_newest_answer_of_a_rotating_name_is_tried_first() {
    let (names, _, resolver) = names();
    for host in [2, 1, 2] {
        names.keep((NAME, Use::Rules), resolved(host), &resolver).unwrap();
    }
    let standing = names.known(NAME).unwrap().addresses;
    let order = names.newest_first(NAME, standing);
    assert_eq!(order, [2, 1].map(|host| IpAddr::from([10, 0, 0, host])));
}

fn name(number: usize) -> String {
    format!("{number}.corp.example")
}

/// Answers with so many addresses of a network of its own.
fn many(number: usize, count: usize) -> Result<Resolved, ResolveError> {
    let network = 0x0a00_0000 + u32::try_from(number * 10_000).unwrap();
    let hosts = (network..).take(count).map(|host| IpAddr::from(host.to_be_bytes()));
    Resolved::new(hosts, Duration::from_secs(3600))
}

#[tokio::test]
async fn names_without_rules_have_a_small_place_of_their_own() {
    let (names, told, resolver) = names();
    names.keep((NAME, Use::Rules), resolved(1), &resolver).unwrap();
    for number in 0..2_000 {
        let answer = names.keep((&name(number), Use::Flow), many(number, 10_000), &resolver);
        assert_eq!(answer.unwrap().len(), 10_000, "whoever asked gets it all");
    }
    let remembered = |number| {
        let now = names.clock.now().monotonic;
        names.lock().passing(&name(number), now).map(|answer| answer.unwrap().len())
    };
    assert_eq!((0..2_000).filter_map(remembered).collect::<Vec<_>>(), vec![16; memory::MAX_PASSING]);
    let later = names.clock.now().monotonic + Duration::from_secs(60);
    assert!((0..2_000).all(|number| names.lock().passing(&name(number), later).is_none()), "for a minute at most");
    assert_eq!(names.resolve(NAME).await, Ok(addresses(1)));
    assert_eq!(told.asked.load(Ordering::SeqCst), 0, "names in rules are not pushed out");
}

#[tokio::test]
async fn names_in_rules_get_the_places_of_those_that_are_not() {
    let (names, _, resolver) = names();
    for number in 0..memory::MAX_NAMES {
        names.keep((&name(number), Use::Rules), resolved(1), &resolver).unwrap();
    }
    let used: BTreeSet<String> = (0..10).map(name).collect();
    names.refresh(used).await;
    names.keep((NAME, Use::Rules), resolved(1), &resolver).unwrap();
    let known = |number: &usize| names.known(&name(*number)).is_some();
    assert_eq!((0..memory::MAX_NAMES).filter(known).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn names_in_rules_beyond_the_bound_lose_their_addresses() {
    let (names, _, resolver) = names();
    for number in 0..memory::MAX_NAMES {
        names.keep((&name(number), Use::Rules), resolved(1), &resolver).unwrap();
    }
    let mut used: BTreeSet<String> = (0..memory::MAX_NAMES).map(name).collect();
    used.insert(NAME.to_owned());
    assert_eq!(names.refresh(used).await, [(NAME.to_owned(), BTreeSet::new())].into());
    assert_eq!(names.keep((NAME, Use::Rules), resolved(1), &resolver), Err(ResolveError::TooMany));
}

#[tokio::test]
async fn addresses_in_rules_are_bounded_together() {
    let (names, _, resolver) = names();
    let each = 10_000;
    // In force and in the newest answer.
    let fit = memory::MAX_KEPT_ADDRESSES / (2 * each);
    let used: BTreeSet<String> = (0..=fit).map(name).collect();
    for number in 0..fit {
        names.keep((&name(number), Use::Rules), many(number, each), &resolver).unwrap();
    }
    names.lock().due(used, |_| Duration::MAX / 4, (0, Duration::ZERO));
    let last = name(fit);
    assert_eq!(names.keep((&last, Use::Rules), many(fit, each), &resolver), Err(ResolveError::TooMany));
    assert_eq!(names.known(&last).unwrap().error, Some(ResolveError::TooMany));
    assert_eq!(names.known(&name(0)).unwrap().addresses.len(), each);
    // A name that grows beyond what is left loses the addresses it had.
    assert_eq!(
        names.keep((&last, Use::Rules), Err(ResolveError::NoSuchName), &resolver),
        Err(ResolveError::NoSuchName)
    );
    names.keep((&name(0), Use::Rules), many(0, each - 10), &resolver).unwrap();
    names.keep((&last, Use::Rules), resolved(1), &resolver).unwrap();
    assert_eq!(names.keep((&last, Use::Rules), many(fit, each), &resolver), Err(ResolveError::TooMany));
    assert_eq!(names.lock().news().remove(&last), Some(BTreeSet::new()));
}

#[tokio::test]
async fn every_name_gets_its_turn_whatever_becomes_of_the_others() {
    let (names, _, resolver) = names();
    let (kept, all, most) = (3 * MOST_DUE, 8 * MOST_DUE, MOST_DUE);
    for number in 0..kept {
        names.keep((&name(number), Use::Rules), resolved(1), &resolver).unwrap();
    }
    let used: BTreeSet<String> = (0..all).map(name).collect();
    let mut asked = BTreeSet::new();
    for round in 1..=all / most {
        let now = names.clock.now().monotonic;
        let due = names.lock().due(used.clone(), |_| Duration::ZERO, (most, now));
        assert_eq!((due.names.len(), due.refused.len()), (most, 0));
        let known = due.names.iter().filter(|name| names.known(name).is_some()).count();
        assert!(known >= most / 2, "round {round}: names without an entry do not hold up the others");
        for name in &due.names {
            // Half of the servers never answer.
            let outcome = if name.len() % 2 == 0 { Err(ResolveError::NoAnswer) } else { resolved(2) };
            let _ = names.keep((name, Use::Rules), outcome, &resolver);
        }
        asked.extend(due.names);
    }
    let left = (0..kept).filter(|number| !asked.contains(&name(*number))).count();
    assert_eq!(left, 0, "whoever was asked longest ago is asked first");
}
