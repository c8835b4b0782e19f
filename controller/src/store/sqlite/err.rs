//! Errors from opening a SQLite store.

use std::{io, path::PathBuf};

use crate::store::{StoreError, seal::MasterKeyError};

/// Why a store does not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("the data directory `{path}` cannot be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another controller holds the directory.
    #[error("another controller is running on the data directory `{0}`; stop it first or choose another directory")]
    Locked(PathBuf),
    /// There is no usable master key.
    #[error("the store cannot be unsealed")]
    MasterKey(#[from] MasterKeyError),
    /// The master key is not the one the store was made with.
    #[error("the master key does not belong to the store in `{0}`; give the key it was made with")]
    WrongMasterKey(PathBuf),
    /// The store was written by a newer version.
    #[error("the store has schema {found}, this version knows schemas up to {known}; use the newer version")]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest schema this version knows.
        known: i64,
    },
    /// The database failed.
    #[error("the database cannot be opened")]
    Database(#[from] sqlx::Error),
    /// What is stored cannot be read.
    #[error("the store cannot be read")]
    Load(#[from] StoreError),
}

impl OpenError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "store.directory",
            Self::Locked(_) => "store.locked",
            Self::MasterKey(error) => error.code(),
            Self::WrongMasterKey(_) => "master-key.wrong",
            Self::Newer { .. } => "store.newer",
            Self::Database(_) => "store.database",
            Self::Load(error) => error.code(),
        }
    }
}
