//! One run of the client, from binding its local ports to the end of its session.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use engine::id::DeviceId;
use protocol::message::Refusal;
use tokio::{sync::mpsc, task::JoinSet};
use zeroize::Zeroizing;

use crate::{
    config::ClientConfig,
    control::ControlSocket,
    device,
    dial::Dialers,
    err::ClientError,
    event::ClientEvent,
    hub::{Command, Hub},
    listen::Listeners,
    manager::{Manager, SignOut},
    session::Session,
    survey::Surveyor,
};

/// How a session ended that had begun, or was not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The caller asked for it; tokens are not revoked, but nobody holds their key any more.
    Shutdown,
    /// The user signed out; all tokens are revoked.
    SignedOut,
}

/// Signs in and serves local programs until `shutdown` resolves or the user signs out.
///
/// Events go to `events`; a receiver that does not keep up misses some. [`ClientEvent::SignInNeeded`] asks for the
/// password when it is needed again.
///
/// # Errors
/// When the session cannot begin. Once it has, trouble is told by events, and the client keeps trying.
pub async fn run(
    config: ClientConfig,
    shutdown: impl Future<Output = ()>,
    events: mpsc::Sender<ClientEvent>,
) -> Result<Ended, ClientError> {
    let mut shutdown = pin!(shutdown);
    let control = ControlSocket::bind(&config.data_dir)?;
    let device = device::device_id(&config.data_dir)?;
    let listeners = Listeners::bind(&config).await?;
    let (command_sender, mut commands) = mpsc::channel(QUEUED_COMMANDS);
    let dialers = Dialers::new(config.dial_overrides);
    let surveyor = Surveyor::new(config.device_scripts, &config.data_dir);
    let channels = (events, command_sender);
    let hub = Arc::new(Hub::new(config.profile, config.username, dialers, surveyor, channels));
    let mut tasks = JoinSet::new();
    tasks.spawn(control.serve(hub.clone()));
    let session = tokio::select! {
        session = first_sign_in(&hub, device, config.password) => session?,
        () = refuse_commands(&mut commands) => return Ok(Ended::SignedOut),
        () = &mut shutdown => return Ok(Ended::Shutdown),
    };
    listeners.announce(&hub);
    let mut manager = Manager::new(hub.clone(), device, session);
    let serving = listeners.serve(&hub);
    let sign_out = tokio::select! {
        sign_out = manager.run(&mut commands) => sign_out,
        () = &mut shutdown => None,
    };
    drop(commands);
    manager.stop(sign_out.is_some()).await;
    drop(serving);
    hub.dialers.wait_idle().await;
    let Some(SignOut(done)) = sign_out else { return Ok(Ended::Shutdown) };
    // Whoever asked may have left.
    if done.send(()).is_ok() {
        // Its answer is a line on the control socket, which goes away with this function.
        tokio::time::sleep(LAST_LINE).await;
    }
    Ok(Ended::SignedOut)
}

/// Signs in, waiting out a controller that says it is busy.
async fn first_sign_in(hub: &Hub, device: DeviceId, password: Zeroizing<String>) -> Result<Session, ClientError> {
    for _ in 0..BUSY_ATTEMPTS {
        match Session::sign_in(hub, device, password.clone()).await {
            Err(ClientError::Busy { retry_after_secs, .. }) => {
                tokio::time::sleep(Duration::from_secs(retry_after_secs).min(LONGEST_BUSY)).await;
            }
            other => return other,
        }
    }
    Session::sign_in(hub, device, password).await
}

/// Before there is a session nothing can be renewed; returns when the user does not want one any more.
async fn refuse_commands(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            // Whoever asked may have left.
            Command::Renew(Some(reply)) | Command::Answer(_, reply) => drop(reply.send(Err(signing_in()))),
            Command::Enrol { reply, .. } => drop(reply.send(Err(signing_in()))),
            Command::SignOut(done) => {
                // As above.
                let _ = done.send(());
                return;
            }
            Command::Renew(None) | Command::SiteEnded | Command::EndAnnounced { .. } => {}
        }
    }
}

fn signing_in() -> Refusal {
    let message = "the client is still signing in".to_owned();
    Refusal { code: "client.signing-in".to_owned(), message, retry_after_secs: Some(1) }
}

/// Requests to the session's manager that may wait; gateways repeat theirs.
const QUEUED_COMMANDS: usize = 64;

const BUSY_ATTEMPTS: u32 = 3;
const LONGEST_BUSY: Duration = Duration::from_secs(10);
const LAST_LINE: Duration = Duration::from_millis(100);
