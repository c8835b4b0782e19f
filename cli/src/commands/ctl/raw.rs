//! `ctl api`: any call of the API, with its conventions taken care of.

use std::{io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::Value;

use super::{
    api::{Api, Call},
    bundle,
};
use crate::output::print_json;

/// Arguments of `ctl api`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// GET, POST, PUT, PATCH or DELETE.
    method: String,
    /// Path below `/admin`, with its query if there is one: `/policies?range=0-10`.
    path: String,
    /// The body: JSON, `@FILE`, or `-` for the standard input.
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    body: Option<String>,
    /// Version of the API to ask for.
    #[arg(long, value_name = "N")]
    peer_version: Option<u16>,
}

/// Makes the call and prints the answer.
pub(super) async fn run(api: &Api, args: &Args) -> anyhow::Result<()> {
    let method = match args.method.to_uppercase().as_str() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        other => bail!("`{other}` is no method of the API; use GET, POST, PUT, PATCH or DELETE"),
    };
    let body = args.body.as_deref().map(read_body).transpose()?;
    let path = args.path.trim_start_matches('/');
    let path = path.strip_prefix("admin/").unwrap_or(path);
    let mut call = Call::new(method, format!("/{path}")).version(args.peer_version);
    if let Some(body) = &body {
        call = call.body(body);
    }
    let answer = api.call(&call).await?;
    if !answer.is_null() {
        print_json(&answer);
    }
    Ok(())
}

fn read_body(text: &str) -> anyhow::Result<Value> {
    let (content, from) = match text.strip_prefix('@') {
        Some(file) => (bundle::read_text(Path::new(file))?, format!("the file `{file}`")),
        None if text == "-" => {
            let mut content = String::new();
            std::io::stdin()
                .lock()
                .take(MAX_BODY)
                .read_to_string(&mut content)
                .context("could not read the body from the standard input")?;
            (content, "the standard input".to_owned())
        }
        None => (text.to_owned(), "the body".to_owned()),
    };
    serde_json::from_str(&content).with_context(|| format!("{from} is not JSON"))
}

/// Beyond what the API takes.
const MAX_BODY: u64 = 2 << 20;
