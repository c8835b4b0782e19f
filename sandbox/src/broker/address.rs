//! Which addresses a script may call.
//!
//! Every address is judged by what it means: an IPv6 address that carries an IPv4 address is judged as that IPv4 address,
//! so that no spelling and no transition technology opens what is closed (S 8.5 layer 7, D 35).
//! The ranges follow the special-purpose registries of [IANA for IPv4][v4] and [for IPv6][v6].
//!
//! INVARIANT: a [`Checked`] exists only for an address that [`check`] let pass, and nothing else is ever dialled.
//!
//! [v4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [v6]: https://www.iana.org/assignments/iana-ipv6-special-registry

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;

/// An address that may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked(SocketAddr);

impl Checked {
    /// Where to connect to.
    pub(crate) fn address(self) -> SocketAddr {
        self.0
    }
}

/// Why an address may not be called. The text says what to do and holds no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// A range no setting opens.
    Never(&'static str),
    /// A range the appliance's configuration has to list.
    Unlisted(&'static str),
    /// A listener of this very program.
    OwnListener,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(range) => write!(f, "scripts may not call {range} addresses, and no setting allows it"),
            Self::Unlisted(range) => write!(
                f,
                "scripts may not call {range} addresses unless the appliance's configuration lists the network for scripts"
            ),
            Self::OwnListener => f.write_str("scripts may not call the appliance they run on"),
        }
    }
}

/// Lets `address` pass when each of its meanings is public or in a network of `listed`, and none is a listener in `own`.
pub(crate) fn check(address: SocketAddr, listed: &[IpNet], own: &[SocketAddr]) -> Result<Checked, Forbidden> {
    for meaning in meanings(address.ip()) {
        judge(meaning, listed)?;
        if own.iter().any(|listener| is_listener(SocketAddr::new(meaning, address.port()), *listener)) {
            return Err(Forbidden::OwnListener);
        }
    }
    Ok(Checked(SocketAddr::new(address.ip().to_canonical(), address.port())))
}

/// What an address stands for: itself, the IPv4 addresses it carries instead, or both.
fn meanings(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(six) = address else { return vec![address] };
    let [_, _, six_a, six_b, six_c, six_d, ..] = six.octets();
    let tail = IpAddr::V4(tail(six));
    match find(&RULES_V6, six.to_bits()) {
        Rule::Tail => vec![tail],
        Rule::SixToFour => vec![Ipv4Addr::new(six_a, six_b, six_c, six_d).into()],
        Rule::Teredo => vec![teredo_server(six).into(), Ipv4Addr::from_bits(!low(six)).into()],
        Rule::Public | Rule::Listed(_) | Rule::Never(_) if is_isatap(six) => vec![address, tail],
        Rule::Public | Rule::Listed(_) | Rule::Never(_) => vec![address],
    }
}

fn judge(meaning: IpAddr, listed: &[IpNet]) -> Result<(), Forbidden> {
    let rule = match meaning {
        IpAddr::V4(four) => find(&RULES_V4, u128::from(four.to_bits()) << 96),
        IpAddr::V6(six) => find(&RULES_V6, six.to_bits()),
    };
    match rule {
        Rule::Public => Ok(()),
        Rule::Listed(_) if listed.iter().any(|network| network.contains(&meaning)) => Ok(()),
        Rule::Listed(range) => Err(Forbidden::Unlisted(range)),
        Rule::Never(range) => Err(Forbidden::Never(range)),
        // Meanings are taken apart already; what still carries another address is not one of ours.
        Rule::Tail | Rule::SixToFour | Rule::Teredo => Err(Forbidden::Never("nested")),
    }
}

/// The rule of the first range that holds `bits`.
fn find(rules: &[Range], bits: u128) -> Rule {
    let holds = |range: &&Range| (bits ^ range.bits).leading_zeros() >= range.length;
    rules.iter().find(holds).map_or(Rule::Never("reserved"), |range| range.rule)
}

fn low(address: Ipv6Addr) -> u32 {
    (address.to_bits() & u128::from(u32::MAX)) as u32
}

fn tail(address: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(low(address))
}

/// RFC 4380 section 4: bits 32 to 63 are the server, the last 32 bits are the client's address, inverted.
fn teredo_server(address: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(low(Ipv6Addr::from_bits(address.to_bits() >> 64)))
}

/// RFC 5214 section 6.1: the interface identifier is `00-00-5E-FE` and an IPv4 address, with either value of the two flag bits.
fn is_isatap(address: Ipv6Addr) -> bool {
    let identifier = low(Ipv6Addr::from_bits(address.to_bits() >> 32));
    identifier & !0x0300_0000 == 0x0000_5efe
}

/// Is `address` what `listener` answers at? A listener on all addresses answers at each address of this machine.
fn is_listener(address: SocketAddr, listener: SocketAddr) -> bool {
    if address.port() != listener.port() {
        return false;
    }
    let listens_at = listener.ip().to_canonical();
    listens_at == address.ip() || (listens_at.is_unspecified() && is_here(address.ip()))
}

