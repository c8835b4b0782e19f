//! Signing in: from credentials to who the user is and what is claimed of them.
//!
//! Users of the built-in database only. Whoever asks learns one thing: signed in or not. That a user does not exist, is
//! disabled, is locked or gave the wrong password costs the same time and reads the same; the reason stands in the audit
//! log. Consecutive failures lock a user for a while (D 4, D 21); attempts that run at the same time count as failures
//! until they end, so that many at once try no more passwords than one after the other.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::{
    dn::{DistinguishedName, UserName},
    object::{IdentityProvider, IdentityProviderType, LocalUser},
};
use protocol::object::ObjectKind;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::sync::{Notify, Semaphore};
use zeroize::Zeroizing;

use crate::{
    audit::{self, Record},
    config::Config,
    password::PasswordError,
    state::Controller,
    store::{AuditEvent, Op, StoreError, Transaction},
};

/// What somebody signs in with. Has no `Debug`.
pub struct Credentials {
    /// Name of the identity provider.
    pub provider: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Zeroizing<String>,
    /// Where the request came from, for the audit log.
    pub address: Option<IpAddr>,
    /// What is signed in to, for the audit log.
    pub kind: SignInKind,
}

/// What somebody signs in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInKind {
    /// A client.
    Client,
    /// The admin API.
    Admin,
    /// Nothing new: somebody who is signed in shows again who they are, because a condition asks for it.
    Remedy,
}

impl SignInKind {
    /// `authentication_type` of audit records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "Client",
            Self::Admin => "Admin",
            Self::Remedy => "Remedy",
        }
    }
}

/// Who signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The provider that knows the user.
    pub provider: Arc<IdentityProvider>,
    /// The user.
    pub user: Arc<LocalUser>,
    /// User claims after the provider's claim mappings, those marked `encrypt` included.
    pub claims: Map<String, Value>,
}

impl SignedIn {
    /// The user, on whatever device.
    pub fn user_name(&self) -> UserName {
        UserName::new(&self.user.name, &self.provider.name)
    }

    /// The claims of a session: those of the user, and `ag` (D 9.1).
    pub fn claims_for(&self, name: &DistinguishedName) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        let ag = json!({
            "distinguishedName": name,
            "identityProviderId": self.provider.id,
            "identityProviderName": self.provider.name,
        });
        claims.insert("ag".to_owned(), ag);
        claims
    }
}

/// Why nobody signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The credentials are not accepted. Says no more on purpose.
    #[error(
        "user name or password is wrong, or the account is locked or disabled; after too many attempts wait a minute and try again"
    )]
    Refused,
    /// Too many sign-ins at once.
    #[error("too many sign-ins at once; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The store failed.
    #[error("the sign-in could not be recorded")]
    Store(#[from] StoreError),
    /// The stored password hash is unreadable.
    #[error("the sign-in could not be checked")]
    Password(#[source] PasswordError),
}

impl SignInError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused => "sign-in.failed",
            Self::Busy { .. } => "sign-in.busy",
            Self::Store(_) | Self::Password(_) => "sign-in.unavailable",
        }
    }
}

/// Checks credentials. A refusal is in the audit log when this answers; a success is for the caller to record, together
/// with the tokens it leads to.
///
/// # Errors
/// [`SignInError::Refused`] for every reason that lies in the credentials.
pub async fn verify_credentials(c: &Controller, credentials: &Credentials) -> Result<SignedIn, SignInError> {
    let started = std::time::Instant::now();
    let outcome = check_credentials(c, credentials).await;
    let measured = match credentials.kind {
        SignInKind::Client | SignInKind::Remedy => &c.metrics.client_authentication,
        SignInKind::Admin => &c.metrics.admin_authentication,
    };
    measured.note(outcome.is_ok(), started.elapsed());
    outcome
}

async fn check_credentials(c: &Controller, credentials: &Credentials) -> Result<SignedIn, SignInError> {
    let config = c.config.current();
    let name = UserName::new(&credentials.username, &credentials.provider);
    let Some((provider, user)) = find(&config, credentials) else {
        return Err(burn(c, credentials, &name, "unknown-user").await);
    };
    let (_turn, lockout) = match take_turn(c, &name, &provider).await? {
        Turn::Yours(attempt, lockout) => (attempt, lockout),
        Turn::Locked => return Err(burn(c, credentials, &name, "locked").await),
    };
    let stored = c.store.secret(ObjectKind::LocalUser, user.id.uuid(), PASSWORD_FIELD).await?.map(Zeroizing::new);
    let Some(phc) = stored.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return Err(burn(c, credentials, &name, "no-password").await);
    };
    if !c.passwords.verify(phc, &credentials.password).await.map_err(password_error)? {
        return Err(record_failure(c, credentials, &name, &provider).await);
    }
    if user.disabled {
        return Err(refuse(c, credentials, &name, "disabled", Vec::new()).await);
    }
    if c.store.blacklisted(&name).await?.is_some() {
        return Err(refuse(c, credentials, &name, "blacklisted", Vec::new()).await);
    }
    if lockout.failures > 0 {
        let forget = Op::PutLockout { user: name, failures: 0, locked_at: None };
        c.store.transact(Transaction { ops: vec![forget], audit: Vec::new() }).await?;
    }
    let claims = mapped_claims(&provider, &user);
    Ok(SignedIn { provider, user, claims })
}

