//! Distinguished names (D 5): `CN=<device id>,CN=<user>,OU=<provider>`, or without the device for a user everywhere.
//!
//! Values are escaped as [RFC 4514, section 2.4](https://www.rfc-editor.org/rfc/rfc4514#section-2.4) says.
//! Field scripts slice device names by column, so the shape is fixed: upper-case attribute names, no spaces after
//! commas, the device id as 32 hex digits without dashes. Comparison is exact.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::id::DeviceId;

/// Names a session everywhere: device, user and identity provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinguishedName {
    /// The device the user signed in on.
    pub device: DeviceId,
    /// User and provider.
    pub user: UserName,
}

/// A user of an identity provider, on whatever device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName {
    /// Name of the user inside the provider.
    pub username: String,
    /// Name of the identity provider.
    pub provider: String,
}

/// The ending of a distinguished name, as revocation and re-evaluation select by it.
///
/// Matches at attribute boundaries only: `OU=ldap` selects a provider, `CN=ana,OU=ldap` a user, a full name a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnEnding {
    /// Every name; written as the empty text.
    All,
    /// Every user of one provider.
    Provider(String),
    /// One user on every device.
    User(UserName),
    /// One device of one user.
    Device(DistinguishedName),
}

impl DnEnding {
    /// Whether `name` ends so.
    pub fn matches(&self, name: &DistinguishedName) -> bool {
        match self {
            Self::All => true,
            Self::Provider(provider) => &name.user.provider == provider,
            Self::User(user) => &name.user == user,
            Self::Device(device) => name == device,
        }
    }
}

/// Errors from reading a distinguished name or its ending.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnError {
    /// Longer than [`MAX_DN_BYTES`].
    #[error("distinguished name is longer than {MAX_DN_BYTES} bytes")]
    TooLong,
    /// Not a list of attributes in the known order.
    #[error("`{0}` is not of the form `CN=<device id>,CN=<user>,OU=<provider>`")]
    Shape(String),
    /// The first of two CNs is no device id.
    #[error("`{0}` is not a device id of 32 hex digits")]
    Device(String),
    /// A backslash that escapes nothing.
    #[error("`{0}` holds a broken escape")]
    Escape(String),
}

impl FromStr for DistinguishedName {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        match DnEnding::from_str(text)? {
            DnEnding::Device(name) => Ok(name),
            DnEnding::All | DnEnding::Provider(_) | DnEnding::User(_) => Err(DnError::Shape(text.to_owned())),
        }
    }
}

impl FromStr for UserName {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        match DnEnding::from_str(text)? {
            DnEnding::User(name) => Ok(name),
            DnEnding::All | DnEnding::Provider(_) | DnEnding::Device(_) => Err(DnError::Shape(text.to_owned())),
        }
    }
}

impl FromStr for DnEnding {
    type Err = DnError;

    fn from_str(text: &str) -> Result<Self, DnError> {
        if text.len() > MAX_DN_BYTES {
            return Err(DnError::TooLong);
        }
        let ending = Self::read(text)?;
        // Escapes that were left out come back when it is written; whoever stores or sends it must be able to read that.
        if ending.to_string().len() > MAX_DN_BYTES { Err(DnError::TooLong) } else { Ok(ending) }
    }
}

impl DnEnding {
    fn read(text: &str) -> Result<Self, DnError> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        let shape = || DnError::Shape(text.to_owned());
        let attributes = split_attributes(text)?;
        let pairs: Vec<(&str, &str)> = attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        if pairs.iter().any(|(_, value)| value.is_empty()) {
            return Err(shape());
        }
        match pairs.as_slice() {
            [("OU", provider)] => Ok(Self::Provider((*provider).to_owned())),
            [("CN", user), ("OU", provider)] => Ok(Self::User(UserName::new(user, provider))),
            [("CN", device), ("CN", user), ("OU", provider)] => {
                let device = parse_device(device)?;
                Ok(Self::Device(DistinguishedName { device, user: UserName::new(user, provider) }))
            }
            _ => Err(shape()),
        }
    }
}

impl UserName {
    /// A user of a provider.
    pub fn new(username: &str, provider: &str) -> Self {
        Self { username: username.to_owned(), provider: provider.to_owned() }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CN={},OU={}", Escaped(&self.username), Escaped(&self.provider))
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CN={},{}", self.device.uuid().simple(), self.user)
    }
}

impl fmt::Display for DnEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Provider(provider) => write!(f, "OU={}", Escaped(provider)),
            Self::User(user) => user.fmt(f),
            Self::Device(name) => name.fmt(f),
        }
    }
}

macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(DistinguishedName, UserName, DnEnding);

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.chars().count().saturating_sub(1);
        for (index, character) in self.0.chars().enumerate() {
            let edge_space = character == ' ' && (index == 0 || index == last);
            let leading_hash = character == '#' && index == 0;
            if edge_space || leading_hash || SPECIAL.contains(&character) {
                write!(f, "\\{character}")?;
            } else if character.is_control() {
                let mut buffer = [0u8; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    write!(f, "\\{byte:02x}")?;
                }
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

fn split_attributes(text: &str) -> Result<Vec<(String, String)>, DnError> {
    let broken = || DnError::Escape(text.to_owned());
    let mut attributes = Vec::new();
    let mut key = String::new();
    let mut value: Option<Vec<u8>> = None;
    let mut characters = text.chars();
    let mut finish = |key: &mut String, value: Option<Vec<u8>>| -> Result<(), DnError> {
        let bytes = value.ok_or_else(|| DnError::Shape(text.to_owned()))?;
        let value = String::from_utf8(bytes).map_err(|_| broken())?;
        attributes.push((std::mem::take(key), value));
        Ok(())
    };
    while let Some(character) = characters.next() {
        match (character, &mut value) {
            ('=', None) => value = Some(Vec::new()),
            (_, None) => key.push(character),
            (',', Some(_)) => finish(&mut key, value.take())?,
            ('\\', Some(bytes)) => bytes.extend(unescape(&mut characters).ok_or_else(broken)?),
            (_, Some(bytes)) => push_char(bytes, character),
        }
    }
    finish(&mut key, value)?;
    Ok(attributes)
}

fn unescape(characters: &mut std::str::Chars<'_>) -> Option<Vec<u8>> {
    let first = characters.next()?;
    let mut bytes = Vec::new();
    if let Some(high) = first.to_digit(16) {
        let low = characters.next()?.to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    } else {
        push_char(&mut bytes, first);
    }
    Some(bytes)
}

fn push_char(bytes: &mut Vec<u8>, character: char) {
    let mut buffer = [0u8; 4];
    bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
}

fn parse_device(text: &str) -> Result<DeviceId, DnError> {
    let error = || DnError::Device(text.to_owned());
    if text.len() != 32 {
        return Err(error());
    }
    Uuid::try_parse(text).map(DeviceId::new).map_err(|_| error())
}

/// Longest accepted name; user names of directories stay far below.
const MAX_DN_BYTES: usize = 1024;

const SPECIAL: [char; 8] = [',', '=', '+', '"', '\\', '<', '>', ';'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = "CN=4c07bc6757ea42ddb702c2d6c45419fc,CN=user,OU=ldap";

    #[track_caller]
    fn check_matches(ending: &str, expected: bool) {
        let name: DistinguishedName = FULL.parse().unwrap();
        assert_eq!(ending.parse::<DnEnding>().unwrap().matches(&name), expected);
    }

    #[test]
    fn endings_match_at_attribute_boundaries() {
        check_matches("", true);
        check_matches("OU=ldap", true);
        check_matches("CN=user,OU=ldap", true);
        check_matches(FULL, true);
        check_matches("OU=ldap2", false);
        check_matches("CN=ser,OU=ldap", false);
        check_matches("CN=User,OU=ldap", false);
    }

    #[test]
    fn broken_endings_are_refused() {
        for text in
            ["p", "ldap", "CN=user", "OU=", "CN=x,CN=user,OU=ldap", "ou=ldap", "CN=a\\", "OU=a,CN=b", "CN=u, OU=l"]
        {
            assert!(text.parse::<DnEnding>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again() {
        for filler in ["<", "\u{1}", "\u{85}"] {
            let fits = format!("OU={}", filler.repeat(100)).parse::<DnEnding>().unwrap();
            assert_eq!(fits.to_string().parse::<DnEnding>().unwrap(), fits);
            assert_eq!(format!("OU={}", filler.repeat(512)).parse::<DnEnding>(), Err(DnError::TooLong));
        }
    }

    #[test]
    fn shape_is_fixed() {
        let name: DistinguishedName = FULL.parse().unwrap();
        assert_eq!(name.to_string(), FULL);
        assert_eq!(name.device.to_string(), "4c07bc67-57ea-42dd-b702-c2d6c45419fc");
    }

    proptest! {
        #[test]
        fn any_name_survives_the_round_trip(user in ".{1,30}", provider in ".{1,30}", device: u128) {
            let name = DistinguishedName { device: DeviceId::new(Uuid::from_u128(device)), user: UserName::new(&user, &provider) };
            prop_assert_eq!(name.to_string().parse::<DistinguishedName>().unwrap(), name);
        }
    }
}
