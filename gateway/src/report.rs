//! Telling controllers what happens here: sessions as they come and go, and audit records until they are held durably.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use engine::id::SessionId;
use protocol::{
    carrier::{CarrierError, SharedCarrier, Stream},
    frame::{self, FrameError, MAX_MESSAGE},
    message::{AdminMessage, ControllerRequest, Report, ReportAck, SessionFacts},
};
use tokio::{sync::Notify, time::timeout};

use crate::{gateway::Gateway, session::LiveSession};

/// News of sessions that wait to be told.
#[derive(Default)]
pub(crate) struct Reports {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    news: VecDeque<Report>,
    /// There was too much to tell piece by piece: all sessions are told anew.
    all: bool,
    messages: VecDeque<AdminMessage>,
}

impl Reports {
    /// A session began or changed.
    pub(crate) fn started(&self, session: &LiveSession) {
        if *session.over().borrow() {
            return;
        }
        if let Some(facts) = session.facts() {
            self.push(Report::SessionStarted(facts));
        }
    }

    /// A session ended.
    pub(crate) fn ended(&self, session: SessionId) {
        self.push(Report::SessionEnded { session });
    }

    /// Something administrators should look at. Beyond a bound the oldest go; all of them are in the log.
    pub(crate) fn message(&self, message: AdminMessage) {
        let mut queue = self.lock();
        if queue.messages.len() >= MAX_MESSAGES {
            queue.messages.pop_front();
        }
        queue.messages.push_back(message);
        drop(queue);
        self.more.notify_one();
    }

    fn push(&self, report: Report) {
        let mut queue = self.lock();
        if queue.news.len() >= MAX_NEWS {
            queue.news.clear();
            queue.all = true;
        }
        if !queue.all {
            queue.news.push_back(report);
        }
        drop(queue);
        self.more.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports on a connection for as long as it lives. A report stream that fails is opened again: the configuration that
/// comes in on the same connection matters more.
pub(crate) async fn ship(gateway: &Arc<Gateway>, carrier: &SharedCarrier) -> Infallible {
    loop {
        let Err(error) = ship_on_one_stream(gateway, carrier).await;
        tracing::warn!(%error, "Report stream failed");
        tokio::time::sleep(RETRY).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("connection lost")]
    Carrier(#[from] CarrierError),
    #[error("report stream failed: {0}")]
    Frame(#[from] FrameError),
    #[error("the controller does not answer a report")]
    Silent,
}

async fn ship_on_one_stream(gateway: &Arc<Gateway>, carrier: &SharedCarrier) -> Result<Infallible, ShipError> {
    let mut stream = carrier.open().await?;
    frame::write_frame(&mut stream.send, &ControllerRequest::Report).await?;
    gateway.reports.lock().all = true;
    loop {
        if let Some(report) = next_news(gateway) {
            tell(gateway, &mut stream, &report).await?;
            continue;
        }
        let message = gateway.reports.lock().messages.pop_front();
        if let Some(message) = message {
            let told = tell(gateway, &mut stream, &Report::AdminMessage(message.clone())).await;
            if told.is_err() {
                gateway.reports.lock().messages.push_front(message);
            }
            told?;
            continue;
        }
        let records = gateway.audit.unshipped();
        if !records.is_empty() {
            tell(gateway, &mut stream, &Report::Audit { records }).await?;
            continue;
        }
        tokio::select! {
            () = gateway.reports.more.notified() => {}
            () = gateway.audit.more() => {}
        }
    }
}

fn next_news(gateway: &Arc<Gateway>) -> Option<Report> {
    let mut queue = gateway.reports.lock();
    if std::mem::take(&mut queue.all) {
        queue.news.clear();
        drop(queue);
        let live = gateway.registry.all().into_vec().into_iter().filter(|session| !*session.over().borrow());
        let facts: Vec<SessionFacts> = live.filter_map(|session| session.facts()).collect();
        let mut reports = in_reports(facts);
        let first = reports.pop_front();
        // What came in meanwhile is newer.
        let mut queue = gateway.reports.lock();
        reports.append(&mut queue.news);
        queue.news = reports;
        return first;
    }
    queue.news.pop_front()
}

/// All sessions in reports that are small enough to be sent.
fn in_reports(mut facts: Vec<SessionFacts>) -> VecDeque<Report> {
    let rest = facts.split_off(facts.len().min(SESSIONS_IN_A_REPORT));
    let more = rest.chunks(SESSIONS_IN_A_REPORT).map(|sessions| Report::MoreSessions { sessions: sessions.to_vec() });
    std::iter::once(Report::Sessions { sessions: facts }).chain(more).collect()
}

async fn tell(gateway: &Arc<Gateway>, stream: &mut Stream, report: &Report) -> Result<(), ShipError> {
    let told = async {
        frame::write_frame(&mut stream.send, report).await?;
        frame::read_frame::<ReportAck, _>(&mut stream.receive, MAX_MESSAGE).await
    };
    let ack = timeout(ANSWER_TIMEOUT, told).await.map_err(|_| ShipError::Silent)??;
    gateway.audit.acknowledge(ack.audit_position);
    Ok(())
}

/// Far below the length of a message, however long the names of entitlements are.
const SESSIONS_IN_A_REPORT: usize = 1_000;

/// News kept while there is no controller.
const MAX_NEWS: usize = 10_000;

/// Admin messages kept while there is no controller.
const MAX_MESSAGES: usize = 64;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use engine::id::SiteId;
    use uuid::Uuid;

    use super::*;

    fn facts(number: u128) -> SessionFacts {
        SessionFacts {
            session: SessionId::new(Uuid::from_u128(number)),
            name: "CN=4c07bc6757ea42ddb702c2d6c45419fc,CN=ana,OU=local".parse().unwrap(),
            site: SiteId::new(Uuid::nil()),
            address: Ipv4Addr::LOCALHOST.into(),
            since: 0,
            expires: 0,
            entitlements: Vec::new(),
            client: Box::default(),
        }
    }

    fn lengths(count: u128) -> Vec<(bool, usize)> {
        let reports = in_reports((0..count).map(facts).collect());
        let length = |report: &Report| match report {
            Report::Sessions { sessions } => (true, sessions.len()),
            Report::MoreSessions { sessions } => (false, sessions.len()),
            Report::SessionStarted(_)
            | Report::SessionEnded { .. }
            | Report::Audit { .. }
            | Report::AdminMessage(_) => {
                panic!("no list of sessions")
            }
        };
        reports.iter().map(length).collect()
    }

    #[test]
    fn very_many_sessions_are_told_in_parts() {
        assert_eq!(lengths(0), [(true, 0)], "that there are none is told, too");
        assert_eq!(lengths(1_000), [(true, 1_000)]);
        assert_eq!(lengths(2_001), [(true, 1_000), (false, 1_000), (false, 1)]);
    }
}
