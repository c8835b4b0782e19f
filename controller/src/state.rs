//! The controller's shared handle: what every listener, stream and API call works with.
//!
//! It holds no state of its own that must survive: what must is in the [`Store`], and what is decided by is the
//! configuration snapshot. Nothing here decides.

use std::sync::Arc;

use sandbox::Sandbox;
use time::OffsetDateTime;

use crate::{
    authority::CertificateAuthority,
    authorization::Catalogs,
    config::ConfigHandle,
    enrol::Enrolments,
    err::StartError,
    gateways::Gateways,
    issue::Issuer,
    keys::TokenKeys,
    metrics::Metrics,
    otp::LocksTold,
    password::Passwords,
    questions::Questions,
    records::{Records, flush_regularly},
    script_secrets::ScriptSecrets,
    settings::Settings,
    sign_in::Attempts,
    store::Store,
};

/// Everything a controller is made of; always behind an [`Arc`].
pub struct Controller {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The configuration as committed.
    pub config: ConfigHandle,
    /// Runs scripts.
    pub sandbox: Sandbox,
    /// Signs certificates.
    pub authority: CertificateAuthority,
    /// Builds, signs and verifies tokens.
    pub issuer: Issuer,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Connected gateways and the sessions they report.
    pub gateways: Gateways,
    /// Asks gateways what only they know.
    pub questions: Questions,
    /// What the operator configured.
    pub settings: Settings,
    pub(crate) attempts: Attempts,
    pub(crate) code_locks: LocksTold,
    pub(crate) catalogs: Catalogs,
    pub(crate) enrolments: Enrolments,
    pub(crate) secrets: ScriptSecrets,
    pub(crate) records: Arc<Records>,
    pub(crate) metrics: Metrics,
}

impl Controller {
    /// Reads or makes the keys in the store and puts the handle together. Opens no port.
    ///
    /// # Errors
    /// When keys cannot be read, made or stored.
    pub async fn open(settings: Settings, store: Arc<dyn Store>, sandbox: Sandbox) -> Result<Arc<Self>, StartError> {
        let authority = CertificateAuthority::load(store.as_ref(), (settings.clock)()).await?;
        Self::with_authority(settings, store, sandbox, authority).await
    }

    pub(crate) async fn with_authority(
        settings: Settings,
        store: Arc<dyn Store>,
        sandbox: Sandbox,
        authority: CertificateAuthority,
    ) -> Result<Arc<Self>, StartError> {
        let keys = TokenKeys::load(store.as_ref()).await?;
        let records = Arc::new(Records::default());
        tokio::spawn(flush_regularly(Arc::clone(&records), Arc::clone(&store)));
        Ok(Arc::new(Self {
            config: store.config(),
            issuer: Issuer::new(store.collective(), keys),
            passwords: Passwords::new(),
            gateways: Gateways::default(),
            questions: Questions::default(),
            attempts: Attempts::default(),
            code_locks: LocksTold::default(),
            catalogs: Catalogs::default(),
            enrolments: Enrolments::default(),
            secrets: ScriptSecrets::default(),
            records,
            metrics: Metrics::default(),
            store,
            sandbox,
            authority,
            settings,
        }))
    }

    /// The one place the controller reads the clock.
    pub fn now(&self) -> OffsetDateTime {
        (self.settings.clock)()
    }
}
