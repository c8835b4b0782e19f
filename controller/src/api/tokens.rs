//! The token-records family (D 6.1). The vendor has it up to peer version 21; here every version may use it.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State;
use engine::{
    dn::{DistinguishedName, DnEnding},
    token::TokenKind,
};
use serde_json::{Value, json};
use time::Duration;

use crate::{
    api::{
        Api,
        accept::PeerVersion,
        call::{Answer, Call, ok},
        caller::Admin,
        devices,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        query::Query,
        revoke::{self, Reach, RequestReader, Revocation, Share},
        view,
    },
    config::Config,
    store::{Committed, TokenFilter, TokenRow, Transaction},
};

/// `GET /token-records/dn`: every name with a token that has not been expired for more than a day.
pub(crate) async fn list_names(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::TokenRecord)?;
    let request = ListRequest::parse(&call.query, "distinguishedName")?;
    let filter = TokenFilter { expires_after: Some(api.controller.now() - Duration::DAY), ..TokenFilter::default() };
    let rows = api.controller.store.tokens(filter).await?;
    let mut newest: BTreeMap<&DistinguishedName, &TokenRow> = BTreeMap::new();
    for row in &rows {
        let known = newest.entry(&row.name).or_insert(row);
        if known.issued < row.issued {
            *known = row;
        }
    }
    let data = newest.into_values().map(|row| {
        let mut document = devices::name_document(&row.name);
        document.insert("lastTokenIssuedAt".to_owned(), view::timestamp(row.issued)?.into());
        document.insert("hostname".to_owned(), row.hostname.clone().into());
        Ok(Value::Object(document))
    });
    let page = request.page(data.collect::<Result<Vec<_>, ApiError>>()?);
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("entities_listed").with("entity_type", "TokenRecord").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `PUT /token-records/revoked/by-dn/{dn}`: every token of names that end so, at one moment.
pub(crate) async fn revoke_by_name(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Revoke, Target::TokenRecord)?;
    let (query, version) = (call.query.clone(), call.version);
    let ending = call.distinguished_name::<DnEnding>();
    let mut reader = RequestReader::new(call.body.object_or_empty().await?);
    let config = api.controller.config.current();
    let kind = reader.token_kind(query.last("tokenType"));
    let revocation = read_revocation(&mut reader, &config, kind, &query);
    // Read by type only; a wrong value is wrong all the same.
    reader.specific_names();
    let ending = note(&mut reader, ending)?;
    reader.finish()?;
    let Some(ending) = ending else { return Err(ApiError::field("distinguished-name", "is not readable")) };
    let committed =
        revoke::revoke(&api, &admin.actor(), &revocation, Reach::AtOnce(ending), Transaction::default()).await?;
    answer_revoked(&api, version, &committed)
}

/// `PUT /token-records/revoked/by-type/{type}`: every token of a type, or of listed names, spread over time.
pub(crate) async fn revoke_by_type(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Revoke, Target::TokenRecord)?;
    let (query, version) = (call.query.clone(), call.version);
    let named = call.parameter("type").to_owned();
    let mut reader = RequestReader::new(call.body.object_or_empty().await?);
    let config = api.controller.config.current();
    let kind = if named == "All" { None } else { read_path_type(&mut reader, &named) };
    let revocation = read_revocation(&mut reader, &config, kind, &query);
    let specific = reader.specific_names();
    reader.finish()?;
    let rows = revoke::live_tokens(&api, DnEnding::All, api.controller.now()).await?;
    let shares =
        revoke::shares(&rows.into_iter().filter(|row| kind.is_none_or(|kind| row.kind == kind)).collect::<Vec<_>>());
    let reach = match specific {
        None => Reach::Paced(DnEnding::All, shares),
        Some(names) => Reach::Listed(weigh(names, &shares)),
    };
    let committed = revoke::revoke(&api, &admin.actor(), &revocation, reach, Transaction::default()).await?;
    answer_revoked(&api, version, &committed)
}

/// `POST /token-records/reeval/by-dn/{dn}`.
pub(crate) async fn reevaluate(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Reevaluate, Target::TokenRecord)?;
    devices::reevaluate_ending(&api, &admin, call.distinguished_name()?).await
}

fn note<T>(reader: &mut RequestReader, given: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match given {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::Invalid(errors)) => {
            reader.errors.extend(errors);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn read_path_type(reader: &mut RequestReader, named: &str) -> Option<TokenKind> {
    let kind = named.parse().ok().filter(|kind| *kind != TokenKind::DeviceClaims);
    if kind.is_none() {
        reader.refuse("token-type", "must be one of All, Claims, AdminClaims, Entitlement, Administration");
    }
    kind
}

fn read_revocation(reader: &mut RequestReader, config: &Config, kind: Option<TokenKind>, query: &Query) -> Revocation {
    let site = reader.site(config, query.last("siteId"));
    if site.is_some() && kind.is_some_and(|kind| kind != TokenKind::Entitlement) {
        reader.refuse("siteId", "applies to entitlement tokens only");
    }
    Revocation {
        kind,
        site,
        reason: reader.text("revocationReason").unwrap_or_default(),
        delay: reader.delay(),
        per_second: reader.pace("tokensPerSecond", DEFAULT_TOKENS_PER_SECOND),
    }
}

fn weigh(names: Vec<DistinguishedName>, known: &[Share]) -> Vec<Share> {
    let weight =
        |name: &DistinguishedName| known.iter().find(|share| share.name == *name).map_or(1, |share| share.weight);
    names.into_iter().map(|name| Share { weight: weight(&name), name }).collect()
}

fn answer_revoked(api: &Api, version: PeerVersion, committed: &Committed) -> Answer {
    let config = api.controller.config.current();
    // Device claims follow claims and are no kind of token the vendor's clients know.
    let rows = committed.revoked_tokens.iter().filter(|row| row.kind != TokenKind::DeviceClaims);
    let data: Vec<Value> = rows.map(|row| revoked_document(api, &config, row)).collect::<Result<_, _>>()?;
    let request = ListRequest::parse(&Query::default(), "distinguishedName")?;
    let page = request.page(data);
    Ok(ok(&request.answer(version, &page, page.items.clone())))
}

fn revoked_document(api: &Api, config: &Config, row: &TokenRow) -> Result<Value, ApiError> {
    let mut document = devices::name_document(&row.name);
    let site = row.site.map(|site| site.uuid());
    let members = json!({
        "tokenId": row.id.to_string(),
        "tokenType": row.kind.api_name().to_lowercase(),
        "issued": view::timestamp(row.issued)?,
        "expires": view::timestamp(row.expires)?,
        "revoked": row.revoked_at.is_some(),
        "revocationTime": row.revoked_at.map(view::timestamp).transpose()?,
        "siteId": site,
        "siteName": site.and_then(|site| view::site_name(config, site)),
        "controllerHostname": api.controller.settings.hostnames.first(),
    });
    document.extend(members.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(document))
}

const DEFAULT_TOKENS_PER_SECOND: f64 = 7.0;
