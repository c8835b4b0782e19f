//! The collective's certificate authority: the one trust anchor of clients, gateways and administrators' browsers.
//!
//! Of a signing request only the public key is used, after its own signature proved that the requester holds the private
//! half; who the certificate names is decided here. The authority's key stands in the store, sealed under the master key.
//! Appliances get the CA's word for 2 years and 3 months, the CA itself lives 10 years (D 4).

use std::{fmt, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    id::{ApplianceId, SessionId},
    token::Thumbprint,
};
use protocol::tls::{self, AuthorityPin, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::{
    settings::Settings,
    store::{Op, Store, StoreError, Transaction},
};

/// Errors from reading or making the authority and from signing certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The store failed.
    #[error("the certificate authority cannot be read or stored")]
    Store(#[from] StoreError),
    /// The stored key and certificate do not belong together, or one is missing.
    #[error("the stored certificate authority is incomplete or unreadable")]
    Stored,
    /// The system gave no random bytes.
    #[error("no random bytes for a serial number")]
    Random,
    /// A name is no DNS name.
    #[error("`{0}` cannot stand in a certificate")]
    Name(String),
    /// The signing request is unreadable, its signature is wrong, or its key is of a kind that is not taken.
    #[error(
        "the certificate signing request is unusable; use a P-256, P-384 or Ed25519 key and sign the request with it"
    )]
    Request,
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Sign(#[source] rcgen::Error),
}

impl AuthorityError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(_) => "authority.store",
            Self::Stored => "authority.stored",
            Self::Random => "authority.random",
            Self::Name(_) => "authority.name",
            Self::Request => "certificate.request",
            Self::Sign(_) => "authority.sign",
        }
    }
}

/// A certificate as issued.
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// SHA-256 of it: what tokens are bound to and gateways are pinned by.
    pub thumbprint: Thumbprint,
    /// Until when it is good.
    pub expires: OffsetDateTime,
}

impl Issued {
    /// DER in base64, as messages carry it.
    pub fn text(&self) -> String {
        STANDARD.encode(&self.certificate)
    }
}

