//! Answering what a condition asks for: by a command, or in the terminal of the running client.

use std::{
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use protocol::message::{RemedyKind, RemedyOffer};
use zeroize::Zeroizing;

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
}

/// Answers a running client's question.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let status = client::status(&args.data).await?;
    let offer = status.unmet(&args.condition).and_then(|unmet| unmet.next(args.number)).cloned();
    let Some(offer) = offer else {
        bail!("`{}` asks for nothing now; `portcullis client status` shows what does", args.condition);
    };
    let text = match (offer.kind, args.reason) {
        (RemedyKind::Reason, Some(reason)) => Zeroizing::new(reason),
        (RemedyKind::Password, Some(_)) => bail!("`{}` asks for your password, not for a reason", args.condition),
        (_, None) => {
            let (condition, file) = (args.condition.clone(), args.password_file);
            tokio::task::spawn_blocking(move || ask(&condition, &offer, file.as_deref())).await??
        }
    };
    Ok(client::answer(&args.data, &args.condition, args.number, text).await?)
}

/// Asks whoever sits at the terminal of the running client, one question at a time, for as long as it is still asked.
pub(super) fn ask_here(data: PathBuf, condition: String, runtime: &tokio::runtime::Handle) {
    static TERMINAL: Mutex<()> = Mutex::new(());
    let _turn = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let status = runtime.block_on(client::status(&data));
        let offer = status.ok().and_then(|status| status.unmet(&condition).and_then(|unmet| unmet.next(None)).cloned());
        let Some(offer) = offer else { return };
        let answered = ask(&condition, &offer, None)
            .and_then(|text| Ok(runtime.block_on(client::answer(&data, &condition, None, text))?));
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
        RemedyKind::Reason if password_file.is_some() => {
            bail!("`{condition}` asks for a reason, not for your password")
        }
        RemedyKind::Reason if !std::io::stdin().is_terminal() => {
            bail!("no reason: there is no terminal to ask on; use --reason TEXT")
        }
        RemedyKind::Reason => {
            eprint!("{question}\nyour reason: ");
            std::io::stderr().flush().context("cannot ask")?;
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("could not read the reason")?;
            Ok(Zeroizing::new(line.trim().to_owned()))
        }
    }
}
