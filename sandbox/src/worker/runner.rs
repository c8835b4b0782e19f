//! Runs the scripts of a batch, each in the lane its tree allows.
//!
//! INVARIANT: what a run can observe depends on the batch's claims and time, its own source and the sources of the criteria it names;
//! never on the lane, on other scripts of the batch or on runs before it.

mod criteria;
mod warm;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use boa_engine::{JsError, JsNativeError, JsResult, JsValue};
use engine::script::lanes::{Analysis, Lane};
use engine::script::{Failure, FailureKind};
use serde_json::Value;

use super::failure::{self, CRITERION, MAIN};
use super::globals::{Response, define_value};
use super::parse::{self, HEAD, TAIL};
use super::realm::Realm;
use super::value::{self, ResultError};
use crate::batch::Admission;
use crate::wire::{Answer, BatchRequest, WireScript};
use criteria::Criteria;
use warm::Warm;

pub(crate) use criteria::{sees_criteria, words};

/// Most scripts whose reading is remembered.
const MAX_READ: usize = 4096;
/// Most bytes of source remembered with them.
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;

/// Instructions that compiling a script and its criteria may take, beyond the budget of the run.
const PREPARING: u64 = 100_000;

/// What a worker keeps between batches.
pub(super) struct Runner {
    read: HashMap<Box<str>, Rc<Result<Analysis, Failure>>>,
    read_bytes: usize,
    warm: Option<Warm>,
    spare: Option<(u64, Realm)>,
    last_budget: Option<u64>,
}

/// What the runs of one batch share.
struct Shared<'a> {
    instructions: u64,
    now_ms: i64,
    claims_text: &'a [u8],
    claims: Value,
    responses: Rc<[Response]>,
    criteria: Criteria<'a>,
}

/// A run's outcome before it becomes an answer.
struct Outcome {
    result: Result<Value, Failure>,
    output: String,
    instructions: u64,
    lane: Lane,
}

impl Runner {
    pub(super) fn new() -> Self {
        Self { read: HashMap::new(), read_bytes: 0, warm: None, spare: None, last_budget: None }
    }

    /// Reads a script without running it.
    pub(super) fn admit(&mut self, script: &WireScript<'_>) -> Result<Admission, Failure> {
        match self.read(script.source).as_ref() {
            Ok(analysis) => Ok(Admission {
                lane: analysis.lane(),
                doubt: analysis.doubt.as_ref().map(|doubt| doubt.what.to_owned()),
                criteria: analysis.criteria.iter().map(|name| name.to_string()).collect(),
                claims: analysis.claims.iter().cloned().collect(),
            }),
            Err(failure) => Err(named(failure, script.name)),
        }
    }

    /// Runs every script of the batch and hands each answer to `answer`.
    pub(super) fn batch<E>(
        &mut self,
        batch: &BatchRequest<'_>,
        answer: &mut dyn FnMut(Answer) -> Result<(), E>,
    ) -> Result<(), E> {
        self.last_budget = Some(batch.limits.instructions);
        let parsed = serde_json::from_slice::<Value>(batch.claims);
        let readable = parsed.is_ok();
        let claims = parsed.unwrap_or_default();
        let shared = Shared {
            instructions: batch.limits.instructions,
            now_ms: batch.now_ms,
            claims_text: batch.claims,
            responses: responses(&claims),
            claims,
            criteria: Criteria::new(&batch.criteria),
        };
        for script in &batch.scripts {
            let started = Instant::now();
            let read = self.read(script.source);
            let outcome = match read.as_ref() {
                // A script must never take claims that could not be read for claims that are missing.
                Ok(_) if !readable => not_run(script, FailureKind::Crash, "the claims could not be read"),
                Ok(analysis) => self.run(script, analysis, &shared),
                Err(failure) => Outcome {
                    result: Err(named(failure, script.name)),
                    output: String::new(),
                    instructions: 0,
                    lane: Lane::Fresh,
                },
            };
            let claims_read =
                read.as_ref().as_ref().map(|analysis| self.claims_read(analysis, &shared)).unwrap_or_default();
            answer(Answer {
                result: outcome.result,
                output: outcome.output,
                duration: started.elapsed(),
                instructions: outcome.instructions,
                lane: outcome.lane,
                claims_read,
                cpu: Duration::ZERO,
                retire: false,
            })?;
        }
        Ok(())
    }

    /// Makes ready in idle time what the next fresh run needs, unless a request came in.
    pub(super) fn idle(&mut self, busy: &mut dyn FnMut() -> bool) {
        if let Some(instructions) = self.last_budget
            && self.spare.is_none()
            && !busy()
        {
            self.spare = fresh_realm(instructions).ok().map(|realm| (instructions, realm));
        }
    }

    fn read(&mut self, source: &str) -> Rc<Result<Analysis, Failure>> {
        if let Some(known) = self.read.get(source) {
            return Rc::clone(known);
        }
        if self.read.len() >= MAX_READ || self.read_bytes >= MAX_READ_BYTES {
            self.read.clear();
            self.read_bytes = 0;
        }
        let read = Rc::new(parse::read("", source));
        self.read_bytes += source.len();
        self.read.insert(source.into(), Rc::clone(&read));
        read
    }