/// Signs certificates. Its `Debug` shows nothing of the key.
pub struct CertificateAuthority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    random: SystemRandom,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("pin", &self.pin()).finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Reads the authority, or makes and stores it on a fresh store.
    ///
    /// # Errors
    /// When it cannot be read, made or stored, or when only a part of it is there.
    pub async fn load(store: &dyn Store, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let key = store.key(KEY).await?.map(Zeroizing::new);
        let certificate = store.key(CERTIFICATE).await?;
        match (key, certificate) {
            (Some(key), Some(certificate)) => Self::from_stored(&key, CertificateDer::from(certificate)),
            (None, None) => Self::create(store, now).await,
            (Some(_), None) | (None, Some(_)) => Err(AuthorityError::Stored),
        }
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate as PEM, for clients of the admin API.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What seeds and profiles pin.
    pub fn pin(&self) -> AuthorityPin {
        AuthorityPin::of(&self.certificate)
    }

    /// A fresh key and certificate for this controller's ports.
    ///
    /// # Errors
    /// When a configured name cannot stand in a certificate.
    pub fn controller_identity(
        &self,
        appliance: ApplianceId,
        settings: &Settings,
        now: OffsetDateTime,
    ) -> Result<Identity, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut names = vec![uri(&tls::appliance_uri(appliance))?, name(tls::CONTROLLER_NAME)?, name("localhost")?];
        names
            .extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16])].map(SanType::IpAddress));
        for extra in settings.hostnames.iter().chain(&settings.admin_names).chain(&settings.profile_host) {
            let extra = name(extra)?;
            if !names.contains(&extra) {
                names.push(extra);
            }
        }
        let subject =
            Subject { common_name: appliance.to_string(), names, server: true, expires: now + APPLIANCE_LIFE };
        let issued = self.sign(subject, &key, now)?;
        Ok(Identity { certificate: issued.certificate, key: Zeroizing::new(key.serialize_der()) })
    }

    /// A certificate for a session key: proves the session and nothing else.
    ///
    /// # Errors
    /// [`AuthorityError::Request`] when the request does not prove its key.
    pub fn session_certificate(
        &self,
        csr: &str,
        session: SessionId,
        now: OffsetDateTime,
        expires: OffsetDateTime,
    ) -> Result<Issued, AuthorityError> {
        let names = vec![uri(&tls::session_uri(session))?];
        let subject = Subject { common_name: session.to_string(), names, server: false, expires };
        self.sign(subject, &read_request(csr)?, now)
    }

    /// A certificate for a gateway's key.
    ///
    /// # Errors
    /// [`AuthorityError::Request`] when the request does not prove its key.
    pub fn gateway_certificate(
        &self,
        csr: &str,
        appliance: ApplianceId,
        now: OffsetDateTime,
    ) -> Result<Issued, AuthorityError> {
        let names = vec![uri(&tls::appliance_uri(appliance))?, name(&tls::gateway_name(appliance))?];
        let subject =
            Subject { common_name: appliance.to_string(), names, server: true, expires: now + APPLIANCE_LIFE };
        self.sign(subject, &read_request(csr)?, now)
    }

    async fn create(store: &dyn Store, now: OffsetDateTime) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("Portcullis {}", store.collective()));
        params.serial_number = Some(serial(&SystemRandom::new())?);
        params.not_before = now - CLOCK_SKEW;
        params.not_after = now + AUTHORITY_LIFE;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        let put = |name: &str, value: Vec<u8>| Op::PutKey { name: name.to_owned(), value };
        let document = Zeroizing::new(key.serialize_der());
        let ops = vec![put(KEY, document.to_vec()), put(CERTIFICATE, certificate.der().to_vec())];
        store.transact(Transaction { ops, audit: Vec::new() }).await?;
        Self::from_stored(&document, certificate.der().clone())
    }

    fn from_stored(key: &[u8], certificate: CertificateDer<'static>) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ECDSA_P256_SHA256);
        let key = key.map_err(|_| AuthorityError::Stored)?;
        if !certifies(&certificate, &key) {
            return Err(AuthorityError::Stored);
        }
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, key).map_err(|_| AuthorityError::Stored)?;
        let pem = pem(&certificate);
        Ok(Self { issuer, certificate, pem, random: SystemRandom::new() })
    }

    fn sign(&self, subject: Subject, key: &impl PublicKeyData, now: OffsetDateTime) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&subject.common_name);
        params.subject_alt_names = subject.names;
        params.serial_number = Some(serial(&self.random)?);
        params.not_before = now - CLOCK_SKEW;
        params.not_after = subject.expires;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if subject.server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(AuthorityError::Sign)?;
        let certificate = certificate.der().clone();
        Ok(Issued { thumbprint: Thumbprint::of(&certificate), certificate, expires: subject.expires })
    }
}

/// Who a certificate names.
struct Subject {
    common_name: String,
    names: Vec<SanType>,
    /// Whether the holder also serves, or only dials.
    server: bool,
    expires: OffsetDateTime,
}

/// Reads a signing request and keeps its key alone; names and usages it asks for are dropped.
fn read_request(csr: &str) -> Result<rcgen::PublicKey, AuthorityError> {
    if csr.len() > MAX_REQUEST_TEXT {
        return Err(AuthorityError::Request);
    }
    let der = STANDARD.decode(csr).map_err(|_| AuthorityError::Request)?;
    let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|_| AuthorityError::Request)?;
    let algorithm = request.public_key.algorithm();
    let taken = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].contains(&algorithm);
    if taken { Ok(request.public_key) } else { Err(AuthorityError::Request) }
}

fn certifies(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}

fn common_name(text: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, text);
    subject
}

fn name(text: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    text.try_into().map(SanType::DnsName).map_err(|_| AuthorityError::Name(text.to_owned()))
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    text.try_into().map(SanType::URI).map_err(|_| AuthorityError::Name(text.to_owned()))
}

/// 127 random bits: positive, and never the same twice.
fn serial(random: &SystemRandom) -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    let number = u128::from_be_bytes(bytes) >> 1 | 1 << 120;
    Ok(SerialNumber::from_slice(&number.to_be_bytes()))
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

const KEY: &str = "authority";
const CERTIFICATE: &str = "authority-certificate";

/// A signing request of the largest key taken is well below this.
const MAX_REQUEST_TEXT: usize = 8 * 1024;

const AUTHORITY_LIFE: Duration = Duration::days(3650);
const APPLIANCE_LIFE: Duration = Duration::days(820);

/// Certificates are good a little earlier than now, for peers whose clock lags.
const CLOCK_SKEW: Duration = Duration::minutes(5);
