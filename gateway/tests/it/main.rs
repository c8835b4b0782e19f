//! A real gateway over real sockets, with real script workers; only the controller is played by the test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod client;
mod controller;
mod pki;
mod services;
mod world;

mod admission;
mod conditions;
mod cuts;
mod defiance;
mod flows;
mod names;
mod questions;
mod records;
mod resilience;
mod scripts;
mod shortcuts;
