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

/// A name server that knows one name, with a lifetime of one second, and whatever address it is told.
pub async fn name_server(name: &'static str, address: watch::Receiver<Ipv4Addr>) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let server = socket.local_addr().unwrap();
    let known: Vec<u8> = name
        .split('.')
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .chain([0, 0, 1, 0, 1])
        .collect();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let asked = &buffer[12..count];
            let question = asked.iter().position(|byte| *byte == 0).map(|end| &asked[..end + 5]).unwrap();
            let found = question.eq_ignore_ascii_case(&known);
            let answers = u8::from(found);
            let mut answer =
                [&buffer[..2], &[0x81, if found { 0x80 } else { 0x83 }, 0, 1, 0, answers, 0, 0, 0, 0], question]
                    .concat();
            if found {
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(address.borrow().octets());
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    server
}
