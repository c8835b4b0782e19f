//! Runs the scripts of a batch, each in the lane its tree allows.
//!
//! INVARIANT: what a run can observe depends on the batch's claims and time, its own source and the sources of the criteria it names;
//! never on the lane, on other scripts of the batch or on runs before it.

mod criteria;
mod warm;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use boa_engine::object::builtins::JsFunction;
use boa_engine::property::PropertyDescriptor;
use boa_engine::{JsError, JsNativeError, JsResult, JsString, JsValue};
use engine::script::lanes::{Analysis, Lane};
use engine::script::tree::Tree;
use engine::script::{Failure, FailureKind};
use serde_json::Value;

use super::ServeError;
use super::desk::{Desk, Next};
use super::failure::{self, CRITERION, MAIN};
use super::link::Link;
use super::parse::{self, HEAD, TAIL};
use super::realm::Realm;
use super::value::{self, ResultError};
use crate::wire::{Answer, BatchRequest, Limits, WireLane, WireScript};
use criteria::Criteria;
use warm::Warm;

pub(crate) use criteria::{sees_criteria, words};

/// Most scripts whose reading is remembered.
const MAX_READ: usize = 4096;
/// Most bytes of source remembered with them.
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;

/// Batches in a row that have no use for a context before it is dropped: what is kept makes every collection of garbage dearer.
const MAX_UNUSED: u32 = 32;

/// Instructions that compiling a script and its criteria may take, beyond the budget of the run.
const PREPARING: u64 = 100_000;

/// What a worker keeps between batches.
pub(super) struct Runner {
    read: HashMap<Box<str>, Rc<Result<Analysis, Failure>>>,
    read_bytes: usize,
    warm: Option<Warm>,
    warm_use: Use,
    spare: Option<(Limits, Realm)>,
    spare_use: Use,
    last_limits: Option<Limits>,
    link: Rc<dyn Link>,
}

/// Whether a context is worth keeping.
struct Use {
    unused: u32,
}

impl Use {
    /// Of a context nothing has asked for yet.
    const NEVER: Self = Self { unused: MAX_UNUSED };

    fn used(&mut self) {
        self.unused = 0;
    }

    /// One more batch has begun; a run that needs the context says so.
    fn batch(&mut self) {
        self.unused = self.unused.saturating_add(1);
    }

    fn is_likely(&self) -> bool {
        self.unused < MAX_UNUSED
    }
}

