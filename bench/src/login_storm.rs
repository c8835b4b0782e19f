//! Whether those who are signed in notice that a thousand others sign in at once.
//!
//! The storm: every user signs in with a password and is authorized, and a user-claim script of the identity provider asks an
//! HTTP server for the groups of each, which answers after two seconds. Beside it others, for whom the same script calls
//! nobody, are authorized at a fixed rate; each of those is timed from the moment it was due, so that what queues is seen.
//! They are measured before, in and after the storm.
//!
//! The storm's clients and its HTTP server run at low priority, because they stand for other machines; those that are
//! timed run on a thread of their own.

mod slow;
mod steady;

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::quic::Dialer;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    Args,
    report::{Report, median, millis, percentile},
    session::{Door, Refused},
    world::{ALWAYS, DEFAULT_SITE, World},
};
use slow::SlowServer;
use steady::{Measured, Steady};

/// Runs the bench.
pub fn run(args: &Args, report: &mut Report) -> Result<()> {
    let crowd = crowd()?;
    let watchers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let server = crowd.block_on(SlowServer::start(ANSWER_AFTER))?;
    let users = if args.quick { QUICK_USERS } else { USERS };
    let seconds = Duration::from_secs(args.seconds.unwrap_or(if args.quick { 3 } else { SECONDS }).max(1));
    let world = watchers.block_on(async {
        let mut world = World::start(&args.program).await?;
        world.add_gateway().await?;
        configure(&world, &server, users, report).await?;
        anyhow::Ok(world)
    })?;
    let steady = watchers.block_on(Steady::sign_in(&world))?;
    let mut rounds = Vec::new();
    for round in 1..=args.runs {
        report.progress(&format!("round {round} of {}: alone, storm, alone", args.runs));
        rounds.push(one_round(&world, (&crowd, &watchers), &steady, Plan { round, users, seconds })?);
    }
    report.note(format!(
        "login-storm: {users} users begin to sign in within {} s, with password and authorization; a user-claim script waits {} s on HTTP for each",
        ARRIVALS.as_secs(),
        ANSWER_AFTER.as_secs()
    ));
    report.note(format!(
        "beside them {} authorizations/s of others, timed from when they were due; alone {} s before and after; median of {} rounds",
        steady::PER_SECOND,
        seconds.as_secs(),
        args.runs
    ));
    report.note(
        "real: controller process, QUIC, passwords, script workers, HTTP, store; clients share the machine, the storm's at low priority".to_owned(),
    );
    print(&rounds, report);
    Ok(())
}

fn print(rounds: &[Round], report: &mut Report) {
    let middle = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    for (metric, place) in [("p50", 0), ("p99", 1), ("max", 2)] {
        report.add("authorize/alone", metric, middle(&|round| round.alone[place]), "ms");
    }
    for (metric, place) in [("p50", 0), ("p99", 1), ("max", 2)] {
        report.add("authorize/storm", metric, middle(&|round| round.storm[place]), "ms");
    }
    let ratio = middle(&|round| round.storm[1] / round.alone[1]);
    report.add("authorize/storm", "p99-ratio", ratio, "x");
    let refused: f64 = rounds.iter().map(|round| round.refused).sum();
    report.add("authorize/storm", "refused", refused, "");
    report.add("storm", "per_second", middle(&|round| round.users / round.took.as_secs_f64()), "/s");
    report.add("storm", "all-in", middle(&|round| round.took.as_secs_f64()), "s");
    report.add("storm", "p50", middle(&|round| round.each[0]), "ms");
    report.add("storm", "p99", middle(&|round| round.each[1]), "ms");
    report.add("storm", "told-busy", middle(&|round| round.busy), "");
    let lost: f64 = rounds.iter().map(|round| round.without_answer).sum();
    report.add("storm", "no-answer", lost, "");
    report.verdict(format!("p99 in the storm is at most 2 x that alone: {ratio:.2} x"), ratio <= 2.0);
    report.verdict("no authorization was refused".to_owned(), refused == 0.0);
    report.verdict("every script of the storm got its answer".to_owned(), lost == 0.0);
}

#[derive(Clone, Copy)]
struct Plan {
    round: u32,
    users: u32,
    seconds: Duration,
}

