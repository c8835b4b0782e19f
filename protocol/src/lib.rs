//! Messages between client, gateway and controller, their framing, and the carriers they travel on.

#![forbid(unsafe_code)]

pub mod carrier;
pub mod exporter;
pub mod frame;
pub mod message;
pub mod object;
pub mod quic;
pub mod tls;
