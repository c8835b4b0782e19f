//! A small client of the admin API.

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

/// Signed in to the admin API over one kept connection.
#[derive(Clone)]
pub struct Admin {
    http: Client,
    base: String,
    token: String,
}

impl Admin {
    /// Signs in as the built-in administrator.
    pub async fn login(address: SocketAddr, authority: &Path, password: &str) -> Result<Self> {
        let authority = Certificate::from_pem(&std::fs::read(authority)?)?;
        let http =
            Client::builder().tls_certs_only([authority]).tcp_nodelay(true).timeout(Duration::from_secs(30)).build()?;
        let base = format!("https://localhost:{}/admin", address.port());
        let mut admin = Self { http, base, token: String::new() };
        let body = json!({ "providerName": "local", "username": "admin", "password": password, "deviceId": uuid::Uuid::new_v4() });
        let answer = admin.call(Method::POST, "login", Some(&body)).await?;
        admin.token = answer.get("token").and_then(Value::as_str).context("login gave no token")?.to_owned();
        Ok(admin)
    }

    /// Reads something.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// Creates something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Writes something.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}/{path}", self.base))
            .header("Accept", "application/vnd.appgate.peer-v21+json");
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{path} got no answer"))?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {text}");
        }
        Ok(if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? })
    }
}
