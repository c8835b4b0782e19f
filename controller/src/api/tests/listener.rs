//! The listener: TLS 1.3 only, answers over a real socket, and an end that waits for running calls.

use protocol::tls::{self, ClientCertificates};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{api::serve, authority::CertificateAuthority};

static ONLY_TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tls_and_ends_when_told() {
    let world = World::new().await;
    let (controller, now) = (&world.controller, world.controller.now());
    let authority = CertificateAuthority::load(controller.store.as_ref(), now).await.unwrap();
    let identity = authority.controller_identity(controller.store.appliance(), &controller.settings, now).unwrap();
    let config =
        tls::server_config(&identity, authority.certificate(), ClientCertificates::Unused, b"http/1.1").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = async { stopped.await.unwrap_or_default() };
    let serving = tokio::spawn(serve(Arc::clone(controller), listener, Arc::new(config), ended));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let connect = |versions: &'static [&'static rustls::SupportedProtocolVersion]| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        async move {
            let stream = TcpStream::connect(address).await.unwrap();
            connector.connect(ServerName::try_from("controller.example.com").unwrap(), stream).await
        }
    };
    let mut stream = connect(ONLY_TLS13).await.unwrap();
    let request = format!(
        "GET /admin/sites HTTP/1.1\r\nHost: x\r\nAccept: {NEWEST}\r\nAuthorization: Bearer {}\r\n\r\n",
        world.token
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");

    stop.send(()).unwrap();
    serving.await.unwrap();
    let mut rest = Vec::new();
    // The idle connection is closed without waiting for the client.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(address).await.is_err());
    // What was read is in the audit log after the end.
    assert_eq!(
        world.records("entities_listed").await.iter().filter(|record| record["client_ip"] == "127.0.0.1").count(),
        1
    );
}
