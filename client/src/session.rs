//! A signed-in session: the key made for it, its certificate, its tokens, and how they are renewed (design 3, D 2, D 6.3).
//!
//! Key and tokens live in memory only. Nothing here prints them: none of these types has `Debug`.

mod prepare;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{dn::DistinguishedName, id::DeviceId, token::TokenKind};
use protocol::{
    message::{
        Authenticate, Authenticated, Authorized, ControllerRequest, DeviceScriptFile, Done, Refusal, RemedyAnswer,
        RemedyOffer, Renewed, SignedToken, SiteGrant,
    },
    quic::{CONTROLLER_ALPN, GATEWAY_ALPN},
    tls::{Identity, client_config},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    clock::{Life, Moment},
    controller::{Controller, RequestError},
    device,
    err::ClientError,
    event::ClientEvent,
    hub::Hub,
    status::TokenStatus,
    survey::{Failure, Survey, Surveyor},
};

/// A signed-in session.
pub(crate) struct Session {
    pub(crate) name: DistinguishedName,
    pub(crate) message_of_the_day: Option<String>,
    pub(crate) gateway_tls: rustls::ClientConfig,
    controller_tls: rustls::ClientConfig,
    claims: Held,
    device: Option<Held>,
    /// Device claims as reported last.
    device_claims: Map<String, Value>,
    surveyor: Surveyor,
    found: Survey,
    pub(crate) sites: Vec<(SiteGrant, Held)>,
    pub(crate) policies: Vec<String>,
    /// When the absolute life of the sign-in ends, by the controller's clock, in seconds since 1970.
    sign_in_ends: i64,
    sign_in: Life,
}

/// A token and how long it lives from when it came.
#[derive(Clone)]
pub(crate) struct Held {
    token: SignedToken,
    life: Life,
}

/// How a renewal went, when it was not done.
#[derive(Debug)]
pub(crate) enum Setback {
    /// The user must authenticate again.
    SignIn(Refusal),
    /// Signed in as before, and allowed nothing.
    NothingGranted(String),
    /// Worth another try; tokens at hand stay in use.
    Later { code: String, message: String, after: Option<Duration> },
}

/// What is due next, and in how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tokens are to be renewed.
    Renew(Duration),
    /// The sign-in reaches its longest life; the user is to authenticate again.
    SignIn(Duration),
}

impl Session {
    /// Signs in, reports the device and asks what may be done.
    pub(crate) async fn sign_in(hub: &Hub, device: DeviceId, password: Zeroizing<String>) -> Result<Self, ClientError> {
        let (authenticated, key) = authenticate(hub, device, password).await?;
        let (controller_tls, gateway_tls) = settings(hub, &authenticated.certificate, key)?;
        let now = Moment::now();
        let sign_in = Life::new(now, authenticated.claims.issued, authenticated.sign_in_ends);
        let claims = Held::new(authenticated.claims, now);
        if claims.expires() <= now.wall {
            return Err(ClientError::Clock);
        }
        let mut session = Self {
            name: authenticated.name,
            message_of_the_day: authenticated.message_of_the_day,
            gateway_tls,
            controller_tls,
            claims,
            device: None,
            device_claims: Map::new(),
            surveyor: hub.surveyor.clone(),
            found: Survey::default(),
            sites: Vec::new(),
            policies: Vec::new(),
            sign_in_ends: authenticated.sign_in_ends,
            sign_in,
        };
        let controller = Controller::connect(hub, &session.controller_tls).await?;
        session.surveyor.update(authenticated.on_demand);
        session.look_again(hub, &controller).await;
        let outcome = session.fetch_grants(hub, &controller).await;
        match outcome {
            Ok(()) => Ok(session),
            Err(GrantError::Client(error)) => Err(error),
            Err(GrantError::Nothing(message)) => {
                // A session that may do nothing is not left behind; if this fails it expires.
                let _ =
                    controller.ask::<Done>(ControllerRequest::SignOut { claims_token: session.claims.text() }).await;
                Err(ClientError::NothingGranted(message))
            }
        }
    }

