//! Passwords of people: from a file, the standard input, or a prompt. Never from an argument, which others can see.

use std::{
    io::{IsTerminal as _, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

/// Reads a password: the first line of the file, of the standard input for `-`, or what is typed at the prompt.
pub(crate) fn read_password(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match file {
        Some(path) => read_file(path, "password"),
        None if std::io::stdin().is_terminal() => {
            let text = rpassword::prompt_password(format!("{prompt}: ")).context("could not read the password")?;
            first_line(&Zeroizing::new(text), "password")
        }
        None => bail!(
            "no password: there is no terminal to ask on; use --password-file FILE, or --password-file - for the standard input"
        ),
    }
}

/// Reads the first line of the file, or of the standard input for `-`; `what` names it in errors.
pub(crate) fn read_file(path: &Path, what: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = if path == Path::new("-") {
        read_bounded(std::io::stdin().lock())
            .with_context(|| format!("could not read the {what} from the standard input"))?
    } else {
        let file = std::fs::File::open(path)
            .with_context(|| format!("could not open the {what} file `{}`", path.display()))?;
        read_bounded(file).with_context(|| format!("could not read the {what} file `{}`", path.display()))?
    };
    first_line(&text, what)
}

fn first_line(text: &str, what: &str) -> anyhow::Result<Zeroizing<String>> {
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if line.is_empty() {
        bail!("the {what} is empty");
    }
    Ok(line)
}

fn read_bounded(from: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
    from.take(MAX_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// Far longer than any password; the buffer never grows, so no copy of the password is left behind in memory.
const MAX_BYTES: usize = 4096;
