//! The one writer: a task that owns the writing connection and commits whatever waits as one group.
//!
//! Waiting transactions share a `BEGIN IMMEDIATE` and its `COMMIT`, so that one flush to disk serves them all. Each
//! stands in a savepoint of its own, so that one that fails takes no other down.
//!
//! INVARIANT: sequence numbers and audit positions are given in the order of the savepoints and kept only by a commit;
//! after a failed group they are read back from the database.
//! INVARIANT: after a commit the configuration is swapped first, then subscribers hear, then callers are answered.

use std::{fs::File, mem, sync::Arc};

use engine::id::ApplianceId;
use sqlx::{Connection as _, SqliteConnection};
use time::{Duration, OffsetDateTime};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::{
    Identity,
    changes::Changes,
    columns::{micros, signed},
    failed, read,
};
use crate::{
    config::ConfigHandle,
    store::{AuditEvent, AuditRow, Committed, StoreError, Transaction, audit, audit::Link, seal::MasterKey},
};

/// What the writer is asked to do. Whoever asked hears nothing, which means failure, when the group does not commit.
pub(super) enum Command {
    /// Writes a transaction.
    Transact(Transaction, oneshot::Sender<Result<Arc<Committed>, StoreError>>),
    /// Takes over audit records of a gateway.
    Append(ApplianceId, Vec<AuditRow>, oneshot::Sender<Result<u64, StoreError>>),
    /// Commits what came before, then ends.
    Close,
}

/// Everything the writer owns.
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: broadcast::Sender<Arc<Committed>>,
    pub(super) config: ConfigHandle,
    pub(super) master_key: Arc<MasterKey>,
    pub(super) identity: Identity,
    pub(super) clock: fn() -> OffsetDateTime,
    /// Keeps a second controller off the directory for as long as this one may write.
    pub(super) lock: File,
}

/// What the next transaction continues from.
#[derive(Clone, Copy)]
struct Position {
    seq: u64,
    last_rule: u64,
    head: Link,
}

/// An outcome that is told once the group is on disk.
enum Answer {
    Transacted(oneshot::Sender<Result<Arc<Committed>, StoreError>>, Result<Arc<Committed>, StoreError>),
    Appended(oneshot::Sender<Result<u64, StoreError>>, Result<u64, StoreError>),
}

