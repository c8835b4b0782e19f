//! The messages themselves.

use std::time::Duration;

use engine::script::lanes::Lane;
use engine::script::tree::Tree;
use engine::script::{Failure, FailureKind, ScriptKind};
use serde_json::Value;

use super::call::{HostCall, HostReply};
use super::codec::{Malformed, Reader, Writer};
use super::tree::{read_tree, write_tree};

/// What a worker says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Thread that evaluates, for its processor time.
    pub(crate) thread: u32,
    /// Isolation layers in force, one bit each.
    pub(crate) layers: u32,
}

/// What a run may use; the worker ends a run over either bound by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) instructions: u64,
    pub(crate) memory: u64,
    /// Whether strings and lists have the members that Java gives theirs.
    pub(crate) java_members: bool,
}

/// A script as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireScript<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ScriptKind,
    pub(crate) source: &'a str,
    /// Holds the value of a secret: it runs in a context of its own, and nothing of it is kept.
    pub(crate) secret: bool,
}

/// Which lanes of a worker a batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireLane {
    /// Whichever each script is proved for.
    Any,
    /// The warm one; a script that is not proved for it fails.
    Warm,
    /// The fresh one.
    Fresh,
}

/// Scripts to run one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRequest<'a> {
    pub(crate) limits: Limits,
    /// Tells the batches of one worker apart in its progress record.
    pub(crate) serial: u32,
    pub(crate) lane: WireLane,
    pub(crate) now_ms: i64,
    /// JSON text.
    pub(crate) claims: &'a [u8],
    pub(crate) criteria: Vec<WireScript<'a>>,
    pub(crate) scripts: Vec<WireScript<'a>>,
}

/// A script to read, not to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdmitRequest<'a> {
    pub(crate) limits: Limits,
    pub(crate) script: WireScript<'a>,
}

/// What the supervisor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToWorker<'a> {
    Batch(BatchRequest<'a>),
    Admit(AdmitRequest<'a>),
    /// The answer to the worker's call.
    Reply(HostReply),
}

/// How one run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) result: Result<Value, Failure>,
    pub(crate) output: String,
    pub(crate) duration: Duration,
    pub(crate) instructions: u64,
    pub(crate) lane: Lane,
    pub(crate) claims_read: Vec<String>,
    /// Processor time of the evaluating thread when the run began.
    pub(crate) cpu: Duration,
    /// The worker holds more memory than it should; it is to be replaced.
    pub(crate) retire: bool,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FromWorker {
    Hello(Hello),
    Answer(Answer),
    Admission(Result<Tree, Failure>),
    /// The running script asks for something; the worker waits for the reply.
    Call(HostCall),
    /// The memory cap was reached; the worker is ending.
    OutOfMemory,
}

const BATCH: u8 = 1;
const ADMIT: u8 = 2;
const REPLY: u8 = 3;
const HELLO: u8 = 11;
const ANSWER: u8 = 12;
const ADMISSION: u8 = 13;
const OUT_OF_MEMORY: u8 = 14;
const CALL: u8 = 15;

impl ToWorker<'_> {
    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Batch(batch) => {
                to.u8(BATCH);
                batch.limits.write(to);
                to.u32(batch.serial);
                to.u8(batch.lane.code());
                to.i64(batch.now_ms);
                to.bytes(batch.claims);
                write_scripts(&batch.criteria, to);
                write_scripts(&batch.scripts, to);
            }
            Self::Admit(admit) => {
                to.u8(ADMIT);
                admit.limits.write(to);
                admit.script.write(to);
            }
            Self::Reply(reply) => {
                to.u8(REPLY);
                reply.write(to);
            }
        }
    }
}

impl<'a> ToWorker<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(body);
        let message = match from.u8()? {
            BATCH => Self::Batch(BatchRequest {
                limits: Limits::read(&mut from)?,
                serial: from.u32()?,
                lane: WireLane::read(&mut from)?,
                now_ms: from.i64()?,
                claims: from.bytes()?,
                criteria: read_scripts(&mut from)?,
                scripts: read_scripts(&mut from)?,
            }),
            ADMIT => {
                Self::Admit(AdmitRequest { limits: Limits::read(&mut from)?, script: WireScript::read(&mut from)? })
            }
            REPLY => Self::Reply(HostReply::read(&mut from)?),
            _ => return Err(Malformed("unknown tag")),
        };
        from.end()?;
        Ok(message)
    }
}

impl FromWorker {
    /// The whole frame that says [`FromWorker::OutOfMemory`], for a place that must not allocate.
    pub(crate) const OUT_OF_MEMORY_FRAME: [u8; 5] = [1, 0, 0, 0, OUT_OF_MEMORY];

    pub(crate) fn write(&self, to: &mut Writer<'_>) {
        match self {
            Self::Hello(hello) => {
                to.u8(HELLO);
                to.u32(hello.thread);
                to.u32(hello.layers);
            }
            Self::Answer(answer) => {
                to.u8(ANSWER);
                answer.write(to);
            }
            Self::Admission(Ok(tree)) => {
                to.u8(ADMISSION);
                to.u8(1);
                write_tree(tree, to);
            }
            Self::Admission(Err(failure)) => {
                to.u8(ADMISSION);
                to.u8(0);
                write_failure(failure, to);
            }
            Self::Call(call) => {
                to.u8(CALL);
                call.write(to);
            }
            Self::OutOfMemory => to.u8(OUT_OF_MEMORY),
        }
    }

