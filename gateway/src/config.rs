//! The configuration in force: what controllers last said, as the engine needs it.
//!
//! A [`Config`] is a snapshot that never changes; [`ConfigHandle`] holds the current one. Revocation rules stand beside
//! it and are added to in place, so that a cut never waits for configuration to be copied. A document that cannot be read
//! counts as absent.

mod definitions;

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    id::SiteId,
    revocation::{CLOCK_SKEW, RevocationRule, Revocations},
    token::{ClaimsKey, KeySet, TokenError, TokenKind, Verified},
};
use protocol::message::{Change, GatewayEndpoint, Snapshot, WireRevocation};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use definitions::{Definitions, Touched};

/// One state of the configuration.
pub(crate) struct Config {
    pub(crate) collective: Uuid,
    pub(crate) epoch: Uuid,
    pub(crate) seq: u64,
    pub(crate) site: SiteId,
    pub(crate) keys: KeySet,
    pub(crate) claims_key: ClaimsKey,
    pub(crate) definitions: Arc<Definitions>,
    endpoint: GatewayEndpoint,
    key_texts: Arc<[String]>,
    claims_key_text: Arc<Zeroizing<String>>,
}

/// What a controller sent makes no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the configuration is of another collective")]
    Collective,
    #[error("the key for encrypted claims is unusable")]
    ClaimsKey,
    #[error("a change came before any configuration")]
    NothingToChange,
}

impl Config {
    fn new(snapshot: Snapshot) -> Result<(Self, Vec<RevocationRule>), ConfigError> {
        let claims_key_text = Zeroizing::new(snapshot.claims_key);
        let claims_key = STANDARD.decode(claims_key_text.as_str()).map_err(|_| ConfigError::ClaimsKey)?;
        let claims_key = ClaimsKey::new(&Zeroizing::new(claims_key)).map_err(|_| ConfigError::ClaimsKey)?;
        let config = Self {
            collective: snapshot.collective,
            epoch: snapshot.epoch,
            seq: snapshot.seq,
            site: snapshot.site,
            keys: key_set(&snapshot.keys),
            claims_key,
            definitions: Arc::new(Definitions::new(snapshot.site, snapshot.objects)),
            endpoint: snapshot.gateway,
            key_texts: snapshot.keys.into(),
            claims_key_text: Arc::new(claims_key_text),
        };
        Ok((config, snapshot.revocations.into_iter().map(RevocationRule::from).collect()))
    }

    fn with(&self, seq: u64, definitions: Arc<Definitions>, keys: Option<Vec<String>>) -> Self {
        let key_texts = keys.map_or_else(|| self.key_texts.clone(), Arc::from);
        Self {
            collective: self.collective,
            epoch: self.epoch,
            seq,
            site: self.site,
            keys: key_set(&key_texts),
            claims_key: self.claims_key.clone(),
            definitions,
            endpoint: self.endpoint.clone(),
            key_texts,
            claims_key_text: self.claims_key_text.clone(),
        }
    }

    /// The wire form, for keeping it on disk.
    pub(crate) fn to_snapshot(&self, revocations: Vec<WireRevocation>) -> Snapshot {
        Snapshot {
            collective: self.collective,
            epoch: self.epoch,
            seq: self.seq,
            site: self.site,
            gateway: self.endpoint.clone(),
            objects: self.definitions.shipped(),
            revocations,
            keys: self.key_texts.to_vec(),
            claims_key: self.claims_key_text.as_str().to_owned(),
        }
    }
}

/// The current configuration and the revocation rules in force.
pub(crate) struct ConfigHandle {
    collective: Uuid,
    current: ArcSwapOption<Config>,
    revocations: RwLock<Revocations>,
    applied: watch::Sender<Option<u64>>,
    version: AtomicU64,
}

impl ConfigHandle {
    /// No configuration yet: nothing is admitted.
    pub(crate) fn new(collective: Uuid) -> Self {
        Self {
            collective,
            current: ArcSwapOption::empty(),
            revocations: RwLock::default(),
            applied: watch::Sender::new(None),
            version: AtomicU64::new(0),
        }
    }

    pub(crate) fn current(&self) -> Option<Arc<Config>> {
        self.current.load_full()
    }

