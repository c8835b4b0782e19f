//! The device: its id, made once and kept, and the built-in claims that Linux can answer (D 9.2).
//!
//! Everything reported here is a claim about itself by an untrusted device. What cannot be found out is left out: a
//! missing claim is `undefined` to a policy, a guessed one would be wrong. The environment is read here and nowhere else.

use std::{
    ffi::OsString,
    fs,
    io::{ErrorKind, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use engine::id::DeviceId;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{err::ClientError, survey};

/// The device id kept in the data directory; a new one when there is none.
pub(crate) fn device_id(data_dir: &Path) -> Result<DeviceId, ClientError> {
    let path = data_dir.join(DEVICE_ID_FILE);
    let unusable = |source| ClientError::DataDir { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| ClientError::DeviceId { path: path.clone() }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = DeviceId::new(Uuid::new_v4());
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(unusable)?;
            file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(unusable)?;
            Ok(id)
        }
        Err(error) => Err(unusable(error)),
    }
}

/// The host name, if the kernel tells it.
pub(crate) fn hostname() -> Option<String> {
    read_line("/proc/sys/kernel/hostname")
}

/// The built-in device claims as of now.
pub(crate) fn collect() -> Map<String, Value> {
    let mut os = Map::new();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release_value(&release, "PRETTY_NAME").or_else(|| release_value(&release, "NAME"));
    os.insert("name".to_owned(), Value::from(name.unwrap_or_else(|| "Linux".to_owned())));
    os.insert("family".to_owned(), Value::from("linux"));
    os.insert("platform".to_owned(), Value::from(platform(std::env::consts::ARCH)));
    os.insert("type".to_owned(), Value::from("desktop"));
    // A distribution may name several it is like; the closest comes first.
    if let Some(parent) = release_value(&release, "ID_LIKE").and_then(|like| first_word(&like)) {
        os.insert("parent".to_owned(), Value::from(parent));
    }
    if let Some(hostname) = hostname() {
        os.insert("hostname".to_owned(), Value::from(hostname));
    }
    let mut claims = Map::new();
    claims.insert("os".to_owned(), Value::Object(os));
    claims.insert("isUserAdmin".to_owned(), Value::from(is_admin()));
    if let Some(enabled) = firewall() {
        claims.insert("isFirewallEnabled".to_owned(), Value::from(enabled));
    }
    claims.insert("clientType".to_owned(), Value::from("headless"));
    claims.insert("clientVersion".to_owned(), Value::from(env!("CARGO_PKG_VERSION")));
    claims.insert("clientIPs".to_owned(), json!(local_addresses()));
    if let Some(language) = language() {
        claims.insert("language".to_owned(), Value::from(language));
    }
    claims
}

/// The environment of device scripts: where programs are, where the user lives, and a language whose texts do not change.
pub(crate) fn script_environment() -> Vec<(&'static str, OsString)> {
    let own = ["HOME", "USER", "LOGNAME"];
    let own = own.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let fixed = [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")];
    fixed.into_iter().map(|(name, value)| (name, OsString::from(value))).chain(own).collect()
}

/// Whether the user is root, or of a group that may become root on the usual distributions.
fn is_admin() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let mut own: Vec<u32> =
        rustix::process::getgroups().unwrap_or_default().iter().map(|group| group.as_raw()).collect();
    own.push(rustix::process::getegid().as_raw());
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    admin_groups(&groups).iter().any(|group| own.contains(group))
}

fn admin_groups(groups: &str) -> Vec<u32> {
    let number = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        ["sudo", "wheel", "admin"].contains(&name).then(|| fields.nth(1)?.parse().ok()).flatten()
    };
    groups.lines().filter_map(number).collect()
}

/// Whether a firewall is on, when that can be seen without being root. That none can be seen does not mean that none is
/// there: rules of the kernel itself are root's to read.
fn firewall() -> Option<bool> {
    let settings = fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default();
    (ufw_enabled(&settings) || survey::is_active("firewalld")).then_some(true)
}

fn ufw_enabled(settings: &str) -> bool {
    settings.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
}

fn first_word(text: &str) -> Option<String> {
    text.split_whitespace().next().map(str::to_owned)
}

