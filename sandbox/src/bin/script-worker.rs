//! The worker alone, for tests and benchmarks of this crate; the `portcullis` binary has the same as a hidden subcommand.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sandbox::WorkerAllocator = sandbox::WorkerAllocator;

fn main() -> ExitCode {
    sandbox::worker_main()
}
