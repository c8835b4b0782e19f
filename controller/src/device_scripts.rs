//! What clients are asked to find out about their devices: the on-demand claim mappings of the user's identity provider
//! (D 19), with the device scripts they name.
//!
//! A session gets the files of those scripts and of no others. Clients keep them by checksum and check them before every
//! run, so what is handed out here is not trusted for its name.

use engine::object::IdentityProvider;
use protocol::{
    message::{DeviceScriptFile, DeviceScriptRef, MAX_DEVICE_SCRIPT_BYTES, OnDemandClaim, Refusal},
    object::ObjectKind,
};
use serde_json::Value;

use crate::{config::Config, refusal, state::Controller, store::Object};

/// What a client of the provider's users is to find out. A mapping whose script does not exist stays in the list without
/// it, so that the client can say so.
pub(crate) fn list(config: &Config, provider: &IdentityProvider) -> Vec<OnDemandClaim> {
    if provider.on_demand.len() > MAX_MAPPINGS {
        let (name, most) = (&provider.name, MAX_MAPPINGS);
        tracing::warn!(provider = %name, most, "Identity provider has more on-demand claims than clients are told");
    }
    let mappings = provider.on_demand.iter().take(MAX_MAPPINGS);
    let claims = mappings.map(|mapping| OnDemandClaim {
        claim: mapping.claim.clone(),
        platform: mapping.platform.clone(),
        command: mapping.command.clone(),
        name: mapping.name.clone(),
        path: mapping.path.clone(),
        args: mapping.args.clone(),
        script: named(config, &mapping.command, mapping.name.as_deref()).and_then(reference),
    });
    claims.collect()
}

/// The file with the checksum, when the provider's list names it.
pub(crate) async fn download(
    c: &Controller,
    config: &Config,
    provider: &IdentityProvider,
    sha256: &str,
) -> Result<DeviceScriptFile, Refusal> {
    let gone = || {
        refusal::refused(
            "device-script.gone",
            "the device script was changed or removed; the next renewal brings the current list",
        )
    };
    let listed = provider.on_demand.iter().take(MAX_MAPPINGS);
    let mut scripts = listed.filter_map(|mapping| named(config, &mapping.command, mapping.name.as_deref()));
    let script = scripts.find(|script| checksum(script) == Some(sha256)).ok_or_else(gone)?;
    let file = c.store.secret(ObjectKind::DeviceScript, script.id, "file").await;
    let file = file.map_err(|error| refusal::unavailable(&error))?.ok_or_else(gone)?;
    let file = String::from_utf8(file).map_err(|error| refusal::unavailable(&error))?;
    // Four characters of base64 stand for three bytes.
    if file.len() > MAX_DEVICE_SCRIPT_BYTES.div_ceil(3) * 4 {
        return Err(refusal::refused(
            "device-script.too-large",
            "the device script is too large; tell your administrator",
        ));
    }
    Ok(DeviceScriptFile { file })
}

fn named<'a>(config: &'a Config, command: &str, name: Option<&str>) -> Option<&'a Object> {
    let name = name.filter(|_| command == RUN_SCRIPT)?;
    config.by_name(ObjectKind::DeviceScript, name).map(AsRef::as_ref)
}

fn reference(script: &Object) -> Option<DeviceScriptRef> {
    let filename = script.body.get("filename").and_then(Value::as_str)?.to_owned();
    Some(DeviceScriptRef { id: script.id, filename, sha256: checksum(script)?.to_owned() })
}

fn checksum(script: &Object) -> Option<&str> {
    script.body.get("checksumSha256").and_then(Value::as_str)
}

/// The command that runs a device script.
const RUN_SCRIPT: &str = "runScript";

/// Most mappings of a provider that are handed out; each may cost every device seconds, every five minutes.
const MAX_MAPPINGS: usize = 64;
