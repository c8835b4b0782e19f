//! What is said to a gateway, and what its words and its silence mean.

use std::time::Duration;

use protocol::{
    carrier::{Closed, SendHalf},
    frame,
    message::{ControlUp, Present, Refusal, Remedies, close_code},
};

use super::{End, Live};
use crate::{
    link::Grant,
    status::{RemedyStatus, SiteStatus, UnmetCondition},
};

/// Shows tokens.
pub(super) async fn present(control: &mut dyn SendHalf, grant: &Grant) -> Result<(), String> {
    let message = ControlUp::Present(Present {
        claims: grant.claims.clone(),
        device_claims: grant.device_claims.clone(),
        entitlement: grant.entitlement.clone(),
    });
    match tokio::time::timeout(WRITE, frame::write_frame(control, &message)).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(_) => Err("the gateway takes no more".to_owned()),
    }
}

/// Says that the user is done and waits a moment for the gateway to end the connection; closing it here would drop what
/// was said.
pub(super) async fn say_goodbye(mut live: Live) {
    let said = async {
        frame::write_frame(&mut live.control, &ControlUp::SignOut).await?;
        live.control.finish();
        live.carrier.closed().await;
        Ok::<(), frame::FrameError>(())
    };
    // A gateway that does not listen learns from the closed connection.
    let _ = tokio::time::timeout(GRACE, said).await;
    live.carrier.close(close_code::DONE, "signed out");
}

/// Why a connection is no more, from how it was closed.
pub(super) fn end_of(closed: &Closed) -> End {
    match closed.code {
        Some(close_code::SESSION_ENDED | close_code::CUT) => End::Ended(Refusal {
            code: "session.ended".to_owned(),
            message: if closed.reason.is_empty() {
                "the gateway ended the session".to_owned()
            } else {
                closed.reason.clone()
            },
            retry_after_secs: None,
        }),
        Some(_) | None => End::Lost(closed.reason.clone()),
    }
}

/// Notes how a condition stands; `None` when it holds.
pub(super) fn set_unmet(site: &mut SiteStatus, condition: &str, now: Option<UnmetCondition>) {
    site.unmet.retain(|unmet| unmet.condition != condition);
    site.unmet.extend(now);
}

/// A condition that is false, as the gateway tells it.
pub(super) fn unmet(condition: &str, message: &str, remedies: Remedies) -> UnmetCondition {
    let offers = remedies.offers.into_iter();
    UnmetCondition {
        condition: condition.to_owned(),
        message: message.to_owned(),
        remedies: offers.map(|offer| RemedyStatus { offer, answered: false }).collect(),
        any: remedies.any,
        advice: None,
    }
}

const WRITE: Duration = Duration::from_secs(10);
pub(super) const GRACE: Duration = Duration::from_millis(500);
