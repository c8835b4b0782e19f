//! Sessions as their clients hold them: tokens signed here, verified by the gateway.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use engine::{
    dn::{DistinguishedName, UserName},
    id::{DeviceId, EntitlementId, IdentityProviderId, SessionId, SiteId, TokenId},
    token::{Audience, Content, EntitlementContent, Grant, SigningKey, Thumbprint, Token, UserContent},
};
use gateway::Running;
use protocol::{
    carrier::Peer,
    frame::{MAX_TOKENS_MESSAGE, read_frame, write_frame},
    message::{ControlDown, ControlUp, FlowAnswer, GatewayRequest, Present, TargetHost, Transport},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::memory::{Client, ClientStream, connection};

/// Makes sessions.
pub(super) struct Maker {
    pub(super) gateway: Running,
    pub(super) signing: SigningKey,
    pub(super) collective: Uuid,
    pub(super) site: SiteId,
    pub(super) entitlement: EntitlementId,
    pub(super) services: Vec<SocketAddr>,
}

/// Whose session it is.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) provider: &'static str,
    pub(super) team: usize,
    pub(super) device: u128,
}

/// A session that was admitted.
pub(super) struct Session {
    client: Client,
    _control: ClientStream,
}

impl Maker {
    /// Connects, shows tokens, is admitted.
    pub(super) async fn admit(&self, user: &User) -> Result<Session> {
        let session = SessionId::new(Uuid::new_v4());
        let certificate = Thumbprint::of(session.to_string().as_bytes());
        // 10.0.0.0/8 by device, as offices have it.
        let address = Ipv4Addr::from(0x0a00_0000 | (user.device as u32 & 0x00ff_ffff));
        let (carrier, client) = connection(Peer::Session(session, certificate), (address, 40_000).into());
        tokio::spawn(self.gateway.serve(carrier));
        let mut control = client.open().await?;
        write_frame(&mut control.send, &GatewayRequest::Control).await?;
        let present = ControlUp::Present(self.present(user, session, certificate)?);
        write_frame(&mut control.send, &present).await?;
        match read_frame::<ControlDown, _>(&mut control.receive, MAX_TOKENS_MESSAGE).await? {
            ControlDown::Admitted { .. } => Ok(Session { client, _control: control }),
            other => bail!("gateway answered {other:?}"),
        }
    }

    /// One of the services.
    pub(super) fn service(&self, number: usize) -> Result<SocketAddr> {
        let count = self.services.len().max(1);
        self.services.get(number % count).copied().context("there is no service")
    }

    fn present(&self, user: &User, session: SessionId, certificate: Thumbprint) -> Result<Present> {
        let now = OffsetDateTime::now_utc();
        let device = DeviceId::new(Uuid::from_u128(user.device));
        let name = DistinguishedName { device, user: UserName::new(&user.name, user.provider) };
        let token = |audience, content| Token {
            id: TokenId::new(Uuid::new_v4()),
            issuer: self.collective,
            name: name.clone(),
            audience,
            binding: Some((session, certificate)),
            issued: now,
            expires: now + Duration::from_secs(3600),
            decided_at: 1,
            content,
        };
        let claims = json!({
            "username": user.name, "firstName": "Re", "lastName": "Eval", "team": format!("team-{}", user.team),
            "tags": ["staff", "vpn"], "groups": ["CN=staff,OU=groups,DC=example", "CN=all,OU=groups,DC=example"],
        });
        let reported = json!({
            "os": { "family": "linux", "name": "Linux", "hostname": format!("device-{}", user.device) },
            "isFirewallEnabled": true, "clientVersion": "1.0",
        });
        let claims = UserContent {
            provider: IdentityProviderId::new(Uuid::nil()),
            authenticated: now,
            user: members(claims),
            encrypted: None,
            responses: vec![],
        };
        let granted = EntitlementContent {
            site: self.site,
            site_name: "bench".to_owned(),
            config: 0,
            grants: vec![Grant { entitlement: self.entitlement, policies: vec!["staff".to_owned()] }],
            scripted: Map::new(),
            gateways: vec![],
        };
        let collective = Audience::Collective(self.collective);
        Ok(Present {
            claims: token(collective, Content::Claims(claims)).sign(&self.signing)?,
            device_claims: Some(
                token(collective, Content::DeviceClaims { device: members(reported) }).sign(&self.signing)?,
            ),
            entitlement: token(Audience::Site(self.site), Content::Entitlement(granted)).sign(&self.signing)?,
        })
    }
}

impl Session {
    /// Opens a flow to a service; its conditions are asked for it.
    pub(super) async fn flow(&self, to: SocketAddr) -> Result<Flow> {
        let mut stream = self.client.open().await?;
        let request =
            GatewayRequest::Open { transport: Transport::Tcp, host: TargetHost::Address(to.ip()), port: to.port() };
        write_frame(&mut stream.send, &request).await?;
        match read_frame::<FlowAnswer, _>(&mut stream.receive, MAX_TOKENS_MESSAGE).await? {
            FlowAnswer::Open => Ok(Flow { stream }),
            FlowAnswer::Held { message } => bail!("flow is held: {message}"),
            FlowAnswer::Denied(refusal) => bail!("flow was denied: {} ({})", refusal.code, refusal.message),
        }
    }
}

/// An open flow.
pub(super) struct Flow {
    stream: ClientStream,
}

impl Flow {
    /// When the gateway cut it.
    pub(super) fn cut_at(&self) -> Option<Instant> {
        self.stream.reset.get().copied()
    }

    /// Whether what is sent comes back.
    pub(super) async fn answers(&mut self) -> bool {
        let there_and_back = async {
            self.stream.send.write_all(b"?").await?;
            self.stream.receive.read_u8().await
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), there_and_back).await;
        matches!(answer, Ok(Ok(b'?')))
    }
}

/// The one entitlement: all services, under all conditions.
pub(super) fn entitlement(id: EntitlementId, site: SiteId, conditions: &[Uuid], services: &[SocketAddr]) -> Value {
    let hosts: std::collections::BTreeSet<IpAddr> = services.iter().map(SocketAddr::ip).collect();
    let ports: Vec<String> = services.iter().map(|service| service.port().to_string()).collect();
    json!({
        "id": id, "name": "services", "site": site, "conditions": conditions,
        "actions": [{ "subtype": "tcp_up", "action": "allow", "hosts": hosts, "ports": ports }],
    })
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Shared by the tasks that make sessions.
pub(super) type SharedMaker = Arc<Maker>;
