//! URLs: whatever is judged callable must be callable by the second opinion too, and nothing may slip into the request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::oracle;
use crate::broker::address;
use crate::broker::target::Target;

/// The first byte chooses what is listed; the rest is a URL and, behind a line feed, where a redirect leads. Its last bytes also count as addresses.
///
/// # Panics
/// When the broker and the second opinion disagree, or a URL breaks out of the request it becomes; both are findings.
pub fn broker_url(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let listed = networks(*choice);
    if let Some(tail) = rest.last_chunk::<4>() {
        compare(Ipv4Addr::from(*tail).into(), &listed);
    }
    if let Some(tail) = rest.last_chunk::<16>() {
        compare(Ipv6Addr::from(*tail).into(), &listed);
    }
    let text = String::from_utf8_lossy(rest);
    let (url, location) = text.split_once('\n').unwrap_or((&text, ""));
    for url in [url.to_owned(), format!("http://{url}"), format!("https://user:{url}@{url}/{url}?{url}")] {
        let Ok(target) = Target::parse(&url) else { continue };
        examine(&target, &listed);
        if let Some(next) = target.redirected(location) {
            examine(&next, &listed);
            assert_eq!(format!("{:?}", target.host()), format!("{:?}", next.host()), "a redirect left its host");
            assert!(next.is_tls() || !target.is_tls(), "a redirect left TLS");
            assert!(next.is_tls() != target.is_tls() || next.port() == target.port(), "a redirect left its port");
        }
    }
}

pub(super) fn networks(choice: u8) -> Vec<IpNet> {
    const CHOICES: [&str; 8] =
        ["10.0.0.0/8", "127.0.0.0/8", "::1/128", "fd00::/8", "100.64.0.0/10", "0.0.0.0/0", "::/0", "192.168.1.0/24"];
    let chosen = CHOICES.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
    chosen.filter_map(|(_, network)| network.parse().ok()).collect()
}

/// Panics when the two opinions on `address` differ.
pub(super) fn compare(address: IpAddr, listed: &[IpNet]) {
    let checked = address::check(SocketAddr::new(address, 80), listed, &[]);
    assert_eq!(checked.is_ok(), oracle::may_call(address, listed), "{address} with {listed:?}");
    if let Ok(checked) = checked {
        // What is dialled may be written shorter, and must mean the same.
        assert!(oracle::may_call(checked.address().ip(), listed), "{checked:?} with {listed:?}");
    }
}

fn examine(target: &Target, listed: &[IpNet]) {
    match target.host() {
        Some(Ok(address)) => compare(address, listed),
        Some(Err(name)) => {
            let bare = name.strip_suffix('.').unwrap_or(name);
            assert!(bare.parse::<IpAddr>().is_err(), "{name} is an address and was taken for a name");
            let last = bare.rsplit('.').next().unwrap_or_default();
            let numeric = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
            assert!(!numeric, "{name} looks like an address to other programs");
        }
        None => panic!("a target without a host"),
    }
    let line = target.request_target().map(|uri| uri.to_string());
    assert!(line.is_some(), "a URL that cannot be sent");
    let line = line.unwrap_or_default();
    assert!(line.starts_with('/') && line.bytes().all(|byte| byte.is_ascii_graphic()), "{line:?}");
    let host = target.host_header();
    assert!(host.is_some_and(|host| host.as_bytes().iter().all(u8::is_ascii_graphic)), "a host that cannot be sent");
}
