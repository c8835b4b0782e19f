//! A controller as a gateway sees it: it enrols, tells what is configured, asks for re-evaluation and revokes, over QUIC.
//!
//! It is played, because a real one would have to sign in a hundred thousand users first.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    id::{ApplianceId, SiteId},
    token::TokenKind,
};
use protocol::{
    carrier::{SharedCarrier, Stream},
    frame::{MAX_CONFIG_MESSAGE, MAX_MESSAGE, read_frame, write_frame},
    message::{
        Answer, Change, ConfigObject, ControllerRequest, Enrolled, GatewayEndpoint, Report, ReportAck, Snapshot,
        WatchAck, WatchEvent, WireRevocation,
    },
    object::ObjectKind,
    quic::{CONTROLLER_ALPN, Limits, Listener},
    tls::{AuthorityPin, CONTROLLER_NAME, ClientCertificates, Identity, appliance_uri, gateway_name, server_config},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::broadcast;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What the gateway is part of.
pub(super) struct Facts {
    pub(super) collective: Uuid,
    pub(super) appliance: ApplianceId,
    pub(super) site: SiteId,
    pub(super) signing_key: [u8; 32],
    /// Configured objects.
    pub(super) objects: Vec<(ObjectKind, Value)>,
}

/// The controller; it serves for as long as the process lives.
#[derive(Clone)]
pub(super) struct Controller {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    facts: Facts,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
    seq: AtomicU64,
    changes: broadcast::Sender<Value>,
}

impl Controller {
    pub(super) fn start(facts: Facts) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&key)?.der().clone();
        let issuer = Issuer::from_ca_cert_der(&authority, key)?;
        let shared = Shared { facts, issuer, authority, seq: AtomicU64::new(1), changes: broadcast::Sender::new(1024) };
        let shared = Arc::new(shared);
        let own = KeyPair::generate()?;
        let names = vec![uri(&appliance_uri(ApplianceId::new(Uuid::new_v4())))?, dns(CONTROLLER_NAME)?];
        let identity = Identity { certificate: shared.sign(names, &own)?, key: Zeroizing::new(own.serialize_der()) };
        let tls = server_config(&identity, &shared.authority, ClientCertificates::Optional, CONTROLLER_ALPN)?;
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), tls, Limits::default())?;
        let address = listener.local_address()?;
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Some(incoming) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move {
                    if let Ok(carrier) = incoming.finish().await {
                        serve(carrier, shared).await;
                    }
                });
            }
        });
        Ok(Self { address, shared })
    }

    /// What makes a gateway a member.
    pub(super) fn seed(&self) -> String {
        let facts = &self.shared.facts;
        let seed = json!({
            "collectiveId": facts.collective, "controllers": [self.address.to_string()],
            "caFingerprint": AuthorityPin::of(&self.shared.authority).to_string(), "applianceId": facts.appliance,
            "secret": "c2VjcmV0", "expires": "2099-01-01T00:00:00Z",
        });
        STANDARD.encode(seed.to_string())
    }

    /// Asks for the sessions whose names end so to be evaluated again.
    pub(super) fn reevaluate(&self, ending: &str) -> Result<()> {
        let ending = ending.parse()?;
        self.commit(|change| change.reevaluate = vec![ending])
    }

    /// Revokes the entitlement tokens of a user, at once.
    pub(super) fn revoke(&self, ending: &str) -> Result<()> {
        let ending = ending.parse()?;
        let millis = |moment: OffsetDateTime| i64::try_from(moment.unix_timestamp_nanos() / 1_000_000);
        let now = OffsetDateTime::now_utc();
        let (effective_ms, forget_after_ms) = (millis(now)?, millis(now + Duration::from_secs(86_400))?);
        self.commit(|change| {
            change.revocations = vec![WireRevocation {
                seq: change.seq,
                ending,
                kinds: vec![TokenKind::Entitlement],
                site: None,
                token: None,
                effective_ms,
                reason: "bench".to_owned(),
                forget_after_ms,
            }];
        })
    }

    fn commit(&self, fill: impl FnOnce(&mut Change)) -> Result<()> {
        let seq = self.shared.seq.fetch_add(1, Ordering::AcqRel) + 1;
        let mut change =
            Change { seq, put: vec![], removed: vec![], revocations: vec![], reevaluate: vec![], keys: None };
        fill(&mut change);
        let event = serde_json::to_value(WatchEvent::Change(Box::new(change)))?;
        self.shared.changes.send(event).map(drop).context("no gateway follows")
    }
}

