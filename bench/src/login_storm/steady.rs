//! Authorizations at a fixed rate, whether the earlier ones are answered or not.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use protocol::quic::Dialer;
use tokio::task::JoinSet;

use super::PASSWORD;
use crate::{
    session::{Door, Session},
    world::World,
};

/// Users who are signed in already.
pub(super) struct Steady {
    sessions: Vec<Arc<Session>>,
}

impl Steady {
    pub(super) async fn sign_in(world: &World) -> Result<Arc<Self>> {
        let dialer = Dialer::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let door = Door { dialer, controller: world.client_address, pin: world.pin };
        let mut sessions = Vec::new();
        for client in 0..CLIENTS {
            let session = door.sign_in(&user(client), PASSWORD, u128::MAX - u128::from(client)).await?;
            session.authorize().await?;
            sessions.push(Arc::new(session));
        }
        Ok(Arc::new(Self { sessions }))
    }

    /// Asks until told that it is over; every answer is waited for.
    pub(super) async fn measure(self: Arc<Self>, over: Arc<AtomicBool>) -> Result<Measured> {
        let started = Instant::now();
        let mut asked = JoinSet::new();
        for (number, session) in self.sessions.iter().cycle().enumerate() {
            let due = started + Duration::from_secs(1) * u32::try_from(number)? / PER_SECOND;
            tokio::time::sleep_until(due.into()).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let session = session.clone();
            asked.spawn(async move { (session.authorize().await.is_ok(), due.elapsed()) });
        }
        let mut measured = Measured::default();
        while let Some(answered) = asked.join_next().await {
            let (granted, took) = answered?;
            measured.refused += u64::from(!granted);
            measured.samples.push(took);
        }
        Ok(measured)
    }
}

/// What came of asking.
#[derive(Default)]
pub(super) struct Measured {
    /// How long each took, the refused ones too.
    pub(super) samples: Vec<Duration>,
    pub(super) refused: u64,
}

pub(super) fn user(client: u32) -> String {
    format!("steady-{client}")
}

/// Enough for none to ask more often than a session may.
pub(super) const CLIENTS: u32 = 75;

pub(super) const PER_SECOND: u32 = 50;
