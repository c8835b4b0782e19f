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
    let used = [NAME.to_owned()].into();
    names.keep(NAME, resolved(1), &resolver).unwrap();
    assert_eq!(names.refresh(&used).await, NameAnswers::new(), "it is not due");
    names.keep(NAME, resolved(2), &resolver).unwrap();
    names.keep(NAME, resolved(2), &resolver).unwrap();
    assert_eq!(names.refresh(&used).await, [(NAME.to_owned(), addresses(2))].into());
    assert_eq!(names.refresh(&used).await, NameAnswers::new());
    names.keep(NAME, Err(ResolveError::NoSuchName), &resolver).unwrap_err();
    assert_eq!(names.refresh(&used).await, [(NAME.to_owned(), BTreeSet::new())].into());
}

#[tokio::test]
async fn servers_that_fail_leave_the_last_answer_and_those_that_deny_do_not() {
    let (names, _, resolver) = names();
    names.keep(NAME, resolved(1), &resolver).unwrap();
    assert_eq!(names.keep(NAME, Err(ResolveError::NoAnswer), &resolver), Ok(addresses(1)));
    let known = names.known(NAME).unwrap();
    assert_eq!((known.addresses, known.error), (addresses(1), Some(ResolveError::NoAnswer)));
    assert_eq!(names.keep(NAME, Err(ResolveError::NoSuchName), &resolver), Err(ResolveError::NoSuchName));
}

#[tokio::test]
async fn answers_of_a_resolver_that_was_replaced_are_not_kept() {
    let (names, _, older) = names();
    *names.resolver.lock().unwrap() = Some(Arc::new(Told::default()));
    names.keep(NAME, resolved(1), &older).unwrap();
    assert!(names.known(NAME).is_none());
}

#[tokio::test]
async fn the_newest_answer_of_a_rotating_name_is_tried_first() {
    let (names, _, resolver) = names();
    for host in [2, 1, 2] {
        names.keep(NAME, resolved(host), &resolver).unwrap();
    }
    let standing = names.known(NAME).unwrap().addresses;
    let order = names.newest_first(NAME, standing);
    assert_eq!(order, [2, 1].map(|host| IpAddr::from([10, 0, 0, host])));
}
