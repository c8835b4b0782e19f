//! The objects of a fresh collective (D 32), with the ids every installation has.
//!
//! They are written in one transaction on a store that has never held a configuration; on any other store nothing is
//! touched, so that what an administrator changed stays changed. The first administrator's password is made here, told
//! once to the caller and kept only as a hash.

mod documents;

use std::future::Future;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use protocol::object::ObjectKind;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use uuid::{Uuid, uuid};
use zeroize::Zeroizing;

use crate::store::{AuditEvent, Expect, Object, Op, Store, StoreError, Transaction, audit};
use documents::Builtin;

/// Identity provider `local`: users of the built-in database.
pub const LOCAL_PROVIDER: Uuid = uuid!("b5ea7cf0-6e75-11e4-9803-0800200c9a66");
/// Identity provider `service`: service users of the built-in database.
pub const SERVICE_PROVIDER: Uuid = uuid!("c233bfd8-555c-4cf5-98df-a266e35e0fbe");
/// Identity provider `Connector`.
pub const CONNECTOR_PROVIDER: Uuid = uuid!("b2cdefce-1efe-4a7e-85d1-7976920f118f");
/// Local user `admin`.
pub const ADMIN_USER: Uuid = uuid!("5e360c9d-8756-41b4-9597-601712881a5c");
/// Policy that makes `admin` an administrator.
pub const ADMIN_POLICY: Uuid = uuid!("172143a0-7ed4-11e4-b4a9-0800200c9a66");
/// Role with every privilege.
pub const SYSTEM_ROLE: Uuid = uuid!("b0adbc60-7ed4-11e4-b4a9-0800200c9a66");
/// Role for programs that manage access.
pub const API_ROLE: Uuid = uuid!("72cbe03c-4e35-4ff8-9e2b-9bcf88e689f5");
/// Condition that is always true.
pub const ALWAYS_CONDITION: Uuid = uuid!("ee7b7e6f-e904-4b4f-a5ec-b3bef040643e");
/// Criteria script that matches everyone.
pub const EVERYONE_SCRIPT: Uuid = uuid!("7c643920-7112-11e6-8b77-86f30ca893d3");
/// The first Site.
pub const DEFAULT_SITE: Uuid = uuid!("8a4add9e-0e99-4bb1-949c-c9faf9a49ad4");
/// Pool of IPv4 addresses.
pub const POOL_V4: Uuid = uuid!("f572b4ab-7963-4a90-9e5a-3bf033bfe2cc");
/// Pool of IPv6 addresses.
pub const POOL_V6: Uuid = uuid!("6935b379-205d-4fdd-847f-a0b5f14aff53");
/// Provider of time-based one-time codes.
pub const TOTP_PROVIDER: Uuid = protocol::object::TOTP_PROVIDER;
/// FIDO2 provider.
pub const FIDO2_PROVIDER: Uuid = uuid!("3ae98d53-c520-437f-99e4-451f936e6d2c");
/// Ringfence rule that blocks everything inbound.
pub const BLOCK_IN_RULE: Uuid = uuid!("bb4685b0-ae57-4ad4-b026-413699b25640");
/// Device script that reports risk data on macOS.
pub const MACOS_SCRIPT: Uuid = uuid!("c5b127ab-ac67-4172-beba-b2b44e1b5285");
/// Device script that reports risk data on Windows.
pub const WINDOWS_SCRIPT: Uuid = uuid!("53b8fb8b-1a02-43a4-b64c-9096cafd09e7");
/// The one object of global settings; the id is ours, the API never shows it.
pub const GLOBAL_SETTINGS: Uuid = uuid!("8d1c1e0a-3e0e-4a55-9a0f-6a2f5b7f4d10");

/// The tag of every built-in object.
pub const TAG: &str = "builtin";

/// What the controller's own appliance record says.
#[derive(Debug, Clone)]
pub struct ControllerRecord {
    /// Name of the appliance.
    pub name: String,
    /// Host name clients and administrators reach it by.
    pub hostname: String,
    /// Client port.
    pub client_port: u16,
    /// Port of the admin API.
    pub admin_port: u16,
}

/// The password of a fresh collective's `admin`. Has no `Debug`; it is to be shown once and forgotten.
pub struct GeneratedPassword(Zeroizing<String>);

impl GeneratedPassword {
    /// The password in the clear.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Why the built-in objects were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError<E: std::error::Error + 'static> {
    /// The password could not be hashed.
    #[error("the administrator's password could not be hashed")]
    Hash(#[source] E),
    /// The system gave no random bytes.
    #[error("no random bytes for the administrator's password")]
    Random,
    /// The time cannot be written down.
    #[error("the clock shows a time that cannot be written down")]
    Clock(#[from] time::error::Format),
    /// The store refused.
    #[error("the built-in objects could not be stored")]
    Store(#[from] StoreError),
}

impl<E: std::error::Error + 'static> SeedError<E> {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Hash(_) => "builtin.hash",
            Self::Random => "builtin.random",
            Self::Clock(_) => "builtin.clock",
            Self::Store(error) => error.code(),
        }
    }
}

