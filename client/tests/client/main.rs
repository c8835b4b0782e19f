//! The client against a scripted controller and scripted gateways on real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod authority;
mod device_scripts;
mod failover;
mod flows;
mod gateway;
mod lifetimes;
mod relay;
mod sessions;
mod user;
mod world;
