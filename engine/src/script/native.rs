//! The native lane: scripts of the total subset run in our own evaluator, in process.
//!
//! The subset has no loop and no recursion, calls nothing but its own functions, a closed list of built-ins and criteria of the same subset,
//! and writes nothing but its own variables. So a run always ends, and it leaves nothing behind.
//!
//! What is covered is covered exactly as JavaScript has it; what is not, makes [`compile`] refuse or a run [`Bail`].
//! A run that bails has done nothing, so the caller runs the script in a worker as if it had never tried: bailing is always right.
//! Every failure of a script is a bail too, so that its text and place come from one source only. It never parses, does no I/O and
//! reads no clock.
//!
//! INVARIANTS:
//! - a function is never active twice, so every variable has one place in memory for the whole program;
//! - what [`compile_beginning`] leaves out is bailed at before any part of it is evaluated;
//! - functions are never values, so none is called when what is around it has ended;
//! - steps, text made and depth are bounded, by bailing.

mod compile;
mod convert;
mod dates;
mod methods;
mod operators;
mod program;
mod run;
mod statics;
mod texts;
mod value;

pub use compile::{Reason, compile, compile_beginning};
pub use program::Program;
pub use run::Bail;

#[cfg(test)]
mod tests;
