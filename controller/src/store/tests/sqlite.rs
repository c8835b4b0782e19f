use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    sync::Mutex,
};

use engine::dn::UserName;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::*;
use crate::store::{
    OtpSeed,
    audit::verify_audit,
    sqlite::{OpenError, SqliteOptions, SqliteStore},
};

struct SqliteHome {
    directory: TempDir,
    open: Mutex<Option<Arc<SqliteStore>>>,
}

impl SqliteHome {
    fn options(&self) -> SqliteOptions {
        SqliteOptions { directory: self.directory.path().join("data"), master_key: self.key(), clock: now }
    }

    fn key(&self) -> std::path::PathBuf {
        self.directory.path().join("master.key")
    }

    fn file(&self) -> std::path::PathBuf {
        self.options().directory.join("controller.sqlite")
    }

    async fn refused(&self) -> OpenError {
        match SqliteStore::open(self.options()).await {
            Ok(_) => panic!("the store opened"),
            Err(error) => error,
        }
    }

    /// Makes a store with something in it and closes it.
    async fn written() -> Self {
        let home = Self::new().await;
        let store = home.open().await;
        for index in 0..4 {
            let written = object(&format!("script{index}"));
            store.transact(told([put(&written, Expect::Absent)], "entity_created")).await.unwrap();
        }
        home.close().await;
        home
    }
}

impl Home for SqliteHome {
    async fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), open: Mutex::new(None) }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let store = Arc::new(SqliteStore::open(self.options()).await.unwrap());
        *self.open.lock().unwrap() = Some(Arc::clone(&store));
        store
    }

    async fn close(&self) {
        let store = self.open.lock().unwrap().take().unwrap();
        store.close().await;
    }
}

super::conformance::conformance!(SqliteHome);

#[tokio::test]
async fn one_controller_per_directory() {
    let home = SqliteHome::new().await;
    let _first = home.open().await;
    let error = home.refused().await;
    assert_eq!(error.code(), "store.locked");
    assert!(error.to_string().starts_with("another controller is running on the data directory"), "{error}");
    home.close().await;
    home.open().await;
}

#[tokio::test]
async fn a_closed_store_writes_nothing() {
    let home = SqliteHome::new().await;
    let store = home.open().await;
    home.close().await;
    let answer = store.transact(told([], "entity_created")).await;
    assert_eq!(answer.unwrap_err().code(), "store.failed");
}

#[tokio::test]
async fn only_the_owner_may_read_what_is_kept() {
    let home = SqliteHome::written().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.key()), 0o600);
    assert_eq!(mode(&home.file()), 0o600);
    assert_eq!(mode(&home.options().directory), 0o700);
    assert_eq!(fs::read(home.key()).unwrap().len(), 32);
}

#[tokio::test]
async fn an_exposed_master_key_is_refused() {
    let home = SqliteHome::written().await;
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(home.key(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(home.refused().await.code(), "master-key.exposed");
    }
    fs::set_permissions(home.key(), fs::Permissions::from_mode(0o400)).unwrap();
    home.open().await;
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let home = SqliteHome::written().await;
    let write = |bytes: &[u8]| {
        fs::remove_file(home.key()).unwrap();
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.key()).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    };
    let right = fs::read(home.key()).unwrap();
    write(&[1; 32]);
    let error = home.refused().await;
    assert_eq!(error.code(), "master-key.wrong");
    assert!(error.to_string().starts_with("the master key does not belong to the store"), "{error}");
    for length in [0, 31, 33] {
        write(&vec![1; length]);
        assert_eq!(home.refused().await.code(), "master-key.length");
    }
    write(&right);
    home.open().await;
}

#[tokio::test]
async fn a_store_without_its_master_key_gets_no_new_one() {
    let home = SqliteHome::written().await;
    fs::remove_file(home.key()).unwrap();
    assert_eq!(home.refused().await.code(), "master-key.missing");
    assert!(!home.key().exists());
}

