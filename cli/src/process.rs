//! What every long-running command shares: signals that end it, and files that tell others how to reach it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
#[cfg(any(feature = "controller", feature = "gateway", feature = "client"))]
use serde::Serialize;
#[cfg(any(feature = "controller", feature = "gateway", feature = "client"))]
use tokio::signal::unix::{SignalKind, signal};

/// First argument that makes this binary a script worker.
#[cfg(any(feature = "controller", feature = "gateway", feature = "script"))]
pub(crate) const WORKER_ARGUMENT: &str = "script-worker";

/// How script workers are started: this binary again.
#[cfg(any(feature = "controller", feature = "gateway", feature = "script"))]
pub(crate) fn worker_command() -> anyhow::Result<sandbox::WorkerCommand> {
    let program =
        std::env::current_exe().context("could not find out where this program is, which script workers need")?;
    Ok(sandbox::WorkerCommand { program, args: vec![WORKER_ARGUMENT.into()] })
}

/// First argument that makes this binary the process that runs a device script.
#[cfg(feature = "client")]
pub(crate) const DEVICE_SCRIPT_ARGUMENT: &str = "device-script-runner";

/// How processes that run device scripts are started: this binary again.
#[cfg(feature = "client")]
pub(crate) fn device_script_command() -> anyhow::Result<client::RunnerCommand> {
    let program =
        std::env::current_exe().context("could not find out where this program is, which device scripts need")?;
    Ok(client::RunnerCommand { program, args: vec![DEVICE_SCRIPT_ARGUMENT.to_owned()] })
}

/// Listens for SIGINT and SIGTERM from now on; the future ends when the first arrives.
#[cfg(any(feature = "controller", feature = "gateway", feature = "client"))]
pub(crate) fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Makes a directory that only its owner can enter, if it does not exist.
#[cfg(any(feature = "controller", feature = "gateway", feature = "client"))]
pub(crate) fn private_dir(path: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("could not make the directory `{}`", path.display()))?;
    let path = path.canonicalize().with_context(|| format!("could not find the directory `{}`", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("could not make the directory `{}` private", path.display()))?;
    Ok(path)
}

/// Writes a file that appears complete or not at all. It is written beside its place, in a file that did not exist before:
/// where others can write too, they could have put a link there.
pub(crate) fn write_file(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let (part, mut file) = new_part(path, mode)?;
        let mut fill = || -> std::io::Result<()> {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&part, path)
        };
        fill().inspect_err(|_| drop(fs::remove_file(&part)))
    };
    write().with_context(|| format!("could not write `{}`", path.display()))
}

/// A new file beside a path, under the first name that is free.
fn new_part(path: &Path, mode: u32) -> std::io::Result<(PathBuf, fs::File)> {
    let mut number = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{number}.part", std::process::id()));
        let part = PathBuf::from(name);
        match fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&part) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < MOST_PARTS => number += 1,
            opened => return opened.map(|file| (part, file)),
        }
    }
}

/// Names that may be taken, by whatever an earlier process of the same number left behind.
const MOST_PARTS: u32 = 16;

/// Tells whoever waits for the file that the process is ready, and how to reach it.
#[cfg(any(feature = "controller", feature = "gateway", feature = "client"))]
pub(crate) fn write_ready_file(path: Option<&Path>, content: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let content = serde_json::to_vec_pretty(content)?;
    write_file(path, &content, 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_the_part_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, victim) = (dir.path().join("scan.png"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        let part = |number: u32| dir.path().join(format!("scan.png.{}-{number}.part", std::process::id()));
        std::os::unix::fs::symlink(&victim, part(0)).unwrap();
        std::os::unix::fs::symlink(dir.path().join("nowhere"), part(1)).unwrap();
        write_file(&file, b"secret", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"secret");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
        assert!(!dir.path().join("nowhere").exists() && !part(2).exists());
        (2..=MOST_PARTS).for_each(|number| fs::write(part(number), "").unwrap());
        assert!(write_file(&file, b"other", 0o600).is_err());
        assert_eq!(fs::read(&file).unwrap(), b"secret", "what was there stays");
    }
}