    /// New tokens for the same sign-in; on a setback those at hand are kept, as far as they were not replaced.
    pub(crate) async fn renew(&mut self, hub: &Hub) -> Result<(), Setback> {
        let controller =
            Controller::connect(hub, &self.controller_tls).await.map_err(|error| Setback::later(&error))?;
        let request = ControllerRequest::RenewClaims { claims_token: self.claims.text() };
        let renewed: Renewed = match controller.ask(request).await {
            Ok(renewed) => renewed,
            Err(RequestError::Refused(refusal)) => return Err(Setback::of_refusal(refusal)),
            Err(error) => return Err(Setback::later(&controller.explain(hub, error))),
        };
        self.claims = Held::new(renewed.claims, Moment::now());
        if self.surveyor.update(renewed.on_demand) || !self.surveyor.missing().is_empty() {
            self.look_again(hub, &controller).await;
        }
        match self.fetch_grants(hub, &controller).await {
            Ok(()) => Ok(()),
            Err(GrantError::Nothing(message)) => {
                self.sites.clear();
                Err(Setback::NothingGranted(message))
            }
            Err(GrantError::Client(ClientError::Refused(refusal))) if ends_sign_in(&refusal) => {
                Err(Setback::of_refusal(refusal))
            }
            Err(GrantError::Client(error)) => Err(Setback::later(&error)),
        }
    }

    /// Answers what a condition asks for; the claims token that remembers it takes the place of the one at hand.
    pub(crate) async fn answer(&mut self, hub: &Hub, offer: &RemedyOffer, text: &str) -> Result<(), Refusal> {
        let unreachable = |error: ClientError| unchecked(&error);
        let controller = Controller::connect(hub, &self.controller_tls).await.map_err(unreachable)?;
        let request = ControllerRequest::AnswerRemedy(RemedyAnswer {
            claims_token: self.claims.text(),
            condition: offer.condition,
            place: offer.place,
            answer: text.to_owned(),
        });
        match controller.ask(request).await {
            Ok(token) => {
                self.claims = Held::new(token, Moment::now());
                Ok(())
            }
            Err(RequestError::Refused(refusal)) => Err(refusal),
            Err(error) => Err(unreachable(controller.explain(hub, error))),
        }
    }

    /// Tells the controller that the user is done.
    pub(crate) async fn sign_out(&self, hub: &Hub) -> Result<(), ClientError> {
        let controller = Controller::connect(hub, &self.controller_tls).await?;
        let request = ControllerRequest::SignOut { claims_token: self.claims.text() };
        controller.ask::<Done>(request).await.map(|_| ()).map_err(|error| controller.explain(hub, error))
    }

    /// The claims token and the countersigned device claims.
    pub(crate) fn presented(&self) -> (String, Option<String>) {
        (self.claims.text(), self.device.as_ref().map(Held::text))
    }

    /// What finds out about the device.
    pub(crate) fn surveyor(&self) -> &Surveyor {
        &self.surveyor
    }

    /// Takes in what was found out about the device; answers all device claims as of now, or nothing when the list has
    /// changed meanwhile.
    pub(crate) fn take_survey(&mut self, hub: &Hub, found: Survey) -> Option<Map<String, Value>> {
        if !self.surveyor.is_current(&found) {
            return None;
        }
        for row in &found.rows {
            let Some(message) = &row.problem else { continue };
            let known =
                self.found.rows.iter().any(|old| old.claim == row.claim && old.problem.as_ref() == Some(message));
            if !known {
                tracing::warn!(claim = row.claim, problem = message, "Device claim has no value");
                let (claim, subject, message) = (row.claim.clone(), row.subject.clone(), message.clone());
                hub.tell(ClientEvent::DeviceClaimMissing { claim, subject, message });
            }
        }
        self.found = found;
        Some(self.found.claims())
    }

    /// Device claims as reported last.
    pub(crate) fn reported(&self) -> &Map<String, Value> {
        &self.device_claims
    }

    /// What was found out on demand.
    pub(crate) fn found(&self) -> &Survey {
        &self.found
    }

