//! Registered devices: the device family (D 6.2).

use std::{collections::BTreeSet, sync::Arc};

use axum::extract::State;
use engine::dn::{DistinguishedName, DnEnding};
use serde_json::{Map, Value, json};
use time::Duration;

use crate::{
    api::{
        Api,
        call::{Answer, Call, no_content, ok},
        caller::Admin,
        error::ApiError,
        list::ListRequest,
        privilege::{Action, Target},
        query::Query,
        revoke::{self, Reach, RequestReader, Revocation, Share},
        view,
    },
    config::Config,
    store::{DeviceRow, Op, Transaction},
};

/// `GET /on-boarded-devices`.
pub(crate) async fn list(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::View, Target::RegisteredDevice)?;
    let request = ListRequest::parse(&call.query, "distinguishedName")?;
    let devices = api.controller.store.devices().await?;
    let data = devices.iter().map(device_document).collect::<Result<Vec<_>, _>>()?;
    let page = request.page(data);
    let config = api.controller.config.current();
    api.reads.record(&config, admin.actor().record("on_boarded_devices_listed").event())?;
    Ok(ok(&request.answer(call.version, &page, page.items.clone())))
}

/// `DELETE /on-boarded-devices/{dn}`: all tokens of the device die at once, and it must register again.
pub(crate) async fn delete(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Delete, Target::RegisteredDevice)?;
    let name: DistinguishedName = call.distinguished_name()?;
    let devices = api.controller.store.devices().await?;
    if !devices.iter().any(|device| device.name == name) {
        return Err(ApiError::NotFound(format!("device `{name}` does not exist")));
    }
    let revocation = Revocation {
        kind: None,
        site: None,
        reason: "device removed".to_owned(),
        delay: Duration::ZERO,
        per_second: f64::INFINITY,
    };
    let also = Transaction { ops: vec![Op::DeleteDevice { name: name.clone() }], audit: Vec::new() };
    revoke::revoke(&api, &admin.actor(), &revocation, Reach::AtOnce(DnEnding::Device(name)), also).await?;
    Ok(no_content())
}

/// `POST /on-boarded-devices/revoke-tokens`: answers the devices it reaches.
pub(crate) async fn revoke_tokens(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Revoke, Target::RegisteredDevice)?;
    let version = call.version;
    let config = api.controller.config.current();
    let request = DeviceRevocation::read(call.body.object().await?, &config)?;
    let devices = request.select(&api).await?;
    let reach = request.reach(&devices);
    revoke::revoke(&api, &admin.actor(), &request.revocation, reach, Transaction::default()).await?;
    let answer = ListRequest::parse(&Query::default(), "distinguishedName")?;
    let data = devices.iter().map(device_document).collect::<Result<Vec<_>, _>>()?;
    let page = answer.page(data);
    Ok(ok(&answer.answer(version, &page, page.items.clone())))
}

/// `POST /on-boarded-devices/reevaluate/{dn}`.
pub(crate) async fn reevaluate(State(api): State<Arc<Api>>, admin: Admin, call: Call) -> Answer {
    admin.require(Action::Reevaluate, Target::RegisteredDevice)?;
    reevaluate_ending(&api, &admin, call.distinguished_name()?).await
}

/// Asks for scripts and conditions of every session whose name ends so to run again; answers the names with a session now.
pub(crate) async fn reevaluate_ending(api: &Api, admin: &Admin, ending: DnEnding) -> Answer {
    let sessions = api.controller.gateways.sessions();
    let names: BTreeSet<String> = sessions
        .iter()
        .filter(|session| ending.matches(&session.name))
        .map(|session| session.name.to_string())
        .collect();
    let record =
        admin.actor().record("reevaluation_requested").with("reevaluated_distinguished_name", ending.to_string());
    let op = Op::Reevaluate { ending, reason: format!("requested by {}", admin.name) };
    api.controller.store.transact(Transaction { ops: vec![op], audit: vec![record.event()] }).await?;
    Ok(ok(&json!({ "reevaluatedDistinguishedNames": names })))
}

/// The members that name a device and user, wherever one is shown.
pub(crate) fn name_document(name: &DistinguishedName) -> Map<String, Value> {
    let members = [
        ("distinguishedName", name.to_string()),
        ("deviceId", name.device.to_string()),
        ("username", name.user.username.clone()),
        ("providerName", name.user.provider.clone()),
    ];
    members.into_iter().map(|(member, value)| (member.to_owned(), value.into())).collect()
}

