//! What the tests of several crates share: the script worker's program, and servers on loopback that a script or a flow can reach.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

use std::fs::{self, DirEntry};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use sandbox::WorkerCommand;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The script worker of the sandbox crate, beside the running test; built here when it is missing or older than its sources,
/// because the tests of one package do not bring along the programs of another.
///
/// # Panics
/// When it does not build.
pub fn worker() -> WorkerCommand {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let directory = test.ancestors().nth(2).unwrap();
        let program = directory.join("script-worker");
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let sources = ["sandbox/src", "engine/src"].map(|sources| newest(&workspace.join(sources)));
        let built = program.metadata().and_then(|file| file.modified()).ok();
        if built.is_none_or(|built| sources.into_iter().flatten().any(|changed| changed > built)) {
            build_worker(directory, workspace);
        }
        program
    });
    WorkerCommand { program: program.clone(), args: Vec::new() }
}

fn build_worker(directory: &Path, workspace: &Path) {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--workspace", "--bin", "script-worker"]).current_dir(workspace);
    if directory.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the script worker does not build");
}

/// When anything in a directory was last changed.
fn newest(directory: &Path) -> Option<SystemTime> {
    let of_entry = |entry: DirEntry| {
        if entry.path().is_dir() { newest(&entry.path()) } else { entry.metadata().ok()?.modified().ok() }
    };
    fs::read_dir(directory).ok()?.flatten().filter_map(of_entry).max()
}

/// A web server that answers every request alike and keeps what it was asked. It ends with the test's runtime.
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Web {
    /// Listens on a free port of loopback.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(body: impl Into<Arc<str>>) -> Self {
        let body: Arc<str> = body.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&body), Arc::clone(&kept)));
            }
        });
        Self { address, requests }
    }

    /// What it was asked so far: the lines before the body of each request.
    ///
    /// # Panics
    /// When a connection's task panicked.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, body: Arc<str>, requests: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    requests.lock().unwrap().push(String::from_utf8(request).unwrap());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    // A caller that is gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A TCP server on loopback that sends back what it gets; answers where it listens.
///
/// # Panics
/// When there is no free port.
pub async fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // The connection ends when either side does; there is nobody to tell.
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}
