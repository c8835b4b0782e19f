//! What one transaction changes: every [`Op`] as statements on the writer's connection.
//!
//! Runs inside a savepoint of the writer; an error means that the savepoint is rolled back, so nothing here undoes
//! anything.

mod blacklist;
mod messages;
mod otp_seed;

use std::collections::BTreeMap;

use engine::{
    dn::{DistinguishedName, UserName},
    id::{ApplianceId, TokenId},
    revocation::{RevocationRule, Revocations, TokenFacts},
    token::TokenKind,
};
use protocol::object::ObjectKind;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    columns::{Columns, micros, signed, whole_micros},
    failed, read,
};
use crate::store::{
    Committed, DeviceRow, Enrolment, Expect, NewRevocation, Object, Op, StoreError, TokenRow,
    seal::{MasterKey, Place},
};

/// One transaction being written.
pub(super) struct Changes<'a> {
    connection: &'a mut SqliteConnection,
    master_key: &'a MasterKey,
    /// The number the transaction takes, if it takes one.
    seq: u64,
    /// The sequence of the newest revocation rule before this transaction.
    last_rule: u64,
    now: OffsetDateTime,
    done: Committed,
    /// Rows that revocations of this transaction cover, each once.
    revoked: BTreeMap<TokenId, TokenRow>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        connection: &'a mut SqliteConnection,
        master_key: &'a MasterKey,
        (seq, last_rule): (u64, u64),
        now: OffsetDateTime,
    ) -> Self {
        let done = Committed {
            seq: None,
            objects: Vec::new(),
            deleted: Vec::new(),
            revocations: Vec::new(),
            reevaluations: Vec::new(),
            revoked_tokens: Vec::new(),
        };
        Self { connection, master_key, seq, last_rule, now, done, revoked: BTreeMap::new() }
    }

    /// What the changes came to.
    pub(super) fn finish(self) -> Committed {
        Committed { revoked_tokens: self.revoked.into_values().collect(), ..self.done }
    }

    /// Writes one change.
    pub(super) async fn apply(&mut self, op: Op) -> Result<(), StoreError> {
        match op {
            Op::PutObject { object, expect } => self.put_object(object, expect).await,
            Op::DeleteObject { kind, id } => self.delete_object(kind, id).await,
            Op::PutSecret { kind, id, field, value } => self.put_secret(kind, id, field, Zeroizing::new(value)).await,
            Op::InsertToken(row) => self.insert_token(&row).await,
            Op::Revoke(revocation) => self.revoke(revocation).await,
            Op::Reevaluate { ending, reason: _ } => {
                self.done.seq = Some(self.seq);
                self.done.reevaluations.push(ending);
                Ok(())
            }
            Op::PutDevice(row) => self.put_device(&row).await,
            Op::DeleteDevice { name } => self.delete_device(&name).await,
            Op::PutLockout { user, failures, locked_at } => self.put_lockout(&user, failures, locked_at).await,
            Op::PutOtpSeed(seed) => self.put_otp_seed(&seed).await,
            Op::DeleteOtpSeed { user } => self.delete_otp_seed(&user).await,
            Op::PutBlacklisted(row) => self.put_blacklisted(&row).await,
            Op::DeleteBlacklisted { user } => self.delete_blacklisted(&user).await,
            Op::PutEnrolment { appliance, enrolment } => self.put_enrolment(appliance, &enrolment).await,
            Op::PutKey { name, value } => self.put_key(&name, Zeroizing::new(value)).await,
            Op::PostAdminMessage { source, message } => self.post_message(source, &message).await,
            Op::SetAdminMessageStatus { id, status } => self.set_message_status(id, status).await,
            Op::DeleteAdminMessages { only } => self.delete_messages(only).await,
        }
    }

    async fn put_object(&mut self, mut object: Object, expect: Expect) -> Result<(), StoreError> {
        self.check_names(&object, expect).await?;
        object.seq = self.seq;
        sqlx::query(
            "INSERT INTO object (kind, id, name, tags, seq, body) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name, tags = excluded.tags, seq = excluded.seq,
             body = excluded.body",
        )
        .bind(object.kind.path())
        .bind(object.id.as_bytes().as_slice())
        .bind(object.name.as_str())
        .bind(serde_json::to_string(&object.tags).map_err(failed)?)
        .bind(signed(object.seq)?)
        .bind(object.body.to_string())
        .execute(&mut *self.connection)
        .await?;
        self.done.seq = Some(self.seq);
        self.done.deleted.retain(|gone| *gone != (object.kind, object.id));
        self.done.objects.retain(|earlier| (earlier.kind, earlier.id) != (object.kind, object.id));
        self.done.objects.push(object);
        Ok(())
    }

    async fn check_names(&mut self, object: &Object, expect: Expect) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT id FROM object WHERE kind = ?1 AND (id = ?2 OR name = ?3)")
            .bind(object.kind.path())
            .bind(object.id.as_bytes().as_slice())
            .bind(object.name.as_str())
            .fetch_all(&mut *self.connection)
            .await?;
        let holders: Vec<Uuid> = rows.iter().map(|row| Columns::of(row).uuid()).collect::<sqlx::Result<_>>()?;
        let known = holders.contains(&object.id);
        if expect == Expect::Present && !known {
            return Err(StoreError::Missing { kind: object.kind, id: object.id });
        }
        let name_taken = holders.iter().any(|holder| *holder != object.id);
        if name_taken || (expect == Expect::Absent && known) {
            return Err(StoreError::Conflict { kind: object.kind, name: object.name.clone() });
        }
        Ok(())
    }

    async fn delete_object(&mut self, kind: ObjectKind, id: Uuid) -> Result<(), StoreError> {
        let gone = sqlx::query("DELETE FROM object WHERE kind = ? AND id = ?")
            .bind(kind.path())
            .bind(id.as_bytes().as_slice())
            .execute(&mut *self.connection)
            .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::Missing { kind, id });
        }
        if kind == ObjectKind::Appliance {
            sqlx::query("DELETE FROM enrolment WHERE appliance = ?")
                .bind(id.as_bytes().as_slice())
                .execute(&mut *self.connection)
                .await?;
        }
        self.done.seq = Some(self.seq);
        self.done.objects.retain(|object| (object.kind, object.id) != (kind, id));
        self.done.deleted.push((kind, id));
        Ok(())
    }

    async fn put_secret(
        &mut self,
        kind: ObjectKind,
        id: Uuid,
        field: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let key = [kind.path(), &id.to_string(), field];
        let sealed = self.master_key.seal(Place { table: "secret", key: &key }, &value).map_err(failed)?;
        let written = sqlx::query(
            "INSERT INTO secret (kind, id, field, sealed)
             SELECT kind, id, ?3, ?4 FROM object WHERE kind = ?1 AND id = ?2
             ON CONFLICT (kind, id, field) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(kind.path())
        .bind(id.as_bytes().as_slice())
        .bind(field)
        .bind(sealed)
        .execute(&mut *self.connection)
        .await?;
        if written.rows_affected() == 0 { Err(StoreError::Missing { kind, id }) } else { Ok(()) }
    }

    async fn put_key(&mut self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<(), StoreError> {
        let sealed = self.master_key.seal(Place { table: "key", key: &[name] }, &value).map_err(failed)?;
        sqlx::query(
            "INSERT INTO key (name, sealed) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(name)
        .bind(sealed)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn insert_token(&mut self, row: &TokenRow) -> Result<(), StoreError> {
        let revoked_at = self.revoked_at(row).await?;
        sqlx::query(
            "INSERT INTO token (id, kind, provider, username, device, session, site, issued, expires, revoked_at,
             decided_at, hostname) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id.uuid().as_bytes().as_slice())
        .bind(row.kind.api_name())
        .bind(row.name.user.provider.as_str())
        .bind(row.name.user.username.as_str())
        .bind(row.name.device.uuid().as_bytes().as_slice())
        .bind(row.session.map(|id| id.uuid().as_bytes().to_vec()))
        .bind(row.site.map(|id| id.uuid().as_bytes().to_vec()))
        .bind(micros(row.issued))
        .bind(micros(row.expires))
        .bind(revoked_at.map_or(NEVER, micros))
        .bind(signed(row.decided_at)?)
        .bind(row.hostname.as_deref())
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// When the token dies: a rule may have been made between the decision for the token and this row.
    async fn revoked_at(&mut self, row: &TokenRow) -> Result<Option<OffsetDateTime>, StoreError> {
        if row.decided_at >= self.last_rule {
            return Ok(row.revoked_at);
        }
        let rules = Revocations::new(read::rules_after(self.connection, row.decided_at).await?);
        let facts =
            TokenFacts { id: row.id, kind: row.kind, name: &row.name, site: row.site, decided_at: row.decided_at };
        Ok(row.revoked_at.into_iter().chain(rules.earliest(facts).map(|rule| rule.effective)).min())
    }

    async fn revoke(&mut self, revocation: NewRevocation) -> Result<(), StoreError> {
        let NewRevocation { scope, effective, reason, forget_after } = revocation;
        let rule = RevocationRule {
            seq: self.seq,
            scope,
            effective: whole_micros(effective),
            reason,
            forget_after: whole_micros(forget_after),
        };
        let kinds: Vec<&str> = rule.scope.kinds.iter().copied().map(TokenKind::api_name).collect();
        let kinds = serde_json::to_string(&kinds).map_err(failed)?;
        self.insert_rule(&rule, &kinds).await?;
        let tokens = self.mark_tokens(&rule, &kinds).await?;
        self.revoked.extend(tokens.into_iter().map(|token| (token.id, token)));
        self.done.seq = Some(self.seq);
        self.last_rule = self.seq;
        self.done.revocations.push(rule);
        Ok(())
    }

    async fn insert_rule(&mut self, rule: &RevocationRule, kinds: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO revocation (seq, position, ending, kinds, site, token, effective, reason, forget_after)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(signed(rule.seq)?)
        .bind(signed(self.done.revocations.len() as u64)?)
        .bind(rule.scope.ending.to_string())
        .bind(kinds)
        .bind(rule.scope.site.map(|id| id.uuid().as_bytes().to_vec()))
        .bind(rule.scope.token.map(|id| id.uuid().as_bytes().to_vec()))
        .bind(micros(rule.effective))
        .bind(rule.reason.as_str())
        .bind(micros(rule.forget_after))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn mark_tokens(&mut self, rule: &RevocationRule, kinds: &str) -> Result<Vec<TokenRow>, StoreError> {
        let effective = micros(rule.effective);
        let mut query = QueryBuilder::<Sqlite>::new("UPDATE token SET revoked_at = ");
        query.push_bind(effective).push(" WHERE revoked_at > ").push_bind(effective).push(" AND decided_at < ");
        query.push_bind(signed(rule.seq)?).push(" AND expires > ").push_bind(micros(self.now));
        query.push(" AND kind IN (SELECT value FROM json_each(").push_bind(kinds).push("))");
        if let Some(id) = rule.scope.token {
            query.push(" AND id = ").push_bind(id.uuid().as_bytes().as_slice());
        }
        if let Some(site) = rule.scope.site {
            query.push(" AND kind = ").push_bind(TokenKind::Entitlement.api_name());
            query.push(" AND site = ").push_bind(site.uuid().as_bytes().as_slice());
        }
        read::push_ending(&mut query, &rule.scope.ending);
        query.push(" RETURNING ").push(read::TOKEN_COLUMNS);
        let rows = query.build().fetch_all(&mut *self.connection).await?;
        Ok(rows.iter().map(read::token).collect::<sqlx::Result<_>>()?)
    }

    async fn put_device(&mut self, row: &DeviceRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO device (provider, username, device, client, admin, hostname, on_boarded, last_seen)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (provider, username, device) DO UPDATE SET client = max(client, excluded.client),
             admin = max(admin, excluded.admin), hostname = coalesce(excluded.hostname, hostname),
             last_seen = max(last_seen, excluded.last_seen)",
        )
        .bind(row.name.user.provider.as_str())
        .bind(row.name.user.username.as_str())
        .bind(row.name.device.uuid().as_bytes().as_slice())
        .bind(row.client)
        .bind(row.admin)
        .bind(row.hostname.as_deref())
        .bind(micros(row.on_boarded))
        .bind(micros(row.last_seen))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn delete_device(&mut self, name: &DistinguishedName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM device WHERE provider = ? AND username = ? AND device = ?")
            .bind(name.user.provider.as_str())
            .bind(name.user.username.as_str())
            .bind(name.device.uuid().as_bytes().as_slice())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn put_lockout(
        &mut self,
        user: &UserName,
        failures: u32,
        locked_at: Option<OffsetDateTime>,
    ) -> Result<(), StoreError> {
        let forget = failures == 0 && locked_at.is_none();
        let query = if forget {
            sqlx::query("DELETE FROM lockout WHERE provider = ?1 AND username = ?2")
        } else {
            sqlx::query(
                "INSERT INTO lockout (provider, username, failures, locked_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (provider, username) DO UPDATE SET failures = excluded.failures,
                 locked_at = excluded.locked_at",
            )
        };
        let mut query = query.bind(user.provider.as_str()).bind(user.username.as_str());
        if !forget {
            query = query.bind(failures).bind(locked_at.map(micros));
        }
        query.execute(&mut *self.connection).await?;
        Ok(())
    }

    async fn put_enrolment(&mut self, appliance: ApplianceId, enrolment: &Enrolment) -> Result<(), StoreError> {
        let (secret, expires, certificate, address) = match enrolment {
            Enrolment::Seeded { secret_sha256, expires } => (Some(secret_sha256), Some(micros(*expires)), None, None),
            Enrolment::Enrolled { certificate_sha256, address } => {
                (None, None, Some(certificate_sha256), Some(address.to_string()))
            }
        };
        let written = sqlx::query(
            "INSERT INTO enrolment (appliance, secret_sha256, expires, certificate_sha256, address)
             SELECT id, ?3, ?4, ?5, ?6 FROM object WHERE kind = ?1 AND id = ?2
             ON CONFLICT (appliance) DO UPDATE SET secret_sha256 = excluded.secret_sha256, expires = excluded.expires,
             certificate_sha256 = excluded.certificate_sha256, address = excluded.address",
        )
        .bind(ObjectKind::Appliance.path())
        .bind(appliance.uuid().as_bytes().as_slice())
        .bind(secret.map(|hash| hash.to_vec()))
        .bind(expires)
        .bind(certificate.map(|hash| hash.to_vec()))
        .bind(address)
        .execute(&mut *self.connection)
        .await?;
        let missing = StoreError::Missing { kind: ObjectKind::Appliance, id: appliance.uuid() };
        if written.rows_affected() == 0 { Err(missing) } else { Ok(()) }
    }
}

/// `revoked_at` of a token that no rule covers.
const NEVER: i64 = i64::MAX;
