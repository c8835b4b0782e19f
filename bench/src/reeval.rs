//! How long it takes until what a re-evaluation of very many sessions turns false is cut, and whether anybody has to wait for it.
//!
//! A gateway runs inside this process. Every session is admitted with signed tokens, opens a flow to a real TCP service, and so
//! has its three conditions asked: one of its claims alone, one of claims and the time, one of claims and a fact that is
//! fetched over HTTP and kept in the scripts' cache for a second. Then the fact changes for one team in ten, and the controller
//! asks for everybody to be evaluated again. Flows of that team, and as many of others, are open meanwhile.

mod controller;
mod memory;
mod servers;
mod sessions;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use engine::{
    id::{ApplianceId, EntitlementId, SiteId},
    token::SigningKey,
};
use gateway::{GatewayConfig, Seed};
use protocol::object::ObjectKind;
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use sandbox::WorkerCommand;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};
use uuid::Uuid;

use crate::{
    Args,
    report::{Report, millis, percentile},
};
use controller::{Controller, Facts};
use servers::{Fact, Services};
use sessions::{Flow, Maker, Session, SharedMaker, User, entitlement};

pub use servers::{SERVICES, serve};

/// Runs the bench.
pub async fn run(args: &Args, report: &mut Report) -> Result<()> {
    let count = args.sessions.unwrap_or(if args.quick { QUICK_SESSIONS } else { SESSIONS }).max(TEAMS * DEVICES);
    let directory = tempfile::tempdir()?;
    let services = Services::start()?;
    let fact = Fact::start().await?;
    let (maker, controller) = start_gateway(args, directory.path(), (&services, &fact), count).await?;
    let before = resident()?;
    let began = Instant::now();
    let crowd = crowd(&maker, count, report).await?;
    let took = began.elapsed();
    report.note(format!(
        "reeval: {count} sessions of {} users (as many claim sets), 3 conditions each, in one gateway inside this process; {} flows of the team that is blocked and {} of others are open",
        count / DEVICES,
        crowd.flipping.len(),
        crowd.staying.len()
    ));
    report.note(
        "real: tokens verified, rules, conditions in the sandbox with its workers and HTTP, flows to TCP services in a process of their own, the controller's watch stream over QUIC".to_owned(),
    );
    report.note("not real: connections of clients are pipes in memory, the controller is played".to_owned());
    report.add("sessions", "per_second", count as f64 / took.as_secs_f64(), "/s");
    let grown = resident()?.saturating_sub(before);
    report.add("sessions", "memory", grown as f64 / count as f64 / 1024.0, "KiB");
    let gate = Gate { maker, controller, fact };
    gate.measure(crowd, count, report).await
}

/// Everybody's sessions, and the flows that stay open.
struct Crowd {
    _sessions: Vec<Session>,
    flipping: Vec<Flow>,
    staying: Vec<Flow>,
}

async fn crowd(maker: &SharedMaker, count: usize, report: &Report) -> Result<Crowd> {
    let mut crowd = Crowd { _sessions: Vec::with_capacity(count), flipping: Vec::new(), staying: Vec::new() };
    let most_staying = (count / TEAMS).min(MOST_STAYING);
    let mut waiting = JoinSet::new();
    for number in 0..count {
        if waiting.len() >= AT_ONCE {
            keep(&mut crowd, waiting.join_next().await.context("no session under way")??, most_staying)?;
        }
        if number > 0 && number % 20_000 == 0 {
            report.progress(&format!("{number} sessions are up"));
        }
        let (maker, user) = (maker.clone(), member(number));
        waiting.spawn(async move {
            let session = maker.admit(&user).await?;
            let flow = session.flow(maker.service(number)?).await?;
            anyhow::Ok((user.team, session, flow))
        });
    }
    while let Some(made) = waiting.join_next().await {
        keep(&mut crowd, made?, most_staying)?;
    }
    Ok(crowd)
}

fn keep(crowd: &mut Crowd, made: Result<(usize, Session, Flow)>, most_staying: usize) -> Result<()> {
    let (team, session, flow) = made?;
    crowd._sessions.push(session);
    if team == BLOCKED_TEAM {
        crowd.flipping.push(flow);
    } else if crowd.staying.len() < most_staying {
        crowd.staying.push(flow);
    }
    Ok(())
}

/// Session `number` of the crowd: a user has several devices, a team many users.
fn member(number: usize) -> User {
    let user = number / DEVICES;
    User { name: format!("user-{user}"), provider: "local", team: user % TEAMS, device: number as u128 + 1 }
}

