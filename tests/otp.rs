//! One-time codes from end to end: an app is set up at the first condition that asks for a code, a code opens one
//! connection and no second, guessing ends, and an administrator lets the user start over.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{OpenOptionsExt as _, PermissionsExt as _},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use data_encoding::BASE32_NOPAD;
use reqwest::{Method, StatusCode};
use ring::hmac;
use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::world::{ADMIN_PASSWORD, Api, ConnectedClient, Controller, DEFAULT_SITE, start_gateway, wait_for_json};

const PASSWORD: &str = "ana-Password-1";
const TOTP_PROVIDER: &str = "03542d1e-733c-4c43-a567-d28fbc4649a7";
const FIDO2_PROVIDER: &str = "3ae98d53-c520-437f-99e4-451f936e6d2c";

/// Conditions, each with an expression that another lane runs.
const CONDITIONS: [(&str, &str); 3] = [
    ("first", "return claims.user.hasOtp('first', 5);"),
    ("second", "return claims.user.hasMfa('second', 5);"),
    (
        "third",
        "Array.prototype.fresh = function (suffix) { return claims.user.hasOtp(suffix, 5); }; return [].fresh('third');",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_waits_for_a_one_time_code() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk { dir: dir.path().to_owned() };
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let mut destinations = Vec::new();
    for (name, expression) in CONDITIONS {
        let echo = testing::echo_server().await;
        grant(&admin, name, expression, (TOTP_PROVIDER, echo.port())).await;
        destinations.push(echo.to_string());
    }
    let echo = testing::echo_server().await;
    grant(&admin, "key", "return claims.user.hasOtp('key', 5);", (FIDO2_PROVIDER, echo.port())).await;
    destinations.push(echo.to_string());
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": PASSWORD });
    admin.expect(Method::POST, "local-users", Some(user), StatusCode::OK).await;
    let client = ConnectedClient::start(dir.path(), &controller, "ana", PASSWORD, &destinations).await;
    let connect = |at: usize| tokio::spawn(talk(client.forwards[at].clone()));

    let waiting = connect(0);
    desk.asked("first").await;
    desk.refused("first", &["--reason", "because"], "asks for a one-time code, not for a reason");
    desk.refused("first", &[], "there is no terminal to ask on");
    desk.refused("first", &["--code", "123456"], "set up one-time codes first");
    let secret = desk.scan("first");
    assert_eq!(seeds(&admin).await, json!([seed(false)]));
    desk.refused("first", &["--code", &secret.wrong()], "the code is wrong");
    assert!(!waiting.is_finished(), "a wrong code opened something");
    let used = secret.code(0);
    desk.give("first", &used);
    heard(waiting).await;
    assert_eq!(seeds(&admin).await, json!([seed(true)]));

    let waiting = connect(1);
    desk.asked("second").await;
    desk.refused("second", &["--code", &used], "was used already");
    desk.refused("second", &["--qr-png", "again.png"], "set up already");
    assert!(!dir.path().join("again.png").exists());
    assert!(!waiting.is_finished(), "a used code opened something");
    desk.give("second", &secret.code(1));
    heard(waiting).await;

    let waiting = connect(2);
    desk.asked("third").await;
    for _ in 0..5 {
        desk.refused("third", &["--code", &secret.wrong()], "the code is wrong");
    }
    desk.refused("third", &["--code", &secret.code(1)], "too many");
    desk.ctl(&controller, &["login"]);
    assert!(desk.ctl(&controller, &["otp-seeds"]).contains("CN=ana,OU=local  confirmed by a code"));
    desk.ctl(&controller, &["otp-seeds", "delete", "CN=ana,OU=local"]);
    assert_eq!(seeds(&admin).await, json!([]));
    let nothing = desk.say(&json!({ "command": "enrol", "condition": "first" }));
    assert_eq!(nothing["failed"]["code"], "client.no-code-asked", "{nothing}");
    let enrolment = desk.say(&json!({ "command": "enrol", "condition": "third" }));
    let again = Secret::of(enrolment["enrolment"]["uri"].as_str().expect("a secret to set up"));
    assert_ne!(again.0, secret.0);
    assert!(!waiting.is_finished());
    let given = desk.say(&json!({ "command": "answer", "condition": "third", "answer": again.code(0) }));
    assert_eq!(given, json!("done"));
    heard(waiting).await;

    let waiting = connect(3);
    let unmet = desk.unmet("key").await;
    assert_eq!(
        (&unmet["message"], &unmet["remedies"]),
        (&json!("Show your app. (cannot be answered by this version)"), &json!([]))
    );
    desk.refused("key", &["--code", &again.code(1)], "asks for nothing now");
    assert!(!waiting.is_finished());
    waiting.abort();

    told(&admin).await;
    let status = desk.status().to_string();
    let logs = ["controller", "gateway", "ana"]
        .map(|name| fs::read_to_string(dir.path().join(format!("{name}.log"))).unwrap());
    let everything = format!("{status}{}{}", logs.concat(), records(&admin, "").await);
    for secret in [&secret, &again] {
        assert!(
            !everything.contains(&BASE32_NOPAD.encode(&secret.0)) && !everything.contains("otpauth"),
            "a secret was told"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_at_a_terminal_scans_and_types() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(dir.path()).await;
    let admin = controller.admin().await;
    let _gateway = start_gateway(dir.path(), &admin).await;
    let echo = testing::echo_server().await;
    grant(&admin, "first", CONDITIONS[0].1, (TOTP_PROVIDER, echo.port())).await;
    let user = json!({ "name": "ana", "firstName": "Ana", "lastName": "Example", "password": PASSWORD });
    admin.expect(Method::POST, "local-users", Some(user), StatusCode::OK).await;
    let mut terminal = Terminal::start(dir.path(), &controller, &echo.to_string());
    let ready = wait_for_json(&dir.path().join("ready.json")).await;
    let forward = ready["listeners"][0]["address"].as_str().unwrap();
    let waiting = [0, 1, 2].map(|_| tokio::spawn(talk(forward.to_owned())));

    let shown = terminal.until(1, "your code: ").await;
    let secret = Secret::of(&scanned(&shown));
    let (_, typed) = shown.split_once("or type its secret into the app: ").expect("the secret as text");
    let typed: String = typed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(typed, BASE32_NOPAD.encode(&secret.0));
    terminal.enter(&secret.wrong());
    let shown = terminal.until(2, "your code: ").await;
    assert!(shown.contains("the code is wrong"), "{shown}");
    assert!(waiting.iter().all(|flow| !flow.is_finished()));
    terminal.enter(&secret.code(0));
    for flow in waiting {
        heard(flow).await;
    }
    let shown = terminal.until(1, "Your answer for `first` was accepted").await;
    assert_eq!(shown.matches("scan this with").count(), 1, "one question, however many connections wait: {shown}");
    assert_eq!(seeds(&admin).await, json!([seed(true)]));
}

/// What the audit log holds in the end.
async fn told(admin: &Api) {
    let users = |event: &'static str| async move {
        let records = records(admin, event).await;
        let records = records.as_array().unwrap().clone();
        assert!(records.iter().all(|record| record["distinguished_name_user"] == "ana"), "{records:?}");
        records
    };
    assert_eq!(users("otp_seed_shown").await.len(), 2);
    assert_eq!(users("otp_seed_enrolled").await.len(), 2);
    let answered = users("remedy_answered").await;
    assert!(answered.len() == 3 && answered.iter().all(|record| record["remedy_type"] == "OtpAuthentication"));
    let failed = users("authentication_failed").await;
    let mut reasons: Vec<&str> = failed.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    reasons.reverse();
    let wrong = ["wrong-code", "wrong-code", "wrong-code", "wrong-code", "wrong-code-locked"];
    assert_eq!(reasons, [&["wrong-code", "code-used"], &wrong[..], &["code-locked"]].concat());
    assert!(failed.iter().all(|record| record["authentication_type"] == "Remedy"));
}

async fn records(admin: &Api, event: &str) -> Value {
    let path =
        if event.is_empty() { "audit-logs?limit=1000".to_owned() } else { format!("audit-logs?eventType={event}") };
    admin.expect(Method::GET, &path, None, StatusCode::OK).await["data"].clone()
}

async fn seeds(admin: &Api) -> Value {
    admin.expect(Method::GET, "otp/seeds", None, StatusCode::OK).await["data"].clone()
}

fn seed(verified: bool) -> Value {
    json!({ "userDistinguishedName": "CN=ana,OU=local", "username": "ana", "providerName": "local", "verified": verified })
}

/// An entitlement to the port whose condition asks for a code.
async fn grant(admin: &Api, name: &str, expression: &str, (provider, port): (&str, u16)) {
    let post = |kind: &'static str, body: Value| admin.expect(Method::POST, kind, Some(body), StatusCode::OK);
    let remedy = json!({ "type": "OtpAuthentication", "message": "Show your app.", "claimSuffix": name, "providerId": provider });
    let condition = json!({ "name": name, "expression": expression, "remedyMethods": [remedy] });
    let condition = post("conditions", condition).await;
    let actions =
        json!([{ "subtype": "tcp_up", "action": "allow", "hosts": ["127.0.0.1"], "ports": [port.to_string()] }]);
    let entitlement =
        json!({ "name": name, "site": DEFAULT_SITE, "conditions": [condition["id"]], "actions": actions });
    let entitlement = post("entitlements", entitlement).await;
    let policy = json!({ "name": name, "expression": "return true;", "entitlements": [entitlement["id"]] });
    post("policies", policy).await;
}

async fn talk(forward: String) -> [u8; 5] {
    let mut flow = TcpStream::connect(forward).await.unwrap();
    flow.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    flow.read_exact(&mut heard).await.unwrap();
    heard
}

async fn heard(waiting: JoinHandle<[u8; 5]>) {
    let heard = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it goes on").unwrap();
    assert_eq!(&heard, b"hello");
}

/// What an authenticator app knows.
struct Secret(Vec<u8>);

impl Secret {
    #[track_caller]
    fn of(uri: &str) -> Self {
        let text = uri.strip_prefix("otpauth://totp/ana@local@localhost?secret=").expect("a URI for apps");
        Self(BASE32_NOPAD.decode(text.strip_suffix("&issuer=Portcullis").unwrap().as_bytes()).unwrap())
    }

    /// The code so many steps from now.
    fn code(&self, steps: i64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() / 30;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &now.strict_add_signed(steps).to_be_bytes());
        let offset = usize::from(tag.as_ref()[19] & 15);
        let number = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// A code that no step around now has.
    fn wrong(&self) -> String {
        let right: Vec<String> = (-3..=3).map(|steps| self.code(steps)).collect();
        (100_000..).map(|number| number.to_string()).find(|guess| !right.contains(guess)).unwrap()
    }
}

/// A client at a terminal: what it shows, and a keyboard.
struct Terminal {
    client: Child,
    keyboard: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(dir: &Path, controller: &Controller, destination: &str) -> Self {
        fs::write(dir.join("password"), PASSWORD).unwrap();
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ptsname(&near, Vec::new()).unwrap();
        let no_control = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let far = File::options().read(true).write(true).custom_flags(no_control).open(far.to_str().unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["client", "--provider", "local", "--data", "ana-data", "--username", "ana"]).current_dir(dir);
        command.args(["--password-file", "password", "--ready-file", "ready.json"]);
        command.args(["--controller", &controller.client_address, "--ca-fingerprint", &controller.fingerprint]);
        command.args(["--forward", &format!("127.0.0.1:0={destination}")]);
        command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
        let client = command.spawn().unwrap();
        let keyboard = File::from(near);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, filled) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends with the client, whose end of the terminal is the last.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                filled.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { client, keyboard, shown }
    }

    /// Waits until a text is shown so many times; answers everything that is.
    async fn until(&self, times: usize, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = String::from_utf8_lossy(&self.shown.lock().unwrap()).replace('\r', "");
            if shown.matches(text).count() >= times {
                return shown;
            }
            assert!(Instant::now() < deadline, "`{text}` is not shown: {shown}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn enter(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that is already gone needs no killing.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// What a phone reads from the screen.
fn scanned(shown: &str) -> String {
    let rows: Vec<Vec<char>> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("\u{1b}[38;5;16;48;5;231m")?.strip_suffix("\u{1b}[0m"))
        .map(|line| line.chars().collect())
        .collect();
    assert!(!rows.is_empty(), "no QR code is shown: {shown}");
    let scale = 4;
    let shade = |x: usize, y: usize| {
        let (column, row) = (x / scale, y / scale);
        let dark = match rows[row / 2][column] {
            '█' => true,
            '▀' => row.is_multiple_of(2),
            '▄' => !row.is_multiple_of(2),
            _ => false,
        };
        if dark { 0 } else { 255 }
    };
    let (width, height) = (rows[0].len() * scale, rows.len() * 2 * scale);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, shade);
    image.detect_grids()[0].decode().unwrap().1
}

/// The user's side: the commands of the client, and its control socket.
struct Desk {
    dir: PathBuf,
}

impl Desk {
    fn client(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("client").args(args).arg("--data").arg(self.dir.join("ana-data")).current_dir(&self.dir);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn answer(&self, condition: &str, more: &[&str]) -> Output {
        self.client(&[&["answer", condition], more].concat())
    }

    #[track_caller]
    fn refused(&self, condition: &str, more: &[&str], why: &str) {
        let output = self.answer(condition, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    }

    /// Gives a code by a file.
    #[track_caller]
    fn give(&self, condition: &str, code: &str) {
        fs::write(self.dir.join("code"), format!("{code}\n")).unwrap();
        let output = self.answer(condition, &["--code-file", "code"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Sets up an app from the image.
    #[track_caller]
    fn scan(&self, condition: &str) -> Secret {
        let output = self.answer(condition, &["--qr-png", "scan.png"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("delete it") && !said.contains("secret="), "{said}");
        let file = self.dir.join("scan.png");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let mut decoder = png::Decoder::new(BufReader::new(File::open(file).unwrap()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let (width, height) = (frame.width as usize, frame.height as usize);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
        Secret::of(&image.detect_grids()[0].decode().unwrap().1)
    }

    fn status(&self) -> Value {
        let output = self.client(&["status", "--output", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the condition asks for a code.
    async fn asked(&self, condition: &str) {
        let unmet = self.unmet(condition).await;
        assert_eq!(unmet["remedies"][0]["kind"], "code", "{unmet}");
    }

    /// The condition, once a connection waits for it.
    async fn unmet(&self, condition: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let status = self.status();
            let mut unmet = status["sites"][0]["unmet"].as_array().unwrap().iter();
            if let Some(unmet) = unmet.find(|unmet| unmet["condition"] == condition) {
                return unmet.clone();
            }
            assert!(Instant::now() < deadline, "nothing waits for `{condition}`: {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A line to the control socket, and its answer.
    fn say(&self, line: &Value) -> Value {
        let mut socket = UnixStream::connect(self.dir.join("ana-data/control.sock")).unwrap();
        writeln!(socket, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// A command of the administrator.
    #[track_caller]
    fn ctl(&self, controller: &Controller, args: &[&str]) -> String {
        fs::write(self.dir.join("ctl-password"), ADMIN_PASSWORD).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["ctl", "--config", "ctl.json"]).args(args).current_dir(&self.dir).stdin(Stdio::null());
        if args == ["login"] {
            command.args(["--url", &controller.admin_url, "--username", "admin", "--password-file", "ctl-password"]);
            command.arg("--ca").arg(Path::new(&controller.authority));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
