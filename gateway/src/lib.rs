//! The gateway: verifies tokens, builds rules, carries flows and cuts them.
//!
//! It dials out to a controller and follows its configuration, revocations and re-evaluations; clients connect to it with
//! the certificate of their session and show tokens. What is allowed is decided by [`engine::session`]; this crate does
//! what the engine cannot: sockets, names, scripts, time, files.
//!
//! It never signs or issues anything, never asks a controller before it admits, and never opens a socket to a protected
//! host without a permit.
//!
//! INVARIANTS:
//! - every byte of every flow is checked against its session right before it is written;
//! - a cut is carried out where it is decided: when the frame that carries a revocation has been applied, the streams are
//!   reset and the sockets to protected hosts are aborted, whatever their tasks are doing;
//! - configuration is applied to sessions before it is acknowledged and before it is written to disk.

mod admission;
mod audit;
mod cache;
mod clock;
mod config;
mod contact;
mod dial;
mod flow;
mod follow;
mod gateway;
mod identity;
mod messages;
mod metrics;
mod pace;
mod questions;
mod registry;
mod report;
mod resolver;
mod scripts;
mod seal;
mod serve;
mod session;
mod settings;
mod start;
mod wave;

pub use audit::AuditFileError;
pub use identity::IdentityError;
pub use settings::{GatewayConfig, GatewayLimits, Seed, SeedError};
pub use start::{Running, StartError, start};
