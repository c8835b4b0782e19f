//! Carrying a UDP flow: datagrams, each with its length of two bytes before it on the client's stream.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use engine::session::FlowId;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::UdpSocket,
    time::Instant,
};

use super::{
    Gate,
    pump::{Ending, Passage},
};
use crate::session::LiveSession;

/// Carries a UDP flow until the client is done or nobody has said anything for `idle`.
pub(super) async fn carry(
    session: &Arc<LiveSession>,
    flow: FlowId,
    gate: &Gate,
    upstream: &UdpSocket,
    idle: Duration,
) -> Result<(), Ending> {
    let activity = Activity { start: Instant::now(), last: AtomicU64::new(0) };
    tokio::select! {
        ended = up(Passage::new(session, flow, gate), upstream, &activity) => ended,
        ended = down(Passage::new(session, flow, gate), upstream, &activity) => ended,
        () = activity.silence(idle) => Err(Ending::Idle),
    }
}

/// When a datagram last passed.
struct Activity {
    start: Instant,
    last: AtomicU64,
}

impl Activity {
    fn note(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    async fn silence(&self, idle: Duration) {
        loop {
            let due = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + idle;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

async fn up(mut passage: Passage<'_>, upstream: &UdpSocket, activity: &Activity) -> Result<(), Ending> {
    let mut client = BufReader::with_capacity(BUFFER, passage.gate.client());
    let mut datagram = Vec::new();
    loop {
        let read = async {
            let mut length = [0; 2];
            match client.read(&mut length).await? {
                0 => return Ok(false),
                1 => client.read_exact(length.get_mut(1..).unwrap_or_default()).await.map(drop)?,
                _ => {}
            }
            datagram.resize(usize::from(u16::from_be_bytes(length)), 0);
            client.read_exact(&mut datagram).await.map(|_| true)
        };
        // Reading a datagram cannot be interrupted half-way; a cut fails it, and a pause holds what was read.
        let more = read.await.map_err(|_: io::Error| passage.unless_cut(Ending::Client))?;
        passage.check_not_cut()?;
        if !more {
            return Ok(());
        }
        send(&mut passage, upstream, &datagram).await?;
        activity.note();
    }
}

async fn send(passage: &mut Passage<'_>, upstream: &UdpSocket, datagram: &[u8]) -> Result<(), Ending> {
    loop {
        passage.open().await?;
        match passage.unless_turned(upstream.writable()).await {
            None => continue,
            Some(Ok(())) => {}
            Some(Err(_)) => return Err(passage.unless_cut(Ending::Upstream)),
        }
        if !passage.may_write() {
            continue;
        }
        match upstream.try_send(datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What the network says of one datagram, such as that nobody listens, does not end a UDP flow.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}

async fn down(mut passage: Passage<'_>, upstream: &UdpSocket, activity: &Activity) -> Result<(), Ending> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut framed = Vec::new();
    loop {
        passage.open().await?;
        match passage.unless_turned(upstream.readable()).await {
            None => continue,
            Some(Ok(())) => {}
            Some(Err(_)) => return Err(passage.unless_cut(Ending::Upstream)),
        }
        let count = match upstream.try_recv(&mut buffer) {
            Ok(count) => count,
            Err(_) => continue,
        };
        passage.check_not_cut()?;
        let Ok(length) = u16::try_from(count) else { continue };
        framed.clear();
        framed.extend(length.to_be_bytes());
        framed.extend(buffer.get(..count).unwrap_or_default());
        passage.write_client(&framed).await?;
        activity.note();
    }
}

/// The longest datagram UDP knows.
const MAX_DATAGRAM: usize = 65_535;

const BUFFER: usize = 16 * 1024;
