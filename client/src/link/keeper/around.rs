//! Looking around while a gateway is silent.

use protocol::{
    carrier::SharedCarrier,
    message::{GatewayEndpoint, close_code},
};

use super::{End, Keeper, Live};
use crate::link::{Order, choice::choose, silence::Silence};

/// What became of a look around.
pub(super) enum Around {
    /// Nothing better than to go on waiting for this gateway.
    Stay,
    /// Nobody listens there any more.
    Gone,
    /// Another gateway took the session in.
    Moved(Live, GatewayEndpoint),
}

impl Keeper {
    /// The gateway is silent: asks its host whether it is gone, and another gateway of the Site to take the session in.
    /// Ends as soon as something is heard again, or something else is to be done.
    pub(super) async fn look_around(&self, silent: &SharedCarrier, silence: &mut Silence) -> Around {
        if self.hub.dialers.is_refused(silent.remote_address()).await {
            return Around::Gone;
        }
        let Order::Serve(grant) = self.orders.borrow().clone() else { return Around::Stay };
        let other = choose(&grant.gateways, self.avoid, |total| rand::random_range(0..total));
        let Some(other) = other.filter(|other| Some(other.appliance) != self.avoid) else { return Around::Stay };
        let mut orders = self.orders.clone();
        tokio::select! {
            biased;
            () = silence.over(silent) => Around::Stay,
            _ = silent.closed() => Around::Stay,
            _ = orders.changed() => Around::Stay,
            connected = self.connect(&grant, other) => match connected {
                Ok(newer) if silence.lasts(silent) => Around::Moved(newer, other.clone()),
                Ok(newer) => {
                    newer.carrier.close(close_code::DONE, "not needed");
                    Around::Stay
                }
                Err(end) => {
                    let reason = reason(&end);
                    tracing::debug!(gateway = %other.appliance, reason, "Another gateway did not take the session in");
                    Around::Stay
                }
            },
        }
    }
}

fn reason(end: &End) -> &str {
    match end {
        End::Done => "it is not wanted any more",
        End::Lost(reason) => reason,
        End::Refused(refusal) | End::Ended(refusal) => &refusal.message,
    }
}
