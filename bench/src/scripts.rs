//! What one script run costs in each lane of the sandbox, beside other ways to run the same script on the same claims.
//!
//! Cost is processor time of everything that works for it: this process, all worker processes, what they do in between.
//! `warm/1` sends one script at a time with the claims of another user each time, `warm/100` a hundred scripts with one
//! user's claims. The peers marked `cached` call a compiled function and isolate nothing; they build a user's claims
//! once a call, as the sandbox does.

mod meter;
mod mix;
mod peers;
mod ready;

use std::sync::Arc;
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
use meter::{Figures, Tally};
use mix::Mix;
use peers::{BoaCached, BoaFresh, Engine, QuickJs, Verdicts};

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
        "sandbox: {} s a case; {} scripts, {} users with {} bytes of claims each; claims are new with every call",
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
        let cached_1 = self.peer(report, "boa-cached/1", &mut BoaCached::new(mix)?, 1, &expected)?;
        let warm_1 = self.lane(report, "warm/1", Lane::Warm, 1, &expected)?;
        let cached_100 = self.peer(report, "boa-cached/100", &mut BoaCached::new(mix)?, 100, &expected)?;
        let warm_100 = self.lane(report, "warm/100", Lane::Warm, 100, &expected)?;
        let bare_1 = self.peer(report, "boa-fresh/1", &mut BoaFresh(mix), 1, &expected)?;
        let fresh_1 = self.lane(report, "fresh/1", Lane::Fresh, 1, &expected)?;
        self.native(report, &expected)?;
        self.others(report, &expected)?;
        add(report, "warm/1", &warm_1, Some(("boa-cached/1", &cached_1)));
        add(report, "warm/100", &warm_100, Some(("boa-cached/100", &cached_100)));
        add(report, "fresh/1", &fresh_1, Some(("boa-fresh/1", &bare_1)));
        for (case, figures) in [("boa-cached/1", &cached_1), ("boa-cached/100", &cached_100), ("boa-fresh/1", &bare_1)]
        {
            add(report, case, figures, None);
        }
        bars(report, [&warm_1, &warm_100, &fresh_1], &cached_100, &bare_1);
        Ok(())
    }

    /// The native lane, with as many scripts as the others, taken from those it runs.
    fn native(&self, report: &mut Report, expected: &Verdicts) -> Result<()> {
        let load = self.load(Lane::Native, 1, (0..self.mix.sources.len()).collect());
        let picked = self.runtime.block_on(load.ran_natively());
        report.note(format!("native: {} of {} scripts run there", picked.len(), self.mix.sources.len()));
        if picked.is_empty() {
            return Ok(());
        }
        let picked: Vec<usize> = picked.iter().copied().cycle().take(self.mix.sources.len()).collect();
        for (case, batch) in [("native/1", 1), ("native/100", 100)] {
            report.progress(case);
            let figures = self.measured(case, self.load(Lane::Native, batch, picked.clone()), expected)?;
            add(report, case, &figures, None);
        }
        Ok(())
    }

    /// QuickJS and Node.
    fn others(&self, report: &mut Report, expected: &Verdicts) -> Result<()> {
        let quickjs = rquickjs::Runtime::new()?;
        let context = rquickjs::Context::full(&quickjs)?;
        context.with(|context| {
            let mut engine = QuickJs::new(&self.mix, context)?;
            for (case, batch) in [("quickjs-cached/1", 1), ("quickjs-cached/100", 100)] {
                let figures = self.peer(report, case, &mut engine, batch, expected)?;
                add(report, case, &figures, None);
            }
            anyhow::Ok(())
        })?;
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

    fn peer(
        &self,
        report: &Report,
        case: &str,
        engine: &mut dyn Engine,
        batch: usize,
        expected: &Verdicts,
    ) -> Result<Figures> {
        report.progress(case);
        ensure!(peers::verdicts(engine, &self.mix)? == *expected, "`{case}` decides otherwise");
        peers::measure(engine, &self.mix, &self.sandbox, self.length, batch)
    }

    /// Measures all scripts in one lane.
    fn lane(&self, report: &Report, case: &str, lane: Lane, batch: usize, expected: &Verdicts) -> Result<Figures> {
        report.progress(case);
        self.measured(case, self.load(lane, batch, (0..self.mix.sources.len()).collect()), expected)
    }

    fn load(&self, lane: Lane, batch: usize, picked: Vec<usize>) -> Load {
        Load { sandbox: self.sandbox.clone(), mix: Arc::clone(&self.mix), lane, batch, picked }
    }

    /// Measures the sandbox from a task, as the daemons use it.
    fn measured(&self, case: &str, load: Load, expected: &Verdicts) -> Result<Figures> {
        let (length, expected) = (self.length, expected.clone());
        let measuring = self.runtime.spawn(async move {
            load.check(&expected).await?;
            load.measure(length / 10).await?;
            load.measure(length).await
        });
        self.runtime.block_on(measuring)?.with_context(|| case.to_owned())
    }
}

/// Runs of the mix in one lane.
struct Load {
    sandbox: Sandbox,
    mix: Arc<Mix>,
    lane: Lane,
    batch: usize,
    /// Which scripts, by their number in the mix.
    picked: Vec<usize>,
}

impl Load {
    async fn measure(&self, length: Duration) -> Result<Figures> {
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
fn bars(report: &mut Report, [warm_1, warm_100, fresh_1]: [&Figures; 3], cached_100: &Figures, bare_1: &Figures) {
    let over = warm_100.cpu_per_run - cached_100.cpu_per_run;
    report.add("warm/100", "cpu_over_boa_cached", over, "us");
    report.verdict(
        format!("warm/100 costs {over:.1} us more than a cached call; at most {OVER_CACHED} us"),
        over <= OVER_CACHED,
    );
    let single = warm_1.cpu_per_run;
    report.verdict(format!("warm/1 costs {single:.1} us; at most {SINGLE} us"), single <= SINGLE);
    let times = fresh_1.cpu_per_run / bare_1.cpu_per_run;
    report.verdict(
        format!("fresh/1 costs {times:.2} times a bare new context; at most {TIMES_BARE}"),
        times <= TIMES_BARE,
    );
}

/// Seconds of one case.
const SECONDS: u64 = 60;

/// Microseconds that a script in a batch of a hundred may cost beyond a cached call without isolation.
const OVER_CACHED: f64 = 15.0;

/// Microseconds that a single warm run may cost.
const SINGLE: f64 = 80.0;

/// How many times a bare new context a fresh run may cost.
const TIMES_BARE: f64 = 1.5;
