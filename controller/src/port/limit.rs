//! Bounds by source address or session. An IPv6 source counts by its /64, because that is what one subscriber has.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Counts connections, in all and by address.
#[derive(Clone)]
pub(super) struct Connections {
    counts: Arc<Mutex<Counts>>,
    most: usize,
    most_per_address: usize,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; dropping it gives the place free.
pub(super) struct Place {
    connections: Connections,
    source: IpAddr,
}

impl Connections {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self { counts: Arc::default(), most, most_per_address }
    }

    /// A place, unless all are taken.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let source = source(address);
        let mut counts = lock(&self.counts);
        let of_source = counts.by_address.get(&source).copied().unwrap_or(0);
        if counts.all >= self.most || of_source >= self.most_per_address {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(source, of_source + 1);
        Some(Place { connections: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.connections.counts);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_address.remove(&self.source);
            }
        }
    }
}

/// Lets so many through at once and so many a second, by whatever it counts.
pub(super) struct Rate<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
    burst: f64,
    per_second: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash> Rate<K> {
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        Self { buckets: Mutex::default(), burst: f64::from(burst.max(1)), per_second: f64::from(per_second.max(1)) }
    }

    /// Takes one, or says after what time it is worth trying again. When too many sources are known, those that have
    /// rested long enough are forgotten; when none has, strangers wait.
    pub(super) fn take(&self, source: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_SOURCES && !buckets.contains_key(&source) {
            buckets.retain(|_, bucket| self.refilled(bucket, now) < self.burst);
            if buckets.len() >= MAX_SOURCES {
                return Err(Duration::from_secs(1));
            }
        }
        let bucket = buckets.entry(source).or_insert(Bucket { left: self.burst, at: now });
        let left = self.refilled(bucket, now);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        *bucket = Bucket { left: left - 1.0, at: now };
        Ok(())
    }

    fn refilled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let rested = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + rested * self.per_second).min(self.burst)
    }
}

/// What an address counts as.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most sources remembered at once.
const MAX_SOURCES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_burst_through_and_then_a_trickle() {
        let rate = Rate::new(3, 2);
        let (start, one, other) = (Instant::now(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!((0..3).all(|_| rate.take(one, start).is_ok()));
        assert_eq!(rate.take(one, start), Err(Duration::from_millis(500)));
        assert_eq!(rate.take(other, start), Ok(()));
        assert_eq!(rate.take(one, start + Duration::from_millis(500)), Ok(()));
        assert!(rate.take(one, start + Duration::from_millis(500)).is_err());
    }

    #[test]
    fn addresses_of_one_subscriber_count_together() {
        let rate = Rate::new(1, 1);
        let take = |address: &str| rate.take(source(address.parse().unwrap()), Instant::now());
        assert_eq!(take("2001:db8::1"), Ok(()));
        assert!(take("2001:db8::2").is_err());
        assert!(take("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let connections = Connections::new(3, 2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = connections.enter(one).unwrap();
        let _second = connections.enter(one).unwrap();
        assert!(connections.enter(one).is_none());
        let _third = connections.enter(other).unwrap();
        assert!(connections.enter(other).is_none());
        drop(first);
        assert!(connections.enter(other).is_some());
    }
}
