//! Setting up one-time codes, when the user is about to answer a condition that asks for one.

use protocol::message::{Refusal, RemedyKind};
use zeroize::Zeroizing;

use super::{Manager, refusal};
use crate::session::ends_sign_in;

impl Manager {
    /// What the user's app is to know, when it knows nothing yet. It is told to whoever asked and to nobody else.
    pub(super) async fn enrol(
        &mut self,
        condition: &str,
        number: Option<usize>,
    ) -> Result<Option<Zeroizing<String>>, Refusal> {
        let status = self.hub.board.snapshot();
        let offer = status.unmet(condition).and_then(|unmet| unmet.next(number));
        let Some(offer) = offer.filter(|offer| offer.kind == RemedyKind::Code) else {
            let message =
                format!("`{condition}` asks for no one-time code now; `portcullis client status` shows what it asks");
            return Err(refusal("client.no-code-asked", message));
        };
        let outcome = self.session.prepare(&self.hub, offer).await;
        if let Some(refused) = outcome.as_ref().err().filter(|refused| ends_sign_in(refused)) {
            self.ask_password(refused.message.clone(), None);
        }
        outcome
    }
}
