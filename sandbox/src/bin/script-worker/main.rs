//! The worker alone, for tests and benchmarks of this crate; the `portcullis` binary has the same as a hidden subcommand.
//!
//! Called as `script-worker probe` it confines itself in the same way and then tries to get out; tests read how that went from its socket.

mod probe;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sandbox::WorkerAllocator = sandbox::WorkerAllocator;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("probe") => probe::main(),
        _ => sandbox::worker_main(),
    }
}
