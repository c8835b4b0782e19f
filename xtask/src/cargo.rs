//! Running cargo, and saying in plain words what this machine lacks for it.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// Where cargo builds; workspaces of their own share it.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |configured| root().join(configured))
}

/// A cargo command in the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds what `selection` names and answers where the executables are, by name. Cargo's progress stays visible.
///
/// # Errors
/// When a tool is missing or the build fails.
pub fn build(selection: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    require_tools()?;
    let mut child = cargo()
        .args(["build", "--locked", "--message-format=json-render-diagnostics"])
        .args(selection)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut executables = BTreeMap::new();
    for line in BufReader::new(output).lines() {
        let message: Value = serde_json::from_str(&line.context("cannot read what cargo says")?).unwrap_or_default();
        let (name, path) = (message.pointer("/target/name"), message.get("executable"));
        if let (Some(name), Some(path)) = (name.and_then(Value::as_str), path.and_then(Value::as_str)) {
            executables.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    if !child.wait().context("cannot wait for cargo")?.success() {
        bail!("`cargo build {}` failed; its messages stand above", selection.join(" "));
    }
    Ok(executables)
}

/// Runs a command that shows its own output.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", line_of(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line_of(command));
    }
    Ok(())
}

/// How one would type the command, without the directory of its program.
pub fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Checks for what building needs beyond the Rust toolchain.
///
/// # Errors
/// When something is missing, with how to install it.
pub fn require_tools() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("Portcullis runs on Linux; use a Linux machine, container or virtual machine");
    }
    if !answers(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())) {
        bail!("cargo is missing; install the Rust toolchain from https://rustup.rs, then try again");
    }
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    // CC may carry arguments, such as `ccache gcc`.
    let program = compiler.split_whitespace().next().unwrap_or("cc");
    if !answers(program) {
        bail!(
            "a C compiler is missing (`{program}` does not run): SQLite and the cryptography are built with it. \
             On Debian and Ubuntu: `apt-get install build-essential`; on Fedora: `dnf install gcc`; on Alpine: `apk add build-base`"
        );
    }
    Ok(())
}

fn answers(program: &str) -> bool {
    let run = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}
