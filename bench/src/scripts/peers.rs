//! What others take for the same runs: engines in this process without any isolation, and Node's `vm` module.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsError, JsValue, Source};
use sandbox::Sandbox;
use serde_json::json;

use super::meter::{Figures, Round, Tally};
use super::mix::{Mix, function};

/// Results of every script for every user, in order of users.
pub type Verdicts = Vec<bool>;

/// An engine that runs the mix in this process.
pub trait Engine {
    /// Runs these scripts for this user, building the claims once.
    fn call(&mut self, user: usize, scripts: &[usize], results: &mut Verdicts) -> Result<()>;
}

/// What each of a peer's rounds is: how long, and how many scripts a call.
type Order = (Duration, usize);

/// An engine on a thread of its own, as Boa's collector looks at every context of a thread.
pub struct Peer {
    orders: Sender<Order>,
    rounds: Receiver<Result<Round>>,
}

impl Peer {
    /// Starts the thread; `run` makes an engine and has it [`serve`] what it is given.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        run: impl FnOnce(Orders) -> Result<()> + Send + 'scope,
    ) -> Self {
        let (orders, ordered) = channel();
        let (done, rounds) = channel();
        scope.spawn(move || {
            let failed = done.clone();
            if let Err(error) = run(Orders { ordered, done }) {
                // Nobody asks for another round once this bench has failed.
                let _ = failed.send(Err(error));
            }
        });
        Self { orders, rounds }
    }

    /// One round with `batch` scripts a call.
    pub fn round(&self, length: Duration, batch: usize) -> Result<Round> {
        // A thread that has ended left its reason as a round.
        let _ = self.orders.send((length, batch));
        self.rounds.recv().context("the peer has ended")?
    }
}

/// What a peer's thread is asked for.
pub struct Orders {
    ordered: Receiver<Order>,
    done: Sender<Result<Round>>,
}

impl Orders {
    /// Measures the engine as often as it is ordered, after a look at what it decides.
    pub fn serve(self, engine: &mut dyn Engine, mix: &Mix, sandbox: &Sandbox, expected: &Verdicts) -> Result<()> {
        ensure!(verdicts(engine, mix)? == *expected, "a peer decides otherwise");
        for (length, batch) in self.ordered {
            if self.done.send(measure(engine, mix, sandbox, length, batch)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn measure(engine: &mut dyn Engine, mix: &Mix, sandbox: &Sandbox, length: Duration, batch: usize) -> Result<Round> {
    let all: Vec<usize> = (0..mix.sources.len()).collect();
    let mut results = Verdicts::new();
    let mut tally = Tally::start(sandbox, length, batch)?;
    for run in 0_usize.. {
        let (user, script) = mix.pick(run);
        let scripts = if batch == 1 { &[script][..] } else { &all };
        results.clear();
        let started = Instant::now();
        engine.call(user, scripts, &mut results)?;
        if !tally.call(started) {
            break;
        }
    }
    tally.finish()
}

/// What the engine says to everything.
pub fn verdicts(engine: &mut dyn Engine, mix: &Mix) -> Result<Verdicts> {
    let all: Vec<usize> = (0..mix.sources.len()).collect();
    let mut results = Verdicts::new();
    for user in 0..mix.claims.len() {
        engine.call(user, &all, &mut results)?;
    }
    Ok(results)
}

/// A new Boa context for every run: compiles, builds the claims, runs.
pub struct BoaFresh<'a>(pub &'a Mix);

impl Engine for BoaFresh<'_> {
    fn call(&mut self, user: usize, scripts: &[usize], results: &mut Verdicts) -> Result<()> {
        for script in scripts {
            let mut context = bare()?;
            let function = compile(&self.0.sources[*script], &mut context)?;
            let claims = JsValue::from_json(&self.0.claims[user], &mut context).map_err(boa_error)?;
            let value = function.call(&JsValue::undefined(), &[claims], &mut context).map_err(boa_error)?;
            results.push(value.to_boolean());
        }
        Ok(())
    }
}

/// Compiled functions in one Boa context.
pub struct BoaCached<'a> {
    mix: &'a Mix,
    context: Context,
    functions: Vec<JsFunction>,
}

impl<'a> BoaCached<'a> {
    /// Compiles everything.
    pub fn new(mix: &'a Mix) -> Result<Self> {
        let mut context = bare()?;
        let functions = mix.sources.iter().map(|source| compile(source, &mut context)).collect::<Result<_>>()?;
        Ok(Self { mix, context, functions })
    }
}

impl Engine for BoaCached<'_> {
    fn call(&mut self, user: usize, scripts: &[usize], results: &mut Verdicts) -> Result<()> {
        let claims = JsValue::from_json(&self.mix.claims[user], &mut self.context).map_err(boa_error)?;
        for script in scripts {
            let function = &self.functions[*script];
            let value = function.call(&JsValue::undefined(), std::slice::from_ref(&claims), &mut self.context);
            results.push(value.map_err(boa_error)?.to_boolean());
        }
        Ok(())
    }
}