/// What the runs of one batch share.
struct Shared<'a> {
    limits: Limits,
    lane: WireLane,
    now_ms: i64,
    /// JSON text.
    claims: &'a [u8],
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
    /// A runner whose scripts' calls go through `link`.
    pub(super) fn new(link: Rc<dyn Link>) -> Self {
        Self {
            read: HashMap::new(),
            read_bytes: 0,
            warm: None,
            warm_use: Use::NEVER,
            spare: None,
            spare_use: Use::NEVER,
            last_limits: None,
            link,
        }
    }

    /// Reads a script without running it.
    pub(super) fn admit(&self, script: &WireScript<'_>) -> Result<Tree, Failure> {
        parse::tree(script.name, script.source)
    }

    /// Runs every script of the batch and reports each to `desk`.
    pub(super) fn batch(&mut self, batch: &BatchRequest<'_>, desk: &mut Desk) -> Result<(), ServeError> {
        self.last_limits = Some(batch.limits);
        self.warm_use.batch();
        self.spare_use.batch();
        // Reading the claims is part of the first run.
        desk.begin(0);
        let shared = Shared {
            limits: batch.limits,
            lane: batch.lane,
            now_ms: batch.now_ms,
            claims: batch.claims,
            criteria: Criteria::new(&batch.criteria),
        };
        for (index, script) in batch.scripts.iter().enumerate() {
            if index > 0 {
                desk.begin(index);
            }
            let started = Instant::now();
            let read = self.read(script.source);
            let outcome = match read.as_ref() {
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
            if script.secret {
                self.forget();
            }
            let next = desk.answer(Answer {
                result: outcome.result,
                output: outcome.output,
                duration: started.elapsed(),
                instructions: outcome.instructions,
                lane: outcome.lane,
                claims_read,
                cpu: Duration::ZERO,
                retire: false,
            })?;
            if next == Next::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Drops everything that holds text of a script.
    fn forget(&mut self) {
        self.read.clear();
        self.read_bytes = 0;
        self.warm = None;
    }

    /// Drops in idle time what is no longer used and makes ready what the next fresh run needs, unless a request came in.
    pub(super) fn idle(&mut self, busy: &mut dyn FnMut() -> bool) {
        if !self.warm_use.is_likely() {
            self.warm = None;
        }
        if !self.spare_use.is_likely() {
            self.spare = None;
        } else if let Some(limits) = self.last_limits
            && self.spare.is_none()
            && !busy()
        {
            self.spare = self.fresh_realm(limits).ok().map(|realm| (limits, realm));
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
        let is_warm = !script.secret && shared.lane != WireLane::Fresh && self.runs_warm(script, analysis, shared);
        match (is_warm, shared.lane) {
            (true, _) => self.run_warm(script, analysis, shared),
            (false, WireLane::Warm) => not_warm(script, analysis),
            (false, WireLane::Any | WireLane::Fresh) => self.run_fresh(script, shared),
        }
    }

    fn run_fresh(&mut self, script: &WireScript<'_>, shared: &Shared<'_>) -> Outcome {
        self.spare_use.used();
        let spare = self.spare.take().filter(|(limits, _)| *limits == shared.limits);
        let realm = spare.map_or_else(|| self.fresh_realm(shared.limits), |(_, realm)| Ok(realm));
        let mut realm = match realm {
            Ok(realm) => realm,
            Err(_) => return crashed(script),
        };
        let Some(claims) = realm.protos.claims(shared.claims, &mut realm.context) else {
            return unreadable(script);
        };
        realm.host.begin(shared.now_ms, &claims.responses, script.source);
        let prepared = self.prepare_fresh(script, &claims.value, shared, &mut realm);
        let before = realm.instructions_left();
        let result =
            prepared.and_then(|function| finish(&mut realm, script, |realm| realm.call(&function, &claims.value)));
        let instructions = before.saturating_sub(realm.instructions_left());
        let result = within_budget(result, instructions, script, shared);
        let result = unless_refused(result, &realm, script);
        Outcome { result, output: realm.host.take_output(), instructions, lane: Lane::Fresh }
    }

    /// A context for one run and for the few instructions that put its script in place.
    fn fresh_realm(&self, limits: Limits) -> JsResult<Realm> {
        Realm::new(limits.instructions.saturating_add(PREPARING), limits.java_members, Rc::clone(&self.link))
    }

    /// Compiles the script and the criteria it names, and puts everything in place.
    fn prepare_fresh(
        &mut self,
        script: &WireScript<'_>,
        claims: &JsValue,
        shared: &Shared<'_>,
        realm: &mut Realm,
    ) -> Result<JsFunction, Failure> {
        if criteria::sees_criteria(script.kind) {
            for (name, source) in shared.criteria.mentioned(script.source) {
                self.read(source).as_ref().as_ref().map_err(|failure| named(failure, name))?;
                let path = format!("{CRITERION}{name}");
                let defined = realm
                    .compile(&format!("{HEAD}{source}{TAIL}"), &path)
                    .and_then(|function| hide_in_global(realm, name, function.into()));
                defined.map_err(|error| failure::from_error(&error, name, &mut realm.context))?;
            }
        }
        let prepared = realm.compile(&format!("{HEAD}{}{TAIL}", script.source), MAIN).and_then(|function| {
            hide_in_global(realm, "claims", claims.clone())?;
            Ok(function)
        });
        prepared.map_err(|error| failure::from_error(&error, script.name, &mut realm.context))
    }
}

/// Defines a global that loops do not show.
fn hide_in_global(realm: &mut Realm, name: &str, value: JsValue) -> JsResult<()> {
    let property = PropertyDescriptor::builder().value(value).writable(true).enumerable(false).configurable(true);
    realm.context.global_object().define_property_or_throw(JsString::from(name), property, &mut realm.context)?;
    Ok(())
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

/// A run's budget ends at the same instruction in every lane, whatever its context had left.
fn within_budget(
    result: Result<Value, Failure>,
    instructions: u64,
    script: &WireScript<'_>,
    shared: &Shared<'_>,
) -> Result<Value, Failure> {
    match instructions > shared.limits.instructions {
        true => Err(failure::failure(FailureKind::Instructions, script.name, "used up its instruction budget")),
        false => result,
    }
}

/// A call that was refused decides how the run ended, also when the script caught the exception.
fn unless_refused(result: Result<Value, Failure>, realm: &Realm, script: &WireScript<'_>) -> Result<Value, Failure> {
    let Some(refusal) = realm.host.take_refusal() else { return result };
    let failure = failure::failure(FailureKind::HttpRefused, script.name, &refusal.text);
    Err(match refusal.place {
        Some(place) => place.mark(failure),
        None => failure,
    })
}

fn not_warm(script: &WireScript<'_>, analysis: &Analysis) -> Outcome {
    let doubt = analysis.doubt.as_ref();
    let message = match doubt {
        Some(doubt) => format!("not proved for the warm lane: {}", doubt.what),
        None => "not proved for the warm lane: a criteria script it calls is not".to_owned(),
    };
    let mut outcome = not_run(script, FailureKind::Syntax, &message);
    if let (Err(failure), Some(span)) = (&mut outcome.result, doubt.and_then(|doubt| doubt.span)) {
        failure.line = Some(span.start.line);
        failure.column = Some(span.start.column);
    }
    outcome
}

fn crashed(script: &WireScript<'_>) -> Outcome {
    not_run(script, FailureKind::Crash, "the JavaScript engine could not start")
}

/// A script must never take claims that could not be read for claims that are missing.
fn unreadable(script: &WireScript<'_>) -> Outcome {
    not_run(script, FailureKind::Crash, "the claims could not be read")
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

/// An error for a state that cannot be, which ends the run and not the worker.
fn broken(what: &'static str) -> JsError {
    JsNativeError::error().with_message(what).into()
}
