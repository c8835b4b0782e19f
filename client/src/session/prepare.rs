//! Finding out what the user must have before a condition can be answered.

use protocol::message::{ControllerRequest, Refusal, RemedyNeed, RemedyOffer, RemedyQuestion};
use zeroize::Zeroizing;

use super::{Session, unchecked};
use crate::{
    controller::{Controller, RequestError},
    hub::Hub,
};

impl Session {
    /// The URI of a new secret, when the user's app knows none yet. It comes from a controller and goes through no gateway.
    pub(crate) async fn prepare(&self, hub: &Hub, offer: &RemedyOffer) -> Result<Option<Zeroizing<String>>, Refusal> {
        let controller = Controller::connect(hub, &self.controller_tls).await.map_err(|error| unchecked(&error))?;
        let claims_token = self.claims.text();
        let question = RemedyQuestion { claims_token, condition: offer.condition, place: offer.place };
        match controller.ask(ControllerRequest::PrepareRemedy(question)).await {
            Ok(RemedyNeed::Answer) => Ok(None),
            Ok(RemedyNeed::Enrol { uri }) => Ok(Some(Zeroizing::new(uri))),
            Err(RequestError::Refused(refusal)) => Err(refusal),
            Err(error) => Err(unchecked(&controller.explain(hub, error))),
        }
    }
}
