use std::net::SocketAddr;

use ipnet::IpNet;

use super::*;
use crate::broker::Stop;
use crate::broker::target::Target;

/// What a URL comes to when nothing is listed; names are not looked up.
fn verdict(url: &str, listed: &[IpNet]) -> String {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(Stop::Invalid(_)) => return "invalid".to_owned(),
        Err(Stop::Refused(_)) => return "scheme".to_owned(),
        Err(Stop::Failed(failure)) => return failure.as_str().to_owned(),
    };
    match target.host().unwrap() {
        Err(name) => format!("name {name}"),
        Ok(address) => match check(SocketAddr::new(address, target.port()), listed, &[]) {
            Ok(_) => "public".to_owned(),
            Err(Forbidden::Never(range)) => format!("never {range}"),
            Err(Forbidden::Unlisted(range)) => format!("unlisted {range}"),
            Err(Forbidden::OwnListener) => "own".to_owned(),
        },
    }
}

/// URL or host, and what it comes to.
pub(crate) const SPELLINGS: &[(&str, &str)] = &[
    // Loopback in every spelling the URL Standard and `inet_aton` know.
    ("127.0.0.1", "unlisted loopback"),
    ("127.0.0.1.", "unlisted loopback"),
    ("127.1", "unlisted loopback"),
    ("127.0.1", "unlisted loopback"),
    ("127.255.255.254", "unlisted loopback"),
    ("2130706433", "unlisted loopback"),
    ("2130706433.", "unlisted loopback"),
    ("017700000001", "unlisted loopback"),
    ("0x7f000001", "unlisted loopback"),
    ("0X7F.1", "unlisted loopback"),
    ("0x7f.0x0.0x0.0x1", "unlisted loopback"),
    ("0177.0.0.01", "unlisted loopback"),
    ("0177.0x0.1", "unlisted loopback"),
    ("%31%32%37.0.0.1", "unlisted loopback"),
    ("１２７.０.０.１", "unlisted loopback"),
    ("①②⑦.⓪.⓪.①", "unlisted loopback"),
    ("127。0。0。1", "unlisted loopback"),
    ("127．0．0．1", "unlisted loopback"),
    ("127%E3%80%820.0.1", "unlisted loopback"),
    ("[::1]", "unlisted loopback"),
    ("[0:0:0:0:0:0:0:1]", "unlisted loopback"),
    ("[0000:0000:0000:0000:0000:0000:0000:0001]", "unlisted loopback"),
    ("[::ffff:127.0.0.1]", "unlisted loopback"),
    ("[::ffff:7f00:1]", "unlisted loopback"),
    ("[0:0:0:0:0:ffff:7f00:0001]", "unlisted loopback"),
    ("[::127.0.0.1]", "unlisted loopback"),
    ("[::ffff:0:127.0.0.1]", "unlisted loopback"),
    ("[64:ff9b::127.0.0.1]", "unlisted loopback"),
    ("[64:ff9b:1::7f00:1]", "unlisted loopback"),
    ("[2002:7f00:1::]", "unlisted loopback"),
    ("[2002:7f00:1:1:2:3:4:5]", "unlisted loopback"),
    ("[2001:0:7f00:1::f7f7:f7f7]", "unlisted loopback"),
    ("[2001:0:808:808::80ff:fffe]", "unlisted loopback"),
    ("[2a00::5efe:7f00:1]", "unlisted loopback"),
    ("[2a00::200:5efe:127.0.0.1]", "unlisted loopback"),
    // Metadata services.
    ("169.254.169.254", "never cloud metadata"),
    ("169.254.169.254.", "never cloud metadata"),
    ("2852039166", "never cloud metadata"),
    ("0xa9fea9fe", "never cloud metadata"),
    ("0251.0376.0251.0376", "never cloud metadata"),
    ("169.254.43518", "never cloud metadata"),
    ("169.16689662", "never cloud metadata"),
    ("[::ffff:169.254.169.254]", "never cloud metadata"),
    ("[::ffff:a9fe:a9fe]", "never cloud metadata"),
    ("[64:ff9b::a9fe:a9fe]", "never cloud metadata"),
    ("[2002:a9fe:a9fe::1]", "never cloud metadata"),
    ("[2a00::5efe:169.254.169.254]", "never cloud metadata"),
    ("[fd00:ec2::254]", "never cloud metadata"),
    ("[fd20:ce::254]", "never cloud metadata"),
    ("[fd00:c1::a9fe:a9fe]", "never cloud metadata"),
    ("[FD00:EC2:0:0:0:0:0:254]", "never cloud metadata"),
    ("100.100.100.200", "never cloud metadata"),
    ("192.0.0.192", "never cloud metadata"),
    ("168.63.129.16", "never cloud metadata"),
    ("0xa83f8110", "never cloud metadata"),
    // Link-local, unspecified, multicast, broadcast.
    ("169.254.0.1", "never link-local"),
    ("[fe80::1]", "never link-local"),
    ("[febf::1]", "never link-local"),
    ("[fe80::5efe:808:808]", "never link-local"),
    ("0.0.0.0", "never unspecified"),
    ("0", "never unspecified"),
    ("0x0", "never unspecified"),
    ("00", "never unspecified"),
    ("0.1.2.3", "never unspecified"),
    ("[::]", "never unspecified"),
    ("[::ffff:0.0.0.0]", "never unspecified"),
    ("224.0.0.1", "never multicast"),
    ("239.255.255.250", "never multicast"),
    ("[ff02::1]", "never multicast"),
    ("[::ffff:224.0.0.1]", "never multicast"),
    ("255.255.255.255", "never broadcast"),
    ("4294967295", "never broadcast"),
    ("0xffffffff", "never broadcast"),
    // Reserved, documentation, benchmarking.
    ("240.0.0.1", "never reserved"),
    ("192.0.0.1", "never reserved"),
    ("192.88.99.1", "never reserved"),
    ("[4000::1]", "never reserved"),
    ("[2001:10::1]", "never reserved"),
    ("[64:ff9b:1:a00::1]", "never local translation"),
    ("[64:ff9b:1:0:a:0:108:808]", "never local translation"),
    ("[100::1]", "never discard"),
    ("192.0.2.1", "never documentation"),
    ("198.51.100.7", "never documentation"),
    ("203.0.113.9", "never documentation"),
    ("[2001:db8::1]", "never documentation"),
    ("[3fff::1]", "never documentation"),
    ("198.18.0.1", "never benchmarking"),
    ("198.19.255.255", "never benchmarking"),
    ("[2001:2::1]", "never benchmarking"),
    // Private networks.
    ("10.0.0.1", "unlisted private"),
    ("0xa.1", "unlisted private"),
    ("167772161", "unlisted private"),
    ("012.1", "unlisted private"),
    ("172.16.0.1", "unlisted private"),
    ("172.31.255.255", "unlisted private"),
    ("192.168.1.1", "unlisted private"),
    ("192.168.257", "unlisted private"),
    ("[::ffff:10.0.0.1]", "unlisted private"),
    ("[64:ff9b::10.0.0.1]", "unlisted private"),
    ("[2002:c0a8:101::]", "unlisted private"),
    ("100.64.0.1", "unlisted carrier-grade NAT"),
    ("100.127.255.255", "unlisted carrier-grade NAT"),
    ("[fc00::1]", "unlisted unique local"),
    ("[fd12:3456::1]", "unlisted unique local"),
    ("[fec0::1]", "unlisted site-local"),
    // What is public stays reachable, also at the edges of what is not.
    ("8.8.8.8", "public"),
    ("134744072", "public"),
    ("1.1", "public"),
    ("9.255.255.255", "public"),
    ("11.0.0.0", "public"),
    ("100.63.255.255", "public"),
    ("100.128.0.0", "public"),
    ("126.255.255.255", "public"),
    ("128.0.0.1", "public"),
    ("169.253.255.255", "public"),
    ("172.15.255.255", "public"),
    ("172.32.0.0", "public"),
    ("192.169.0.1", "public"),
    ("198.20.0.1", "public"),
    ("223.255.255.255", "public"),
    ("[2a00:1450::1]", "public"),
    ("[2001:4860:4860::8888]", "public"),
    ("[64:ff9b::8.8.8.8]", "public"),
    ("[2002:808:808::1]", "public"),
    ("[::ffff:8.8.8.8]", "public"),
    ("[2a00::5efe:8.8.8.8]", "public"),
    // Names, and what is none.
    ("EXAMPLE.com", "name example.com"),
    ("ｅxample.com", "name example.com"),
    ("example.com.", "name example.com."),
    ("localhost", "name localhost"),
    ("127.0.0.1.example.com", "name 127.0.0.1.example.com"),
    ("0x7f.1.example", "name 0x7f.1.example"),
    ("user:pass@127.1", "unlisted loopback"),
    ("8.8.8.8@127.1", "unlisted loopback"),
    ("127.1#@8.8.8.8", "unlisted loopback"),
    ("127.1\\@8.8.8.8", "unlisted loopback"),
    ("127.1?@8.8.8.8", "unlisted loopback"),
    ("12\t7.0.\n0.1", "unlisted loopback"),
    ("256.1.1.1", "invalid"),
    ("1.2.3.4.5", "invalid"),
    ("0x100000000", "invalid"),
    ("[::1%25eth0]", "invalid"),
    ("[::127.0.0.01]", "invalid"),
    ("[::1", "invalid"),
    ("127.0.0.1:99999", "invalid"),
    ("exa mple.com", "invalid"),
    ("exa%00mple.com", "invalid"),
    ("a%2f.com", "invalid"),
    ("127.0.0.1..", "invalid"),
    ("a..example", "invalid"),
    (".", "invalid"),
    ("", "invalid"),
];

