//! Protected services: `GET /hello` answers the service's name, `GET /stream` sends numbered chunks for ever, and
//! `GET /facts/NAME` what a file of that name says at the moment.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::Service;

/// Bytes of one chunk of a stream: `chunk ` and its number, padded with dots, ended by a line feed.
pub const CHUNK: usize = 4096;

/// Serves until the process ends.
///
/// # Errors
/// When an address cannot be listened on.
pub fn serve(services: &[Service], facts: &Path) -> Result<ExitCode> {
    let bind = |service: &Service| {
        let listener =
            TcpListener::bind(service.address).with_context(|| format!("cannot listen on {}", service.address))?;
        Ok((service.clone(), listener))
    };
    let bound: Vec<(Service, TcpListener)> = services.iter().map(bind).collect::<Result<_>>()?;
    println!("Serving {} services", bound.len());
    thread::scope(|scope| {
        for (service, listener) in &bound {
            scope.spawn(move || accept(service, listener, facts));
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn accept(service: &Service, listener: &TcpListener, facts: &Path) {
    for stream in listener.incoming().flatten() {
        if CONNECTIONS.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (service, facts) = (service.clone(), facts.to_owned());
        thread::spawn(move || {
            if let Err(error) = answer(&service, stream, &facts) {
                println!("{}: connection ended: {error:#}", service.name);
            }
            CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn answer(service: &Service, mut stream: TcpStream, facts: &Path) -> Result<()> {
    stream.set_read_timeout(Some(REQUEST)).context("cannot bound the request")?;
    stream.set_nodelay(true).context("cannot switch delays off")?;
    let peer = stream.peer_addr().context("no peer")?;
    let path = request_path(&stream)?;
    println!("{}: {peer} asks for {path}", service.name);
    match path.as_str() {
        "/hello" => say(&mut stream, &format!("hello from {}\n", service.name)),
        "/stream" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
                .context("cannot answer")?;
            send_for_ever(&mut stream)
        }
        path => match fact(path, facts) {
            Some(fact) => say(&mut stream, &fact),
            None => stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .context("cannot answer"),
        },
    }
}

fn say(stream: &mut TcpStream, body: &str) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).context("cannot answer")
}

/// Read for every request, so that the story can change it by writing the file.
fn fact(path: &str, facts: &Path) -> Option<String> {
    let name = path.strip_prefix("/facts/")?;
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    is_plain.then(|| fs::read_to_string(facts.join(name)).ok())?
}

fn request_path(stream: &TcpStream) -> Result<String> {
    let mut lines = BufReader::new(stream.take(MAX_REQUEST)).lines();
    let first = lines.next().context("no request")?.context("no request")?;
    for line in lines {
        if line.context("half a request")?.is_empty() {
            break;
        }
    }
    Ok(first.split(' ').nth(1).unwrap_or_default().to_owned())
}

fn send_for_ever(stream: &mut TcpStream) -> Result<()> {
    for number in 1_u64.. {
        let line = format!("{:.<width$}\n", format!("chunk {number} "), width = CHUNK - 1);
        stream.write_all(line.as_bytes()).with_context(|| format!("chunk {number} was not taken"))?;
        thread::sleep(PACE);
    }
    Ok(())
}

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

const MAX_CONNECTIONS: usize = 256;
const MAX_REQUEST: u64 = 16 * 1024;
const REQUEST: Duration = Duration::from_secs(10);

/// Between chunks: about 1 MB a second.
const PACE: Duration = Duration::from_millis(4);
