//! `ctl profile`: what a client needs to sign in, as a URL and as JSON. It holds no secret.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use protocol::tls::AuthorityPin;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::{
    api::{Api, Call},
    objects::text,
    profile::SavedProfile,
};
use crate::output::{Output, print_json, say};

/// Arguments of `ctl profile`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Identity provider users sign in with.
    #[arg(long, default_value = "local")]
    provider: String,
}

/// Prints the profile.
pub(super) async fn run(api: &Api, file: &Path, args: &Args, output: Output) -> anyhow::Result<()> {
    let providers = api.list("/identity-providers").await?;
    if !providers.iter().any(|provider| text(provider, "name") == args.provider) {
        bail!("there is no identity provider `{}`", args.provider);
    }
    let saved = SavedProfile::load(file)?.context("not signed in")?;
    let fingerprint = fingerprint(&saved.authority)?;
    let controllers = controllers(api).await?;
    let first = controllers.first().context("no appliance is a controller")?;
    let url = profile_url(first, &fingerprint, &args.provider);
    match output {
        Output::Table => say!("{url}"),
        Output::Json => print_json(&json!({
            "url": url,
            "controllers": controllers,
            "caFingerprint": fingerprint,
            "identityProviderName": args.provider,
        })),
    }
    Ok(())
}

/// SHA-256 of the authority's certificate in hex.
pub(crate) fn fingerprint(authority_pem: &str) -> anyhow::Result<String> {
    let certificate = CertificateDer::from_pem_slice(authority_pem.as_bytes())
        .context("the saved certificate of the authority cannot be read")?;
    Ok(AuthorityPin::of(&certificate).to_string())
}

/// The URL of a profile (D 26).
pub(crate) fn profile_url(controller: &str, fingerprint: &str, provider: &str) -> String {
    let content = json!({ "caFingerprint": fingerprint, "identityProviderName": provider });
    format!("appgate://{controller}/{}", STANDARD.encode(content.to_string()))
}

async fn controllers(api: &Api) -> anyhow::Result<Vec<String>> {
    let settings = api.call(&Call::get("/global-settings")).await?;
    let profile_host = settings.get("profileHostname").and_then(Value::as_str);
    let appliances = api.list("/appliances").await?;
    let enabled =
        appliances.iter().filter(|appliance| appliance.pointer("/controller/enabled") == Some(&Value::Bool(true)));
    let address = |appliance: &Value| {
        let host = profile_host.or_else(|| appliance.pointer("/clientInterface/hostname")?.as_str())?;
        let port = appliance.pointer("/clientInterface/httpsPort")?.as_u64()?;
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    };
    Ok(enabled.filter_map(address).collect())
}
