//! The state of a running client as its control socket tells it. Holds no token, key or password.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use engine::id::{SiteId, TokenId};
use protocol::message::{RemedyOffer, Shortcut};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::advice::advice;

/// Everything `portcullis client status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where the session stands.
    pub state: State,
    /// Why it stands so, when that needs saying.
    pub message: Option<String>,
    /// Stable code of what the message says.
    #[serde(default)]
    pub code: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub advice: Option<String>,
    /// When access ends unless something is done before, once that is known.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub ends: Option<OffsetDateTime>,
    /// Who signs in.
    pub username: String,
    /// At which identity provider.
    pub provider: String,
    /// Distinguished name of the session.
    pub name: Option<String>,
    /// The controller that answered last.
    pub controller: Option<String>,
    /// Policies that matched.
    pub policies: Vec<String>,
    /// Open local ports.
    pub listeners: Vec<ListenerStatus>,
    /// One per Site.
    pub sites: Vec<SiteStatus>,
    /// Tokens at hand.
    pub tokens: Vec<TokenStatus>,
    /// Device claims found out on demand, such as by device scripts. Their values are not shown.
    #[serde(default)]
    pub device_claims: Vec<DeviceClaimStatus>,
    /// How many connections are open.
    pub open_flows: usize,
    /// Connections, held ones first, at most [`MAX_FLOWS_SHOWN`].
    pub flows: Vec<FlowStatus>,
    /// What happened last, oldest first.
    pub events: Vec<PastEvent>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// At the controller.
    SigningIn,
    /// Signed in; no gateway has admitted the session yet or any more.
    Connecting,
    /// At least one gateway serves the session.
    Connected,
    /// The policies grant nothing now.
    NothingGranted,
    /// The user must authenticate again.
    MustSignIn,
    /// Over.
    Ended,
}

/// An open local port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// `SOCKS5`, or the forward's far end.
    pub purpose: String,
    /// The address really bound.
    pub address: String,
}

/// One Site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteStatus {
    /// The Site.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// Whether it serves the session.
    pub state: SiteState,
    /// The gateway in use or tried last.
    pub gateway: Option<String>,
    /// Names of the entitlements held.
    pub entitlements: Vec<String>,
    /// What its entitlements offer to open.
    #[serde(default)]
    pub shortcuts: Vec<Shortcut>,
    /// Conditions that are false now.
    pub unmet: Vec<UnmetCondition>,
    /// Why it does not serve the session.
    pub message: Option<String>,
    /// Stable code of what the message says.
    #[serde(default)]
    pub code: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub advice: Option<String>,
}

/// Whether a Site serves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SiteState {
    /// No gateway has answered yet.
    Connecting,
    /// A gateway serves the session.
    Connected,
    /// The gateway refused or ended the session.
    Refused,
}

/// A condition that is false now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnmetCondition {
    /// Its name.
    pub condition: String,
    /// What to do.
    pub message: String,
    /// What the user is asked for.
    #[serde(default)]
    pub remedies: Vec<RemedyStatus>,
    /// Whether one of them is enough.
    #[serde(default)]
    pub any: bool,
    /// What to do now.
    #[serde(default)]
    pub advice: Option<String>,
}

/// Something the user is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemedyStatus {
    /// What, and where it belongs.
    #[serde(flatten)]
    pub offer: RemedyOffer,
    /// Whether it was answered.
    pub answered: bool,
}

impl UnmetCondition {
    fn next_step(&self) -> String {
        if self.next(None).is_some() {
            return format!("answer with `portcullis client answer \"{}\"`", self.condition);
        }
        if self.remedies.is_empty() {
            "see to what it names, it is checked again while a connection waits; tell your administrator if it stays"
                .to_owned()
        } else {
            "nothing; it is being asked again with your answer".to_owned()
        }
    }

    /// What is to be answered next: the one with this number as people count, or the first that is open.
    pub fn next(&self, number: Option<usize>) -> Option<&RemedyOffer> {
        let open = |remedy: &&RemedyStatus| !remedy.answered;
        let found = match number {
            Some(number) => number.checked_sub(1).and_then(|at| self.remedies.get(at)),
            None => self.remedies.iter().find(open),
        };
        found.map(|remedy| &remedy.offer)
    }
}

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// Kind, by its API name.
    pub kind: String,
    /// The Site's name, of an entitlement token.
    pub site: Option<String>,
    /// `jti`.
    pub id: TokenId,
    /// When it expires.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
}

/// A device claim that is found out on demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceClaimStatus {
    /// Its name.
    pub claim: String,
    /// What it is about: the script, file, process or service.
    pub subject: String,
    /// Why it has no value.
    pub problem: Option<String>,
    /// It changes nearly every time and is reported only now and then.
    pub restless: bool,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowStatus {
    /// Where it goes.
    pub flow: String,
    /// Through which Site, by name.
    pub site: String,
    /// How it stands.
    pub state: FlowState,
    /// Why it is held.
    pub message: Option<String>,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowState {
    /// Waits for a condition.
    Held,
    /// The gateway has not answered yet.
    Asking,
    /// Carries data.
    Open,
}

/// An event that was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastEvent {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Its stable name.
    pub event: String,
    /// Plain language.
    pub message: String,
}

