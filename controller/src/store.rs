//! What the controller keeps, and the one way it is changed.
//!
//! Everything that must survive is written by [`Store::transact`]: a list of [`Op`]s and the audit records that tell of
//! them, together or not at all. When the call answers, the transaction is on disk (promise 5 of the design).
//! Configuration, revocations and re-evaluations take one sequence number per transaction, under a lock held to commit,
//! so that commit order is number order; tokens, devices, lockouts and audit records take none.
//! Readers use [`Store::subscribe`] and in-memory snapshots; nothing on a decision path reads the database.
//!
//! Times are kept to the microsecond. [`Op`] and [`Transaction`] have no `Debug`: they carry secrets in the clear.

pub mod audit;
mod otp_seed;
pub mod seal;
pub mod sqlite;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use engine::{
    dn::{DistinguishedName, UserName},
    id::{ApplianceId, SessionId, SiteId, TokenId},
    revocation::RevocationRule,
    token::TokenKind,
};
use protocol::{message::AdminMessage, object::ObjectKind};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::config::ConfigHandle;

pub use otp_seed::OtpSeed;

/// One configured object as stored: `body` is the document the API shows, without secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Kind.
    pub kind: ObjectKind,
    /// Id, unique within the kind.
    pub id: Uuid,
    /// Name, unique within the kind.
    pub name: String,
    /// Tags in the stored order.
    pub tags: Vec<String>,
    /// Sequence number of the transaction that last wrote it; 0 before the first write.
    pub seq: u64,
    /// The document as the API shows it, defaults filled in.
    pub body: Value,
}

/// What must be true of an object for a write to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Neither id nor name are taken.
    Absent,
    /// The id exists; the name is free or its own.
    Present,
    /// Written either way; used for seeding.
    Any,
}

/// One change.
#[derive(Clone)]
pub enum Op {
    /// Writes an object. Takes a sequence number.
    PutObject { object: Object, expect: Expect },
    /// Deletes an object with its secrets, and an appliance with its enrolment; fails when it does not exist. Takes a
    /// sequence number.
    DeleteObject { kind: ObjectKind, id: Uuid },
    /// Writes a sealed value beside an object: `(kind, id, field)`, such as a user's password hash. The value is sealed
    /// by the store under the master key. Fails when the object does not exist.
    PutSecret { kind: ObjectKind, id: Uuid, field: &'static str, value: Vec<u8> },
    /// Records an issued token.
    InsertToken(TokenRow),
    /// Adds a revocation rule and marks the unexpired token rows it covers; a row keeps the earlier of two times. Takes
    /// a sequence number, which becomes the rule's.
    Revoke(NewRevocation),
    /// Records that matching sessions are to be evaluated again. Takes a sequence number.
    Reevaluate { ending: engine::dn::DnEnding, reason: String },
    /// Registers a device or refreshes when it was seen. A known device keeps its first sign-in, and what signed in
    /// there adds up.
    PutDevice(DeviceRow),
    /// Forgets a device.
    DeleteDevice { name: DistinguishedName },
    /// Sets a user's failure counter and lock; zero failures without a lock forget the user.
    PutLockout { user: UserName, failures: u32, locked_at: Option<OffsetDateTime> },
    /// Writes a user's seed of one-time codes, if it is still as it was read ([`OtpSeed::revision`]).
    PutOtpSeed(OtpSeed),
    /// Forgets a user's seed of one-time codes.
    DeleteOtpSeed { user: UserName },
    /// Keeps a user from signing in. Their tokens are revoked by an op of its own.
    PutBlacklisted(BlacklistRow),
    /// Lets a user sign in again.
    DeleteBlacklisted { user: UserName },
    /// Adds or replaces an appliance's enrolment state. Fails when the appliance does not exist.
    PutEnrolment { appliance: ApplianceId, enrolment: Enrolment },
    /// A key or certificate of the controller itself, sealed under the master key.
    PutKey { name: String, value: Vec<u8> },
    /// Posts an admin message. One that its source has posted before counts up instead; a resolved one is open again.
    /// Beyond 1,000 the oldest go.
    PostAdminMessage { source: ApplianceId, message: AdminMessage },
    /// Says what became of every admin message with the text of this one.
    SetAdminMessageStatus { id: Uuid, status: MessageStatus },
    /// Deletes admin messages: those with this text and source, or all.
    DeleteAdminMessages { only: Option<(String, ApplianceId)> },
}

/// A revocation as asked for; the sequence is given by the store.
#[derive(Debug, Clone)]
pub struct NewRevocation {
    /// Which tokens: everything of the rule but its sequence.
    pub scope: engine::revocation::RevocationScope,
    /// When it takes effect.
    pub effective: OffsetDateTime,
    /// Why, as stored and logged.
    pub reason: String,
    /// When the rule may be forgotten: effective time plus the longest token life.
    pub forget_after: OffsetDateTime,
}

/// One issued token. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// `jti`.
    pub id: TokenId,
    /// Kind.
    pub kind: TokenKind,
    /// `sub`.
    pub name: DistinguishedName,
    /// Session it is bound to; `None` for admin kinds.
    pub session: Option<SessionId>,
    /// Site of an entitlement token.
    pub site: Option<SiteId>,
    /// `iat`.
    pub issued: OffsetDateTime,
    /// `exp`.
    pub expires: OffsetDateTime,
    /// When a revocation takes effect on it.
    pub revoked_at: Option<OffsetDateTime>,
    /// `rev`: the sequence it was decided at.
    pub decided_at: u64,
    /// Host name the device reported.
    pub hostname: Option<String>,
}