struct Gate {
    maker: SharedMaker,
    controller: Controller,
    fact: Fact,
}

impl Gate {
    async fn measure(&self, mut crowd: Crowd, count: usize, report: &mut Report) -> Result<()> {
        report.progress("measuring revocations and new sessions alone");
        let mut alone = Beside::default();
        let guests = self.guests("alone").await?;
        for guest in guests {
            self.disturb(guest, &mut alone).await?;
        }
        let guests = self.guests("wave").await?;
        self.fact.block(BLOCKED_TEAM);
        tokio::time::sleep(STALE).await;
        let (asked, evaluated) = (self.fact.asked(), self.evaluated().await?);
        report.progress("evaluating everybody again");
        let sent = Instant::now();
        self.controller.reevaluate("OU=local")?;
        let mut beside = Beside::default();
        for guest in guests {
            self.disturb(guest, &mut beside).await?;
        }
        let wanted = evaluated + count as u64 * CONDITIONS;
        let done = self.wait_until(sent, wanted, &crowd).await?;
        let took = done.saturating_duration_since(sent).as_secs_f64();
        self.report_wave(report, &mut crowd, sent).await?;
        report.add("wave", "evaluations", (count as u64 * CONDITIONS) as f64, "");
        report.add("wave", "took", took, "s");
        report.add("wave", "per_second", (count as u64 * CONDITIONS) as f64 / took, "/s");
        report.add("wave", "http-calls", (self.fact.asked() - asked) as f64, "");
        alone.report("alone", report);
        beside.report("wave", report);
        Ok(())
    }

