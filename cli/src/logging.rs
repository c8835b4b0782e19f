//! Starts the log of the process.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{LogArgs, LogFormat},
    environment,
};

/// Starts logging to the standard error output.
pub(crate) fn start(args: &LogArgs, default_level: &str) -> anyhow::Result<()> {
    let filter = args.level.clone().or_else(environment::log_filter).unwrap_or_else(|| default_level.to_owned());
    let filter = EnvFilter::try_new(&filter)
        .with_context(|| format!("`{filter}` is no log filter; try `info` or `info,gateway=debug`"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