/// Reads a user again, for a renewal: `None` when provider or user are gone or disabled.
pub fn look_up_again(config: &Config, name: &UserName) -> Option<SignedIn> {
    let provider = config.identity_provider_by_name(&name.provider)?;
    if provider.provider_type != IdentityProviderType::LocalDatabase {
        return None;
    }
    let user = config.local_user_by_name(&name.username).filter(|user| !user.disabled)?;
    let claims = mapped_claims(provider, user);
    Some(SignedIn { provider: provider.clone(), user: user.clone(), claims })
}

fn find(config: &Config, credentials: &Credentials) -> Option<(Arc<IdentityProvider>, Arc<LocalUser>)> {
    let provider = config.identity_provider_by_name(&credentials.provider)?;
    let signs_in = match provider.provider_type {
        IdentityProviderType::LocalDatabase => true,
        IdentityProviderType::ServiceDatabase | IdentityProviderType::Connector | IdentityProviderType::External => {
            false
        }
    };
    let offered = credentials.kind != SignInKind::Admin || provider.admin_provider;
    let user = config.local_user_by_name(&credentials.username)?;
    (signs_in && offered).then(|| (provider.clone(), user.clone()))
}

/// A user's failures and lock as they count now.
struct Lockout {
    failures: u32,
    locked: bool,
}

impl Lockout {
    async fn read(c: &Controller, name: &UserName, provider: &IdentityProvider) -> Result<Self, StoreError> {
        let (failures, locked_at) = c.store.lockout(name).await?;
        let over = locked_at.is_some_and(|at| c.now() >= at + provider.lockout_duration);
        // A lock that is over leaves a clean slate.
        let failures = if over { 0 } else { failures };
        Ok(Self { failures, locked: locked_at.is_some() && !over })
    }

    /// Whether an attempt beside `others` could be the one that should already find the user locked.
    fn may_lock_before(&self, others: u32, provider: &IdentityProvider) -> bool {
        self.failures.saturating_add(others) >= threshold(provider)
    }
}

/// What came of waiting to be checked.
enum Turn {
    Yours(Attempt, Lockout),
    Locked,
}

/// Waits until no more attempts of the user run than there are failures left before a lock: guessing in parallel gains
/// nothing, and honest devices that sign in at once only queue.
async fn take_turn(c: &Controller, name: &UserName, provider: &IdentityProvider) -> Result<Turn, SignInError> {
    let busy = || SignInError::Busy { retry_after: Duration::from_secs(2) };
    let mut place = None;
    let deadline = tokio::time::Instant::now() + LONGEST_WAIT;
    loop {
        let ended = c.attempts.ended.notified();
        let attempt = c.attempts.begin(name);
        let lockout = Lockout::read(c, name, provider).await?;
        if lockout.locked {
            return Ok(Turn::Locked);
        }
        if !lockout.may_lock_before(attempt.others, provider) {
            return Ok(Turn::Yours(attempt, lockout));
        }
        attempt.withdraw();
        if place.is_none() {
            place = Some(c.attempts.waiting.try_acquire().map_err(|_| busy())?);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(busy());
        }
        // Whoever withdraws tells nobody, so that those who wait do not wake each other; hence the bound.
        let _ = tokio::time::timeout(WAIT_STEP, ended).await;
    }
}

/// Failures that lock. Zero would mean that nobody can sign in or that nothing ever locks; neither is wanted.
fn threshold(provider: &IdentityProvider) -> u32 {
    provider.lockout_threshold.max(1)
}

/// Refuses at the cost of a check.
async fn burn(c: &Controller, credentials: &Credentials, name: &UserName, reason: &'static str) -> SignInError {
    match c.passwords.verify_nobody(&credentials.password).await {
        Ok(()) => refuse(c, credentials, name, reason, Vec::new()).await,
        Err(error) => password_error(error),
    }
}

