//! What a client finds out about its device beside the built-in claims (D 19, on-demand claim mappings).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::SignedToken;

/// A renewed claims token. On the wire it reads as a [`SignedToken`] with one more member.
#[derive(Serialize, Deserialize)]
pub struct Renewed {
    /// The claims token.
    #[serde(flatten)]
    pub claims: SignedToken,
    /// What the client is to find out from now on.
    #[serde(default)]
    pub on_demand: Vec<OnDemandClaim>,
}

/// One claim and how to find its value. Commands and platforms a client does not know are skipped, so both are plain text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandClaim {
    /// Name of the device claim.
    pub claim: String,
    /// Platforms it is meant for, such as `desktop.linux.all`.
    pub platform: String,
    /// What to do, such as `runScript` or `fileExists`.
    pub command: String,
    /// Process, service or script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// File.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Arguments of a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// The script to run; nothing when there is none of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<DeviceScriptRef>,
}

/// A device script without its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceScriptRef {
    /// The script.
    pub id: Uuid,
    /// File name, whose ending says what runs it.
    pub filename: String,
    /// SHA-256 of the file in hex.
    pub sha256: String,
}

/// A device script's file.
#[derive(Serialize, Deserialize)]
pub struct DeviceScriptFile {
    /// The bytes (base64).
    pub file: String,
}

/// Most bytes of a script's file; the admin API takes no larger document.
pub const MAX_DEVICE_SCRIPT_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use engine::id::TokenId;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_renewed_token_reads_as_a_token_and_the_list_may_be_missing() {
        let id = Uuid::from_u128(7);
        let token = json!({ "id": id, "token": "t", "issued": 2, "expires": 5 });
        let renewed: Renewed = serde_json::from_value(token).unwrap();
        assert!(renewed.on_demand.is_empty());
        let wire = serde_json::to_value(Renewed { on_demand: Vec::new(), ..renewed }).unwrap();
        let token: SignedToken = serde_json::from_value(wire).unwrap();
        assert_eq!((token.id, token.issued, token.expires), (TokenId::new(id), 2, 5));
    }
}
