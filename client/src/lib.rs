//! The client: signs in, holds tokens, and carries local connections through gateways.
//!
//! [`run`] is one signed-in session from start to end. It authenticates at a controller with a key made in memory, asks
//! what it may do, keeps one gateway connection per Site, and offers SOCKS5 and port forwards to local programs. It
//! renews its tokens while flows go on, and it looks at its device again and again: built-in claims, and device scripts that
//! run in processes of their own. A local control socket answers [`status`], [`renew`], [`answer`], [`enrol`]
//! and [`sign_out`].
//!
//! The client decides nothing: what is allowed is the gateway's answer, flow by flow. It never keeps a password beyond
//! the sign-in it was given for, never writes a token or key to disk, and trusts the profile's authority and no other.
//! A flow that the gateway cuts ends with a reset on the local connection, never as if it had ended by itself.

mod advice;
mod clock;
mod config;
mod control;
mod controller;
mod copy;
mod device;
mod dial;
mod err;
mod event;
mod flow;
mod forward;
mod hub;
mod link;
mod listen;
mod manager;
mod profile;
mod run;
mod session;
mod socks;
mod status;
mod survey;
mod udp;

pub use advice::advice;
pub use config::{ClientConfig, DeviceScriptMode, DeviceScripts, RunnerCommand};
pub use control::{ControlError, answer, enrol, renew, sign_out, status};
pub use err::ClientError;
pub use event::{ClientEvent, PasswordRequest, what};
pub use forward::{Forward, ForwardError};
pub use profile::{Profile, ProfileError};
pub use run::{Ended, run};
pub use status::{
    DeviceClaimStatus, FlowState, FlowStatus, ListenerStatus, PastEvent, RemedyStatus, SiteState, SiteStatus, State,
    Status, TokenStatus, UnmetCondition,
};
pub use survey::script_runner_main;