    /// The number of the last applied configuration, for those who wait for one.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<u64>> {
        self.applied.subscribe()
    }

    /// Says that a number is applied, sessions included.
    pub(crate) fn publish(&self) {
        let seq = self.current.load().as_ref().map(|config| config.seq);
        self.applied.send_if_modified(|applied| std::mem::replace(applied, seq) != seq);
    }

    /// Grows with everything worth keeping on disk; progress alone is not.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Puts a snapshot in force; the answer says what it changed.
    pub(crate) fn replace(&self, snapshot: Snapshot) -> Result<Touched, ConfigError> {
        if snapshot.collective != self.collective {
            return Err(ConfigError::Collective);
        }
        let (config, rules) = Config::new(snapshot)?;
        let old = self.current();
        let nothing = Definitions::default();
        let before = old.as_ref().map_or(&nothing, |config| &config.definitions);
        let touched = Touched::between(before, &config.definitions);
        *self.write_rules() = Revocations::new(rules);
        self.current.store(Some(Arc::new(config)));
        self.version.fetch_add(1, Ordering::Release);
        Ok(touched)
    }

    /// Adds rules. Comes before anything else of the same transaction: nobody who looks later may miss them.
    pub(crate) fn revoke(&self, rules: &[RevocationRule]) {
        let mut revocations = self.write_rules();
        rules.iter().for_each(|rule| revocations.push(rule.clone()));
    }

    /// Puts the objects and keys of a transaction in force; the answer says what changed.
    pub(crate) fn change(&self, change: Change) -> Result<Touched, ConfigError> {
        let config = self.current().ok_or(ConfigError::NothingToChange)?;
        self.version.fetch_add(1, Ordering::Release);
        if change.put.is_empty() && change.removed.is_empty() {
            let definitions = config.definitions.clone();
            self.current.store(Some(Arc::new(config.with(change.seq, definitions, change.keys))));
            return Ok(Touched::default());
        }
        let definitions = Arc::new(config.definitions.changed(change.put, &change.removed));
        let touched = Touched::between(&config.definitions, &definitions);
        self.current.store(Some(Arc::new(config.with(change.seq, definitions, change.keys))));
        Ok(touched)
    }

    /// Nothing changed for this gateway up to a number.
    pub(crate) fn progress(&self, seq: u64) -> Result<(), ConfigError> {
        let config = self.current().ok_or(ConfigError::NothingToChange)?;
        if seq > config.seq {
            let definitions = config.definitions.clone();
            self.current.store(Some(Arc::new(config.with(seq, definitions, None))));
        }
        Ok(())
    }

    /// Drops rules that cannot matter any more.
    pub(crate) fn forget(&self, now: OffsetDateTime) {
        self.write_rules().forget(now);
    }

    /// Whether a believed token is still good; in effect counts what takes effect within the clock skew.
    ///
    /// # Errors
    /// [`TokenError::Revoked`].
    pub(crate) fn check_revoked(&self, token: &Verified, now: OffsetDateTime) -> Result<(), TokenError> {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        match revocations.in_effect(token.token().facts(), now + CLOCK_SKEW) {
            Some(rule) => Err(TokenError::Revoked { seq: rule.seq, reason: rule.reason.clone() }),
            None => Ok(()),
        }
    }

    /// For each token that a rule covers, the first rule to take effect.
    pub(crate) fn covering<'a>(&self, tokens: impl Iterator<Item = &'a Verified>) -> Vec<(TokenKind, RevocationRule)> {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        let facts = tokens.map(|token| token.token().facts());
        facts.filter_map(|facts| Some((facts.kind, revocations.earliest(facts)?.clone()))).collect()
    }

    /// The rules, for keeping them on disk.
    pub(crate) fn revocations(&self) -> Vec<WireRevocation> {
        let revocations = self.revocations.read().unwrap_or_else(PoisonError::into_inner);
        revocations.rules().map(WireRevocation::from).collect()
    }

    fn write_rules(&self) -> std::sync::RwLockWriteGuard<'_, Revocations> {
        self.revocations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that cannot be read are not pinned, so tokens under them are refused.
fn key_set(texts: &[String]) -> KeySet {
    KeySet::new(texts.iter().filter_map(|text| STANDARD.decode(text).ok()?.try_into().ok()))
}
