//! A network between a client and a gateway that can stall, and a gateway that can be killed: datagrams go through sockets
//! that drop them or are closed, as the sockets of a killed process are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

use crate::world::local;

pub struct Relay {
    pub address: SocketAddr,
    gateway: SocketAddr,
    muted: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Relay {
    pub async fn start(gateway: SocketAddr) -> Self {
        let muted = Arc::new(AtomicBool::new(false));
        let (address, task) = run(local(), gateway, muted.clone()).await;
        Self { address, gateway, muted, task: Some(task) }
    }

    /// Drops everything both ways, or no longer does.
    pub fn mute(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Closes the port, as the end of a process does.
    pub async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

    /// Listens again.
    pub async fn revive(&mut self) {
        self.task = Some(run(self.address, self.gateway, self.muted.clone()).await.1);
    }
}

async fn run(address: SocketAddr, gateway: SocketAddr, muted: Arc<AtomicBool>) -> (SocketAddr, JoinHandle<()>) {
    let front = UdpSocket::bind(address).await.unwrap();
    let back = UdpSocket::bind(local()).await.unwrap();
    back.connect(gateway).await.unwrap();
    let address = front.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        let mut client = None;
        loop {
            tokio::select! {
                got = front.recv_from(&mut up) => {
                    let Ok((length, from)) = got else { continue };
                    // The one byte that asks whether anybody listens comes from a socket of its own.
                    if length > 1 {
                        client = Some(from);
                    }
                    if !muted.load(Ordering::Relaxed) {
                        drop(back.send(&up[..length]).await);
                    }
                }
                got = back.recv(&mut down) => {
                    let (Ok(length), Some(client)) = (got, client) else { continue };
                    if !muted.load(Ordering::Relaxed) {
                        drop(front.send_to(&down[..length], client).await);
                    }
                }
            }
        }
    });
    (address, task)
}
