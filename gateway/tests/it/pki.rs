//! A certificate authority and the certificates it gives.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::{ApplianceId, SessionId};
use protocol::tls::{AuthorityPin, CONTROLLER_NAME, Identity, appliance_uri, gateway_name, session_uri};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use zeroize::Zeroizing;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::from_ca_cert_der(&certificate, key).unwrap(), certificate }
    }

    pub fn pin(&self) -> AuthorityPin {
        AuthorityPin::of(&self.certificate)
    }

    pub fn controller(&self, appliance: ApplianceId) -> Identity {
        let names = vec![uri(&appliance_uri(appliance)), dns(CONTROLLER_NAME)];
        self.identity(names, true)
    }

    pub fn session(&self, session: SessionId) -> Identity {
        self.identity(vec![uri(&session_uri(session))], false)
    }

    /// Signs a gateway's request, as the text the wire carries.
    pub fn gateway(&self, csr: &str, appliance: ApplianceId) -> String {
        let der = CertificateSigningRequestDer::from(STANDARD.decode(csr).unwrap());
        let request = CertificateSigningRequestParams::from_der(&der).unwrap();
        let names = vec![uri(&appliance_uri(appliance)), dns(&gateway_name(appliance))];
        STANDARD.encode(self.sign(names, true, &request.public_key))
    }

    fn identity(&self, names: Vec<SanType>, server: bool) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: self.sign(names, server, &key), key: Zeroizing::new(key.serialize_der()) }
    }

    fn sign(&self, names: Vec<SanType>, server: bool, key: &impl PublicKeyData) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}
