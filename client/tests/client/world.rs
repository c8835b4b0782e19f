//! A scripted controller and scripted gateways on real QUIC sockets. They write what they are asked to a log that tests
//! wait on.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    dn::{DistinguishedName, UserName},
    id::{ApplianceId, SessionId, SiteId, TokenId},
};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_TOKENS_MESSAGE, read_frame, write_frame},
    message::{
        Answer, Authenticate, Authenticated, Authorized, ControlDown, ControllerRequest, DeviceScriptFile,
        DeviceScriptRef, Done, GatewayEndpoint, OnDemandClaim, Refusal, Renewed, SignedToken, SiteGrant,
    },
    quic::{CONTROLLER_ALPN, GATEWAY_ALPN, Limits, Listener},
    tls::{self, CONTROLLER_NAME, ClientCertificates},
};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use crate::{authority::Authority, gateway, relay::Relay};

pub const PASSWORD: &str = "right";

/// Sites with their gateways.
type Grants = Vec<(SiteId, String, Vec<GatewayEndpoint>)>;

pub struct World {
    pub shared: Arc<Shared>,
    pub controller: SocketAddr,
    /// Closing it is the end of the controller.
    pub controller_listener: Arc<Listener>,
    /// What stands before each gateway, if anything.
    pub relays: Vec<Relay>,
}

pub struct Shared {
    pub authority: Authority,
    pub log: watch::Sender<Vec<String>>,
    /// Opens held flows.
    pub release: watch::Sender<bool>,
    /// Cuts flows that can be cut.
    pub cut: watch::Sender<bool>,
    /// Goes to every control stream.
    pub push: broadcast::Sender<ControlDown>,
    /// Gateway connections, in order of their coming.
    pub connections: Mutex<Vec<SharedCarrier>>,
    grants: Mutex<Grants>,
    /// What answers a renewal, when it is refused.
    pub refuse_renewal: Mutex<Option<Refusal>>,
    /// What clients are to find out about their devices.
    pub on_demand: Mutex<Vec<OnDemandClaim>>,
    /// Files of device scripts, by checksum.
    pub files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Device claims of the last report.
    pub reported: watch::Sender<Map<String, Value>>,
    /// How long tokens live, in seconds.
    pub token_life: AtomicI64,
    /// How long a sign-in lives, in seconds.
    pub sign_in_life: AtomicI64,
}

impl World {
    /// Starts a controller and, per Site, as many gateways as the list says.
    pub fn start(sites: &[usize]) -> Self {
        Self::build(sites)
    }

    /// As [`World::start`], with a network before every gateway that can fail.
    pub async fn relayed(sites: &[usize]) -> Self {
        let mut world = Self::build(sites);
        let mut grants = std::mem::take(&mut *world.shared.grants.lock().unwrap());
        for endpoint in grants.iter_mut().flat_map(|(_, _, endpoints)| endpoints) {
            let relay = Relay::start((Ipv4Addr::LOCALHOST, endpoint.port).into()).await;
            endpoint.port = relay.address.port();
            world.relays.push(relay);
        }
        *world.shared.grants.lock().unwrap() = grants;
        world
    }

    /// The relay before the gateway a status names.
    pub fn relay(&mut self, gateway: &str) -> &mut Relay {
        self.relays.iter_mut().find(|relay| relay.address.to_string() == gateway).unwrap()
    }