/// A context as Boa makes it. The engine counts instructions in every build of this bench, so one without a budget can run none.
fn bare() -> Result<Context> {
    Context::builder().instructions_remaining(usize::MAX).build().map_err(boa_error)
}

fn compile(source: &str, context: &mut Context) -> Result<JsFunction> {
    let value = context.eval(Source::from_bytes(&function(source))).map_err(boa_error)?;
    value.as_function().context("the script is no function")
}

fn boa_error(error: JsError) -> anyhow::Error {
    anyhow!("Boa: {error}")
}

/// Compiled functions in one QuickJS context.
pub struct QuickJs<'a, 'js> {
    mix: &'a Mix,
    context: rquickjs::Ctx<'js>,
    functions: Vec<rquickjs::Function<'js>>,
}

impl<'a, 'js> QuickJs<'a, 'js> {
    /// Compiles everything.
    pub fn new(mix: &'a Mix, context: rquickjs::Ctx<'js>) -> Result<Self> {
        let functions = mix.sources.iter().map(|source| context.eval(function(source)));
        let functions = functions.collect::<Result<_, rquickjs::Error>>()?;
        Ok(Self { mix, context, functions })
    }
}

impl Engine for QuickJs<'_, '_> {
    fn call(&mut self, user: usize, scripts: &[usize], results: &mut Verdicts) -> Result<()> {
        let claims = self.context.json_parse(self.mix.texts[user].as_str())?;
        for script in scripts {
            let value: rquickjs::Value = self.functions[*script].call((claims.clone(),))?;
            results.push(value.as_bool().context("QuickJS: no boolean")?);
        }
        Ok(())
    }
}

/// Figures of Node with one and with a hundred scripts a call.
pub struct Node {
    /// One script a call.
    pub single: Figures,
    /// All scripts a call.
    pub batch: Figures,
    /// What it says to everything.
    pub verdicts: Verdicts,
}

/// Measures Node, if there is one.
pub fn node(mix: &Mix, length: Duration) -> Result<Option<Node>> {
    let found = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let dir = tempfile::tempdir()?;
    let program = dir.path().join("peer.js");
    std::fs::write(&program, include_str!("node.js"))?;
    let mut child = Command::new("node")
        .arg(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run node")?;
    let sources: Vec<String> = mix.sources.iter().map(|source| function(source)).collect();
    let work = json!({ "functions": sources, "claims": mix.texts, "milliseconds": length.as_millis() as u64 });
    child.stdin.take().context("node has no input")?.write_all(work.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("node failed ({})", output.status);
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).context("node's answer")?;
    let figure = |case: &str, name: &str| answer[case][name].as_f64().context("node left a figure out");
    let figures = |case: &str| {
        anyhow::Ok(Figures { cpu_per_run: figure(case, "cpu")?, p50: figure(case, "p50")?, p99: figure(case, "p99")? })
    };
    let verdicts = answer["verdicts"].as_array().context("node's verdicts")?;
    let verdicts = verdicts.iter().map(|value| value.as_bool().context("node: no boolean")).collect::<Result<_>>()?;
    Ok(Some(Node { single: figures("single")?, batch: figures("batch")?, verdicts }))
}
