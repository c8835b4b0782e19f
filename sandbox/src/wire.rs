//! Frames between supervisor and worker: a length (u32, little endian) and a body of at most 16 MiB.
//!
//! Bodies are written by hand: a tag, then fields in order; numbers little endian, texts and lists with a u32 length before them.
//! Reading never trusts a length: what does not fit is a [`Malformed`] frame, and the reader ends the connection.

mod call;
mod codec;
mod message;
mod progress;
mod tree;

pub(crate) use call::{HostCall, HostReply, HttpCallWire};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use codec::Writer;
pub(crate) use codec::{Malformed, frame, frame_length};
pub(crate) use message::{
    AdmitRequest, Answer, BatchRequest, FromWorker, Hello, Limits, ToWorker, WireLane, WireScript,
};
pub(crate) use progress::Progress;

#[cfg(test)]
mod tests;
