//! A live download through a tunnel, watched byte by byte: how much came, when the last byte came, how it ended, and
//! whether anything in between was lost.

use std::{
    fmt,
    io::{BufRead as _, BufReader, ErrorKind},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::socks;

/// A download that goes on until somebody ends it.
pub struct Download {
    to: String,
    shared: Arc<Shared>,
    stream: TcpStream,
}

/// How a download stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Chunks that came whole and in order.
    pub chunks: u64,
    /// When the last byte came.
    pub last_byte: Instant,
    /// Longest time without any byte.
    pub longest_gap: Duration,
    /// How it ended, if it has.
    pub ending: Option<Ending>,
}

/// How a download ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The connection was reset: the application sees that it was cut.
    Reset,
    /// The connection was closed as if it had come to its end.
    Closed,
    /// A chunk was missing, torn or out of order.
    Torn(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("reset"),
            Self::Closed => f.write_str("closed as if complete"),
            Self::Torn(what) => write!(f, "torn: {what}"),
            Self::Failed(what) => write!(f, "failed: {what}"),
        }
    }
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Download {
    /// Starts one through a SOCKS port and waits for its first chunks.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(proxy: SocketAddr, host: &str, port: u16) -> Result<Self> {
        Self::start_patiently(proxy, host, port, socks::PATIENCE)
    }

    /// Starts one that may be held for a while.
    ///
    /// # Errors
    /// When it does not start in that time.
    pub fn start_patiently(proxy: SocketAddr, host: &str, port: u16, patience: Duration) -> Result<Self> {
        let to = format!("{host}:{port}");
        let mut stream = socks::connect(proxy, host, port, patience).with_context(|| format!("cannot reach {to}"))?;
        stream.set_read_timeout(None).context("cannot wait for ever")?;
        socks::ask(&mut stream, "/stream").context("cannot ask for the stream")?;
        let progress = Progress { chunks: 0, last_byte: Instant::now(), longest_gap: Duration::ZERO, ending: None };
        let shared = Arc::new(Shared { progress: Mutex::new(progress), changed: Condvar::new() });
        let reader = BufReader::new(stream.try_clone().context("cannot share the connection")?);
        let theirs = shared.clone();
        thread::spawn(move || {
            let ending = read_chunks(reader, &theirs);
            theirs.lock().ending = Some(ending);
            theirs.changed.notify_all();
        });
        let download = Self { to, shared, stream };
        download.require_chunks(CHUNKS_THAT_SHOW_LIFE, socks::PATIENCE)?;
        Ok(download)
    }

    /// How it stands now.
    pub fn progress(&self) -> Progress {
        self.shared.lock().clone()
    }

    /// Waits for further chunks, so that it is known to be alive now.
    ///
    /// # Errors
    /// When it has ended or nothing comes.
    pub fn require_flowing(&self, bound: Duration) -> Result<Progress> {
        self.require_chunks(self.progress().chunks + CHUNKS_THAT_SHOW_LIFE, bound)
    }

    fn require_chunks(&self, wanted: u64, bound: Duration) -> Result<Progress> {
        let progress = self.wait(bound, |progress| progress.chunks >= wanted || progress.ending.is_some());
        match &progress.ending {
            Some(ending) => bail!("the download from {} was {ending} after {} chunks", self.to, progress.chunks),
            None if progress.chunks < wanted => {
                bail!("the download from {} stalled after {} chunks", self.to, progress.chunks)
            }
            None => Ok(progress),
        }
    }

    /// Watches it for a time, all of which it must live.
    ///
    /// # Errors
    /// As soon as it ends, and when nothing comes at the end of the time.
    pub fn require_alive_for(&self, time: Duration) -> Result<()> {
        let progress = self.wait(time, |progress| progress.ending.is_some());
        match progress.ending {
            Some(ending) => bail!("the download from {} was {ending} after {} chunks", self.to, progress.chunks),
            None => self.require_flowing(socks::PATIENCE).map(|_| ()),
        }
    }

    /// Waits until it was cut, and checks that it was reset and lost nothing before.
    ///
    /// # Errors
    /// When it goes on after the bound or ended in another way.
    pub fn require_cut(&self, bound: Duration) -> Result<Progress> {
        let progress = self.wait(bound, |progress| progress.ending.is_some());
        match &progress.ending {
            Some(Ending::Reset) => Ok(progress),
            Some(other) => bail!("the download from {} was {other} where a reset was due", self.to),
            None => bail!("the download from {} still goes on after {} s", self.to, bound.as_secs_f64()),
        }
    }

    fn wait(&self, bound: Duration, done: impl Fn(&Progress) -> bool) -> Progress {
        let guard = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(guard, bound, |progress| !done(progress));
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Ends the reading thread; a connection that is gone already has none.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn read_chunks(mut reader: BufReader<TcpStream>, shared: &Shared) -> Ending {
    let mut line = Vec::new();
    let (mut in_head, mut expected) = (true, 1_u64);
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Ending::Closed,
            Ok(_) if in_head => in_head = line != b"\r\n",
            // A last piece without its end is what a cut leaves; what follows says whether it was one.
            Ok(_) if line.last() != Some(&b'\n') => {}
            Ok(_) => {
                if let Err(what) = check_chunk(&line, expected) {
                    return Ending::Torn(what);
                }
                expected += 1;
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                return Ending::Reset;
            }
            Err(error) => return Ending::Failed(error.to_string()),
        }
        note(shared, expected - 1);
    }
}

