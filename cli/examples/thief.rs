//! A thief with stolen tokens. It signs two users in, presents the first user's tokens on the connection of the first,
//! where they are taken, and then on the connection of the second, which was made with another session key.
//!
//! `thief PROFILE-FILE VICTIM PASSWORD-FILE OTHER PASSWORD-FILE` prints what the gateway said, as JSON. The demo runs
//! it; the product has no such command.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::Profile;
use engine::id::DeviceId;
use protocol::{
    carrier::SharedCarrier,
    frame::{MAX_TOKENS_MESSAGE, read_frame, write_frame},
    message::{
        Answer, Authenticate, Authenticated, Authorized, ControlDown, ControlUp, ControllerRequest, Done,
        GatewayRequest, Present, SignedToken, SiteGrant, close_code,
    },
    quic::{CONTROLLER_ALPN, Dialer, GATEWAY_ALPN, Limits},
    tls::{CONTROLLER_NAME, Identity, client_config, gateway_name},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde_json::{Map, json};
use uuid::Uuid;
use zeroize::Zeroizing;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [profile, victim, victim_password, other, other_password] = arguments.as_slice() else {
        bail!("usage: thief PROFILE-FILE VICTIM PASSWORD-FILE OTHER PASSWORD-FILE");
    };
    let profile: Profile = read_line(profile)?.parse()?;
    let dialer = Dialer::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
    let victim = SignedIn::new(&dialer, &profile, victim, &read_line(victim_password)?).await?;
    let other = SignedIn::new(&dialer, &profile, other, &read_line(other_password)?).await?;
    let own = victim.present(&dialer, &profile, &victim).await?;
    let stolen = other.present(&dialer, &profile, &victim).await?;
    println!("{}", json!({ "ownConnection": verdict(&own), "stolen": refusal(&stolen) }));
    for user in [&victim, &other] {
        let request = ControllerRequest::SignOut { claims_token: user.claims.clone() };
        ask::<Done>(&user.controller, request).await.context("cannot sign out")?;
        user.controller.close(close_code::DONE, "done");
    }
    dialer.wait_idle().await;
    Ok(())
}

/// A user with a session key, and the tokens bound to it.
struct SignedIn {
    identity: Identity,
    controller: SharedCarrier,
    claims: String,
    device_claims: String,
    grant: SiteGrant,
}

impl SignedIn {
    async fn new(dialer: &Dialer, profile: &Profile, username: &str, password: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let csr = CertificateParams::default().serialize_request(&key)?;
        let anonymous = connect_controller(dialer, profile, None).await?;
        let request = ControllerRequest::Authenticate(Authenticate {
            provider: profile.provider.clone(),
            username: username.to_owned(),
            password: password.to_owned(),
            device: DeviceId::new(Uuid::new_v4()),
            csr: STANDARD.encode(csr.der()),
            hostname: None,
        });
        let authenticated: Authenticated = ask(&anonymous, request).await.context("cannot sign in")?;
        anonymous.close(close_code::DONE, "done");
        let certificate = CertificateDer::from(STANDARD.decode(&authenticated.certificate)?);
        let identity = Identity { certificate, key: Zeroizing::new(key.serialize_der()) };
        let controller = connect_controller(dialer, profile, Some(&identity)).await?;
        let claims = authenticated.claims.token;
        let request = ControllerRequest::ReportDevice { claims_token: claims.clone(), device: Map::new() };
        let device: SignedToken = ask(&controller, request).await.context("cannot report the device")?;
        let request = ControllerRequest::Authorize {
            claims_token: claims.clone(),
            device_claims_token: Some(device.token.clone()),
        };
        let authorized: Authorized = ask(&controller, request).await.context("cannot be authorized")?;
        let grant = authorized.sites.into_iter().next().context("nothing is granted")?;
        Ok(Self { identity, controller, claims, device_claims: device.token, grant })
    }

    /// Presents somebody's tokens on a connection made with this user's session key.
    async fn present(&self, dialer: &Dialer, profile: &Profile, tokens: &Self) -> anyhow::Result<ControlDown> {
        let gateway = tokens.grant.gateways.first().context("the Site has no gateway")?;
        let tls = client_config(profile.ca_fingerprint, Some(&self.identity), GATEWAY_ALPN)?;
        let address = resolve(&format!("{}:{}", gateway.host, gateway.port)).await?;
        let carrier = dialer.dial(address, &gateway_name(gateway.appliance), tls, Limits::default()).await?;
        let mut control = carrier.open().await?;
        write_frame(&mut control.send, &GatewayRequest::Control).await?;
        let present = Present {
            claims: tokens.claims.clone(),
            device_claims: Some(tokens.device_claims.clone()),
            entitlement: tokens.grant.entitlement.token.clone(),
        };
        write_frame(&mut control.send, &ControlUp::Present(present)).await?;
        let answer = tokio::time::timeout(ANSWER, read_frame(&mut control.receive, MAX_TOKENS_MESSAGE)).await;
        carrier.close(close_code::DONE, "done");
        answer.context("the gateway gave no answer in time")?.context("the gateway gave no answer")
    }
}

async fn connect_controller(
    dialer: &Dialer,
    profile: &Profile,
    identity: Option<&Identity>,
) -> anyhow::Result<SharedCarrier> {
    let controller = profile.controllers.first().context("the profile names no controller")?;
    let tls = client_config(profile.ca_fingerprint, identity, CONTROLLER_ALPN)?;
    Ok(dialer.dial(resolve(controller).await?, CONTROLLER_NAME, tls, Limits::default()).await?)
}

async fn ask<T: DeserializeOwned>(controller: &SharedCarrier, request: ControllerRequest) -> anyhow::Result<T> {
    let mut stream = controller.open().await?;
    write_frame(&mut stream.send, &request).await?;
    stream.send.finish();
    match read_frame(&mut stream.receive, MAX_TOKENS_MESSAGE).await? {
        Answer::Ok(answer) => Ok(answer),
        Answer::Refused(refusal) => bail!("{} ({})", refusal.message, refusal.code),
    }
}

async fn resolve(endpoint: &str) -> anyhow::Result<SocketAddr> {
    tokio::net::lookup_host(endpoint).await?.next().with_context(|| format!("`{endpoint}` has no address"))
}

fn read_line(path: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn verdict(answer: &ControlDown) -> &'static str {
    match answer {
        ControlDown::Admitted { .. } => "admitted",
        ControlDown::Refused(_) => "refused",
        _ => "unclear",
    }
}

fn refusal(answer: &ControlDown) -> serde_json::Value {
    match answer {
        ControlDown::Refused(refusal) => json!({ "code": refusal.code, "message": refusal.message }),
        other => json!({ "unexpected": verdict(other) }),
    }
}

const ANSWER: Duration = Duration::from_secs(10);