/// Is this an address of this machine? Asks the routing table by a socket that sends nothing; in doubt, yes.
fn is_here(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let Ok(socket) = UdpSocket::bind((any, 0)) else { return true };
    // Port 9 is discard; what cannot be routed is not here.
    let routed = socket.connect((address, 9)).is_ok();
    routed && socket.local_addr().map_or(true, |local| local.ip() == address)
}

/// What holds for a range.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Public,
    /// Only where the configuration lists it.
    Listed(&'static str),
    Never(&'static str),
    /// The last 32 bits are an IPv4 address.
    Tail,
    SixToFour,
    Teredo,
}

/// A range of addresses; the bits of IPv4 stand in front.
struct Range {
    bits: u128,
    length: u32,
    rule: Rule,
}

const fn four(a: u8, b: u8, c: u8, d: u8, length: u32, rule: Rule) -> Range {
    Range { bits: (Ipv4Addr::new(a, b, c, d).to_bits() as u128) << 96, length, rule }
}

const fn six(groups: [u16; 8], length: u32, rule: Rule) -> Range {
    let [a, b, c, d, e, f, g, h] = groups;
    Range { bits: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), length, rule }
}

const METADATA: Rule = Rule::Never("cloud metadata");
const PRIVATE: Rule = Rule::Listed("private");
const DOCUMENTATION: Rule = Rule::Never("documentation");
const BENCHMARKING: Rule = Rule::Never("benchmarking");
const RESERVED: Rule = Rule::Never("reserved");

/// The first range that holds an address decides.
const RULES_V4: [Range; 22] = [
    four(169, 254, 169, 254, 32, METADATA),
    // Alibaba Cloud; stands in the shared address space.
    four(100, 100, 100, 200, 32, METADATA),
    // Oracle Cloud.
    four(192, 0, 0, 192, 32, METADATA),
    // Azure; a public address that leads to the host.
    four(168, 63, 129, 16, 32, METADATA),
    four(0, 0, 0, 0, 8, Rule::Never("unspecified")),
    four(10, 0, 0, 0, 8, PRIVATE),
    four(100, 64, 0, 0, 10, Rule::Listed("carrier-grade NAT")),
    four(127, 0, 0, 0, 8, Rule::Listed("loopback")),
    four(169, 254, 0, 0, 16, Rule::Never("link-local")),
    four(172, 16, 0, 0, 12, PRIVATE),
    four(192, 0, 0, 0, 24, RESERVED),
    four(192, 0, 2, 0, 24, DOCUMENTATION),
    // Relays of 6to4, gone since RFC 7526.
    four(192, 88, 99, 0, 24, RESERVED),
    four(192, 168, 0, 0, 16, PRIVATE),
    four(198, 18, 0, 0, 15, BENCHMARKING),
    four(198, 51, 100, 0, 24, DOCUMENTATION),
    four(203, 0, 113, 0, 24, DOCUMENTATION),
    four(233, 252, 0, 0, 24, DOCUMENTATION),
    four(224, 0, 0, 0, 4, Rule::Never("multicast")),
    four(255, 255, 255, 255, 32, Rule::Never("broadcast")),
    four(240, 0, 0, 0, 4, RESERVED),
    four(0, 0, 0, 0, 0, Rule::Public),
];

/// The first range that holds an address decides.
const RULES_V6: [Range; 24] = [
    six([0, 0, 0, 0, 0, 0, 0, 0], 128, Rule::Never("unspecified")),
    six([0, 0, 0, 0, 0, 0, 0, 1], 128, Rule::Listed("loopback")),
    // Amazon, Google, Oracle and Scaleway; all within unique local addresses.
    six([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    six([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    six([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, METADATA),
    six([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, METADATA),
    // IPv4-mapped, IPv4-translated (RFC 2765), IPv4-compatible.
    six([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Rule::Tail),
    six([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, Rule::Tail),
    six([0, 0, 0, 0, 0, 0, 0, 0], 96, Rule::Tail),
    // NAT64. In the local-use range the place of the IPv4 address depends on the network, so only the plain form is read.
    six([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Rule::Tail),
    six([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 96, Rule::Tail),
    six([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Rule::Never("local translation")),
    six([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Rule::Never("discard")),
    six([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Rule::Teredo),
    six([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, BENCHMARKING),
    six([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, RESERVED),
    six([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    six([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Rule::SixToFour),
    six([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    six([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Rule::Listed("unique local")),
    six([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Rule::Never("link-local")),
    six([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Rule::Listed("site-local")),
    six([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Rule::Never("multicast")),
    // The only range that is handed out for general use.
    six([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Rule::Public),
];

#[cfg(test)]
pub(crate) mod tests;
