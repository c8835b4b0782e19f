//! How long the kernel let this process and its workers wait for a processor, which is nobody's fault but the machine's.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use sandbox::Sandbox;
use tokio::time::interval;

/// Looks at every thread again and again, since those of a worker that is killed can be asked no more.
pub struct Waits<'a> {
    sandbox: &'a Sandbox,
    /// Of each thread, nanoseconds at the first and at the last look.
    threads: BTreeMap<PathBuf, (u64, u64)>,
}

impl<'a> Waits<'a> {
    /// From now on.
    pub fn start(sandbox: &'a Sandbox) -> Self {
        let mut waits = Self { sandbox, threads: BTreeMap::new() };
        waits.look();
        waits
    }

    /// Watches while this goes on.
    pub async fn during<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        let mut looks = interval(PACE);
        loop {
            tokio::select! {
                done = &mut what => {
                    self.look();
                    return done;
                }
                _ = looks.tick() => self.look(),
            }
        }
    }

    /// What all threads together waited, between their first and their last look.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.threads.values().map(|(first, last)| last.saturating_sub(*first)).sum())
    }

    fn look(&mut self) {
        let processes = self.sandbox.worker_ids().into_iter().chain([std::process::id()]);
        for process in processes {
            for thread in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
                let path = thread.path().join("schedstat");
                // A thread that is gone keeps what it had at the last look.
                let Some(waited) = fs::read_to_string(&path).ok().and_then(|text| text.split(' ').nth(1)?.parse().ok())
                else {
                    continue;
                };
                self.threads.entry(path).and_modify(|(_, last)| *last = waited).or_insert((waited, waited));
            }
        }
    }
}

/// Time between looks.
const PACE: Duration = Duration::from_millis(10);
