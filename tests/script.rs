//! `portcullis script`: the tools for authors, run as authors run them.

mod library;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

/// A folder with an author's files.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        desk.write("claims.json", r#"{"user": {"username": "ana", "groups": ["CN=staff,DC=example"]}}"#);
        desk
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Runs `portcullis script …` in the folder.
    fn script(&self, args: &[&str]) -> Output {
        portcullis(self.dir.path(), args)
    }

    /// Runs a script of the folder with its claims and answers what the tool says about it, and its exit code.
    #[track_caller]
    fn run(&self, file: &str, kind: &str, more: &[&str]) -> (Value, i32) {
        let mut args = vec!["run", file, "--kind", kind, "--claims", "claims.json", "--output", "json"];
        args.extend(more);
        let output = self.script(&args);
        let text = String::from_utf8(output.stdout).unwrap();
        let answer = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
        (answer, output.status.code().unwrap())
    }
}

fn portcullis(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("script").args(args).current_dir(dir).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server on loopback that answers every request with the same body and keeps what it was asked.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, ended) = (Arc::clone(&requests), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                kept.lock().unwrap().push(serve(stream, body));
            }
        });
        Self { address, requests, ends, thread: Some(thread) }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the thread; when it has ended already there is nothing to wake.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(mut stream: TcpStream, body: &str) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        request.push_str(&line);
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    request.push_str(&text(&sent));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    request
}

#[test]
fn run_answers_exactly_the_promised_facts() {
    let desk = Desk::new();
    desk.write(
        "criteria/staff.js",
        "return claims.user.groups && claims.user.groups.containsText('CN=staff,') || false;",
    );
    desk.write("p.js", "console.log('hello', claims.user.username);\nreturn staff(claims);");
    let (answer, code) = desk.run("p.js", "policy", &["--criteria", "criteria"]);
    assert_eq!(code, 0, "{answer}");
    let keys: BTreeSet<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = ["result", "output", "error", "executionMs", "lane", "instructions", "claimsRead", "httpCalls"];
    assert_eq!(keys, BTreeSet::from(wanted));
    assert_eq!(answer["result"], true);
    assert_eq!(answer["output"], "hello ana\n");
    assert_eq!(answer["error"], Value::Null);
    assert!(answer["claimsRead"].as_array().unwrap().contains(&json!("user.username")), "{answer}");
    assert_eq!(answer["httpCalls"], json!([]));
}

#[test]
fn every_kind_of_script_can_be_run() {
    let desk = Desk::new();
    for (kind, source, result) in [
        ("policy", "return true;", json!(true)),
        ("criteria", "return false;", json!(false)),
        ("condition", "return true;", json!(true)),
        ("host", "return ['a.example.com'];", json!(["a.example.com"])),
        ("port", "return [443, '80-90'];", json!(["443", "80-90"])),
        ("app-shortcut", "return [{name: 'x', url: 'y:z'}];", json!([{ "name": "x", "url": "y:z" }])),
        ("user-claim", "return {a: 1};", json!({ "a": 1 })),
    ] {
        desk.write("s.js", source);
        let (answer, code) = desk.run("s.js", kind, &[]);
        assert_eq!((&answer["result"], code), (&result, 0), "{kind}: {answer}");
    }
}