impl Shared {
    fn sign(&self, names: Vec<SanType>, key: &impl PublicKeyData) -> Result<CertificateDer<'static>> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }

    fn enrol(&self, csr: &str) -> Result<Enrolled> {
        let der = CertificateSigningRequestDer::from(STANDARD.decode(csr)?);
        let request = CertificateSigningRequestParams::from_der(&der)?;
        let appliance = self.facts.appliance;
        let names = vec![uri(&appliance_uri(appliance))?, dns(&gateway_name(appliance))?];
        Ok(Enrolled {
            collective: self.facts.collective,
            certificate: STANDARD.encode(self.sign(names, &request.public_key)?),
            authority: STANDARD.encode(&self.authority),
            site: self.facts.site,
        })
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let facts = &self.facts;
        let object = |(kind, body): &(ObjectKind, Value)| {
            let id = body["id"].as_str().context("an object has no id")?.parse()?;
            anyhow::Ok(ConfigObject { kind: *kind, id, seq: 1, body: body.clone() })
        };
        Ok(Snapshot {
            collective: facts.collective,
            epoch: Uuid::nil(),
            seq: self.seq.load(Ordering::Acquire),
            site: facts.site,
            gateway: GatewayEndpoint { appliance: facts.appliance, host: "127.0.0.1".into(), port: 443, weight: 100 },
            objects: facts.objects.iter().map(object).collect::<Result<_>>()?,
            revocations: Vec::new(),
            keys: vec![STANDARD.encode(facts.signing_key)],
            claims_key: STANDARD.encode([7; 32]),
        })
    }
}

async fn serve(carrier: SharedCarrier, shared: Arc<Shared>) {
    while let Ok(stream) = carrier.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A gateway that stops following is seen by what it does not do any more.
            let _ = serve_stream(stream, &shared).await;
        });
    }
}

async fn serve_stream(mut stream: Stream, shared: &Shared) -> Result<()> {
    match read_frame(&mut stream.receive, MAX_MESSAGE).await? {
        ControllerRequest::Enrol(enrol) => {
            write_frame(&mut stream.send, &Answer::Ok(shared.enrol(&enrol.csr)?)).await?;
            stream.send.finish();
            Ok(())
        }
        ControllerRequest::Watch(_) => watch(stream, shared).await,
        ControllerRequest::Report => take_reports(stream).await,
        // Nothing is ever asked; the stream stays open.
        ControllerRequest::Questions => Ok(std::future::pending().await),
        ControllerRequest::Providers
        | ControllerRequest::Authenticate(_)
        | ControllerRequest::ReportDevice { .. }
        | ControllerRequest::DownloadDeviceScript { .. }
        | ControllerRequest::Authorize { .. }
        | ControllerRequest::RenewClaims { .. }
        | ControllerRequest::PrepareRemedy(_)
        | ControllerRequest::AnswerRemedy(_)
        | ControllerRequest::SignOut { .. } => anyhow::bail!("no gateway asks this"),
    }
}

/// Sends changes as they come, without waiting for the gateway to have applied the one before.
async fn watch(stream: Stream, shared: &Shared) -> Result<()> {
    let mut changes = shared.changes.subscribe();
    let Stream { mut send, mut receive } = stream;
    write_frame(&mut send, &WatchEvent::Snapshot(Box::new(shared.snapshot()?))).await?;
    let acknowledged = async { while read_frame::<WatchAck, _>(&mut receive, MAX_MESSAGE).await.is_ok() {} };
    let telling = async {
        loop {
            let next = tokio::select! {
                change = changes.recv() => change?,
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    serde_json::to_value(WatchEvent::Progress { seq: shared.seq.load(Ordering::Acquire) })?
                }
            };
            write_frame(&mut send, &next).await?;
        }
    };
    tokio::select! {
        () = acknowledged => anyhow::bail!("the gateway follows no longer"),
        ended = telling => ended,
    }
}

/// Takes everything and keeps nothing. All sessions come in one frame, however many there are.
async fn take_reports(mut stream: Stream) -> Result<()> {
    let mut audit_position = 0;
    loop {
        if let Report::Audit { records } = read_frame(&mut stream.receive, MAX_CONFIG_MESSAGE).await? {
            audit_position = records.last().map_or(audit_position, |record| record.position);
        }
        write_frame(&mut stream.send, &ReportAck { audit_position }).await?;
    }
}

fn uri(text: &str) -> Result<SanType> {
    Ok(SanType::URI(text.try_into()?))
}

fn dns(text: &str) -> Result<SanType> {
    Ok(SanType::DnsName(text.try_into()?))
}
