//! What is said on the wire. Every type here is a wire type; both ends turn what they read into the engine's types.
//!
//! A stream is one exchange: its first frame is a request, what follows depends on the request.
//! - Client or gateway to controller: [`ControllerRequest`], then one [`Answer`]; for [`ControllerRequest::Watch`],
//!   [`ControllerRequest::Report`] and [`ControllerRequest::Questions`] the stream stays open.
//! - Client to gateway: [`GatewayRequest`]. The control stream stays open; a flow stream carries [`FlowAnswer`]s until
//!   the flow is open, then raw bytes (TCP) or length-prefixed datagrams (UDP).

mod admin;
mod device;
mod question;
mod remedy;
mod revocation;
mod shortcut;

use std::net::IpAddr;

use engine::{
    dn::{DistinguishedName, DnEnding},
    id::{ApplianceId, DeviceId, SessionId, SiteId, TokenId},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::object::ObjectKind;

pub use admin::{AdminMessage, MessageCategory, MessageLevel};
pub use device::{DeviceScriptFile, DeviceScriptRef, MAX_DEVICE_SCRIPT_BYTES, OnDemandClaim, Renewed};
pub use question::{
    Asked, ClientFacts, EntitlementDetails, GatewayAnswer, MAX_ANSWER, Question, Resolution, RuleDetails,
    SessionDetails, Told,
};
pub use remedy::{Remedies, RemedyAnswer, RemedyKind, RemedyNeed, RemedyOffer, RemedyQuestion};
pub use shortcut::Shortcut;

/// A request to a controller.
#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum ControllerRequest {
    /// Which identity providers sign users in. Needs no certificate. Answer: [`Providers`].
    Providers,
    /// Signs in. Needs no certificate. Answer: [`Authenticated`].
    Authenticate(Authenticate),
    /// Has device claims countersigned. Answer: [`SignedToken`].
    ReportDevice {
        /// The claims token.
        claims_token: String,
        /// As collected on the device.
        device: Map<String, Value>,
    },
    /// Fetches a device script that the session's list names. Answer: [`DeviceScriptFile`].
    DownloadDeviceScript {
        /// The claims token.
        claims_token: String,
        /// SHA-256 of the file in hex, as the list has it.
        sha256: String,
    },
    /// Asks what the user may do. Answer: [`Authorized`].
    Authorize {
        /// The claims token.
        claims_token: String,
        /// The countersigned device claims.
        device_claims_token: Option<String>,
    },
    /// Renews the claims token on proof of the session key. Answer: [`Renewed`].
    RenewClaims {
        /// The claims token, still valid and unrevoked.
        claims_token: String,
    },
    /// Asks what the user must have before a remedy can be answered. Answer: [`RemedyNeed`].
    PrepareRemedy(RemedyQuestion),
    /// Answers what a false condition asks the user for. Answer: [`SignedToken`], a claims token that remembers it.
    AnswerRemedy(RemedyAnswer),
    /// Ends the session: all its tokens are revoked. Answer: [`Done`].
    SignOut {
        /// The claims token.
        claims_token: String,
    },
    /// Makes a gateway a member. Needs no certificate. Answer: [`Enrolled`].
    Enrol(Enrol),
    /// A gateway follows configuration, revocations and keys. The controller sends [`WatchEvent`]s for ever; the gateway
    /// sends a [`WatchAck`] for each.
    Watch(WatchFrom),
    /// A gateway reports sessions and audit records. The gateway sends [`Report`]s, each is answered by a [`ReportAck`].
    Report,
    /// A gateway lets itself be asked. The controller sends [`Asked`], the gateway a [`Told`] for each.
    Questions,
}

/// The answer to a request that has one.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer<T> {
    /// It was done.
    Ok(T),
    /// It was refused.
    Refused(Refusal),
}

/// Why a request was refused, for a program (`code`) and for a person (`message`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable code, such as `sign-in.failed` or `token.refused`.
    pub code: String,
    /// Plain language, with what to do.
    pub message: String,
    /// When it is worth trying again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_secs: Option<u64>,
}

/// Nothing to say beyond "done".
#[derive(Debug, Serialize, Deserialize)]
pub struct Done {}

/// Identity providers that sign users in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Providers {
    /// Their names.
    pub names: Vec<String>,
    /// Text to show before sign-in.
    pub banner: Option<String>,
}

/// Credentials and the session key to be certified.
#[derive(Serialize, Deserialize)]
pub struct Authenticate {
    /// Name of the identity provider.
    pub provider: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// The device, as it named itself once and for all.
    pub device: DeviceId,
    /// Certificate signing request (PKCS#10, DER, base64) for the session key.
    pub csr: String,
    /// Host name of the device.
    pub hostname: Option<String>,
}

/// A new session.
#[derive(Serialize, Deserialize)]
pub struct Authenticated {
    /// Names the session; the certificate's subject.
    pub session: SessionId,
    /// The session's distinguished name.
    pub name: DistinguishedName,
    /// Certificate for the session key (DER, base64).
    pub certificate: String,
    /// The claims token.
    pub claims: SignedToken,
    /// When the absolute life of the sign-in ends, in seconds since 1970.
    pub sign_in_ends: i64,
    /// Text to show after sign-in.
    pub message_of_the_day: Option<String>,
    /// What the client is to find out about its device.
    #[serde(default)]
    pub on_demand: Vec<OnDemandClaim>,
}

