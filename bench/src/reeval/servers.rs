//! What flows lead to and what a condition asks: TCP services in a process of their own, and a fact over HTTP.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// TCP services that send everything back, in a process of their own: each process may have so many files only.
pub(super) struct Services {
    child: Child,
    pub(super) addresses: Vec<SocketAddr>,
}

impl Services {
    pub(super) fn start() -> Result<Self> {
        let own = std::env::current_exe()?;
        let mut child = Command::new(own)
            .args([SERVICES, "--program", "none"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the services")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the services say nothing")?).read_line(&mut line)?;
        let addresses = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { child, addresses })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        // One that is already gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the services until standard input ends.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let mut addresses = Vec::new();
        for _ in 0..SERVICES_AT_ONCE {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?.to_string());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(echo(stream));
                }
            });
        }
        println!("{}", addresses.join(" "));
        anyhow::Ok(())
    })?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn echo(mut stream: TcpStream) {
    let mut piece = [0; 64];
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        if stream.write_all(piece.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

/// Tells over HTTP which teams are blocked.
pub(super) struct Fact {
    pub(super) address: SocketAddr,
    blocked: Arc<AtomicUsize>,
    asked: Arc<AtomicU64>,
}

impl Fact {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (blocked, asked) = (Arc::new(AtomicUsize::new(NONE)), Arc::new(AtomicU64::new(0)));
        let shared = (blocked.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tell(stream, shared.clone()));
            }
        });
        Ok(Self { address, blocked, asked })
    }

    /// From now on this team is blocked.
    pub(super) fn block(&self, team: usize) {
        self.blocked.store(team, Ordering::Release);
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }
}

async fn tell(mut stream: TcpStream, (blocked, asked): (Arc<AtomicUsize>, Arc<AtomicU64>)) {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        request.extend_from_slice(piece.get(..count).unwrap_or_default());
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        asked.fetch_add(1, Ordering::AcqRel);
        let body = match blocked.load(Ordering::Acquire) {
            NONE => "[]".to_owned(),
            team => format!("[\"team-{team}\"]"),
        };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The name this program runs the services by.
pub const SERVICES: &str = "reeval-services";

/// Ports, so that those in use for a while after their connection ended are not missed.
const SERVICES_AT_ONCE: usize = 8;

const NONE: usize = usize::MAX;