fn language() -> Option<String> {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set).and_then(|locale| language_of(&locale))
}

/// `en_US.UTF-8` is `en-us`; the C locale says nothing about a person.
fn language_of(locale: &str) -> Option<String> {
    let tag = locale.split(['.', '@']).next().unwrap_or_default();
    (!tag.is_empty() && tag != "C" && tag != "POSIX").then(|| tag.replace('_', "-").to_ascii_lowercase())
}

fn platform(arch: &str) -> &str {
    match arch {
        "x86_64" => "x64",
        "x86" => "x86",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A value of an os-release file, without its quotes.
fn release_value(release: &str, key: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

fn read_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Addresses of this device, sorted, without those that mean nothing elsewhere.
fn local_addresses() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let mut addresses: Vec<IpAddr> =
        v4_addresses(&v4).into_iter().map(IpAddr::V4).chain(v6_addresses(&v6).into_iter().map(IpAddr::V6)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// In the kernel's routing trie an own address is a leaf `|-- a.b.c.d` followed by the line `/32 host LOCAL`.
fn v4_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let mut leaf = None;
    let mut addresses = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            addresses.extend(leaf.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    addresses
}

/// Each line begins with the address as 32 hex digits.
fn v6_addresses(table: &str) -> Vec<Ipv6Addr> {
    let parse = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok().map(Ipv6Addr::from);
    let reachable = |address: &Ipv6Addr| !address.is_loopback() && !address.is_unicast_link_local();
    table.lines().filter_map(parse).filter(reachable).collect()
}

/// Names that claims found out on demand may not take, whether or not this system can answer them.
pub(crate) const BUILT_IN: [&str; 8] =
    ["os", "isUserAdmin", "isFirewallEnabled", "language", "clientType", "clientVersion", "clientIPs", "profileName"];

const DEVICE_ID_FILE: &str = "device-id";

const MAX_ADDRESSES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let id = device_id(dir.path()).unwrap();
        assert_eq!(device_id(dir.path()).unwrap(), id);
        fs::write(dir.path().join(DEVICE_ID_FILE), "nonsense").unwrap();
        assert_eq!(device_id(dir.path()).unwrap_err().code(), "client.device-id");
    }

    #[test]
    fn claims_have_the_documented_shape() {
        let claims = collect();
        assert_eq!(claims["os"]["family"], "linux");
        assert!(
            claims["os"]["name"].is_string() && claims["isUserAdmin"].is_boolean() && claims["clientIPs"].is_array()
        );
        assert_eq!(collect(), claims);
    }

    #[test]
    fn admins_and_firewalls_are_read_from_the_systems_files() {
        assert_eq!(admin_groups("root:x:0:\nsudo:x:27:ana\nwheel:x:10:\nsudoers:x:5:\nadmin:x:no:\n"), [27, 10]);
        assert!(
            ufw_enabled("# comment\nENABLED=yes\n") && !ufw_enabled("#ENABLED=yes\nENABLED=no\n") && !ufw_enabled("")
        );
    }

    #[test]
    fn every_built_in_claim_has_a_protected_name() {
        assert!(collect().keys().all(|name| BUILT_IN.contains(&name.as_str())));
    }

    #[test]
    fn locales_become_languages() {
        for (locale, expected) in
            [("en_US.UTF-8", Some("en-us")), ("de@euro", Some("de")), ("C.UTF-8", None), ("POSIX", None), ("", None)]
        {
            assert_eq!(language_of(locale).as_deref(), expected, "{locale}");
        }
    }

    #[test]
    fn kernel_tables_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.2.0\n        /24 link UNICAST\n";
        assert_eq!(v4_addresses(trie), [Ipv4Addr::new(10, 1, 2, 3)]);
        let table = "00000000000000000000000000000001 01 80 10 80 lo\n20010db8000000000000000000000001 02 40 00 80 eth0\nfe800000000000000000000000000001 02 40 20 80 eth0\n";
        assert_eq!(v6_addresses(table), ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(
            release_value("ID=x\nPRETTY_NAME=\"Some Linux 1\"\n", "PRETTY_NAME").as_deref(),
            Some("Some Linux 1")
        );
    }
}
