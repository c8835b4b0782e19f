//! Carrying UDP: one flow per local sender and destination, datagrams with their length before them.
//!
//! Datagrams may be lost, so nothing here waits: what a slow gateway does not take is dropped, and a refused destination
//! is asked for again at most every [`DENIED_PAUSE`].

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    carrier::{ReceiveHalf, SendHalf, Stream},
    message::close_code,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UdpSocket,
    sync::{Notify, mpsc},
    task::JoinSet,
};

use crate::{
    copy::{CopyEnd, end_of},
    event::ClientEvent,
    flow::{self, Target},
    hub::Hub,
};

/// The flows behind one local UDP socket.
pub(crate) struct UdpFlows {
    hub: Arc<Hub>,
    socket: Arc<UdpSocket>,
    flows: BTreeMap<Key, mpsc::Sender<Vec<u8>>>,
    tasks: JoinSet<Key>,
}

/// A local sender and its destination.
type Key = (SocketAddr, String);

/// Where answers go: to the local sender, with what SOCKS5 wants before each datagram.
struct Back {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    header: Vec<u8>,
}

impl UdpFlows {
    pub(crate) fn new(hub: Arc<Hub>, socket: Arc<UdpSocket>) -> Self {
        Self { hub, socket, flows: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Hands one datagram to its flow, which is opened when there is none.
    pub(crate) fn deliver(&mut self, from: SocketAddr, target: Target, header: Vec<u8>, datagram: &[u8]) {
        let key = (from, target.to_string());
        if let Some(flow) = self.flows.get(&key).filter(|flow| !flow.is_closed()) {
            // A full queue loses the datagram, as a full network would.
            let _ = flow.try_send(datagram.to_vec());
            return;
        }
        if self.tasks.len() >= MAX_FLOWS {
            tracing::debug!("Too many UDP flows; datagram dropped");
            return;
        }
        let (sender, datagrams) = mpsc::channel(QUEUED_DATAGRAMS);
        // The queue was made for it.
        let _ = sender.try_send(datagram.to_vec());
        self.flows.insert(key.clone(), sender);
        let back = Back { socket: self.socket.clone(), to: from, header };
        let hub = self.hub.clone();
        self.tasks.spawn(async move {
            carry(&hub, &target, datagrams, back).await;
            key
        });
    }

    /// Forgets flows that ended; waits for ever when there is none.
    pub(crate) async fn reap(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok(key)) => {
                if self.flows.get(&key).is_some_and(mpsc::Sender::is_closed) {
                    self.flows.remove(&key);
                }
            }
            Some(Err(_)) => self.flows.retain(|_, flow| !flow.is_closed()),
            None => std::future::pending().await,
        }
    }
}

async fn carry(hub: &Arc<Hub>, target: &Target, mut datagrams: mpsc::Receiver<Vec<u8>>, back: Back) {
    let Ok(open) = flow::open(hub, target).await else {
        let swallow = async { while datagrams.recv().await.is_some() {} };
        // Running into the bound is the expected end.
        let _ = tokio::time::timeout(DENIED_PAUSE, swallow).await;
        return;
    };
    if copy_udp(open.stream, datagrams, &back).await == CopyEnd::Cut {
        hub.tell(ClientEvent::Cut { flow: target.to_string() });
    }
    drop(open.entry);
}

async fn copy_udp(stream: Stream, datagrams: mpsc::Receiver<Vec<u8>>, back: &Back) -> CopyEnd {
    let Stream { mut send, mut receive } = stream;
    let active = Notify::new();
    let outcome = tokio::try_join!(
        pump_up(datagrams, &mut *send, &active),
        pump_down(&mut *receive, back, &active),
        idle(&active)
    );
    send.reset(close_code::DONE);
    receive.stop(close_code::DONE);
    match outcome {
        Ok((never, _, _)) => match never {},
        Err(end) => end,
    }
}

async fn pump_up(
    mut datagrams: mpsc::Receiver<Vec<u8>>,
    send: &mut dyn SendHalf,
    active: &Notify,
) -> Result<Never, CopyEnd> {
    while let Some(datagram) = datagrams.recv().await {
        active.notify_one();
        let length = u16::try_from(datagram.len()).map_err(|_| CopyEnd::Left)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(datagram);
        send.write_all(&framed).await.map_err(|error| end_of(&error))?;
    }
    Err(CopyEnd::Left)
}

async fn pump_down(receive: &mut dyn ReceiveHalf, back: &Back, active: &Notify) -> Result<Never, CopyEnd> {
    loop {
        let datagram = read_datagram(receive, back.header.clone()).await.map_err(|error| end_of(&error))?;
        active.notify_one();
        // A local sender that is gone is found out by idleness.
        let _ = back.socket.send_to(&datagram, back.to).await;
    }
}

async fn idle(active: &Notify) -> Result<Never, CopyEnd> {
    while tokio::time::timeout(IDLE, active.notified()).await.is_ok() {}
    Err(CopyEnd::Left)
}

/// None of the directions ends well; each ends by saying why.
enum Never {}

/// One datagram, after `header`.
async fn read_datagram(receive: &mut dyn ReceiveHalf, header: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = usize::from(receive.read_u16().await?);
    let mut datagram = header;
    let start = datagram.len();
    datagram.resize(start + length, 0);
    receive.read_exact(datagram.get_mut(start..).unwrap_or_default()).await?;
    Ok(datagram)
}

/// Flows per local socket.
const MAX_FLOWS: usize = 256;

const QUEUED_DATAGRAMS: usize = 64;

/// Silence after which a flow is given up; name servers and most protocols answer far sooner.
const IDLE: Duration = Duration::from_secs(120);

const DENIED_PAUSE: Duration = Duration::from_secs(2);

/// Largest datagram that can arrive.
pub(crate) const MAX_DATAGRAM: usize = 65_535;
