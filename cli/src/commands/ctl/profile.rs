//! The saved sign-in: where, as whom, and the token until it expires. One private file.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{environment, process};

/// The saved sign-in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SavedProfile {
    /// Address of the admin API.
    pub(crate) url: String,
    /// The authority's certificate.
    pub(crate) authority: String,
    /// Identity provider.
    pub(crate) provider: String,
    /// User name.
    pub(crate) username: String,
    /// Names this device; constant, as the API asks for.
    pub(crate) device_id: Uuid,
    /// Where to read the password again when the sign-in expires. The password itself is never kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// The token with its expiry; absent when signed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<SavedToken>,
}

/// A token with its expiry.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedToken {
    /// Bearer token.
    pub(crate) value: String,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires: OffsetDateTime,
}

/// The file, as asked for or at its usual place.
pub(crate) fn file(asked: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(file) = asked {
        return Ok(file);
    }
    let dir =
        environment::config_dir().context("there is no home directory to keep the sign-in in; use --config FILE")?;
    Ok(dir.join("ctl.json"))
}

impl SavedProfile {
    /// Reads the file; `None` when there is none.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Option<Self>> {
        let content = match fs::read(file) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("could not read `{}`", file.display())),
        };
        let mode = fs::metadata(file).map(|metadata| metadata.permissions().mode() & 0o077).unwrap_or(0);
        if mode != 0 {
            bail!("`{}` can be read by others; it holds a sign-in, so remove it and sign in again", file.display());
        }
        let profile = serde_json::from_slice(&content).with_context(|| {
            format!("`{}` does not hold a sign-in; remove it and use `portcullis ctl login`", file.display())
        })?;
        Ok(Some(profile))
    }

    /// Writes the file, readable by its owner only.
    pub(crate) fn save(&self, file: &Path) -> anyhow::Result<()> {
        if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).with_context(|| format!("could not make the directory `{}`", dir.display()))?;
        }
        process::write_file(file, &serde_json::to_vec_pretty(self)?, 0o600)
    }
}
