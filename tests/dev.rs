//! `portcullis dev` as the README's tour uses it: it comes up by itself, a client goes through, and it ends cleanly.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::world::{Process, wait_for_json};

/// Asks for a page by name through SOCKS5; the reply code when the proxy says no.
fn fetch(socks: &str, host: &str) -> Result<String, u8> {
    let mut stream = TcpStream::connect(socks).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
    request.extend(host.as_bytes());
    request.extend(8080_u16.to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    if reply[1] != 0 {
        return Err(reply[1]);
    }
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    Ok(page)
}

fn ctl(data: &Path, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["ctl", "--output", "json", "--config"]).arg(data.join("ctl.json")).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The profile that `dev` prints once everything is up.
async fn profile(log: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let found = text.split_whitespace().find(|word| word.starts_with("appgate://"));
        if let Some(profile) = found.filter(|_| text.contains("logs --follow")) {
            return profile.to_owned();
        }
        assert!(Instant::now() < deadline, "dev never came up: {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_works_as_printed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("gate");
    let dev = Process::start(dir.path(), "dev", &[&"dev", &"--data", &data]);
    let profile = profile(&dir.path().join("dev.log")).await;
    let ready = dir.path().join("client.json");
    let password = data.join("policies/passwords/ana");
    let client_data = data.join("client");
    let arguments: [&dyn AsRef<std::ffi::OsStr>; 13] = [
        &"client",
        &"--data",
        &client_data,
        &"--username",
        &"ana",
        &"--password-file",
        &password,
        &"--socks",
        &"127.0.0.1:0",
        &"--profile",
        &profile,
        &"--ready-file",
        &ready,
    ];
    let client = Process::start(dir.path(), "client", &arguments);
    let socks = wait_for_json(&ready).await["socks"].as_str().unwrap().to_owned();

    let page = fetch(&socks, "wiki.demo.internal").unwrap();
    assert!(page.ends_with("This is wiki.demo.internal. You came through the gateway.\n"), "{page}");
    assert_eq!(fetch(&socks, "helpdesk.demo.internal"), Err(2), "not granted, so refused by rule");
    assert_eq!(ctl(&data, &["sessions"])[0]["username"], "ana");
    // What dev applied is what its folder says.
    let policies = data.join("policies");
    let applied = ctl(&data, &["apply", "-f", policies.to_str().unwrap()]);
    assert_eq!((&applied["created"], &applied["updated"]), (&0.into(), &0.into()), "{applied:#}");
    drop((client, dev));
}
