//! How long the gate takes to drop: from the API request sent to the last byte that still passes.
//!
//! One session carries an upload and a download of about 10 MB/s each while many others sit idle on real connections. Each cut
//! is timed from just before the request is written to the last byte seen at the server (up) and at the client (down),
//! whichever is later. A thread that sleeps for a millisecond at a time says what the machine itself adds.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::{carrier::Stream, quic::Dialer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    Args,
    report::{Report, median, millis, percentile},
    session::{Door, Session},
    world::{ALWAYS, DEFAULT_SITE, World},
};

/// Runs the bench.
pub async fn run(args: &Args, report: &mut Report) -> Result<()> {
    let mut runs: Vec<RunFigures> = Vec::new();
    for number in 1..=args.runs {
        report.progress(&format!("run {number} of {}: {} idle sessions", args.runs, args.idle));
        runs.push(one_run(args, report).await?);
    }
    report.note(format!(
        "cut: {} cuts in each run, a third each by revocation, by an edit and by re-evaluation of a condition that asks over HTTP, {} idle sessions on real connections, upload and download running; median of {} runs",
        args.cuts, args.idle, args.runs
    ));
    report
        .note("from the request sent to the last byte at server (up) or client (down), whichever is later".to_owned());
    for case in ["revoke/request", "edit/request", "reeval/request", "noise"] {
        for metric in ["p50", "p99", "max"] {
            let values = runs
                .iter()
                .filter_map(|run| run.iter().find(|row| row.0 == case && row.1 == metric))
                .map(|row| row.2)
                .collect();
            report.add(case, metric, median(values), "ms");
        }
    }
    let over_noise = |run: &RunFigures, case: &str| {
        let p99 = |case: &str| run.iter().find(|row| row.0 == case && row.1 == "p99").map_or(f64::NAN, |row| row.2);
        p99(case) - p99("noise")
    };
    for case in ["revoke/request", "edit/request", "reeval/request"] {
        report.add(case, "p99-noise", median(runs.iter().map(|run| over_noise(run, case)).collect()), "ms");
    }
    Ok(())
}

type RunFigures = Vec<(&'static str, &'static str, f64)>;

async fn one_run(args: &Args, report: &Report) -> Result<RunFigures> {
    let mut world = World::start(&args.program).await?;
    world.add_gateway().await?;
    let server = Server::start().await?;
    let fact = Fact::start().await?;
    let condition = configure(&world, server.address, &fact).await?;
    let door = Door {
        dialer: Dialer::bind((Ipv4Addr::LOCALHOST, 0).into())?,
        controller: world.client_address,
        pin: world.pin,
    };
    let _idle = idle_sessions(&door, args.idle).await?;
    report.progress("idle sessions are up");
    let noise = Noise::start();
    let mut session = door.sign_in("cutter", PASSWORD, u128::MAX).await?;
    let mut revoke = Vec::new();
    let mut edit = Vec::new();
    let mut reeval = Vec::new();
    let mut asked = door.sign_in("asked", PASSWORD, u128::MAX - 1).await?;
    for number in 0..args.cuts / 3 {
        if number > 0 && number % 500 == 0 {
            report.progress(&format!("{number} cuts of each case"));
        }
        // A controller takes few requests of one session in a row.
        if number % CUTS_OF_A_SESSION == 0 {
            session = door.sign_in("cutter", PASSWORD, u128::MAX).await?;
            asked = door.sign_in("asked", PASSWORD, u128::MAX - 1).await?;
        }
        revoke.push(cut_by_revocation(&world, &session, &server).await?);
        edit.push(cut_by_edit(&world, &session, &server, &condition).await?);
        reeval.push(cut_by_reevaluation(&world, &asked, &server, &fact).await?);
    }
    let mut figures = Vec::new();
    for (case, mut samples) in
        [("revoke/request", revoke), ("edit/request", edit), ("reeval/request", reeval), ("noise", noise.stop()?)]
    {
        figures.push((case, "p50", millis(percentile(&mut samples, 0.5))));
        figures.push((case, "p99", millis(percentile(&mut samples, 0.99))));
        figures.push((case, "max", millis(percentile(&mut samples, 1.0))));
    }
    Ok(figures)
}

