//! Reading a document against its schema: every wrong field is named, defaults are filled in, secrets are split off.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::{
    object::{HostSpec, PortRange, is_script_name},
    script::ScriptKind,
};
use ipnet::IpNet;
use protocol::object::{ObjectKind, host_entries, parse_schedule, parse_server};
use sandbox::Origin;
use serde_json::{Map, Number, Value};
use uuid::Uuid;

use crate::{
    api::{
        certificates,
        error::FieldError,
        schema::{Access, Field, Presence, Shape, Text},
    },
    config::Config,
};

/// What reading a document came to. Nothing of it may be used while `errors` holds anything.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The members as they are stored, without secrets.
    pub(crate) members: Map<String, Value>,
    /// Every write-only member that was met: its path, and the value if one was given.
    pub(crate) secrets: BTreeMap<String, Option<String>>,
    /// Scripts that must parse: field, kind, source.
    pub(crate) scripts: Vec<(String, ScriptKind, String)>,
    /// Objects that must exist: field, kind, id.
    pub(crate) references: Vec<(String, ObjectKind, Uuid)>,
    /// What is wrong.
    pub(crate) errors: Vec<FieldError>,
}

impl Checked {
    /// Notes a wrong field.
    pub(crate) fn refuse(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    /// Checks that everything referred to exists.
    pub(crate) fn check_references(&mut self, config: &Config) {
        for (field, kind, id) in &self.references {
            if config.object(*kind, *id).is_none() {
                self.errors.push(FieldError::new(field, format!("{kind} `{id}` does not exist")));
            }
        }
    }
}

/// Which secrets the object already has, so that a document may leave them out.
#[derive(Debug)]
pub(crate) enum Kept {
    /// All that matter; for reading documents that are not about to be written.
    Everything,
    /// Those at these paths.
    Paths(BTreeSet<String>),
}

impl Kept {
    fn has(&self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Paths(paths) => paths.contains(path),
        }
    }
}

/// Reads the members that the groups of fields name.
pub(crate) fn check(groups: &[&[Field]], document: Map<String, Value>, kept: &Kept) -> Checked {
    let mut reader = Reader {
        checked: Checked::default(),
        kept,
        script_type: document.get("type").and_then(Value::as_str).map(str::to_owned),
    };
    let mut members = Map::new();
    let mut document = document;
    for fields in groups {
        reader.read_fields(&Path::default(), fields, &mut document, &mut members);
    }
    reader.checked.members = members;
    reader.checked
}

/// Where a value stands: as errors show it, and as secrets are remembered (list items by name or id instead of position).
#[derive(Debug, Clone, Default)]
struct Path {
    shown: String,
    stable: String,
}

impl Path {
    fn member(&self, name: &str) -> Self {
        let join = |base: &str| if base.is_empty() { name.to_owned() } else { format!("{base}.{name}") };
        Self { shown: join(&self.shown), stable: join(&self.stable) }
    }

    fn item(&self, index: usize, value: &Value) -> Self {
        let label = ["id", "name", "username", "hostname", "url"].iter().find_map(|name| value.get(name)?.as_str());
        let stable =
            label.map_or_else(|| format!("{}[{index}]", self.stable), |label| format!("{}[{label}]", self.stable));
        Self { shown: format!("{}[{index}]", self.shown), stable }
    }
}

struct Reader<'a> {
    checked: Checked,
    kept: &'a Kept,
    script_type: Option<String>,
}

