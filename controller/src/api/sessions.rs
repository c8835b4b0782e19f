//! Lists of live sessions as gateways report them (D 29).
//!
//! Nobody here knows where on Earth an address is. A call that asks for sessions within a distance is refused, because an
//! empty list would be read as "there are none".

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::extract::State;
use engine::{dn::DistinguishedName, id::ApplianceId};
use protocol::{message::ClientFacts, object::ObjectKind};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    api::{
        Api,
        accept::PeerVersion,
        call::{Answer, Call, ok},
        caller::Admin,
        devices,
        error::{ApiError, FieldError},
        list::ListRequest,
        privilege::{Action, Target},
        query::Query,
        view,
    },
    config::Config,
    gateways::LiveSession,
};

/// `GET /sessions`: every session on every gateway. The route is ours.
pub(crate) async fn list(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    let request = ListRequest::parse(&call.query, "distinguishedName")?;
    let config = api.controller.config.current();
    let sessions = api.controller.gateways.sessions();
    let data = sessions.iter().map(|session| session_document(&config, session)).collect::<Result<Vec<_>, _>>()?;
    let page = request.page(data);
    note_listed(&api, &admin, &config)?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `GET /stats/active-sessions`, up to peer version 21: one row per session.
pub(crate) async fn active(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    if call.version.at_least(22) {
        return Err(ApiError::NotFound("from peer version 22 on ask for /stats/active-sessions/dn".to_owned()));
    }
    let request = read_request(&call.query)?;
    let config = api.controller.config.current();
    let sessions = api.controller.gateways.sessions();
    let users: BTreeSet<_> = sessions.iter().map(|session| &session.name.user).collect();
    let row = |session: &LiveSession| -> Result<Value, ApiError> {
        let mut document = devices::name_document(&session.name);
        document.insert("gateway".to_owned(), appliance_name(&config, session.appliance).into());
        document.insert("loginTime".to_owned(), view::timestamp(session.since)?.into());
        document.insert("ip".to_owned(), session.address.to_string().into());
        document.extend(client_members(&session.client, call.version));
        Ok(Value::Object(document))
    };
    let data = sessions.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let page = request.page(data);
    note_listed(&api, &admin, &config)?;
    let mut answer = request.answer(call.version, &page, page.items.clone());
    add_members(&mut answer, stats("active-sessions", api.controller.now())?);
    add_members(&mut answer, json!({ "distinctUserCount": users.len() }));
    Ok(ok(&answer))
}

/// `GET /stats/active-sessions/dn`, from peer version 17 on: one row per name.
pub(crate) async fn active_names(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::SessionInfo)?;
    if !call.version.at_least(17) {
        return Err(ApiError::NotFound("peer version 16 has /stats/active-sessions only".to_owned()));
    }
    let request = read_request(&call.query)?;
    let config = api.controller.config.current();
    let sessions = api.controller.gateways.sessions();
    let mut by_name: BTreeMap<&DistinguishedName, Vec<&LiveSession>> = BTreeMap::new();
    for session in &sessions {
        by_name.entry(&session.name).or_default().push(session);
    }
    let data = by_name.into_iter().map(|(name, sessions)| name_row(&config, name, &sessions, call.version)).collect();
    let page = request.page(data);
    note_listed(&api, &admin, &config)?;
    let mut answer = request.answer(call.version, &page, page.items.clone());
    add_members(&mut answer, stats("active-sessions-dn", api.controller.now())?);
    Ok(ok(&answer))
}

/// The name of a gateway's appliance, or its id when it is configured no more.
pub(crate) fn appliance_name(config: &Config, appliance: ApplianceId) -> String {
    let object = config.object(ObjectKind::Appliance, appliance.uuid());
    object.map_or_else(|| appliance.to_string(), |object| object.name.clone())
}

fn read_request(query: &Query) -> Result<ListRequest, ApiError> {
    let asked = GEOLOCATION.into_iter().filter(|name| query.last(name).is_some_and(|value| !value.is_empty()));
    let errors: Vec<FieldError> =
        asked.map(|name| FieldError::new(name, "this collective does not know where addresses are")).collect();
    if errors.is_empty() { ListRequest::parse(query, "distinguishedName") } else { Err(ApiError::Invalid(errors)) }
}

fn name_row(config: &Config, name: &DistinguishedName, sessions: &[&LiveSession], version: PeerVersion) -> Value {
    let mut document = devices::name_document(name);
    let gateways: BTreeSet<String> = sessions.iter().map(|session| appliance_name(config, session.appliance)).collect();
    document.insert("gateways".to_owned(), gateways.into_iter().collect());
    if !version.at_least(19) {
        let addresses: BTreeSet<_> = sessions.iter().map(|session| session.address).collect();
        document.insert("ips".to_owned(), addresses.into_iter().map(|address| address.to_string()).collect());
    }
    if let Some(newest) = sessions.iter().max_by_key(|session| session.since) {
        document.extend(client_members(&newest.client, version));
    }
    Value::Object(document)
}

/// What the client said of itself; from peer version 19 on more than the host name.
fn client_members(client: &ClientFacts, version: PeerVersion) -> Map<String, Value> {
    let ClientFacts { hostname, os_family, os_name, os_parent, version: release, kind } = client;
    let support = release.as_deref().map(|release| support(release).to_owned());
    let members = [
        ("hostname", hostname),
        ("osFamily", os_family),
        ("osName", os_name),
        ("osParent", os_parent),
        ("clientVersion", release),
        ("clientType", kind),
        ("clientSupport", &support),
    ];
    let shown = members.into_iter().filter(|(name, _)| *name == "hostname" || version.at_least(19));
    shown.filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))).collect()
}

/// A client of the controller's own version is supported in full. Another one works as far as it speaks the protocol, and
/// that it has a session shows that it does.
fn support(release: &str) -> &'static str {
    if release == env!("CARGO_PKG_VERSION") { "full" } else { "partial" }
}

fn session_document(config: &Config, session: &LiveSession) -> Result<Value, ApiError> {
    let mut document = devices::name_document(&session.name);
    let members = json!({
        "sessionId": session.session.to_string(),
        "appliance": session.appliance.to_string(),
        "applianceName": appliance_name(config, session.appliance),
        "site": session.site.to_string(),
        "siteName": view::site_name(config, session.site.uuid()),
        "address": session.address.to_string(),
        "since": view::timestamp(session.since)?,
        "expires": view::timestamp(session.expires)?,
        "entitlements": session.entitlements,
    });
    document.extend(members.as_object().cloned().unwrap_or_default());
    Ok(Value::Object(document))
}

/// What every statistic says of itself.
fn stats(name: &str, now: OffsetDateTime) -> Result<Value, ApiError> {
    Ok(json!({ "name": name, "creationDate": view::timestamp(now)?, "refreshInterval": REFRESH_MINUTES }))
}

fn add_members(answer: &mut Value, members: Value) {
    if let (Value::Object(answer), Value::Object(members)) = (answer, members) {
        answer.extend(members);
    }
}

fn note_listed(api: &Api, admin: &Admin, config: &Config) -> Result<(), ApiError> {
    let record = admin.actor().record("entities_listed").with("entity_type", Target::SessionInfo.as_str());
    api.reads.record(config, record.event())
}

const GEOLOCATION: [&str; 3] = ["latitude", "longitude", "radiusKilometers"];

/// Sessions come and go all the time.
const REFRESH_MINUTES: u32 = 1;