/// A signed token with what its holder may know of it without reading it.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignedToken {
    /// `jti`.
    pub id: TokenId,
    /// Compact JWS.
    pub token: String,
    /// `iat`, in seconds since 1970. Its holder knows by it how long the token lives, whatever the holder's clock says.
    pub issued: i64,
    /// `exp`, in seconds since 1970.
    pub expires: i64,
}

/// What the user may do.
#[derive(Serialize, Deserialize)]
pub struct Authorized {
    /// One entitlement token per Site, with the Site's gateways inside.
    pub sites: Vec<SiteGrant>,
    /// Names of the policies that matched.
    pub policies: Vec<String>,
}

/// Access to one Site.
#[derive(Clone, Serialize, Deserialize)]
pub struct SiteGrant {
    /// The Site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// The entitlement token.
    pub entitlement: SignedToken,
    /// The gateways of the Site.
    pub gateways: Vec<GatewayEndpoint>,
    /// Names of the granted entitlements.
    pub entitlements: Vec<String>,
}

/// Where a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayEndpoint {
    /// The appliance its certificate names.
    pub appliance: ApplianceId,
    /// Host name or address.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// Share of the clients it takes.
    pub weight: u32,
}

/// A gateway that shows its seed.
#[derive(Serialize, Deserialize)]
pub struct Enrol {
    /// The appliance.
    pub appliance: ApplianceId,
    /// The one-time secret of the seed.
    pub secret: String,
    /// Certificate signing request (PKCS#10, DER, base64) for the gateway's key.
    pub csr: String,
}

/// A gateway that is now a member.
#[derive(Serialize, Deserialize)]
pub struct Enrolled {
    /// The collective.
    pub collective: Uuid,
    /// Certificate for the gateway's key (DER, base64).
    pub certificate: String,
    /// The certificate authority (DER, base64).
    pub authority: String,
    /// The gateway's Site.
    pub site: SiteId,
}

/// Where a gateway's configuration stands; an unknown or trimmed position gets a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WatchFrom {
    /// The store the position belongs to.
    pub epoch: Option<Uuid>,
    /// The last number applied.
    pub seq: u64,
}

/// What a gateway is told.
#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WatchEvent {
    /// Everything, to be applied as a difference without dropping sessions.
    Snapshot(Box<Snapshot>),
    /// One transaction.
    Change(Box<Change>),
    /// Nothing for this gateway up to this number. Also sent at intervals, so that silence means loss.
    Progress {
        /// The number.
        seq: u64,
    },
}

/// The whole configuration of a gateway.
#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    /// The collective.
    pub collective: Uuid,
    /// The store.
    pub epoch: Uuid,
    /// The number it is as of.
    pub seq: u64,
    /// The gateway's Site.
    pub site: SiteId,
    /// Where and how this gateway serves.
    pub gateway: GatewayEndpoint,
    /// Configured objects.
    pub objects: Vec<ConfigObject>,
    /// Revocation rules.
    pub revocations: Vec<WireRevocation>,
    /// Token verifying keys (base64).
    pub keys: Vec<String>,
    /// Key that opens encrypted claims (base64).
    pub claims_key: String,
}

/// One transaction, applied as a whole.
#[derive(Serialize, Deserialize)]
pub struct Change {
    /// Its number.
    pub seq: u64,
    /// Objects written.
    pub put: Vec<ConfigObject>,
    /// Objects gone, or no longer this gateway's business.
    pub removed: Vec<(ObjectKind, Uuid)>,
    /// Revocation rules.
    pub revocations: Vec<WireRevocation>,
    /// Names whose sessions are to be evaluated again.
    pub reevaluate: Vec<DnEnding>,
    /// The key set, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
}

/// A configured object as shipped.
#[derive(Clone, Serialize, Deserialize)]
pub struct ConfigObject {
    /// Kind.
    pub kind: ObjectKind,
    /// Id.
    pub id: Uuid,
    /// Number of the transaction that wrote it.
    pub seq: u64,
    /// The document of the admin API.
    pub body: Value,
}

/// A revocation rule as shipped.
#[derive(Clone, Serialize, Deserialize)]
pub struct WireRevocation {
    /// Its number.
    pub seq: u64,
    /// Ending of the distinguished name.
    pub ending: DnEnding,
    /// Kinds, by their API names.
    pub kinds: Vec<engine::token::TokenKind>,
    /// Only this Site.
    pub site: Option<SiteId>,
    /// Only this token.
    pub token: Option<TokenId>,
    /// From when, in milliseconds since 1970.
    pub effective_ms: i64,
    /// Why.
    pub reason: String,
    /// When it may be forgotten, in milliseconds since 1970.
    pub forget_after_ms: i64,
}

