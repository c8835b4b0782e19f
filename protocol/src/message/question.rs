//! What a controller asks a gateway, on a stream the gateway opened (design 5: gateways dial out).
//!
//! Questions are about what only the gateway knows at this moment. None of them changes anything, and no answer holds a
//! token, a secret, or a claim that only controllers and gateways may read.

use std::{collections::BTreeMap, net::IpAddr};

use engine::{dn::DistinguishedName, id::SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Refusal;

/// One question with the number its answer carries.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Chosen by the controller, unique on its stream.
    pub number: u64,
    /// The question.
    pub question: Question,
}

/// The answer to the question of a number. Answers come in any order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    /// The number of the question.
    pub number: u64,
    /// The answer.
    pub answer: GatewayAnswer,
}

/// What a controller may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "question", rename_all = "kebab-case")]
pub enum Question {
    /// What is held by the live sessions of a name. Answer: [`GatewayAnswer::Sessions`].
    Sessions {
        /// The whole distinguished name.
        name: DistinguishedName,
    },
    /// What one host entry of an action resolves to now. Answer: [`GatewayAnswer::Resolved`].
    Resolve {
        /// As an action would name it.
        resource: String,
    },
    /// What the names that sessions use resolve to. Answer: [`GatewayAnswer::Names`].
    Names,
}

/// What a gateway answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum GatewayAnswer {
    /// Live sessions of a name, the newest connection first.
    Sessions {
        /// The sessions.
        sessions: Vec<SessionDetails>,
    },
    /// What an entry resolves to.
    Resolved(Resolution),
    /// What the names in use resolve to.
    Names {
        /// By name.
        names: BTreeMap<String, Resolution>,
        /// Whether there are more names than are told.
        truncated: bool,
    },
    /// The question cannot be answered.
    Refused(Refusal),
}

/// What a name resolves to. Addresses and an error together: the servers fail, and the last answer stands for a while.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Addresses and networks.
    pub addresses: Vec<String>,
    /// Plain language.
    pub error: Option<String>,
}

/// A live session in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionDetails {
    /// The session.
    pub session: SessionId,
    /// Source address of its connection.
    pub address: IpAddr,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// When its entitlement token expires, in seconds since 1970.
    pub expires: i64,
    /// How many flows it has.
    pub flows: u64,
    /// User claims that anybody may read.
    pub user: Map<String, Value>,
    /// Device claims.
    pub device: Map<String, Value>,
    /// System claims.
    pub system: Map<String, Value>,
    /// The entitlements granted and configured here.
    pub entitlements: Vec<EntitlementDetails>,
}

/// An entitlement as a session holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementDetails {
    /// Its name.
    pub name: String,
    /// Whether its conditions hold, as they were last answered.
    pub access: bool,
    /// Whether all conditions must hold, not only one.
    pub all_conditions: bool,
    /// The last answer of each condition; `None` for one that was not asked yet.
    pub conditions: BTreeMap<String, Option<bool>>,
    /// The rules it comes to.
    pub rules: Vec<RuleDetails>,
    /// Whether there are more rules than are told.
    pub truncated: bool,
    /// Names of the policies that granted it.
    pub policies: Vec<String>,
    /// What of it yields no rule, and why.
    pub problems: Vec<String>,
    /// Whether all its hosts are domains, which yield no rules here.
    pub domains_only: bool,
}

/// The rules one action of an entitlement comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDetails {
    /// `<entitlement name>#<index of the action>`.
    pub name: String,
    /// Protocol, as subtypes of actions name it.
    pub protocol: String,
    /// `up` or `down`.
    pub direction: String,
    /// `allow`, `block` or `alert`.
    pub action: String,
    /// Networks of the protected side.
    pub subnets: Vec<String>,
    /// Ports, or types where the protocol has types.
    pub ports: Vec<String>,
}

/// What a client says of itself, as its session reports it. Untrusted, and for lists only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientFacts {
    /// Host name of the device.
    pub hostname: Option<String>,
    /// Family of the operating system.
    pub os_family: Option<String>,
    /// Name of the operating system.
    pub os_name: Option<String>,
    /// What the operating system derives from.
    pub os_parent: Option<String>,
    /// Version of the client.
    pub version: Option<String>,
    /// Type of the client.
    pub kind: Option<String>,
}

/// Most bytes of a frame that carries an answer.
pub const MAX_ANSWER: usize = 2 * 1024 * 1024;
