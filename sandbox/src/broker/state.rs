//! What may change while the broker runs: whom it trusts, which networks it may call, and the connections made under those rules.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::BrokerError;
use super::pool::Pool;
use super::trust;

/// One version of the rules; its kept connections end with it.
pub(super) struct State {
    tls: Arc<ClientConfig>,
    allow_networks: Vec<IpNet>,
    refuse_addresses: Arc<[SocketAddr]>,
    pub(super) pool: Pool,
}

impl State {
    pub(super) fn new(
        public: &RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        allow_networks: Vec<IpNet>,
        refuse_addresses: Arc<[SocketAddr]>,
    ) -> Result<Self, BrokerError> {
        let tls = Arc::new(trust::client_config(public.clone(), trusted)?);
        Ok(Self { tls, allow_networks, refuse_addresses, pool: Pool::default() })
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    pub(super) fn allow_networks(&self) -> &[IpNet] {
        &self.allow_networks
    }

    pub(super) fn refuse_addresses(&self) -> &[SocketAddr] {
        &self.refuse_addresses
    }
}
