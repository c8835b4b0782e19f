//! JavaScript in worker processes, and the supervisor that starts, feeds, bounds and ends them.
//!
//! [`Sandbox`] takes batches of scripts and answers one record per script, whatever the scripts do; [`worker_main`] is what its workers run.
//! Nothing of a script ever runs, and nothing of it is ever parsed, in the process that holds the [`Sandbox`].
//!
//! INVARIANTS:
//! - every run ends in a typed outcome within its deadline, and a failure never grants anything (D 7.4);
//! - a run is observably identical to a run in a context of its own, whichever [`Lane`] it took;
//! - a worker holds no secret, no file and no descriptor but its socket.

mod batch;
mod broker;
mod cache;
mod config;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod secrets;
mod supervisor;
mod wire;
mod worker;

pub use batch::{Admission, Batch, LaneChoice, Purpose, RunRecord, Script, Urgency};
pub use broker::{Broker, BrokerConfig, BrokerError, Lookup, LookupFuture, SystemLookup};
pub use config::{QuarantineHook, SandboxConfig, WorkerCommand};
pub use engine::script::lanes::Lane;
pub use http::{HttpBackend, HttpCall, HttpFailure, HttpFuture, HttpMethod, HttpOutcome, HttpRequest, NoHttp};
pub use secrets::{NoOrigin, Origin, Secret, Secrets};
pub use supervisor::{Layers, Quarantined, RunCount, Sandbox, SandboxMetrics, StartError};
#[doc(hidden)]
pub use worker::confined;
pub use worker::{WorkerAllocator, worker_main};
