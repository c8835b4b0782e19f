//! Values as SQLite keeps them: ids as 16 bytes, times as microseconds since 1970, numbers as signed 64-bit integers.

use std::collections::BTreeSet;

use engine::{
    dn::{DistinguishedName, UserName},
    id::DeviceId,
};
use sqlx::{Decode, Row as _, Sqlite, Type, sqlite::SqliteRow};
use time::OffsetDateTime;
use uuid::Uuid;

/// Reads the columns of a row one after the other.
pub(super) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    /// Starts at the first column.
    pub(super) fn of(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    /// The next column as it is.
    pub(super) fn take<T: Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> sqlx::Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.try_get(index)
    }

    /// The next column as a text that parses.
    pub(super) fn parse<T: std::str::FromStr>(&mut self) -> sqlx::Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text: &str = self.take()?;
        text.parse().map_err(decode)
    }

    /// The next column as JSON text.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&mut self) -> sqlx::Result<T> {
        let text: &str = self.take()?;
        serde_json::from_str(text).map_err(decode)
    }

    /// The next column as a JSON list of texts that parse.
    pub(super) fn parse_all<T: std::str::FromStr + Ord>(&mut self) -> sqlx::Result<BTreeSet<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let texts: Vec<String> = self.json()?;
        texts.iter().map(|text| text.parse().map_err(decode)).collect()
    }

    /// The next column as a number that is never negative.
    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> sqlx::Result<T>
    where
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        T::try_from(self.take::<i64>()?).map_err(decode)
    }

    /// The next column as an id.
    pub(super) fn uuid(&mut self) -> sqlx::Result<Uuid> {
        Uuid::from_slice(self.take()?).map_err(decode)
    }

    /// The next column as an id, if there is one.
    pub(super) fn optional_uuid(&mut self) -> sqlx::Result<Option<Uuid>> {
        self.take::<Option<&[u8]>>()?.map(Uuid::from_slice).transpose().map_err(decode)
    }

    /// The next column as a SHA-256 hash.
    pub(super) fn hash(&mut self) -> sqlx::Result<[u8; 32]> {
        <[u8; 32]>::try_from(self.take::<&[u8]>()?).map_err(decode)
    }

    /// The next column as a time.
    pub(super) fn time(&mut self) -> sqlx::Result<OffsetDateTime> {
        from_micros(self.take()?)
    }

    /// The next column as a time, if there is one.
    pub(super) fn optional_time(&mut self) -> sqlx::Result<Option<OffsetDateTime>> {
        self.take::<Option<i64>>()?.map(from_micros).transpose()
    }

    /// The next three columns, `provider`, `username` and `device`, as a name.
    pub(super) fn name(&mut self) -> sqlx::Result<DistinguishedName> {
        let provider: String = self.take()?;
        let username: String = self.take()?;
        Ok(DistinguishedName { device: DeviceId::new(self.uuid()?), user: UserName { username, provider } })
    }
}

/// A time in microseconds since 1970. Every time of the calendar fits.
pub(super) fn micros(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1_000_000 + i64::from(time.microsecond())
}

/// The time as it will be read back.
pub(super) fn whole_micros(time: OffsetDateTime) -> OffsetDateTime {
    from_micros(micros(time)).unwrap_or(time)
}

fn from_micros(micros: i64) -> sqlx::Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(decode)
}

/// A number as a column.
pub(super) fn signed(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
