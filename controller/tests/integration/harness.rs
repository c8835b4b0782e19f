//! Starts controllers and plays their peers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use controller::{
    Running,
    settings::Settings,
    start,
    store::{AuditFilter, Expect, Object, Op, Transaction},
};
use engine::{
    dn::DistinguishedName,
    id::{DeviceId, SessionId},
};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_CONFIG_MESSAGE, read_frame, write_frame},
    message::{
        Answer, Authenticate, Authenticated, Authorized, ControllerRequest, DeviceScriptFile, OnDemandClaim, Refusal,
        Renewed, SignedToken,
    },
    object::ObjectKind,
    quic::{CONTROLLER_ALPN, Dialer, Limits},
    tls::{self, Identity},
};
use rcgen::{CertificateParams, KeyPair};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use zeroize::Zeroizing;

pub const DEFAULT_SITE: &str = "8a4add9e-0e99-4bb1-949c-c9faf9a49ad4";
pub const ALWAYS: &str = "ee7b7e6f-e904-4b4f-a5ec-b3bef040643e";
pub const PASSWORD: &str = "a long enough password";

/// A controller in a directory of its own.
pub struct House {
    pub running: Running,
    dialer: Dialer,
    _directory: TempDir,
}

/// A signed-in session on a connection with its certificate.
pub struct Session {
    pub carrier: SharedCarrier,
    pub identity: Identity,
    pub session: SessionId,
    pub name: DistinguishedName,
    pub claims: SignedToken,
    pub on_demand: Vec<OnDemandClaim>,
}

impl House {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(directory.path().to_owned());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (settings.client_port, settings.admin_port) = (any, any);
        change(&mut settings);
        let running = start(settings, testing::worker()).await.unwrap();
        Self { running, dialer: Dialer::bind(any).unwrap(), _directory: directory }
    }

    pub async fn put(&self, kind: ObjectKind, body: Value) -> Uuid {
        let id: Uuid = body["id"].as_str().unwrap().parse().unwrap();
        let tags = body["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        let object = Object { kind, id, name: body["name"].as_str().unwrap().to_owned(), tags, seq: 0, body };
        self.transact(vec![Op::PutObject { object, expect: Expect::Any }]).await;
        id
    }

    pub async fn transact(&self, ops: Vec<Op>) {
        self.running.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
    }

    pub async fn delete(&self, kind: ObjectKind, id: Uuid) {
        self.transact(vec![Op::DeleteObject { kind, id }]).await;
    }

    /// A user of the built-in database with [`PASSWORD`].
    pub async fn add_user(&self, name: &str) -> Uuid {
        let id = self.put(ObjectKind::LocalUser, user(name, false)).await;
        let value = self.running.controller.passwords.hash(PASSWORD).await.unwrap().into_bytes();
        self.transact(vec![Op::PutSecret { kind: ObjectKind::LocalUser, id, field: "password", value }]).await;
        id
    }

    pub async fn disable_user(&self, name: &str) {
        self.put(ObjectKind::LocalUser, user(name, true)).await;
    }

    pub async fn connect(&self, identity: Option<&Identity>) -> SharedCarrier {
        self.try_connect(identity).await.unwrap()
    }

    pub async fn try_connect(&self, identity: Option<&Identity>) -> Result<SharedCarrier, protocol::quic::QuicError> {
        let tls = tls::client_config(self.running.authority_pin, identity, CONTROLLER_ALPN).unwrap();
        self.dialer.dial(self.running.client_address, tls::CONTROLLER_NAME, tls, Limits::default()).await
    }

    pub async fn sign_in(&self, username: &str) -> Session {
        self.sign_in_on(username, Uuid::new_v4()).await.ok().unwrap()
    }

    pub async fn sign_in_on(&self, username: &str, device: Uuid) -> Result<Session, Refusal> {
        let key = new_key();
        let request = credentials(username, PASSWORD, device, &key);
        let carrier = self.connect(None).await;
        let answer: Authenticated = ask(&carrier, &ControllerRequest::Authenticate(request)).await?;
        let certificate = STANDARD.decode(&answer.certificate).unwrap().into();
        let identity = Identity { certificate, key: Zeroizing::new(key.serialize_der()) };
        let carrier = self.connect(Some(&identity)).await;
        let Authenticated { session, name, claims, on_demand, .. } = answer;
        Ok(Session { carrier, identity, session, name, claims, on_demand })
    }

    /// The newest audit record of a type.
    pub async fn audit(&self, event_type: &str) -> Value {
        self.audits(event_type).await.into_iter().next().unwrap_or(Value::Null)
    }

    pub async fn audits(&self, event_type: &str) -> Vec<Value> {
        let filter = AuditFilter { event_type: Some(event_type.to_owned()), limit: 100, ..AuditFilter::default() };
        let rows = self.running.controller.store.audit(filter).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.record).unwrap()).collect()
    }
}

impl Session {
    pub async fn authorize(&self) -> Result<Authorized, Refusal> {
        let request =
            ControllerRequest::Authorize { claims_token: self.claims.token.clone(), device_claims_token: None };
        ask(&self.carrier, &request).await
    }

