//! What goes into the sandbox and what comes out.

use std::sync::Arc;
use std::time::Duration;

use engine::script::lanes::{Analysis, Lane};
use engine::script::tree::Tree;
use engine::script::{Failure, ScriptKind};
use serde_json::Value;
use time::OffsetDateTime;

use crate::http::HttpCall;
use crate::secrets::Secrets;

/// One script as its author wrote it.
#[derive(Debug, Clone)]
pub struct Script {
    /// Name for records and messages; criteria are called by it.
    pub name: Arc<str>,
    /// The contract its result is held to.
    pub kind: ScriptKind,
    /// The body of a function.
    pub source: Arc<str>,
}

/// Scripts that see the same claims at the same time.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `{user, device, system}`. A fourth member `responses`, a list of `{suffix, kind, at}` with `kind` one of `password`, `otp`, `reason`
    /// and `at` in seconds since 1970, feeds the helpers `hasPassword`, `hasOtp`, `hasReason` and is not visible to scripts.
    pub claims: Arc<Value>,
    /// What the scripts' clock says.
    pub now: OffsetDateTime,
    /// What to run, in this order.
    pub scripts: Vec<Script>,
    /// What policies and criteria can call by name.
    pub criteria: Arc<[Script]>,
    /// Secrets the scripts may name.
    pub secrets: Secrets,
    /// For whom it runs, such as a user's name: quotas are kept by it. Empty when it is nobody.
    pub subject: Arc<str>,
    /// Why it runs.
    pub purpose: Purpose,
    /// Whether somebody waits for it.
    pub urgency: Urgency,
    /// Where to run; [`LaneChoice::Auto`] unless an author compares lanes.
    pub lane: LaneChoice,
}

impl Batch {
    /// A live batch without secrets, for nobody, in whichever lane, that somebody waits for.
    pub fn new(claims: Arc<Value>, now: OffsetDateTime, scripts: Vec<Script>, criteria: Arc<[Script]>) -> Self {
        Self {
            claims,
            now,
            scripts,
            criteria,
            secrets: Secrets::default(),
            subject: "".into(),
            purpose: Purpose::Live,
            urgency: Urgency::Now,
            lane: LaneChoice::Auto,
        }
    }
}

/// Why scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Something depends on the answers.
    #[default]
    Live,
    /// An author tries them out: they have a cache of their own, and failures count neither towards quarantine nor are they kept by it from running.
    Test,
}

/// How urgent a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Urgency {
    /// Somebody waits for the answers.
    #[default]
    Now,
    /// One of very many that are asked anew: only so many of them stand in the queues that others hardly wait, and they may wait for as
    /// long as it takes.
    Background,
}

/// Which lane a batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LaneChoice {
    /// The cheapest that each script is proved for.
    #[default]
    Auto,
    /// This one. A script that is not proved for it fails as [`FailureKind::Syntax`](engine::script::FailureKind::Syntax), with what stands
    /// against it as the message.
    Only(Lane),
}

/// How one run ended and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The script's name.
    pub script: Arc<str>,
    /// The result in the shape its kind promises: a boolean, a list of strings, a list of objects or an object.
    pub result: Result<Value, Failure>,
    /// What it printed, one line a call.
    pub output: String,
    /// Wall time of the run.
    pub duration: Duration,
    /// Instructions of the JavaScript engine.
    pub instructions: u64,
    /// Where it ran; fresh for a run that never started.
    pub lane: Lane,
    /// Claims it names, such as `user.groups`; `*` when it takes all of them.
    pub claims_read: Vec<String>,
    /// Its HTTP calls, in order.
    pub http_calls: Vec<HttpCall>,
    /// What it gave to `auditLog`, in order.
    pub audit: Vec<String>,
}

/// What reading a script on save told about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// The script as our own syntax tree; secrets it names stand in it as dummies.
    pub tree: Arc<Tree>,
    /// What the tree says: its lane, criteria and claims.
    pub analysis: Analysis,
}
