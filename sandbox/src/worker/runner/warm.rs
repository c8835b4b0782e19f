//! The warm lane: compiled functions in one prepared context, which runs of proven scripts share.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use boa_engine::object::builtins::JsFunction;
use boa_engine::{JsResult, JsValue};
use engine::script::FailureKind;
use engine::script::lanes::{Analysis, Lane};

use super::{Outcome, Runner, Shared, broken, criteria, failure, finish};
use crate::wire::{Limits, WireScript};
use crate::worker::failure::{CRITERION, MAIN};
use crate::worker::link::Link;
use crate::worker::parse::{HEAD, TAIL};
use crate::worker::realm::Realm;
use crate::worker::value::RunClaims;

/// Part of a run's budget that a context has beyond one; a run starts only while a whole budget is left,
/// and one that never ends gets no further than this.
const BEYOND: u64 = 4;
/// Most functions kept; then the context, with all its texts and shapes, is thrown away.
const MAX_FUNCTIONS: usize = 2048;
/// Deepest chain of criteria calling criteria that is looked at.
const MAX_CHAIN: usize = 8;

/// The prepared context and what was made in it.
pub(super) struct Warm {
    realm: Realm,
    limits: Limits,
    functions: HashMap<Box<str>, JsFunction>,
    claims_text: Vec<u8>,
    claims: Option<RunClaims>,
}

impl Warm {
    fn new(limits: Limits, link: Rc<dyn Link>) -> JsResult<Self> {
        let life = limits.instructions.saturating_add(limits.instructions / BEYOND);
        let realm = Realm::new(life, limits.java_members, link)?;
        Ok(Self { realm, limits, functions: HashMap::new(), claims_text: Vec::new(), claims: None })
    }

    fn fits(&self, limits: Limits) -> bool {
        self.limits == limits
            && self.realm.instructions_left() > limits.instructions
            && self.functions.len() < MAX_FUNCTIONS
    }

    /// The claims as values; made once for as long as they stay the same, which the proof of the lane allows.
    fn claims(&mut self, shared: &Shared<'_>) -> Option<RunClaims> {
        if self.claims_text == shared.claims {
            return self.claims.clone();
        }
        self.claims = self.realm.protos.claims(shared.claims, &mut self.realm.context);
        self.claims_text.clear();
        self.claims_text.extend_from_slice(shared.claims);
        self.claims.clone()
    }
}

impl Runner {
    /// Whether the script and every criterion it calls are proved to write nothing.
    pub(super) fn runs_warm(&mut self, script: &WireScript<'_>, analysis: &Analysis, shared: &Shared<'_>) -> bool {
        analysis.lane() == Lane::Warm
            && (analysis.criteria.is_empty() || criteria::sees_criteria(script.kind))
            && analysis.criteria.iter().all(|name| self.criterion_is_warm(name, shared, MAX_CHAIN))
    }

    fn criterion_is_warm(&mut self, name: &str, shared: &Shared<'_>, chain: usize) -> bool {
        let Some(source) = shared.criteria.source(name).filter(|_| chain > 0) else {
            return false;
        };
        match self.read(source).as_ref() {
            Ok(analysis) => {
                analysis.lane() == Lane::Warm
                    && analysis.criteria.iter().all(|name| self.criterion_is_warm(name, shared, chain - 1))
            }
            Err(_) => false,
        }
    }

