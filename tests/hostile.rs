//! Scripts that mean harm, run by the real program: each ends as its first line says, in time, and nobody else notices.
//!
//! A script is a file `hostile/FAMILY/NAME.js`. Its head says `// expect: KIND[ or KIND]...`, where `false` stands for a script that
//! ends by itself and denies, and `result` for one that ends with anything but a boolean; perhaps `// kind: KIND`, and what it tries. A script that got
//! what it wanted returns `true`, which no test here ever accepts. `@@COUNT|TEXT@@` stands for a text many times over.
//! Of two scripts `NAME.write.js` and `NAME.read.js` the first leaves something behind and the second looks for it.
//!
//! All of it happens in a process of its own, so that memory and processor time are those of the sandbox alone.

mod attack;
mod neighbours;
mod processor;
mod script;
mod server;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use sandbox::{Broker, BrokerConfig, Sandbox, SandboxConfig, WorkerCommand};

use server::{Names, Server};

/// The daemons' worker: the program again.
pub fn worker() -> WorkerCommand {
    WorkerCommand { program: env!("CARGO_BIN_EXE_portcullis").into(), args: vec!["script-worker".into()] }
}

/// A sandbox with the normal limits, whose scripts can call the test's server and nobody else.
fn config(server: &Server) -> SandboxConfig {
    let broker = BrokerConfig {
        allow_networks: vec![server.network()],
        lookup: Arc::new(Names::new(server)),
        ..BrokerConfig::default()
    };
    let mut config = SandboxConfig::new(worker());
    (config.workers, config.spares) = (2, 1);
    config.http = Arc::new(Broker::new(broker).unwrap());
    config
}

#[test]
fn hostile_scripts_end_as_they_should_and_cost_nobody_else() {
    alone("hostile::all_scripts");
}

#[test]
fn honest_scripts_beside_hostile_ones_are_as_fast_as_beside_honest_work() {
    alone("hostile::honest_beside_hostile");
}

/// Runs one of the tests below in a process of its own and shows what it printed.
#[track_caller]
fn alone(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test}: see above");
}

fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_scripts() {
    if !is_alone() {
        return;
    }
    let server = Server::start().await;
    let sandbox = Sandbox::start(config(&server)).await.unwrap();
    attack::all(&sandbox, &server).await;
    sandbox.stop().await;
    let mut short = config(&server);
    short.wall_deadline = Duration::from_millis(600);
    println!("waiting: with a wall deadline of {} ms", short.wall_deadline.as_millis());
    let sandbox = Sandbox::start(short).await.unwrap();
    attack::waiting(&sandbox, &server).await;
    sandbox.stop().await;
    server.assert_untouched();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_beside_hostile() {
    if !is_alone() {
        return;
    }
    let server = Server::start().await;
    let sandbox = Sandbox::start(config(&server)).await.unwrap();
    neighbours::measure(&sandbox, &server).await;
    sandbox.stop().await;
}

/// Marks a process that was started for one of these tests.
const ALONE: &str = "PORTCULLIS_TEST_ALONE";
