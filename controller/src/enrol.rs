//! How a gateway becomes a member: an administrator exports a seed, the gateway shows the seed's secret once and gets its
//! certificate, and is from then on held to that certificate and the address it came from (design 5).
//!
//! Of the secret only its SHA-256 is kept. An appliance that is enrolled gets no new seed; it must be deleted and made
//! again, so that a stolen admin session cannot quietly replace a running gateway.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::ApplianceId;
use protocol::{
    message::{Enrol, Enrolled, Refusal},
    object::ObjectKind,
};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    appliance::Gateway,
    audit::Record,
    authority::AuthorityError,
    refusal,
    state::Controller,
    store::{AuditEvent, Enrolment, Op, StoreError, Transaction},
};

/// What a gateway needs to become a member. Has no `Debug`: it holds the secret.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seed {
    /// The collective.
    pub collective_id: Uuid,
    /// `host:port` of the controllers.
    pub controllers: Vec<String>,
    /// SHA-256 of the authority's certificate, in hex.
    pub ca_fingerprint: String,
    /// The appliance the seed is for.
    pub appliance_id: ApplianceId,
    /// The one-time secret.
    pub secret: String,
    /// Until when it can be used, in RFC 3339.
    pub expires: String,
}

impl Seed {
    /// The seed as one line: its JSON in base64.
    ///
    /// # Errors
    /// Never with values of this type.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_vec(self).map(|json| STANDARD.encode(json))
    }
}

/// Why a seed was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is no such appliance.
    #[error("appliance `{0}` does not exist")]
    Missing(ApplianceId),
    /// The appliance is no enabled gateway of a Site.
    #[error("the appliance is no gateway; enable its gateway function and give it a Site first")]
    NoGateway,
    /// The appliance is a member already.
    #[error("the appliance is enrolled already; delete it and make it again to enrol another machine")]
    Enrolled,
    /// The system gave no random bytes or no sensible time.
    #[error("a secret could not be made")]
    Secret,
    /// The store failed.
    #[error("the seed could not be recorded")]
    Store(#[from] StoreError),
}

impl ExportError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "seed.missing",
            Self::NoGateway => "seed.no-gateway",
            Self::Enrolled => "seed.enrolled",
            Self::Secret => "seed.secret",
            Self::Store(error) => error.code(),
        }
    }
}

/// One enrolment at a time, so that a secret is used once.
#[derive(Default)]
pub(crate) struct Enrolments {
    turn: tokio::sync::Mutex<()>,
}

/// Makes a seed; an earlier one of the same appliance is void. `record` tells in the audit log who asked, in the same
/// transaction.
///
/// # Errors
/// When the appliance is no gateway or is enrolled already.
pub async fn export_seed(c: &Controller, appliance: ApplianceId, record: AuditEvent) -> Result<Seed, ExportError> {
    let config = c.config.current();
    let object = config.object(ObjectKind::Appliance, appliance.uuid()).ok_or(ExportError::Missing(appliance))?;
    if !Gateway::of(object).is_some_and(|gateway| gateway.enabled) {
        return Err(ExportError::NoGateway);
    }
    let _turn = c.enrolments.turn.lock().await;
    if let Some(Enrolment::Enrolled { .. }) = c.store.enrolment(appliance).await? {
        return Err(ExportError::Enrolled);
    }
    let mut secret = [0_u8; SECRET_BYTES];
    SystemRandom::new().fill(&mut secret).map_err(|_| ExportError::Secret)?;
    let expires = c.now() + c.settings.seed_life;
    let enrolment = Enrolment::Seeded { secret_sha256: sha256(&secret), expires };
    let ops = vec![Op::PutEnrolment { appliance, enrolment }];
    c.store.transact(Transaction { ops, audit: vec![record] }).await?;
    Ok(Seed {
        collective_id: c.store.collective(),
        controllers: c.settings.controller_addresses(),
        ca_fingerprint: c.authority.pin().to_string(),
        appliance_id: appliance,
        secret: STANDARD.encode(secret),
        expires: expires.format(&Rfc3339).map_err(|_| ExportError::Secret)?,
    })
}

