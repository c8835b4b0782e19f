//! What the scripts' calls can reach: a server they may call, one behind it that they may not, and names that lie.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::{Lookup, LookupFuture};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::script::forms_of_secret;

/// Two listeners that end with the runtime.
pub struct Server {
    allowed: SocketAddr,
    internal: SocketAddr,
    /// What arrived at the listener that may be called.
    requests: Arc<Mutex<Vec<String>>>,
    /// Connections to the one that may not.
    touched: Arc<AtomicU32>,
}

impl Server {
    pub async fn start() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let touched = Arc::new(AtomicU32::new(0));
        let open = TcpListener::bind((ALLOWED, 0)).await.unwrap();
        let internal = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let server = Self {
            allowed: open.local_addr().unwrap(),
            internal: internal.local_addr().unwrap(),
            requests: Arc::clone(&requests),
            touched: Arc::clone(&touched),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = open.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&requests)));
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = internal.accept().await {
                // At the one address that may be called, its port may be called too.
                let wrong = stream.local_addr().is_ok_and(|address| address.ip() != ALLOWED);
                touched.fetch_add(u32::from(wrong), Ordering::Relaxed);
            }
        });
        server
    }

    /// The one network the broker may call.
    pub fn network(&self) -> ipnet::IpNet {
        IpAddr::from(ALLOWED).into()
    }

    /// Where scripts may call, and where their secret may go.
    pub fn allowed(&self) -> String {
        format!("http://good.test:{}", self.allowed.port())
    }

    /// Where scripts may call, but their secret may not go.
    pub fn foreign(&self) -> String {
        format!("http://foreign.test:{}", self.allowed.port())
    }

    /// Where scripts may not call.
    pub fn internal(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal_port())
    }

    pub fn internal_port(&self) -> u16 {
        self.internal.port()
    }

    /// Nothing came where nothing may come, and no secret came where it may not.
    pub fn assert_untouched(&self) {
        assert_eq!(self.touched.load(Ordering::Relaxed), 0, "somebody reached the internal service");
        let requests = self.requests.lock().unwrap();
        for request in requests.iter() {
            let request = request.to_lowercase();
            // A body may say what it likes; what counts is what the server took for a request.
            let head = request.split("\r\n\r\n").next().unwrap_or_default();
            assert!(!head.starts_with("get /smuggled") && !head.contains("\nhost: internal"), "{request}");
            if !request.contains(&format!("host: good.test:{}", self.allowed.port())) {
                let leaked = forms_of_secret().into_iter().find(|form| request.contains(&form.to_lowercase()));
                assert_eq!(leaked, None, "{request}");
            }
        }
        println!("server: {} requests, none of them wrong", requests.len());
    }
}

/// Answers requests on one connection until it closes.
async fn serve(mut stream: TcpStream, requests: Arc<Mutex<Vec<String>>>) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
                _ => return,
            }
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let length =
            head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let whole = end + 4 + length.unwrap_or(0);
        if received.len() < whole {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => received.extend_from_slice(&buffer[..count]),
                _ => return,
            }
            continue;
        }
        let request = String::from_utf8_lossy(&received[..whole]).into_owned();
        received.drain(..whole);
        requests.lock().unwrap().push(request);
        if answer(&mut stream, &head).await.is_err() {
            return;
        }
    }
}

async fn answer(stream: &mut TcpStream, head: &str) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or("/");
    let path = target.split('?').next().unwrap_or("/");
    match path {
        "/redirect" => {
            let to = target.split_once("to=").map_or("/", |(_, to)| to);
            let to = to.replace("%3A", ":").replace("%2F", "/").replace("%3F", "?").replace("%3D", "=");
            write(stream, "302 Found", &format!("Location: {to}\r\n"), b"").await
        }
        "/loop" => write(stream, "302 Found", "Location: /loop\r\n", b"").await,
        "/big" => write(stream, "200 OK", "", &vec![b'x'; 3 << 20]).await,
        "/echo" | "/echo-host" => write(stream, "200 OK", "", head.as_bytes()).await,
        "/stall" => std::future::pending().await,
        "/drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => write(stream, "200 OK", "", b"ok").await,
    }
}

async fn write(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

/// Names for the scripts; some of them lead where no script may go.
pub struct Names {
    allowed: IpAddr,
    asked: AtomicU32,
}

impl Names {
    pub fn new(server: &Server) -> Self {
        Self { allowed: server.allowed.ip(), asked: AtomicU32::new(0) }
    }
}

impl Lookup for Names {
    fn addresses<'a>(&'a self, name: &'a str) -> LookupFuture<'a> {
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let metadata = IpAddr::from(Ipv4Addr::new(169, 254, 169, 254));
        let found = match name.trim_end_matches('.') {
            "good.test" | "foreign.test" => vec![self.allowed],
            "localhost" => vec![loopback],
            "private.test" => vec![IpAddr::from(Ipv4Addr::new(10, 0, 0, 5))],
            "metadata.test" => vec![metadata],
            "mixed.test" => vec![self.allowed, metadata],
            "rebind.test" => match self.asked.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => vec![self.allowed],
                _ => vec![loopback],
            },
            _ => Vec::new(),
        };
        Box::pin(std::future::ready(found))
    }
}

/// An address of this machine that nothing else uses.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