    /// Waits until every condition was asked and every flow that is to be cut is; answers when that was seen.
    async fn wait_until(&self, sent: Instant, wanted: u64, crowd: &Crowd) -> Result<Instant> {
        loop {
            let evaluated = self.evaluated().await?;
            let open = crowd.flipping.iter().filter(|flow| flow.cut_at().is_none()).count();
            let now = Instant::now();
            if evaluated >= wanted && open == 0 {
                return Ok(now);
            }
            if sent.elapsed() > LONGEST {
                bail!(
                    "after {} s {open} flows are not cut, {evaluated} of {wanted} evaluations done",
                    LONGEST.as_secs()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn report_wave(&self, report: &mut Report, crowd: &mut Crowd, sent: Instant) -> Result<()> {
        let cuts = crowd.flipping.iter().filter_map(Flow::cut_at);
        let mut cuts: Vec<Duration> = cuts.map(|cut| cut.saturating_duration_since(sent)).collect();
        for (metric, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            report.add("cut", metric, millis(percentile(&mut cuts, share)), "ms");
        }
        let mut lost = 0;
        for flow in &mut crowd.staying {
            lost += u32::from(!flow.answers().await);
        }
        report.add("cut", "cut", cuts.len() as f64, "");
        report.add("cut", "others-lost", f64::from(lost), "");
        report.verdict("flows of others go on".to_owned(), lost == 0);
        Ok(())
    }

    /// Sessions of others that are to be revoked, each with a flow.
    async fn guests(&self, when: &str) -> Result<Vec<(User, Session, Flow)>> {
        let mut guests = Vec::new();
        for number in 0..GUESTS {
            let name = format!("{when}-{number}");
            let user = User { name, provider: "others", team: 0, device: u128::MAX - number as u128 };
            let session = self.maker.admit(&user).await?;
            let flow = session.flow(self.maker.service(number)?).await?;
            guests.push((user, session, flow));
        }
        Ok(guests)
    }

    /// Revokes one, and takes in another.
    async fn disturb(&self, (user, _session, flow): (User, Session, Flow), beside: &mut Beside) -> Result<()> {
        tokio::time::sleep(BETWEEN).await;
        let began = Instant::now();
        self.controller.revoke(&format!("CN={},OU=others", user.name))?;
        let new = User { name: format!("{}-again", user.name), device: user.device - (1 << 64), ..user };
        let session = self.maker.admit(&new).await?;
        beside.admitted.push(began.elapsed());
        let _flow = session.flow(self.maker.service(0)?).await?;
        beside.opened.push(began.elapsed());
        while flow.cut_at().is_none() {
            if began.elapsed() > LONGEST {
                bail!("a revoked flow was never cut");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        beside.revoked.extend(flow.cut_at().map(|cut| cut.saturating_duration_since(began)));
        Ok(())
    }

    /// How many runs of conditions the gateway counted.
    async fn evaluated(&self) -> Result<u64> {
        let address = self.maker.gateway.metrics_address.context("the gateway shows no counters")?;
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(COUNTER)).context("the gateway counts no conditions")?;
        Ok(line.trim().parse()?)
    }
}

/// What happened to others.
#[derive(Default)]
struct Beside {
    revoked: Vec<Duration>,
    admitted: Vec<Duration>,
    opened: Vec<Duration>,
}

impl Beside {
    fn report(&mut self, when: &str, report: &mut Report) {
        let cases = [("revoke", &mut self.revoked), ("admit", &mut self.admitted), ("first-flow", &mut self.opened)];
        for (case, samples) in cases {
            for (metric, share) in [("p50", 0.5), ("max", 1.0)] {
                report.add(&format!("{case}/{when}"), metric, millis(percentile(samples, share)), "ms");
            }
        }
    }
}

async fn start_gateway(
    args: &Args,
    directory: &std::path::Path,
    (services, fact): (&Services, &Fact),
    count: usize,
) -> Result<(SharedMaker, Controller)> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no key could be made")?;
    let signing = SigningKey::from_pkcs8(document.as_ref())?;
    let (collective, site) = (Uuid::new_v4(), SiteId::new(Uuid::new_v4()));
    let held = EntitlementId::new(Uuid::new_v4());
    let mut objects = vec![(ObjectKind::Site, json!({ "id": site, "name": "bench" }))];
    let mut conditions = Vec::new();
    for (name, expression) in scripts(fact) {
        let id = Uuid::new_v4();
        conditions.push(id);
        objects.push((ObjectKind::Condition, json!({ "id": id, "name": name, "expression": expression })));
    }
    objects.push((ObjectKind::Entitlement, entitlement(held, site, &conditions, &services.addresses)));
    let appliance = ApplianceId::new(Uuid::new_v4());
    let controller = Controller::start(Facts { collective, appliance, site, signing_key: signing.public(), objects })?;
    let seed: Seed = controller.seed().parse()?;
    let mut config = GatewayConfig::new(directory.join("gateway"), "127.0.0.1:0".parse()?);
    config.seed = Some(seed);
    config.dial_allow = vec!["127.0.0.0/8".parse()?];
    config.script_networks = vec!["127.0.0.0/8".parse()?];
    config.metrics_listen = Some("127.0.0.1:0".parse()?);
    config.limits.sessions = count + 4 * GUESTS;
    let worker = WorkerCommand { program: args.program.clone(), args: vec!["script-worker".into()] };
    let gateway = gateway::start(config, worker).await?;
    gateway.ready().await;
    let services = services.addresses.clone();
    let maker = Maker { gateway, signing, collective, site, entitlement: held, services };
    Ok((Arc::new(maker), controller))
}

/// The conditions, as people write them.
fn scripts(fact: &Fact) -> [(&'static str, String); 3] {
    let blocked = format!(
        "var blocked = cache.getIfPresent('blocked');\n\
         if (blocked === null) {{\n\
           blocked = JSON.parse(httpGet('http://{}/blocked', null, 2000).data);\n\
           cache.put('blocked', blocked, 1);\n\
         }}\n\
         return blocked.indexOf(claims.user.team) < 0;",
        fact.address
    );
    let hours = "var hour = new Date().getUTCHours();\n\
        return claims.user.team !== 'night shift' || hour < 6 || hour >= 22;";
    let healthy = "return claims.device.isFirewallEnabled === true && claims.user.groups.indexOf('CN=staff,OU=groups,DC=example') >= 0;";
    [("healthy", healthy.to_owned()), ("working hours", hours.to_owned()), ("not blocked", blocked)]
}

/// Bytes of memory this process has.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).context("no memory figure")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

const SESSIONS: usize = 100_000;

const QUICK_SESSIONS: usize = 2_000;

/// Sessions of one user.
const DEVICES: usize = 10;

const TEAMS: usize = 10;

const BLOCKED_TEAM: usize = 7;

/// Each session's conditions.
const CONDITIONS: u64 = 3;

/// Sessions made at the same time.
const AT_ONCE: usize = 64;

/// Open flows of others: with those of the blocked team they stay below the files a process may have.
const MOST_STAYING: usize = 5_000;

/// Sessions that are revoked, and others that begin, alone and beside the wave.
const GUESTS: usize = 10;

/// Between one and the next.
const BETWEEN: Duration = Duration::from_millis(20);

/// Longer than the scripts keep the fact.
const STALE: Duration = Duration::from_millis(1500);

const LONGEST: Duration = Duration::from_secs(120);

/// How often the end of the wave is looked for.
const LOOK: Duration = Duration::from_millis(20);

const COUNTER: &str = "gw_session_js_exectime{type=\"condition\",measure=\"count\"}";
