//! Admin messages: one row for each source and text, the newest thousand.

use engine::id::ApplianceId;
use protocol::message::AdminMessage;
use uuid::Uuid;

use super::Changes;
use crate::store::{MessageStatus, StoreError, sqlite::columns::micros};

impl Changes<'_> {
    pub(super) async fn post_message(&mut self, source: ApplianceId, message: &AdminMessage) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO admin_message (id, source, level, category, message, created, count, status)
             VALUES (?, ?, ?, ?, ?, ?, 1, ?)
             ON CONFLICT (source, message) DO UPDATE SET level = excluded.level, category = excluded.category,
             created = excluded.created, count = count + 1,
             status = CASE status WHEN 'Resolved' THEN 'Unresolved' ELSE status END",
        )
        .bind(Uuid::new_v4().as_bytes().to_vec())
        .bind(source.uuid().as_bytes().to_vec())
        .bind(message.level.as_str())
        .bind(message.category.as_str())
        .bind(message.message.as_str())
        .bind(micros(self.now))
        .bind(MessageStatus::Unresolved.as_str())
        .execute(&mut *self.connection)
        .await?;
        sqlx::query(
            "DELETE FROM admin_message WHERE id IN
             (SELECT id FROM admin_message ORDER BY created DESC, rowid DESC LIMIT -1 OFFSET ?)",
        )
        .bind(MAX_MESSAGES)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn set_message_status(&mut self, id: Uuid, status: MessageStatus) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE admin_message SET status = ?
             WHERE message = (SELECT message FROM admin_message WHERE id = ?)",
        )
        .bind(status.as_str())
        .bind(id.as_bytes().to_vec())
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn delete_messages(&mut self, only: Option<(String, ApplianceId)>) -> Result<(), StoreError> {
        let query = match only {
            None => sqlx::query("DELETE FROM admin_message"),
            Some((message, source)) => sqlx::query("DELETE FROM admin_message WHERE message = ? AND source = ?")
                .bind(message)
                .bind(source.uuid().as_bytes().to_vec()),
        };
        query.execute(&mut *self.connection).await?;
        Ok(())
    }
}

/// Messages kept.
const MAX_MESSAGES: i64 = 1000;
