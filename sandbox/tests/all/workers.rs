//! Worker processes: replaced when they die, bounded in number, gone with their supervisor, walled in.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use engine::script::{FailureKind, ScriptKind};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sandbox::{Sandbox, SandboxConfig, StartError, WorkerCommand};
use serde_json::json;

use crate::helpers::{batch, config, kind, policy, run, sandbox, until};

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

#[tokio::test]
async fn killed_workers_are_replaced() {
    let sandbox = sandbox().await;
    until("all workers are up", || sandbox.worker_ids().len() == 3).await;
    let first = sandbox.worker_ids();
    first.iter().for_each(|id| kill_process(pid(*id), Signal::KILL).unwrap());
    until("they are dead", || first.iter().all(|id| is_gone(pid(*id)))).await;
    for _ in 0..4 {
        assert_eq!(run(&sandbox, ScriptKind::Policy, "return true;").await.result, Ok(json!(true)));
    }
    let replaced = || {
        let now = sandbox.worker_ids();
        now.len() == 3 && now.iter().all(|id| !first.contains(id))
    };
    until("all workers are new", replaced).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_worker_killed_in_a_run_costs_that_run() {
    let mut config = config();
    (config.workers, config.spares) = (1, 0);
    config.cpu_budget = Duration::from_secs(60);
    let sandbox = Sandbox::start(config).await.unwrap();
    let worker = sandbox.worker_ids()[0];
    let running = tokio::spawn({
        let sandbox = sandbox.clone();
        async move {
            sandbox
                .evaluate(batch(vec![
                    policy("return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');"),
                    policy("return true;"),
                ]))
                .await
        }
    });
    let busy = || std::fs::read_to_string(format!("/proc/{worker}/schedstat")).is_ok() && cpu_ticks(worker) > 5;
    until("the worker is busy", busy).await;
    kill_process(pid(worker), Signal::KILL).unwrap();
    let records = running.await.unwrap();
    assert_eq!(kind(&records[0]), FailureKind::Crash);
    assert_eq!(records[1].result, Ok(json!(true)));
    sandbox.stop().await;
}

/// Processor time of a process in the kernel's hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn more_than_the_queue_holds_is_overloaded() {
    let mut config = config();
    (config.workers, config.spares, config.queue) = (1, 0, 1);
    let sandbox = Sandbox::start(config).await.unwrap();
    let slow = "return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');";
    let results = [0; 4].map(|_| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { sandbox.evaluate(batch(vec![policy(slow), policy("return true;")])).await })
    });
    let (mut ran, mut refused) = (0, 0);
    for result in results {
        let records = result.await.unwrap();
        assert_eq!(records.len(), 2);
        if kind(&records[0]) == FailureKind::Overloaded {
            assert_eq!(kind(&records[1]), FailureKind::Overloaded);
            refused += 1;
        } else {
            assert_eq!((kind(&records[0]), &records[1].result), (FailureKind::Timeout, &Ok(json!(true))));
            ran += 1;
        }
    }
    assert_eq!((ran, refused), (2, 2));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_long_batch_is_answered_in_order() {
    let sandbox = sandbox().await;
    let scripts: Vec<_> =
        (0..1200).map(|at| policy(&format!("return claims.user.age === 41 && {at} % 2 === 0;"))).collect();
    let records = sandbox.evaluate(batch(scripts)).await;
    assert_eq!(records.len(), 1200);
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record.result, Ok(json!(at % 2 == 0)));
    }
    assert!(sandbox.evaluate(batch(Vec::new())).await.is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn workers_report_every_layer_and_stand_behind_it() {
    let sandbox = sandbox().await;
    assert!(sandbox.layers().is_complete(), "{:?}", sandbox.layers().list());
    let worker = sandbox.worker_ids()[0];
    let status = || std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    // The one looked at may be a spare that has only just been started.
    until("the worker is confined", || status().contains("Seccomp:\t2")).await;
    let status = status();
    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    let limits: Vec<String> =
        limits.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for limit in [
        "Max core file size 0 0 bytes",
        "Max open files 8 8 files",
        "Max file size 4096 4096 bytes",
        "Max processes 0 0 processes",
    ] {
        assert!(limits.iter().any(|line| line == limit), "{limit} in {limits:?}");
    }
    let ids = sandbox.worker_ids();
    sandbox.stop().await;
    for id in ids {
        assert!(test_kill_process(pid(id)).is_err(), "worker {id} is still there");
    }
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error() {
    let start =
        |program: &str| Sandbox::start(SandboxConfig::new(WorkerCommand { program: program.into(), args: Vec::new() }));
    assert!(matches!(start("/nonexistent").await, Err(StartError::Spawn(_))));
    assert!(matches!(start("/bin/true").await, Err(StartError::Handshake(_))));
}

/// Run by the test below in a process of its own, which is then killed.
#[tokio::test]
async fn supervisor_to_be_killed() {
    if std::env::var_os("SANDBOX_TEST_SUPERVISOR").is_none() {
        return;
    }
    let sandbox = sandbox().await;
    until("all workers are up", || sandbox.worker_ids().len() == 3).await;
    let ids: Vec<String> = sandbox.worker_ids().iter().map(u32::to_string).collect();
    println!("\nworkers: {}", ids.join(" "));
    run(&sandbox, ScriptKind::Policy, "return true;").await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn workers_end_with_their_supervisor() {
    let mut supervisor = Command::new(std::env::current_exe().unwrap())
        .args(["workers::supervisor_to_be_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env("SANDBOX_TEST_SUPERVISOR", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let ids = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("workers: ").map(str::to_owned)).unwrap();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    for id in ids.split(' ') {
        let id = pid(id.parse().unwrap());
        until("the worker is gone", || is_gone(id)).await;
    }
}

/// Whether a process runs nothing any more; one that nobody has buried yet is a zombie.
fn is_gone(id: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}