    fn build(sites: &[usize]) -> Self {
        let shared = Arc::new(Shared {
            authority: Authority::new(),
            log: watch::Sender::new(Vec::new()),
            release: watch::Sender::new(false),
            cut: watch::Sender::new(false),
            push: broadcast::Sender::new(16),
            connections: Mutex::new(Vec::new()),
            grants: Mutex::new(Vec::new()),
            refuse_renewal: Mutex::new(None),
            on_demand: Mutex::new(Vec::new()),
            files: Mutex::new(BTreeMap::new()),
            reported: watch::Sender::new(Map::new()),
            token_life: AtomicI64::new(3600),
            sign_in_life: AtomicI64::new(86_400),
        });
        let identity = shared.authority.server(CONTROLLER_NAME, ApplianceId::new(Uuid::new_v4()));
        let tls =
            tls::server_config(&identity, &shared.authority.certificate, ClientCertificates::Optional, CONTROLLER_ALPN);
        let listener = Arc::new(Listener::bind(local(), tls.unwrap(), Limits::default()).unwrap());
        let controller = listener.local_address().unwrap();
        for (number, gateways) in (1..).zip(sites) {
            let site = SiteId::new(Uuid::from_u128(number));
            let endpoints = (0..*gateways).map(|_| start_gateway(&shared, number)).collect();
            shared.grants.lock().unwrap().push((site, format!("site-{number}"), endpoints));
        }
        tokio::spawn(serve_controller(shared.clone(), listener.clone()));
        Self { shared, controller, controller_listener: listener, relays: Vec::new() }
    }

    /// Waits until the log holds as many lines that begin so.
    pub async fn logged(&self, prefix: &str, count: usize) {
        let mut log = self.shared.log.subscribe();
        let enough = log.wait_for(|log| log.iter().filter(|line| line.starts_with(prefix)).count() >= count);
        let found = tokio::time::timeout(PATIENCE, enough).await.map(|found| found.is_ok());
        assert!(found.is_ok(), "`{prefix}` x{count} not in {:?}", self.shared.log.borrow());
    }

    pub fn lines(&self, prefix: &str) -> usize {
        self.shared.log.borrow().iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// Has clients run a script for a claim from now on; answers its checksum.
    pub fn add_script(&self, claim: &str, content: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
        let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.shared.files.lock().unwrap().insert(sha256.clone(), content.as_bytes().to_vec());
        let script = DeviceScriptRef { id: Uuid::new_v4(), filename: format!("{claim}.sh"), sha256: sha256.clone() };
        let mut list = self.shared.on_demand.lock().unwrap();
        list.retain(|asked| asked.claim != claim);
        list.push(OnDemandClaim {
            claim: claim.to_owned(),
            platform: "desktop.linux.all".to_owned(),
            command: "runScript".to_owned(),
            name: Some(claim.to_owned()),
            path: None,
            args: Some("one 'two words'".to_owned()),
            script: Some(script),
        });
        sha256
    }

    /// Waits until a device claim is reported so.
    pub async fn reported(&self, claim: &str, value: Option<&str>) {
        let mut reported = self.shared.reported.subscribe();
        let as_wanted =
            reported.wait_for(|claims| !claims.is_empty() && claims.get(claim).and_then(Value::as_str) == value);
        let found = tokio::time::timeout(PATIENCE, as_wanted).await.map(|found| found.is_ok());
        assert!(found.is_ok(), "`{claim}` is never {value:?}: {:?}", self.shared.reported.borrow().get(claim));
    }

    /// Takes away everything; what comes back gives it again.
    pub fn take_grants(&self) -> Grants {
        std::mem::take(&mut *self.shared.grants.lock().unwrap())
    }

    pub fn give_grants(&self, grants: Grants) {
        *self.shared.grants.lock().unwrap() = grants;
    }

    /// What every gateway sends on its control streams.
    pub fn push(&self, frame: ControlDown) {
        self.shared.push.send(frame).unwrap();
    }
}

impl Shared {
    pub fn note(&self, line: String) {
        self.log.send_modify(|log| log.push(line));
    }
}

pub fn refusal(code: &str) -> Refusal {
    Refusal { code: code.to_owned(), message: format!("because of {code}"), retry_after_secs: None }
}

fn start_gateway(shared: &Arc<Shared>, site: u128) -> GatewayEndpoint {
    let appliance = ApplianceId::new(Uuid::new_v4());
    let identity = shared.authority.server(&tls::gateway_name(appliance), appliance);
    let tls = tls::server_config(&identity, &shared.authority.certificate, ClientCertificates::Required, GATEWAY_ALPN);
    let listener = Listener::bind(local(), tls.unwrap(), Limits::default()).unwrap();
    let port = listener.local_address().unwrap().port();
    tokio::spawn(gateway::serve(shared.clone(), listener, site));
    GatewayEndpoint { appliance, host: Ipv4Addr::LOCALHOST.to_string(), port, weight: 100 }
}

async fn serve_controller(shared: Arc<Shared>, listener: Arc<Listener>) {
    while let Some(incoming) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(carrier) = incoming.finish().await else { return };
            while let Ok(stream) = carrier.accept().await {
                answer(&shared, &carrier, stream).await;
            }
        });
    }
}

