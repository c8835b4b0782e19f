//! Seeds of one-time codes (D 20): who has one, and starting over. The secrets leave for their users only.

use std::sync::Arc;

use axum::extract::State;
use engine::dn::UserName;
use serde_json::{Value, json};

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
    },
    store::{Op, Transaction},
};

/// `GET /otp/seeds`.
pub(crate) async fn list(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::OtpSeed)?;
    let request = ListRequest::parse(&call.query, "userDistinguishedName")?;
    let seeds = api.controller.store.otp_seeds().await?;
    let page = request.page(seeds.iter().map(document).collect());
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("otp_seeds_listed").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `DELETE /otp/seeds/{dn}`: the user's codes are worth nothing any more, and the next remedy enrols a new app.
pub(crate) async fn delete(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Delete, Target::OtpSeed)?;
    let user: UserName = call.distinguished_name()?;
    if !api.controller.store.has_otp_seed(&user).await? {
        return Err(ApiError::NotFound(format!("user `{user}` has no one-time codes")));
    }
    let record = admin.actor().record("otp_seed_deleted").with("deleted_distinguished_name", user.to_string());
    let ops = vec![Op::DeleteOtpSeed { user }];
    api.controller.store.transact(Transaction { ops, audit: vec![record.event()] }).await?;
    Ok(no_content())
}

fn document((user, verified): &(UserName, bool)) -> Value {
    json!({
        "userDistinguishedName": user.to_string(), "username": user.username, "providerName": user.provider,
        "verified": verified,
    })
}