fn device_document(device: &DeviceRow) -> Result<Value, ApiError> {
    let mut document = name_document(&device.name);
    let device_type = match (device.client, device.admin) {
        (true, true) => "Client/Admin",
        (false, true) => "Admin",
        (true | false, false) => "Client",
    };
    document.insert("device_type".to_owned(), device_type.into());
    document.insert("hostname".to_owned(), device.hostname.clone().into());
    document.insert("onBoardedAt".to_owned(), view::timestamp(device.on_boarded)?.into());
    document.insert("lastSeenAt".to_owned(), view::timestamp(device.last_seen)?.into());
    Ok(Value::Object(document))
}

struct DeviceRevocation {
    ending: DnEnding,
    specific: Option<Vec<DistinguishedName>>,
    site: Option<engine::id::SiteId>,
    revocation: Revocation,
}

impl DeviceRevocation {
    fn read(body: Map<String, Value>, config: &Config) -> Result<Self, ApiError> {
        let mut reader = RequestReader::new(body);
        let ending = read_filter(&mut reader);
        let specific = reader.specific_names();
        if specific.is_some() && ending.as_ref().is_some_and(|ending| *ending != DnEnding::All) {
            reader.refuse("specificDistinguishedNames", "needs an empty distinguishedNameFilter");
        }
        let site = reader.text("siteId");
        let site = reader.site(config, site.as_deref());
        let kind = reader.text("tokenType");
        let revocation = Revocation {
            kind: reader.token_kind(kind.as_deref()),
            // The Site chooses devices here; of those, the tokens of the type are revoked whatever their Site.
            site: None,
            reason: reader.text("revocationReason").unwrap_or_default(),
            delay: reader.delay(),
            per_second: reader.pace("devicesPerSecond", DEFAULT_DEVICES_PER_SECOND),
        };
        reader.finish()?;
        let Some(ending) = ending else { return Err(ApiError::field(FILTER, "may not be null")) };
        Ok(Self { ending, specific, site, revocation })
    }

    async fn select(&self, api: &Api) -> Result<Vec<DeviceRow>, ApiError> {
        let now = api.controller.now();
        let rows = revoke::live_tokens(api, self.ending.clone(), now).await?;
        let on_site: Option<BTreeSet<_>> =
            self.site.map(|site| rows.iter().filter(|row| row.site == Some(site)).map(|row| &row.name).collect());
        let alive: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
        let mut devices = api.controller.store.devices().await?;
        devices.retain(|device| {
            let active = device.last_seen >= now - Duration::DAY || alive.contains(&device.name);
            let named = match &self.specific {
                Some(names) => names.contains(&device.name),
                None => self.ending.matches(&device.name) && (self.ending != DnEnding::All || active),
            };
            named && on_site.as_ref().is_none_or(|names| names.contains(&device.name))
        });
        Ok(devices)
    }

    fn reach(&self, devices: &[DeviceRow]) -> Reach {
        let share = |device: &DeviceRow| Share { name: device.name.clone(), weight: 1 };
        let shares: Vec<Share> = devices.iter().map(share).collect();
        let chosen = self.specific.is_some() || self.site.is_some();
        match &self.specific {
            // Names that are no registered device may have tokens all the same.
            Some(names) if self.site.is_none() => {
                Reach::Listed(names.iter().map(|name| Share { name: name.clone(), weight: 1 }).collect())
            }
            _ if chosen => Reach::Listed(shares),
            _ => Reach::Paced(self.ending.clone(), shares),
        }
    }
}

fn read_filter(reader: &mut RequestReader) -> Option<DnEnding> {
    match reader.take(FILTER) {
        None => reader.refuse(FILTER, "may not be null"),
        Some(Value::String(text)) => match text.parse() {
            Ok(ending) => return Some(ending),
            Err(error) => reader.refuse(FILTER, format!("{error}")),
        },
        Some(_) => reader.refuse(FILTER, "must be text"),
    }
    None
}

const FILTER: &str = "distinguishedNameFilter";
const DEFAULT_DEVICES_PER_SECOND: f64 = 2.0;
