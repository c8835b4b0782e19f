//! A certificate authority for tests: what a controller would be for the client's certificates.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::{ApplianceId, SessionId};
use protocol::tls::{self, AuthorityPin, Identity};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use zeroize::Zeroizing;

pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn pin(&self) -> AuthorityPin {
        AuthorityPin::of(&self.certificate)
    }

    pub fn server(&self, dns_name: &str, appliance: ApplianceId) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![dns_name.to_owned()]).unwrap();
        params.subject_alt_names.push(uri(&tls::appliance_uri(appliance)));
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Identity { certificate, key: Zeroizing::new(key.serialize_der()) }
    }

    /// Certifies the key of a request for a session.
    pub fn session(&self, csr: &str, session: SessionId) -> String {
        let der = CertificateSigningRequestDer::from(STANDARD.decode(csr).unwrap());
        let mut request = CertificateSigningRequestParams::from_der(&der).unwrap();
        request.params.subject_alt_names = vec![uri(&tls::session_uri(session))];
        STANDARD.encode(request.signed_by(&self.issuer).unwrap().der())
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(rcgen::string::Ia5String::from_str(text).unwrap())
}
