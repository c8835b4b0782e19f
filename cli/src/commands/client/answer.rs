//! Answering what a condition asks for: by a command, or in the terminal of the running client.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use protocol::message::{RemedyKind, RemedyOffer};
use zeroize::Zeroizing;

use super::code;
use crate::{
    output::{printable, warn},
    secret,
};

/// Arguments of `client answer`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the condition; `portcullis client status` shows those that wait.
    condition: String,
    /// The data directory the client was started with.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which of the things it asks for, when it asks for several; the first that is open otherwise.
    #[arg(long, value_name = "NUMBER")]
    number: Option<usize>,
    /// The reason, where one is asked for. Without it, it is asked for here.
    #[arg(long, value_name = "TEXT", conflicts_with = "password_file")]
    reason: Option<String>,
    /// File with the password on its first line, or `-` for the standard input. Without it the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The one-time code. Others on this machine can see arguments; a file or the prompt is better.
    #[arg(long, value_name = "CODE", conflicts_with_all = ["reason", "password_file"])]
    code: Option<String>,
    /// File with the one-time code on its first line, or `-` for the standard input. Without it the code is asked for.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reason", "password_file", "code"])]
    code_file: Option<PathBuf>,
    /// File to write the QR code to that an authenticator app scans, when one-time codes are not set up yet. Whoever sees
    /// it can make your codes: delete it afterwards.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reason", "password_file", "code", "code_file"])]
    qr_png: Option<PathBuf>,
}

/// Answers a running client's question; tells what was done.
pub(super) async fn run(args: Args) -> anyhow::Result<&'static str> {
    let status = client::status(&args.data).await?;
    let offer = status.unmet(&args.condition).and_then(|unmet| unmet.next(args.number)).cloned();
    let Some(offer) = offer else {
        bail!("`{}` asks for nothing now; `portcullis client status` shows what does", args.condition);
    };
    refuse_other_answers(&args, offer.kind)?;
    if offer.kind == RemedyKind::Code {
        let code = match (args.code, args.code_file) {
            (Some(code), _) => Some(Zeroizing::new(code)),
            (None, Some(file)) => Some(tokio::task::spawn_blocking(move || secret::read_file(&file, "code")).await??),
            (None, None) => None,
        };
        let question = Question { data: &args.data, condition: &args.condition, number: args.number, offer: &offer };
        return code::answer(question, code, args.qr_png.as_deref()).await;
    }
    let text = match args.reason {
        Some(reason) => Zeroizing::new(reason),
        None => {
            let (condition, file) = (args.condition.clone(), args.password_file);
            tokio::task::spawn_blocking(move || ask(&condition, &offer, file.as_deref())).await??
        }
    };
    client::answer(&args.data, &args.condition, args.number, text).await?;
    Ok("answered")
}

/// What a running client is asked for.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) data: &'a Path,
    pub(super) condition: &'a str,
    pub(super) number: Option<usize>,
    pub(super) offer: &'a RemedyOffer,
}

impl Question<'_> {
    /// The question as people read it.
    pub(super) fn text(self) -> String {
        printable(format!("{}: {}", self.condition, self.offer.message))
    }
}

/// Nothing that was meant for another question is sent as the answer to this one.
fn refuse_other_answers(args: &Args, kind: RemedyKind) -> anyhow::Result<()> {
    let given = [
        (RemedyKind::Reason, args.reason.is_some()),
        (RemedyKind::Password, args.password_file.is_some()),
        (RemedyKind::Code, args.code.is_some() || args.code_file.is_some() || args.qr_png.is_some()),
    ];
    match given.into_iter().find(|(other, given)| *given && *other != kind) {
        Some((other, _)) => {
            bail!("`{}` asks for {}, not for {}", args.condition, client::what(kind), client::what(other))
        }
        None => Ok(()),
    }
}

/// Asks whoever sits at the terminal of the running client, one question at a time, for as long as it is still asked.
pub(super) fn ask_here(data: PathBuf, condition: String, runtime: &tokio::runtime::Handle) {
    static TERMINAL: Mutex<()> = Mutex::new(());
    let _turn = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let status = runtime.block_on(client::status(&data));
        let offer = status.ok().and_then(|status| status.unmet(&condition).and_then(|unmet| unmet.next(None)).cloned());
        let Some(offer) = offer else { return };
        let answered = if offer.kind == RemedyKind::Code {
            let question = Question { data: &data, condition: &condition, number: None, offer: &offer };
            runtime.block_on(code::answer(question, None, None)).map(|_| ())
        } else {
            ask(&condition, &offer, None)
                .and_then(|text| Ok(runtime.block_on(client::answer(&data, &condition, None, text))?))
        };
        if let Err(error) = answered {
            // The question stays; it can be answered with `client answer`.
            warn(format_args!("error: {error:#}"));
            return;
        }
    }
}

fn ask(condition: &str, offer: &RemedyOffer, password_file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let question = printable(format!("{condition}: {}", offer.message));
    match offer.kind {
        RemedyKind::Password => secret::read_password(password_file, &format!("{question}\nyour password")),
        RemedyKind::Reason if !std::io::stdin().is_terminal() => {
            bail!("no reason: there is no terminal to ask on; use --reason TEXT")
        }
        RemedyKind::Reason => prompt(&format!("{question}\nyour reason: "), "reason"),
        RemedyKind::Code => prompt(&format!("{question}\nyour code: "), "code"),
    }
}

/// Asks at the terminal for something that may be seen.
pub(super) fn prompt(question: &str, what: &str) -> anyhow::Result<Zeroizing<String>> {
    eprint!("{question}");
    std::io::stderr().flush().context("cannot ask")?;
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut line).with_context(|| format!("could not read the {what}"))?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}
