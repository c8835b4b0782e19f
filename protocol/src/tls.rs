//! Certificates and TLS settings. One provider (ring), TLS 1.3 only, one trust anchor: the collective's authority.
//!
//! A certificate says who its holder is in a URI name: `portcullis:session:<uuid>` or `portcullis:appliance:<uuid>`.
//! Servers also carry a DNS name made from their role, which is what clients check.

use std::sync::Arc;

use engine::{
    id::{ApplianceId, SessionId},
    token::Thumbprint,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use zeroize::Zeroizing;

use crate::carrier::Peer;

/// A private key with its certificate.
pub struct Identity {
    /// The holder's certificate.
    pub certificate: CertificateDer<'static>,
    /// PKCS#8 of its key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Errors from certificates and TLS settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate or key that TLS cannot use.
    #[error("certificate or key cannot be used")]
    Unusable(#[source] rustls::Error),
    /// A fingerprint that is not 64 hex digits.
    #[error("`{0}` is not a SHA-256 fingerprint of 64 hex digits")]
    Fingerprint(String),
}

/// SHA-256 of the authority's certificate: what a client or seed pins before it has ever connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorityPin([u8; 32]);

impl AuthorityPin {
    /// Pins a certificate.
    pub fn of(authority: &CertificateDer<'_>) -> Self {
        Self(*Thumbprint::of(authority).as_bytes())
    }

    /// Reads 64 hex digits.
    ///
    /// # Errors
    /// For any other text.
    pub fn parse(text: &str) -> Result<Self, TlsError> {
        let error = || TlsError::Fingerprint(text.to_owned());
        let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return Err(error());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| error())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for AuthorityPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The provider every TLS setting here uses.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// URI name of a session's certificate.
pub fn session_uri(session: SessionId) -> String {
    format!("{SESSION_URI}{session}")
}

/// URI name of an appliance's certificate.
pub fn appliance_uri(appliance: ApplianceId) -> String {
    format!("{APPLIANCE_URI}{appliance}")
}

/// The DNS name every controller's certificate carries.
pub const CONTROLLER_NAME: &str = "controller.portcullis.internal";

/// The DNS name a gateway's certificate carries.
pub fn gateway_name(appliance: ApplianceId) -> String {
    format!("{appliance}.gateway.portcullis.internal")
}

/// The one certificate of a PEM text; nothing when it holds none or more than one, something else beside it, or one that
/// cannot be trusted as it stands.
pub fn trust_anchor_of_pem(text: &str) -> Option<CertificateDer<'static>> {
    let single = text.matches("-----BEGIN ").count() == 1;
    let certificate = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let usable = RootCertStore::empty().add(certificate.clone()).is_ok();
    (single && usable).then_some(certificate)
}

/// Who a verified certificate's holder is.
pub fn peer_of(certificate: &CertificateDer<'_>) -> Peer {
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
    let thumbprint = Thumbprint::of(certificate);
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Peer::Anonymous };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Peer::Anonymous };
    for name in &names.value.general_names {
        let GeneralName::URI(uri) = name else { continue };
        if let Some(session) = uri.strip_prefix(SESSION_URI).and_then(|id| id.parse().ok()) {
            return Peer::Session(session, thumbprint);
        }
        if let Some(appliance) = uri.strip_prefix(APPLIANCE_URI).and_then(|id| id.parse().ok()) {
            return Peer::Appliance(appliance, thumbprint);
        }
    }
    Peer::Anonymous
}

/// Settings of a server that sends its chain and asks clients for certificates of the authority, or accepts none.
///
/// # Errors
/// When certificate or key cannot be used.
pub fn server_config(
    identity: &Identity,
    authority: &CertificateDer<'static>,
    clients: ClientCertificates,
    protocol: &[u8],
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?;
    let builder = match clients {
        ClientCertificates::Unused => builder.with_no_client_auth(),
        ClientCertificates::Optional | ClientCertificates::Required => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority)?), provider());
            let verifier = match clients {
                ClientCertificates::Required => verifier,
                ClientCertificates::Optional | ClientCertificates::Unused => verifier.allow_unauthenticated(),
            };
            let verifier =
                verifier.build().map_err(|error| TlsError::Unusable(rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![identity.certificate.clone(), authority.clone()];
    let mut config = builder.with_single_cert(chain, private_key(identity)).map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Whether a server asks for client certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Never.
    Unused,
    /// Asks, and serves those without one as anonymous.
    Optional,
    /// Refuses those without one.
    Required,
}

/// Settings of a client that trusts the pinned authority and nothing else.
///
/// # Errors
/// When the identity cannot be used.
pub fn client_config(
    pin: AuthorityPin,
    identity: Option<&Identity>,
    protocol: &[u8],
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PinnedVerifier { pin, provider: provider() }));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(vec![identity.certificate.clone()], private_key(identity))
            .map_err(TlsError::Unusable)?,
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

fn private_key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.to_vec()))
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(TlsError::Unusable)?;
    Ok(roots)
}

/// Finds the pinned authority among the certificates the server sent, then checks chain, name and time as usual.
#[derive(Debug)]
struct PinnedVerifier {
    pin: AuthorityPin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates.iter().find(|certificate| AuthorityPin::of(certificate) == self.pin);
        let authority = authority.ok_or(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const SESSION_URI: &str = "portcullis:session:";
const APPLIANCE_URI: &str = "portcullis:appliance:";
