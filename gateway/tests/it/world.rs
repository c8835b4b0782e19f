//! A gateway, its controller, and tokens for whoever the test wants to be.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    dn::{DistinguishedName, UserName},
    id::{ApplianceId, ConditionId, DeviceId, EntitlementId, IdentityProviderId, SessionId, SiteId, TokenId},
    token::{Audience, Content, EntitlementContent, Grant, SigningKey, Token, UserContent},
};
use gateway::{GatewayConfig, Running, Seed};
use protocol::{message::Present, object::ObjectKind};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    client::Device,
    controller::{Controller, Facts},
    pki::Authority,
};

pub struct World {
    pub controller: Controller,
    pub directory: TempDir,
    pub entitlement: EntitlementId,
    pub condition: ConditionId,
    signing: SigningKey,
    gateway: Option<Running>,
    settings: fn(&mut GatewayConfig),
}

impl World {
    /// A gateway that may dial loopback, one entitlement with one condition that holds, no actions.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(settings: fn(&mut GatewayConfig)) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let signing = SigningKey::from_pkcs8(document.as_ref()).unwrap();
        let facts = Facts {
            authority: Authority::new(),
            collective: Uuid::new_v4(),
            appliance: ApplianceId::new(Uuid::new_v4()),
            site: SiteId::new(Uuid::new_v4()),
            keys: vec![STANDARD.encode(signing.public())],
            claims_key: STANDARD.encode([7; 32]),
        };
        let controller = Controller::start(facts);
        let mut world = Self {
            controller,
            directory: tempfile::tempdir().unwrap(),
            entitlement: EntitlementId::new(Uuid::new_v4()),
            condition: ConditionId::new(Uuid::new_v4()),
            signing,
            gateway: None,
            settings,
        };
        let seed = json!({
            "collectiveId": world.facts().collective, "controllers": [world.controller.address.to_string()],
            "caFingerprint": world.facts().authority.pin().to_string(), "applianceId": world.facts().appliance,
            "secret": "c2VjcmV0", "expires": "2099-01-01T00:00:00Z",
        });
        let seed: Seed = STANDARD.encode(seed.to_string()).parse().unwrap();
        world.start(Some(seed)).await.unwrap();
        world.gateway().ready().await;
        world.site(json!({})).await;
        world.condition("return true;").await;
        world.entitlement(json!([])).await;
        world
    }

    pub fn facts(&self) -> &Facts {
        &self.controller.facts
    }

    pub fn gateway(&self) -> &Running {
        self.gateway.as_ref().unwrap()
    }

    pub async fn start(&mut self, seed: Option<Seed>) -> Result<(), gateway::StartError> {
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut config = GatewayConfig::new(self.directory.path().join("gateway"), listen);
        config.seed = seed;
        config.dial_allow = vec!["127.0.0.0/8".parse().unwrap()];
        config.hosts_file = self.directory.path().join("hosts");
        (self.settings)(&mut config);
        self.gateway = Some(gateway::start(config, testing::worker()).await?);
        Ok(())
    }

    pub async fn stop(&mut self) {
        self.gateway.take().unwrap().stop().await;
    }

    /// Ends the gateway and starts it again from what it kept.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start(None).await.unwrap();
    }

    pub async fn site(&self, more: Value) {
        let mut body = json!({ "id": self.facts().site, "name": "plant" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.controller.put([(ObjectKind::Site, body)]).await;
    }

    pub async fn condition(&self, expression: &str) {
        let body = json!({ "id": self.condition, "name": "healthy", "expression": expression });
        self.controller.put([(ObjectKind::Condition, body)]).await;
    }

    pub async fn entitlement(&self, actions: Value) {
        let conditions = [self.condition];
        let body = json!({
            "id": self.entitlement, "name": "servers", "site": self.facts().site, "conditions": conditions, "actions": actions,
        });
        self.controller.put([(ObjectKind::Entitlement, body)]).await;
    }

    /// Grants TCP to an address.
    pub async fn allow(&self, address: SocketAddr) {
        self.entitlement(json!([allow(address)])).await;
    }

    pub fn device(&self) -> Device {
        let session = SessionId::new(Uuid::new_v4());
        let name = DistinguishedName { device: DeviceId::new(Uuid::new_v4()), user: UserName::new("ana", "local") };
        Device { session, name, identity: self.facts().authority.session(session) }
    }

    pub fn tokens(&self, device: &Device) -> Tokens<'_> {
        Tokens::new(self, device)
    }
}

pub fn allow(address: SocketAddr) -> Value {
    action("allow", "tcp_up", &address.ip().to_string(), address.port())
}

pub fn action(action: &str, subtype: &str, host: &str, port: u16) -> Value {
    json!({ "action": action, "subtype": subtype, "hosts": [host], "ports": [port.to_string()] })
}

/// The tokens of a session, to be signed; every part can be made wrong.
pub struct Tokens<'a> {
    world: &'a World,
    pub claims: Token,
    pub device: Option<Token>,
    pub entitlement: Token,
}

impl<'a> Tokens<'a> {
    fn new(world: &'a World, device: &Device) -> Self {
        let facts = world.facts();
        let now = OffsetDateTime::now_utc();
        let token = |audience, content| Token {
            id: TokenId::new(Uuid::new_v4()),
            issuer: facts.collective,
            name: device.name.clone(),
            audience,
            binding: Some((device.session, device.thumbprint())),
            issued: now,
            expires: now + Duration::from_secs(3600),
            decided_at: world.controller.seq(),
            content,
        };
        let collective = Audience::Collective(facts.collective);
        let user = UserContent {
            provider: IdentityProviderId::new(Uuid::new_v4()),
            authenticated: now,
            user: object(json!({ "username": "ana" })),
            encrypted: None,
            responses: vec![],
        };
        let granted = EntitlementContent {
            site: facts.site,
            site_name: "plant".into(),
            config: 0,
            grants: vec![Grant { entitlement: world.entitlement, policies: vec!["staff".into()] }],
            scripted: Map::new(),
            gateways: vec![],
        };
        Self {
            world,
            claims: token(collective, Content::Claims(user)),
            device: Some(token(collective, Content::DeviceClaims { device: Map::new() })),
            entitlement: token(Audience::Site(facts.site), Content::Entitlement(granted)),
        }
    }

    pub fn reporting(mut self, device: Value) -> Self {
        self.device.as_mut().unwrap().content = Content::DeviceClaims { device: object(device) };
        self
    }

    pub fn grant(&mut self) -> &mut EntitlementContent {
        let Content::Entitlement(content) = &mut self.entitlement.content else { panic!("no entitlement") };
        content
    }

    pub fn present(&self) -> Present {
        let sign = |token: &Token| token.sign(&self.world.signing).unwrap();
        Present {
            claims: sign(&self.claims),
            device_claims: self.device.as_ref().map(sign),
            entitlement: sign(&self.entitlement),
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