    fn run(&mut self, script: &WireScript<'_>, analysis: &Analysis, shared: &Shared<'_>) -> Outcome {
        if self.runs_warm(script, analysis, shared) {
            self.run_warm(script, analysis, shared)
        } else {
            self.run_fresh(script, shared)
        }
    }

    fn run_fresh(&mut self, script: &WireScript<'_>, shared: &Shared<'_>) -> Outcome {
        let spare = self.spare.take().filter(|(instructions, _)| *instructions == shared.instructions);
        let realm = spare.map_or_else(|| fresh_realm(shared.instructions), |(_, realm)| Ok(realm));
        let mut realm = match realm {
            Ok(realm) => realm,
            Err(_) => return crashed(script),
        };
        realm.host.begin(shared.now_ms, &shared.responses, script.source);
        let prepared = self.prepare_fresh(script, shared, &mut realm);
        let before = realm.instructions_left();
        let result =
            prepared.and_then(|(function, claims)| finish(&mut realm, script, |realm| realm.call(&function, &claims)));
        let instructions = before.saturating_sub(realm.instructions_left());
        let result = within_budget(result, instructions, script, shared);
        Outcome { result, output: realm.host.take_output(), instructions, lane: Lane::Fresh }
    }

    /// Compiles the script and the criteria it names, and puts the claims in place.
    fn prepare_fresh(
        &mut self,
        script: &WireScript<'_>,
        shared: &Shared<'_>,
        realm: &mut Realm,
    ) -> Result<(boa_engine::object::builtins::JsFunction, JsValue), Failure> {
        if criteria::sees_criteria(script.kind) {
            for (name, source) in shared.criteria.mentioned(script.source) {
                self.read(source).as_ref().as_ref().map_err(|failure| named(failure, name))?;
                let path = format!("{CRITERION}{name}");
                let defined = realm.compile(&format!("{HEAD}{source}{TAIL}"), &path).and_then(|function| {
                    define_value(&realm.context.global_object(), name, function.into(), &mut realm.context)
                });
                defined.map_err(|error| failure::from_error(&error, name, &mut realm.context))?;
            }
        }
        let prepared = realm.compile(&format!("{HEAD}{}{TAIL}", script.source), MAIN).and_then(|function| {
            let claims = realm.protos.claims(&shared.claims, &mut realm.context)?;
            define_value(&realm.context.global_object(), "claims", claims.clone(), &mut realm.context)?;
            Ok((function, claims))
        });
        prepared.map_err(|error| failure::from_error(&error, script.name, &mut realm.context))
    }
}

/// Runs `call` and reads its value in the shape the script's kind promises.
fn finish(
    realm: &mut Realm,
    script: &WireScript<'_>,
    call: impl FnOnce(&mut Realm) -> JsResult<JsValue>,
) -> Result<Value, Failure> {
    let converted = match call(realm) {
        Ok(value) => value::result(&value, script.kind, &mut realm.context),
        Err(error) => Err(ResultError::Threw(error)),
    };
    converted.map_err(|error| match error {
        ResultError::Wrong(text) => failure::failure(FailureKind::WrongResult, script.name, &text),
        ResultError::Threw(error) => failure::from_error(&error, script.name, &mut realm.context),
    })
}

/// A context for one run and for the few instructions that put its script in place.
fn fresh_realm(instructions: u64) -> JsResult<Realm> {
    Realm::new(instructions.saturating_add(PREPARING))
}

/// A run's budget ends at the same instruction in every lane, whatever its context had left.
fn within_budget(
    result: Result<Value, Failure>,
    instructions: u64,
    script: &WireScript<'_>,
    shared: &Shared<'_>,
) -> Result<Value, Failure> {
    match instructions > shared.instructions {
        true => Err(failure::failure(FailureKind::Instructions, script.name, "used up its instruction budget")),
        false => result,
    }
}

fn crashed(script: &WireScript<'_>) -> Outcome {
    not_run(script, FailureKind::Crash, "the JavaScript engine could not start")
}

fn not_run(script: &WireScript<'_>, kind: FailureKind, message: &str) -> Outcome {
    Outcome {
        result: Err(failure::failure(kind, script.name, message)),
        output: String::new(),
        instructions: 0,
        lane: Lane::Fresh,
    }
}

/// The failure with the script's name: reading is remembered by source alone.
fn named(failure: &Failure, name: &str) -> Failure {
    Failure { script: name.to_owned(), ..failure.clone() }
}

fn responses(claims: &Value) -> Rc<[Response]> {
    let listed = claims.get("responses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let response = |each: &Value| {
        Some(Response {
            suffix: each.get("suffix")?.as_str()?.to_owned(),
            kind: each.get("kind")?.as_str()?.to_owned(),
            at_secs: each.get("at")?.as_i64()?,
        })
    };
    listed.iter().filter_map(response).collect()
}

/// An error for a state that cannot be, which ends the run and not the worker.
fn broken(what: &'static str) -> JsError {
    JsNativeError::error().with_message(what).into()
}
