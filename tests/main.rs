//! End-to-end tests over real processes: one binary, a module per subject.

#![cfg(all(feature = "controller", feature = "gateway", feature = "client", feature = "ctl", feature = "script"))]

// The lints that tests are free of know them by this attribute.
#[cfg(test)]
mod advice;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod ctl;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod device_scripts;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod otp;
#[cfg(test)]
mod remedies;
#[cfg(test)]
mod script;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod world;
