//! The sandbox with real worker processes.

#[cfg(test)]
#[path = "all/admission.rs"]
mod admission;
#[cfg(test)]
#[path = "all/api.rs"]
mod api;
#[cfg(test)]
#[path = "all/blame.rs"]
mod blame;
#[cfg(test)]
#[path = "all/broker.rs"]
mod broker;
#[cfg(test)]
#[path = "all/escape.rs"]
mod escape;
#[cfg(test)]
#[path = "all/failures.rs"]
mod failures;
#[cfg(test)]
#[path = "all/helpers.rs"]
mod helpers;
#[cfg(test)]
#[path = "all/java.rs"]
mod java;
#[cfg(test)]
#[path = "all/lanes.rs"]
mod lanes;
#[cfg(test)]
#[path = "all/lint.rs"]
mod lint;
#[cfg(test)]
#[path = "all/native.rs"]
mod native;
#[cfg(test)]
#[path = "all/parking.rs"]
mod parking;
#[cfg(test)]
#[path = "all/proof.rs"]
mod proof;
#[cfg(test)]
#[path = "all/quarantine.rs"]
mod quarantine;
#[cfg(test)]
#[path = "all/reference.rs"]
mod reference;
#[cfg(test)]
#[path = "all/results.rs"]
mod results;
#[cfg(test)]
#[path = "all/secrets.rs"]
mod secrets;
#[cfg(test)]
#[path = "all/server.rs"]
mod server;
#[cfg(test)]
#[path = "all/state.rs"]
mod state;
#[cfg(test)]
#[path = "all/workers.rs"]
mod workers;
