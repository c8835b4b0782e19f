//! What a name answered lately, and which of it stands.
//!
//! A name that moves loses its old address at the next look-up. A name that rotates, as round robin and content networks
//! do, would cut flows at every look-up; so an address that leaves the answer of a rotating name lingers for a while. A
//! name rotates when an address comes back that had left, or when its answer changed for the third time within the
//! linger time.
//! An address that was let go while the name did not rotate stays gone until it is answered again.
//!
//! Pure: the time is an argument, and the same answers at the same times give the same addresses.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

/// The answers of one name within the last while.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    newest: BTreeSet<IpAddr>,
    answered: Duration,
    left: BTreeMap<IpAddr, Left>,
    /// When the answer last changed, oldest first.
    changes: VecDeque<Duration>,
    /// When an address last came back.
    returned: Option<Duration>,
}

/// An address that is not in the newest answer.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// When it was last answered.
    answered: Duration,
    /// Whether it still stands.
    lingers: bool,
}

/// For how long addresses of a rotating name linger when its names are looked up at this interval.
pub(super) fn linger(interval: Duration) -> Duration {
    interval.saturating_mul(LOOK_UPS).clamp(SHORTEST_LINGER, LONGEST_LINGER)
}

impl History {
    /// Takes in an answer; `linger` is how long an address may stand without being answered.
    pub(super) fn answer(&mut self, answer: BTreeSet<IpAddr>, linger: Duration, now: Duration) {
        self.forget(linger, now);
        if !self.newest.is_empty() && answer != self.newest {
            self.changes.push_back(now);
            if self.changes.len() > CHANGES {
                self.changes.pop_front();
            }
        }
        if answer.iter().any(|address| self.left.contains_key(address)) {
            self.returned = Some(now);
        }
        let gone = Left { answered: self.answered, lingers: self.rotates(linger, now) };
        let leaving = self.newest.difference(&answer).map(|address| (*address, gone));
        self.left.extend(leaving);
        self.left.retain(|address, _| !answer.contains(address));
        self.bound();
        self.newest = answer;
        self.answered = now;
    }

    /// The addresses that stand: those of the newest answer and those that linger.
    pub(super) fn standing(&mut self, linger: Duration, now: Duration) -> BTreeSet<IpAddr> {
        self.forget(linger, now);
        let lingering = self.left.iter().filter(|(_, left)| left.lingers).map(|(address, _)| *address);
        self.newest.iter().copied().chain(lingering).collect()
    }

    /// Whether the newest answer holds an address.
    pub(super) fn is_newest(&self, address: &IpAddr) -> bool {
        self.newest.contains(address)
    }

    /// How many addresses stand although the newest answer lacks them.
    pub(super) fn lingering(&self) -> usize {
        self.left.values().filter(|left| left.lingers).count()
    }

    /// How many addresses are remembered.
    pub(super) fn size(&self) -> usize {
        self.newest.len() + self.left.len()
    }

    fn rotates(&self, linger: Duration, now: Duration) -> bool {
        let recent = |moment: &Duration| now < *moment + linger;
        let unsteady = self.changes.len() == CHANGES && self.changes.front().is_some_and(recent);
        unsteady || self.returned.as_ref().is_some_and(recent)
    }

    fn forget(&mut self, linger: Duration, now: Duration) {
        self.left.retain(|_, left| now < left.answered + linger);
    }

    /// Beyond the bound the oldest go.
    fn bound(&mut self) {
        while self.left.len() > MAX_LEFT {
            let oldest = self.left.iter().min_by_key(|(_, left)| left.answered).map(|(address, _)| *address);
            let Some(oldest) = oldest else { return };
            self.left.remove(&oldest);
        }
    }
}

/// Look-ups an address may miss before it is let go.
const LOOK_UPS: u32 = 4;

const SHORTEST_LINGER: Duration = Duration::from_secs(300);
const LONGEST_LINGER: Duration = Duration::from_secs(3600);