#[test]
fn every_spelling_is_judged_by_the_address_it_means() {
    assert!(SPELLINGS.len() >= 80);
    for scheme in ["http", "https"] {
        for (host, expected) in SPELLINGS {
            assert_eq!(verdict(&format!("{scheme}://{host}"), &[]), *expected, "{scheme}://{host}");
        }
    }
}

#[test]
fn only_http_and_https_are_spoken() {
    for url in
        ["file:///etc/passwd", "ftp://8.8.8.8/", "gopher://127.0.0.1:70/", "ws://8.8.8.8/", "data:,a", "javascript:1"]
    {
        assert_eq!(verdict(url, &[]), "scheme", "{url}");
    }
    for url in ["", "/path", "//8.8.8.8/", "8.8.8.8", "http://", "http:", "no url at all"] {
        assert_eq!(verdict(url, &[]), "invalid", "{url}");
    }
    // The URL Standard reads these as hosts.
    for url in ["http:127.1", "http:/127.1", "http:\\\\127.1", "\u{1}HTTP://127.1 ", "hTtPs:///127.1/"] {
        assert_eq!(verdict(url, &[]), "unlisted loopback", "{url}");
    }
}

#[test]
fn a_listed_network_opens_itself_and_nothing_else() {
    let listed: Vec<IpNet> =
        ["10.1.0.0/16", "127.0.0.0/8", "fd12::/16", "::1/128"].map(|net| net.parse().unwrap()).into();
    for (host, expected) in [
        ("10.1.2.3", "public"),
        ("10.2.0.1", "unlisted private"),
        ("127.0.0.1", "public"),
        ("[::1]", "public"),
        ("[::ffff:10.1.0.1]", "public"),
        ("[64:ff9b::10.1.0.1]", "public"),
        ("[64:ff9b::10.2.0.1]", "unlisted private"),
        ("[fd12::1]", "public"),
        ("[fd13::1]", "unlisted unique local"),
        ("[fd12::5efe:10.2.0.1]", "unlisted private"),
    ] {
        assert_eq!(verdict(&format!("http://{host}"), &listed), expected, "{host}");
    }
}