impl Writer {
    /// Runs until every sender is gone or [`Command::Close`] arrives.
    pub(super) async fn run(mut self) {
        let mut position = None;
        let mut pruned = (self.clock)();
        let mut waiting = Vec::with_capacity(MAX_GROUP);
        let mut closing = false;
        while !closing && self.commands.recv_many(&mut waiting, MAX_GROUP).await > 0 {
            let group: Vec<Command> = mem::take(&mut waiting);
            closing = group.iter().any(|command| matches!(command, Command::Close));
            match self.commit(position.take(), group).await {
                Ok(next) => position = Some(next),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "Group of transactions failed");
                    self.roll_back().await;
                }
            }
            let now = (self.clock)();
            if now - pruned >= PRUNE_EVERY {
                pruned = now;
                self.prune(now).await;
            }
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "Store did not close cleanly");
        }
        drop(self.lock);
    }

    /// Writes and commits a group, then tells everybody.
    async fn commit(&mut self, position: Option<Position>, group: Vec<Command>) -> sqlx::Result<Position> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let before = match position {
            Some(position) => position,
            None => self.read_position().await?,
        };
        let mut position = before;
        let mut answers = Vec::with_capacity(group.len());
        for command in group {
            answers.extend(self.perform(command, &mut position).await?);
        }
        if position.seq != before.seq {
            sqlx::query("UPDATE meta SET value = ? WHERE name = 'seq'")
                .bind(signed(position.seq)?)
                .execute(&mut self.connection)
                .await?;
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        self.tell(answers);
        Ok(position)
    }

    async fn perform(&mut self, command: Command, position: &mut Position) -> sqlx::Result<Option<Answer>> {
        let (transaction, reply) = match command {
            Command::Transact(transaction, reply) => (transaction, reply),
            Command::Append(writer, rows, reply) => {
                self.savepoint().await?;
                let outcome = self.append_foreign(writer, rows).await;
                return Ok(Some(Answer::Appended(reply, self.settle(outcome).await?)));
            }
            Command::Close => return Ok(None),
        };
        self.savepoint().await?;
        let outcome = self.transact(transaction, *position).await;
        let outcome = self.settle(outcome).await?.map(|(committed, next)| {
            *position = next;
            Arc::new(committed)
        });
        Ok(Some(Answer::Transacted(reply, outcome)))
    }

    async fn transact(
        &mut self,
        transaction: Transaction,
        from: Position,
    ) -> Result<(Committed, Position), StoreError> {
        let now = (self.clock)();
        let numbers = (from.seq + 1, from.last_rule);
        let mut changes = Changes::new(&mut self.connection, &self.master_key, numbers, now);
        for op in transaction.ops {
            changes.apply(op).await?;
        }
        let committed = changes.finish();
        let mut next = from;
        if let Some(seq) = committed.seq {
            next.seq = seq;
        }
        if !committed.revocations.is_empty() {
            next.last_rule = next.seq;
        }
        for event in transaction.audit {
            next.head = self.append_own(event, next.head, now).await?;
        }
        Ok((committed, next))
    }

    async fn append_own(&mut self, event: AuditEvent, head: Link, now: OffsetDateTime) -> Result<Link, StoreError> {
        let event_type = event.event_type;
        let record = audit::record(event, self.identity.collective, now).map_err(failed)?;
        let link = head.next(&record);
        self.insert_record(self.identity.appliance, event_type, &record, link).await?;
        Ok(link)
    }

    /// Verifies that the rows continue the writer's chain and keeps those that are new.
    async fn append_foreign(&mut self, writer: ApplianceId, rows: Vec<AuditRow>) -> Result<u64, StoreError> {
        let refuse = |position, reason| Err(StoreError::Chain { writer, position, reason });
        if writer == self.identity.appliance {
            return refuse(0, "the chain is this controller's own");
        }
        let mut head = read::chain_head(&mut self.connection, writer).await?;
        let first = rows.first().map_or(1, |row| row.position);
        for (row, position) in rows.iter().zip(first..) {
            if row.position != position || position == 0 {
                return refuse(row.position, "positions do not follow each other");
            }
            if position <= head.position {
                let held = read::chain_hash(&mut self.connection, writer, position).await?;
                let same = held.is_some_and(|hash| Link { position, hash }.hash_text() == row.hash);
                if !same {
                    return refuse(position, "another record is held there");
                }
                continue;
            }
            let link = head.next(&row.record);
            if link.position != position {
                return refuse(position, "records before it are missing");
            }
            if link.hash_text() != row.hash {
                return refuse(position, "the hash does not fit");
            }
            let Some(event_type) = event_type(&row.record) else {
                return refuse(position, "the record is no audit record");
            };
            self.insert_record(writer, &event_type, &row.record, link).await?;
            head = link;
        }
        Ok(head.position)
    }

    async fn insert_record(
        &mut self,
        writer: ApplianceId,
        event_type: &str,
        record: &str,
        link: Link,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO audit (writer, position, event_type, record, hash) VALUES (?, ?, ?, ?, ?)")
            .bind(writer.uuid().as_bytes().as_slice())
            .bind(signed(link.position)?)
            .bind(event_type)
            .bind(record)
            .bind(link.hash.as_slice())
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn savepoint(&mut self) -> sqlx::Result<()> {
        sqlx::query("SAVEPOINT one").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Keeps or undoes what happened since the savepoint. An error here means that the whole group is lost.
    async fn settle<T>(&mut self, outcome: Result<T, StoreError>) -> sqlx::Result<Result<T, StoreError>> {
        if outcome.is_err() {
            sqlx::query("ROLLBACK TO one").execute(&mut self.connection).await?;
        }
        sqlx::query("RELEASE one").execute(&mut self.connection).await?;
        Ok(outcome)
    }

    async fn read_position(&mut self) -> sqlx::Result<Position> {
        let seq = read::sequence(&mut self.connection).await?;
        let rules = read::rules_after(&mut self.connection, 0).await?;
        let last_rule = rules.last().map_or(0, |rule| rule.seq);
        let head = read::chain_head(&mut self.connection, self.identity.appliance).await?;
        Ok(Position { seq, last_rule, head })
    }

    fn tell(&self, answers: Vec<Answer>) {
        let committed: Vec<Arc<Committed>> = answers.iter().filter_map(Answer::numbered).collect();
        if !committed.is_empty() {
            self.config.apply(&committed, (self.clock)());
        }
        for committed in committed {
            // Without subscribers there is nobody to tell.
            let _ = self.events.send(committed);
        }
        for answer in answers {
            answer.tell();
        }
    }

    async fn roll_back(&mut self) {
        // SQLite has rolled back by itself after some errors, and then says that there is nothing to roll back.
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Nothing to roll back");
        }
    }

    /// Drops rows nobody asks for any more: tokens long expired, rules that no living token can match.
    async fn prune(&mut self, now: OffsetDateTime) {
        let tokens =
            sqlx::query("DELETE FROM token WHERE number IN (SELECT number FROM token WHERE expires < ? LIMIT ?)")
                .bind(micros(now - TOKEN_KEPT_AFTER_EXPIRY))
                .bind(MAX_PRUNED)
                .execute(&mut self.connection)
                .await;
        let rules = sqlx::query("DELETE FROM revocation WHERE forget_after <= ?")
            .bind(micros(now))
            .execute(&mut self.connection)
            .await;
        if let Err(error) = tokens.and(rules) {
            tracing::warn!(error = &error as &dyn std::error::Error, "Old rows were not dropped");
        }
    }
}

impl Answer {
    /// The transaction, if it took a sequence number.
    fn numbered(&self) -> Option<Arc<Committed>> {
        match self {
            Self::Transacted(_, Ok(committed)) => committed.seq.is_some().then(|| Arc::clone(committed)),
            Self::Transacted(_, Err(_)) | Self::Appended(..) => None,
        }
    }

    /// Answers; whoever has stopped waiting misses nothing.
    fn tell(self) {
        match self {
            Self::Transacted(reply, outcome) => drop(reply.send(outcome)),
            Self::Appended(reply, outcome) => drop(reply.send(outcome)),
        }
    }
}

fn event_type(record: &str) -> Option<String> {
    let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(record).ok()?;
    Some(record.get("event_type")?.as_str()?.to_owned())
}

/// Most commands of one group: enough to share a flush, few enough that the first does not wait long for the last.
const MAX_GROUP: usize = 256;

/// How often old rows are dropped.
const PRUNE_EVERY: Duration = Duration::minutes(1);

/// Token rows are listed for a day after they expired (D 6.1).
const TOKEN_KEPT_AFTER_EXPIRY: Duration = Duration::hours(24);

/// Most token rows dropped at a time, so that writers do not wait long.
const MAX_PRUNED: i64 = 5000;
