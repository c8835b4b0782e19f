//! The gateway's parts in one place, and what a controller's word does to the sessions.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use engine::{revocation::RevocationRule, session::EndReason};
use ipnet::IpNet;
use protocol::message::{Change, Snapshot, WatchEvent};
use sandbox::Broker;
use tokio::sync::{Semaphore, watch};

use crate::{
    audit::Audit,
    clock::Clock,
    config::{ConfigError, ConfigHandle, Touched},
    contact::Contact,
    dial::Dialer,
    registry::Registry,
    report::Reports,
    resolver::names::Names,
    scripts::Scripts,
    session::LiveSession,
    settings::GatewayLimits,
    wave::Waves,
};

/// Everything a session needs; always behind an `Arc`.
pub(crate) struct Gateway {
    pub(crate) clock: Clock,
    pub(crate) limits: GatewayLimits,
    pub(crate) config: ConfigHandle,
    pub(crate) registry: Registry,
    pub(crate) contact: Contact,
    pub(crate) scripts: Scripts,
    pub(crate) waves: Waves,
    pub(crate) names: Arc<Names>,
    /// Turns of sessions whose names moved, so that a name of thousands is no rush on the sandbox.
    pub(crate) moved_turns: Semaphore,
    pub(crate) dialer: Dialer,
    pub(crate) audit: Audit,
    pub(crate) reports: Arc<Reports>,
    pub(crate) broker: Arc<Broker>,
    /// Networks that scripts may call although they are local.
    pub(crate) script_networks: Vec<IpNet>,
}

impl Gateway {
    /// Carries out what a controller says; when it returns, sessions and flows are as it says. The answer is the number
    /// that is applied now.
    ///
    /// Nothing in here waits for anything but its turn, and what cuts comes first.
    pub(crate) async fn apply(self: &Arc<Self>, event: WatchEvent) -> Result<u64, ConfigError> {
        let seq = match event {
            WatchEvent::Snapshot(snapshot) => self.apply_snapshot(*snapshot).await?,
            WatchEvent::Change(change) => self.apply_change(*change).await?,
            WatchEvent::Progress { seq } => {
                self.config.progress(seq)?;
                seq
            }
        };
        self.contact.hear(self.clock.now());
        self.config.publish();
        Ok(seq)
    }

    /// Puts a configuration in force that was kept from an earlier life. No controller spoke.
    pub(crate) async fn restore(self: &Arc<Self>, snapshot: Snapshot) -> Result<u64, ConfigError> {
        let seq = self.apply_snapshot(snapshot).await?;
        self.config.publish();
        Ok(seq)
    }

    /// Whether somebody may connect from there.
    pub(crate) fn allows_source(&self, source: IpAddr) -> bool {
        self.config.current().is_none_or(|config| config.definitions.allows_source(source))
    }

    /// Ends every session.
    pub(crate) fn end_all(&self, reason: &EndReason) {
        for session in self.registry.all().into_vec() {
            session.end(reason.clone());
        }
    }

    /// Looks names in use up again for as long as the gateway runs. Sessions whose names moved get new rules at once; what
    /// else depends on the names is asked again when it is its turn.
    pub(crate) async fn follow_names(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(NAMES_TICK) => {}
            }
            let mut used = BTreeSet::new();
            self.registry.all().into_vec().iter().for_each(|session| session.collect_names(&mut used));
            let answers = self.names.refresh(used).await;
            if answers.is_empty() {
                continue;
            }
            for session in self.registry.all().visit(|session| session.rename(&answers)).await {
                session.follow_moved();
            }
        }
    }

    /// Ends sessions when the Site does not let them live without a controller any longer, and forgets old rules.
    pub(crate) async fn keep_house(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut forgotten = Duration::ZERO;
        loop {
            let now = self.clock.now();
            if now.monotonic >= forgotten + FORGET_INTERVAL {
                forgotten = now.monotonic;
                self.config.forget(now.wall);
            }
            let site = self.config.current().and_then(|config| config.definitions.site().cloned());
            let left = site.and_then(|site| self.contact.may_keep_for(&site, self.clock.now()));
            if left == Some(Duration::ZERO) {
                self.end_all(&EndReason::ControllerLost);
            }
            let sleep = left.filter(|left| !left.is_zero()).unwrap_or(CONTACT_TICK).min(CONTACT_TICK);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    async fn apply_snapshot(self: &Arc<Self>, snapshot: Snapshot) -> Result<u64, ConfigError> {
        let seq = snapshot.seq;
        let first = self.config.current().is_none();
        let touched = self.config.replace(snapshot)?;
        let check = |session: &Arc<LiveSession>| {
            session.check_revocations();
            false
        };
        self.registry.all().visit(check).await;
        if first {
            self.configure_names();
        }
        self.touch(&touched).await;
        Ok(seq)
    }

    async fn apply_change(self: &Arc<Self>, mut change: Change) -> Result<u64, ConfigError> {
        let seq = change.seq;
        let rules: Vec<RevocationRule> = std::mem::take(&mut change.revocations).into_iter().map(Into::into).collect();
        if !rules.is_empty() {
            self.config.revoke(&rules);
        }
        for rule in &rules {
            let revoke = |session: &Arc<LiveSession>| {
                session.revoke(rule);
                false
            };
            self.registry.matching(&rule.scope.ending).visit(revoke).await;
        }
        let reevaluate = std::mem::take(&mut change.reevaluate);
        let touched = self.config.change(change)?;
        self.touch(&touched).await;
        for ending in reevaluate {
            self.reevaluate(ending).await;
        }
        Ok(seq)
    }

    /// First every session loses what the edit takes away, then those that need it are asked anew.
    async fn touch(self: &Arc<Self>, touched: &Touched) {
        if touched.is_empty() {
            return;
        }
        if touched.trusted {
            self.configure_trust();
        }
        let concerned = self.registry.all().visit(|session| session.touch(touched)).await;
        if touched.names {
            self.configure_names();
        }
        for session in concerned {
            session.instantiate();
        }
    }

    fn configure_trust(&self) {
        let config = self.config.current();
        let trusted = config.map(|config| config.definitions.trusted()).unwrap_or_default();
        if let Err(error) = self.broker.update(trusted, self.script_networks.clone()) {
            tracing::error!(error = &error as &dyn std::error::Error, "Trusted certificates cannot be used");
        }
    }

    fn configure_names(&self) {
        let config = self.config.current();
        self.names.configure(config.as_ref().and_then(|config| config.definitions.site()).map(AsRef::as_ref));
    }
}

/// Sessions that ask their scripts again at once because names moved.
pub(crate) const MOVED_AT_ONCE: usize = 32;

/// How finely the intervals of names are kept.
const NAMES_TICK: Duration = Duration::from_secs(1);

/// Rules that cannot matter any more cost only memory.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// The Site's bounds may change meanwhile.
const CONTACT_TICK: Duration = Duration::from_secs(1);