async fn answer(shared: &Shared, carrier: &SharedCarrier, mut stream: Stream) {
    let Ok(request) = read_frame(&mut stream.receive, MAX_TOKENS_MESSAGE).await else { return };
    match request {
        ControllerRequest::Authenticate(request) => send(&mut stream, authenticate(shared, &request)).await,
        ControllerRequest::ReportDevice { device, .. } => {
            shared.note(format!("report {} {:?}", device["os"]["family"], carrier.peer()));
            shared.reported.send_replace(device);
            send(&mut stream, Answer::Ok(shared.token("device"))).await;
        }
        ControllerRequest::Authorize { device_claims_token, .. } => {
            shared.note(format!("authorize {}", device_claims_token.unwrap()));
            send(&mut stream, Answer::Ok(shared.authorized())).await;
        }
        ControllerRequest::RenewClaims { .. } => {
            let refused = shared.refuse_renewal.lock().unwrap().clone();
            shared.note("renew".to_owned());
            let renewed =
                || Renewed { claims: shared.token("claims"), on_demand: shared.on_demand.lock().unwrap().clone() };
            send(&mut stream, refused.map_or_else(|| Answer::Ok(renewed()), Answer::Refused)).await;
        }
        ControllerRequest::DownloadDeviceScript { sha256, .. } => {
            shared.note(format!("download {sha256}"));
            let file = shared.files.lock().unwrap().get(&sha256).cloned();
            let answer = file.map(|file| Answer::Ok(DeviceScriptFile { file: STANDARD.encode(file) }));
            send(&mut stream, answer.unwrap_or_else(|| Answer::Refused(refusal("device-script.gone")))).await;
        }
        ControllerRequest::SignOut { .. } => {
            shared.note("sign-out".to_owned());
            send(&mut stream, Answer::Ok(Done {})).await;
        }
        _ => stream.send.reset(1),
    }
}

fn authenticate(shared: &Shared, request: &Authenticate) -> Answer<Authenticated> {
    shared.note(format!("authenticate {}", request.username));
    if request.password != PASSWORD {
        return Answer::Refused(refusal("sign-in.failed"));
    }
    let session = SessionId::new(Uuid::new_v4());
    Answer::Ok(Authenticated {
        session,
        name: DistinguishedName { device: request.device, user: UserName::new(&request.username, &request.provider) },
        certificate: shared.authority.session(&request.csr, session),
        claims: shared.token("claims"),
        sign_in_ends: now() + shared.sign_in_life.load(Ordering::Relaxed),
        message_of_the_day: Some("be kind".to_owned()),
        on_demand: shared.on_demand.lock().unwrap().clone(),
    })
}

impl Shared {
    fn token(&self, kind: &str) -> SignedToken {
        let life = self.token_life.load(Ordering::Relaxed);
        let (id, issued) = (TokenId::new(Uuid::new_v4()), now());
        SignedToken { id, token: format!("{kind}-token"), issued, expires: issued + life }
    }

    fn authorized(&self) -> Authorized {
        let grant = |(site, name, gateways): &(SiteId, String, Vec<GatewayEndpoint>)| SiteGrant {
            site: *site,
            name: name.clone(),
            entitlement: self.token(name),
            gateways: gateways.clone(),
            entitlements: vec!["web".to_owned()],
        };
        Authorized {
            sites: self.grants.lock().unwrap().iter().map(grant).collect(),
            policies: vec!["staff".to_owned()],
        }
    }
}

async fn send<T: Serialize + Sync>(stream: &mut Stream, answer: Answer<T>) {
    if write_frame(&mut stream.send, &answer).await.is_ok() {
        stream.send.finish();
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

pub fn local() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Bound of every wait; nothing here takes long.
pub const PATIENCE: Duration = Duration::from_secs(15);