#[test]
fn a_failing_run_points_at_its_line() {
    let desk = Desk::new();
    desk.write("p.js", "var a = 1;\nreturn claims.user.missing.indexOf('x') >= 0;");
    let (answer, code) = desk.run("p.js", "policy", &[]);
    assert_eq!(code, 1);
    assert_eq!(answer["result"], Value::Null);
    let error = answer["error"].as_object().unwrap();
    assert_eq!(
        error.keys().collect::<BTreeSet<_>>(),
        BTreeSet::from(["kind", "message", "line", "column"].map(|key| key.to_owned()).each_ref())
    );
    assert_eq!(error["kind"], "type");
    let output = desk.script(&["run", "p.js", "--kind", "policy", "--claims", "claims.json"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("Failed: type: ") && shown.contains("--> p.js:2:"), "{shown}");
    desk.write("q.js", "return true;\nthrow new Error('no');\n  return (;");
    let output = desk.script(&["run", "q.js", "--kind", "policy", "--claims", "claims.json"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("Failed: syntax: ") && shown.contains("--> q.js:3"), "{shown}");
    assert!(shown.contains(" 3 |   return (;") && shown.contains('^'), "{shown}");
}

#[test]
fn time_secrets_and_lanes_are_what_the_author_says() {
    let desk = Desk::new();
    desk.write("secrets.yaml", "TOKEN: \"it's \\\\ secret\"\n");
    desk.write("s.js", "var s = '%SECRET:TOKEN%';\nreturn {time: new Date().toISOString(), length: s.length};");
    let more = ["--secrets", "secrets.yaml", "--time", "2026-01-05T09:00:00Z", "--lane", "fresh"];
    let (answer, code) = desk.run("s.js", "user-claim", &more);
    assert_eq!(code, 0, "{answer}");
    assert_eq!(answer["result"], json!({ "time": "2026-01-05T09:00:00.000Z", "length": 13 }));
    assert_eq!(answer["lane"], "fresh");
    let (answer, _) = desk.run("s.js", "user-claim", &[]);
    assert_eq!(answer["error"]["kind"], "secret-missing", "{answer}");
    desk.write("implicit.js", "x = 1; return true;");
    let (answer, code) = desk.run("implicit.js", "policy", &["--lane", "warm"]);
    assert_eq!((&answer["error"]["kind"], code), (&json!("syntax"), 1), "{answer}");
    desk.write("plain.js", "return claims.user.username === 'ana';");
    for lane in ["native", "warm", "fresh"] {
        let (answer, _) = desk.run("plain.js", "policy", &["--lane", lane]);
        assert_eq!((&answer["result"], &answer["lane"]), (&json!(true), &json!(lane)), "{answer}");
    }
}

#[test]
fn secrets_that_others_can_read_are_warned_about_and_never_printed() {
    let desk = Desk::new();
    desk.write("secrets.yaml", "TOKEN: sesame-open-up\n");
    fs::set_permissions(desk.dir.path().join("secrets.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    desk.write("s.js", "print('%SECRET:TOKEN%', btoa('%SECRET:TOKEN%')); throw new Error('%SECRET:TOKEN%');");
    let args = ["run", "s.js", "--kind", "policy", "--claims", "claims.json", "--secrets", "secrets.yaml"];
    let output = desk.script(&args);
    assert!(text(&output.stderr).contains("chmod 600"), "{}", text(&output.stderr));
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert!(!shown.contains("sesame") && !shown.contains("c2VzYW1l"), "{shown}");
}

#[test]
fn wrong_use_ends_with_two() {
    let desk = Desk::new();
    desk.write("s.js", "return true;");
    desk.write("bad.json", "{\"user\": {},\n \"users\": {}}");
    for (args, said) in [
        (vec!["run", "s.js", "--kind", "rule", "--claims", "claims.json"], "app-shortcut"),
        (vec!["run", "gone.js", "--kind", "policy", "--claims", "claims.json"], "gone.js"),
        (vec!["run", "s.js", "--kind", "policy", "--claims", "bad.json"], "bad.json:2"),
        (vec!["run", "s.js", "--kind", "policy", "--claims", "claims.json", "--time", "noon"], "noon"),
        (vec!["run", "s.js", "--kind", "policy", "--claims", "claims.json", "--record", "r.json"], "--allow-http"),
        (vec!["run", "s.js", "--kind", "policy", "--claims", "claims.json", "--allow-http", "example.com"], "origin"),
        (vec!["test", "nowhere"], "nowhere"),
    ] {
        let output = desk.script(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(said), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn calls_need_permission_and_can_be_recorded_and_replayed() {
    let desk = Desk::new();
    let server = Server::start(r#"{"team": "platform", "access_token": "eyJ-not-for-the-record"}"#);
    let origin = server.origin();
    desk.write("secrets.yaml", "KEY: sesame open\n");
    desk.write(
        "s.js",
        &format!(
            "var r = httpPost('{origin}/v1/team?key=' + encodeURIComponent('%SECRET:KEY%'), 'user=' + claims.user.username,\n\
             'application/x-www-form-urlencoded', [{{key: 'Authorization', value: 'Bearer %SECRET:KEY%'}}]);\n\
             return r && r.statusCode === 200 ? {{team: JSON.parse(r.data).team}} : {{}};"
        ),
    );

    let (answer, code) = desk.run("s.js", "user-claim", &["--secrets", "secrets.yaml"]);
    assert_eq!((&answer["error"]["kind"], code), (&json!("http-refused"), 1), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(&format!("--allow-http {origin}")), "{answer}");
    let other = ["--secrets", "secrets.yaml", "--allow-http", "http://127.0.0.1:1"];
    assert_eq!(desk.run("s.js", "user-claim", &other).0["error"]["kind"], "http-refused");
    assert!(server.requests().is_empty());

    let record = ["--secrets", "secrets.yaml", "--allow-http", &origin, "--record", "calls.json"];
    let (answer, code) = desk.run("s.js", "user-claim", &record);
    assert_eq!((&answer["result"], code), (&json!({ "team": "platform" }), 0), "{answer}");
    assert_eq!(answer["httpCalls"][0]["method"], "POST");
    assert_eq!(answer["httpCalls"][0]["url"], format!("{origin}/v1/team"));
    assert_eq!(answer["httpCalls"][0]["status"], 200);
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("POST /v1/team?key=sesame%20open HTTP/1.1") && requests[0].ends_with("user=ana"));
    drop(server);

    let recording = desk.read("calls.json");
    assert!(recording.contains("key=%SECRET:KEY%") && recording.contains("Bearer %SECRET:KEY%"), "{recording}");
    assert!(!recording.contains("sesame") && !recording.contains("eyJ-not"), "{recording}");

    // Another value of the secret: a recording works for whoever gets the repository.
    desk.write("secrets.yaml", "KEY: something else\n");
    let replay = ["--secrets", "secrets.yaml", "--replay", "calls.json"];
    let (answer, code) = desk.run("s.js", "user-claim", &replay);
    assert_eq!((&answer["result"], code), (&json!({ "team": "platform" }), 0), "{answer}");

    desk.write("claims.json", r#"{"user": {"username": "bob"}}"#);
    let (answer, code) = desk.run("s.js", "user-claim", &replay);
    assert_eq!((&answer["error"]["kind"], code), (&json!("http-refused"), 1), "{answer}");
}

#[test]
fn failing_cases_are_shown_as_a_difference() {
    let desk = Desk::new();
    desk.write("t/hosts.js", "return claims.user.hosts || [];");
    desk.write(
        "t/hosts.test.yaml",
        "kind: host\ncases:\n- note: two hosts\n  claims: { user: { hosts: [a, b] } }\n  want: [a, b]\n\
         - note: another host\n  claims: { user: { hosts: [a, c] } }\n  want: [a, b]\n\
         - note: an error that does not come\n  error: thrown\n",
    );
    let output = desk.script(&["test", "t"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("FAILED  t/hosts.test.yaml: 3 cases, 2 failed"), "{shown}");
    assert!(shown.contains("t/hosts.test.yaml:6: another host"), "{shown}");
    assert!(shown.contains("-   \"b\"") && shown.contains("+   \"c\""), "{shown}");
    assert!(shown.contains("- failure: thrown"), "{shown}");
    assert!(!shown.contains("two hosts"), "{shown}");

    let output = desk.script(&["test", "t", "--output", "json"]);
    let lines: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let outcomes: Vec<&str> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "failed", "failed", "failed"]);
    assert_eq!(lines[1]["problems"][0]["what"], "result");
    assert_eq!(lines[3]["failed"], 2);
}

#[test]
fn http_calls_must_be_the_expected_ones() {
    let desk = Desk::new();
    desk.write(
        "s.js",
        "var r = httpGet('https://api.example.com/' + claims.user.username, [{key: 'X-Key', value: '%SECRET:K%'}]);\n\
         return r ? {status: r.statusCode, body: r.data} : {failed: r === null};",
    );
    let case = |note: &str, http: &str, end: &str| {
        format!(
            "- note: {note}\n  claims: {{ user: {{ username: ana }} }}\n  secrets: {{ K: sesame }}\n  http: [{http}]\n  {end}\n"
        )
    };
    let good = "{ method: GET, url: 'https://api.example.com/ana', headers: { x-key: '%SECRET:K%' }, status: 418, json: { a: 1 } }";
    let fails = "{ method: GET, url: 'https://api.example.com/ana', fails: timeout }";
    let other = "{ method: GET, url: 'https://api.example.com/bob', status: 200 }";
    desk.write(
        "s.test.yaml",
        &format!(
            "kind: user-claim\ncases:\n{}{}{}{}",
            case("an answer", good, "want: { status: 418, body: '{\"a\":1}' }"),
            case("no answer", fails, "want: { failed: true }"),
            case("another call", other, "want: {}"),
            case("a call too many", &format!("{good}, {other}"), "want: { status: 418, body: '{\"a\":1}' }"),
        ),
    );
    let output = desk.script(&["test", "."]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("4 cases, 2 failed"), "{shown}");
    assert!(
        shown.contains("- GET https://api.example.com/bob") && shown.contains("+ GET https://api.example.com/ana"),
        "{shown}"
    );
    assert!(shown.contains("+ no further call"), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn cases_do_not_see_each_other() {
    let desk = Desk::new();
    desk.write("s.js", "var n = (cache.getIfPresent('n') || 0) + 1; cache.put('n', n, 60); return {n: n};");
    let cases: String = (0..20)
        .map(|at| format!("- {{ note: 'case {at}', cache: {{ n: {at} }}, want: {{ n: {} }} }}\n", at + 1))
        .collect();
    desk.write("s.test.yaml", &format!("kind: user-claim\ncases:\n- {{ note: empty, want: {{ n: 1 }} }}\n{cases}- {{ note: empty again, want: {{ n: 1 }} }}\n"));
    let output = desk.script(&["test", "."]);
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn scripts_without_a_test_and_broken_test_files_fail() {
    let desk = Desk::new();
    desk.write("lone.js", "return true;");
    let output = desk.script(&["test", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("lone.js: no test file"));
    assert!(desk.script(&["test", ".", "--allow-untested"]).status.success());
    desk.write("lone.test.yaml", "kind: policy\ncases:\n- note: x\n  wnat: true\n");
    let output = desk.script(&["test", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("lone.test.yaml:4"), "{}", text(&output.stdout));
}

#[test]
fn lint_says_what_looks_wrong_and_where() {
    let desk = Desk::new();
    desk.write("s.js", "total = 1;\nreturn claims.user.groups.indexOf('x') >= 0;");
    let output = desk.script(&["lint", "s.js", "--kind", "policy"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("s.js:1:1: warning[implicit-global]: "), "{shown}");
    assert!(shown.contains("s.js:2:") && shown.contains("warning[unguarded-claim]: "), "{shown}");
    assert_eq!(desk.script(&["lint", "s.js", "--kind", "policy", "--deny-warnings"]).status.code(), Some(1));

    desk.write("java.js", "var List = Java.type('java.util.ArrayList');\nreturn true;");
    desk.write("broken.js", "return (;");
    for file in ["java.js", "broken.js"] {
        let output = desk.script(&["lint", file, "--kind", "policy", "--output", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let line: Value = serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
        assert_eq!((&line["severity"], &line["code"], &line["line"]), (&json!("error"), &json!("syntax"), &json!(1)));
    }
    desk.write("c.js", "var r = httpGet('https://a.example.com');\nreturn !!r && r.statusCode === 200;");
    desk.write("c.test.yaml", "kind: condition\ncases: [{ note: x, error: http-refused }]\n");
    assert!(text(&desk.script(&["lint", "c.js"]).stdout).contains("warning[http-without-schedule]"));
    desk.write("c.test.yaml", "kind: condition\nschedules: [15m]\ncases: [{ note: x, error: http-refused }]\n");
    assert!(!text(&desk.script(&["lint", "c.js"]).stdout).contains("http-without-schedule"));
}
