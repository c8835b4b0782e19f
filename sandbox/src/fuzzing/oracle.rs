//! A second opinion on addresses: slow, obvious and written without a look at the broker's rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// May scripts call this address when `listed` is what the configuration lists?
pub(super) fn may_call(address: IpAddr, listed: &[IpNet]) -> bool {
    match address {
        IpAddr::V4(four) => may_call_four(four, listed),
        IpAddr::V6(six) => may_call_six(six, listed),
    }
}

fn may_call_four(address: Ipv4Addr, listed: &[IpNet]) -> bool {
    let never = [
        "0.0.0.0/8",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    ];
    let when_listed = ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    decide(address.into(), &never, &when_listed, listed)
}

fn may_call_six(address: Ipv6Addr, listed: &[IpNet]) -> bool {
    let text: Vec<String> = address.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    let text = text.concat();
    let four = |from: usize| {
        let octets: Vec<u8> = address.octets().iter().skip(from).take(4).copied().collect();
        Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap_or_default())
    };
    if address == Ipv6Addr::LOCALHOST {
        return listed.iter().any(|network| network.contains(&IpAddr::V6(address)));
    }
    if address == Ipv6Addr::UNSPECIFIED {
        return false;
    }
    let carriers = [
        "00000000000000000000ffff",
        "0000000000000000ffff0000",
        "000000000000000000000000",
        "0064ff9b0000000000000000",
        "0064ff9b0001000000000000",
    ];
    if carriers.iter().any(|prefix| text.starts_with(prefix)) {
        return may_call_four(four(12), listed);
    }
    if text.starts_with("20010000") {
        let client = Ipv4Addr::from(four(12).octets().map(|octet| octet ^ 0xff));
        return may_call_four(four(4), listed) && may_call_four(client, listed);
    }
    if text.starts_with("2002") {
        return may_call_four(four(2), listed);
    }
    let isatap = ["00005efe", "01005efe", "02005efe", "03005efe"];
    if isatap.iter().any(|identifier| text.get(16..24) == Some(identifier)) && !may_call_four(four(12), listed) {
        return false;
    }
    let never = [
        "::/3",
        "4000::/2",
        "8000::/2",
        "c000::/3",
        "e000::/4",
        "f000::/5",
        "f800::/6",
        "fe00::/9",
        "fe80::/10",
        "ff00::/8",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:42::42/128",
    ];
    decide(address.into(), &never, &["fc00::/7", "fec0::/10"], listed)
}

fn decide(address: IpAddr, never: &[&str], when_listed: &[&str], listed: &[IpNet]) -> bool {
    let within = |networks: &[&str]| {
        networks.iter().any(|network| network.parse::<IpNet>().is_ok_and(|network| network.contains(&address)))
    };
    if within(never) {
        return false;
    }
    !within(when_listed) || listed.iter().any(|network| network.contains(&address))
}