/// Writes the built-in objects into a fresh store. The administrator gets the `given` password, or a generated one, which
/// is answered; nothing is written or answered when the store has held a configuration before. `hash` turns the password
/// into the PHC string that is kept.
///
/// # Errors
/// When hashing or storing fails; then nothing was written.
pub async fn seed<F, E>(
    store: &dyn Store,
    controller: &ControllerRecord,
    now: OffsetDateTime,
    given: Option<Zeroizing<String>>,
    hash: impl FnOnce(Zeroizing<String>) -> F,
) -> Result<Option<GeneratedPassword>, SeedError<E>>
where
    F: Future<Output = Result<String, E>>,
    E: std::error::Error + 'static,
{
    if store.config().current().seq > 0 {
        return Ok(None);
    }
    let (password, generated) = match given {
        Some(given) => (given, None),
        None => {
            let password = generate_password().ok_or(SeedError::Random)?;
            (password.clone(), Some(GeneratedPassword(password)))
        }
    };
    let hashed = hash(password).await.map_err(SeedError::Hash)?;
    let now = audit::timestamp(now)?;
    let mut transaction = Transaction::default();
    for builtin in documents::all(store.appliance().uuid(), controller) {
        transaction.audit.push(created(&builtin));
        transaction.ops.push(Op::PutObject { object: object(builtin, &now), expect: Expect::Absent });
    }
    let mut put = |kind, id, field, value: Vec<u8>| transaction.ops.push(Op::PutSecret { kind, id, field, value });
    put(ObjectKind::LocalUser, ADMIN_USER, "password", hashed.into_bytes());
    for (id, file) in documents::DEVICE_SCRIPT_FILES {
        put(ObjectKind::DeviceScript, id, "file", STANDARD.encode(file).into_bytes());
    }
    store.transact(transaction).await?;
    Ok(generated)
}

fn object(builtin: Builtin, now: &str) -> Object {
    let Builtin { kind, id, name, fields } = builtin;
    let mut body = json!({ "id": id, "name": name, "notes": "", "created": now, "updated": now, "tags": [TAG] });
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    Object { kind, id, name, tags: vec![TAG.to_owned()], seq: 0, body }
}

fn created(builtin: &Builtin) -> AuditEvent {
    let members = Map::from_iter([
        ("entity_type".to_owned(), Value::from(builtin.kind.title())),
        ("entity_name".to_owned(), Value::from(builtin.name.as_str())),
        ("reason".to_owned(), Value::from("built-in object of a fresh collective")),
    ]);
    AuditEvent { event_type: "entity_created", members }
}

fn generate_password() -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; PASSWORD_BYTES]);
    SystemRandom::new().fill(bytes.as_mut_slice()).ok()?;
    Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// 144 bits, 24 characters when written in the URL-safe alphabet.
const PASSWORD_BYTES: usize = 18;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use time::macros::datetime;

    use super::*;
    use crate::store::{
        AuditFilter,
        sqlite::{SqliteOptions, SqliteStore},
    };

    const NOW: OffsetDateTime = datetime!(2026-01-05 09:00 UTC);

    async fn open(directory: &std::path::Path) -> SqliteStore {
        let options =
            SqliteOptions { directory: directory.join("data"), master_key: directory.join("key"), clock: || NOW };
        SqliteStore::open(options).await.unwrap()
    }

    async fn seed_here(store: &SqliteStore) -> Option<GeneratedPassword> {
        let controller = ControllerRecord {
            name: "controller".into(),
            hostname: "localhost".into(),
            client_port: 443,
            admin_port: 8443,
        };
        let hash = |password: Zeroizing<String>| async move { Ok::<_, Infallible>(format!("hash of {}", *password)) };
        seed(store, &controller, NOW, None, hash).await.unwrap()
    }

    #[tokio::test]
    async fn a_fresh_store_gets_every_built_in_object_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let password = seed_here(&store).await.unwrap();
        assert_eq!(password.reveal().len(), 24);
        assert!(password.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        let config = store.config().current();
        assert_eq!(config.seq, 1);
        assert_eq!(config.unreadable().iter().next(), None);
        assert!(ObjectKind::ALL.iter().all(|kind| config.all(*kind).all(|object| object.tags == [TAG])));
        assert_eq!(config.local_user_by_name("admin").unwrap().id.uuid(), ADMIN_USER);
        assert_eq!(config.identity_provider_by_name("local").unwrap().device_limit, 100_000);
        assert!(config.object(ObjectKind::Appliance, store.appliance().uuid()).is_some());
        let hashed = store.secret(ObjectKind::LocalUser, ADMIN_USER, "password").await.unwrap().unwrap();
        assert_eq!(hashed, format!("hash of {}", password.reveal()).into_bytes());
        let records = store.audit(AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
        assert!(records.iter().all(|row| !row.record.contains(password.reveal())));
        assert_eq!(records.len(), store.load().await.unwrap().objects.len());

        assert!(seed_here(&store).await.is_none());
        store.close().await;
        let store = open(directory.path()).await;
        assert!(seed_here(&store).await.is_none());
        assert_eq!(store.config().current().seq, 1);
    }
}
