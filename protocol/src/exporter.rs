//! Counters for Prometheus: `GET /metrics` over plain HTTP, on a listener of its own.
//!
//! One request a connection, bounded in size, time and number; nothing else is served here, and nothing is read from the
//! request but its first line. The text holds no names of users and no secrets.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

/// Serves what `render` makes until told to stop.
pub async fn serve(
    listener: TcpListener,
    render: impl Fn() -> String + Send + Sync + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let render = Arc::new(render);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // A sender that is gone means the same as a stop.
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "Connection to the metrics listener was not accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        // Beyond the bound a connection is dropped, which tells the peer to come again.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let render = Arc::clone(&render);
        tasks.spawn(async move {
            // A peer that is slow or gone gets no answer, and there is nobody to tell.
            let _ = timeout(EXCHANGE, answer(stream, render.as_ref())).await;
            drop(place);
        });
    }
    tasks.shutdown().await;
}

async fn answer(mut stream: TcpStream, render: &(dyn Fn() -> String + Send + Sync)) -> std::io::Result<()> {
    let Some(head) = read_head(&mut stream).await? else { return Ok(()) };
    let mut line = head.split(|byte| *byte == b'\r').next().unwrap_or_default().split(|byte| *byte == b' ');
    let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        (b"GET", b"/metrics") => ("200 OK", render()),
        (b"GET", _) => ("404 Not Found", "only /metrics is served here\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET is served here\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The request up to its empty line; nothing when it is longer than any honest one or breaks off.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece).await?;
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(head));
        }
        if read == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
}

/// Scrapers come one at a time; more than a few at once is no scraper.
const CONNECTIONS: usize = 16;

/// Longest request without a body.
const MAX_HEAD: usize = 8 * 1024;

/// How long an exchange may take.
const EXCHANGE: Duration = Duration::from_secs(5);

/// Wait after a failed accept, for instance when file descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(EXCHANGE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_served_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(serve(listener, || "sessions 3\n".to_owned(), stopping));
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nsessions 3\n"), "{answer}");
        assert!(ask(address, "GET /admin HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert_eq!(ask(address, &"x".repeat(MAX_HEAD + 1)).await, "");
        stop.send(true).unwrap();
        timeout(EXCHANGE, served).await.unwrap().unwrap();
    }
}
