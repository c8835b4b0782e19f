//! On-demand claims that need no script: files, processes and services (D 19).

use std::{fs, io, io::Read as _, os::unix::fs::OpenOptionsExt as _, path::Path, time::SystemTime};

use ring::digest::{Context, SHA512};
use rustix::fs::OFlags;
use serde_json::Value;
use time::{OffsetDateTime, macros::format_description};

use super::{failure::Failure, jobs::FileFact};

/// A fact about a file.
pub(super) fn of_file(fact: FileFact, path: &Path) -> Result<Value, Failure> {
    let failed = |error: io::Error| Failure::File(error.kind());
    let metadata = fs::metadata(path);
    if fact == FileFact::Exists {
        return match metadata {
            Ok(_) => Ok(true.into()),
            Err(error) if is_absence(&error) => Ok(false.into()),
            // Behind a closed door nobody knows.
            Err(error) => Err(failed(error)),
        };
    }
    let metadata = metadata.map_err(failed)?;
    match fact {
        FileFact::Exists => Ok(true.into()),
        FileFact::Size => Ok(metadata.len().into()),
        FileFact::Created => timestamp(metadata.created().map_err(failed)?),
        FileFact::Updated => timestamp(metadata.modified().map_err(failed)?),
        FileFact::Sha512 => sha512(path).map(Value::from),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn timestamp(time: SystemTime) -> Result<Value, Failure> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(time).format(format).map(Value::from).map_err(|_| Failure::Unknown)
}

fn sha512(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::File(error.kind());
    // A pipe or a device would make the client wait.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::File(io::ErrorKind::InvalidInput));
    }
    if metadata.len() > MAX_HASHED {
        return Err(Failure::File(io::ErrorKind::FileTooLarge));
    }
    let mut file = file.take(MAX_HASHED);
    let (mut context, mut piece) = (Context::new(&SHA512), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => return Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()),
            got => context.update(piece.get(..got).unwrap_or_default()),
        }
    }
}

/// Whether a process of this name runs, as far as this user can see. The kernel keeps 15 bytes of a name; a longer one is
/// compared with the name of the file that was started.
pub(super) fn process_running(name: &str) -> Result<Value, Failure> {
    let entries = fs::read_dir("/proc").map_err(|_| Failure::Unknown)?;
    let pids = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())));
    let mut found = pids.map(|entry| entry.path());
    Ok(found.any(|process| is_named(&process, name)).into())
}

fn is_named(process: &Path, name: &str) -> bool {
    let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let comm = comm.trim_end_matches('\n');
    if comm == name {
        return true;
    }
    let shortened = name.len() >= KERNEL_NAME && name.get(..KERNEL_NAME).is_some_and(|start| start == comm);
    let line = || fs::read(process.join("cmdline")).unwrap_or_default();
    shortened && {
        let line = line();
        let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
        Path::new(&*String::from_utf8_lossy(first)).file_name().is_some_and(|file| file == name)
    }
}

/// Whether a service of the system runs: systemd gives each a control group, which is empty or gone when it does not.
pub(super) fn service_running(name: &str) -> Result<Value, Failure> {
    if !Path::new(SERVICES).is_dir() {
        return Err(Failure::Unknown);
    }
    Ok(is_active(name).into())
}

/// As [`service_running`]; false also when the system has no systemd.
pub(crate) fn is_active(name: &str) -> bool {
    let unit = if name.ends_with(".service") { name.to_owned() } else { format!("{name}.service") };
    let events = fs::read_to_string(Path::new(SERVICES).join(unit).join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "populated 1")
}

const SERVICES: &str = "/sys/fs/cgroup/system.slice";

/// Largest file that is hashed: some 100 ms of work.
const MAX_HASHED: u64 = 64 * 1024 * 1024;

/// Bytes of a process's name that the kernel keeps.
const KERNEL_NAME: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_described_and_what_cannot_be_read_has_no_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "abc").unwrap();
        assert_eq!(of_file(FileFact::Exists, &file), Ok(true.into()));
        assert_eq!(of_file(FileFact::Exists, &file.join("below")), Ok(false.into()));
        assert_eq!(of_file(FileFact::Exists, &dir.path().join("none")), Ok(false.into()));
        assert_eq!(of_file(FileFact::Size, &file), Ok(3.into()));
        let hash = of_file(FileFact::Sha512, &file).unwrap();
        assert!(hash.as_str().unwrap().starts_with("ddaf35a193617aba"), "{hash}");
        let updated = of_file(FileFact::Updated, &file).unwrap();
        assert!(updated.as_str().unwrap().len() == 24 && updated.as_str().unwrap().ends_with('Z'), "{updated}");
        for fact in [FileFact::Size, FileFact::Updated, FileFact::Sha512] {
            assert_eq!(of_file(fact, &dir.path().join("none")), Err(Failure::File(io::ErrorKind::NotFound)));
        }
        assert!(of_file(FileFact::Sha512, dir.path()).is_err());
        assert!(of_file(FileFact::Sha512, Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn running_processes_are_found_by_name() {
        let own = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(process_running(own.trim_end()), Ok(true.into()));
        assert_eq!(process_running("no-such-process-anywhere"), Ok(false.into()));
    }
}