/// A registered (on-boarded) device of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Device, user and provider.
    pub name: DistinguishedName,
    /// `Client`, `Admin` or `Client/Admin`, merged from what signed in there.
    pub client: bool,
    /// See `client`.
    pub admin: bool,
    /// Host name it reported.
    pub hostname: Option<String>,
    /// First sign-in.
    pub on_boarded: OffsetDateTime,
    /// Last token issued.
    pub last_seen: OffsetDateTime,
}

/// A user who may not sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlacklistRow {
    /// Who.
    pub user: UserName,
    /// Why, as the administrator put it.
    pub reason: String,
    /// Since when.
    pub since: OffsetDateTime,
}

/// Where an appliance stands on its way into the collective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enrolment {
    /// A seed was exported: SHA-256 of its one-time secret, and when it ends.
    Seeded { secret_sha256: [u8; 32], expires: OffsetDateTime },
    /// Enrolled and pinned to this certificate (SHA-256 of its DER) and source address.
    Enrolled { certificate_sha256: [u8; 32], address: std::net::IpAddr },
}

/// One audit record before it is chained: the members of D 30 that the caller knows.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// `event_type`, such as `authentication_succeeded`.
    pub event_type: &'static str,
    /// Members beside `event_type`, `id`, `timestamp` and the chain.
    pub members: serde_json::Map<String, Value>,
}

/// An audit record as kept: chained per writer.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Position over all writers on this controller, for paging.
    pub number: u64,
    /// Who wrote it: an appliance.
    pub writer: ApplianceId,
    /// Position in the writer's chain, from 1.
    pub position: u64,
    /// The record as JSON text, exactly as hashed.
    pub record: String,
    /// SHA-256 over the previous hash and the record, in hex.
    pub hash: String,
}

/// An admin message as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminMessageRow {
    /// Id.
    pub id: Uuid,
    /// The appliance that posted it.
    pub source: ApplianceId,
    /// What it says; its level and category are words of the admin API.
    pub level: String,
    /// See `level`.
    pub category: String,
    /// The text.
    pub message: String,
    /// When it was posted last.
    pub created: OffsetDateTime,
    /// How often it was posted.
    pub count: u64,
    /// What became of it.
    pub status: MessageStatus,
}

/// What became of an admin message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageStatus {
    /// Nobody has dealt with it.
    Unresolved,
    /// Dealt with; it opens again when it is posted again.
    Resolved,
    /// Not to be shown as open, whatever comes.
    Muted,
}

impl MessageStatus {
    /// The word the admin API has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "Unresolved",
            Self::Resolved => "Resolved",
            Self::Muted => "Muted",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unresolved, Self::Resolved, Self::Muted].into_iter().find(|status| status.as_str() == text)
    }
}

/// Ops and the records that tell of them, durable together.
#[derive(Clone, Default)]
pub struct Transaction {
    /// Changes, in order.
    pub ops: Vec<Op>,
    /// Audit records, in order.
    pub audit: Vec<AuditEvent>,
}

/// What a committed transaction came to.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The sequence number it took, if it held an op that takes one.
    pub seq: Option<u64>,
    /// Objects as written, with their sequence.
    pub objects: Vec<Object>,
    /// Objects that are gone.
    pub deleted: Vec<(ObjectKind, Uuid)>,
    /// Revocation rules that came into being.
    pub revocations: Vec<RevocationRule>,
    /// Endings to evaluate again.
    pub reevaluations: Vec<engine::dn::DnEnding>,
    /// Rows whose end a revocation set or brought forward, as they are now.
    pub revoked_tokens: Vec<TokenRow>,
}

/// Why a transaction did not go through. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The id or name is taken.
    #[error("{kind} `{name}` already exists")]
    Conflict { kind: ObjectKind, name: String },
    /// The object does not exist.
    #[error("{kind} `{id}` does not exist")]
    Missing { kind: ObjectKind, id: Uuid },
    /// A gateway's audit records do not continue the chain held of it.
    #[error("audit records of `{writer}` do not continue its chain at position {position}: {reason}")]
    Chain { writer: ApplianceId, position: u64, reason: &'static str },
    /// What was to be written was changed by somebody else since it was read.
    #[error("it was changed at the same time; try again")]
    Stale,
    /// Too many writes or readers are waiting.
    #[error("too many writes are waiting; try again in a moment")]
    Busy,
    /// The database failed; the text is for the log.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Stable code for API bodies, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "store.conflict",
            Self::Missing { .. } => "store.missing",
            Self::Chain { .. } => "store.audit.chain",
            Self::Stale => "store.stale",
            Self::Busy => "store.busy",
            Self::Failed(_) => "store.failed",
        }
    }
}

