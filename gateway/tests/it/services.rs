//! Protected services on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
};

/// How a service's connection ended, as its kernel saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// A service that sends for ever, counts what it gets, and notes how each connection ended.
pub struct Stream {
    pub address: SocketAddr,
    received: Arc<AtomicU64>,
    ends: watch::Sender<Vec<End>>,
}

impl Stream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (received, ends) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(Vec::new()));
        let service = Self { address, received: received.clone(), ends: ends.clone() };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(stream(connection, received.clone(), ends.clone()));
            }
        });
        service
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::SeqCst)
    }

    pub async fn ended(&self) -> End {
        let mut ends = self.ends.subscribe();
        let wait = ends.wait_for(|ends| !ends.is_empty());
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the connection ends").unwrap()[0]
    }
}

async fn stream(connection: TcpStream, received: Arc<AtomicU64>, ends: watch::Sender<Vec<End>>) {
    let (mut reader, mut writer) = connection.into_split();
    let mut buffer = [0; 8192];
    // The kernel tells a reset once, to whichever call comes first; so one loop asks for both.
    let end = loop {
        tokio::select! {
            biased;
            read = reader.read(&mut buffer) => match read {
                Ok(0) => break End::Finished,
                Ok(count) => drop(received.fetch_add(count as u64, Ordering::SeqCst)),
                Err(_) => break End::Reset,
            },
            written = writer.write(&[b'x'; 8192]) => {
                if written.is_err() {
                    break End::Reset;
                }
            }
        }
    };
    ends.send_modify(|ends| ends.push(end));
}

/// Sends datagrams back.
pub async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..count], from).await;
        }
    });
    address
}

/// A name server that answers each question as it is told, while it is open.
pub struct Dns {
    pub address: SocketAddr,
    /// Questions are answered while this is true; others wait.
    pub open: watch::Sender<bool>,
    /// How many questions came.
    pub asked: watch::Receiver<usize>,
}

impl Dns {
    pub async fn start(mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (open, counted) = (watch::Sender::new(true), watch::Sender::new(0));
        let (mut gate, asked) = (open.subscribe(), counted.subscribe());
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                counted.send_modify(|asked| *asked += 1);
                if gate.wait_for(|open| *open).await.is_err() {
                    return;
                }
                if let Some(answer) = answer(&buffer[..count]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self { address, open, asked }
    }

    /// Waits until so many questions came.
    pub async fn asked(&self, times: usize) {
        let mut asked = self.asked.clone();
        let wait = asked.wait_for(|asked| *asked >= times);
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the server is asked").unwrap();
    }
}

/// The question of a query, with its type and class.
pub fn question(query: &[u8]) -> &[u8] {
    let asked = &query[12..];
    asked.iter().position(|byte| *byte == 0).map(|end| &asked[..end + 5]).unwrap()
}

/// Answers a query with addresses that live for a second; none means that there is no such name.
pub fn reply(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    let found = !addresses.is_empty();
    let count = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    let flags = [0x81, if found { 0x80 } else { 0x83 }, 0, 1];
    let mut answer = [&query[..2], &flags, &count, &[0; 4], question(query)].concat();
    for address in addresses {
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

/// A name server that knows one name, with a lifetime of one second, and whatever address it is told.
pub async fn name_server(name: &'static str, address: watch::Receiver<Ipv4Addr>) -> SocketAddr {
    let known: Vec<u8> = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .chain([0, 0, 1, 0, 1])
        .collect();
    let server = Dns::start(move |query| {
        let addresses = question(query).eq_ignore_ascii_case(&known).then(|| *address.borrow());
        Some(reply(query, addresses.as_slice()))
    });
    let server = server.await;
    let address = server.address;
    // It serves for as long as its gate is held.
    tokio::spawn(async move {
        let _server = server;
        std::future::pending::<()>().await;
    });
    address
}
