//! Waiting for a state, with a bound.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// Looks until `look` finds something; what it found missing last stands in the error.
///
/// # Errors
/// When the bound has passed, or at once when looking itself fails.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        match look()? {
            Seen::Yes(found) => return Ok(found),
            Seen::NotYet(missing) if started.elapsed() >= bound => {
                bail!("{what} did not come about within {} s: {missing}", bound.as_secs_f64())
            }
            Seen::NotYet(_) => thread::sleep(PAUSE),
        }
    }
}

/// What one look found.
pub enum Seen<T> {
    /// It is so.
    Yes(T),
    /// It is not, and what is there instead.
    NotYet(String),
}

impl Seen<()> {
    /// From a plain yes or no.
    pub fn when(yes: bool, instead: impl FnOnce() -> String) -> Self {
        if yes { Self::Yes(()) } else { Self::NotYet(instead()) }
    }
}

const PAUSE: Duration = Duration::from_millis(10);