/// A future of the store, boxed so that the trait can be used as an object.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Which token rows are asked for.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Names that end so.
    pub ending: Option<engine::dn::DnEnding>,
    /// Only rows that expire after this.
    pub expires_after: Option<OffsetDateTime>,
    /// Only this token.
    pub id: Option<TokenId>,
}

/// Which audit rows are asked for; newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Only rows whose number is below this.
    pub before: Option<u64>,
    /// Only rows whose number is above this.
    pub after: Option<u64>,
    /// Only this `event_type`.
    pub event_type: Option<String>,
    /// Only records whose text holds this.
    pub contains: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Durable state of a collective. `epoch` changes when a backup is restored; positions are `(epoch, seq)`.
pub trait Store: Send + Sync + 'static {
    /// Identity of this sequence of numbers.
    fn epoch(&self) -> Uuid;
    /// Identity of the collective, made when its store was.
    fn collective(&self) -> Uuid;
    /// The controller that writes here: its appliance id, made when its store was; the writer of its audit chain.
    fn appliance(&self) -> ApplianceId;
    /// The configuration as committed. It holds a change before [`Store::transact`] answers and before subscribers hear.
    fn config(&self) -> ConfigHandle;
    /// Applies a transaction. Answers after it is durable and after subscribers were told.
    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, Arc<Committed>>;
    /// Committed transactions that took a sequence number, in number order.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>>;
    /// All objects, the last sequence number, and the live revocation rules, as of one moment.
    fn load(&self) -> StoreFuture<'_, Loaded>;
    /// Reads a sealed value beside an object.
    fn secret(&self, kind: ObjectKind, id: Uuid, field: &'static str) -> StoreFuture<'_, Option<Vec<u8>>>;
    /// Reads a key or certificate of the controller itself.
    fn key(&self, name: &str) -> StoreFuture<'_, Option<Vec<u8>>>;
    /// Token rows, newest first, at most 10,000.
    fn tokens(&self, filter: TokenFilter) -> StoreFuture<'_, Vec<TokenRow>>;
    /// When the last of all tokens expires; `None` without tokens.
    fn latest_expiry(&self) -> StoreFuture<'_, Option<OffsetDateTime>>;
    /// All registered devices.
    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>>;
    /// The registered devices of one user.
    fn devices_of(&self, user: &UserName) -> StoreFuture<'_, Vec<DeviceRow>>;
    /// A user's consecutive failures and lock.
    fn lockout(&self, user: &UserName) -> StoreFuture<'_, (u32, Option<OffsetDateTime>)>;
    /// A user's seed of one-time codes.
    fn otp_seed(&self, user: &UserName) -> StoreFuture<'_, Option<OtpSeed>>;
    /// Whether a user has a seed of one-time codes, also one that cannot be unsealed.
    fn has_otp_seed(&self, user: &UserName) -> StoreFuture<'_, bool>;
    /// Who has a seed of one-time codes, and whether a code has confirmed it.
    fn otp_seeds(&self) -> StoreFuture<'_, Vec<(UserName, bool)>>;
    /// Users who may not sign in, in the order of their names.
    fn blacklist(&self) -> StoreFuture<'_, Vec<BlacklistRow>>;
    /// Whether a user may not sign in, and why.
    fn blacklisted(&self, user: &UserName) -> StoreFuture<'_, Option<BlacklistRow>>;
    /// Enrolment state of an appliance.
    fn enrolment(&self, appliance: ApplianceId) -> StoreFuture<'_, Option<Enrolment>>;
    /// Takes over records a gateway chained itself (see [`audit::Link`]); they must continue its chain without a gap.
    /// Records already held are accepted again when they are the same. Answers the last position held.
    fn append_foreign_audit(&self, writer: ApplianceId, rows: Vec<AuditRow>) -> StoreFuture<'_, u64>;
    /// Admin messages, newest first.
    fn admin_messages(&self) -> StoreFuture<'_, Vec<AdminMessageRow>>;
    /// Audit rows, newest first.
    fn audit(&self, filter: AuditFilter) -> StoreFuture<'_, Vec<AuditRow>>;
}

/// Everything a controller starts from.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Last sequence number given.
    pub seq: u64,
    /// Objects by kind and id.
    pub objects: BTreeMap<(ObjectKind, Uuid), Object>,
    /// Revocation rules that may still matter.
    pub revocations: Vec<RevocationRule>,
}
