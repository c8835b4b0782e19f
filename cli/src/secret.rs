//! Passwords of people: from a file, the standard input, or a prompt. Never from an argument, which others can see.

use std::{
    io::{IsTerminal as _, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

/// Reads a password: the first line of the file, of the standard input for `-`, or what is typed at the prompt.
pub(crate) fn read_password(file: Option<&Path>, prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = match file {
        Some(path) if path == Path::new("-") => {
            read_bounded(std::io::stdin().lock()).context("could not read the password from the standard input")?
        }
        Some(path) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("could not open the password file `{}`", path.display()))?;
            read_bounded(file).with_context(|| format!("could not read the password file `{}`", path.display()))?
        }
        None if std::io::stdin().is_terminal() => {
            Zeroizing::new(rpassword::prompt_password(format!("{prompt}: ")).context("could not read the password")?)
        }
        None => bail!(
            "no password: there is no terminal to ask on; use --password-file FILE, or --password-file - for the standard input"
        ),
    };
    let password = Zeroizing::new(text.lines().next().unwrap_or_default().to_owned());
    if password.is_empty() {
        bail!("the password is empty");
    }
    Ok(password)
}

fn read_bounded(from: impl std::io::Read) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
    from.take(MAX_BYTES as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// Far longer than any password; the buffer never grows, so no copy of the password is left behind in memory.
const MAX_BYTES: usize = 4096;
