//! The controller: authenticates, decides, signs, keeps the configuration and serves the admin REST API.
//!
//! [`start`] opens the store, the script workers and both ports. Everything inside works with the shared handle
//! [`state::Controller`].

#![forbid(unsafe_code)]

pub mod api;
pub mod appliance;
pub mod audit;
pub mod authority;
pub mod authorization;
pub mod builtin;
pub mod config;
mod device_scripts;
pub mod enrol;
mod err;
pub mod gateways;
pub mod issue;
pub mod keys;
mod messages;
mod metrics;
mod otp;
pub mod password;
mod port;
pub mod questions;
mod records;
mod refusal;
mod runs;
mod script_secrets;
pub mod settings;
pub mod sign_in;
mod start;
pub mod state;
pub mod store;
mod trust;
mod watch;

pub use err::StartError;
pub use start::{Running, start};