/// Makes a gateway a member.
pub(crate) async fn enrol(c: &Controller, request: &Enrol, address: IpAddr) -> Result<Enrolled, Refusal> {
    let _turn = c.enrolments.turn.lock().await;
    let now = c.now();
    let config = c.config.current();
    let object = config.object(ObjectKind::Appliance, request.appliance.uuid());
    let enrolment = c.store.enrolment(request.appliance).await.map_err(|error| refusal::unavailable(&error))?;
    if let Err(reason) = check_secret(enrolment.as_ref(), &request.secret, now) {
        return Err(refuse(c, request.appliance, address, reason).await);
    }
    let Some((object, gateway)) =
        object.and_then(|object| Some((object, Gateway::of(object)?))).filter(|(_, gateway)| gateway.enabled)
    else {
        return Err(refuse(c, request.appliance, address, "no-gateway").await);
    };
    let issued = match c.authority.gateway_certificate(&request.csr, request.appliance, now) {
        Ok(issued) => issued,
        Err(AuthorityError::Request) => return Err(refuse(c, request.appliance, address, "certificate.request").await),
        Err(error) => return Err(refusal::unavailable(&error)),
    };
    let certificate_sha256 = *issued.thumbprint.as_bytes();
    let enrolment = Enrolment::Enrolled { certificate_sha256, address: address.to_canonical() };
    let ops = vec![Op::PutEnrolment { appliance: request.appliance, enrolment }];
    let event =
        event("appliance_enrolled", request.appliance, address).with("appliance_name", object.name.clone()).event();
    c.store.transact(Transaction { ops, audit: vec![event] }).await.map_err(|error| refusal::unavailable(&error))?;
    Ok(Enrolled {
        collective: c.store.collective(),
        certificate: issued.text(),
        authority: STANDARD.encode(c.authority.certificate()),
        site: gateway.site,
    })
}

/// Whether the connection's certificate and address are those the appliance was pinned to.
///
/// # Errors
/// The reason, for the audit log.
pub(crate) fn check_pin(
    enrolment: Option<&Enrolment>,
    gateway: &Gateway,
    certificate: &[u8; 32],
    address: IpAddr,
) -> Result<(), &'static str> {
    let Some(Enrolment::Enrolled { certificate_sha256, address: pinned }) = enrolment else {
        return Err("not-enrolled");
    };
    if certificate_sha256 != certificate {
        return Err("certificate-not-pinned");
    }
    if gateway.pinned_to_address && *pinned != address.to_canonical() {
        return Err("address-not-pinned");
    }
    Ok(())
}

fn check_secret(enrolment: Option<&Enrolment>, secret: &str, now: OffsetDateTime) -> Result<(), &'static str> {
    let Some(Enrolment::Seeded { secret_sha256, expires }) = enrolment else {
        return Err("no-seed");
    };
    let Ok(shown) = STANDARD.decode(secret) else { return Err("wrong-secret") };
    if !equal(&sha256(&shown), secret_sha256) {
        return Err("wrong-secret");
    }
    if now >= *expires { Err("seed-expired") } else { Ok(()) }
}

async fn refuse(c: &Controller, appliance: ApplianceId, address: IpAddr, reason: &'static str) -> Refusal {
    let event = event("appliance_enrolment_failed", appliance, address).with("reason", reason).event();
    match c.store.transact(Transaction { ops: Vec::new(), audit: vec![event] }).await {
        Ok(_) => refusal::refused(
            "enrol.refused",
            "the seed is not valid any more or the request is unusable; export a new seed and try again",
        ),
        Err(error) => refusal::unavailable(&error),
    }
}

fn event(event_type: &'static str, appliance: ApplianceId, address: IpAddr) -> Record {
    Record::new(event_type).with("appliance_id", appliance.to_string()).address(Some(address))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Compares without stopping at the first difference.
fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right)) == 0
}

const SECRET_BYTES: usize = 32;
