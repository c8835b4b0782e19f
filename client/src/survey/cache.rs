//! Files of device scripts, kept by checksum in a private folder of the data directory.
//!
//! A file counts only if its content has the checksum it is named by, and that is checked before every run.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use protocol::message::MAX_DEVICE_SCRIPT_BYTES;
use ring::digest::{SHA256, digest};
use rustix::fs::OFlags;

use super::failure::Failure;

/// SHA-256 in lower-case hex, and nothing else; safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Checksum(String);

impl Checksum {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl FromStr for Checksum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| Self(text.to_ascii_lowercase())).ok_or(())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file whose content was checked a moment ago.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) path: PathBuf,
    /// Whether the system itself knows how to run it.
    pub(super) is_program: bool,
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Cache(PathBuf);

impl Cache {
    /// Makes the folder if need be. One that belongs to somebody else or that others can enter is not used.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let found = fs::symlink_metadata(&folder)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the folder is not yours"));
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self(folder))
    }

    pub(super) fn holds(&self, checksum: &Checksum) -> bool {
        self.check(checksum).is_ok()
    }

    /// Reads the file and compares it with its name; one that differs is removed.
    pub(super) fn check(&self, checksum: &Checksum) -> Result<Checked, Failure> {
        let path = self.0.join(&checksum.0);
        let content = read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Changed,
            _ => Failure::Cache(error.to_string()),
        });
        let content = content?;
        if Checksum::of(&content) != *checksum {
            tracing::warn!(%checksum, "File of a device script was changed and is removed");
            // When it stays, the next check fails again.
            let _ = fs::remove_file(&path);
            return Err(Failure::Changed);
        }
        Ok(Checked { path, is_program: content.starts_with(b"#!") || content.starts_with(b"\x7fELF") })
    }

    /// Keeps a file that was fetched, if it is what was asked for.
    pub(super) fn put(&self, checksum: &Checksum, content: &[u8]) -> Result<(), Failure> {
        if content.len() > MAX_DEVICE_SCRIPT_BYTES || Checksum::of(content) != *checksum {
            return Err(Failure::NotFetched("the controller sent another file".to_owned()));
        }
        let part = self.0.join(format!("{checksum}.part"));
        let write = || -> io::Result<()> {
            match fs::remove_file(&part) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(&part)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&part, self.0.join(&checksum.0))
        };
        write().map_err(|error| Failure::Cache(error.to_string()))
    }

    /// Removes what nobody asks for any more.
    pub(super) fn keep_only(&self, wanted: &BTreeSet<&Checksum>) {
        let kept = |name: &str| name.parse::<Checksum>().is_ok_and(|checksum| wanted.contains(&checksum));
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !kept(name)) {
                // A file that stays costs some space and nothing else.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut content = Vec::new();
    file.take(MAX_DEVICE_SCRIPT_BYTES as u64 + 1).read_to_end(&mut content)?;
    Ok(content)
}

const FOLDER: &str = "device-scripts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_its_checksum_is_kept_and_run() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (script, other) = (b"#!/bin/sh\necho ok\n", b"echo other");
        let checksum = Checksum::of(script);
        assert!(matches!(cache.put(&checksum, other), Err(Failure::NotFetched(_))));
        assert!(!cache.holds(&checksum));
        cache.put(&checksum, script).unwrap();
        let checked = cache.check(&checksum).unwrap();
        assert!(checked.is_program);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&checked.path), mode(checked.path.parent().unwrap())), (0o500, 0o700));

        fs::set_permissions(&checked.path, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(&checked.path, other).unwrap();
        assert_eq!(cache.check(&checksum), Err(Failure::Changed));
        assert!(!checked.path.exists(), "a changed file is gone");
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let checksum = Checksum::of(b"echo ok");
        fs::write(dir.path().join("elsewhere"), "echo ok").unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join(FOLDER).join(checksum.to_string()))
            .unwrap();
        assert!(matches!(cache.check(&checksum), Err(Failure::Cache(_))));
    }

    #[test]
    fn what_is_not_asked_for_any_more_goes() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let [kept, dropped] = [b"echo kept".as_slice(), b"echo dropped"].map(|content| {
            let checksum = Checksum::of(content);
            cache.put(&checksum, content).unwrap();
            checksum
        });
        cache.keep_only(&BTreeSet::from([&kept]));
        assert!(cache.holds(&kept) && !cache.holds(&dropped));
    }

    #[test]
    fn a_checksum_is_hex_and_never_a_path() {
        let text = Checksum::of(b"").to_string();
        assert_eq!(text.to_uppercase().parse::<Checksum>().unwrap().to_string(), text);
        let short = text.get(1..).unwrap();
        for wrong in ["", "../../etc/passwd", short, &format!("{short}/")] {
            assert!(wrong.parse::<Checksum>().is_err(), "{wrong}");
        }
    }
}
