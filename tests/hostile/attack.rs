//! One hostile script after the other, and what must be so after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::script::{FailureKind, ScriptKind};
use sandbox::{Purpose, RunRecord, Sandbox, Script};
use serde_json::json;

use super::processor::Waits;
use super::script::{self, Hostile, forms_of_secret};
use super::server::Server;

/// Runs everything that needs no other limits than the normal ones.
pub async fn all(sandbox: &Sandbox, server: &Server) {
    let scripts = script::all();
    assert!(scripts.len() >= 80, "only {} scripts", scripts.len());
    let honest = honest();
    for _ in 0..20 {
        honest_is_right(sandbox, server, &honest, "at the start").await;
    }
    let started = Instant::now();
    let mut attack = Attack::new(Deadlines { cpu: Some(CPU_BUDGET), wall: WALL });
    let mut before = 0;
    // The first pass lets the allocator take what all this needs at its fullest, which it keeps for later; the second may take no more.
    for _ in 0..2 {
        sandbox.reset_cache(Purpose::Test, []);
        before = resident();
        for script in scripts.iter().filter(|script| script.family() != WAITING) {
            attack.run(sandbox, server, script).await;
            honest_is_right(sandbox, server, &honest, &script.name).await;
        }
    }
    println!("{}; {:.1} s", attack.summary(), started.elapsed().as_secs_f64());
    attack.assert_right();
    workers_are_back(sandbox).await;
    // What the scripts left in the cache is theirs to keep; it is bounded and not what is measured.
    sandbox.reset_cache(Purpose::Test, []);
    let grown = resident().saturating_sub(before);
    println!("resident memory of the supervisor: {before} KiB before, {grown} KiB more after");
    assert!(grown <= MAX_GROWTH, "the supervisor kept {grown} KiB");
}

/// Runs those that wait for others, under a shorter wall deadline.
pub async fn waiting(sandbox: &Sandbox, server: &Server) {
    let mut attack = Attack::new(Deadlines { cpu: None, wall: Duration::from_millis(600) });
    for script in script::all().iter().filter(|script| script.family() == WAITING) {
        attack.run(sandbox, server, script).await;
        honest_is_right(sandbox, server, &honest(), &script.name).await;
    }
    println!("{}", attack.summary());
    workers_are_back(sandbox).await;
    attack.assert_right();
}

/// What a run may take.
struct Deadlines {
    cpu: Option<Duration>,
    wall: Duration,
}

struct Attack {
    deadlines: Deadlines,
    forms: Vec<String>,
    ends: BTreeMap<&'static str, u32>,
    /// Those that took the worker with them.
    crashed: Vec<String>,
    /// Beyond the deadline, of the best try of each script.
    latest: Duration,
    again: u32,
    wrong: Vec<String>,
}

impl Attack {
    fn new(deadlines: Deadlines) -> Self {
        let forms = forms_of_secret().into_iter().map(|form| form.to_lowercase()).collect();
        Self {
            deadlines,
            forms,
            ends: BTreeMap::new(),
            crashed: Vec::new(),
            latest: Duration::ZERO,
            again: 0,
            wrong: Vec::new(),
        }
    }

    /// Runs a script. Time in which the kernel let it or the supervisor wait for a processor is not counted, and a late one is tried
    /// again: other work on the machine makes one try late, a deadline that does not hold makes all of them late.
    async fn run(&mut self, sandbox: &Sandbox, server: &Server, script: &Hostile) {
        let mut best = Duration::MAX;
        for attempt in 0..TRIES {
            let mut waits = Waits::start(sandbox);
            let started = Instant::now();
            let record = waits.during(sandbox.evaluate(script.batch(server))).await.remove(0);
            let took = started.elapsed().saturating_sub(waits.total());
            let end = Hostile::end(&record);
            if attempt == 0 {
                *self.ends.entry(end).or_default() += 1;
                if end == FailureKind::Crash.as_str() {
                    self.crashed.push(script.name.clone());
                }
            } else {
                self.again += 1;
            }
            if !script.expected.iter().any(|expected| expected == end) {
                self.wrong.push(format!("{}: {end}, not {}: {record:?}", script.name, script.expected.join(" or ")));
                return;
            }
            self.look_for_secrets(script, &record);
            best = best.min(took.saturating_sub(self.deadline(end)));
            if best <= SLACK {
                break;
            }
        }
        self.latest = self.latest.max(best);
        if best > SLACK {
            self.wrong.push(format!(
                "{}: {} ms after its deadline, in each of {TRIES} tries",
                script.name,
                best.as_millis()
            ));
        }
    }

