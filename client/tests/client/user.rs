//! A running client under test and the local programs that use it.

use std::{io, net::SocketAddr, path::Path};

use client::{
    ClientConfig, ClientError, ClientEvent, DeviceScriptMode, DeviceScripts, Ended, Profile, RunnerCommand, Status, run,
};
use fast_socks5::client::{Config, Socks5Stream};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use zeroize::Zeroizing;

use crate::world::{PASSWORD, PATIENCE, World, local};

pub struct User {
    pub dir: TempDir,
    pub events: mpsc::Receiver<ClientEvent>,
    pub listeners: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<Ended, ClientError>>>,
}

pub fn config(world: &World, dir: &Path) -> ClientConfig {
    ClientConfig {
        profile: Profile {
            controllers: vec!["controller.test:443".to_owned()],
            ca_fingerprint: world.shared.authority.pin(),
            provider: "local".to_owned(),
        },
        data_dir: dir.to_owned(),
        username: "ana".to_owned(),
        password: Zeroizing::new(PASSWORD.to_owned()),
        socks: Some(local()),
        forwards: Vec::new(),
        dial_overrides: [("controller.test:443".to_owned(), world.controller)].into(),
        device_scripts: device_scripts(),
    }
}

/// Scripts run, whoever runs the tests.
pub fn device_scripts() -> DeviceScripts {
    let runner = RunnerCommand { program: env!("CARGO_BIN_EXE_device-script-runner").into(), args: Vec::new() };
    DeviceScripts { mode: DeviceScriptMode::AlsoAsRoot, ..DeviceScripts::new(Some(runner)) }
}

impl User {
    /// Starts a client and waits until every Site has admitted it.
    pub async fn start(world: &World, sites: usize, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut user = Self::launch(world, change);
        let mut admitted = 0;
        while admitted < sites {
            match user.next().await {
                ClientEvent::Listening { address, .. } => user.listeners.push(address.parse().unwrap()),
                ClientEvent::Admitted { .. } => admitted += 1,
                _ => {}
            }
        }
        user
    }

    pub fn launch(world: &World, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(world, dir.path());
        change(&mut config);
        let (sender, events) = mpsc::channel(64);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(run(config, shutdown, sender));
        Self { dir, events, listeners: Vec::new(), stop: Some(stop), task: Some(task) }
    }

    pub async fn next(&mut self) -> ClientEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("no event in time").expect("client is over")
    }

    /// Skips events until one of this kind.
    pub async fn event(&mut self, kind: &str) -> ClientEvent {
        loop {
            let event = self.next().await;
            if event.kind() == kind {
                return event;
            }
        }
    }

    pub async fn status(&self) -> Status {
        client::status(self.dir.path()).await.unwrap()
    }

    /// Asks for the status until it is as wanted.
    pub async fn status_when(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let poll = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, poll).await.expect("status is not as wanted in time")
    }

    pub async fn socks(&self, host: &str, port: u16) -> Result<Socks5Stream<TcpStream>, fast_socks5::SocksError> {
        let connecting = Socks5Stream::connect(self.listeners[0], host.to_owned(), port, Config::default());
        timeout(PATIENCE, connecting).await.expect("no SOCKS answer in time")
    }

    pub async fn outcome(&mut self) -> Result<Ended, ClientError> {
        timeout(PATIENCE, self.task.take().unwrap()).await.expect("client does not end").unwrap()
    }

    pub async fn stop(&mut self) -> Result<Ended, ClientError> {
        self.stop.take().unwrap().send(()).unwrap();
        self.outcome().await
    }
}

/// Sends and expects the same back.
pub async fn echo(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = vec![0; text.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("no echo in time").unwrap();
    assert_eq!(back, text.as_bytes());
}

/// Reads to the end and says how it was: data read, and the error if it was not a clean end.
pub async fn drain(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (usize, Option<io::ErrorKind>) {
    let mut buffer = vec![0; 4096];
    let mut total = 0;
    let reading = async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) => return (total, None),
                Ok(got) => total += got,
                Err(error) => return (total, Some(error.kind())),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("stream does not end")
}
