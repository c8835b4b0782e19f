//! One JavaScript context as scripts see it: our clock, our limits, our globals, and nothing that tells one run from another.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use boa_engine::context::time::{Clock, JsInstant};
use boa_engine::context::{ContextBuilder, HostHooks};
use boa_engine::job::{Job, JobExecutor, PromiseJob};
use boa_engine::module::IdleModuleLoader;
use boa_engine::object::builtins::JsFunction;
use boa_engine::realm::Realm as JsRealm;
use boa_engine::{Context, JsError, JsNativeError, JsResult, JsString, JsValue, Source};

use super::globals::{self, Host};
use super::link::Link;
use super::value::ClaimProtos;

/// Calls within calls; the stack of the evaluating thread has room for many times as many.
const MAX_CALLS: usize = 512;
/// Slots of the engine's own stack.
const MAX_SLOTS: usize = 64 * 1024;
/// Largest `ArrayBuffer`.
const MAX_BUFFER: u64 = 1024 * 1024;
/// Promise jobs one run may have; what is queued beyond is dropped.
const MAX_JOBS: usize = 1000;

/// A context with our globals.
pub(super) struct Realm {
    pub(super) context: Context,
    pub(super) host: Rc<Host>,
    pub(super) protos: ClaimProtos,
}

impl Realm {
    /// Makes a context that can run `instructions` in its life; its scripts' calls go through `link`.
    pub(super) fn new(instructions: u64, java_members: bool, link: Rc<dyn Link>) -> JsResult<Self> {
        let host = Rc::new(Host::new(link));
        let mut context = ContextBuilder::new()
            .host_hooks(Rc::new(Hooks))
            .clock(Rc::new(RunClock(Rc::clone(&host))))
            .job_executor(Rc::new(Jobs::default()))
            .module_loader(Rc::new(IdleModuleLoader))
            .instructions_remaining(usize::try_from(instructions).unwrap_or(usize::MAX))
            .build()?;
        let limits = context.runtime_limits_mut();
        limits.set_recursion_limit(MAX_CALLS);
        limits.set_stack_size_limit(MAX_SLOTS);
        context.insert_data(Rc::clone(&host));
        globals::install(java_members, &mut context)?;
        let protos = ClaimProtos::new(&context);
        Ok(Self { context, host, protos })
    }

    /// Instructions this context can still run.
    pub(super) fn instructions_left(&self) -> u64 {
        u64::try_from(self.context.instructions_remaining()).unwrap_or(u64::MAX)
    }

    /// Evaluates `text`, which is one function expression, under `path` in the positions of errors.
    pub(super) fn compile(&mut self, text: &str, path: &str) -> JsResult<JsFunction> {
        let value = self.context.eval(Source::from_bytes(text).with_path(Path::new(path)))?;
        value
            .as_function()
            .ok_or_else(|| JsError::from_native(JsNativeError::typ().with_message("the script is no function")))
    }

    /// Calls a script's function with the claims, then runs what promises it left.
    pub(super) fn call(&mut self, function: &JsFunction, claims: &JsValue) -> JsResult<JsValue> {
        let result = function.call(&JsValue::undefined(), std::slice::from_ref(claims), &mut self.context)?;
        self.context.run_jobs()?;
        Ok(result)
    }
}

/// No code from strings, UTC, small buffers.
struct Hooks;

impl HostHooks for Hooks {
    fn ensure_can_compile_strings(
        &self,
        _: JsRealm,
        _: &[JsString],
        _: &JsString,
        _: bool,
        _: &mut Context,
    ) -> JsResult<()> {
        Err(JsNativeError::typ().with_message("code from strings is not allowed").into())
    }

    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }

    fn max_buffer_size(&self, _: &mut Context) -> u64 {
        MAX_BUFFER
    }
}

/// A clock that stands at the batch's time.
struct RunClock(Rc<Host>);

impl Clock for RunClock {
    fn now(&self) -> JsInstant {
        JsInstant::new(0, 0)
    }

    fn system_time_millis(&self) -> i64 {
        self.0.now_ms()
    }
}

/// Promise jobs in order, a bounded number of them; nothing else ever runs later.
#[derive(Default)]
struct Jobs {
    queue: RefCell<VecDeque<PromiseJob>>,
    taken: Cell<usize>,
}

impl JobExecutor for Jobs {
    fn enqueue_job(self: Rc<Self>, job: Job, _: &mut Context) {
        if let Job::PromiseJob(job) = job
            && self.taken.get() < MAX_JOBS
        {
            self.taken.set(self.taken.get() + 1);
            self.queue.borrow_mut().push_back(job);
        }
    }

    fn run_jobs(self: Rc<Self>, context: &mut Context) -> JsResult<()> {
        loop {
            let Some(job) = self.queue.borrow_mut().pop_front() else {
                return Ok(());
            };
            if let Err(error) = job.call(context)
                && error.as_engine().is_some()
            {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use boa_engine::property::PropertyKey;
    use engine::script::lanes::is_reserved_global;

    use super::Realm;
    use crate::wire::{HostCall, HostReply};
    use crate::worker::link::Link;

    struct Nobody;

    impl Link for Nobody {
        fn call(&self, _: HostCall) -> HostReply {
            HostReply::Nothing
        }
    }

    /// Otherwise a criteria script could hide a built-in in one lane and not in the other.
    #[test]
    fn every_global_name_is_reserved() {
        let mut realm = Realm::new(1000, true, Rc::new(Nobody)).unwrap();
        let global = realm.context.global_object();
        for key in global.own_property_keys(&mut realm.context).unwrap() {
            if let PropertyKey::String(name) = key {
                let name = name.to_std_string_lossy();
                assert!(is_reserved_global(&name), "{name}");
            }
        }
    }
}
