//! How fast a client may have itself looked at again.
//!
//! Pure: the time is an argument. It says how long to wait and never refuses, so a client that hurries is slowed down and
//! nothing it sends is lost.

use std::time::Duration;

use tokio::time::Instant;

/// Lets a burst through, then one at each interval.
pub(crate) struct Pace {
    /// When the whole burst is to be had again.
    rested: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { rested: now }
    }

    /// Counts one more; it has to wait for so long.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.rested = self.rested.max(now) + INTERVAL;
        (self.rested - now).saturating_sub(INTERVAL * BURST)
    }
}

/// More than any client needs: it renews once in minutes, and once more for a claim that changed or a remedy.
const BURST: u32 = 5;

const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_there_is_one_a_second() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start);
        let waits: Vec<u64> = (0..7).map(|_| pace.wait(start).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(pace.wait(at(2)).as_secs(), 1);
        let waits: Vec<u64> = (0..6).map(|_| pace.wait(at(60)).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1], "who rests has the burst again, and no more");
    }
}
