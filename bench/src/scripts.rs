//! What one script run costs in each lane of the sandbox, beside other ways to run the same script on the same claims.
//!
//! Cost is processor time of everything that works for it: this process, all worker processes, what they do in between.
//! `warm/1` sends one script at a time with the claims of another user each time, `warm/100` a hundred scripts with one
//! user's claims. The peers marked `cached` call a compiled function and isolate nothing; they build a user's claims
//! once a call, as the sandbox does.
//!
//! A machine is not equally fast all the time, so the cases take turns: each is measured in [`ROUNDS`] rounds, the figures are medians over
//! the rounds, and what is compared is compared within a round.

mod meter;
mod mix;
mod peers;
mod ready;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use engine::script::ScriptKind;
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use sandbox::{Batch, Lane, LaneChoice, RunRecord, Sandbox, SandboxConfig, Script, WorkerCommand};
use serde_json::json;
use time::OffsetDateTime;
use tokio::runtime::Runtime;

use crate::{Args, report::Report};
use meter::{Case, Figures, Round, Tally};
use mix::Mix;
use peers::{BoaCached, BoaFresh, Peer, QuickJs, Verdicts};

/// Keeps this process, and those it starts, on one processor, for every case and peer alike.
///
/// With one request at a time, all others would idle, and waking an idle processor of a virtual machine costs more than a script;
/// under load, which is what the figures stand for, none idles. Call it before any thread is started.
pub fn stay_on_one_processor() -> Result<()> {
    let mut one = CpuSet::new();
    one.set(sched_getcpu()?)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
}

/// Runs the bench.
pub fn run(args: &Args, runtime: &Runtime, report: &mut Report) -> Result<()> {
    let length = Duration::from_secs(args.seconds.unwrap_or(SECONDS).max(1));
    let worker = WorkerCommand { program: args.program.clone(), args: vec!["script-worker".into()] };
    let sandbox =
        runtime.block_on(Sandbox::start(SandboxConfig::new(worker))).context("cannot start script workers")?;
    let mix = Arc::new(Mix::new());
    report.note(format!(
        "sandbox: {} s a case in {ROUNDS} rounds; {} scripts, {} users with {} bytes of claims each; claims are new with every call",
        length.as_secs(),
        mix.sources.len(),
        mix.claims.len(),
        mix.claims_bytes(),
    ));
    let place = if args.spread { "on all processors" } else { "everything on one processor" };
    report.note(place.to_owned());
    let bench = Bench { runtime, sandbox, mix, length };
    bench.all(report)?;
    ready::share(runtime, &bench.sandbox, report)?;
    runtime.block_on(bench.sandbox.stop());
    Ok(())
}

struct Bench<'a> {
    runtime: &'a Runtime,
    sandbox: Sandbox,
    mix: Arc<Mix>,
    length: Duration,
}