impl Reader<'_> {
    fn read_fields(
        &mut self,
        path: &Path,
        fields: &[Field],
        from: &mut Map<String, Value>,
        into: &mut Map<String, Value>,
    ) {
        for field in fields {
            let at = path.member(field.name);
            let given = from.remove(field.name).filter(|value| !value.is_null());
            match field.access {
                Access::ReadOnly => {}
                Access::WriteOnly { required } => self.read_secret(&at, field, required, given),
                Access::ReadWrite => {
                    if let Some(value) = self.read_member(&at, field, given) {
                        into.insert(field.name.to_owned(), value);
                    }
                }
            }
        }
    }

    fn read_member(&mut self, at: &Path, field: &Field, given: Option<Value>) -> Option<Value> {
        if let Some(value) = given {
            return self.read(at, field.shape, value);
        }
        match field.presence {
            Presence::Required => {
                self.checked.refuse(&at.shown, NULL);
                None
            }
            Presence::Optional => None,
            Presence::Default(constant) => self.read(at, field.shape, constant.value()),
        }
    }

    fn read_secret(&mut self, at: &Path, field: &Field, required: bool, given: Option<Value>) {
        let value = given.and_then(|value| self.read(at, field.shape, value));
        let value = value.and_then(|value| value.as_str().map(str::to_owned));
        if required && value.is_none() && !self.kept.has(&at.stable) && !self.refused(&at.shown) {
            self.checked.refuse(&at.shown, NULL);
        }
        self.checked.secrets.insert(at.stable.clone(), value);
    }

    fn refused(&self, field: &str) -> bool {
        self.checked.errors.iter().any(|error| error.field == field)
    }

    fn read(&mut self, at: &Path, shape: Shape, value: Value) -> Option<Value> {
        match shape {
            Shape::Text(rule) => self.read_text(at, rule, value),
            Shape::Bool => value.is_boolean().then_some(value).or_else(|| self.wrong(at, "must be true or false")),
            Shape::Integer(first, last) => self.read_integer(at, first, last, &value),
            Shape::Number(first, last) => self.read_number(at, first, last, value),
            Shape::Id => self.read_id(at, &value).map(|id| id.to_string().into()),
            Shape::Reference(kind) => {
                let id = self.read_id(at, &value)?;
                self.checked.references.push((at.shown.clone(), kind, id));
                Some(id.to_string().into())
            }
            Shape::Choice(words) => {
                let known = value.as_str().is_some_and(|text| words.contains(&text));
                known.then_some(value).or_else(|| self.wrong(at, &format!("must be one of {}", words.join(", "))))
            }
            Shape::List(item) => self.read_list(at, *item, value),
            Shape::Object(fields) => self.read_object(at, fields, value),
            Shape::Script(kind) => self.read_script(at, kind, value),
            Shape::EntitlementScript => {
                let kind = match self.script_type.as_deref() {
                    Some("portOrType") => ScriptKind::PortOrType,
                    Some("appShortcut") => ScriptKind::AppShortcut,
                    _ => ScriptKind::Host,
                };
                self.read_script(at, kind, value)
            }
        }
    }

    fn read_text(&mut self, at: &Path, rule: Text, value: Value) -> Option<Value> {
        let Value::String(text) = &value else { return self.wrong(at, "must be text") };
        if text.len() > MAX_TEXT_BYTES && rule != Text::Base64 {
            return self.wrong(at, &format!("may not be longer than {MAX_TEXT_BYTES} bytes"));
        }
        if text.is_empty() && rule != Text::Free {
            return self.wrong(at, EMPTY);
        }
        match text_problem(rule, text) {
            Some(problem) => self.wrong(at, problem),
            None => Some(value),
        }
    }

    fn read_integer(&mut self, at: &Path, first: i64, last: i64, value: &Value) -> Option<Value> {
        #[expect(clippy::cast_possible_truncation, reason = "the value was just found to be whole and small")]
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
        let Some(number) = value.as_i64().or_else(|| value.as_f64().and_then(whole)) else {
            return self.wrong(at, "must be a whole number");
        };
        if !(first..=last).contains(&number) {
            return self.wrong(at, &range_text(first, last));
        }
        Some(number.into())
    }

    fn read_number(&mut self, at: &Path, first: i64, last: i64, value: Value) -> Option<Value> {
        #[expect(clippy::cast_precision_loss, reason = "the bounds in the tables are small")]
        let (low, high) = (first as f64, last as f64);
        let Some(number) = value.as_number().and_then(Number::as_f64) else {
            return self.wrong(at, "must be a number");
        };
        if number < low || number > high {
            return self.wrong(at, &range_text(first, last));
        }
        Some(value)
    }

    fn read_id(&mut self, at: &Path, value: &Value) -> Option<Uuid> {
        let id = value.as_str().and_then(|text| Uuid::try_parse(text).ok());
        if id.is_none() {
            self.checked.refuse(&at.shown, "must be a uuid");
        }
        id
    }

    fn read_list(&mut self, at: &Path, item: Shape, value: Value) -> Option<Value> {
        let Value::Array(items) = value else { return self.wrong(at, "must be a list") };
        if items.len() > MAX_ITEMS {
            return self.wrong(at, &format!("may not hold more than {MAX_ITEMS} items"));
        }
        let read = items.into_iter().enumerate().filter_map(|(index, value)| {
            let at = at.item(index, &value);
            if value.is_null() { self.wrong(&at, NULL) } else { self.read(&at, item, value) }
        });
        Some(Value::Array(read.collect()))
    }

    fn read_object(&mut self, at: &Path, fields: &[Field], value: Value) -> Option<Value> {
        let Value::Object(mut from) = value else { return self.wrong(at, "must be an object") };
        let mut into = Map::new();
        self.read_fields(at, fields, &mut from, &mut into);
        Some(Value::Object(into))
    }

    fn read_script(&mut self, at: &Path, kind: ScriptKind, value: Value) -> Option<Value> {
        let Value::String(source) = &value else { return self.wrong(at, "must be text") };
        if source.trim().is_empty() {
            return self.wrong(at, EMPTY);
        }
        self.checked.scripts.push((at.shown.clone(), kind, source.clone()));
        Some(value)
    }

    fn wrong(&mut self, at: &Path, message: &str) -> Option<Value> {
        self.checked.refuse(&at.shown, message);
        None
    }
}

