//! Evaluating very many sessions again: in the background, a few at a time, those with flows first.
//!
//! A controller may ask for everybody at once. What comes after it, a revocation above all, must not wait until everybody was
//! asked, so only a small number is asked on the spot. Names that wait are few: one that waits already is not added again, and
//! when there are too many, everybody is asked instead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::dn::DnEnding;
use sandbox::Urgency;
use tokio::sync::{Notify, watch};

use crate::{gateway::Gateway, registry::AT_ONCE, session::LiveSession};

/// What waits to be evaluated again.
#[derive(Default)]
pub(crate) struct Waves {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    endings: Vec<DnEnding>,
    everybody: bool,
}

impl Waves {
    fn add(&self, ending: DnEnding) {
        let mut waiting = self.lock();
        if waiting.endings.len() >= MAX_ENDINGS {
            waiting.endings.clear();
            waiting.everybody = true;
        }
        if !waiting.everybody && !waiting.endings.contains(&ending) {
            waiting.endings.push(ending);
        }
        drop(waiting);
        self.more.notify_one();
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// Evaluates the sessions whose names end so again: a few now, many soon.
    pub(crate) async fn reevaluate(&self, ending: DnEnding) {
        let concerned = self.registry.matching(&ending);
        if concerned.len() > AT_ONCE {
            return self.waves.add(ending);
        }
        let reevaluate = |session: &Arc<LiveSession>| {
            session.reevaluate(Urgency::Now);
            false
        };
        concerned.visit(reevaluate).await;
    }

    /// Carries out what waits for as long as the gateway runs.
    pub(crate) async fn follow_waves(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.waves.more.notified() => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.one_wave() => {}
            }
        }
    }

    async fn one_wave(&self) {
        let Waiting { endings, everybody } = self.waves.take();
        let all = self.registry.all();
        let concerned = if everybody { all } else { all.among(&endings) };
        for (number, session) in concerned.busy_first().enumerate() {
            self.scripts.room().await;
            session.reevaluate(Urgency::Background);
            if number % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Names that wait; more of them mean everybody.
const MAX_ENDINGS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_wait_are_few() {
        let waves = Waves::default();
        let add = |name: &str| waves.add(format!("CN={name},OU=local").parse().unwrap());
        add("ana");
        add("ana");
        add("ben");
        let waiting = waves.take();
        assert_eq!((waiting.endings.len(), waiting.everybody), (2, false));
        for number in 0..=MAX_ENDINGS + 1 {
            add(&number.to_string());
        }
        let waiting = waves.take();
        assert_eq!((waiting.endings.len(), waiting.everybody), (0, true));
        assert!(waves.take().endings.is_empty());
    }
}