/// A gateway has applied everything up to a number.
#[derive(Debug, Serialize, Deserialize)]
pub struct WatchAck {
    /// The number.
    pub seq: u64,
}

/// What a gateway reports.
#[derive(Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// The live sessions, after connecting, in place of all told before. When there are many, the others follow.
    Sessions {
        /// The sessions.
        sessions: Vec<SessionFacts>,
    },
    /// Further live sessions.
    MoreSessions {
        /// The sessions.
        sessions: Vec<SessionFacts>,
    },
    /// A session began or changed.
    SessionStarted(SessionFacts),
    /// A session ended.
    SessionEnded {
        /// The session.
        session: SessionId,
    },
    /// Audit records, in chain order.
    Audit {
        /// The records.
        records: Vec<ChainedRecord>,
    },
    /// Something administrators should look at.
    AdminMessage(AdminMessage),
}

/// A live session as its gateway sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub name: DistinguishedName,
    /// The Site.
    pub site: SiteId,
    /// Source address of the connection.
    pub address: IpAddr,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// When its entitlement token expires, in seconds since 1970.
    pub expires: i64,
    /// Names of the entitlements held.
    pub entitlements: Vec<String>,
    /// What the client says of itself.
    #[serde(default)]
    pub client: Box<ClientFacts>,
}

/// An audit record in its writer's hash chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainedRecord {
    /// Position in the chain, from 1.
    pub position: u64,
    /// The record as JSON text, exactly as hashed.
    pub record: String,
    /// SHA-256 in hex over the 32 bytes of the previous hash (zeros before the first) and the record.
    pub hash: String,
}

/// Answer to a [`Report`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ReportAck {
    /// Last audit position the controller holds durably.
    pub audit_position: u64,
}

/// A request to a gateway.
#[derive(Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum GatewayRequest {
    /// Opens the control stream: the client sends [`ControlUp`], the gateway [`ControlDown`].
    Control,
    /// Opens a flow. Refused before the control stream was admitted.
    Open {
        /// TCP or UDP.
        transport: Transport,
        /// Where to.
        host: TargetHost,
        /// Destination port.
        port: u16,
    },
}

/// Transport of a rootless flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A TCP connection: raw bytes both ways.
    Tcp,
    /// A UDP association: datagrams, each with a length of two bytes, big endian, before it.
    Udp,
}

/// A flow's destination as the application named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetHost {
    /// An address.
    Address(IpAddr),
    /// A name, resolved by the gateway.
    Name(String),
}

/// What the client says on the control stream.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ControlUp {
    /// Presents tokens: first to be admitted, later when they were renewed.
    Present(Present),
    /// The user is done.
    SignOut,
}

/// The tokens of a session on one Site.
#[derive(Serialize, Deserialize)]
pub struct Present {
    /// Claims token.
    pub claims: String,
    /// Device-claims token.
    pub device_claims: Option<String>,
    /// The Site's entitlement token.
    pub entitlement: String,
}

/// What the gateway says on the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ControlDown {
    /// The tokens were taken in; the session is live.
    Admitted {
        /// Names of the entitlements held.
        entitlements: Vec<String>,
    },
    /// The tokens were refused.
    Refused(Refusal),
    /// A condition is false; what it guards is held or was cut.
    ConditionFalse {
        /// Name of the condition.
        condition: String,
        /// Names of the entitlements it guards.
        entitlements: Vec<String>,
        /// Plain language for the user.
        message: String,
        /// What the user can do about it.
        #[serde(default)]
        remedies: Remedies,
    },
    /// A condition holds again.
    ConditionTrue {
        /// Name of the condition.
        condition: String,
    },
    /// Tokens die soon; fetch new ones now.
    RenewBefore {
        /// When, in seconds since 1970.
        at: i64,
        /// Whether the user must authenticate again.
        sign_in: bool,
        /// Why.
        reason: String,
    },
    /// The session is over on this gateway; the connection closes.
    Ended(Refusal),
    /// What was granted changed.
    RulesChanged {
        /// Names of the entitlements held.
        entitlements: Vec<String>,
    },
    /// The app shortcuts of the entitlements held are others now; none were told before.
    Shortcuts {
        /// All of them.
        shortcuts: Vec<Shortcut>,
    },
}

/// How a flow goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "flow", rename_all = "kebab-case")]
pub enum FlowAnswer {
    /// Open: raw data follows.
    Open,
    /// Held until a condition turns true or the hold times out. More answers follow.
    Held {
        /// Plain language for the user.
        message: String,
    },
    /// Refused; the stream ends.
    Denied(Refusal),
}

/// QUIC application error codes, for streams and connections.
pub mod close_code {
    /// Nothing went wrong.
    pub const DONE: u32 = 0;
    /// The peer broke the protocol.
    pub const PROTOCOL: u32 = 1;
    /// A flow lost its permission.
    pub const CUT: u32 = 2;
    /// The session ended.
    pub const SESSION_ENDED: u32 = 3;
    /// The protected host could not be reached or failed.
    pub const UPSTREAM: u32 = 4;
    /// The process stops.
    pub const SHUTDOWN: u32 = 5;
}
