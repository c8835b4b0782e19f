//! Noticing that a gateway says nothing any more, long before its connection counts as lost.
//!
//! Silence proves nothing: a network may stall for seconds and go on, and then every flow goes on with it. So silence
//! ends no connection. It only makes the client look around, see `keeper/around.rs`.

use std::time::Duration;

use protocol::carrier::SharedCarrier;

/// How long a connection has been silent, in looks of this process. What it slept or was stopped for does not count.
pub(super) struct Silence {
    heard: u64,
    looks: u32,
}

impl Silence {
    pub(super) fn new(carrier: &SharedCarrier) -> Self {
        Self { heard: carrier.heard(), looks: 0 }
    }

    /// Resolves when it is time to look around, and again at intervals while the silence lasts.
    pub(super) async fn suspicious(&mut self, carrier: &SharedCarrier) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(carrier.heard());
            if self.calls_for_action() {
                return;
            }
        }
    }

    /// Resolves when something was heard again.
    pub(super) async fn over(&mut self, carrier: &SharedCarrier) {
        while self.looks > 0 {
            tokio::time::sleep(LOOK).await;
            self.look(carrier.heard());
        }
    }

    /// Whether nothing was heard since the last look either.
    pub(super) fn lasts(&self, carrier: &SharedCarrier) -> bool {
        self.looks > 0 && carrier.heard() == self.heard
    }

    fn look(&mut self, heard: u64) {
        self.looks = if heard == self.heard { self.looks.saturating_add(1) } else { 0 };
        self.heard = heard;
    }

    fn calls_for_action(&self) -> bool {
        self.looks >= SUSPICIOUS && (self.looks - SUSPICIOUS).is_multiple_of(AGAIN)
    }
}

const LOOK: Duration = Duration::from_millis(500);

/// 4 s. An idle connection shows life every 3 s, and an answer to that comes within a round trip.
const SUSPICIOUS: u32 = 8;

/// While the silence lasts, every 2 s.
const AGAIN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_silent_seconds_call_for_action_and_every_second_one_after_them() {
        let mut silence = Silence { heard: 7, looks: 0 };
        let mut acted = Vec::new();
        for look in 1..=14 {
            silence.look(7);
            if silence.calls_for_action() {
                acted.push(look);
            }
        }
        assert_eq!(acted, [8, 12]);
        silence.look(8);
        assert!(!silence.calls_for_action() && silence.looks == 0, "heard again");
    }
}
