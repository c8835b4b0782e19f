//! The embedded store: one SQLite file, one writer task with group commit, a few readers.
//!
//! The directory belongs to one controller at a time, which a lock on `controller.lock` sees to. A transaction that was
//! answered has been flushed to disk (`synchronous=FULL` on a write-ahead log).

mod changes;
mod columns;
mod err;
mod open;
mod read;
mod writer;

use std::{path::PathBuf, sync::Arc, time::Duration};

use engine::{dn::UserName, id::ApplianceId};
use protocol::object::ObjectKind;
use sqlx::{Sqlite, SqlitePool, pool::PoolConnection, sqlite::SqlitePoolOptions};
use time::OffsetDateTime;
use tokio::{
    sync::{Mutex, broadcast, mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    AdminMessageRow, AuditFilter, AuditRow, BlacklistRow, Committed, DeviceRow, Enrolment, Loaded, OtpSeed, Store,
    StoreError, StoreFuture, TokenFilter, TokenRow, Transaction,
    seal::{MasterKey, Place},
};
use crate::config::ConfigHandle;
use writer::{Command, Writer};

pub use err::OpenError;

/// Where a store is and what it reads the time from.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Directory of the database; made when missing.
    pub directory: PathBuf,
    /// File of the master key; made on the first start of a fresh store. Best kept outside the directory, so that a copy
    /// of the one does not carry the other.
    pub master_key: PathBuf,
    /// The clock, for audit records and for dropping what has expired.
    pub clock: fn() -> OffsetDateTime,
}

/// A store in one SQLite file.
pub struct SqliteStore {
    identity: Identity,
    readers: SqlitePool,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Arc<Committed>>,
    config: ConfigHandle,
    master_key: Arc<MasterKey>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Who a store belongs to.
#[derive(Debug, Clone, Copy)]
struct Identity {
    epoch: Uuid,
    collective: Uuid,
    appliance: ApplianceId,
}

/// The writer went away before it answered.
#[derive(Debug, thiserror::Error)]
#[error("the writer ended or its group of transactions failed; the log says why")]
struct Unanswered;

impl SqliteStore {
    /// Opens the store, making it when the directory holds none, and starts its writer.
    ///
    /// # Errors
    /// When another controller runs on the directory, or the master key is missing, exposed or another one.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let opened = open::open(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .connect_with(opened.options.read_only(true))
            .await?;
        let loaded = load(&readers).await?;
        let config = ConfigHandle::new(opened.identity.epoch, loaded);
        let (commands, receiver) = mpsc::channel(MAX_WAITING);
        let (events, _) = broadcast::channel(MAX_UNHEARD);
        let master_key = Arc::new(opened.master_key);
        let writer = Writer {
            connection: opened.connection,
            commands: receiver,
            events: events.clone(),
            config: config.clone(),
            master_key: Arc::clone(&master_key),
            identity: opened.identity,
            clock: options.clock,
            lock: opened.lock,
        };
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Ok(Self { identity: opened.identity, readers, commands, events, config, master_key, writer })
    }

    /// Commits what waits, closes the file and gives the directory free. Later calls fail.
    pub async fn close(&self) {
        let task = self.writer.lock().await.take();
        if let Some(task) = task {
            // A writer that is gone already has closed the file.
            let _ = self.commands.send(Command::Close).await;
            if task.await.is_err() {
                tracing::error!("Writer of the store ended badly");
            }
        }
        self.readers.close().await;
    }

    /// Hands a command to the writer and waits for what became of it.
    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => failed(Unanswered),
        })?;
        answer.await.map_err(|_| failed(Unanswered))?
    }

    fn unseal(&self, place: Place<'_>, sealed: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> {
        sealed.map(|sealed| self.master_key.open(place, &sealed)).transpose().map_err(failed)
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }
}

impl Store for SqliteStore {
    fn epoch(&self) -> Uuid {
        self.identity.epoch
    }

    fn collective(&self) -> Uuid {
        self.identity.collective
    }

    fn appliance(&self) -> ApplianceId {
        self.identity.appliance
    }

    fn config(&self) -> ConfigHandle {
        self.config.clone()
    }

