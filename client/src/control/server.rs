//! The client's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use protocol::message::Refusal;
use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinSet,
};
use zeroize::Zeroizing;

use super::{Command, Reply, Secret, is_same_user, read_line, socket_path};
use crate::{
    err::ClientError,
    hub::{self, Hub},
};

/// The bound control socket; at most one per data directory. Its file goes away with it.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the data directory if need be, sees that it is this user's alone, and binds the socket in it.
    pub(crate) fn bind(data_dir: &Path) -> Result<Self, ClientError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| ClientError::DataDir { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable(data_dir))?;
        check_owner(data_dir).map_err(unusable(data_dir))?;
        let path = socket_path(data_dir);
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(ClientError::AlreadyRunning { path: data_dir.to_owned() });
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path)(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(unusable(&path))?;
        let socket = Self { listener, path };
        fs::set_permissions(&socket.path, fs::Permissions::from_mode(0o600)).map_err(unusable(&socket.path))?;
        Ok(socket)
    }

    /// Answers until dropped.
    pub(crate) async fn serve(self, hub: Arc<Hub>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) if is_same_user(&stream) => {
                        let hub = hub.clone();
                        connections.spawn(async move {
                            if let Err(error) = answer_all(&hub, stream).await {
                                tracing::debug!(%error, "Control connection failed");
                            }
                        });
                    }
                    Ok(_) => tracing::warn!("Control connection of another user refused"),
                    Err(error) => {
                        tracing::debug!(%error, "Control connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "Control socket could not be removed");
        }
    }
}

/// Nobody else may put another socket in the place of this one.
fn check_owner(data_dir: &Path) -> io::Result<()> {
    let metadata = fs::metadata(data_dir)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write to it; `chmod go-w` takes that from them"));
    }
    Ok(())
}

async fn answer_all(hub: &Hub, stream: UnixStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line =
            tokio::time::timeout(IDLE, read_line(&mut reader, MAX_LINE)).await.map_err(|_| io::ErrorKind::TimedOut)?;
        let Some(line) = line?.map(Zeroizing::new) else { return Ok(()) };
        let reply = match serde_json::from_slice(&line) {
            Ok(command) => answer(hub, command).await,
            Err(error) => failed("control.malformed", &format!("this is no command: {error}")),
        };
        let mut bytes = Zeroizing::new(serde_json::to_vec(&reply)?);
        bytes.push(b'\n');
        writer.write_all(&bytes).await?;
    }
}

async fn answer(hub: &Hub, command: Command) -> Reply {
    match command {
        Command::Status => Reply::Status(Box::new(hub.board.snapshot())),
        Command::Renew => {
            let (sender, receiver) = oneshot::channel();
            hub.command_wait(hub::Command::Renew(Some(sender))).await;
            outcome(receiver.await)
        }
        Command::Answer { condition, number, answer } => {
            let (sender, receiver) = oneshot::channel();
            let answer = hub::Answer { condition, number, text: answer.0 };
            hub.command_wait(hub::Command::Answer(answer, sender)).await;
            outcome(receiver.await)
        }
        Command::Enrol { condition, number } => {
            let (sender, receiver) = oneshot::channel();
            hub.command_wait(hub::Command::Enrol { condition, number, reply: sender }).await;
            match receiver.await {
                Ok(Ok(uri)) => Reply::Enrolment { uri: uri.map(Secret) },
                Ok(Err(refusal)) => Reply::Failed(refusal),
                Err(_) => failed("client.ended", "the session is over"),
            }
        }
        Command::SignOut => {
            let (sender, receiver) = oneshot::channel();
            hub.command_wait(hub::Command::SignOut(sender)).await;
            match receiver.await {
                Ok(()) => Reply::Done,
                Err(_) => failed("client.ended", "the session is over"),
            }
        }
    }
}

fn outcome(answer: Result<Result<(), Refusal>, oneshot::error::RecvError>) -> Reply {
    match answer {
        Ok(Ok(())) => Reply::Done,
        Ok(Err(refusal)) => Reply::Failed(refusal),
        Err(_) => failed("client.ended", "the session is over"),
    }
}

fn failed(code: &str, message: &str) -> Reply {
    Reply::Failed(Refusal { code: code.to_owned(), message: message.to_owned(), retry_after_secs: None })
}

const MAX_CONNECTIONS: usize = 16;
const MAX_LINE: u64 = 64 * 1024;
const IDLE: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