    pub(crate) fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(body);
        let message = match from.u8()? {
            HELLO => Self::Hello(Hello { thread: from.u32()?, layers: from.u32()? }),
            ANSWER => Self::Answer(Answer::read(&mut from)?),
            ADMISSION if from.u8()? == 1 => Self::Admission(Ok(read_tree(&mut from)?)),
            ADMISSION => Self::Admission(Err(read_failure(&mut from)?)),
            CALL => Self::Call(HostCall::read(&mut from)?),
            OUT_OF_MEMORY => Self::OutOfMemory,
            _ => return Err(Malformed("unknown tag")),
        };
        from.end()?;
        Ok(message)
    }
}

impl Limits {
    fn write(self, to: &mut Writer<'_>) {
        to.u64(self.instructions);
        to.u64(self.memory);
        to.u8(u8::from(self.java_members));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { instructions: from.u64()?, memory: from.u64()?, java_members: from.u8()? != 0 })
    }
}

impl<'a> WireScript<'a> {
    fn write(&self, to: &mut Writer<'_>) {
        to.u8(kind_code(self.kind));
        to.u8(u8::from(self.secret));
        to.text(self.name);
        to.text(self.source);
    }

    fn read(from: &mut Reader<'a>) -> Result<Self, Malformed> {
        let code = from.u8()?;
        let kind =
            KINDS.iter().copied().find(|kind| kind_code(*kind) == code).ok_or(Malformed("unknown script kind"))?;
        Ok(Self { kind, secret: from.u8()? != 0, name: from.text()?, source: from.text()? })
    }
}

impl WireLane {
    fn code(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Warm => 1,
            Self::Fresh => 2,
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.u8()? {
            0 => Ok(Self::Any),
            1 => Ok(Self::Warm),
            2 => Ok(Self::Fresh),
            _ => Err(Malformed("unknown lane")),
        }
    }
}

impl Answer {
    fn write(&self, to: &mut Writer<'_>) {
        match &self.result {
            Ok(Value::Bool(false)) => to.u8(0),
            Ok(Value::Bool(true)) => to.u8(1),
            Ok(value) => {
                to.u8(2);
                to.text(&value.to_string());
            }
            Err(failure) => {
                to.u8(3);
                write_failure(failure, to);
            }
        }
        to.text(&self.output);
        to.u64(nanoseconds(self.duration));
        to.u64(self.instructions);
        to.u8(u8::from(self.lane == Lane::Warm));
        write_texts(&self.claims_read, to);
        to.u64(nanoseconds(self.cpu));
        to.u8(u8::from(self.retire));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let result = match from.u8()? {
            0 => Ok(Value::Bool(false)),
            1 => Ok(Value::Bool(true)),
            2 => Ok(serde_json::from_str(from.text()?).map_err(|_| Malformed("result is no JSON"))?),
            3 => Err(read_failure(from)?),
            _ => return Err(Malformed("unknown outcome")),
        };
        Ok(Self {
            result,
            output: from.text()?.to_owned(),
            duration: Duration::from_nanos(from.u64()?),
            instructions: from.u64()?,
            lane: read_lane(from)?,
            claims_read: read_texts(from)?,
            cpu: Duration::from_nanos(from.u64()?),
            retire: from.u8()? != 0,
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn read_lane(from: &mut Reader<'_>) -> Result<Lane, Malformed> {
    Ok(if from.u8()? == 0 { Lane::Fresh } else { Lane::Warm })
}

fn write_scripts(scripts: &[WireScript<'_>], to: &mut Writer<'_>) {
    to.count(scripts.len());
    scripts.iter().for_each(|script| script.write(to));
}

fn read_scripts<'a>(from: &mut Reader<'a>) -> Result<Vec<WireScript<'a>>, Malformed> {
    (0..from.count()?).map(|_| WireScript::read(from)).collect()
}

fn write_texts(texts: &[String], to: &mut Writer<'_>) {
    to.count(texts.len());
    texts.iter().for_each(|text| to.text(text));
}

fn read_texts(from: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    (0..from.count()?).map(|_| from.text().map(str::to_owned)).collect()
}

fn write_failure(failure: &Failure, to: &mut Writer<'_>) {
    to.text(failure.kind.as_str());
    to.text(&failure.script);
    to.text(&failure.message);
    to.optional_u32(failure.line);
    to.optional_u32(failure.column);
}

fn read_failure(from: &mut Reader<'_>) -> Result<Failure, Malformed> {
    let code = from.text()?;
    let kind = FAILURES.iter().copied().find(|kind| kind.as_str() == code).ok_or(Malformed("unknown failure"))?;
    Ok(Failure {
        kind,
        script: from.text()?.to_owned(),
        message: from.text()?.to_owned(),
        line: from.optional_u32()?,
        column: from.optional_u32()?,
    })
}

fn kind_code(kind: ScriptKind) -> u8 {
    match kind {
        ScriptKind::Policy => 1,
        ScriptKind::Criteria => 2,
        ScriptKind::Condition => 3,
        ScriptKind::Host => 4,
        ScriptKind::PortOrType => 5,
        ScriptKind::AppShortcut => 6,
        ScriptKind::UserClaim => 7,
    }
}

const KINDS: [ScriptKind; 7] = [
    ScriptKind::Policy,
    ScriptKind::Criteria,
    ScriptKind::Condition,
    ScriptKind::Host,
    ScriptKind::PortOrType,
    ScriptKind::AppShortcut,
    ScriptKind::UserClaim,
];

const FAILURES: [FailureKind; 12] = [
    FailureKind::Syntax,
    FailureKind::Type,
    FailureKind::Thrown,
    FailureKind::Timeout,
    FailureKind::Instructions,
    FailureKind::Memory,
    FailureKind::Crash,
    FailureKind::HttpRefused,
    FailureKind::SecretMissing,
    FailureKind::WrongResult,
    FailureKind::Overloaded,
    FailureKind::Quarantined,
];