fn range_text(first: i64, last: i64) -> String {
    if last == i64::MAX { format!("must be at least {first}") } else { format!("must be between {first} and {last}") }
}

fn text_problem(rule: Text, text: &str) -> Option<&'static str> {
    let every = |part: fn(&str) -> bool| text.split(',').map(str::trim).all(part);
    let (fits, problem) = match rule {
        Text::Free | Text::Filled => return None,
        Text::Hosts => (
            host_entries(text).all(|part| HostSpec::parse(part).is_some()),
            "is not an address, a network, a host name or a resource name",
        ),
        Text::Ports => (
            every(|part| is_script(part) || PortRange::parse(part).is_some()),
            "is not a port, a port range or a script",
        ),
        Text::IcmpTypes => (every(is_icmp_type), "is not an ICMP type, a range of types or a script"),
        Text::Host => (
            matches!(HostSpec::parse(text), Some(HostSpec::Net(_) | HostSpec::Name(_))),
            "is not an address or a host name",
        ),
        Text::Address => (text.parse::<std::net::IpAddr>().is_ok(), "is not an IP address"),
        Text::Network => (is_network(text), "is not a network such as 10.0.0.0/24"),
        Text::DnsServer => (parse_server(text).is_some(), "is not the address of a DNS server"),
        Text::Schedule => (parse_schedule(text).is_some(), "must be 1m, 5m, 15m, 1h or a time of day such as 13:32"),
        Text::ClaimPath => (is_claim_path(text), "must be a claim such as claims.user.site"),
        Text::Base64 => (STANDARD.decode(text).is_ok(), "is not base64"),
        Text::Origin => (
            Origin::parse(text).is_ok(),
            "must be an origin such as https://api.example.com or http://10.0.0.5:8080, without a path",
        ),
        Text::Certificate => (certificates::parse(text).is_some(), "must be one certificate in PEM"),
    };
    (!fits).then_some(problem)
}

fn is_script(text: &str) -> bool {
    text.strip_prefix("script://").is_some_and(is_script_name)
}

fn is_icmp_type(text: &str) -> bool {
    is_script(text) || PortRange::parse(text).is_some_and(|range| range.last() <= 255)
}

fn is_network(text: &str) -> bool {
    let network = text.split('#').next().unwrap_or_default().trim();
    network.parse::<IpNet>().is_ok() || network.parse::<std::net::IpAddr>().is_ok()
}

fn is_claim_path(text: &str) -> bool {
    let mut parts = text.split('.');
    let rooted = parts.next() == Some("claims");
    let rest: Vec<&str> = parts.collect();
    rooted
        && (2..=3).contains(&rest.len())
        && rest.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
}

const NULL: &str = "may not be null";
const EMPTY: &str = "may not be empty";
/// Longest text that is neither a script nor a file.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Longest list.
const MAX_ITEMS: usize = 10_000;

#[cfg(test)]
mod tests;
