//! Ways out of a worker, tried from inside one: all closed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use crate::helpers::{sandbox, until};

#[test]
fn nothing_gets_out_of_a_worker() {
    let bait = Box::new(0x5eed_5eed_5eed_5eed_u64);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_script-worker"))
        .arg("probe")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let address = std::ptr::from_ref(bait.as_ref()).expose_provenance();
    let told = format!("{} {address} {}", std::process::id(), listener.local_addr().unwrap().port());
    // Its end is what the worker waits for; the pipe closes when it is dropped.
    worker.stdin.take().unwrap().write_all(told.as_bytes()).unwrap();
    let mut report = String::new();
    worker.stderr.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(worker.wait().unwrap().success(), "{report}");
    let attempts: Vec<(&str, &str)> = report.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(attempts.len() >= 70, "{} attempts", attempts.len());
    let open: Vec<_> = attempts.iter().skip(1).filter(|(_, outcome)| *outcome != "refused").collect();
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(*bait, 0x5eed_5eed_5eed_5eed);
}

#[tokio::test]
async fn every_layer_of_this_kernel_is_in_force() {
    let sandbox = sandbox().await;
    assert!(sandbox.layers().is_complete(), "{:?}", sandbox.layers().list());
    let named: Vec<&str> = sandbox.layers().list().iter().map(|(name, _)| *name).collect();
    assert!(named.len() >= 10, "{named:?}");
    for worker in sandbox.worker_ids() {
        // 2 stands for a filter.
        let is_filtered = || {
            let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
            status.lines().any(|line| line == "Seccomp:\t2")
        };
        until("the worker has put its filter on", is_filtered).await;
    }
    sandbox.stop().await;
}
