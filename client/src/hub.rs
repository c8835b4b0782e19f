//! What all parts of a running client share: how to dial, what to tell the user, which Sites can carry flows.

use std::sync::{Arc, Mutex, PoisonError};

use protocol::message::Refusal;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::{
    dial::Dialers,
    event::ClientEvent,
    link::Link,
    profile::Profile,
    status::{Board, PastEvent},
    survey::Surveyor,
};

/// What all parts of a running client share.
pub(crate) struct Hub {
    pub(crate) profile: Profile,
    pub(crate) username: String,
    pub(crate) dialers: Dialers,
    pub(crate) board: Board,
    /// What sessions find out about the device with; has no list yet.
    pub(crate) surveyor: Surveyor,
    events: mpsc::Sender<ClientEvent>,
    commands: mpsc::Sender<Command>,
    links: Mutex<Arc<[Arc<Link>]>>,
}

/// What the session's manager is asked to do.
pub(crate) enum Command {
    /// Fetch new tokens; the answer, if any is wanted, says whether that was done.
    Renew(Option<oneshot::Sender<Result<(), Refusal>>>),
    /// Answer what a condition asks for.
    Answer(Answer, oneshot::Sender<Result<(), Refusal>>),
    /// Have a secret for one-time codes made where a condition asks for one and the user has none yet.
    Enrol {
        condition: String,
        number: Option<usize>,
        reply: oneshot::Sender<Result<Option<Zeroizing<String>>, Refusal>>,
    },
    /// A gateway refused or ended the session.
    SiteEnded,
    /// A gateway announced the end of tokens.
    EndAnnounced { at: i64, sign_in: bool, reason: String },
    /// End the session for good.
    SignOut(oneshot::Sender<()>),
}

/// The user's answer to a condition that is false. Has no `Debug`: it may be a password.
pub(crate) struct Answer {
    /// Name of the condition.
    pub(crate) condition: String,
    /// Which of the things it asks for, from 1; the first that is open when none is given.
    pub(crate) number: Option<usize>,
    pub(crate) text: Zeroizing<String>,
}

impl Hub {
    pub(crate) fn new(
        profile: Profile,
        username: String,
        dialers: Dialers,
        surveyor: Surveyor,
        channels: (mpsc::Sender<ClientEvent>, mpsc::Sender<Command>),
    ) -> Self {
        let (events, commands) = channels;
        let board = Board::new(&username, &profile.provider);
        Self { profile, username, dialers, board, surveyor, events, commands, links: Mutex::new(Arc::from([])) }
    }

    /// Shows an event. A reader that does not keep up misses it; the status still has it.
    pub(crate) fn tell(&self, event: ClientEvent) {
        tracing::debug!(event = event.kind(), "Told the user");
        self.board.record(PastEvent {
            at: OffsetDateTime::now_utc(),
            event: event.kind().to_owned(),
            message: event.to_string(),
        });
        if self.events.try_send(event).is_err() {
            tracing::debug!("Event was not taken");
        }
    }

    /// Asks the manager; one that is drowning in requests already has a reason to act.
    pub(crate) fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("Session manager is busy or gone");
        }
    }

    /// Asks the manager and waits for room; false when it is gone.
    pub(crate) async fn command_wait(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// The Sites that take new flows, in order of their ids.
    pub(crate) fn links(&self) -> Arc<[Arc<Link>]> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_links(&self, mut links: Vec<Arc<Link>>) {
        links.sort_by_key(|link| link.site);
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = links.into();
    }
}