/// Figures of one round; times in milliseconds: p50, p99 and the longest.
struct Round {
    alone: [f64; 3],
    storm: [f64; 3],
    /// Authorizations that failed.
    refused: f64,
    each: [f64; 3],
    users: f64,
    took: Duration,
    busy: f64,
    without_answer: f64,
}

fn one_round(
    world: &World,
    (crowd, watchers): (&Runtime, &Runtime),
    steady: &Arc<Steady>,
    plan: Plan,
) -> Result<Round> {
    let for_a_while = || {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        watchers.block_on(async {
            let measured = tokio::spawn(steady.clone().measure(over));
            tokio::time::sleep(plan.seconds).await;
            ends.store(true, Ordering::Relaxed);
            measured.await?
        })
    };
    let mut alone = for_a_while()?;
    let over = Arc::new(AtomicBool::new(false));
    let measured = watchers.spawn(steady.clone().measure(over.clone()));
    let storm = crowd.block_on(storm(world, plan));
    over.store(true, Ordering::Relaxed);
    let in_storm = watchers.block_on(measured)??;
    let storm = storm?;
    // What the storm left behind, such as workers that linger, is not the machine alone.
    std::thread::sleep(CALM);
    let Measured { samples, refused } = for_a_while()?;
    alone.samples.extend(samples);
    Ok(Round {
        refused: (alone.refused + in_storm.refused + refused) as f64,
        alone: three(alone.samples),
        storm: three(in_storm.samples),
        users: storm.each.len() as f64,
        each: three(storm.each),
        took: storm.took,
        busy: storm.busy as f64,
        without_answer: storm.without_answer as f64,
    })
}

fn three(mut samples: Vec<Duration>) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|share| millis(percentile(&mut samples, share)))
}

/// What came of a storm.
struct Storm {
    took: Duration,
    each: Vec<Duration>,
    busy: u64,
    without_answer: u64,
}

async fn storm(world: &World, plan: Plan) -> Result<Storm> {
    let mut doors = Vec::new();
    for place in 0..PLACES {
        let dialer = Dialer::bind((Ipv4Addr::new(127, 0, 2, place), 0).into())?;
        doors.push(Door { dialer, controller: world.client_address, pin: world.pin });
    }
    let busy = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for user in 0..plan.users {
        let door = doors.get(user as usize % doors.len()).context("no place to sign in from")?.clone();
        let due = started + ARRIVALS.mul_f64(f64::from(user) / f64::from(plan.users));
        clients.spawn(one_of_the_storm(door, Client { user, round: plan.round, due }, busy.clone()));
    }
    let (mut each, mut without_answer) = (Vec::new(), 0);
    while let Some(done) = clients.join_next().await {
        let (took, answered) = done??;
        each.push(took);
        without_answer += u64::from(!answered);
    }
    Ok(Storm { took: started.elapsed(), each, busy: busy.load(Ordering::Relaxed), without_answer })
}

struct Client {
    user: u32,
    round: u32,
    due: Instant,
}

/// Signs in and is authorized, coming back when told to. Answers how long that took and whether the groups were there.
async fn one_of_the_storm(door: Door, client: Client, busy: Arc<AtomicU64>) -> Result<(Duration, bool)> {
    tokio::time::sleep_until(client.due.into()).await;
    let device = (u128::from(client.round) << 32) | (u128::from(client.user) + 1);
    let name = storm_user(client.user);
    let session = patiently(client.due, &busy, || door.sign_in(&name, PASSWORD, device)).await?;
    let authorized = patiently(client.due, &busy, || session.authorize()).await?;
    let held = authorized.sites.iter().flat_map(|site| &site.entitlements);
    Ok((client.due.elapsed(), held.into_iter().any(|name| name == STAFF_ACCESS)))
}

/// Tries again when told that there are too many, as clients do.
async fn patiently<T, F: Future<Output = Result<T>>>(
    since: Instant,
    busy: &AtomicU64,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let wait = error.downcast_ref::<Refused>().and_then(|refused| refused.0.retry_after_secs);
        let Some(wait) = wait else { return Err(error) };
        if since.elapsed() > LONGEST {
            return Err(error).context("did not get in");
        }
        busy.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(wait.min(60))).await;
    }
}

/// A runtime at low priority.
fn crowd() -> Result<Runtime> {
    let lower = || {
        // A thread that keeps its priority only makes the load heavier.
        let _ = rustix::process::setpriority_process(None, NICE);
    };
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).on_thread_start(lower).enable_all().build()?)
}

