//! The broker against real servers: what it dials, follows, returns, refuses and keeps.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use sandbox::{
    Broker, BrokerConfig, HttpBackend, HttpFailure, HttpMethod, HttpOutcome, HttpRequest, Lookup, LookupFuture, Origin,
};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::helpers::until;
use crate::server::{Reply, Server, answer, redirect};

/// Names a test makes up.
struct Names<F>(F);

impl<F: Fn(&str) -> Vec<IpAddr> + Send + Sync> Lookup for Names<F> {
    fn addresses<'a>(&'a self, name: &'a str) -> LookupFuture<'a> {
        let found = (self.0)(name);
        Box::pin(async move { found })
    }
}

fn names(find: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> BrokerConfig {
    BrokerConfig { lookup: Arc::new(Names(find)), ..loopback() }
}

fn loopback() -> BrokerConfig {
    let allow_networks = vec!["127.0.0.1/32".parse().unwrap()];
    let lookup = Arc::new(Names(|_: &str| vec![IpAddr::from([127, 0, 0, 1])]));
    BrokerConfig { allow_networks, lookup, ..BrokerConfig::default() }
}

fn broker(config: BrokerConfig) -> Broker {
    Broker::new(config).unwrap()
}

fn request(method: HttpMethod, url: &str) -> HttpRequest {
    HttpRequest {
        method,
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        content_type: None,
        timeout: Duration::from_secs(5),
        allowed_origins: None,
        script: "s".into(),
    }
}

async fn fetch(broker: &Broker, url: &str) -> HttpOutcome {
    broker.call(request(HttpMethod::Get, url)).await
}

fn ok(status: u16, body: &str) -> HttpOutcome {
    HttpOutcome::Answer { status, body: body.to_owned() }
}

#[track_caller]
fn refusal(outcome: &HttpOutcome) -> &str {
    let HttpOutcome::Refused(text) = outcome else { panic!("not refused: {outcome:?}") };
    text
}

async fn echo() -> Server {
    Server::start(|seen| Reply::Keep(answer(200, "", &format!("{} [{}]", seen.line, seen.body)))).await
}

#[tokio::test]
async fn every_method_carries_what_it_should() {
    let (server, broker) = (echo().await, broker(loopback()));
    for (method, body, expected) in [
        (HttpMethod::Get, None, "GET /a?b=c HTTP/1.1 []"),
        (HttpMethod::Delete, None, "DELETE /a?b=c HTTP/1.1 []"),
        (HttpMethod::Post, Some("{\"a\": \"ü\"}"), "POST /a?b=c HTTP/1.1 [{\"a\": \"ü\"}]"),
        (HttpMethod::Put, Some("x"), "PUT /a?b=c HTTP/1.1 [x]"),
        (HttpMethod::Put, None, "PUT /a?b=c HTTP/1.1 []"),
    ] {
        let mut request = request(method, &server.url("/a?b=c#d"));
        request.body = body.map(str::to_owned);
        request.headers = vec![("X-Api-Key".to_owned(), "k".to_owned()), ("Host".to_owned(), "other".to_owned())];
        assert_eq!(broker.call(request).await, ok(200, expected));
    }
    for seen in server.seen() {
        assert!(seen.headers.contains(&"x-api-key: k".to_owned()), "{seen:?}");
        assert!(seen.headers.contains(&format!("host: {}", server.address)), "{seen:?}");
        assert_eq!(seen.headers.iter().filter(|line| line.starts_with("host:")).count(), 1, "{seen:?}");
        let has_length = seen.headers.iter().any(|line| line.starts_with("content-length:"));
        assert_eq!(has_length, seen.line.starts_with('P'), "{seen:?}");
    }
}

#[tokio::test]
async fn every_status_is_an_answer() {
    let server = Server::start(|seen| {
        let status: u16 = seen.line.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let body = if status == 204 || status == 304 { "" } else { "text" };
        Reply::Keep(if body.is_empty() {
            format!("HTTP/1.1 {status} X\r\n\r\n").into_bytes()
        } else {
            answer(status, "", body)
        })
    })
    .await;
    let broker = broker(loopback());
    for status in [200, 201, 300, 302, 400, 401, 403, 404, 418, 500, 503, 599] {
        assert_eq!(fetch(&broker, &server.url(&format!("/{status}"))).await, ok(status, "text"));
    }
    for status in [204, 304] {
        assert_eq!(fetch(&broker, &server.url(&format!("/{status}"))).await, ok(status, ""));
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn credentials_of_the_url_become_a_header() {
    let (server, broker) = (echo().await, broker(loopback()));
    let url = server.url("/").replace("http://", "http://user:pass@");
    assert_eq!(fetch(&broker, &url).await, ok(200, "GET / HTTP/1.1 []"));
    assert!(server.seen()[0].headers.contains(&"authorization: Basic dXNlcjpwYXNz".to_owned()));
}

#[tokio::test]
async fn connections_are_used_again() {
    let (server, broker) = (echo().await, broker(loopback()));
    for _ in 0..5 {
        assert_eq!(fetch(&broker, &server.url("/")).await, ok(200, "GET / HTTP/1.1 []"));
    }
    assert_eq!(server.accepted(), 1);
    // The same address under another name is another origin.
    let url = format!("http://other.example:{}/", server.address.port());
    assert_eq!(fetch(&broker, &url).await, ok(200, "GET / HTTP/1.1 []"));
    assert_eq!(server.accepted(), 2);
    drop(broker);
    until("connections end with the broker", || server.open() == 0).await;
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let server = Server::start(|_| Reply::Close(answer(200, "", "x"))).await;
    let broker = broker(loopback());
    for round in 1..=5 {
        let mut request = request(HttpMethod::Post, &server.url("/"));
        request.body = Some("b".to_owned());
        assert_eq!(broker.call(request).await, ok(200, "x"));
        assert_eq!(server.accepted(), round);
        until("the server has closed", || server.open() == 0).await;
    }
}

#[tokio::test]
async fn redirects_are_followed_at_home_and_five_times_only() {
    let server = Server::start(|seen| match seen.line.split(' ').nth(1).unwrap().strip_prefix('/').unwrap() {
        "0" => Reply::Keep(answer(200, "", &format!("{} {}", seen.line, seen.body))),
        "away" => redirect(302, "http://elsewhere.example/"),
        "metadata" => redirect(302, "http://169.254.169.254/latest/"),
        "post" => redirect(303, "/0"),
        "kept" => redirect(307, "/0"),
        "nowhere" => Reply::Keep(answer(302, "", "lost")),
        count => redirect(302, &format!("/{}", count.parse::<u32>().unwrap() - 1)),
    })
    .await;
    let broker = broker(loopback());
    assert_eq!(fetch(&broker, &server.url("/5")).await, ok(200, "GET /0 HTTP/1.1 "));
    assert_eq!(server.seen().len(), 6);
    assert_eq!(fetch(&broker, &server.url("/6")).await, ok(302, "moved"));
    assert_eq!(server.seen().len(), 12);
    assert_eq!(fetch(&broker, &server.url("/away")).await, ok(302, "moved"));
    assert_eq!(fetch(&broker, &server.url("/metadata")).await, ok(302, "moved"));
    assert_eq!(fetch(&broker, &server.url("/nowhere")).await, ok(302, "lost"));
    let mut post = request(HttpMethod::Post, &server.url("/post"));
    post.body = Some("b".to_owned());
    assert_eq!(broker.call(post).await, ok(200, "GET /0 HTTP/1.1 "));
    assert_eq!(broker.call(request(HttpMethod::Post, &server.url("/kept"))).await, ok(307, "moved"));
    assert_eq!(server.accepted(), 1);
}

/// A name server that alternates between what is allowed and what is not.
#[tokio::test]
async fn rebinding_reaches_nothing() {
    let good = Server::start(|_| Reply::Close(answer(200, "connection: close\r\n", "good"))).await;
    let inside = format!("127.0.0.2:{}", good.address.port());
    let bad = Server::start_at(&inside, None, |_| Reply::Close(answer(200, "", "bad"))).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let broker = broker(names(move |_| {
        let last = if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 1 } else { 2 };
        vec![IpAddr::from([127, 0, 0, last])]
    }));
    let url = format!("http://rebind.example:{}/", good.address.port());
    for _ in 0..10 {
        assert_eq!(fetch(&broker, &url).await, ok(200, "good"));
        assert!(refusal(&fetch(&broker, &url).await).contains("loopback"));
    }
    // One question a connection: what was checked is what was dialled.
    assert_eq!((asked.load(Ordering::SeqCst), good.accepted(), bad.accepted()), (20, 10, 0));
}

#[tokio::test]
async fn every_hop_is_checked_again() {
    let server = Server::start(|_| Reply::Close(answer(302, "connection: close\r\nlocation: /next\r\n", ""))).await;
    let asked = AtomicUsize::new(0);
    let broker = broker(names(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => vec![IpAddr::from([127, 0, 0, 1])],
        _ => vec![IpAddr::from([169, 254, 169, 254])],
    }));
    let outcome = fetch(&broker, &format!("http://hop.example:{}/", server.address.port())).await;
    assert!(refusal(&outcome).contains("metadata"));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn one_refused_address_refuses_the_name() {
    let server = echo().await;
    for bad in ["10.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "64:ff9b::a00:1"] {
        let addresses = vec![IpAddr::from([127, 0, 0, 1]), bad.parse().unwrap()];
        let broker = broker(names(move |_| addresses.clone()));
        let outcome = fetch(&broker, &format!("http://mixed.example:{}/", server.address.port())).await;
        assert!(!refusal(&outcome).contains(bad), "{outcome:?}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn of_several_addresses_one_that_answers_is_used() {
    let server = echo().await;
    let mut config = names(|_| ["127.0.0.3", "127.0.0.1", "127.0.0.4"].map(|address| address.parse().unwrap()).into());
    config.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    let outcome = fetch(&broker(config), &format!("http://many.example:{}/", server.address.port())).await;
    assert_eq!(outcome, ok(200, "GET / HTTP/1.1 []"));
}

#[tokio::test]
async fn listing_everything_opens_neither_metadata_nor_own_listeners() {
    let server = echo().await;
    let mut config = loopback();
    config.allow_networks = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    config.refuse_addresses = vec![SocketAddr::from(([0, 0, 0, 0], server.address.port()))];
    let broker = broker(config);
    for url in ["http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://0xa9fea9fe/"] {
        let began = Instant::now();
        assert!(refusal(&fetch(&broker, url).await).contains("metadata"));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
    for host in ["127.0.0.1", "127.9.9.9", "localhost", "[::ffff:127.0.0.1]"] {
        let outcome = fetch(&broker, &format!("http://{host}:{}/", server.address.port())).await;
        assert!(refusal(&outcome).contains("appliance"), "{host}");
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn closed_by_default() {
    let server = echo().await;
    let broker = broker(BrokerConfig::default());
    assert!(refusal(&fetch(&broker, &server.url("/")).await).contains("loopback"));
    // From the system's hosts file.
    assert!(
        refusal(&fetch(&broker, &format!("http://localhost:{}/", server.address.port())).await).contains("loopback")
    );
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn the_hosts_file_is_honoured() {
    let server = echo().await;
    let allow_networks = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let config = BrokerConfig { allow_networks, ..BrokerConfig::default() };
    let outcome = fetch(&broker(config), &format!("http://localhost:{}/", server.address.port())).await;
    assert_eq!(outcome, ok(200, "GET / HTTP/1.1 []"));
}

#[tokio::test]
async fn calls_without_an_answer_say_why() {
    let broken = Server::start(|seen| match seen.line.split(' ').nth(1).unwrap() {
        "/silent" => Reply::Hang(Vec::new()),
        "/half" => Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()),
        "/cut" => Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\ncut".to_vec()),
        "/nothing" => Reply::Close(Vec::new()),
        "/noise" => Reply::Close(b"\x16\x03\x01 this is not http\r\n\r\n".to_vec()),
        "/chunk" => Reply::Close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        "/long" => Reply::Keep(answer(200, "", &"x".repeat(1024 * 1024 + 1))),
        "/longer" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            bytes.resize(1024 * 1024 + 100, b'x');
            Reply::Close(bytes)
        }
        "/head" => Reply::Close(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(300_000)).into_bytes()),
        _ => Reply::Keep(answer(200, "", &"x".repeat(1024 * 1024))),
    })
    .await;
    let broker = broker(loopback());
    for (path, failure) in [
        ("/silent", HttpFailure::Timeout),
        ("/half", HttpFailure::Timeout),
        ("/cut", HttpFailure::Broken),
        ("/nothing", HttpFailure::Broken),
        ("/noise", HttpFailure::Broken),
        ("/chunk", HttpFailure::Broken),
        ("/long", HttpFailure::TooLarge),
        ("/longer", HttpFailure::TooLarge),
        ("/head", HttpFailure::TooLarge),
    ] {
        let mut request = request(HttpMethod::Get, &broken.url(path));
        if failure == HttpFailure::Timeout {
            request.timeout = Duration::from_millis(150);
        }
        assert_eq!(broker.call(request).await, HttpOutcome::Failed(failure), "{path}");
    }
    let HttpOutcome::Answer { body, .. } = fetch(&broker, &broken.url("/full")).await else { panic!() };
    assert_eq!(body.len(), 1024 * 1024);
    let closed = broken.address;
    drop(broken);
    let url = format!("http://{closed}/");
    until("the server is gone", || std::net::TcpStream::connect(closed).is_err()).await;
    assert_eq!(fetch(&broker, &url).await, HttpOutcome::Failed(HttpFailure::Connect));
    let nameless = self::broker(names(|_| Vec::new()));
    assert_eq!(fetch(&nameless, "http://a.example/").await, HttpOutcome::Failed(HttpFailure::Resolve));
}

#[tokio::test]
async fn what_is_no_text_is_read_as_far_as_it_goes() {
    let server = Server::start(|_| Reply::Keep(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\xffb".to_vec())).await;
    assert_eq!(fetch(&broker(loopback()), &server.url("/")).await, ok(200, "a\u{fffd}b"));
}

#[tokio::test]
async fn a_call_given_up_leaves_nothing_behind() {
    let server = Server::start(|_| Reply::Hang(Vec::new())).await;
    let broker = broker(loopback());
    let url = server.url("/");
    {
        let mut call = Box::pin(fetch(&broker, &url));
        tokio::select! {
            outcome = &mut call => panic!("{outcome:?}"),
            () = until("the request is there", || server.seen().len() == 1) => {}
        }
    }
    until("the connection is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn calls_to_one_origin_are_bounded() {
    let server = echo().await;
    let mut config = loopback();
    config.calls_per_origin = 2;
    let broker = Arc::new(broker(config));
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (broker, url) = (Arc::clone(&broker), server.url("/"));
        calls.spawn(async move { fetch(&broker, &url).await });
    }
    while let Some(outcome) = calls.join_next().await {
        assert_eq!(outcome.unwrap(), ok(200, "GET / HTTP/1.1 []"));
    }
    // Nobody is let in who would have to open a third connection.
    assert!(server.accepted() <= 2);
}

#[tokio::test]
async fn waiting_counts_against_the_call() {
    let server = Server::start(|_| Reply::Hang(Vec::new())).await;
    let mut config = loopback();
    config.calls_per_origin = 1;
    let broker = broker(config);
    let url = server.url("/");
    let first = fetch(&broker, &url);
    let second = async {
        until("the first is under way", || server.seen().len() == 1).await;
        let mut request = request(HttpMethod::Get, &url);
        request.timeout = Duration::from_millis(100);
        broker.call(request).await
    };
    tokio::select! {
        outcome = first => panic!("{outcome:?}"),
        outcome = second => assert_eq!(outcome, HttpOutcome::Failed(HttpFailure::Timeout)),
    }
    assert_eq!(server.accepted(), 1);
}

/// A certificate of its own for a name, and what a server needs to show it.
fn certificate(name: &str) -> (CertificateDer<'static>, TlsAcceptor) {
    certificate_with(name, |_| {})
}

fn certificate_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (CertificateDer<'static>, TlsAcceptor) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn certificates_are_trusted_when_the_administrator_says_so() {
    let (trusted, tls) = certificate("api.example");
    let server = Server::start_at("127.0.0.1:0", Some(tls), |_| Reply::Keep(answer(200, "", "secure"))).await;
    let port = server.address.port();
    let (right, wrong) = (format!("https://api.example:{port}/"), format!("https://other.example:{port}/"));
    let broker = broker(loopback());
    let untrusted = HttpOutcome::Failed(HttpFailure::Certificate);
    assert_eq!(fetch(&broker, &right).await, untrusted);
    let networks = vec!["127.0.0.1/32".parse().unwrap()];
    broker.update(vec![trusted.clone()], networks.clone()).unwrap();
    assert_eq!(fetch(&broker, &right).await, ok(200, "secure"));
    assert_eq!(fetch(&broker, &wrong).await, untrusted);
    let accepted = server.accepted();
    assert_eq!(fetch(&broker, &right).await, ok(200, "secure"));
    assert_eq!(server.accepted(), accepted, "TLS connections are kept too");
    let broken = CertificateDer::from(b"no certificate".to_vec());
    let error = broker.update(vec![trusted, broken], Vec::new()).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("number 2")), ("broker.certificate.unusable", true));
    assert_eq!(fetch(&broker, &right).await, ok(200, "secure"));
    broker.update(Vec::new(), networks).unwrap();
    assert_eq!(fetch(&broker, &right).await, untrusted);
}

/// As tools make self-signed certificates by default.
#[tokio::test]
async fn a_trusted_certificate_may_be_the_servers_own_though_it_is_an_authority() {
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let past = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    for (host, is_current, expected) in [
        ("api.example", true, ok(200, "secure")),
        ("other.example", true, HttpOutcome::Failed(HttpFailure::Certificate)),
        ("api.example", false, HttpOutcome::Failed(HttpFailure::Certificate)),
    ] {
        let (certificate, tls) = certificate_with("api.example", |params| {
            authority(params);
            if !is_current {
                past(params);
            }
        });
        let server = Server::start_at("127.0.0.1:0", Some(tls), |_| Reply::Keep(answer(200, "", "secure"))).await;
        let broker = broker(BrokerConfig { trusted: vec![certificate], ..loopback() });
        let outcome = fetch(&broker, &format!("https://{host}:{}/", server.address.port())).await;
        assert_eq!(outcome, expected, "{host} {is_current}");
        let (another, _) = certificate_with("api.example", authority);
        broker.update(vec![another], vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
        let outcome = fetch(&broker, &format!("https://{host}:{}/", server.address.port())).await;
        assert_eq!(outcome, HttpOutcome::Failed(HttpFailure::Certificate));
    }
}

#[tokio::test]
async fn a_plain_server_is_no_tls_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&answer(400, "", "speak plainly")).await.unwrap();
        std::future::pending::<()>().await;
    };
    let broker = broker(loopback());
    tokio::select! {
        () = server => {}
        outcome = fetch(&broker, &url) => assert_eq!(outcome, HttpOutcome::Failed(HttpFailure::Connect)),
    }
}

#[tokio::test]
async fn a_network_taken_back_closes_kept_connections_too() {
    let (server, broker) = (echo().await, broker(loopback()));
    assert_eq!(fetch(&broker, &server.url("/")).await, ok(200, "GET / HTTP/1.1 []"));
    broker.update(Vec::new(), Vec::new()).unwrap();
    assert!(refusal(&fetch(&broker, &server.url("/")).await).contains("loopback"));
    until("the kept connection is closed", || server.open() == 0).await;
}

#[tokio::test]
async fn a_secret_goes_to_its_origins_only() {
    let (certificate, tls) = certificate("api.example");
    let secure = Server::start_at("127.0.0.1:0", Some(tls), |_| Reply::Keep(answer(200, "", "secure"))).await;
    let location = format!("https://api.example:{}/", secure.address.port());
    let upgrade = location.clone();
    let plain = Server::start(move |_| redirect(302, &upgrade)).await;
    let start = format!("http://api.example:{}/", plain.address.port());
    let mut config = loopback();
    config.trusted = vec![certificate];
    let broker = broker(config);
    let only = |origins: &[&str]| {
        let mut request = request(HttpMethod::Get, &start);
        let origins: Vec<Origin> =
            origins.iter().map(|origin| Origin::parse(origin.trim_end_matches('/')).unwrap()).collect();
        request.allowed_origins = Some(origins.into());
        broker.call(request)
    };
    assert_eq!(only(&[&start, &location]).await, ok(200, "secure"));
    let accepted = secure.accepted();
    let outcome = only(&[&start]).await;
    assert!(refusal(&outcome).contains(location.trim_end_matches('/')), "{outcome:?}");
    assert_eq!(secure.accepted(), accepted);
    let seen = plain.seen().len();
    for origins in [&[][..], &[location.as_str()], &["https://api.example"], &["http://api.example"]] {
        let outcome = only(origins).await;
        assert!(refusal(&outcome).contains(start.trim_end_matches('/')), "{outcome:?}");
    }
    assert_eq!(plain.seen().len(), seen);
}

#[tokio::test]
async fn what_makes_no_sense_is_invalid_and_what_is_no_http_refused() {
    let broker = broker(loopback());
    for url in ["", "/relative", "http://", "http://127.0.0.1:99999/", "http://a b/", "http://[::1"] {
        assert!(matches!(fetch(&broker, url).await, HttpOutcome::Invalid(_)), "{url}");
    }
    for url in ["file:///etc/passwd", "ftp://a.example/", "unix:/run/x.sock"] {
        assert!(refusal(&fetch(&broker, url).await).contains("http and https"), "{url}");
    }
}
