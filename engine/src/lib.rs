//! Pure decision core of Portcullis: no clock, randomness, environment, file, socket, thread or async.
//!
//! Everything that needs the world is asked for by an effect and comes back as an input; time is always an argument.
//! The modules from the top down: [`authorize`] decides who gets which entitlements, [`rules`] turns entitlements into
//! firewall rules, [`session`] is the enforcement point, [`token`] says what is believed of a token and
//! [`revocation`] when it stops being believed.

#![forbid(unsafe_code)]

pub mod authorize;
pub mod claims;
pub mod dn;
pub mod id;
pub mod object;
pub mod revocation;
pub mod rules;
pub mod script;
pub mod session;
pub mod token;
