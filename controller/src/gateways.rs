//! The gateways that are connected, how far they have come, and the sessions they report.
//!
//! All of it is told by gateways and lives in memory: it serves lists and status, and no decision is made by it. A gateway
//! that is gone keeps its sessions listed for five minutes (D 4), because they may well live on.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use engine::{
    dn::DistinguishedName,
    id::{ApplianceId, SessionId, SiteId},
};
use protocol::message::{ClientFacts, Report, SessionFacts};
use time::OffsetDateTime;

/// A live session as its gateway reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// The gateway.
    pub appliance: ApplianceId,
    /// The session.
    pub session: SessionId,
    /// Whose.
    pub name: DistinguishedName,
    /// The Site.
    pub site: SiteId,
    /// Source address of its connection.
    pub address: IpAddr,
    /// Since when.
    pub since: OffsetDateTime,
    /// When its entitlement token expires.
    pub expires: OffsetDateTime,
    /// Names of the entitlements held.
    pub entitlements: Vec<String>,
    /// What its client says of itself.
    pub client: Box<ClientFacts>,
}

/// A gateway that follows this controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectedGateway {
    /// The appliance.
    pub appliance: ApplianceId,
    /// Where it connects from.
    pub address: IpAddr,
    /// Since when.
    pub since: OffsetDateTime,
    /// When it last said anything.
    pub last_heard: OffsetDateTime,
    /// The last number it has applied.
    pub position: u64,
    /// How many numbers it is behind what was sent.
    pub lag: u64,
    /// How many sessions it reports.
    pub sessions: usize,
}

/// The registry. All methods are quick and never wait.
#[derive(Debug, Default)]
pub struct Gateways {
    entries: Mutex<BTreeMap<ApplianceId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Tells a new connection of the same gateway from an old one that ends late.
    connection: u64,
    address: IpAddr,
    since: OffsetDateTime,
    last_heard: OffsetDateTime,
    sent: u64,
    position: u64,
    lost: Option<Instant>,
    sessions: BTreeMap<SessionId, LiveSession>,
}

impl Entry {
    /// A gateway that is heard but follows no watch stream.
    fn new(address: IpAddr, now: OffsetDateTime) -> Self {
        let lost = Some(Instant::now());
        let sessions = BTreeMap::new();
        Self { connection: 0, address, since: now, last_heard: now, sent: 0, position: 0, lost, sessions }
    }

    /// Takes in a session as its gateway sees it now.
    fn add(&mut self, appliance: ApplianceId, facts: &SessionFacts) {
        let fits = self.sessions.len() < MAX_SESSIONS || self.sessions.contains_key(&facts.session);
        if let Some(session) = live_session(appliance, facts).filter(|_| fits) {
            self.sessions.insert(session.session, session);
        }
    }
}

/// A gateway's place in the registry while its watch stream lives.
pub(crate) struct Registration<'a> {
    gateways: &'a Gateways,
    appliance: ApplianceId,
    connection: u64,
}

impl Gateways {
    /// Every live session of every gateway.
    pub fn sessions(&self) -> Vec<LiveSession> {
        let mut entries = self.lock();
        forget(&mut entries);
        entries.values().flat_map(|entry| entry.sessions.values().cloned()).collect()
    }

    /// The gateways connected now.
    pub fn connected(&self) -> Vec<ConnectedGateway> {
        let entries = self.lock();
        let connected = entries.iter().filter(|(_, entry)| entry.lost.is_none());
        let describe = |(appliance, entry): (&ApplianceId, &Entry)| ConnectedGateway {
            appliance: *appliance,
            address: entry.address,
            since: entry.since,
            last_heard: entry.last_heard,
            position: entry.position,
            lag: entry.sent.saturating_sub(entry.position),
            sessions: entry.sessions.len(),
        };
        connected.map(describe).collect()
    }

    /// Takes in a gateway that starts to follow.
    pub(crate) fn register(&self, appliance: ApplianceId, address: IpAddr, now: OffsetDateTime) -> Registration<'_> {
        let mut entries = self.lock();
        forget(&mut entries);
        let old = entries.remove(&appliance);
        let connection = old.as_ref().map_or(0, |entry| entry.connection) + 1;
        let sessions = old.map(|entry| entry.sessions).unwrap_or_default();
        let entry = Entry { connection, lost: None, sessions, ..Entry::new(address, now) };
        entries.insert(appliance, entry);
        Registration { gateways: self, appliance, connection }
    }

    /// Takes in what a gateway reports of its sessions.
    pub(crate) fn report(&self, appliance: ApplianceId, address: IpAddr, report: &Report, now: OffsetDateTime) {
        let mut entries = self.lock();
        // A report may overtake the watch stream that registers its gateway.
        let entry = entries.entry(appliance).or_insert_with(|| Entry::new(address, now));
        entry.last_heard = now;
        match report {
            Report::Sessions { sessions } => {
                entry.sessions.clear();
                sessions.iter().for_each(|facts| entry.add(appliance, facts));
            }
            Report::MoreSessions { sessions } => sessions.iter().for_each(|facts| entry.add(appliance, facts)),
            Report::SessionStarted(facts) => entry.add(appliance, facts),
            Report::SessionEnded { session } => {
                entry.sessions.remove(session);
            }
            Report::Audit { .. } | Report::AdminMessage(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ApplianceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration<'_> {
    /// A frame up to this number went out.
    pub(crate) fn sent(&self, seq: u64) {
        self.update(|entry| entry.sent = entry.sent.max(seq));
    }

    /// The gateway has applied everything up to this number.
    pub(crate) fn acknowledged(&self, seq: u64, now: OffsetDateTime) {
        self.update(|entry| {
            entry.position = seq;
            entry.last_heard = now;
        });
    }

    fn update(&self, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.gateways.lock();
        if let Some(entry) = entries.get_mut(&self.appliance).filter(|entry| entry.connection == self.connection) {
            change(entry);
        }
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.update(|entry| entry.lost = Some(Instant::now()));
    }
}

fn forget(entries: &mut BTreeMap<ApplianceId, Entry>) {
    entries.retain(|_, entry| entry.lost.is_none_or(|lost| lost.elapsed() < LISTED_AFTER_LOSS));
}

fn live_session(appliance: ApplianceId, facts: &SessionFacts) -> Option<LiveSession> {
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
    Some(LiveSession {
        appliance,
        session: facts.session,
        name: facts.name.clone(),
        site: facts.site,
        address: facts.address,
        since: moment(facts.since)?,
        expires: moment(facts.expires)?,
        entitlements: facts.entitlements.clone(),
        client: facts.client.clone(),
    })
}

/// How long the sessions of a lost gateway stay listed.
const LISTED_AFTER_LOSS: Duration = Duration::from_secs(300);

/// Most sessions listed of one gateway.
const MAX_SESSIONS: usize = 100_000;
