//! A Site's connection as the rest of the client sees it: whether it can carry flows, and how many it carries.

mod choice;
mod keeper;
mod silence;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use engine::id::SiteId;
use protocol::{carrier::SharedCarrier, message::GatewayEndpoint};
use tokio::{sync::watch, task::JoinSet};

use crate::hub::Hub;
use keeper::Keeper;

/// A Site's connection.
pub(crate) struct Link {
    pub(crate) site: SiteId,
    pub(crate) name: String,
    carrier: watch::Sender<Option<SharedCarrier>>,
    flows: watch::Sender<usize>,
    retired: AtomicBool,
}

/// What a link is to do.
#[derive(Clone)]
pub(crate) enum Order {
    /// Stay connected with these tokens.
    Serve(Arc<Grant>),
    /// A newer session took over: keep what flows, take nothing new, end with the last flow.
    Retire,
    /// End at once.
    Stop,
}

/// What a gateway is shown, and which gateways there are.
pub(crate) struct Grant {
    pub(crate) claims: String,
    pub(crate) device_claims: Option<String>,
    pub(crate) entitlement: String,
    pub(crate) gateways: Vec<GatewayEndpoint>,
}

/// The manager's end of a link. Dropping it stops the link.
pub(crate) struct LinkHandle {
    pub(crate) link: Arc<Link>,
    orders: watch::Sender<Order>,
}

impl LinkHandle {
    /// Starts to keep a Site connected.
    pub(crate) fn spawn(
        hub: &Arc<Hub>,
        tasks: &mut JoinSet<()>,
        site: (SiteId, String),
        tls: rustls::ClientConfig,
        grant: Grant,
    ) -> Self {
        let (site, name) = site;
        let link = Arc::new(Link {
            site,
            name,
            carrier: watch::Sender::new(None),
            flows: watch::Sender::new(0),
            retired: AtomicBool::new(false),
        });
        let (orders, receiver) = watch::channel(Order::Serve(Arc::new(grant)));
        tasks.spawn(Keeper::new(hub.clone(), link.clone(), tls, receiver).run());
        Self { link, orders }
    }

    pub(crate) fn serve(&self, grant: Grant) {
        self.orders.send_replace(Order::Serve(Arc::new(grant)));
    }

    pub(crate) fn retire(&self) {
        self.link.retired.store(true, Ordering::Release);
        self.orders.send_replace(Order::Retire);
    }

    pub(crate) fn stop(&self) {
        self.link.retired.store(true, Ordering::Release);
        self.orders.send_replace(Order::Stop);
    }

    /// Whether the link is over.
    pub(crate) fn is_over(&self) -> bool {
        self.orders.is_closed()
    }
}

impl Link {
    /// The connection, when a gateway has admitted the session on it.
    pub(crate) fn carrier(&self) -> Option<SharedCarrier> {
        self.carrier.borrow().clone()
    }

    /// Waits a while for a gateway to admit the session.
    pub(crate) async fn wait_carrier(&self, patience: Duration) -> Option<SharedCarrier> {
        let mut receiver = self.carrier.subscribe();
        let ready = tokio::time::timeout(patience, receiver.wait_for(Option::is_some)).await;
        ready.ok()?.ok()?.clone()
    }

    pub(crate) fn add_flow(&self) {
        self.flows.send_modify(|count| *count += 1);
    }

    pub(crate) fn remove_flow(&self) {
        self.flows.send_modify(|count| *count = count.saturating_sub(1));
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
