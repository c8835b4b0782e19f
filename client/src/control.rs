//! The local control socket: JSON lines over a Unix socket in the data directory, for the user who runs the client.
//!
//! A request is `{"command":"status"}`, `{"command":"renew"}`, `{"command":"sign-out"}` or
//! `{"command":"answer","condition":"NAME","answer":"TEXT"}`, with a `number` when the condition asks for several things;
//! each is answered by one line. `{"command":"enrol","condition":"NAME"}` is answered by `{"enrolment":{"uri":"otpauth://…"}}`
//! when one-time codes are to be set up first, and else by a `uri` of null; every call makes a new secret, and only the
//! newest can be confirmed by a code.
//! Only processes of the same user (or root) are answered, whatever the file's mode. No other answer holds a secret.
//! Likewise what the user answers goes to a process of the same user (or root) only: whoever may write to the data directory
//! could have put a socket of their own there.

mod server;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::message::Refusal;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};
use zeroize::Zeroizing;

use crate::status::Status;

pub(crate) use server::ControlSocket;

/// The state of the client that runs with this data directory.
///
/// # Errors
/// When none runs there or it does not answer.
pub async fn status(data_dir: &Path) -> Result<Status, ControlError> {
    match request(data_dir, Command::Status).await? {
        Reply::Status(status) => Ok(*status),
        Reply::Failed(refusal) => Err(ControlError::Refused(refusal)),
        Reply::Done | Reply::Enrolment { .. } => Err(ControlError::Answer(None)),
    }
}

/// Fetches new tokens now.
///
/// # Errors
/// When none runs there, or new tokens could not be had.
pub async fn renew(data_dir: &Path) -> Result<(), ControlError> {
    done(request(data_dir, Command::Renew).await?)
}

/// Ends the session: its tokens are revoked, its connections end.
///
/// # Errors
/// When none runs there or it does not answer.
pub async fn sign_out(data_dir: &Path) -> Result<(), ControlError> {
    done(request(data_dir, Command::SignOut).await?)
}

/// Answers what a condition asks for: the first open remedy, or the one with this number as people count.
///
/// # Errors
/// When none runs there, nothing is asked, or the answer is not accepted.
pub async fn answer(
    data_dir: &Path,
    condition: &str,
    number: Option<usize>,
    text: Zeroizing<String>,
) -> Result<(), ControlError> {
    done(request(data_dir, Command::Answer { condition: condition.to_owned(), number, answer: Secret(text) }).await?)
}

/// Has a new secret made where a condition asks for a one-time code and the user has no app that was confirmed by one: the
/// URI that apps read from a QR code, or `None` when a code can be given right away.
///
/// # Errors
/// When none runs there, no code is asked for, or the controller cannot be reached.
pub async fn enrol(
    data_dir: &Path,
    condition: &str,
    number: Option<usize>,
) -> Result<Option<Zeroizing<String>>, ControlError> {
    match request(data_dir, Command::Enrol { condition: condition.to_owned(), number }).await? {
        Reply::Enrolment { uri } => Ok(uri.map(|uri| uri.0)),
        Reply::Failed(refusal) => Err(ControlError::Refused(refusal)),
        Reply::Status(_) | Reply::Done => Err(ControlError::Answer(None)),
    }
}

/// Errors from asking a running client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody listens.
    #[error("no client is running with `{}`; start one with `portcullis client --profile …`", path.display())]
    NotRunning {
        /// The data directory.
        path: PathBuf,
    },
    /// The socket failed or nobody answered in time.
    #[error("the running client does not answer")]
    Io(#[source] io::Error),
    /// Somebody else listens.
    #[error("`{}` belongs to another user, so nothing was sent to it; use the data directory of your own client", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
    },
    /// The answer is none.
    #[error("the running client gave an answer that is not understood; is it of another version?")]
    Answer(#[source] Option<serde_json::Error>),
    /// It could not do what was asked.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl ControlError {
    /// Stable code for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::NotRunning { .. } => "client.not-running",
            Self::Io(_) => "client.control-socket",
            Self::Stranger { .. } => "client.control-stranger",
            Self::Answer(_) => "client.control-answer",
            Self::Refused(refusal) => &refusal.code,
        }
    }
}

/// A line from a program.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
enum Command {
    Status,
    Renew,
    SignOut,
    Answer {
        condition: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
        answer: Secret,
    },
    Enrol {
        condition: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<usize>,
    },
}

impl Command {
    /// Whether it, or its answer, is for nobody else to see.
    fn is_confidential(&self) -> bool {
        match self {
            Self::Answer { .. } | Self::Enrol { .. } => true,
            Self::Status | Self::Renew | Self::SignOut => false,
        }
    }
}

/// What the user answers, or what an app is to know; it is wiped.
struct Secret(Zeroizing<String>);

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

/// A line to a program.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Status(Box<Status>),
    Done,
    Enrolment { uri: Option<Secret> },
    Failed(Refusal),
}

async fn request(data_dir: &Path, command: Command) -> Result<Reply, ControlError> {
    let path = socket_path(data_dir);
    let stream = UnixStream::connect(&path).await;
    let mut stream = stream.map_err(|_| ControlError::NotRunning { path: data_dir.to_owned() })?;
    if command.is_confidential() && !is_same_user(&stream) {
        return Err(ControlError::Stranger { path });
    }
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut line = Zeroizing::new(serde_json::to_vec(&command)?);
        line.push(b'\n');
        stream.write_all(&line).await?;
        read_line(&mut BufReader::new(stream), MAX_REPLY).await
    });
    let line = answer.await.map_err(|_| ControlError::Io(io::ErrorKind::TimedOut.into()))?.map_err(ControlError::Io)?;
    let line = Zeroizing::new(line.unwrap_or_default());
    serde_json::from_slice(&line).map_err(|error| ControlError::Answer(Some(error)))
}

fn done(reply: Reply) -> Result<(), ControlError> {
    match reply {
        Reply::Done => Ok(()),
        Reply::Failed(refusal) => Err(ControlError::Refused(refusal)),
        Reply::Status(_) | Reply::Enrolment { .. } => Err(ControlError::Answer(None)),
    }
}

/// One line of at most `limit` bytes, without its end; `None` at the end of the stream.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(limit).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "line is cut or too long")),
    }
}

/// Whether the process at the other end is of this one's user, or of root.
fn is_same_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// A renewal talks to controllers, each of which has its time.
const PATIENCE: Duration = Duration::from_secs(180);

const MAX_REPLY: u64 = 4 * 1024 * 1024;