    /// Fetches the scripts that are not here yet and runs everything. A script that cannot be had costs its claim only.
    async fn look_again(&mut self, hub: &Hub, controller: &Controller) {
        for checksum in self.surveyor.missing() {
            let (claims_token, sha256) = (self.claims.text(), checksum.to_string());
            let answer = controller.ask(ControllerRequest::DownloadDeviceScript { claims_token, sha256 }).await;
            let lost = matches!(answer, Err(RequestError::Lost(_)));
            let file = match answer {
                Ok(DeviceScriptFile { file }) => {
                    STANDARD.decode(file).map_err(|error| Failure::NotFetched(error.to_string()))
                }
                Err(error) => Err(Failure::NotFetched(controller.explain(hub, error).to_string())),
            };
            self.surveyor.fetched(checksum, file);
            if lost {
                break;
            }
        }
        let found = self.surveyor.survey().await;
        self.take_survey(hub, found);
    }

    /// What is due next.
    pub(crate) fn due(&self, now: Moment) -> Due {
        let renew = self.held().map(|held| held.renew_in(now)).min().unwrap_or_default();
        let claims_last = self.claims.token.expires >= self.sign_in_ends;
        let sign_in = self.sign_in.left(now).saturating_sub(self.claims.life.window());
        if claims_last && sign_in <= renew { Due::SignIn(sign_in) } else { Due::Renew(renew) }
    }

    /// When the first token ends, by this computer's clock.
    pub(crate) fn valid_until(&self, now: Moment) -> OffsetDateTime {
        let left = self.held().map(|held| held.life.left(now)).min().unwrap_or_default();
        now.wall + left
    }

    /// When the sign-in reaches its longest life, by this computer's clock.
    pub(crate) fn sign_in_ends(&self, now: Moment) -> OffsetDateTime {
        now.wall + self.sign_in.left(now)
    }

    pub(crate) fn token_status(&self) -> Vec<TokenStatus> {
        let row = |kind: TokenKind, site: Option<&str>, held: &Held| TokenStatus {
            kind: kind.api_name().to_owned(),
            site: site.map(str::to_owned),
            id: held.token.id,
            expires: held.expires(),
        };
        let claims = std::iter::once(row(TokenKind::Claims, None, &self.claims));
        let device = self.device.iter().map(|held| row(TokenKind::DeviceClaims, None, held));
        let sites = self.sites.iter().map(|(grant, held)| row(TokenKind::Entitlement, Some(&grant.name), held));
        claims.chain(device).chain(sites).collect()
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        std::iter::once(&self.claims).chain(&self.device).chain(self.sites.iter().map(|(_, held)| held))
    }

    async fn fetch_grants(&mut self, hub: &Hub, controller: &Controller) -> Result<(), GrantError> {
        let explain = |error| GrantError::Client(controller.explain(hub, error));
        let device = self.found.claims();
        let request = ControllerRequest::ReportDevice { claims_token: self.claims.text(), device: device.clone() };
        let token: SignedToken = controller.ask(request).await.map_err(explain)?;
        self.device = Some(Held::new(token, Moment::now()));
        self.device_claims = device;
        let (claims_token, device_claims_token) = self.presented();
        let authorized: Authorized =
            match controller.ask(ControllerRequest::Authorize { claims_token, device_claims_token }).await {
                Ok(authorized) => authorized,
                Err(RequestError::Refused(refusal)) if denies(&refusal) => {
                    return Err(GrantError::Nothing(refusal.message));
                }
                Err(error) => return Err(explain(error)),
            };
        if authorized.sites.is_empty() {
            return Err(GrantError::Nothing(NOTHING_GRANTED.to_owned()));
        }
        let received = Moment::now();
        let held = |grant: SiteGrant| {
            let held = Held::new(grant.entitlement.clone(), received);
            (grant, held)
        };
        self.sites = authorized.sites.into_iter().map(held).collect();
        self.policies = authorized.policies;
        Ok(())
    }
}

impl Held {
    fn new(token: SignedToken, received: Moment) -> Self {
        let life = Life::new(received, token.issued, token.expires);
        Self { token, life }
    }

    fn text(&self) -> String {
        self.token.token.clone()
    }

    fn expires(&self) -> OffsetDateTime {
        timestamp(self.token.expires)
    }

    /// In how long it is to be renewed.
    fn renew_in(&self, now: Moment) -> Duration {
        self.life.left(now).saturating_sub(self.life.window())
    }
}

impl Setback {
    fn later(error: &ClientError) -> Self {
        Self::Later { code: error.code().to_owned(), message: error.to_string(), after: None }
    }