/// Counts a wrong password, and locks the user when it was one too many.
async fn record_failure(
    c: &Controller,
    credentials: &Credentials,
    name: &UserName,
    provider: &IdentityProvider,
) -> SignInError {
    // Reading and writing the counter must not interleave with another failure of the same user.
    let _turn = c.attempts.counting.lock().await;
    let lockout = match Lockout::read(c, name, provider).await {
        Ok(lockout) => lockout,
        Err(error) => return error.into(),
    };
    if lockout.locked {
        return refuse(c, credentials, name, "wrong-password", Vec::new()).await;
    }
    let failures = lockout.failures.saturating_add(1);
    let locked_at = (failures >= threshold(provider)).then(|| c.now());
    let put = Op::PutLockout { user: name.clone(), failures, locked_at };
    let reason = if locked_at.is_some() { "wrong-password-locked" } else { "wrong-password" };
    refuse(c, credentials, name, reason, vec![(put, locked_at)]).await
}

async fn refuse(
    c: &Controller,
    credentials: &Credentials,
    name: &UserName,
    reason: &'static str,
    lockout: Vec<(Op, Option<OffsetDateTime>)>,
) -> SignInError {
    let mut transaction = Transaction { ops: Vec::new(), audit: vec![failed(credentials, name, reason)] };
    for (op, locked_at) in lockout {
        transaction.ops.push(op);
        if locked_at.is_some() {
            transaction.audit.push(Record::new("local_user_locked").user(name).address(credentials.address).event());
        }
    }
    match c.store.transact(transaction).await {
        Ok(_) => SignInError::Refused,
        Err(error) => error.into(),
    }
}

fn failed(credentials: &Credentials, name: &UserName, reason: &'static str) -> AuditEvent {
    Record::new(audit::AUTHENTICATION_FAILED)
        .user(name)
        .address(credentials.address)
        .with("authentication_type", credentials.kind.as_str())
        .with("reason", reason)
        .event()
}

fn password_error(error: PasswordError) -> SignInError {
    match error {
        PasswordError::Busy { retry_after } => SignInError::Busy { retry_after },
        PasswordError::TooLong => SignInError::Refused,
        PasswordError::Hash => SignInError::Password(error),
    }
}

/// What is claimed of a user: the attributes the provider maps (D 19). A missing attribute gives no claim.
fn mapped_claims(provider: &IdentityProvider, user: &LocalUser) -> Map<String, Value> {
    let mut claims = Map::new();
    for mapping in &provider.claim_mappings {
        let Some(mut values) = attribute(user, &mapping.attribute) else { continue };
        let value = match (values.pop(), values.is_empty(), mapping.list) {
            (Some(only), true, false) => Value::from(only),
            (last, _, _) => {
                values.extend(last);
                Value::from(values)
            }
        };
        claims.insert(mapping.claim.clone(), value);
    }
    claims
}

fn attribute(user: &LocalUser, name: &str) -> Option<Vec<String>> {
    let one = |text: &String| Some(vec![text.clone()]);
    match name {
        "username" => one(&user.name),
        "firstName" => one(&user.first_name),
        "lastName" => one(&user.last_name),
        "email" => user.email.as_ref().and_then(one),
        "phone" => user.phone.as_ref().and_then(one),
        "tags" => Some(user.tags.clone()),
        "id" => Some(vec![user.id.to_string()]),
        _ => None,
    }
}

/// Sign-ins that run now, by user.
pub(crate) struct Attempts {
    running: Arc<Mutex<HashMap<UserName, u32>>>,
    ended: Arc<Notify>,
    waiting: Semaphore,
    counting: tokio::sync::Mutex<()>,
    registering: tokio::sync::Mutex<()>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            running: Arc::default(),
            ended: Arc::default(),
            waiting: Semaphore::new(MOST_WAITING),
            counting: tokio::sync::Mutex::default(),
            registering: tokio::sync::Mutex::default(),
        }
    }
}

struct Attempt {
    running: Arc<Mutex<HashMap<UserName, u32>>>,
    ended: Arc<Notify>,
    name: UserName,
    /// How many ran when this one began.
    others: u32,
    withdrawn: bool,
}

impl Attempt {
    /// Ends without having been checked.
    fn withdraw(mut self) {
        self.withdrawn = true;
    }
}

impl Attempts {
    /// One registration of a device at a time, so that many at once do not pass the limit together.
    pub(crate) async fn registering(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.registering.lock().await
    }

    fn begin(&self, name: &UserName) -> Attempt {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(name.clone()).or_default();
        let others = *count;
        *count += 1;
        Attempt {
            running: self.running.clone(),
            ended: self.ended.clone(),
            name: name.clone(),
            others,
            withdrawn: false,
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.name);
            }
        }
        drop(running);
        if !self.withdrawn {
            self.ended.notify_waiters();
        }
    }
}

/// Longest time a sign-in waits for others of the same user.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How soon a waiting sign-in looks again at the latest.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// Sign-ins that wait for others of their user, over all users.
const MOST_WAITING: usize = 256;

/// Where a user's password hash stands beside the object.
pub const PASSWORD_FIELD: &str = "password";
