//! Real processes for the end-to-end tests: started on free ports in a folder of their own, ended by id.

use std::{
    ffi::OsStr,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

pub const ADMIN_PASSWORD: &str = "test-Administrator-1";

/// A process that ends with its handle.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the program under test; its output goes to a log in `dir`.
    pub fn start(dir: &Path, name: &str, args: &[&dyn AsRef<OsStr>]) -> Self {
        let log = File::options().create(true).append(true).open(dir.join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(args.iter().map(|argument| argument.as_ref()));
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child }
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is already gone needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A controller process on a data folder that survives it.
pub struct Controller {
    pub process: Process,
    pub admin_url: String,
    pub authority: PathBuf,
    pub client_address: String,
    pub fingerprint: String,
    /// What its ready file says.
    pub facts: Value,
}

impl Controller {
    /// Starts a controller on `dir`; the second start in a folder is a restart.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    /// As [`Controller::start`], with more arguments.
    pub async fn start_with(dir: &Path, more: &[&str]) -> Self {
        let password = dir.join("admin-password");
        std::fs::write(&password, ADMIN_PASSWORD).unwrap();
        let ready = dir.join("controller.json");
        // A file that was never there is as good as one that is gone.
        let _ = std::fs::remove_file(&ready);
        let data = dir.join("data");
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![
            &"controller",
            &"--data",
            &data,
            &"--client-listen",
            &"127.0.0.1:0",
            &"--admin-listen",
            &"127.0.0.1:0",
            &"--admin-password-file",
            &password,
            &"--ready-file",
            &ready,
        ];
        args.extend(more.iter().map(|argument| argument as &dyn AsRef<OsStr>));
        let process = Process::start(dir, "controller", &args);
        let facts = wait_for_json(&ready).await;
        let port = facts["adminAddress"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let text = |name: &str| facts[name].as_str().unwrap().to_owned();
        Self {
            process,
            admin_url: format!("https://localhost:{port}/admin"),
            authority: text("caFile").into(),
            client_address: text("clientAddress"),
            fingerprint: text("caFingerprint"),
            facts,
        }
    }

    /// A client of the admin API without a token.
    pub fn api(&self) -> Api {
        // Another test of the same process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Certificate::from_pem(&std::fs::read(&self.authority).unwrap()).unwrap();
        let http = Client::builder().tls_certs_only([authority]).timeout(Duration::from_secs(20)).build().unwrap();
        Api { http, url: self.admin_url.clone(), token: None, version: 21 }
    }

    /// A client of the admin API signed in as the built-in administrator.
    pub async fn admin(&self) -> Api {
        self.api().signed_in("admin", ADMIN_PASSWORD).await
    }
}

/// Adds a gateway of the Default Site that may dial loopback, and starts it.
pub async fn start_gateway(dir: &Path, admin: &Api) -> Process {
    start_gateway_with(dir, admin, &[]).await
}

/// As [`start_gateway`], with more arguments.
pub async fn start_gateway_with(dir: &Path, admin: &Api, more: &[&str]) -> Process {
    start_gateway_named(dir, admin, "gateway", more).await.0
}

/// As [`start_gateway_with`], for one of several; also answers where it listens.
pub async fn start_gateway_named(dir: &Path, admin: &Api, name: &str, more: &[&str]) -> (Process, String) {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let body = json!({
        "name": name, "hostname": "127.0.0.1", "site": DEFAULT_SITE, "networking": {},
        "clientInterface": { "hostname": "127.0.0.1", "httpsPort": port },
        "gateway": { "enabled": true, "vpn": { "weight": 100 } },
    });
    let appliance = admin.expect(Method::POST, "appliances", Some(body), StatusCode::OK).await;
    let export = format!("appliances/{}/export", appliance["id"].as_str().unwrap());
    let export = admin.expect(Method::POST, &export, Some(json!({})), StatusCode::OK).await;
    let seed = dir.join(format!("{name}-seed"));
    std::fs::write(&seed, export["seed"].as_str().unwrap()).unwrap();
    let ready = dir.join(format!("{name}.json"));
    let (data, listen) = (dir.join(format!("{name}-data")), format!("127.0.0.1:{port}"));
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![
        &"gateway",
        &"--data",
        &data,
        &"--seed",
        &seed,
        &"--listen",
        &listen,
        &"--dial-allow",
        &"127.0.0.0/8",
        &"--ready-file",
        &ready,
    ];
    args.extend(more.iter().map(|argument| argument as &dyn AsRef<OsStr>));
    let process = Process::start(dir, name, &args);
    wait_for_json(&ready).await;
    (process, listen)
}

/// Whether a forward carries nothing. The client resets what is refused, at times before the local program has noticed that
/// it was connected; then connecting itself fails with that reset.
pub async fn gives_nothing(forward: &str) -> bool {
    match TcpStream::connect(forward).await {
        Ok(mut flow) => matches!(flow.read(&mut [0]).await, Ok(0) | Err(_)),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{forward}: {error}"),
    }
}

/// A client process that is connected, with the local addresses of its forwards in order.
pub struct ConnectedClient {
    _process: Process,
    pub forwards: Vec<String>,
}

impl ConnectedClient {
    /// Signs in and connects; each destination gets a forward.
    pub async fn start(
        dir: &Path,
        controller: &Controller,
        username: &str,
        password: &str,
        destinations: &[String],
    ) -> Self {
        let process = start_client(dir, controller, username, password, destinations);
        let facts = wait_for_json(&dir.join(format!("{username}.json"))).await;
        let forwards = facts["listeners"]
            .as_array()
            .unwrap()
            .iter()
            .map(|listener| listener["address"].as_str().unwrap().to_owned());
        Self { _process: process, forwards: forwards.collect() }
    }
}

/// Starts a client process that signs in; its data lies in `{username}-data`, what it says when it is ready in `{username}.json`.
pub fn start_client(
    dir: &Path,
    controller: &Controller,
    username: &str,
    password: &str,
    destinations: &[String],
) -> Process {
    start_client_with(dir, controller, (username, password), destinations, &[])
}

/// As [`start_client`], with more arguments.
pub fn start_client_with(
    dir: &Path,
    controller: &Controller,
    (username, password): (&str, &str),
    destinations: &[String],
    more: &[&str],
) -> Process {
    let password_file = dir.join(format!("{username}-password"));
    std::fs::write(&password_file, password).unwrap();
    let ready = dir.join(format!("{username}.json"));
    let data = dir.join(format!("{username}-data"));
    let forwards: Vec<String> = destinations.iter().map(|to| format!("127.0.0.1:0={to}")).collect();
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![
        &"client",
        &"--controller",
        &controller.client_address,
        &"--ca-fingerprint",
        &controller.fingerprint,
        &"--provider",
        &"local",
        &"--data",
        &data,
        &"--username",
        &username,
        &"--password-file",
        &password_file,
        &"--ready-file",
        &ready,
    ];
    for forward in &forwards {
        args.extend([&"--forward" as &dyn AsRef<OsStr>, forward]);
    }
    args.extend(more.iter().map(|argument| argument as &dyn AsRef<OsStr>));
    Process::start(dir, username, &args)
}

/// The built-in Site (D 32).
pub const DEFAULT_SITE: &str = "8a4add9e-0e99-4bb1-949c-c9faf9a49ad4";

/// The built-in condition that always holds (D 32).
pub const ALWAYS: &str = "ee7b7e6f-e904-4b4f-a5ec-b3bef040643e";

/// A client of the admin API.
#[derive(Clone)]
pub struct Api {
    pub http: Client,
    pub url: String,
    pub token: Option<String>,
    pub version: u32,
}

impl Api {
    /// The same client with a token of its own.
    pub async fn signed_in(&self, username: &str, password: &str) -> Self {
        let body = json!({ "providerName": "local", "username": username, "password": password, "deviceId": uuid::Uuid::new_v4() });
        let (status, answer) = self.call(Method::POST, "login", Some(&body)).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        Self { token: Some(answer["token"].as_str().unwrap().to_owned()), ..self.clone() }
    }

    /// One call; an error only when there was no answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<(StatusCode, Value)> {
        let accept = format!("application/vnd.appgate.peer-v{}+json", self.version);
        let mut request = self.http.request(method, format!("{}/{path}", self.url)).header("Accept", accept);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// One call that must be answered with the status.
    #[track_caller]
    pub fn expect(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        wanted: StatusCode,
    ) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let (api, path) = (self.clone(), path.to_owned());
        async move {
            let (status, answer) = api.call(method, &path, body.as_ref()).await.unwrap();
            assert_eq!(status, wanted, "{path} at {caller}: {answer}");
            answer
        }
    }
}

/// Waits until a process has written its ready file.
pub async fn wait_for_json(path: &Path) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return value;
        }
        let log = || std::fs::read_to_string(path.with_extension("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{} never appeared; log: {}", path.display(), log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
