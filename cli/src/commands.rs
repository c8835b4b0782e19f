//! The subcommands, a module each.

#[cfg(feature = "client")]
pub(crate) mod client;
#[cfg(feature = "controller")]
pub(crate) mod controller;
#[cfg(feature = "ctl")]
pub(crate) mod ctl;
#[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
pub(crate) mod dev;
pub(crate) mod doctor;
#[cfg(feature = "gateway")]
pub(crate) mod gateway;
#[cfg(feature = "script")]
pub(crate) mod script;
