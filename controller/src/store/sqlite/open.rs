//! Opening a store: directory, lock, master key, schema, identity.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use engine::id::ApplianceId;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

use super::{BUSY_TIMEOUT, Identity, OpenError, SqliteOptions, columns::Columns};
use crate::store::seal::{MasterKey, Place};

/// A directory that is locked, with its database in the current schema.
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    pub(super) options: SqliteConnectOptions,
    pub(super) identity: Identity,
    pub(super) master_key: MasterKey,
    pub(super) lock: File,
}

/// Takes the directory and brings its database to the current schema.
pub(super) async fn open(options: &SqliteOptions) -> Result<Opened, OpenError> {
    let directory = options.directory.as_path();
    let lock = lock_directory(directory)?;
    let database = directory.join(DATABASE);
    let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
    let fresh = is_fresh(&database).map_err(unusable)?;
    let master_key = master_key(&options.master_key, fresh)?;
    // SQLite gives its side files the mode of the database, and would itself make one that others may read.
    OpenOptions::new().create(true).append(true).mode(0o600).open(&database).map_err(unusable)?;
    let options = connect_options(&database);
    let mut connection = options.connect().await?;
    migrate(&mut connection).await?;
    let identity = identity(&mut connection, &master_key, directory).await?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)?;
    Ok(Opened { connection, options, identity, master_key, lock })
}

fn lock_directory(path: &Path) -> Result<File, OpenError> {
    let unusable = |source| OpenError::Directory { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

fn is_fresh(database: &Path) -> io::Result<bool> {
    match fs::metadata(database) {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A key is made for a fresh store only: beside a store that exists, a missing key is a mistake to be told.
fn master_key(path: &Path, fresh: bool) -> Result<MasterKey, OpenError> {
    let made = fresh && !path.exists();
    Ok(if made { MasterKey::create(path)? } else { MasterKey::load(path)? })
}

fn connect_options(database: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let row = sqlx::query("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let found: i64 = Columns::of(&row).take()?;
    let known = MIGRATIONS.len() as i64;
    let done = usize::try_from(found).ok().filter(|done| *done <= MIGRATIONS.len());
    let done = done.ok_or(OpenError::Newer { found, known })?;
    for migration in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads who this store belongs to, or settles it on a fresh one.
async fn identity(
    connection: &mut SqliteConnection,
    master_key: &MasterKey,
    directory: &Path,
) -> Result<Identity, OpenError> {
    let wrong = || OpenError::WrongMasterKey(directory.to_owned());
    let check = master_key.seal(CHECK, b"portcullis").map_err(|_| wrong())?;
    let id = || Uuid::new_v4().as_bytes().to_vec();
    // One statement, so that a store has all of it or nothing.
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ('check', ?), ('epoch', ?), ('collective', ?), ('appliance', ?), ('seq', 0)
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(check)
    .bind(id())
    .bind(id())
    .bind(id())
    .execute(&mut *connection)
    .await?;
    let query = sqlx::query(
        "SELECT (SELECT value FROM meta WHERE name = 'check'), (SELECT value FROM meta WHERE name = 'epoch'),
         (SELECT value FROM meta WHERE name = 'collective'), (SELECT value FROM meta WHERE name = 'appliance')",
    );
    let row = query.fetch_one(&mut *connection).await?;
    let mut columns = Columns::of(&row);
    master_key.open(CHECK, columns.take()?).map_err(|_| wrong())?;
    Ok(Identity { epoch: columns.uuid()?, collective: columns.uuid()?, appliance: ApplianceId::new(columns.uuid()?) })
}

/// Schemas in order; the position of the last one that ran is the file's `user_version`. Each is its own transaction.
const MIGRATIONS: &[&str] =
    &[include_str!("0001.sql"), include_str!("0002.sql"), include_str!("0003.sql"), include_str!("0004.sql")];

const DATABASE: &str = "controller.sqlite";

const LOCK: &str = "controller.lock";

const CHECK: Place<'static> = Place { table: "meta", key: &["check"] };