/// So many changes within the linger time are a rotation.
const CHANGES: usize = 3;

/// Addresses remembered beside the newest answer.
const MAX_LEFT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn addresses(hosts: impl IntoIterator<Item = u32>) -> BTreeSet<IpAddr> {
        hosts.into_iter().map(|host| IpAddr::from((0x0a00_0000 + host).to_be_bytes())).collect()
    }

    /// The answers, one a minute; after each, what stands.
    #[track_caller]
    fn check(answers: &[(&[u32], &[u32])]) {
        let mut history = History::default();
        let linger = linger(at(MINUTE));
        for (minute, (answer, standing)) in (0..).zip(answers) {
            let now = at(minute * MINUTE);
            history.answer(addresses(answer.iter().copied()), linger, now);
            assert_eq!(
                history.standing(linger, now),
                addresses(standing.iter().copied()),
                "after {answer:?} in minute {minute}"
            );
        }
    }

    #[test]
    fn a_name_that_moves_loses_its_old_address_at_once() {
        check(&[(&[1], &[1]), (&[1], &[1]), (&[2], &[2]), (&[2], &[2])]);
        check(&[(&[1, 2, 3], &[1, 2, 3]), (&[1, 2], &[1, 2]), (&[1, 2, 4], &[1, 2, 4])]);
    }

    #[test]
    fn once_an_address_came_back_those_that_leave_linger() {
        check(&[(&[1], &[1]), (&[2], &[2]), (&[1], &[1, 2]), (&[2], &[1, 2]), (&[3], &[1, 2, 3]), (&[1], &[1, 2, 3])]);
    }

    #[test]
    fn a_name_that_changes_again_and_again_rotates_too() {
        check(&[(&[1], &[1]), (&[2], &[2]), (&[3], &[3]), (&[4], &[3, 4]), (&[5], &[3, 4, 5])]);
    }

    #[test]
    fn what_was_let_go_before_stays_gone() {
        check(&[(&[9], &[9]), (&[1], &[1]), (&[2], &[2]), (&[1], &[1, 2])]);
    }

    #[test]
    fn a_rotating_name_that_settles_loses_the_others_after_the_linger_time() {
        let after = |minute: u64| {
            let mut history = History::default();
            let linger = linger(at(MINUTE));
            for (number, host) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
                history.answer(addresses([host]), linger, at(number * MINUTE));
            }
            for number in 4..=minute {
                history.answer(addresses([2]), linger, at(number * MINUTE));
            }
            history.standing(linger, at(minute * MINUTE))
        };
        assert_eq!(after(6), addresses([1, 2]), "last answered in minute 2");
        assert_eq!(after(7), addresses([2]));
    }

    #[test]
    fn after_a_steady_while_a_move_is_a_move_again() {
        let mut history = History::default();
        let linger = linger(at(MINUTE));
        for (minute, host) in [1, 2, 1, 2, 2, 2, 2, 2, 2, 3].into_iter().enumerate() {
            history.answer(addresses([host]), linger, at(minute as u64 * MINUTE));
        }
        assert_eq!(history.standing(linger, at(9 * MINUTE)), addresses([3]));
    }

    #[test]
    fn what_lingers_is_bounded_and_the_newest_answer_is_not_touched() {
        let mut history = History::default();
        let linger = linger(at(1));
        for second in 0..10 {
            let first = 1000 * (second % 2);
            history.answer(addresses(first..first + 1000), linger, at(u64::from(second)));
        }
        assert_eq!((history.standing(linger, at(9)).len(), history.lingering()), (1256, 256));
    }

    #[test]
    fn the_linger_time_follows_the_interval_within_bounds() {
        let minutes = |interval: u64| linger(at(interval * MINUTE)).as_secs() / MINUTE;
        assert_eq!((minutes(0), minutes(1), minutes(5), minutes(60)), (5, 5, 20, 60));
    }
}
