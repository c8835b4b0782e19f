//! The one place that reads environment variables. Nothing sets them.

#[cfg(feature = "ctl")]
use std::path::PathBuf;

/// Where settings of the person at the keyboard belong, if the environment tells.
#[cfg(feature = "ctl")]
pub(crate) fn config_dir() -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path("XDG_CONFIG_HOME").or_else(|| path("HOME").map(|home| home.join(".config"))).map(|dir| dir.join("portcullis"))
}

/// Where files belong that nobody wants to keep.
#[cfg(all(feature = "controller", feature = "gateway", feature = "ctl"))]
pub(crate) fn temporary_dir() -> PathBuf {
    std::env::temp_dir()
}

/// The log filter from the environment.
pub(crate) fn log_filter() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}
