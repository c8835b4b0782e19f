//! Seeds of one-time codes: one row for each user, written only by whoever read it last.

use engine::dn::UserName;
use uuid::Uuid;

use super::Changes;
use crate::store::{
    OtpSeed, StoreError,
    seal::Place,
    sqlite::{
        columns::{micros, signed},
        failed,
    },
};

impl Changes<'_> {
    pub(super) async fn put_otp_seed(&mut self, seed: &OtpSeed) -> Result<(), StoreError> {
        let key = [seed.user.provider.as_str(), seed.user.username.as_str()];
        let sealed = self.master_key.seal(Place { table: "otp_seed", key: &key }, &seed.secret).map_err(failed)?;
        // The row is free, or it is the one that was read; anything else writes nothing.
        let statement = match seed.revision {
            None => {
                "INSERT INTO otp_seed (provider, username, sealed, verified, shown, last_step, failures, locked_at, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (provider, username) DO NOTHING"
            }
            Some(_) => {
                "UPDATE otp_seed SET sealed = ?3, verified = ?4, shown = ?5, last_step = ?6, failures = ?7, locked_at = ?8,
                 revision = ?9 WHERE provider = ?1 AND username = ?2 AND revision = ?10"
            }
        };
        let mut query = sqlx::query(statement)
            .bind(seed.user.provider.as_str())
            .bind(seed.user.username.as_str())
            .bind(sealed)
            .bind(seed.verified)
            .bind(micros(seed.shown))
            .bind(signed(seed.last_step)?)
            .bind(seed.failures)
            .bind(seed.locked_at.map(micros))
            .bind(Uuid::new_v4().as_bytes().to_vec());
        if let Some(revision) = seed.revision {
            query = query.bind(revision.as_bytes().to_vec());
        }
        let written = query.execute(&mut *self.connection).await?;
        if written.rows_affected() == 0 { Err(StoreError::Stale) } else { Ok(()) }
    }

    pub(super) async fn delete_otp_seed(&mut self, user: &UserName) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM otp_seed WHERE provider = ? AND username = ?")
            .bind(user.provider.as_str())
            .bind(user.username.as_str())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }
}
