//! The cache that scripts share: `cache.getIfPresent` and `cache.put` (D 7.2).
//!
//! One for the whole appliance, in memory, bounded in every direction; nothing depends on an entry being there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// Longest key in bytes.
pub(crate) const MAX_KEY: usize = 1024;
/// Largest value in bytes of JSON text.
pub(crate) const MAX_VALUE: usize = 256 * 1024;
/// Bytes of all entries, keys included.
const MAX_ALL: u64 = 16 * 1024 * 1024;
/// What an entry costs beyond its text.
const ENTRY: usize = 128;
/// Longest life of an entry.
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Values by key, each for a time; the last one put wins. Clones share the entries.
#[derive(Clone)]
pub(crate) struct ScriptCache(Cache<String, Entry>);

#[derive(Clone)]
struct Entry {
    value: Arc<str>,
    ttl: Duration,
}

impl ScriptCache {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let weigh =
            |key: &String, entry: &Entry| u32::try_from(key.len() + entry.value.len() + ENTRY).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .max_capacity(MAX_ALL)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(PerEntry)
                .build(),
        )
    }

    /// The value of this key as JSON text.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<str>> {
        self.0.get(key).map(|entry| entry.value)
    }

    /// Keeps a value (JSON text) for `ttl`, at most a day; no time at all removes what is there. False when it is too large to keep.
    pub(crate) fn put(&self, key: String, value: String, ttl: Duration) -> bool {
        if key.len() > MAX_KEY || value.len() > MAX_VALUE {
            return false;
        }
        if ttl.is_zero() {
            self.0.invalidate(&key);
        } else {
            self.0.insert(key, Entry { value: value.into(), ttl: ttl.min(MAX_TTL) });
        }
        true
    }

    /// Removes everything, and gives its memory back at once.
    pub(crate) fn clear(&self) {
        self.0.invalidate_all();
        self.0.run_pending_tasks();
    }

    /// Entries that are there now.
    pub(crate) fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

struct PerEntry;

impl Expiry<String, Entry> for PerEntry {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(&self, _: &String, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_last_value_wins_and_no_time_removes() {
        let cache = ScriptCache::new();
        assert!(cache.put("k".into(), "1".into(), LONG));
        assert!(cache.put("k".into(), "2".into(), LONG));
        assert_eq!(cache.find("k").as_deref(), Some("2"));
        assert!(cache.put("k".into(), "3".into(), Duration::ZERO));
        assert_eq!(cache.find("k"), None);
    }

    #[test]
    fn every_size_is_bounded() {
        let cache = ScriptCache::new();
        assert!(!cache.put("k".repeat(MAX_KEY + 1), "1".into(), LONG));
        assert!(!cache.put("k".into(), "v".repeat(MAX_VALUE + 1), LONG));
        for at in 0..200 {
            assert!(cache.put(at.to_string(), "v".repeat(MAX_VALUE), LONG));
        }
        assert!(cache.len() <= 64, "{}", cache.len());
        assert!(cache.find("199").is_some());
        cache.clear();
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn entries_end_with_their_time() {
        let cache = ScriptCache::new();
        assert!(cache.put("k".into(), "1".into(), Duration::from_millis(1)));
        let started = Instant::now();
        while cache.find("k").is_some() {
            assert!(started.elapsed() < LONG);
            std::thread::yield_now();
        }
    }
}
