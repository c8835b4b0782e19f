//! Signing in and out, and opening the API with the saved sign-in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    api::{Api, Call},
    profile::{SavedProfile, SavedToken},
};
use crate::{
    output::{Output, print_json, say},
    secret,
};

/// Arguments of `ctl login`. What is left out is taken from the last sign-in.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address of the admin API, `https://HOST:8443`.
    #[arg(long)]
    url: Option<String>,
    /// The authority's certificate: `authority.pem` of the controller's data directory.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// User name. Default: admin.
    #[arg(long)]
    username: Option<String>,
    /// Identity provider. Default: local.
    #[arg(long)]
    provider: Option<String>,
    /// File with the password on its first line, or `-` for the standard input. A file is read again when the sign-in
    /// expires; without it the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Signs in and saves the sign-in.
pub(super) async fn login(args: Args, file: &Path, output: Output) -> anyhow::Result<()> {
    let mut profile = merge(args, SavedProfile::load(file)?)?;
    sign_in(&mut profile).await?;
    profile.save(file)?;
    let expires = profile.token.as_ref().map(|token| token.expires.format(&Rfc3339)).transpose()?.unwrap_or_default();
    match output {
        Output::Table => say!("signed in to {} as {} until {expires}", profile.url, profile.username),
        Output::Json => print_json(
            &json!({ "url": profile.url, "username": profile.username, "provider": profile.provider, "expires": expires }),
        ),
    }
    Ok(())
}

/// Ends the sign-in here and at the controller.
pub(super) async fn logout(file: &Path, output: Output) -> anyhow::Result<()> {
    let Some(mut profile) = SavedProfile::load(file)? else { bail!("not signed in") };
    let token = profile.token.take();
    profile.password_file = None;
    profile.save(file)?;
    if let Some(token) = token.filter(|token| token.expires > OffsetDateTime::now_utc()) {
        let api = Api::new(&profile.url, &profile.authority)?.with_token(token.value);
        api.call(&Call::new(Method::POST, "/authentication/logout"))
            .await
            .context("the sign-in was forgotten here, but not ended at the controller")?;
    }
    match output {
        Output::Table => say!("signed out"),
        Output::Json => print_json(&json!({ "signedOut": true })),
    }
    Ok(())
}

/// The API with the saved sign-in; signs in again when it expired and the password is in a file.
pub(crate) async fn open(file: &Path) -> anyhow::Result<Api> {
    let Some(mut profile) = SavedProfile::load(file)? else {
        bail!("not signed in; use `portcullis ctl login --url https://HOST:8443 --ca FILE`")
    };
    let live = |token: &&SavedToken| token.expires > OffsetDateTime::now_utc() + EXPIRY_MARGIN;
    if profile.token.as_ref().filter(live).is_none() {
        if profile.password_file.is_none() {
            bail!("the sign-in expired; use `portcullis ctl login`");
        }
        sign_in(&mut profile).await.context("the sign-in expired, and signing in again failed")?;
        profile.save(file)?;
    }
    let api = Api::new(&profile.url, &profile.authority)?;
    let token = profile.token.context("not signed in; use `portcullis ctl login`")?;
    Ok(api.with_token(token.value))
}

fn merge(args: Args, saved: Option<SavedProfile>) -> anyhow::Result<SavedProfile> {
    let authority = match &args.ca {
        Some(path) => Some(
            fs::read_to_string(path)
                .with_context(|| format!("could not read the authority's certificate `{}`", path.display()))?,
        ),
        None => None,
    };
    let password_file = match args.password_file {
        Some(path) if path == Path::new("-") => Some(path),
        Some(path) => Some(
            path.canonicalize().with_context(|| format!("could not find the password file `{}`", path.display()))?,
        ),
        None => None,
    };
    let Some(saved) = saved else {
        return Ok(SavedProfile {
            url: args.url.context("where is the controller? use --url https://HOST:8443")?,
            authority: authority.context("whom to trust? use --ca FILE with the controller's authority.pem")?,
            provider: args.provider.unwrap_or_else(|| "local".to_owned()),
            username: args.username.unwrap_or_else(|| "admin".to_owned()),
            device_id: Uuid::new_v4(),
            password_file,
            token: None,
        });
    };
    Ok(SavedProfile {
        url: args.url.unwrap_or(saved.url),
        authority: authority.unwrap_or(saved.authority),
        provider: args.provider.unwrap_or(saved.provider),
        username: args.username.unwrap_or(saved.username),
        device_id: saved.device_id,
        password_file,
        token: None,
    })
}

/// Gets a token for the profile.
pub(crate) async fn sign_in(profile: &mut SavedProfile) -> anyhow::Result<()> {
    let api = Api::new(&profile.url, &profile.authority)?;
    let prompt = format!("password of {} at {}", profile.username, profile.provider);
    let password = secret::read_password(profile.password_file.as_deref(), &prompt)?;
    let body = json!({
        "providerName": profile.provider,
        "deviceId": profile.device_id,
        "username": profile.username,
        "password": password.as_str(),
    });
    let answer = api.call(&Call::new(Method::POST, "/login").body(&body)).await.map_err(explain)?;
    profile.token = Some(token_of(&answer).context("the controller's answer holds no token")?);
    // The standard input cannot be read again.
    profile.password_file = profile.password_file.take().filter(|path| path != Path::new("-"));
    Ok(())
}

/// A refused sign-in is not a missing one.
fn explain(error: super::api::CallError) -> anyhow::Error {
    match error.status() {
        Some(reqwest::StatusCode::UNAUTHORIZED) => {
            anyhow::Error::new(error).context("the controller did not accept user name and password")
        }
        _ => error.into(),
    }
}

fn token_of(answer: &Value) -> Option<SavedToken> {
    let value = answer.get("token")?.as_str()?.to_owned();
    let expires = OffsetDateTime::parse(answer.get("expires")?.as_str()?, &Rfc3339).ok()?;
    Some(SavedToken { value, expires })
}

/// A token this close to its end may end before the call arrives.
const EXPIRY_MARGIN: Duration = Duration::seconds(10);