    pub async fn renew(&self) -> Result<SignedToken, Refusal> {
        self.renew_all().await.map(|renewed| renewed.claims)
    }

    pub async fn renew_all(&self) -> Result<Renewed, Refusal> {
        ask(&self.carrier, &ControllerRequest::RenewClaims { claims_token: self.claims.token.clone() }).await
    }

    pub async fn download(&self, sha256: &str) -> Result<Vec<u8>, Refusal> {
        let (claims_token, sha256) = (self.claims.token.clone(), sha256.to_owned());
        let request = ControllerRequest::DownloadDeviceScript { claims_token, sha256 };
        let answer: DeviceScriptFile = ask(&self.carrier, &request).await?;
        Ok(STANDARD.decode(answer.file).unwrap())
    }
}

/// One exchange on a stream of its own.
pub async fn ask<T: DeserializeOwned>(carrier: &SharedCarrier, request: &ControllerRequest) -> Result<T, Refusal> {
    let mut stream = open(carrier, request).await;
    match read(&mut stream).await {
        Answer::Ok(value) => Ok(value),
        Answer::Refused(refused) => Err(refused),
    }
}

pub async fn open(carrier: &SharedCarrier, request: &ControllerRequest) -> Stream {
    let mut stream = carrier.open().await.unwrap();
    write_frame(stream.send.as_mut(), request).await.unwrap();
    stream
}

pub async fn read<T: DeserializeOwned>(stream: &mut Stream) -> T {
    let reading = read_frame(stream.receive.as_mut(), MAX_CONFIG_MESSAGE);
    tokio::time::timeout(PATIENCE, reading).await.expect("no frame in time").unwrap()
}

#[track_caller]
pub fn refused<T>(answer: Result<T, Refusal>) -> String {
    match answer {
        Ok(_) => panic!("not refused"),
        Err(refused) => refused.code,
    }
}

pub fn credentials(username: &str, password: &str, device: Uuid, key: &KeyPair) -> Authenticate {
    Authenticate {
        provider: "local".to_owned(),
        username: username.to_owned(),
        password: password.to_owned(),
        device: DeviceId::new(device),
        csr: csr(key),
        hostname: Some("laptop".to_owned()),
    }
}

pub fn new_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

pub fn csr(key: &KeyPair) -> String {
    STANDARD.encode(CertificateParams::default().serialize_request(key).unwrap().der())
}

/// The payload of a token, without believing it.
pub fn payload(token: &str) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub fn id_of(name: &str) -> Uuid {
    let bytes = name.bytes().fold(0_u128, |number, byte| number.wrapping_mul(257).wrapping_add(byte.into()));
    Uuid::from_u128(bytes | 1 << 127)
}

pub fn policy(name: &str, policy_type: &str, expression: &str, entitlements: &[Uuid]) -> Value {
    json!({ "id": id_of(name), "name": name, "type": policy_type, "expression": expression, "entitlements": entitlements })
}

pub fn criteria(name: &str, expression: &str) -> Value {
    json!({ "id": id_of(name), "name": name, "expression": expression })
}

pub fn site(name: &str) -> Value {
    json!({ "id": id_of(name), "name": name })
}

pub fn condition(name: &str, expression: &str) -> Value {
    json!({ "id": id_of(name), "name": name, "expression": expression })
}

pub fn entitlement(name: &str, site: &str, conditions: &[&str]) -> Value {
    let action = json!({ "action": "allow", "subtype": "tcp_up", "hosts": ["10.0.0.1"], "ports": ["443"] });
    json!({ "id": id_of(name), "name": name, "site": site, "conditions": conditions, "actions": [action] })
}

pub fn appliance(name: &str, site: &str, port: u16) -> Value {
    json!({
        "id": id_of(name), "name": name, "site": site, "hostname": "localhost",
        "clientInterface": { "hostname": "127.0.0.1", "httpsPort": port }, "gateway": { "enabled": true },
    })
}

fn user(name: &str, disabled: bool) -> Value {
    json!({
        "id": id_of(name), "name": name, "firstName": "Ana", "lastName": "Example", "disabled": disabled,
        "email": format!("{name}@example.com"), "tags": ["staff"],
    })
}

pub fn object(value: Value) -> Map<String, Value> {
    let Value::Object(members) = value else { panic!("not an object") };
    members
}

/// A clock of its own for one test: `now` is what a controller takes, `forward` moves it.
macro_rules! clock {
    ($name:ident) => {
        mod $name {
            use std::sync::atomic::{AtomicI64, Ordering};

            static AHEAD: AtomicI64 = AtomicI64::new(0);

            pub fn now() -> time::OffsetDateTime {
                time::OffsetDateTime::now_utc() + time::Duration::seconds(AHEAD.load(Ordering::SeqCst))
            }

            pub fn forward(by: time::Duration) {
                AHEAD.fetch_add(by.whole_seconds(), Ordering::SeqCst);
            }
        }
    };
}
pub(crate) use clock;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