fn note(shared: &Shared, chunks: u64) {
    let mut progress = shared.lock();
    let now = Instant::now();
    progress.longest_gap = progress.longest_gap.max(now - progress.last_byte);
    progress.last_byte = now;
    progress.chunks = chunks;
    drop(progress);
    shared.changed.notify_all();
}

fn check_chunk(line: &[u8], expected: u64) -> Result<(), String> {
    let wanted = format!("chunk {expected} ");
    if line.len() == crate::serve::CHUNK && line.starts_with(wanted.as_bytes()) {
        return Ok(());
    }
    let found: String = String::from_utf8_lossy(line).chars().take(24).collect();
    Err(format!("`{wanted}` was due and `{found}` came ({} bytes)", line.len()))
}

/// Some 40 ms of the stream: enough to be more than what stood in buffers.
const CHUNKS_THAT_SHOW_LIFE: u64 = 10;

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::mpsc,
    };

    use super::*;

    /// A SOCKS port whose far end sends these chunks, and closes when the sender is gone; what it leaves unread makes
    /// the close a reset.
    fn far_end(chunks: &'static [u64], reads_request: bool) -> (SocketAddr, mpsc::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, gone) = mpsc::channel::<()>();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).unwrap();
            stream.write_all(&[5, 0]).unwrap();
            let mut request = [0; 10];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
            let mut first = [0; 1];
            stream.read_exact(&mut first).unwrap();
            if reads_request {
                let mut rest = BufReader::new(&stream).lines();
                while !rest.next().unwrap().unwrap().is_empty() {}
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            for number in chunks {
                let line = format!("{:.<width$}\n", format!("chunk {number} "), width = crate::serve::CHUNK - 1);
                stream.write_all(line.as_bytes()).unwrap();
            }
            assert!(gone.recv().is_err());
        });
        (address, sender)
    }

    #[track_caller]
    fn check(chunks: &'static [u64], reads_request: bool, complaint: &str) {
        let (address, open) = far_end(chunks, reads_request);
        let outcome = Download::start(address, "127.0.0.1", 80).and_then(|download| {
            drop(open);
            download.require_cut(Duration::from_secs(5)).map(|_| ())
        });
        let said = outcome.map_or_else(|error| format!("{error:#}"), |()| String::new());
        assert!(said.contains(complaint) && said.is_empty() == complaint.is_empty(), "{said}");
    }

    #[test]
    fn only_a_reset_without_loss_counts_as_cut() {
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], false, "");
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], true, "closed as if complete");
        check(&[1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12], false, "torn");
    }
}
