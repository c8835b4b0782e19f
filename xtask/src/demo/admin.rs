//! The administrator: everything through `portcullis ctl`, which speaks the REST API.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Runs `portcullis ctl`.
#[derive(Clone)]
pub struct Admin {
    portcullis: PathBuf,
    config: PathBuf,
}

impl Admin {
    /// Its sign-in is kept in `config`.
    pub fn new(portcullis: PathBuf, config: PathBuf) -> Self {
        Self { portcullis, config }
    }

    /// Runs a subcommand and answers its JSON; null when it prints nothing.
    ///
    /// # Errors
    /// With what it says, when it fails.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Value> {
        self.run(self.command(arguments).stdin(Stdio::null()))
    }

    /// Signs in.
    ///
    /// # Errors
    /// When the controller refuses.
    pub fn login(&self, url: &str, authority: &Path, password: &Path) -> Result<Value> {
        let mut command = self.command(&["login", "--url", url, "--username", "admin", "--ca"]);
        self.run(command.arg(authority).arg("--password-file").arg(password).stdin(Stdio::null()))
    }

    /// The object of a kind and name.
    ///
    /// # Errors
    /// When there is none.
    pub fn object(&self, kind: &str, name: &str) -> Result<Value> {
        self.ctl(&["get", kind, name])
    }

    /// Reads an object, changes it and writes it back.
    ///
    /// # Errors
    /// When it does not exist or the change is refused.
    pub fn edit(&self, kind: &str, path: &str, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut object = self.object(kind, name)?;
        let id = object.get("id").and_then(Value::as_str).context("the object has no id")?.to_owned();
        change(&mut object);
        self.ctl(&["api", "PUT", &format!("/{path}/{id}"), "--body", &object.to_string()]).map(|_| ())
    }

    /// Audit records of one type, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn records(&self, event: &str) -> Result<Vec<Value>> {
        let answer = self.ctl(&["logs", "--event", event, "--limit", "500"])?;
        let oldest_first = answer.as_array().context("the audit log is no list")?;
        Ok(oldest_first.iter().rev().cloned().collect())
    }

    /// The newest audit record of one type about one user.
    ///
    /// # Errors
    /// When there is none.
    pub fn record_of(&self, event: &str, user: &str) -> Result<Option<Value>> {
        Ok(self.records(event)?.into_iter().find(|record| text(record, "distinguished_name_user") == user))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.portcullis);
        command.arg("ctl").arg("--config").arg(&self.config).args(["--output", "json"]).args(arguments);
        command
    }

    fn run(&self, command: &mut Command) -> Result<Value> {
        let output = command.output().context("cannot run `portcullis ctl`")?;
        if !output.status.success() {
            bail!("`portcullis ctl` failed: {}", complaint(&output.stderr));
        }
        if output.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).context("`portcullis ctl` printed no JSON")
    }
}

/// A member that is a text; empty when it is missing.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A member that is a list of texts.
pub fn texts<'a>(value: &'a Value, member: &str) -> Vec<&'a str> {
    value
        .get(member)
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// What a failed command said, from its JSON if it is some.
pub fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let json = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let error = json.as_ref().and_then(|json| json.get("error"));
    let Some(error) = error else { return text.trim().replace('\n', " | ") };
    [vec![self::text(error, "message")], texts(error, "causes")].concat().join(": ")
}