/// The users, policies as the vendor's criteria builder writes them with one that only a worker can run, and the script.
async fn configure(world: &World, server: &SlowServer, users: u32, report: &Report) -> Result<()> {
    let admin = &world.admin;
    let policy = async |name: String, expression: String, entitlement: &str| {
        let actions = json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["10.0.0.1"], "ports": ["443"] }]);
        let held = json!({ "name": entitlement, "site": DEFAULT_SITE, "conditions": [ALWAYS], "actions": actions });
        let held = admin.post("entitlements", &held).await?;
        let policy = json!({ "name": name, "expression": expression, "entitlements": [held["id"]] });
        admin.post("policies", &policy).await
    };
    for number in 0..POLICIES {
        let expression = format!(
            "//Generated by criteria builder, Operator: and\nvar result = false;\n\
             if/*claims.user.tags*/(claims.user.tags && claims.user.tags.indexOf('team-{number}') >= 0)/*end claims.user.tags*/ {{ result = true; }} else {{ return false; }}\n\
             return result;"
        );
        policy(format!("policy {number}"), expression, &format!("access {number}")).await?;
    }
    let with_a_loop = "var tags = claims.user.tags || []; \
        for (var i = 0; i < tags.length; i++) { if (tags[i] === 'team-0') { return true; } } return false;";
    policy("policy with a loop".to_owned(), with_a_loop.to_owned(), "loop access").await?;
    let staff =
        "var scripted = claims.user.agScripted; return !!scripted.groups && scripted.groups.indexOf('staff') >= 0;";
    policy("staff".to_owned(), staff.to_owned(), STAFF_ACCESS).await?;
    attach_script(world, server).await?;
    report.progress(&format!("making {users} users"));
    let mut waiting = JoinSet::new();
    let names = (0..users).map(storm_user).chain((0..steady::CLIENTS).map(steady::user));
    for name in names {
        if waiting.len() >= 8 {
            waiting.join_next().await.context("no user under way")???;
        }
        let admin = admin.clone();
        waiting.spawn(async move {
            let body = json!({ "name": name, "firstName": "Lo", "lastName": "Gin", "password": PASSWORD, "tags": ["team-0", "team-1"] });
            anyhow::Ok(admin.post("local-users", &body).await.map(drop)?)
        });
    }
    while let Some(made) = waiting.join_next().await {
        made??;
    }
    Ok(())
}

/// There is one provider of local users, so its script runs for everybody and calls only for some.
async fn attach_script(world: &World, server: &SlowServer) -> Result<()> {
    let admin = &world.admin;
    let expression = format!(
        "if (!claims.user.username.startsWith('storm-')) {{ return {{}}; }}\n\
         var answer = httpGet('http://{}/groups/' + claims.user.username);\n\
         return {{ groups: JSON.parse(answer.data) }};",
        server.address
    );
    let script = admin.post("user-scripts", &json!({ "name": "groups", "expression": expression })).await?;
    let providers = admin.get("identity-providers?name=local").await?;
    let local = providers["data"].as_array().into_iter().flatten().find(|provider| provider["name"] == "local");
    let Some(mut local) = local.cloned() else { bail!("there is no provider of local users") };
    local["userScripts"] = json!([script["id"]]);
    let id = local["id"].as_str().map(str::to_owned).context("the provider has no id")?;
    admin.put(&format!("identity-providers/{id}"), &local).await.map(|_: Value| ())
}

fn storm_user(number: u32) -> String {
    format!("storm-{number}")
}

const USERS: u32 = 1000;

const QUICK_USERS: u32 = 100;

/// Within this time everybody comes to sign in.
const ARRIVALS: Duration = Duration::from_secs(5);

/// How long the HTTP server takes.
const ANSWER_AFTER: Duration = Duration::from_secs(2);

/// Source addresses that the storm comes from.
const PLACES: u8 = 20;

/// Seconds alone, before and after.
const SECONDS: u64 = 6;

/// Between the storm and being alone again: longer than workers linger.
const CALM: Duration = Duration::from_secs(11);

/// Who is not in by then fails the bench.
const LONGEST: Duration = Duration::from_secs(180);

/// How far the priority of the storm's clients is lowered.
const NICE: i32 = 10;

const POLICIES: u32 = 10;

const STAFF_ACCESS: &str = "staff access";

const PASSWORD: &str = "bench-Password-1";
