//! A small HTTP server on loopback that answers whatever a test wants, well-formed or not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method, target and version.
    pub line: String,
    /// The header lines, in order.
    pub headers: Vec<String>,
    pub body: String,
}

/// What to do about a request.
pub enum Reply {
    /// Send these bytes and wait for the next request.
    Keep(Vec<u8>),
    /// Send these bytes and close.
    Close(Vec<u8>),
    /// Send these bytes and keep the connection open without another word.
    Hang(Vec<u8>),
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// Ends, with its connections, when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
    pub open: Arc<AtomicUsize>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", None, handler).await
    }

    pub async fn start_at(
        address: &str,
        tls: Option<TlsAcceptor>,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, open, seen) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<Seen>>>::default());
        let state = (Arc::clone(&accepted), Arc::clone(&open), Arc::clone(&seen));
        let handler: Arc<Handler> = Arc::new(handler);
        let task = tokio::spawn(async move {
            let (accepted, open, seen) = state;
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (handler, seen, open) = (Arc::clone(&handler), Arc::clone(&seen), Opened::new(&open));
                let tls = tls.clone();
                connections.spawn(async move {
                    let _open = open;
                    match tls {
                        None => serve(stream, &*handler, &seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &*handler, &seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, accepted, open, seen, task }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Opened(Arc<AtomicUsize>);

impl Opened {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A whole answer with a body of known length.
pub fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A redirect.
pub fn redirect(status: u16, location: &str) -> Reply {
    Reply::Keep(answer(status, &format!("location: {location}\r\n"), "moved"))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, handler: &Handler, seen: &Mutex<Vec<Seen>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let reply = handler(&request);
        seen.lock().unwrap().push(request);
        let (Reply::Keep(bytes) | Reply::Close(bytes) | Reply::Hang(bytes)) = &reply;
        if stream.write_all(bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match reply {
            Reply::Keep(_) => {}
            Reply::Close(_) => {
                let _ = stream.shutdown().await;
                return;
            }
            // Until the other side goes away.
            Reply::Hang(_) => while stream.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {},
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 4);
    let mut lines = head.split("\r\n").map(str::to_owned);
    let line = lines.next()?;
    let headers: Vec<String> = lines.collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[..length]).into_owned();
    buffer.drain(..length);
    Some(Seen { line, headers, body })
}
