//! Admin messages (D 29): what an administrator should look at, kept until somebody deletes it.
//!
//! They come from this controller and, by their reports, from gateways. Posting never stands in the way of what is told of:
//! a message that cannot be stored is in the log.

use std::sync::Arc;

use engine::{dn::UserName, id::ApplianceId};
use protocol::{
    message::{AdminMessage, MessageCategory, MessageLevel},
    object::ObjectKind,
};
use sandbox::{Layers, Quarantined};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::{
    audit::Record,
    config::Config,
    otp::{self, Lock},
    store::{AuditEvent, Op, Store, Transaction},
};

/// Stores a message and the record that tells of it.
pub(crate) async fn post(store: &dyn Store, source: ApplianceId, message: AdminMessage) {
    let (op, event) = posting(&store.config().current(), source, message);
    if let Err(error) = store.transact(Transaction { ops: vec![op], audit: vec![event] }).await {
        tracing::error!(error = &error as &dyn std::error::Error, "Admin message was not stored");
    }
}

/// What stores a message, and the record that tells of it; also for a transaction that does more.
pub(crate) fn posting(config: &Config, source: ApplianceId, mut message: AdminMessage) -> (Op, AuditEvent) {
    message.message = message.message.chars().take(MAX_TEXT).collect();
    tracing::warn!(severity = message.level.as_str(), text = message.message, "Admin message");
    let told = json!({
        "level": message.level.as_str(), "category": message.category.as_str(), "message": message.message,
        "source": source_name(config, source),
    });
    let record = Record::new("admin_message_posted").with("admin_message", told);
    (Op::PostAdminMessage { source, message }, record.event())
}

/// The name of an appliance, as messages show it.
pub(crate) fn source_name(config: &Config, source: ApplianceId) -> String {
    let appliance = config.object(ObjectKind::Appliance, source.uuid());
    appliance.map_or_else(|| source.to_string(), |appliance| appliance.name.clone())
}

/// Posts what comes in, as this controller's own, until stopped.
pub(crate) async fn post_own(
    store: Arc<dyn Store>,
    mut messages: mpsc::Receiver<AdminMessage>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let message = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            message = messages.recv() => message,
        };
        let Some(message) = message else { return };
        post(store.as_ref(), store.appliance(), message).await;
    }
}

/// Says that a script is not run any more.
pub(crate) fn quarantined(script: &Quarantined) -> AdminMessage {
    AdminMessage {
        level: MessageLevel::Error,
        category: MessageCategory::Configuration,
        message: format!(
            "Script \"{}\" failed {} times in a row ({}) and is not run any more; edit it to bring it back",
            script.script, script.failures, script.last.kind
        ),
    }
}

/// Says that a user's one-time codes are locked, when that is more than a mistyped code.
pub(crate) fn codes_locked(user: &UserName, lock: Lock) -> Option<AdminMessage> {
    let message = match lock {
        Lock::ForAWhile { number: 2 } => format!(
            "One-time codes of {user} were locked a second time without a right code between; whoever gives them is signed \
             in as this user. If it is not the user, revoke the user's tokens and change the password"
        ),
        Lock::ForAWhile { .. } => return None,
        Lock::ForGood => format!(
            "One-time codes of {user} stay locked after {} wrong ones in a row; `portcullis ctl otp-seeds delete` lets the \
             user set up an app again",
            otp::MOST_FAILURES
        ),
    };
    Some(AdminMessage { level: MessageLevel::Warning, category: MessageCategory::Connectivity, message })
}

/// Says which isolation layers the kernel lacks; nothing when all are in force.
pub(crate) fn missing_layers(layers: Layers) -> Option<AdminMessage> {
    let missing: Vec<&str> = layers.list().into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect();
    (!missing.is_empty()).then(|| AdminMessage {
        level: MessageLevel::Warning,
        category: MessageCategory::Configuration,
        message: format!(
            "Script workers run without the isolation layers {}; see `portcullis doctor`",
            missing.join(", ")
        ),
    })
}

/// Longest text in characters.
const MAX_TEXT: usize = 2000;

/// Messages that may wait to be stored; one more is only logged.
pub(crate) const MAX_WAITING: usize = 64;
