//! The admin API as its clients meet it: a real store in a directory of its own, real script workers, no listener.

mod blacklist;
mod golden;
mod input;
mod listener;
mod login;
mod objects;
mod otp;
mod revocation;
mod routes;
mod scripts;
mod sessions;
mod unresolved;

use std::{collections::BTreeSet, sync::Arc};

use axum::{Router, body::Body};
use engine::{dn::DistinguishedName, id::AdministrativeRoleId};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use protocol::object::ObjectKind;
use sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    builtin::{self, ControllerRecord},
    issue::Subject,
    settings::Settings,
    state::Controller,
    store::{
        Op, Transaction,
        sqlite::{SqliteOptions, SqliteStore},
    },
};

const NEWEST: &str = "application/vnd.appgate.peer-v23+json";
const ADMIN: &str = "CN=4c07bc6757ea42ddb702c2d6c45419fc,CN=admin,OU=local";

/// A controller without ports, and an administrator's token.
struct World {
    controller: Arc<Controller>,
    router: Router,
    password: String,
    token: String,
    _directory: TempDir,
}

/// What came back.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    content_type: String,
    body: Value,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(directory.path().to_owned());
        settings.hostnames = vec!["controller.example.com".to_owned()];
        let options = SqliteOptions {
            directory: settings.data_dir.clone(),
            master_key: settings.master_key.clone(),
            clock: settings.clock,
        };
        let store = Arc::new(SqliteStore::open(options).await.unwrap());
        let record = ControllerRecord {
            name: "controller".to_owned(),
            hostname: "controller.example.com".to_owned(),
            client_port: 443,
            admin_port: 8443,
        };
        let now = (settings.clock)();
        let hash = |password: zeroize::Zeroizing<String>| async move {
            crate::password::Passwords::new().hash(&password).await
        };
        let password =
            builtin::seed(store.as_ref(), &record, now, None, hash).await.unwrap().unwrap().reveal().to_owned();
        let mut sandbox = SandboxConfig::new(testing::worker());
        sandbox.spares = 0;
        let sandbox = Sandbox::start(sandbox).await.unwrap();
        let controller = Controller::open(settings, store, sandbox).await.unwrap();
        let router = super::router(Arc::clone(&controller));
        let mut world = Self { controller, router, password, token: String::new(), _directory: directory };
        world.token = world.token_with(ADMIN, &[builtin::SYSTEM_ROLE]).await;
        world
    }

    /// An administration token with these roles, as sign-in issues it.
    async fn token_with(&self, name: &str, roles: &[Uuid]) -> String {
        let name: DistinguishedName = name.parse().unwrap();
        let config = self.controller.config.current();
        let subject = Subject::new(&name, &config, self.controller.now());
        let roles: BTreeSet<_> = roles.iter().copied().map(AdministrativeRoleId::new).collect();
        let (token, row) = self.controller.issuer.admin(&subject, &roles).unwrap();
        let ops = vec![Op::InsertToken(row)];
        self.controller.store.transact(Transaction { ops, audit: Vec::new() }).await.unwrap();
        token
    }

    /// A token with one new role of these privileges.
    async fn token_for(&self, name: &str, privileges: Value) -> String {
        let role = self.post("/administrative-roles", json!({ "name": name, "privileges": privileges })).await;
        let role = role.expect(StatusCode::OK)["id"].as_str().unwrap().parse().unwrap();
        self.token_with(&format!("CN=00000000000000000000000000000001,CN={name},OU=local"), &[role]).await
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap()).to_owned();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Reply { status: parts.status, content_type, body }
    }

    async fn call_as(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request(method, path, NEWEST, Some(token)).body(body).unwrap()).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.call_as(&self.token, method, path, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None).await
    }

    /// Everything that configuration and tokens come to, to be compared before and after.
    async fn stored(&self) -> String {
        let loaded = self.controller.store.load().await.unwrap();
        let tokens = self.controller.store.tokens(Default::default()).await.unwrap();
        let devices = self.controller.store.devices().await.unwrap();
        format!("{} {:?} {:?} {tokens:?} {devices:?}", loaded.seq, loaded.objects, loaded.revocations)
    }

    /// Audit records of a type, newest first.
    async fn records(&self, event_type: &str) -> Vec<Value> {
        let reply = self.get(&format!("/audit-logs?limit=1000&eventType={event_type}")).await;
        reply.expect(StatusCode::OK)["data"].as_array().unwrap().clone()
    }
}