    /// What is not killed at its processor time may wait for others as long as its wall time.
    fn deadline(&self, end: &str) -> Duration {
        match (self.deadlines.cpu, end) {
            (Some(cpu), "timeout" | "instructions" | "memory" | "crash" | "syntax") => cpu,
            _ => self.deadlines.wall,
        }
    }

    fn look_for_secrets(&mut self, script: &Hostile, record: &RunRecord) {
        let shown = format!("{} {record:?}", record.output).to_lowercase();
        // Lines of the output read one letter a line would hide what is spelled there.
        let joined: String = shown.split(['\n', '\r']).collect();
        if let Some(form) = self.forms.iter().find(|form| shown.contains(*form) || joined.contains(*form)) {
            self.wrong.push(format!("{}: its record shows the secret as {form}", script.name));
        }
    }

    fn summary(&self) -> String {
        let ends: Vec<String> = self.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
        let total: u32 = self.ends.values().sum();
        format!(
            "{total} hostile scripts: {} ({}); at most {} ms after the deadline, {} late tries",
            ends.join(", "),
            self.crashed.join(", "),
            self.latest.as_millis(),
            self.again
        )
    }

    #[track_caller]
    fn assert_right(self) {
        assert!(self.wrong.is_empty(), "{} went wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

fn honest() -> Vec<Script> {
    let script = |name: &str, kind, source: &str| Script { name: name.into(), kind, source: source.into() };
    vec![
        script("warm", ScriptKind::Policy, "return claims.user.groups.some(g => g.indexOf('CN=developers,') === 0);"),
        script("fresh", ScriptKind::Policy, "seen = (typeof seen === 'undefined' ? 0 : seen) + 1; return seen === 1;"),
        script("denies", ScriptKind::Policy, "return claims.user.groups.indexOf('admins') >= 0;"),
        script("criteria", ScriptKind::Policy, "return staff(claims);"),
        script("host", ScriptKind::Host, "return [1, 2].map(n => 'host-' + n + '.example.com');"),
    ]
}

async fn honest_is_right(sandbox: &Sandbox, server: &Server, scripts: &[Script], after: &str) {
    let records = sandbox.evaluate(script::batch(scripts.to_vec(), server)).await;
    let results: Vec<_> =
        records.into_iter().map(|record| record.result.map_err(|failure| failure.to_string())).collect();
    let hosts = json!(["host-1.example.com", "host-2.example.com"]);
    let expected = [json!(true), json!(true), json!(false), json!(false), hosts].map(Ok);
    assert_eq!(results, expected, "after {after}");
}

/// Waits until there are as many workers as configured, none of them dead.
async fn workers_are_back(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let ids = sandbox.worker_ids();
        let alive = ids
            .iter()
            .filter(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z ")));
        if ids.len() == WORKERS && alive.count() == WORKERS {
            return;
        }
        assert!(Instant::now() < deadline, "{} workers instead of {WORKERS}", ids.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Those of this family wait for the server rather than work.
const WAITING: &str = "waiting";

/// Processor time a run may take, and how long it may take in all.
const CPU_BUDGET: Duration = Duration::from_millis(250);
const WALL: Duration = Duration::from_secs(5);

/// How long after its deadline a run may end.
const SLACK: Duration = Duration::from_millis(50);

/// How often a late script may try again.
const TRIES: u32 = 3;

/// Two that run and one ready beside them.
const WORKERS: usize = 3;

/// Memory the supervisor may have gained in the end, in KiB.
const MAX_GROWTH: u64 = 6 * 1024;
