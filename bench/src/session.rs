//! A client session at the level of the wire, so that what is measured is the server.

use std::{fmt, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::DeviceId;
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_TOKENS_MESSAGE, read_frame, write_frame},
    message::{
        Answer, Authenticate, Authenticated, Authorized, ControlDown, ControlUp, ControllerRequest, FlowAnswer,
        GatewayRequest, Present, Refusal, Renewed, SiteGrant, TargetHost, Transport,
    },
    quic::{CONTROLLER_ALPN, Dialer, GATEWAY_ALPN, Limits},
    tls::{self, AuthorityPin, CONTROLLER_NAME, Identity},
};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Where and how sessions are made.
#[derive(Clone)]
pub struct Door {
    /// Dials everything.
    pub dialer: Dialer,
    /// The controller's client port.
    pub controller: SocketAddr,
    /// The collective's authority.
    pub pin: AuthorityPin,
}

/// What the controller said no with.
#[derive(Debug)]
pub struct Refused(pub Refusal);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "controller refused: {} ({})", self.0.code, self.0.message)
    }
}

impl std::error::Error for Refused {}

/// A signed-in session with its connection to the controller.
pub struct Session {
    door: Door,
    identity: Identity,
    carrier: SharedCarrier,
    /// The claims token.
    pub claims: String,
}

/// A live connection to a gateway. The control stream stays open for as long as this lives.
pub struct Tunnel {
    /// The connection.
    pub carrier: SharedCarrier,
    _control: Stream,
}

impl Door {
    /// Signs in with a password, on a connection of its own as a real client does.
    pub async fn sign_in(&self, username: &str, password: &str, device: u128) -> Result<Session> {
        let key = rcgen::KeyPair::generate()?;
        let csr = rcgen::CertificateParams::default().serialize_request(&key)?;
        let request = ControllerRequest::Authenticate(Authenticate {
            provider: "local".to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            device: DeviceId::new(uuid::Uuid::from_u128(device)),
            csr: STANDARD.encode(csr.der()),
            hostname: Some("bench".to_owned()),
        });
        let anonymous = self.dial_controller(None).await?;
        let answer: Authenticated = ask(&anonymous, &request).await?;
        anonymous.close(0, "done");
        let certificate = STANDARD.decode(&answer.certificate)?.into();
        let identity = Identity { certificate, key: Zeroizing::new(key.serialize_der()) };
        let carrier = self.dial_controller(Some(&identity)).await?;
        Ok(Session { door: self.clone(), identity, carrier, claims: answer.claims.token })
    }

    async fn dial_controller(&self, identity: Option<&Identity>) -> Result<SharedCarrier> {
        let tls = tls::client_config(self.pin, identity, CONTROLLER_ALPN)?;
        Ok(self.dialer.dial(self.controller, CONTROLLER_NAME, tls, limits()).await?)
    }
}

impl Session {
    /// Asks what the session may do; the answer's tokens are durable.
    pub async fn authorize(&self) -> Result<Authorized> {
        let request = ControllerRequest::Authorize { claims_token: self.claims.clone(), device_claims_token: None };
        ask(&self.carrier, &request).await
    }

    /// Renews the claims token.
    pub async fn renew(&mut self) -> Result<()> {
        let request = ControllerRequest::RenewClaims { claims_token: self.claims.clone() };
        let renewed: Renewed = ask(&self.carrier, &request).await?;
        self.claims = renewed.claims.token;
        Ok(())
    }

    /// Authorizes and connects to the first gateway of the first Site.
    pub async fn connect(&self) -> Result<Tunnel> {
        let authorized = self.authorize().await?;
        let site = authorized.sites.first().context("nothing was granted")?;
        self.connect_to(site).await
    }

    async fn connect_to(&self, site: &SiteGrant) -> Result<Tunnel> {
        let gateway = site.gateways.first().context("the Site has no gateway")?;
        let address = SocketAddr::new(gateway.host.parse()?, gateway.port);
        let tls = tls::client_config(self.door.pin, Some(&self.identity), GATEWAY_ALPN)?;
        let carrier = self.door.dialer.dial(address, &tls::gateway_name(gateway.appliance), tls, limits()).await?;
        let mut control = carrier.open().await?;
        write_frame(&mut control.send, &GatewayRequest::Control).await?;
        let present =
            Present { claims: self.claims.clone(), device_claims: None, entitlement: site.entitlement.token.clone() };
        write_frame(&mut control.send, &ControlUp::Present(present)).await?;
        match read_frame::<ControlDown, _>(&mut control.receive, MAX_TOKENS_MESSAGE).await? {
            ControlDown::Admitted { .. } => Ok(Tunnel { carrier, _control: control }),
            other => bail!("gateway answered {other:?}"),
        }
    }
}

impl Tunnel {
    /// Opens a TCP flow and waits until it is open.
    pub async fn open(&self, to: SocketAddr) -> Result<Stream> {
        let mut stream = self.carrier.open().await?;
        let request =
            GatewayRequest::Open { transport: Transport::Tcp, host: TargetHost::Address(to.ip()), port: to.port() };
        write_frame(&mut stream.send, &request).await?;
        loop {
            match read_frame::<FlowAnswer, _>(&mut stream.receive, MAX_TOKENS_MESSAGE).await? {
                FlowAnswer::Open => return Ok(stream),
                FlowAnswer::Held { .. } => {}
                FlowAnswer::Denied(refusal) => bail!("flow was denied: {}", refusal.code),
            }
        }
    }
}

async fn ask<T: DeserializeOwned>(carrier: &SharedCarrier, request: &ControllerRequest) -> Result<T> {
    let mut stream = carrier.open().await?;
    write_frame(&mut stream.send, request).await?;
    stream.send.finish();
    match read_frame::<Answer<T>, _>(&mut stream.receive, MAX_TOKENS_MESSAGE).await? {
        Answer::Ok(answer) => Ok(answer),
        Answer::Refused(refusal) => Err(Refused(refusal).into()),
    }
}

fn limits() -> Limits {
    Limits { idle: Duration::from_secs(60), keep_alive: Duration::from_secs(20), ..Limits::default() }
}