impl Reply {
    #[track_caller]
    fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The names of the wrong fields of a 422.
    #[track_caller]
    fn fields(self) -> Vec<String> {
        let body = self.expect(StatusCode::UNPROCESSABLE_ENTITY);
        body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

fn request(method: Method, path: &str, accept: &str, token: Option<&str>) -> http::request::Builder {
    let mut request = Request::builder().method(method).uri(format!("/admin{path}")).header(header::ACCEPT, accept);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request
}

/// A certificate in PEM.
fn certificate() -> String {
    rcgen::generate_simple_self_signed(["directory.example.com".to_owned()]).unwrap().cert.pem()
}

/// The smallest document that can be created, for every kind that can be.
fn smallest(kind: ObjectKind) -> Option<Value> {
    let site = builtin::DEFAULT_SITE;
    let always = builtin::ALWAYS_CONDITION;
    let interface = json!({ "hostname": "gateway.example.com" });
    Some(match kind {
        ObjectKind::AdministrativeRole => {
            json!({ "name": "viewers", "privileges": [{ "type": "View", "target": "AuditLog" }] })
        }
        ObjectKind::Appliance => json!({
            "name": "gateway", "hostname": "gateway.example.com", "site": site, "clientInterface": interface, "networking": {},
            "gateway": { "enabled": true },
        }),
        ObjectKind::Condition => json!({ "name": "office", "expression": "return true;" }),
        ObjectKind::CriteriaScript => json!({ "name": "staff", "expression": "return true;" }),
        ObjectKind::DeviceScript => json!({ "name": "disk", "filename": "disk.sh", "file": "ZWNobyBvawo=" }),
        ObjectKind::Entitlement => json!({
            "name": "ssh", "site": site, "conditions": [always],
            "actions": [{ "subtype": "tcp_up", "action": "allow", "hosts": ["10.0.0.1"], "ports": ["22"] }],
        }),
        ObjectKind::EntitlementScript => json!({ "name": "team-hosts", "expression": "return ['10.0.0.1'];" }),
        ObjectKind::GlobalSettings => return None,
        ObjectKind::IdentityProvider => json!({
            "name": "directory", "type": "Ldap", "hostnames": ["ldap.example.com"], "port": 636, "adminDistinguishedName": "CN=bind",
            "adminPassword": "bind-secret",
        }),
        ObjectKind::IpPool => json!({ "name": "pool", "ranges": [{ "first": "10.1.0.1", "last": "10.1.0.9" }] }),
        ObjectKind::LocalUser => {
            json!({ "name": "ana", "firstName": "Ana", "lastName": "Lind", "password": "correct horse" })
        }
        ObjectKind::MfaProvider => {
            json!({ "name": "radius", "type": "Radius", "hostnames": ["radius.example.com"], "sharedSecret": "radius-secret" })
        }
        ObjectKind::Policy => json!({ "name": "developers", "expression": "return false;" }),
        ObjectKind::RingfenceRule => json!({
            "name": "printers", "actions": [{ "protocol": "tcp", "direction": "out", "action": "allow", "hosts": ["10.9.0.0/16"], "ports": ["631"] }],
        }),
        ObjectKind::Secret => json!({ "name": "GRAPH_TOKEN", "secret": "graph-secret" }),
        ObjectKind::Site => json!({ "name": "north" }),
        ObjectKind::TrustedCertificate => json!({ "name": "own roots", "pem": certificate() }),
        ObjectKind::UserScript => json!({ "name": "teams", "expression": "return {};" }),
    })
}
