//! Users who may not sign in (D 23).
//!
//! Who is put on the list loses every token of every device at once, in the same transaction: clients, administration and
//! sign-ins that are half done. Nothing is issued to them again until somebody takes them off the list.

use std::sync::Arc;

use axum::extract::State;
use engine::dn::{DnEnding, UserName};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        revoke::{self, Reach, RequestReader, Revocation},
        view,
    },
    config::Config,
    store::{BlacklistRow, Op, Transaction},
};

/// `GET /blacklist`.
pub(crate) async fn list(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::Blacklist)?;
    let request = ListRequest::parse(&call.query, USER_NAME)?;
    let rows = api.controller.store.blacklist().await?;
    let page = request.page(rows.iter().map(document).collect::<Result<Vec<_>, _>>()?);
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("entities_listed").with("entity_type", "Blacklist").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `POST /blacklist`. A user who is on the list already gets the new reason, and loses tokens again.
pub(crate) async fn add(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Create, Target::Blacklist)?;
    let mut reader = RequestReader::new(call.body.object_or_empty().await?);
    let config = api.controller.config.current();
    let user = read_user(&mut reader, &config);
    let reason = reader.text("reason").unwrap_or_default();
    reader.finish()?;
    let user = user.ok_or_else(|| ApiError::field(USER_NAME, "may not be null"))?;
    if admin.name.user == user {
        return Err(ApiError::Conflict(
            "you cannot keep yourself from signing in; ask another administrator".to_owned(),
        ));
    }
    let row = BlacklistRow { user: user.clone(), reason: reason.clone(), since: api.controller.now() };
    let answer = document(&row)?;
    let revocation = Revocation {
        kind: None,
        site: None,
        reason: if reason.is_empty() { "blacklisted".to_owned() } else { format!("blacklisted: {reason}") },
        delay: Duration::ZERO,
        per_second: f64::INFINITY,
    };
    let record = admin.actor().record("entity_created").with("entity_type", "Blacklist");
    let record = record.with("entity_name", user.to_string()).with("reason", reason);
    let also = Transaction { ops: vec![Op::PutBlacklisted(row)], audit: vec![record.event()] };
    revoke::revoke(&api, &admin.actor(), &revocation, Reach::AtOnce(DnEnding::User(user)), also).await?;
    Ok(ok(&answer))
}

/// `DELETE /blacklist/{dn}`: the user may sign in again; tokens that were lost stay lost.
pub(crate) async fn remove(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Delete, Target::Blacklist)?;
    let DnEnding::User(user) = call.distinguished_name()? else {
        return Err(ApiError::field("distinguished-name", "must name a user, such as CN=ana,OU=local"));
    };
    if api.controller.store.blacklisted(&user).await?.is_none() {
        return Err(ApiError::NotFound(format!("`{user}` is not on the blacklist")));
    }
    let record = admin.actor().record("entity_deleted").with("entity_type", "Blacklist");
    let audit = vec![record.with("entity_name", user.to_string()).event()];
    api.controller.store.transact(Transaction { ops: vec![Op::DeleteBlacklisted { user }], audit }).await?;
    Ok(no_content())
}

/// The user by either of the two ways to name one; both together must mean the same.
fn read_user(reader: &mut RequestReader, config: &Config) -> Option<UserName> {
    let whole = reader.text(USER_NAME);
    let (username, provider) = (reader.text("username"), reader.text("providerName"));
    let parsed = match &whole {
        Some(text) => match text.parse() {
            Ok(DnEnding::User(user)) => Some(user),
            Ok(DnEnding::All | DnEnding::Provider(_) | DnEnding::Device(_)) | Err(_) => {
                reader.refuse(USER_NAME, "must name a user, such as CN=ana,OU=local");
                return None;
            }
        },
        None => None,
    };
    let parts = match (username, provider) {
        (Some(username), Some(provider)) => Some(UserName::new(&username, &provider)),
        (None, None) => None,
        (Some(_), None) => {
            reader.refuse("providerName", "may not be null where username is given");
            return None;
        }
        (None, Some(_)) => {
            reader.refuse("username", "may not be null where providerName is given");
            return None;
        }
    };
    if let (Some(whole), Some(parts)) = (&parsed, &parts)
        && whole != parts
    {
        reader.refuse(USER_NAME, "does not name the user that username and providerName name");
    }
    let user = parsed.or(parts)?;
    if config.identity_provider_by_name(&user.provider).is_none() {
        reader.refuse(if whole.is_some() { USER_NAME } else { "providerName" }, "names no identity provider");
    }
    if !matches!(user.to_string().parse(), Ok(DnEnding::User(again)) if again == user) {
        reader.refuse("username", "is too long or empty");
    }
    Some(user)
}

fn document(row: &BlacklistRow) -> Result<Value, ApiError> {
    Ok(json!({
        "userDistinguishedName": row.user.to_string(),
        "username": row.user.username,
        "providerName": row.user.provider,
        "reason": row.reason,
        "blacklistedAt": view::timestamp(row.since)?,
    }))
}

const USER_NAME: &str = "userDistinguishedName";
