//! Certificates in the wrong hands or of the wrong kind.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::id::SessionId;
use protocol::{
    message::{Authenticated, Authorized, ControllerRequest, WatchFrom},
    tls::{self, Identity},
};
use rcgen::{CertificateParams, IsCa, Issuer, SanType};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::harness::{House, PASSWORD, ask, credentials, csr, new_key, open, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_is_refused() {
    let house = House::new().await;
    let (authority_key, key) = (new_key(), new_key());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut params = CertificateParams::default();
    let uri = tls::session_uri(SessionId::new(Uuid::new_v4()));
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let identity = Identity { certificate: certificate.der().clone(), key: Zeroizing::new(key.serialize_der()) };
    // TLS 1.3 lets the client finish first; the refusal arrives with the first exchange at the latest.
    if let Ok(carrier) = house.try_connect(Some(&identity)).await {
        tokio::time::timeout(crate::harness::PATIENCE, carrier.closed()).await.expect("connection stayed open");
    }
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_certificate_says_only_the_session() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    let (_, certificate) = X509Certificate::from_der(&session.identity.certificate).unwrap();
    assert_eq!(certificate.subject().to_string(), format!("CN={}", session.session));
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !certificate.is_ca());
    let stream = open(&session.carrier, &ControllerRequest::Watch(WatchFrom::default())).await;
    let closed =
        tokio::time::timeout(crate::harness::PATIENCE, session.carrier.closed()).await.expect("connection stayed open");
    assert_eq!(closed.reason, "certificate.appliance-required");
    drop(stream);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_certificate_is_no_session() {
    let house = House::new().await;
    house.add_user("ana").await;
    let session = house.sign_in("ana").await;
    let (controller, key) = (&house.running.controller, new_key());
    let issued =
        controller.authority.gateway_certificate(&csr(&key), controller.store.appliance(), controller.now()).unwrap();
    let identity = Identity { certificate: issued.certificate, key: Zeroizing::new(key.serialize_der()) };
    let carrier = house.connect(Some(&identity)).await;
    let request =
        ControllerRequest::Authorize { claims_token: session.claims.token.clone(), device_claims_token: None };
    assert_eq!(refused(ask::<Authorized>(&carrier, &request).await), "certificate.session-required");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_prove_its_key_gets_no_certificate() {
    let house = House::new().await;
    house.add_user("ana").await;
    let key = new_key();
    let mut broken = STANDARD.decode(csr(&key)).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let carrier = house.connect(None).await;
    for csr in [STANDARD.encode(broken), "no base64!".to_owned(), String::new()] {
        let mut request = credentials("ana", PASSWORD, Uuid::new_v4(), &key);
        request.csr = csr;
        assert_eq!(
            refused(ask::<Authenticated>(&carrier, &ControllerRequest::Authenticate(request)).await),
            "certificate.request"
        );
    }
    assert!(house.running.controller.store.devices().await.unwrap().is_empty());
    house.running.stop().await;
}
