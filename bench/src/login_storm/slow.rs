//! An HTTP server that takes its time.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Tells everybody's groups, late.
pub(super) struct SlowServer {
    pub(super) address: SocketAddr,
}

impl SlowServer {
    pub(super) async fn start(after: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, after));
            }
        });
        Ok(Self { address })
    }
}

/// Answers one request after the other on a connection.
async fn answer(mut stream: TcpStream, after: Duration) {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        request.extend_from_slice(piece.get(..count).unwrap_or_default());
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        tokio::time::sleep(after).await;
        let body = "[\"staff\"]";
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
