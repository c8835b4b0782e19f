//! Trusted certificates (D 24): what the HTTP calls of scripts trust beside the public roots, kept up with the configuration.

use std::sync::Arc;

use ipnet::IpNet;
use protocol::{object::ObjectKind, tls};
use rustls::pki_types::CertificateDer;
use sandbox::Broker;
use tokio::sync::{broadcast::error::RecvError, watch};

use crate::{config::Config, store::Store};

/// The certificates of a configuration; one that cannot be read is not trusted.
pub(crate) fn trusted(config: &Config) -> Vec<CertificateDer<'static>> {
    let texts = config.all(ObjectKind::TrustedCertificate).filter_map(|object| object.body.get("pem")?.as_str());
    texts.filter_map(tls::trust_anchor_of_pem).collect()
}

/// Tells the broker of every change until stopped.
pub(crate) async fn follow(
    store: Arc<dyn Store>,
    broker: Arc<Broker>,
    networks: Vec<IpNet>,
    mut stop: watch::Receiver<bool>,
) {
    let mut commits = store.subscribe();
    // What was committed between reading it at the start and subscribing is caught up with here.
    let mut current = Vec::new();
    loop {
        let newest = trusted(&store.config().current());
        if newest != current {
            current = newest;
            if let Err(error) = broker.update(current.clone(), networks.clone()) {
                tracing::error!(error = &error as &dyn std::error::Error, "Trusted certificates cannot be used");
            }
        }
        loop {
            let heard = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                heard = commits.recv() => heard,
            };
            let concerned = match heard {
                Ok(committed) => {
                    let written = committed.objects.iter().map(|object| object.kind);
                    written.chain(committed.deleted.iter().map(|(kind, _)| *kind)).any(is_certificate)
                }
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            };
            if concerned {
                break;
            }
        }
    }
}

fn is_certificate(kind: ObjectKind) -> bool {
    kind == ObjectKind::TrustedCertificate
}
