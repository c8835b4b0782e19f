//! Asking gateways what only they know at this moment.
//!
//! A gateway opens a stream to be asked on; questions go out on it by number and answers come back in any order. Whoever
//! asks waits some seconds at most and learns by name what went wrong: nothing that was not answered looks like an answer.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use engine::id::ApplianceId;
use protocol::{
    carrier::{ReceiveHalf, SendHalf, Stream},
    frame::{self, FrameError},
    message::{Asked, GatewayAnswer, MAX_ANSWER, Question, Told},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// The streams of the gateways that can be asked.
#[derive(Debug, Default)]
pub struct Questions {
    lines: Mutex<BTreeMap<ApplianceId, Line>>,
    lines_so_far: AtomicU64,
}

/// Why a gateway gave no answer. The texts follow the gateway's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It has no stream to be asked on.
    #[error("is not connected")]
    NotConnected,
    /// As many questions wait as may.
    #[error("is asked too much at once; try again in a moment")]
    Busy,
    /// The stream ended before the answer.
    #[error("lost its connection before it answered")]
    Lost,
    /// No answer in time.
    #[error("did not answer within {} seconds", ASK_TIMEOUT.as_secs())]
    Silent,
    /// It refused.
    #[error("refused: {0}")]
    Refused(String),
    /// It answered something else.
    #[error("answered something else than was asked")]
    Confused,
}

/// One gateway's stream, from the side of those who ask.
#[derive(Debug)]
struct Line {
    /// Tells a new stream of the same gateway from an old one that ends late.
    number: u64,
    pending: mpsc::Sender<Pending>,
}

/// Who asked, and at once hears why when there is no answer.
type Answer = oneshot::Sender<Result<GatewayAnswer, AskError>>;

#[derive(Debug)]
struct Pending {
    question: Question,
    answer: Answer,
}

impl Questions {
    /// Asks one gateway and waits for its answer.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn ask(&self, appliance: ApplianceId, question: Question) -> Result<GatewayAnswer, AskError> {
        let line = self.lock().get(&appliance).map(|line| line.pending.clone()).ok_or(AskError::NotConnected)?;
        let (answer, answered) = oneshot::channel();
        line.try_send(Pending { question, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::NotConnected,
        })?;
        match timeout(ASK_TIMEOUT, answered).await {
            Err(_) => Err(AskError::Silent),
            Ok(Err(_)) => Err(AskError::Lost),
            Ok(Ok(Ok(GatewayAnswer::Refused(refusal)))) => Err(AskError::Refused(refusal.message)),
            Ok(Ok(answer)) => answer,
        }
    }

    /// Puts questions on an admitted gateway's stream until it ends.
    pub(crate) async fn serve(&self, appliance: ApplianceId, stream: Stream) -> Result<(), FrameError> {
        let Stream { mut send, mut receive } = stream;
        let (pending, questions) = mpsc::channel(MAX_PENDING);
        let _place = self.register(appliance, pending);
        let waiting = Waiting::default();
        tokio::select! {
            ended = put(send.as_mut(), questions, &waiting) => ended,
            ended = hear(receive.as_mut(), &waiting) => ended,
        }
    }

    fn register(&self, appliance: ApplianceId, pending: mpsc::Sender<Pending>) -> Place<'_> {
        let number = self.lines_so_far.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(appliance, Line { number, pending });
        Place { questions: self, appliance, number }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ApplianceId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A gateway's place among those that can be asked, while its stream lives.
struct Place<'a> {
    questions: &'a Questions,
    appliance: ApplianceId,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self.questions.lock();
        if lines.get(&self.appliance).is_some_and(|line| line.number == self.number) {
            lines.remove(&self.appliance);
        }
    }
}

/// Who waits for the answers of one stream.
#[derive(Default)]
struct Waiting(Mutex<BTreeMap<u64, Answer>>);

impl Waiting {
    /// Takes in one more, unless there are as many as may be; those who gave up make room.
    fn enter(&self, number: u64, answer: Answer) -> Result<(), Answer> {
        let mut waiting = self.lock();
        waiting.retain(|_, answer| !answer.is_closed());
        if waiting.len() >= MAX_PENDING {
            return Err(answer);
        }
        waiting.insert(number, answer);
        Ok(())
    }

    fn leave(&self, number: u64) -> Option<Answer> {
        self.lock().remove(&number)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn put(
    send: &mut dyn SendHalf,
    mut questions: mpsc::Receiver<Pending>,
    waiting: &Waiting,
) -> Result<(), FrameError> {
    let mut number = 0;
    while let Some(Pending { question, answer }) = questions.recv().await {
        number += 1;
        if answer.is_closed() {
            continue;
        }
        if let Err(answer) = waiting.enter(number, answer) {
            let _ = answer.send(Err(AskError::Busy));
            continue;
        }
        let written = timeout(ASK_TIMEOUT, frame::write_frame(send, &Asked { number, question })).await;
        written.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    }
    // Another stream of the same gateway took its place.
    Ok(())
}

async fn hear(receive: &mut dyn ReceiveHalf, waiting: &Waiting) -> Result<(), FrameError> {
    loop {
        let told: Told = frame::read_frame(receive, MAX_ANSWER).await?;
        // An answer that comes too late is nobody's.
        if let Some(answer) = waiting.leave(told.number) {
            let _ = answer.send(Ok(told.answer));
        }
    }
}

/// How long a gateway may take. A call of the admin API that asks takes as long at most.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Questions of one gateway that wait.
const MAX_PENDING: usize = 64;
