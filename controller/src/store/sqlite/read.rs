//! What is read: each function is one query on one connection.

use engine::{
    dn::{DnEnding, UserName},
    id::{ApplianceId, SessionId, SiteId, TokenId},
    revocation::{RevocationRule, RevocationScope},
    token::TokenKind,
};
use protocol::object::ObjectKind;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, sqlite::SqliteRow};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::columns::{Columns, micros, signed};
use crate::store::{
    AdminMessageRow, AuditFilter, AuditRow, BlacklistRow, DeviceRow, Enrolment, Loaded, MessageStatus, Object, OtpSeed,
    TokenFilter, TokenRow, audit::Link,
};

/// Everything a controller starts from. The connection should stand in a transaction, so that it is of one moment.
pub(super) async fn loaded(connection: &mut SqliteConnection) -> sqlx::Result<Loaded> {
    let seq = sequence(connection).await?;
    let rows = sqlx::query("SELECT kind, id, name, tags, seq, body FROM object").fetch_all(&mut *connection).await?;
    let objects: sqlx::Result<Vec<Object>> = rows.iter().map(object).collect();
    let objects = objects?.into_iter().map(|object| ((object.kind, object.id), object)).collect();
    Ok(Loaded { seq, objects, revocations: rules_after(connection, 0).await? })
}

/// The last sequence number given.
pub(super) async fn sequence(connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'seq'").fetch_one(connection).await?;
    Columns::of(&row).number()
}

/// Revocation rules with a higher sequence, in order.
pub(super) async fn rules_after(connection: &mut SqliteConnection, seq: u64) -> sqlx::Result<Vec<RevocationRule>> {
    let rows = sqlx::query(
        "SELECT seq, ending, kinds, site, token, effective, reason, forget_after FROM revocation
         WHERE seq > ? ORDER BY seq, position",
    )
    .bind(signed(seq)?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(rule).collect()
}

/// The head of a writer's audit chain.
pub(super) async fn chain_head(connection: &mut SqliteConnection, writer: ApplianceId) -> sqlx::Result<Link> {
    let row = sqlx::query("SELECT position, hash FROM audit WHERE writer = ? ORDER BY position DESC LIMIT 1")
        .bind(writer.uuid().as_bytes().as_slice())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(Link::START) };
    let mut columns = Columns::of(&row);
    Ok(Link { position: columns.number()?, hash: columns.hash()? })
}

/// The hash held at a position of a writer's audit chain.
pub(super) async fn chain_hash(
    connection: &mut SqliteConnection,
    writer: ApplianceId,
    position: u64,
) -> sqlx::Result<Option<[u8; 32]>> {
    let row = sqlx::query("SELECT hash FROM audit WHERE writer = ? AND position = ?")
        .bind(writer.uuid().as_bytes().as_slice())
        .bind(signed(position)?)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Columns::of(&row).hash()).transpose()
}

/// Admin messages, newest first.
pub(super) async fn admin_messages(connection: &mut SqliteConnection) -> sqlx::Result<Vec<AdminMessageRow>> {
    let rows = sqlx::query(
        "SELECT id, source, level, category, message, created, count, status FROM admin_message
         ORDER BY created DESC, id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(admin_message).collect()
}

fn admin_message(row: &SqliteRow) -> sqlx::Result<AdminMessageRow> {
    let mut columns = Columns::of(row);
    Ok(AdminMessageRow {
        id: columns.uuid()?,
        source: ApplianceId::new(columns.uuid()?),
        level: columns.take()?,
        category: columns.take()?,
        message: columns.take()?,
        created: columns.time()?,
        count: columns.number()?,
        // A word of another version counts as not dealt with.
        status: MessageStatus::parse(columns.take()?).unwrap_or(MessageStatus::Unresolved),
    })
}

/// A sealed value beside an object.
pub(super) async fn sealed_secret(
    connection: &mut SqliteConnection,
    kind: ObjectKind,
    id: Uuid,
    field: &str,
) -> sqlx::Result<Option<Vec<u8>>> {
    let row = sqlx::query("SELECT sealed FROM secret WHERE kind = ? AND id = ? AND field = ?")
        .bind(kind.path())
        .bind(id.as_bytes().as_slice())
        .bind(field)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Columns::of(&row).take()).transpose()
}

/// A sealed key of the controller itself.
pub(super) async fn sealed_key(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Option<Vec<u8>>> {
    let row = sqlx::query("SELECT sealed FROM key WHERE name = ?").bind(name).fetch_optional(connection).await?;
    row.map(|row| Columns::of(&row).take()).transpose()
}

/// Token rows, newest first.
pub(super) async fn tokens(connection: &mut SqliteConnection, filter: &TokenFilter) -> sqlx::Result<Vec<TokenRow>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    query.push(TOKEN_COLUMNS).push(" FROM token WHERE TRUE");
    if let Some(ending) = &filter.ending {
        push_ending(&mut query, ending);
    }
    if let Some(time) = filter.expires_after {
        query.push(" AND expires > ").push_bind(micros(time));
    }
    if let Some(id) = filter.id {
        query.push(" AND id = ").push_bind(id.uuid().as_bytes().as_slice());
    }
    query.push(" ORDER BY number DESC LIMIT ").push_bind(MAX_TOKENS);
    query.build().fetch_all(connection).await?.iter().map(token).collect()
}