#[tokio::test]
async fn sealed_values_cannot_be_read_in_the_files() {
    let home = SqliteHome::new().await;
    let store = home.open().await;
    let (user, plain) = (object("ana"), b"argon2id-of-a-secret".to_vec());
    let written = [
        put(&user, Expect::Absent),
        Op::PutSecret { kind: user.kind, id: user.id, field: "password", value: plain.clone() },
        Op::PutKey { name: "ca".into(), value: plain.clone() },
        Op::PutOtpSeed(OtpSeed {
            user: UserName::new("ana", "local"),
            secret: plain.clone().into(),
            verified: true,
            shown: NOW,
            last_step: 0,
            failures: 0,
            locked_at: None,
            revision: None,
        }),
    ];
    store.transact(ops(written)).await.unwrap();
    let holds = |needle: &[u8]| {
        let files =
            fs::read_dir(home.options().directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    assert!(holds(b"return true;"), "the search finds what is not sealed");
    assert!(!holds(&plain));
    home.close().await;
    assert!(!holds(&plain));
}

#[tokio::test]
async fn a_sealed_value_opens_only_where_it_stands() {
    let home = SqliteHome::new().await;
    let store = home.open().await;
    let keys = ["ca", "token"].map(|name| Op::PutKey { name: name.into(), value: name.as_bytes().to_vec() });
    store.transact(ops(keys)).await.unwrap();
    home.close().await;
    change(&home, "UPDATE key SET sealed = (SELECT sealed FROM key WHERE name = 'token') WHERE name = 'ca'").await;
    let store = home.open().await;
    assert_eq!(store.key("ca").await.unwrap_err().code(), "store.failed");
    assert_eq!(store.key("token").await.unwrap().unwrap(), b"token");
}

#[tokio::test]
async fn a_seed_that_cannot_be_unsealed_is_known_and_can_be_deleted() {
    let home = SqliteHome::new().await;
    let store = home.open().await;
    let user = UserName::new("ana", "local");
    let seed = OtpSeed {
        user: user.clone(),
        secret: b"a secret".to_vec().into(),
        verified: true,
        shown: NOW,
        last_step: 0,
        failures: 0,
        locked_at: None,
        revision: None,
    };
    store.transact(ops([Op::PutOtpSeed(seed)])).await.unwrap();
    home.close().await;
    change(&home, "UPDATE otp_seed SET sealed = zeroblob(60)").await;
    let store = home.open().await;
    assert_eq!(store.otp_seed(&user).await.err().unwrap().code(), "store.failed");
    assert!(store.has_otp_seed(&user).await.unwrap());
    store.transact(ops([Op::DeleteOtpSeed { user: user.clone() }])).await.unwrap();
    assert!(!store.has_otp_seed(&user).await.unwrap());
}

#[tokio::test]
async fn tampering_with_the_audit_log_is_found() {
    let tamperings = [
        "UPDATE audit SET record = replace(record, 'because', 'perhaps') WHERE position = 2",
        "UPDATE audit SET hash = zeroblob(32) WHERE position = 2",
        "DELETE FROM audit WHERE position = 2",
        "DELETE FROM audit WHERE position = 1",
        "UPDATE audit SET position = 9 WHERE position = 4",
        "UPDATE audit SET record = (SELECT record FROM audit WHERE position = 2) WHERE position = 3",
    ];
    for tampering in tamperings {
        let home = SqliteHome::written().await;
        change(&home, tampering).await;
        let store = home.open().await;
        assert!(verify_audit(store.as_ref()).await.is_err(), "{tampering}");
    }
}

#[tokio::test]
async fn a_store_of_an_older_version_learns_the_new_tables() {
    let home = SqliteHome::written().await;
    change(&home, "DROP TABLE blacklist; DROP TABLE otp_seed; DROP TABLE admin_message; PRAGMA user_version = 1").await;
    let store = home.open().await;
    assert_eq!(store.config().current().seq, 4, "what was there is there");
    assert_eq!(store.otp_seeds().await.unwrap(), []);
    assert_eq!(store.blacklist().await.unwrap(), []);
    assert_eq!(store.admin_messages().await.unwrap(), []);
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), 4);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let home = SqliteHome::written().await;
    change(&home, "PRAGMA user_version = 99").await;
    assert_eq!(home.refused().await.code(), "store.newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_busy_and_loses_nothing() {
    let home = SqliteHome::new().await;
    let store = home.open().await;
    let mut other = connect(&home).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let writers: Vec<_> = (0..4500)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.transact(told([], "x")).await.map(drop).map_err(|error| error.code()) })
        })
        .collect();
    let mut answers = Vec::new();
    // Those that were told so at once; the others wait for the lock held here.
    let (refused, waiting): (Vec<_>, Vec<_>) = loop {
        tokio::task::yield_now().await;
        let finished = writers.iter().filter(|writer| writer.is_finished()).count();
        if finished >= 4500 - 4096 - 256 {
            break writers.into_iter().partition(|writer| writer.is_finished());
        }
    };
    for writer in refused {
        assert_eq!(writer.await.unwrap(), Err("store.busy"));
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    for writer in waiting {
        answers.push(writer.await.unwrap());
    }
    let kept = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err("store.busy"))));
    assert_eq!(verify_audit(store.as_ref()).await.unwrap(), kept as u64);
}

async fn connect(home: &SqliteHome) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}", home.file().display())).await.unwrap()
}

async fn change(home: &SqliteHome, statement: &'static str) {
    let mut connection = connect(home).await;
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