#[test]
fn listing_everything_opens_neither_metadata_nor_link_local() {
    let listed: Vec<IpNet> =
        ["0.0.0.0/0", "::/0", "169.254.169.254/32", "fd00:ec2::254/128"].map(|net| net.parse().unwrap()).into();
    for (host, without) in SPELLINGS {
        let with = verdict(&format!("http://{host}"), &listed);
        let expected = if without.starts_with("unlisted") { "public" } else { without };
        assert_eq!(with, expected, "{host}");
    }
}

#[test]
fn the_programs_own_listeners_stay_closed() {
    let listed: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let own: Vec<SocketAddr> = vec!["127.0.0.1:8443".parse().unwrap(), "0.0.0.0:443".parse().unwrap()];
    #[track_caller]
    fn check_port(address: &str, listed: &[IpNet], own: &[SocketAddr], expected: Result<(), Forbidden>) {
        assert_eq!(check(address.parse().unwrap(), listed, own).map(|_| ()), expected, "{address}");
    }
    check_port("127.0.0.1:8443", &listed, &own, Err(Forbidden::OwnListener));
    check_port("[::ffff:127.0.0.1]:8443", &listed, &own, Err(Forbidden::OwnListener));
    check_port("127.0.0.2:443", &listed, &own, Err(Forbidden::OwnListener));
    check_port("[::1]:443", &listed, &own, Err(Forbidden::OwnListener));
    check_port("127.0.0.1:8444", &listed, &own, Ok(()));
    check_port("127.0.0.2:8443", &listed, &own, Ok(()));
    check_port("8.8.8.8:443", &listed, &own, Ok(()));
}

#[test]
fn what_passed_is_what_is_dialled() {
    let checked = check("[::ffff:8.8.8.8]:80".parse().unwrap(), &[], &[]).unwrap();
    assert_eq!(checked.address(), "8.8.8.8:80".parse().unwrap());
    let checked = check("[2a00::1]:443".parse().unwrap(), &[], &[]).unwrap();
    assert_eq!(checked.address(), "[2a00::1]:443".parse().unwrap());
}
