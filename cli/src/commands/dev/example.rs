//! The example policies, as they lie in `policies/demo`, and passwords for their users.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use protocol::object::ObjectKind;
use uuid::Uuid;

use crate::{commands::ctl::bundle, process};

/// The Site of the example.
pub(super) const SITE: &str = "Demo";
/// Directory with the passwords, beside the bundle.
pub(super) const PASSWORDS: &str = "passwords";

/// Writes the files that are not there yet, so that what somebody edited stays; answers the names of the users.
pub(super) fn write(dir: &Path) -> anyhow::Result<Vec<String>> {
    for (name, content) in FILES {
        let file = dir.join(name);
        if !file.exists() {
            fs::write(&file, content).with_context(|| format!("could not write `{}`", file.display()))?;
        }
    }
    process::private_dir(&dir.join(PASSWORDS))?;
    let users = bundle::read(&[dir.join("users.yaml")])?;
    let users: Vec<String> =
        users.into_iter().filter(|user| user.kind == ObjectKind::LocalUser).map(|user| user.name).collect();
    for user in &users {
        password_in(&dir.join(PASSWORDS).join(user))?;
    }
    Ok(users)
}

/// The password in a file; a new one when there is no file.
pub(super) fn password_in(file: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(password) => Ok(password.trim_end().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // 122 random bits; a uuid is what this crate has at hand to make them.
            let password = Uuid::new_v4().simple().to_string();
            process::write_file(file, format!("{password}\n").as_bytes(), 0o600)?;
            Ok(password)
        }
        Err(error) => Err(error).with_context(|| format!("could not read `{}`", file.display())),
    }
}

const FILES: [(&str, &str); 5] = [
    ("conditions.yaml", include_str!("../../../../policies/demo/conditions.yaml")),
    ("entitlements.yaml", include_str!("../../../../policies/demo/entitlements.yaml")),
    ("policies.yaml", include_str!("../../../../policies/demo/policies.yaml")),
    ("site.yaml", SITE_FILE),
    ("users.yaml", include_str!("../../../../policies/demo/users.yaml")),
];

/// There is no name server here, so names are looked up in the gateway's hosts file.
const SITE_FILE: &str = "\
# A Site is a group of gateways in front of the same protected networks.
- kind: Site
  name: Demo
  notes: Where the protected hosts of the example stand.
  nameResolution:
    useHostsFile: true
";
