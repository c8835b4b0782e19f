//! App shortcuts as clients hear and show them (D 8, D 12).

use engine::object::AppShortcut;
use serde::{Deserialize, Serialize};

/// One application that an entitlement offers. Texts are bounded and hold no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shortcut {
    /// Name.
    pub name: String,
    /// What the operating system opens.
    pub url: String,
    /// Description, possibly empty.
    #[serde(default)]
    pub description: String,
    /// Colour, 1 to 20.
    pub color_code: u8,
    /// The group it is shown under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
}

impl From<AppShortcut> for Shortcut {
    fn from(AppShortcut { name, url, description, color, group }: AppShortcut) -> Self {
        Self { name, url, description, color_code: color, group_name: group }
    }
}