/// Three users; those that are cut have an entitlement with a condition of its own, one of which asks for a fact over HTTP.
async fn configure(world: &World, server: SocketAddr, fact: &Fact) -> Result<Condition> {
    let admin = &world.admin;
    for name in ["idle", "cutter", "asked"] {
        admin
            .post("local-users", &json!({ "name": name, "firstName": "Bench", "lastName": name, "password": PASSWORD }))
            .await?;
    }
    let mut condition = json!({ "name": "cut me", "expression": "return true;" });
    let created = admin.post("conditions", &condition).await?;
    let id = created.get("id").and_then(Value::as_str).context("condition has no id")?.to_owned();
    condition["id"] = json!(id);
    let asks = format!("return httpGet('http://{}/').data === 'open';", fact.address);
    let asks = admin.post("conditions", &json!({ "name": "asks", "expression": asks })).await?;
    let asks = asks.get("id").and_then(Value::as_str).context("condition has no id")?;
    for (user, condition) in [("idle", ALWAYS), ("cutter", &id), ("asked", asks)] {
        let actions = json!([{ "subtype": "tcp_up", "action": "allow", "hosts": [server.ip()], "ports": [server.port().to_string()] }]);
        let entitlement = json!({ "name": format!("{user} access"), "site": DEFAULT_SITE, "conditions": [condition], "actions": actions });
        let entitlement = admin.post("entitlements", &entitlement).await?;
        let expression = format!("return claims.user.username === '{user}';");
        let policy =
            json!({ "name": format!("{user} policy"), "expression": expression, "entitlements": [entitlement["id"]] });
        admin.post("policies", &policy).await?;
    }
    Ok(Condition { id, body: condition })
}

struct Condition {
    id: String,
    body: Value,
}

impl Condition {
    async fn set(&self, world: &World, expression: &str) -> Result<()> {
        let mut body = self.body.clone();
        body["expression"] = json!(expression);
        world.admin.put(&format!("conditions/{}", self.id), &body).await?;
        Ok(())
    }
}

async fn idle_sessions(door: &Door, count: u32) -> Result<Vec<crate::session::Tunnel>> {
    let mut tunnels = Vec::new();
    let mut waiting = JoinSet::new();
    for device in 0..count {
        if waiting.len() >= 8 {
            tunnels.push(waiting.join_next().await.context("no session under way")???);
        }
        let door = door.clone();
        waiting.spawn(async move { door.sign_in("idle", PASSWORD, u128::from(device) + 1).await?.connect().await });
    }
    while let Some(tunnel) = waiting.join_next().await {
        tunnels.push(tunnel??);
    }
    Ok(tunnels)
}

async fn cut_by_revocation(world: &World, session: &Session, server: &Server) -> Result<Duration> {
    let tunnel = session.connect().await?;
    let flows = Flows::start(&tunnel, server).await?;
    let sent = Instant::now();
    let body = json!({ "delayMinutes": 0, "revocationReason": "bench" });
    world.admin.put("token-records/revoked/by-dn/CN=cutter,OU=local?tokenType=Entitlement", &body).await?;
    flows.last_byte_after(sent).await
}

async fn cut_by_edit(world: &World, session: &Session, server: &Server, condition: &Condition) -> Result<Duration> {
    let tunnel = session.connect().await?;
    let flows = Flows::start(&tunnel, server).await?;
    let sent = Instant::now();
    condition.set(world, "return false;").await?;
    let took = flows.last_byte_after(sent).await?;
    condition.set(world, "return true;").await?;
    tunnel.carrier.close(0, "done");
    Ok(took)
}

async fn cut_by_reevaluation(world: &World, session: &Session, server: &Server, fact: &Fact) -> Result<Duration> {
    let tunnel = session.connect().await?;
    let flows = Flows::start(&tunnel, server).await?;
    fact.is_open.store(false, Ordering::Release);
    let sent = Instant::now();
    world.admin.post("token-records/reeval/by-dn/CN=asked,OU=local", &json!({})).await?;
    let took = flows.last_byte_after(sent).await?;
    fact.is_open.store(true, Ordering::Release);
    tunnel.carrier.close(0, "done");
    Ok(took)
}

/// Something outside that a condition asks for over HTTP.
struct Fact {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
}

impl Fact {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let fact = Self { address: listener.local_addr()?, is_open: Arc::new(AtomicBool::new(true)) };
        let is_open = fact.is_open.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tell(stream, is_open.clone()));
            }
        });
        Ok(fact)
    }
}

