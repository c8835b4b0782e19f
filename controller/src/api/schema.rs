//! What documents of each kind hold: the one table that validation, defaults, secrets and references are read from.
//!
//! The tables state names, types, defaults and who may set a field; rules between fields stand in [`super::rules`].
//! Unknown members of a document are ignored, as clients send extras (D 27).

mod access;
mod identity;
mod system;

use engine::script::ScriptKind;
use protocol::object::ObjectKind;
use serde_json::{Map, Value};

pub(crate) use access::ENTITLEMENT_SCRIPT_TYPES;
pub(crate) use system::MAX_LIFETIME_MINUTES;

/// One member of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Name of the member.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) shape: Shape,
    /// What happens when it is absent.
    pub(crate) presence: Presence,
    /// Who may set and see it.
    pub(crate) access: Access,
}

/// What happens when a member is absent or null.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presence {
    /// The document is refused.
    Required,
    /// It stays absent.
    Optional,
    /// It gets this value.
    Default(Constant),
}

/// Who may set and see a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody with the privilege.
    ReadWrite,
    /// The system sets it; on input it is ignored.
    ReadOnly,
    /// It is sealed away and never shown; absent on an update it keeps its value. Required ones must exist after a write.
    WriteOnly {
        /// Whether the object needs it.
        required: bool,
    },
}

/// A value a table can name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Constant {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(&'static str),
    /// A list of texts.
    Texts(&'static [&'static str]),
    /// An object that is filled with the defaults of its fields.
    Object,
}

/// What a member holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Text.
    Text(Text),
    /// True or false.
    Bool,
    /// A whole number in a range.
    Integer(i64, i64),
    /// Any number in a range.
    Number(i64, i64),
    /// A uuid that refers to nothing here.
    Id,
    /// The id of an object of the kind; it must exist.
    Reference(ObjectKind),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Shape),
    /// An object.
    Object(&'static [Field]),
    /// The source of a script; it must parse.
    Script(ScriptKind),
    /// The source of an entitlement script, whose kind the member `type` tells.
    EntitlementScript,
}

/// Rules for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Anything, also nothing.
    Free,
    /// At least one character.
    Filled,
    /// A host entry of an entitlement (D 12.1); comma lists are allowed.
    Hosts,
    /// A port or range, or a script; comma lists are allowed.
    Ports,
    /// An ICMP type or range, or a script; comma lists are allowed.
    IcmpTypes,
    /// An address, a network or a host name.
    Host,
    /// An IP address.
    Address,
    /// A network, with an optional comment after `#`.
    Network,
    /// An address, with an optional port.
    DnsServer,
    /// An entry of `repeatSchedules`.
    Schedule,
    /// A claim path, `claims.x.y` or `claims.x.y.z`.
    ClaimPath,
    /// Base64.
    Base64,
    /// An origin such as `https://api.example.com`.
    Origin,
    /// One certificate in PEM.
    Certificate,
}

/// Rules for the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// Any text.
    Free,
    /// A JavaScript identifier, because expressions call it.
    Identifier,
    /// Lower-case letters, digits, `_` and `-`, because `script://` refers to it.
    Script,
    /// What may stand in `%SECRET:NAME%`: everything but `%`.
    Secret,
    /// The kind has no names.
    None,
}

/// The fields of a document, in groups. Identity and MFA providers differ by their `type`.
pub(crate) fn fields(kind: ObjectKind, document: &Map<String, Value>) -> &'static [&'static [Field]] {
    match kind {
        ObjectKind::AdministrativeRole => &[BASE, access::ADMINISTRATIVE_ROLE],
        ObjectKind::Appliance => &[BASE, system::APPLIANCE],
        ObjectKind::Condition => &[BASE, access::CONDITION],
        ObjectKind::CriteriaScript => &[BASE, access::CRITERIA_SCRIPT],
        ObjectKind::DeviceScript => &[BASE, access::DEVICE_SCRIPT],
        ObjectKind::Entitlement => &[BASE, access::ENTITLEMENT],
        ObjectKind::EntitlementScript => &[BASE, access::ENTITLEMENT_SCRIPT],
        ObjectKind::GlobalSettings => &[system::GLOBAL_SETTINGS],
        ObjectKind::IdentityProvider => identity::provider_fields(document.get("type").and_then(Value::as_str)),
        ObjectKind::IpPool => &[BASE, system::IP_POOL],
        ObjectKind::LocalUser => &[BASE, identity::LOCAL_USER],
        ObjectKind::MfaProvider => identity::mfa_fields(document.get("type").and_then(Value::as_str)),
        ObjectKind::Policy => &[BASE, access::POLICY],
        ObjectKind::RingfenceRule => &[BASE, access::RINGFENCE_RULE],
        ObjectKind::Secret => &[BASE, access::SECRET],
        ObjectKind::Site => &[BASE, system::SITE],
        ObjectKind::TrustedCertificate => &[BASE, system::TRUSTED_CERTIFICATE],
        ObjectKind::UserScript => &[BASE, access::USER_SCRIPT],
    }
}

