//! Users who may not sign in.

use engine::dn::UserName;

use super::Changes;
use crate::store::{BlacklistRow, StoreError, sqlite::columns::micros};

impl Changes<'_> {
    pub(super) async fn put_blacklisted(&mut self, row: &BlacklistRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO blacklist (provider, username, reason, since) VALUES (?, ?, ?, ?)
             ON CONFLICT (provider, username) DO UPDATE SET reason = excluded.reason, since = excluded.since",
        )
        .bind(row.user.provider.as_str())
        .bind(row.user.username.as_str())
        .bind(row.reason.as_str())
        .bind(micros(row.since))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn delete_blacklisted(&mut self, user: &UserName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM blacklist WHERE provider = ? AND username = ?")
            .bind(user.provider.as_str())
            .bind(user.username.as_str())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
