//! What administrators should look at: told to controllers, which keep it (D 29), and logged here.

use std::sync::Arc;

use protocol::message::{AdminMessage, MessageCategory, MessageLevel};
use sandbox::{Layers, Quarantined};

use crate::report::Reports;

/// Tells of a script that is not run any more.
pub(crate) fn quarantined(reports: &Arc<Reports>, script: &Quarantined) {
    let text = format!(
        "Script \"{}\" failed {} times in a row ({}) and is not run any more; edit it to bring it back",
        script.script, script.failures, script.last.kind
    );
    post(reports, MessageLevel::Error, text);
}

/// Tells of isolation layers that the kernel lacks.
pub(crate) fn missing_layers(reports: &Arc<Reports>, layers: Layers) {
    let missing: Vec<&str> = layers.list().into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        let text = format!("Script workers run without the isolation layers {missing}; see `portcullis doctor`");
        post(reports, MessageLevel::Warning, text);
    }
}

fn post(reports: &Arc<Reports>, level: MessageLevel, message: String) {
    tracing::warn!(severity = level.as_str(), text = message, "Admin message");
    reports.message(AdminMessage { level, category: MessageCategory::Configuration, message });
}