/// What the parts of the client write their state to. Its lock is never held across an await.
pub(crate) struct Board {
    inner: Mutex<Inner>,
}

struct Inner {
    status: Status,
    flows: BTreeMap<u64, FlowStatus>,
    next_flow: u64,
    events: VecDeque<PastEvent>,
}

impl Board {
    pub(crate) fn new(username: &str, provider: &str) -> Self {
        let status = Status {
            state: State::SigningIn,
            message: None,
            code: None,
            advice: None,
            ends: None,
            username: username.to_owned(),
            provider: provider.to_owned(),
            name: None,
            controller: None,
            policies: Vec::new(),
            listeners: Vec::new(),
            sites: Vec::new(),
            tokens: Vec::new(),
            device_claims: Vec::new(),
            open_flows: 0,
            flows: Vec::new(),
            events: Vec::new(),
        };
        Self { inner: Mutex::new(Inner { status, flows: BTreeMap::new(), next_flow: 0, events: VecDeque::new() }) }
    }

    /// The state as of now.
    pub(crate) fn snapshot(&self) -> Status {
        let inner = self.lock();
        let mut status = inner.status.clone();
        let mut flows: Vec<&FlowStatus> = inner.flows.values().collect();
        flows.sort_by_key(|flow| flow.state);
        status.open_flows = flows.iter().filter(|flow| flow.state == FlowState::Open).count();
        status.flows = flows.into_iter().take(MAX_FLOWS_SHOWN).cloned().collect();
        status.events = inner.events.iter().cloned().collect();
        status.advise();
        status
    }

    /// Where the session stands.
    pub(crate) fn state(&self) -> State {
        self.lock().status.state
    }

    /// Changes what stands on the board itself.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut inner = self.lock();
        change(&mut inner.status);
        inner.status.settle();
    }

    /// Changes one Site, if it is still on the board.
    pub(crate) fn update_site(&self, site: SiteId, change: impl FnOnce(&mut SiteStatus)) {
        self.update(|status| {
            if let Some(site) = status.sites.iter_mut().find(|status| status.id == site) {
                change(site);
            }
        });
    }

    pub(crate) fn add_flow(&self, flow: FlowStatus) -> u64 {
        let mut inner = self.lock();
        let id = inner.next_flow;
        inner.next_flow += 1;
        inner.flows.insert(id, flow);
        id
    }

    pub(crate) fn update_flow(&self, id: u64, change: impl FnOnce(&mut FlowStatus)) {
        if let Some(flow) = self.lock().flows.get_mut(&id) {
            change(flow);
        }
    }

    pub(crate) fn remove_flow(&self, id: u64) {
        self.lock().flows.remove(&id);
    }

    pub(crate) fn record(&self, event: PastEvent) {
        let mut inner = self.lock();
        if inner.events.len() >= MAX_EVENTS_KEPT {
            inner.events.pop_front();
        }
        inner.events.push_back(event);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves the board whole, so a panic elsewhere does not make it unreadable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    /// The condition of this name that is false now, at whichever Site.
    pub fn unmet(&self, condition: &str) -> Option<&UnmetCondition> {
        self.sites.iter().flat_map(|site| &site.unmet).find(|unmet| unmet.condition == condition)
    }

    /// Notes why the session stands as it does.
    pub(crate) fn explain(&mut self, code: &str, message: String) {
        self.code = Some(code.to_owned());
        self.message = Some(message);
    }

    /// There is nothing to explain any more.
    pub(crate) fn all_is_well(&mut self) {
        self.code = None;
        self.message = None;
        self.ends = None;
    }

    /// Says for everything that is not as it should be what to do about it.
    fn advise(&mut self) {
        let of = |code: &Option<String>| code.as_deref().map(|code| advice(code).to_owned());
        self.advice = match self.state {
            // It belongs to the code beside it; the state alone says less.
            State::MustSignIn => of(&self.code).or_else(|| Some(advice("client.must-sign-in").to_owned())),
            State::NothingGranted => of(&self.code).or_else(|| Some(advice("client.nothing-granted").to_owned())),
            State::SigningIn => Some(advice("client.signing-in").to_owned()),
            State::Ended => Some(advice("client.ended").to_owned()),
            State::Connecting | State::Connected => of(&self.code),
        };
        for site in &mut self.sites {
            site.advice = of(&site.code);
            for unmet in &mut site.unmet {
                unmet.advice = Some(unmet.next_step());
            }
        }
    }

    /// Brings the state of the session in line with its Sites, unless something stronger holds.
    fn settle(&mut self) {
        match self.state {
            State::Connecting | State::Connected => {
                let connected = self.sites.iter().any(|site| site.state == SiteState::Connected);
                self.state = if connected { State::Connected } else { State::Connecting };
            }
            State::SigningIn | State::NothingGranted | State::MustSignIn | State::Ended => {}
        }
    }
}

/// Connections listed in a status; all are counted.
pub const MAX_FLOWS_SHOWN: usize = 200;

const MAX_EVENTS_KEPT: usize = 100;