    pub(super) fn run_warm(&mut self, script: &WireScript<'_>, analysis: &Analysis, shared: &Shared<'_>) -> Outcome {
        self.warm_use.used();
        let mut warm = match self
            .warm
            .take()
            .filter(|warm| warm.fits(shared.limits))
            .map_or_else(|| Warm::new(shared.limits, Rc::clone(&self.link)), Ok)
        {
            Ok(warm) => warm,
            Err(_) => return super::crashed(script),
        };
        let Some(claims) = warm.claims(shared) else {
            self.warm = Some(warm);
            return super::unreadable(script);
        };
        warm.realm.host.begin(shared.now_ms, &claims.responses, script.source);
        let function = match self.warm_function(MAIN, script.source, analysis, shared, &mut warm) {
            Ok(function) => function,
            Err(error) => {
                let result = Err(failure::from_error(&error, script.name, &mut warm.realm.context));
                return Outcome { result, output: String::new(), instructions: 0, lane: Lane::Warm };
            }
        };
        let before = warm.realm.instructions_left();
        let result = finish(&mut warm.realm, script, |realm| realm.call(&function, &claims.value));
        let instructions = before.saturating_sub(warm.realm.instructions_left());
        let result = super::within_budget(result, instructions, script, shared);
        let output = warm.realm.host.take_output();
        // A context in which a run was cut short may be in any state.
        let cut = result
            .as_ref()
            .is_err_and(|failure| matches!(failure.kind, FailureKind::Instructions | FailureKind::Crash));
        let result = super::unless_refused(result, &warm.realm, script);
        self.warm = (!cut).then_some(warm);
        Outcome { result, output, instructions, lane: Lane::Warm }
    }

    /// The compiled function of a warm script, closed over the functions of the criteria it calls.
    fn warm_function(
        &mut self,
        path: &str,
        source: &str,
        analysis: &Analysis,
        shared: &Shared<'_>,
        warm: &mut Warm,
    ) -> JsResult<JsFunction> {
        if path == MAIN && analysis.criteria.is_empty() {
            if let Some(known) = warm.functions.get(source) {
                return Ok(known.clone());
            }
            let function = warm.realm.compile(&format!("{HEAD}{source}{TAIL}"), path)?;
            warm.functions.insert(source.into(), function.clone());
            return Ok(function);
        }
        let key = self.key(path, source, analysis, shared);
        if let Some(known) = warm.functions.get(key.as_str()) {
            return Ok(known.clone());
        }
        let mut called = Vec::new();
        for name in &analysis.criteria {
            let criterion = shared.criteria.source(name).ok_or_else(|| broken("a criterion is missing"))?;
            let read = self.read(criterion);
            let Ok(read) = read.as_ref() else { return Err(broken("a criterion does not parse")) };
            let function = self.warm_function(&format!("{CRITERION}{name}"), criterion, read, shared, warm)?;
            called.push(JsValue::from(function));
        }
        // The criteria are parameters of an outer function, so that nothing is written to the shared global object.
        let names = analysis.criteria.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(",");
        let outer = warm.realm.compile(&format!("(function ({names}) {{ return {HEAD}{source}{TAIL}; }})"), path)?;
        let function = outer.call(&JsValue::undefined(), &called, &mut warm.realm.context)?;
        let function = function.as_function().ok_or_else(|| broken("the script is no function"))?;
        warm.functions.insert(key.into(), function.clone());
        Ok(function)
    }

    /// Everything a compiled function with criteria depends on, each text with its length before it.
    fn key(&mut self, path: &str, source: &str, analysis: &Analysis, shared: &Shared<'_>) -> String {
        let mut key = format!("{path}\0{}\0{source}", source.len());
        let mut unread: Vec<Box<str>> = analysis.criteria.iter().rev().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = unread.pop() {
            if let Some(criterion) = shared.criteria.source(&name).filter(|_| seen.insert(name.clone())) {
                key.push_str(&format!("\0{name}\0{}\0{criterion}", criterion.len()));
                if let Ok(read) = self.read(criterion).as_ref() {
                    unread.extend(read.criteria.iter().rev().cloned());
                }
            }
        }
        key
    }

    /// The claims the script names, those of its criteria included.
    pub(super) fn claims_read(&mut self, analysis: &Analysis, shared: &Shared<'_>) -> Vec<String> {
        if analysis.criteria.is_empty() {
            return analysis.claims.iter().cloned().collect();
        }
        let mut claims = analysis.claims.clone();
        let mut unread: Vec<Box<str>> = analysis.criteria.iter().cloned().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = unread.pop() {
            if let Some(criterion) = shared.criteria.source(&name).filter(|_| seen.insert(name.clone()))
                && let Ok(read) = self.read(criterion).as_ref()
            {
                claims.extend(read.claims.iter().cloned());
                unread.extend(read.criteria.iter().cloned());
            }
        }
        claims.into_iter().collect()
    }
}
