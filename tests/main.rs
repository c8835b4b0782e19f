//! End-to-end tests over real processes: one binary, a module per subject.

#![cfg(all(feature = "controller", feature = "gateway", feature = "client", feature = "ctl"))]

mod architecture;
mod audit;
mod bad_input;
mod crash;
mod ctl;
mod world;