    fn transact(&self, transaction: Transaction) -> StoreFuture<'_, Arc<Committed>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.ask(Command::Transact(transaction, reply), answer).await
        })
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.events.subscribe()
    }

    fn load(&self) -> StoreFuture<'_, Loaded> {
        Box::pin(load(&self.readers))
    }

    fn secret(&self, kind: ObjectKind, id: Uuid, field: &'static str) -> StoreFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            let sealed = read::sealed_secret(&mut *self.reader().await?, kind, id, field).await?;
            self.unseal(Place { table: "secret", key: &[kind.path(), &id.to_string(), field] }, sealed)
        })
    }

    fn key(&self, name: &str) -> StoreFuture<'_, Option<Vec<u8>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let sealed = read::sealed_key(&mut *self.reader().await?, &name).await?;
            self.unseal(Place { table: "key", key: &[&name] }, sealed)
        })
    }

    fn tokens(&self, filter: TokenFilter) -> StoreFuture<'_, Vec<TokenRow>> {
        Box::pin(async move { Ok(read::tokens(&mut *self.reader().await?, &filter).await?) })
    }

    fn devices(&self) -> StoreFuture<'_, Vec<DeviceRow>> {
        Box::pin(async move { Ok(read::devices(&mut *self.reader().await?).await?) })
    }

    fn latest_expiry(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        Box::pin(async move { Ok(read::latest_expiry(&mut *self.reader().await?).await?) })
    }

    fn devices_of(&self, user: &UserName) -> StoreFuture<'_, Vec<DeviceRow>> {
        let user = user.clone();
        Box::pin(async move { Ok(read::devices_of(&mut *self.reader().await?, &user).await?) })
    }

    fn lockout(&self, user: &UserName) -> StoreFuture<'_, (u32, Option<OffsetDateTime>)> {
        let user = user.clone();
        Box::pin(async move { Ok(read::lockout(&mut *self.reader().await?, &user).await?) })
    }

    fn otp_seed(&self, user: &UserName) -> StoreFuture<'_, Option<OtpSeed>> {
        let user = user.clone();
        Box::pin(async move {
            let Some(mut seed) = read::otp_seed(&mut *self.reader().await?, &user).await? else { return Ok(None) };
            let place = Place { table: "otp_seed", key: &[&user.provider, &user.username] };
            seed.secret = self.master_key.open(place, &seed.secret).map(Zeroizing::new).map_err(failed)?;
            Ok(Some(seed))
        })
    }

    fn has_otp_seed(&self, user: &UserName) -> StoreFuture<'_, bool> {
        let user = user.clone();
        Box::pin(async move { Ok(read::otp_seed(&mut *self.reader().await?, &user).await?.is_some()) })
    }

    fn otp_seeds(&self) -> StoreFuture<'_, Vec<(UserName, bool)>> {
        Box::pin(async move { Ok(read::otp_seeds(&mut *self.reader().await?).await?) })
    }

    fn blacklist(&self) -> StoreFuture<'_, Vec<BlacklistRow>> {
        Box::pin(async move { Ok(read::blacklist(&mut *self.reader().await?).await?) })
    }

    fn blacklisted(&self, user: &UserName) -> StoreFuture<'_, Option<BlacklistRow>> {
        let user = user.clone();
        Box::pin(async move { Ok(read::blacklisted(&mut *self.reader().await?, &user).await?) })
    }

    fn enrolment(&self, appliance: ApplianceId) -> StoreFuture<'_, Option<Enrolment>> {
        Box::pin(async move { Ok(read::enrolment(&mut *self.reader().await?, appliance).await?) })
    }

    fn append_foreign_audit(&self, writer: ApplianceId, rows: Vec<AuditRow>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let position = rows.first().map_or(0, |row| row.position);
            let long = rows.len() > MAX_FOREIGN_ROWS || rows.iter().any(|row| row.record.len() > MAX_FOREIGN_RECORD);
            if long {
                return Err(StoreError::Chain { writer, position, reason: "too many records or one too long" });
            }
            let (reply, answer) = oneshot::channel();
            self.ask(Command::Append(writer, rows, reply), answer).await
        })
    }

    fn admin_messages(&self) -> StoreFuture<'_, Vec<AdminMessageRow>> {
        Box::pin(async move { Ok(read::admin_messages(&mut *self.reader().await?).await?) })
    }

    fn audit(&self, filter: AuditFilter) -> StoreFuture<'_, Vec<AuditRow>> {
        Box::pin(async move { Ok(read::audit(&mut *self.reader().await?, &filter).await?) })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            error => failed(error),
        }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}

async fn load(readers: &SqlitePool) -> Result<Loaded, StoreError> {
    let mut transaction = readers.begin().await?;
    let loaded = read::loaded(&mut transaction).await?;
    transaction.commit().await?;
    Ok(loaded)
}

/// Connections that read; what decides reads snapshots in memory instead.
const READERS: u32 = 4;

/// How long a reader waits for a connection and a statement for a lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands that may wait for the writer; the next one is told that the store is busy.
const MAX_WAITING: usize = 4096;

/// Commits a subscriber may lag behind before it must load anew.
const MAX_UNHEARD: usize = 1024;

/// Most foreign audit records taken over at once.
const MAX_FOREIGN_ROWS: usize = 4096;

/// Longest foreign audit record, in bytes.
const MAX_FOREIGN_RECORD: usize = 256 * 1024;
