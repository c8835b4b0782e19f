//! Answering what a controller asks, on a stream this gateway opened.
//!
//! A question is answered within its time or refused, so that an administrator never waits for a name server. Answering
//! changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use engine::{dn::DnEnding, object::HostSpec};
use protocol::{
    carrier::{CarrierError, ReceiveHalf, SendHalf, SharedCarrier, Stream},
    frame::{self, FrameError, MAX_MESSAGE},
    message::{Asked, ControllerRequest, GatewayAnswer, MAX_ANSWER, Question, Refusal, Resolution, Told},
};
use tokio::{io::AsyncWriteExt, sync::mpsc, task::JoinSet, time::timeout};

use crate::{gateway::Gateway, resolver::names::Known, session::net_text};

/// Answers questions on a connection for as long as it lives. A stream that fails is opened again: what else comes on the
/// connection matters more.
pub(crate) async fn answer(gateway: &Arc<Gateway>, carrier: &SharedCarrier) -> Infallible {
    loop {
        let Err(error) = answer_on_one_stream(gateway, carrier).await;
        tracing::warn!(%error, "Question stream failed");
        tokio::time::sleep(RETRY).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error("connection lost")]
    Carrier(#[from] CarrierError),
    #[error("question stream failed: {0}")]
    Frame(#[from] FrameError),
    #[error("the controller does not read an answer")]
    Stalled,
}

async fn answer_on_one_stream(gateway: &Arc<Gateway>, carrier: &SharedCarrier) -> Result<Infallible, AnswerError> {
    let mut stream = carrier.open().await?;
    frame::write_frame(&mut stream.send, &ControllerRequest::Questions).await?;
    let Stream { mut send, mut receive } = stream;
    let (answers, ready) = mpsc::channel(AT_ONCE);
    tokio::select! {
        ended = hear(gateway, receive.as_mut(), answers) => ended,
        ended = tell(send.as_mut(), ready) => ended,
    }
}

async fn hear(
    gateway: &Arc<Gateway>,
    receive: &mut dyn ReceiveHalf,
    answers: mpsc::Sender<Vec<u8>>,
) -> Result<Infallible, AnswerError> {
    let mut running = JoinSet::new();
    loop {
        let asked: Asked = frame::read_frame(receive, MAX_MESSAGE).await?;
        while running.try_join_next().is_some() {}
        if running.len() >= AT_ONCE {
            running.join_next().await;
        }
        let (gateway, answers) = (gateway.clone(), answers.clone());
        running.spawn(async move {
            if let Ok(told) = encoded(&gateway, asked).await {
                // Nobody takes it any more when the stream has failed.
                let _ = answers.send(told).await;
            }
        });
    }
}

async fn tell(send: &mut dyn SendHalf, mut ready: mpsc::Receiver<Vec<u8>>) -> Result<Infallible, AnswerError> {
    while let Some(told) = ready.recv().await {
        let written = timeout(WRITE_TIMEOUT, async {
            send.write_all(&told).await?;
            send.flush().await
        });
        written.await.map_err(|_| AnswerError::Stalled)?.map_err(FrameError::from)?;
    }
    // Nothing comes any more; whoever hears the questions says why.
    std::future::pending().await
}

/// The frame of the answer to one question; a refusal when the answer takes too long or is too long.
async fn encoded(gateway: &Gateway, asked: Asked) -> Result<Vec<u8>, FrameError> {
    let number = asked.number;
    let answered = timeout(ANSWER_TIMEOUT, answer_to(gateway, asked.question)).await;
    let answer = answered.unwrap_or_else(|_| refused("question.timeout", "the gateway found no answer in time"));
    let told = frame::encode(&Told { number, answer })?;
    if told.len() <= MAX_ANSWER {
        return Ok(told);
    }
    frame::encode(&Told {
        number,
        answer: refused("question.too-long", "the gateway's answer is longer than is taken"),
    })
}

async fn answer_to(gateway: &Gateway, question: Question) -> GatewayAnswer {
    match question {
        Question::Sessions { name } => {
            let sessions = gateway.registry.matching(&DnEnding::Device(name)).into_vec();
            let mut sessions: Vec<_> = sessions.iter().filter_map(|session| session.details()).collect();
            sessions.sort_by_key(|session| std::cmp::Reverse(session.since));
            sessions.truncate(MAX_SESSIONS);
            GatewayAnswer::Sessions { sessions }
        }
        Question::Resolve { resource } => GatewayAnswer::Resolved(resolve(gateway, &resource).await),
        Question::Names => names(gateway),
    }
}

async fn resolve(gateway: &Gateway, resource: &str) -> Resolution {
    match HostSpec::parse(resource) {
        Some(HostSpec::Net(net)) => Resolution { addresses: vec![net_text(&net)], error: None },
        Some(HostSpec::Name(name)) => match gateway.names.probe(&name).await {
            Ok(resolved) => resolution(&resolved.addresses, None),
            Err(error) => resolution(&BTreeSet::new(), Some(error.to_string())),
        },
        Some(HostSpec::Script(_)) => failed("a script answers for each session; use the test of entitlement scripts"),
        Some(HostSpec::Unresolved(_)) => failed(NOT_RESOLVED),
        None => failed("this is no address, network or name"),
    }
}

fn names(gateway: &Gateway) -> GatewayAnswer {
    let (mut used, mut unresolved) = (BTreeSet::new(), BTreeSet::new());
    for session in gateway.registry.all().into_vec() {
        session.collect_names(&mut used);
        session.collect_unresolved(&mut unresolved);
    }
    let truncated = used.len() + unresolved.len() > MAX_NAMES;
    let mut names = BTreeMap::new();
    for name in used.into_iter().take(MAX_NAMES) {
        let resolution = match gateway.names.known(&name) {
            Some(known) => resolution(&known.addresses, problem_of(&known)),
            None => failed("the name was not looked up yet"),
        };
        names.insert(name, resolution);
    }
    for host in unresolved.into_iter().take(MAX_NAMES.saturating_sub(names.len())) {
        names.insert(host, failed(NOT_RESOLVED));
    }
    GatewayAnswer::Names { names, truncated }
}

/// What an administrator should know of a name although it may have addresses.
fn problem_of(known: &Known) -> Option<String> {
    let rotates = || {
        let kept = known.lingering;
        format!("the name rotates: {kept} addresses that its newest answer lacks stay in the rules for a while")
    };
    known.error.map(|error| error.to_string()).or_else(|| (known.lingering > 0).then(rotates))
}

fn resolution(addresses: &BTreeSet<IpAddr>, error: Option<String>) -> Resolution {
    let more = addresses.len().saturating_sub(MAX_ADDRESSES);
    let error = error.or_else(|| (more > 0).then(|| format!("{more} more addresses are not shown")));
    Resolution { addresses: addresses.iter().take(MAX_ADDRESSES).map(ToString::to_string).collect(), error }
}

fn failed(text: &str) -> Resolution {
    Resolution { addresses: Vec::new(), error: Some(text.to_owned()) }
}

fn refused(code: &str, message: &str) -> GatewayAnswer {
    GatewayAnswer::Refused(Refusal { code: code.to_owned(), message: message.to_owned(), retry_after_secs: None })
}

const NOT_RESOLVED: &str = "names of this kind are not resolved by this version";

/// Questions answered at once; more wait on the stream.
const AT_ONCE: usize = 8;

/// Sessions of one name that are told: a device has one, or two while it moves.
const MAX_SESSIONS: usize = 4;

/// Names told in one answer.
const MAX_NAMES: usize = 2_000;

/// Addresses told of one name.
const MAX_ADDRESSES: usize = 64;

/// Shorter than a controller waits, so that it hears why.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_secs(1);