impl Bench<'_> {
    fn all(&self, report: &mut Report) -> Result<()> {
        let mix = &*self.mix;
        let expected = peers::verdicts(&mut BoaFresh(mix), mix)?;
        let natively = self.natively(report)?;
        thread::scope(|scope| {
            let (sandbox, expected) = (&self.sandbox, &expected);
            let cached = Peer::start(scope, |orders| orders.serve(&mut BoaCached::new(mix)?, mix, sandbox, expected));
            let bare = Peer::start(scope, |orders| orders.serve(&mut BoaFresh(mix), mix, sandbox, expected));
            let quickjs = Peer::start(scope, |orders| {
                let context = rquickjs::Context::full(&rquickjs::Runtime::new()?)?;
                context.with(|context| orders.serve(&mut QuickJs::new(mix, context)?, mix, sandbox, expected))
            });
            let scripts: Vec<usize> = (0..mix.sources.len()).collect();
            let lane = |lane, batch, picked: &[usize]| Who::Lane(self.load(lane, batch, picked.to_vec()));
            self.rounds(
                report,
                expected,
                [
                    ("boa-cached/1", Who::Peer(&cached, 1)),
                    ("warm/1", lane(Lane::Warm, 1, &scripts)),
                    ("boa-cached/100", Who::Peer(&cached, 100)),
                    ("warm/100", lane(Lane::Warm, 100, &scripts)),
                    ("boa-fresh/1", Who::Peer(&bare, 1)),
                    ("fresh/1", lane(Lane::Fresh, 1, &scripts)),
                    ("native/1", lane(Lane::Native, 1, &natively)),
                    ("native/100", lane(Lane::Native, 100, &natively)),
                    ("quickjs-cached/1", Who::Peer(&quickjs, 1)),
                    ("quickjs-cached/100", Who::Peer(&quickjs, 100)),
                ],
            )
        })?;
        self.node(report, &expected)
    }

    /// Measures the cases in turns and reports them.
    fn rounds<const N: usize>(
        &self,
        report: &mut Report,
        expected: &Verdicts,
        who: [(&str, Who<'_>); N],
    ) -> Result<()> {
        for (name, who) in &who {
            if let Who::Lane(load) = who {
                self.runtime.block_on(load.check(expected)).with_context(|| (*name).to_owned())?;
            }
        }
        let mut cases: BTreeMap<&str, Case> = BTreeMap::new();
        for number in 1..=ROUNDS {
            for (name, who) in &who {
                report.progress(&format!("round {number} of {ROUNDS}: {name}"));
                let round = match who {
                    Who::Peer(peer, batch) => peer.round(self.length / ROUNDS, *batch),
                    Who::Lane(load) => self.lane(load, self.length / ROUNDS),
                };
                cases.entry(name).or_default().add(&round.with_context(|| (*name).to_owned())?);
            }
        }
        let case = |name: &str| cases.get(name).context("a case that was not measured");
        for (name, _) in &who {
            let peer = name.replace("warm", "boa-cached").replace("fresh", "boa-fresh");
            let beside = cases.get(peer.as_str()).filter(|_| peer != *name).map(Case::figures);
            add(report, name, &case(name)?.figures(), beside.as_ref().map(|figures| (peer.as_str(), figures)));
        }
        bars(
            report,
            [case("warm/1")?, case("warm/100")?, case("fresh/1")?],
            case("boa-cached/100")?,
            case("boa-fresh/1")?,
        );
        Ok(())
    }

    /// One round of a lane, from a task, as the daemons use it.
    fn lane(&self, load: &Load, length: Duration) -> Result<Round> {
        let load = load.clone();
        self.runtime.block_on(self.runtime.spawn(async move { load.measure(length).await }))?
    }

    /// As many scripts as there are in the mix, all of which run in the native lane.
    fn natively(&self, report: &mut Report) -> Result<Vec<usize>> {
        let load = self.load(Lane::Native, 1, (0..self.mix.sources.len()).collect());
        let picked = self.runtime.block_on(load.ran_natively());
        report.note(format!("native: {} of {} scripts run there", picked.len(), self.mix.sources.len()));
        ensure!(!picked.is_empty(), "no script runs in the native lane");
        Ok(picked.iter().copied().cycle().take(self.mix.sources.len()).collect())
    }

    /// Node, in a process of its own, after all others.
    fn node(&self, report: &mut Report, expected: &Verdicts) -> Result<()> {
        report.progress("node-vm");
        match peers::node(&self.mix, self.length)? {
            Some(node) => {
                ensure!(node.verdicts == *expected, "Node decides otherwise");
                add(report, "node-vm/1", &node.single, None);
                add(report, "node-vm/100", &node.batch, None);
            }
            None => report.note("node is not installed: its vm module was not measured".to_owned()),
        }
        Ok(())
    }

    fn load(&self, lane: Lane, batch: usize, picked: Vec<usize>) -> Load {
        Load { sandbox: self.sandbox.clone(), mix: Arc::clone(&self.mix), lane, batch, picked }
    }
}

/// Who runs the mix.
enum Who<'a> {
    /// A peer, with so many scripts a call.
    Peer(&'a Peer, usize),
    Lane(Load),
}

/// Runs of the mix in one lane.
#[derive(Clone)]
struct Load {
    sandbox: Sandbox,
    mix: Arc<Mix>,
    lane: Lane,
    batch: usize,
    /// Which scripts, by their number in the mix.
    picked: Vec<usize>,
}

impl Load {
    async fn measure(&self, length: Duration) -> Result<Round> {
        let all = self.all();
        let mut tally = Tally::start(&self.sandbox, length, self.batch)?;
        for run in 0_usize.. {
            let (user, script) = self.mix.pick(run);
            let scripts = if self.batch == 1 { vec![all[script].clone()] } else { all.clone() };
            let batch = self.batch_of(user, scripts);
            let started = Instant::now();
            let records = self.sandbox.evaluate(batch).await;
            let goes_on = tally.call(started);
            if let Some(failed) = records.iter().find(|record| record.result.is_err()) {
                bail!("a run failed: {:?}", failed.result);
            }
            if !goes_on {
                break;
            }
        }
        tally.finish()
    }

    /// Everything is decided as by the others, and in the lane that is measured.
    async fn check(&self, expected: &Verdicts) -> Result<()> {
        for user in 0..self.mix.claims.len() {
            let records = self.sandbox.evaluate(self.batch_of(user, self.all())).await;
            for (RunRecord { script, result, lane, .. }, number) in records.iter().zip(&self.picked) {
                ensure!(*lane == self.lane, "`{script}` ran in the {lane} lane, not {}: {result:?}", self.lane);
                let verdict = expected.get(user * self.mix.sources.len() + number).context("no verdict")?;
                ensure!(
                    *result == Ok(json!(verdict)),
                    "`{script}` is decided otherwise in the {lane} lane: {result:?}"
                );
            }
        }
        Ok(())
    }

    /// Those of the scripts that run in the native lane for every user.
    async fn ran_natively(&self) -> Vec<usize> {
        let mut picked = self.picked.clone();
        for user in 0..self.mix.claims.len() {
            let records = self.sandbox.evaluate(self.batch_of(user, self.all())).await;
            let native = |number: &usize| {
                records.get(*number).is_some_and(|record| record.lane == Lane::Native && record.result.is_ok())
            };
            picked.retain(native);
        }
        picked
    }

    fn all(&self) -> Vec<Script> {
        let script = |number: &usize| Script {
            name: format!("policy {number}").into(),
            kind: ScriptKind::Policy,
            source: Arc::clone(&self.mix.sources[*number]),
        };
        self.picked.iter().map(script).collect()
    }

    fn batch_of(&self, user: usize, scripts: Vec<Script>) -> Batch {
        let claims = Arc::clone(&self.mix.claims[user]);
        let mut batch = Batch::new(claims, OffsetDateTime::now_utc(), scripts, Arc::new([]));
        batch.lane = LaneChoice::Only(self.lane);
        batch
    }
}

fn add(report: &mut Report, case: &str, figures: &Figures, beside: Option<(&str, &Figures)>) {
    match beside {
        Some((peer, theirs)) => {
            report.add_beside(case, "cpu_per_run", figures.cpu_per_run, "us", (peer, theirs.cpu_per_run));
        }
        None => report.add(case, "cpu_per_run", figures.cpu_per_run, "us"),
    }
    report.add(case, "p50", figures.p50, "us");
    report.add(case, "p99", figures.p99, "us");
}

/// The bounds the lanes are held to.
fn bars(report: &mut Report, [warm_1, warm_100, fresh_1]: [&Case; 3], cached_100: &Case, bare_1: &Case) {
    let over = warm_100.beside(cached_100, |ours, theirs| ours - theirs);
    report.add("warm/100", "cpu_over_boa_cached", over, "us");
    report.verdict(
        format!("warm/100 costs {over:.1} us more than a cached call; at most {OVER_CACHED} us"),
        over <= OVER_CACHED,
    );
    let single = warm_1.figures().cpu_per_run;
    report.verdict(format!("warm/1 costs {single:.1} us; at most {SINGLE} us"), single <= SINGLE);
    let times = fresh_1.beside(bare_1, |ours, theirs| ours / theirs);
    report.verdict(
        format!("fresh/1 costs {times:.2} times a bare new context; at most {TIMES_BARE}"),
        times <= TIMES_BARE,
    );
}

/// Turns in which a case is measured.
const ROUNDS: u32 = 10;

/// Seconds of one case, all rounds together.
const SECONDS: u64 = 60;

/// Microseconds that a script in a batch of a hundred may cost beyond a cached call without isolation.
const OVER_CACHED: f64 = 15.0;

/// Microseconds that a single warm run may cost.
const SINGLE: f64 = 80.0;

/// How many times a bare new context a fresh run may cost.
const TIMES_BARE: f64 = 1.5;
