//! Who this gateway is: its key, its certificate, and the authority it trusts.
//!
//! The key is made here and never leaves the machine. A seed makes the gateway a member once; every later start reads the
//! identity from the data directory.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::{ApplianceId, SiteId};
use protocol::{
    frame::{self, FrameError, MAX_MESSAGE},
    message::{Answer, ControllerRequest, Enrol, Enrolled, Refusal, close_code},
    quic::{CONTROLLER_ALPN, QuicError},
    tls::{AuthorityPin, Identity, TlsError, client_config},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{follow, seal, settings::Seed};

/// A member gateway. Has no `Debug`: it holds the key.
pub(crate) struct GatewayIdentity {
    pub(crate) appliance: ApplianceId,
    pub(crate) collective: Uuid,
    pub(crate) controllers: Vec<String>,
    pub(crate) pin: AuthorityPin,
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) tls: Identity,
}

/// Errors from becoming a member or reading who one is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is no identity yet and no seed was given.
    #[error("this gateway is no member yet; export a seed for it and start it once with the seed")]
    NoSeed,
    /// The identity file is unusable.
    #[error("the identity in `{0}` is unusable; remove the data directory and enrol the gateway again")]
    Unreadable(String),
    /// The identity file cannot be read or written.
    #[error("the identity cannot be read from or written to the data directory")]
    File(#[source] std::io::Error),
    /// No controller of the seed was reached; each with the reason.
    #[error("no controller of the seed can be reached: {0}")]
    Unreachable(String),
    /// The controller refused.
    #[error("the controller refused to enrol this gateway: {}", .0.message)]
    Refused(Refusal),
    /// The controller's answer is not what was asked for.
    #[error("the controller answered with an unusable certificate")]
    BadAnswer,
    /// No key or request could be made.
    #[error("a key could not be made")]
    Key(#[source] rcgen::Error),
}

impl IdentityError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSeed => "identity.no-seed",
            Self::Unreadable(_) => "identity.unreadable",
            Self::File(_) => "identity.file",
            Self::Unreachable(_) => "identity.unreachable",
            Self::Refused(_) => "identity.refused",
            Self::BadAnswer => "identity.bad-answer",
            Self::Key(_) => "identity.key",
        }
    }
}

impl GatewayIdentity {
    /// Reads the identity, or becomes a member with the seed.
    pub(crate) async fn obtain(data_dir: &Path, seed: Option<&Seed>) -> Result<Self, IdentityError> {
        let path = data_dir.join(IDENTITY_FILE);
        if let Some(bytes) = seal::read_private(&path).map_err(IdentityError::File)? {
            let unreadable = || IdentityError::Unreadable(path.display().to_string());
            let file: IdentityFile = serde_json::from_slice(&Zeroizing::new(bytes)).map_err(|_| unreadable())?;
            return file.into_identity().ok_or_else(unreadable);
        }
        let seed = seed.ok_or(IdentityError::NoSeed)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Key)?;
        let request = CertificateParams::default().serialize_request(&key).map_err(IdentityError::Key)?;
        let enrolled = enrol_anywhere(seed, &STANDARD.encode(request.der())).await?;
        if enrolled.collective != seed.collective_id {
            return Err(IdentityError::BadAnswer);
        }
        let file = IdentityFile {
            appliance: seed.appliance_id,
            collective: enrolled.collective,
            site: enrolled.site,
            controllers: seed.controllers.clone(),
            authority_pin: seed.ca_fingerprint.to_string(),
            certificate: enrolled.certificate,
            authority: enrolled.authority,
            key: Zeroizing::new(STANDARD.encode(Zeroizing::new(key.serialize_der()).as_slice())),
        };
        let bytes = Zeroizing::new(serde_json::to_vec(&file).map_err(|_| IdentityError::BadAnswer)?);
        let identity = file.into_identity().ok_or(IdentityError::BadAnswer)?;
        seal::write_private(&path, &bytes).map_err(IdentityError::File)?;
        Ok(identity)
    }
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    appliance: ApplianceId,
    collective: Uuid,
    site: SiteId,
    controllers: Vec<String>,
    authority_pin: String,
    certificate: String,
    authority: String,
    #[serde(with = "secret_text")]
    key: Zeroizing<String>,
}

impl IdentityFile {
    fn into_identity(self) -> Option<GatewayIdentity> {
        let pin = AuthorityPin::parse(&self.authority_pin).ok()?;
        let authority = CertificateDer::from(STANDARD.decode(&self.authority).ok()?);
        let certificate = CertificateDer::from(STANDARD.decode(&self.certificate).ok()?);
        let key = Zeroizing::new(STANDARD.decode(self.key.as_str()).ok()?);
        // A foreign authority behind the right pin would be believed by nobody but this gateway's own clients.
        (AuthorityPin::of(&authority) == pin).then_some(GatewayIdentity {
            appliance: self.appliance,
            collective: self.collective,
            controllers: self.controllers,
            pin,
            authority,
            tls: Identity { certificate, key },
        })
    }
}

mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(text: &Zeroizing<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new)
    }
}

async fn enrol_anywhere(seed: &Seed, csr: &str) -> Result<Enrolled, IdentityError> {
    let mut reasons = Vec::new();
    for controller in &seed.controllers {
        match timeout(ENROL_TIMEOUT, enrol(seed, controller, csr)).await {
            Ok(Ok(Answer::Ok(enrolled))) => return Ok(enrolled),
            Ok(Ok(Answer::Refused(refusal))) => return Err(IdentityError::Refused(refusal)),
            Ok(Err(error)) => reasons.push(format!("`{controller}` {error}")),
            Err(_) => reasons.push(format!("`{controller}` does not answer")),
        }
    }
    Err(IdentityError::Unreachable(reasons.join(", ")))
}

async fn enrol(seed: &Seed, controller: &str, csr: &str) -> Result<Answer<Enrolled>, EnrolError> {
    let tls = client_config(seed.ca_fingerprint, None, CONTROLLER_ALPN)?;
    let carrier = follow::dial(controller, tls).await?;
    let mut stream = carrier.open().await.map_err(|error| EnrolError::Lost(error.0))?;
    let request = Enrol { appliance: seed.appliance_id, secret: seed.secret.as_str().to_owned(), csr: csr.to_owned() };
    frame::write_frame(&mut stream.send, &ControllerRequest::Enrol(request)).await?;
    stream.send.finish();
    let answer = frame::read_frame(&mut stream.receive, MAX_MESSAGE).await?;
    carrier.close(close_code::DONE, "enrolled");
    Ok(answer)
}

#[derive(Debug, thiserror::Error)]
enum EnrolError {
    #[error("cannot be trusted with these settings")]
    Tls(#[from] TlsError),
    #[error("cannot be reached: {0}")]
    Dial(#[from] follow::DialError),
    #[error("closed the connection: {0}")]
    Lost(String),
    #[error("broke the protocol: {0}")]
    Frame(#[from] FrameError),
    #[error("cannot be reached: {0}")]
    Quic(#[from] QuicError),
}

const IDENTITY_FILE: &str = "identity.json";

const ENROL_TIMEOUT: Duration = Duration::from_secs(20);
