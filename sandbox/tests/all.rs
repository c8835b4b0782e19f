//! The sandbox with real worker processes.

#[cfg(test)]
#[path = "all/failures.rs"]
mod failures;
#[cfg(test)]
#[path = "all/helpers.rs"]
mod helpers;
#[cfg(test)]
#[path = "all/lanes.rs"]
mod lanes;
#[cfg(test)]
#[path = "all/results.rs"]
mod results;
#[cfg(test)]
#[path = "all/workers.rs"]
mod workers;