/// All registered devices, in the order of their names.
pub(super) async fn devices(connection: &mut SqliteConnection) -> sqlx::Result<Vec<DeviceRow>> {
    let rows = sqlx::query(
        "SELECT provider, username, device, client, admin, hostname, on_boarded, last_seen FROM device
         ORDER BY provider, username, device",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(device).collect()
}

/// When the last of all tokens expires.
pub(super) async fn latest_expiry(connection: &mut SqliteConnection) -> sqlx::Result<Option<OffsetDateTime>> {
    let row = sqlx::query("SELECT max(expires) FROM token").fetch_one(connection).await?;
    Columns::of(&row).optional_time()
}

/// The registered devices of one user.
pub(super) async fn devices_of(connection: &mut SqliteConnection, user: &UserName) -> sqlx::Result<Vec<DeviceRow>> {
    let rows = sqlx::query(
        "SELECT provider, username, device, client, admin, hostname, on_boarded, last_seen FROM device
         WHERE provider = ? AND username = ? ORDER BY device",
    )
    .bind(user.provider.as_str())
    .bind(user.username.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter().map(device).collect()
}

/// A user's consecutive failures and lock.
pub(super) async fn lockout(
    connection: &mut SqliteConnection,
    user: &UserName,
) -> sqlx::Result<(u32, Option<OffsetDateTime>)> {
    let row = sqlx::query("SELECT failures, locked_at FROM lockout WHERE provider = ? AND username = ?")
        .bind(user.provider.as_str())
        .bind(user.username.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok((0, None)) };
    let mut columns = Columns::of(&row);
    Ok((columns.number()?, columns.optional_time()?))
}

/// A user's seed of one-time codes, its secret still sealed.
pub(super) async fn otp_seed(connection: &mut SqliteConnection, user: &UserName) -> sqlx::Result<Option<OtpSeed>> {
    let row = sqlx::query(
        "SELECT sealed, verified, shown, last_step, failures, locked_at, revision FROM otp_seed
         WHERE provider = ? AND username = ?",
    )
    .bind(user.provider.as_str())
    .bind(user.username.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut columns = Columns::of(&row);
    Ok(Some(OtpSeed {
        user: user.clone(),
        secret: Zeroizing::new(columns.take()?),
        verified: columns.take()?,
        shown: columns.time()?,
        last_step: columns.number()?,
        failures: columns.number()?,
        locked_at: columns.optional_time()?,
        revision: columns.optional_uuid()?,
    }))
}

/// Who has a seed, in the order of names, and whether a code has confirmed it.
pub(super) async fn otp_seeds(connection: &mut SqliteConnection) -> sqlx::Result<Vec<(UserName, bool)>> {
    let rows = sqlx::query("SELECT provider, username, verified FROM otp_seed ORDER BY provider, username")
        .fetch_all(connection)
        .await?;
    let read = |row: &SqliteRow| {
        let mut columns = Columns::of(row);
        let provider: String = columns.take()?;
        Ok((UserName { provider, username: columns.take()? }, columns.take()?))
    };
    rows.iter().map(read).collect()
}

/// Users who may not sign in, in the order of their names.
pub(super) async fn blacklist(connection: &mut SqliteConnection) -> sqlx::Result<Vec<BlacklistRow>> {
    let rows = sqlx::query("SELECT provider, username, reason, since FROM blacklist ORDER BY provider, username")
        .fetch_all(connection)
        .await?;
    rows.iter().map(blacklist_row).collect()
}

/// Whether a user may not sign in, and why.
pub(super) async fn blacklisted(
    connection: &mut SqliteConnection,
    user: &UserName,
) -> sqlx::Result<Option<BlacklistRow>> {
    let row =
        sqlx::query("SELECT provider, username, reason, since FROM blacklist WHERE provider = ? AND username = ?")
            .bind(user.provider.as_str())
            .bind(user.username.as_str())
            .fetch_optional(connection)
            .await?;
    row.as_ref().map(blacklist_row).transpose()
}

fn blacklist_row(row: &SqliteRow) -> sqlx::Result<BlacklistRow> {
    let mut columns = Columns::of(row);
    let (provider, username): (String, String) = (columns.take()?, columns.take()?);
    Ok(BlacklistRow { user: UserName::new(&username, &provider), reason: columns.take()?, since: columns.time()? })
}

/// Enrolment state of an appliance.
pub(super) async fn enrolment(
    connection: &mut SqliteConnection,
    appliance: ApplianceId,
) -> sqlx::Result<Option<Enrolment>> {
    let row = sqlx::query(
        "SELECT secret_sha256 IS NOT NULL, coalesce(secret_sha256, certificate_sha256), expires, address
         FROM enrolment WHERE appliance = ?",
    )
    .bind(appliance.uuid().as_bytes().as_slice())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut columns = Columns::of(&row);
    let seeded: bool = columns.take()?;
    let sha256 = columns.hash()?;
    let expires = columns.optional_time()?;
    Ok(Some(match expires.filter(|_| seeded) {
        Some(expires) => Enrolment::Seeded { secret_sha256: sha256, expires },
        None => Enrolment::Enrolled { certificate_sha256: sha256, address: columns.parse()? },
    }))
}

/// Audit rows, newest first.
pub(super) async fn audit(connection: &mut SqliteConnection, filter: &AuditFilter) -> sqlx::Result<Vec<AuditRow>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT number, writer, position, record, hash FROM audit WHERE TRUE");
    if let Some(number) = filter.before {
        query.push(" AND number < ").push_bind(signed(number)?);
    }
    if let Some(number) = filter.after {
        query.push(" AND number > ").push_bind(signed(number)?);
    }
    if let Some(event_type) = &filter.event_type {
        query.push(" AND event_type = ").push_bind(event_type.as_str());
    }
    if let Some(text) = &filter.contains {
        query.push(" AND instr(record, ").push_bind(text.as_str()).push(") > 0");
    }
    query.push(" ORDER BY number DESC LIMIT ").push_bind(filter.limit.min(MAX_AUDIT_ROWS));
    query.build().fetch_all(connection).await?.iter().map(audit_row).collect()
}

/// Adds what selects the names that end so.
pub(super) fn push_ending(query: &mut QueryBuilder<Sqlite>, ending: &DnEnding) {
    let (provider, username, device) = match ending {
        DnEnding::All => (None, None, None),
        DnEnding::Provider(provider) => (Some(provider), None, None),
        DnEnding::User(user) => (Some(&user.provider), Some(&user.username), None),
        DnEnding::Device(name) => (Some(&name.user.provider), Some(&name.user.username), Some(name.device)),
    };
    if let Some(provider) = provider {
        query.push(" AND provider = ").push_bind(provider.as_str());
    }
    if let Some(username) = username {
        query.push(" AND username = ").push_bind(username.as_str());
    }
    if let Some(device) = device {
        query.push(" AND device = ").push_bind(device.uuid().as_bytes().as_slice());
    }
}

/// A row of [`TOKEN_COLUMNS`].
pub(super) fn token(row: &SqliteRow) -> sqlx::Result<TokenRow> {
    let mut columns = Columns::of(row);
    Ok(TokenRow {
        id: TokenId::new(columns.uuid()?),
        kind: columns.parse()?,
        name: columns.name()?,
        session: columns.optional_uuid()?.map(SessionId::new),
        site: columns.optional_uuid()?.map(SiteId::new),
        issued: columns.time()?,
        expires: columns.time()?,
        revoked_at: columns.optional_time()?,
        decided_at: columns.number()?,
        hostname: columns.take()?,
    })
}

fn object(row: &SqliteRow) -> sqlx::Result<Object> {
    let mut columns = Columns::of(row);
    Ok(Object {
        kind: columns.parse::<ObjectKind>()?,
        id: columns.uuid()?,
        name: columns.take()?,
        tags: columns.json()?,
        seq: columns.number()?,
        body: columns.json()?,
    })
}

fn rule(row: &SqliteRow) -> sqlx::Result<RevocationRule> {
    let mut columns = Columns::of(row);
    Ok(RevocationRule {
        seq: columns.number()?,
        scope: RevocationScope {
            ending: columns.parse()?,
            kinds: columns.parse_all::<TokenKind>()?,
            site: columns.optional_uuid()?.map(SiteId::new),
            token: columns.optional_uuid()?.map(TokenId::new),
        },
        effective: columns.time()?,
        reason: columns.take()?,
        forget_after: columns.time()?,
    })
}

fn device(row: &SqliteRow) -> sqlx::Result<DeviceRow> {
    let mut columns = Columns::of(row);
    Ok(DeviceRow {
        name: columns.name()?,
        client: columns.take()?,
        admin: columns.take()?,
        hostname: columns.take()?,
        on_boarded: columns.time()?,
        last_seen: columns.time()?,
    })
}

fn audit_row(row: &SqliteRow) -> sqlx::Result<AuditRow> {
    let mut columns = Columns::of(row);
    Ok(AuditRow {
        number: columns.number()?,
        writer: ApplianceId::new(columns.uuid()?),
        position: columns.number()?,
        record: columns.take()?,
        hash: Link { position: 0, hash: columns.hash()? }.hash_text(),
    })
}

/// The columns of a token row, in the order [`token`] reads them.
pub(super) const TOKEN_COLUMNS: &str =
    "id, kind, provider, username, device, session, site, issued, expires, nullif(revoked_at, 9223372036854775807),
     decided_at, hostname";

/// Most token rows one question answers.
const MAX_TOKENS: i64 = 10_000;

/// Most audit rows one question answers.
const MAX_AUDIT_ROWS: u32 = 10_000;