/// Answers one request after the other on a connection.
async fn tell(mut stream: TcpStream, is_open: Arc<AtomicBool>) {
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        request.extend_from_slice(piece.get(..count).unwrap_or_default());
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        let body = if is_open.load(Ordering::Acquire) { "open" } else { "closed" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An upload and a download of one session, both running.
struct Flows {
    down: tokio::task::JoinHandle<Result<Option<Instant>>>,
    up: tokio::task::JoinHandle<()>,
    seen_up: Arc<Seen>,
}

impl Flows {
    async fn start(tunnel: &crate::session::Tunnel, server: &Server) -> Result<Self> {
        let mut upload = tunnel.open(server.address).await?;
        upload.send.write_all(&[b'u']).await?;
        let seen_up = server.next_upload().await?;
        let mut download = tunnel.open(server.address).await?;
        download.send.write_all(&[b'd']).await?;
        let up = tokio::spawn(upload_until_cut(upload));
        let flowing = Arc::new(AtomicBool::new(false));
        let down = tokio::spawn(download_until_cut(download, flowing.clone()));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !(flowing.load(Ordering::Acquire) && seen_up.bytes.load(Ordering::Acquire) > 64 * 1024) {
            if Instant::now() > deadline {
                bail!("no data flows within 10 s");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Self { down, up, seen_up })
    }

    /// The later of the last bytes at client and server, counted from `sent`.
    async fn last_byte_after(self, sent: Instant) -> Result<Duration> {
        let down = tokio::time::timeout(CUT_DEADLINE, self.down).await.context("the download was never cut")???;
        tokio::time::timeout(CUT_DEADLINE, self.up).await.context("the upload was never cut")??;
        let deadline = Instant::now() + CUT_DEADLINE;
        while !self.seen_up.ended.load(Ordering::Acquire) {
            if Instant::now() > deadline {
                bail!("the server's side of the upload never ended");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let up = *self.seen_up.last.lock().map_err(|_| anyhow::anyhow!("a reader panicked"))?;
        let last = down.max(up);
        Ok(last.map_or(Duration::ZERO, |last| last.saturating_duration_since(sent)))
    }
}

async fn upload_until_cut(mut stream: Stream) {
    let chunk = vec![b'x'; 16 * 1024];
    while stream.send.write_all(&chunk).await.is_ok() {
        tokio::time::sleep(PACE).await;
    }
}

async fn download_until_cut(mut stream: Stream, flowing: Arc<AtomicBool>) -> Result<Option<Instant>> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut last, mut total) = (None, 0);
    loop {
        match stream.receive.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(last),
            Ok(count) => {
                last = Some(Instant::now());
                total += count;
                if total > 64 * 1024 {
                    flowing.store(true, Ordering::Release);
                }
            }
        }
    }
}

/// The protected service: sends for ever to whoever says `d`, reads for ever from whoever says `u`.
struct Server {
    address: SocketAddr,
    uploads: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<Arc<Seen>>>,
}

/// What the server saw of one upload.
#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    last: std::sync::Mutex<Option<Instant>>,
    ended: AtomicBool,
}

impl Server {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (tell, uploads) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tell.clone()));
            }
        });
        Ok(Self { address, uploads: tokio::sync::Mutex::new(uploads) })
    }

    async fn next_upload(&self) -> Result<Arc<Seen>> {
        let mut uploads = self.uploads.lock().await;
        let next = tokio::time::timeout(Duration::from_secs(10), uploads.recv())
            .await
            .context("the upload did not reach the server")?;
        next.context("the server is gone")
    }
}

async fn serve(mut stream: TcpStream, tell: tokio::sync::mpsc::Sender<Arc<Seen>>) {
    let Ok(kind) = stream.read_u8().await else { return };
    let mut buffer = vec![0; 64 * 1024];
    if kind == b'd' {
        while stream.write_all(&buffer[..16 * 1024]).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
        return;
    }
    let seen = Arc::new(Seen::default());
    if tell.send(seen.clone()).await.is_err() {
        return;
    }
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        seen.bytes.fetch_add(count as u64, Ordering::AcqRel);
        if let Ok(mut last) = seen.last.lock() {
            *last = Some(Instant::now());
        }
    }
    seen.ended.store(true, Ordering::Release);
}

/// A thread that sleeps for a millisecond at a time and notes how much longer it took.
struct Noise {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<Duration>>,
}

impl Noise {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let before = Instant::now();
                std::thread::sleep(Duration::from_millis(1));
                samples.push(before.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            samples
        });
        Self { stop, thread }
    }

    fn stop(self) -> Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the noise thread panicked"))
    }
}

const PASSWORD: &str = "bench-Password-1";

/// Each authorizes twice in a round; a controller takes 30 requests at once and one a second after that.
const CUTS_OF_A_SESSION: u32 = 10;

/// Between two chunks of 16 KiB, so that each stream runs at about 10 MB/s: always something in flight, and room on the
/// machine for the cut itself.
const PACE: Duration = Duration::from_millis(1);

const CUT_DEADLINE: Duration = Duration::from_secs(10);
