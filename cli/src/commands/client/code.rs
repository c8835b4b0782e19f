//! One-time codes: setting up an app where the user has none, then giving the code it shows.
//!
//! Every look at a secret makes a new one, so it is asked for only where it can be shown: on a terminal, or in a file that
//! only its owner can read.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use client::ControlError;
use zeroize::Zeroizing;

use super::{
    answer::{Question, prompt},
    qr::Qr,
};
use crate::{output::warn, process};

/// Gives the code, or has an app set up and then asks for it; tells what was done.
pub(super) async fn answer(
    question: Question<'_>,
    code: Option<Zeroizing<String>>,
    png: Option<&Path>,
) -> anyhow::Result<&'static str> {
    if let Some(code) = code {
        client::answer(question.data, question.condition, question.number, code).await?;
        return Ok("answered");
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if png.is_none() && !terminal {
        bail!(
            "no code: there is no terminal to ask on; use --code-file FILE, and --qr-png FILE before it to set up an app"
        );
    }
    let uri = client::enrol(question.data, question.condition, question.number).await?;
    match (uri, png) {
        (Some(uri), Some(file)) => {
            process::write_file(file, &Qr::new(&uri)?.png()?, 0o600)?;
            let file = file.display();
            warn(format_args!(
                "scan `{file}` with an authenticator app, delete it, and give the code that the app shows"
            ));
        }
        (Some(uri), None) => show(question, &uri)?,
        (None, Some(_)) => {
            bail!("your one-time codes are set up already, so nothing was written; use --code-file FILE")
        }
        (None, None) => {}
    }
    if !terminal {
        return Ok("QR code written");
    }
    ask(question).await?;
    Ok("answered")
}

/// Shows the secret to scan, and as text for an app that cannot scan.
fn show(question: Question<'_>, uri: &str) -> anyhow::Result<()> {
    let code = Qr::new(uri)?.terminal();
    let secret = grouped(uri).context("the controller sent a secret that is none")?;
    let text = Zeroizing::new(format!(
        "{}\nscan this with an authenticator app:\n\n{}\nor type its secret into the app: {}\n",
        question.text(),
        code.as_str(),
        secret.as_str()
    ));
    // In one piece, so that no message of the running client comes in between.
    std::io::stderr().lock().write_all(text.as_bytes()).context("cannot ask")
}

/// The secret in groups of four.
fn grouped(uri: &str) -> Option<Zeroizing<String>> {
    let (_, rest) = uri.split_once("secret=")?;
    let secret = rest.split('&').next()?;
    let is_plain = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut text = Zeroizing::new(String::with_capacity(2 * secret.len()));
    for (index, character) in secret.chars().enumerate() {
        if index > 0 && index.is_multiple_of(4) {
            text.push(' ');
        }
        text.push(character);
    }
    is_plain.then_some(text)
}

/// Asks for the code; a mistyped one may be given again without scanning anew.
async fn ask(question: Question<'_>) -> anyhow::Result<()> {
    let mut left = ATTEMPTS;
    loop {
        let text = format!("{}\nyour code: ", question.text());
        let code = tokio::task::spawn_blocking(move || prompt(&text, "code")).await??;
        let Err(error) = client::answer(question.data, question.condition, question.number, code).await else {
            return Ok(());
        };
        left -= 1;
        if left == 0 || !is_about_the_code(&error) {
            return Err(error.into());
        }
        warn(format_args!("{error}"));
    }
}

fn is_about_the_code(error: &ControlError) -> bool {
    ["remedy.wrong-code", "remedy.used-code", "remedy.bad-code"].contains(&error.code())
}

/// Codes asked for before the command gives up; the controller counts on its own.
const ATTEMPTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_shown_in_groups() {
        let uri = "otpauth://totp/ana@local@host?secret=GEZDGNBVGY&issuer=Portcullis";
        assert_eq!(grouped(uri).unwrap().as_str(), "GEZD GNBV GY");
        for broken in ["otpauth://totp/ana", "otpauth://totp/ana?secret=", "x?secret=\u{1b}[2J&issuer=P"] {
            assert!(grouped(broken).is_none(), "{broken}");
        }
    }
}
