//! The services that the example policies protect: one small web page per host, each on a loopback address of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use ipnet::{IpNet, Ipv4Net};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

/// Running services; they end when this is dropped.
pub(super) struct Services {
    _tasks: JoinSet<()>,
}

/// Starts the services.
pub(super) async fn start() -> anyhow::Result<Services> {
    let mut tasks = JoinSet::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    for (host, address) in hosts() {
        let address = SocketAddr::from((address, PORT));
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("could not listen on {address} for {host}"))?;
        tasks.spawn(serve(listener, host, permits.clone()));
    }
    Ok(Services { _tasks: tasks })
}

/// The network they stand in.
pub(super) fn network() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 80, 1, 0), 24))
}

/// Their names, as a hosts file.
pub(super) fn hosts_file() -> String {
    hosts().map(|(host, address)| format!("{address} {host}\n")).collect()
}

fn hosts() -> impl Iterator<Item = (&'static str, Ipv4Addr)> {
    HOSTS.into_iter().zip(10_u8..).map(|(host, last)| (host, Ipv4Addr::new(127, 80, 1, last)))
}

async fn serve(listener: TcpListener, host: &'static str, permits: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(async move {
            // Whoever does not speak HTTP gets nothing, and that is all there is to it.
            let _ = tokio::time::timeout(MAX_TIME, answer(stream, host)).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut stream: TcpStream, host: &str) -> std::io::Result<()> {
    let mut head = [0; 1024];
    let _length = stream.read(&mut head).await?;
    let page = format!("This is {host}. You came through the gateway.\n");
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

const HOSTS: [&str; 5] = [
    "wiki.demo.internal",
    "helpdesk.demo.internal",
    "production.demo.internal",
    "builds.demo.internal",
    "runaway.demo.internal",
];
const PORT: u16 = 8080;
const MAX_CONNECTIONS: usize = 64;
const MAX_TIME: Duration = Duration::from_secs(10);
