//! One part of a batch in one worker: sends it, waits with an eye on the clocks, serves its calls, and knows whom to blame.

use std::sync::Arc;
use std::time::Duration;

use engine::script::FailureKind;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::calls::Calls;
use super::clock::{Verdict, Watch};
use super::job::{Hidden, Job};
use super::parking::Place;
use super::process::Worker;
use crate::batch::RunRecord;
use crate::wire::{Answer, FromWorker, ToWorker};

/// Workers tried when one is gone before it began its work.
const MAX_TRIES: usize = 4;
/// Processor time after which a worker is replaced, well before the kernel would end it.
const WORKER_LIFE: Duration = Duration::from_secs(1800);

pub(super) const ENDED: &str = "the worker process ended";
pub(super) const MEMORY: &str = "reached the memory limit";

/// The right to use workers, for a part of a batch after the other.
pub(super) struct Session<'a> {
    pub(super) job: &'a Job,
    /// Absent while the run waits for HTTP.
    pub(super) slot: Option<SemaphorePermit<'a>>,
    /// The right to wait for HTTP, of a script that was known to do so.
    pub(super) place: Option<Place>,
    /// The same, for the rest of a run that was not known to.
    pub(super) passing_place: Option<Place>,
    /// Secrets, of which only a part of one script may have some.
    pub(super) hidden: Option<&'a Hidden>,
    tries: usize,
}

/// A worker at work.
pub(super) struct Active {
    pub(super) worker: Worker,
    pub(super) watch: Watch,
    /// What the run under way asked for.
    pub(super) calls: Calls,
    /// Place in the batch of the run under way.
    pub(super) index: usize,
    /// When the clocks are looked at next.
    pub(super) look_at: Instant,
}

/// Why a worker must not be used again.
pub(super) struct Killed(pub(super) FailureKind, pub(super) String);

impl<'a> Session<'a> {
    pub(super) fn new(job: &'a Job, slot: SemaphorePermit<'a>) -> Self {
        Self { job, slot: Some(slot), place: None, passing_place: None, hidden: None, tries: 0 }
    }

    /// Runs these scripts of the batch in one worker; what they leave may still hold secrets. Scripts without a record have not run and made no call: they are to be run again.
    pub(super) async fn part(&mut self, part: &[usize]) -> Vec<(usize, RunRecord)> {
        if let Some(message) = self.hidden.and_then(|hidden| hidden.veil.refusal()) {
            let refuse =
                |index: &usize| (*index, self.job.failed(*index, FailureKind::Syntax, &message, Duration::ZERO));
            return part.iter().map(refuse).collect();
        }
        let Some(mut active) = self.begin(part).await else {
            let refuse = |index: &usize| {
                let record =
                    self.job.failed(*index, FailureKind::Overloaded, "no script worker is ready", Duration::ZERO);
                (*index, record)
            };
            return part.iter().map(refuse).collect();
        };
        let mut records = Vec::with_capacity(part.len());
        for index in part {
            active.index = *index;
            match self.answer(&mut active).await {
                Ok(answer) => {
                    let retire = answer.retire || answer.cpu > WORKER_LIFE;
                    active.worker.cpu = answer.cpu;
                    active.watch.answered();
                    records.push((*index, self.record(*index, answer, &mut active.calls)));
                    self.passing_place = None;
                    if retire {
                        return records;
                    }
                }
                Err(killed) => {
                    records.extend(self.blame(part, active, killed).await);
                    return records;
                }
            }
        }
        if self.hidden.is_none() {
            self.job.state.pool.put(active.worker);
        }
        records
    }

    /// Gives the part to a worker; one that turns out to be gone before it took the request has not run anything.
    async fn begin(&self, part: &[usize]) -> Option<Active> {
        let pool = &self.job.state.pool;
        let mut request = self.job.request(part, self.hidden);
        for _ in 0..MAX_TRIES {
            let mut worker = pool.take().await?;
            request.serial = worker.next_serial();
            let message = ToWorker::Batch(request);
            let sent = timeout(pool.config.wall_deadline, worker.send(&message)).await;
            if let Ok(Ok(())) = sent {
                let watch = Watch::new(&pool.config, &worker, part.len());
                let look_at = Instant::now() + watch.first_wait();
                return Some(Active { worker, watch, calls: Calls::default(), index: 0, look_at });
            }
            let ToWorker::Batch(again) = message else { return None };
            request = again;
        }
        None
    }

    /// Waits for the answer of the run under way as long as it keeps within its times.
    async fn answer(&mut self, active: &mut Active) -> Result<Answer, Killed> {
        loop {
            match timeout_at(active.look_at, active.worker.receive()).await {
                Ok(Ok(FromWorker::Answer(answer))) => return Ok(answer),
                Ok(Ok(FromWorker::Call(call))) => {
                    let reply = ToWorker::Reply(self.serve(active, call).await?);
                    let wait = self.job.state.pool.config.wall_deadline;
                    match timeout(wait, active.worker.send(&reply)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) | Err(_) => return Err(Killed(FailureKind::Crash, ENDED.to_owned())),
                    }
                }
                Ok(Ok(FromWorker::OutOfMemory)) => return Err(Killed(FailureKind::Memory, MEMORY.to_owned())),
                Ok(Ok(FromWorker::Hello(_) | FromWorker::Admission(_)) | Err(_)) => {
                    return Err(Killed(FailureKind::Crash, ENDED.to_owned()));
                }
                Err(_) => match active.watch.check(&active.worker) {
                    Verdict::Wait(wait) => active.look_at = Instant::now() + wait,
                    Verdict::Over(kind, message) => return Err(Killed(kind, message)),
                },
            }
        }
    }

    fn record(&self, index: usize, answer: Answer, calls: &mut Calls) -> RunRecord {
        let Answer { result, output, duration, instructions, lane, claims_read, cpu: _, retire: _ } = answer;
        let (http_calls, audit) = calls.take();
        let script = self.job.script(index).map(|(script, _)| Arc::clone(&script.name)).unwrap_or_default();
        RunRecord { script, result, output, duration, instructions, lane, claims_read, http_calls, audit }
    }

    /// The record of the run that a worker was killed for or ended in; none when it had not begun any and another may be tried.
    async fn blame(&mut self, part: &[usize], mut active: Active, killed: Killed) -> Option<(usize, RunRecord)> {
        let Killed(kind, message) = killed;
        if kind == FailureKind::Crash && !active.watch.has_begun(&active.worker) && self.tries < MAX_TRIES {
            self.tries += 1;
            return None;
        }
        self.job.state.pool.counters.killed();
        let culprit = *part.get(active.watch.index(&active.worker))?;
        if kind == FailureKind::Crash && active.worker.was_killed_from_outside().await {
            self.job.note_lost(culprit);
        }
        let mut record = self.job.failed(culprit, kind, &message, active.watch.wall_used(&active.worker));
        // Calls leave after every answer before them, so they are of the run under way or of nobody.
        if culprit == active.index {
            (record.http_calls, record.audit) = active.calls.take();
        }
        Some((culprit, record))
    }
}