    /// A refusal that names a time is a delay; any other one means that these tokens bring nothing any more.
    fn of_refusal(refusal: Refusal) -> Self {
        match refusal.retry_after_secs {
            Some(secs) => {
                Self::Later { code: refusal.code, message: refusal.message, after: Some(Duration::from_secs(secs)) }
            }
            None => Self::SignIn(refusal),
        }
    }
}

enum GrantError {
    Client(ClientError),
    Nothing(String),
}

/// Whether an authorization was refused for what the user may do, and not for the tokens or the moment.
fn denies(refusal: &Refusal) -> bool {
    refusal.retry_after_secs.is_none() && !ends_sign_in(refusal)
}

/// What is told about an answer that no controller could be asked about.
fn unchecked(error: &ClientError) -> Refusal {
    Refusal {
        code: error.code().to_owned(),
        message: format!("your answer could not be checked, what waits goes on waiting: {error}"),
        retry_after_secs: None,
    }
}

/// Whether the controller does not believe the session itself any more.
pub(crate) fn ends_sign_in(refusal: &Refusal) -> bool {
    ["token.", "certificate.", "sign-in."].iter().any(|prefix| refusal.code.starts_with(prefix))
}

async fn authenticate(
    hub: &Hub,
    device: DeviceId,
    password: Zeroizing<String>,
) -> Result<(Authenticated, KeyPair), ClientError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(ClientError::Key)?;
    let csr = CertificateParams::default().serialize_request(&key).map_err(ClientError::Key)?;
    let tls = client_config(hub.profile.ca_fingerprint, None, CONTROLLER_ALPN).map_err(ClientError::Certificate)?;
    let controller = Controller::connect(hub, &tls).await?;
    let request = ControllerRequest::Authenticate(Authenticate {
        provider: hub.profile.provider.clone(),
        username: hub.username.clone(),
        password: password.as_str().to_owned(),
        device,
        csr: STANDARD.encode(csr.der()),
        hostname: device::hostname(),
    });
    drop(password);
    match controller.ask(request).await {
        Ok(authenticated) => Ok((authenticated, key)),
        Err(RequestError::Refused(refusal)) => Err(ClientError::of_sign_in(refusal)),
        Err(error) => Err(controller.explain(hub, error)),
    }
}

fn settings(
    hub: &Hub,
    certificate: &str,
    key: KeyPair,
) -> Result<(rustls::ClientConfig, rustls::ClientConfig), ClientError> {
    let der = STANDARD.decode(certificate).map_err(|error| ClientError::Protocol {
        controller: hub.profile.controllers.join(", "),
        detail: error.to_string(),
    })?;
    let identity = Identity { certificate: CertificateDer::from(der), key: Zeroizing::new(key.serialize_der()) };
    let pin = hub.profile.ca_fingerprint;
    let controller = client_config(pin, Some(&identity), CONTROLLER_ALPN).map_err(ClientError::Certificate)?;
    let gateway = client_config(pin, Some(&identity), GATEWAY_ALPN).map_err(ClientError::Certificate)?;
    Ok((controller, gateway))
}

/// A time on the wire; one that no calendar holds has passed.
pub(crate) fn timestamp(secs: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(secs).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

const NOTHING_GRANTED: &str = "no policy gives you access to anything; ask your administrator which policy should";

#[cfg(test)]
mod tests {
    use engine::id::TokenId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn tokens_are_renewed_five_minutes_or_a_third_of_their_life_before_their_end() {
        let now = Moment::now();
        let renew_in = |issued, expires| {
            let token = SignedToken { id: TokenId::new(Uuid::nil()), token: String::new(), issued, expires };
            Held::new(token, now).renew_in(now).as_secs()
        };
        assert_eq!(renew_in(0, 86_400), 86_400 - 300);
        assert_eq!(renew_in(0, 600), 400);
        assert_eq!(renew_in(100, 50), 0);
    }

    #[test]
    fn a_refusal_with_a_time_is_a_delay_and_any_other_means_sign_in() {
        let refusal = |retry_after_secs| Refusal {
            code: "token.refused".to_owned(),
            message: "sign in again".to_owned(),
            retry_after_secs,
        };
        assert!(matches!(Setback::of_refusal(refusal(None)), Setback::SignIn(_)));
        assert!(matches!(Setback::of_refusal(refusal(Some(3))), Setback::Later { after: Some(_), .. }));
    }
}
