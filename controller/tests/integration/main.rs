//! A whole controller on real ports, with a real store and real script workers, and peers that speak to it over QUIC.

#[cfg(test)]
mod authorize;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod device_scripts;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod otp;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod session;
#[cfg(test)]
mod sign_in;