/// The rule for names of the kind.
pub(crate) fn name_rule(kind: ObjectKind) -> NameRule {
    match kind {
        ObjectKind::CriteriaScript | ObjectKind::UserScript => NameRule::Identifier,
        ObjectKind::EntitlementScript => NameRule::Script,
        ObjectKind::Secret => NameRule::Secret,
        ObjectKind::GlobalSettings => NameRule::None,
        ObjectKind::AdministrativeRole
        | ObjectKind::Appliance
        | ObjectKind::Condition
        | ObjectKind::DeviceScript
        | ObjectKind::Entitlement
        | ObjectKind::IdentityProvider
        | ObjectKind::IpPool
        | ObjectKind::LocalUser
        | ObjectKind::MfaProvider
        | ObjectKind::Policy
        | ObjectKind::RingfenceRule
        | ObjectKind::Site
        | ObjectKind::TrustedCertificate => NameRule::Free,
    }
}

impl Field {
    const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, presence: Presence::Optional, access: Access::ReadWrite }
    }

    const fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    const fn or(mut self, value: Constant) -> Self {
        self.presence = Presence::Default(value);
        self
    }

    const fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }

    const fn secret(mut self) -> Self {
        self.access = Access::WriteOnly { required: false };
        self
    }

    const fn required_secret(mut self) -> Self {
        self.access = Access::WriteOnly { required: true };
        self
    }
}

impl Constant {
    /// The value as JSON; an object comes out empty.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Bool(value) => value.into(),
            Self::Integer(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::Texts(values) => values.into(),
            Self::Object => Value::Object(Map::new()),
        }
    }
}

const fn text(name: &'static str) -> Field {
    Field::new(name, Shape::Text(Text::Free))
}

const fn filled(name: &'static str) -> Field {
    Field::new(name, Shape::Text(Text::Filled))
}

const fn flag(name: &'static str) -> Field {
    Field::new(name, Shape::Bool).or(Constant::Bool(false))
}

const fn flag_on(name: &'static str) -> Field {
    Field::new(name, Shape::Bool).or(Constant::Bool(true))
}

const fn number(name: &'static str, first: i64, last: i64, default: i64) -> Field {
    Field::new(name, Shape::Integer(first, last)).or(Constant::Integer(default))
}

const fn choice(name: &'static str, words: &'static [&'static str], default: &'static str) -> Field {
    Field::new(name, Shape::Choice(words)).or(Constant::Text(default))
}

const fn list(name: &'static str, item: &'static Shape) -> Field {
    Field::new(name, Shape::List(item)).or(Constant::Texts(&[]))
}

const fn object(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Shape::Object(fields))
}

const fn reference(name: &'static str, kind: ObjectKind) -> Field {
    Field::new(name, Shape::Reference(kind))
}

const FREE: Shape = Shape::Text(Text::Free);
const FILLED: Shape = Shape::Text(Text::Filled);
const HOST: Shape = Shape::Text(Text::Host);
const ADDRESS: Shape = Shape::Text(Text::Address);
const NETWORK: Shape = Shape::Text(Text::Network);
const PORTS: Shape = Shape::Text(Text::Ports);
const ICMP_TYPES: Shape = Shape::Text(Text::IcmpTypes);
const ID: Shape = Shape::Id;

/// Members every object has beside `id` and `name`, which the call itself handles.
const BASE: &[Field] = &[text("notes"), list("tags", &FILLED)];
