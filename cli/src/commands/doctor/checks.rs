//! The checks. Each looks from the outside: it binds, sends, opens, and lets go again.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use super::{Finding, Outcome};

/// Kernel and cores.
pub(super) fn system() -> Vec<Finding> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = format!("{} {} {}", std::env::consts::OS, release.trim(), std::env::consts::ARCH);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        Finding::new("kernel", Outcome::Ok, kernel),
        Finding::new("cores", Outcome::Ok, format!("{cores}; as many passwords and scripts are checked at once")),
    ]
}

/// The ports that controllers and gateways use by default.
pub(super) fn ports() -> Vec<Finding> {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let finding = |check: &str, result: io::Result<()>| match result {
        Ok(()) => Finding::new(check, Outcome::Ok, "free"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::new(
            check,
            Outcome::Absent,
            "needs the right to use ports below 1024; choose another port or grant CAP_NET_BIND_SERVICE",
        ),
        Err(error) => Finding::new(check, Outcome::Absent, error.to_string()),
    };
    vec![
        finding("port 443/udp (clients, gateways)", UdpSocket::bind(any(443)).map(drop)),
        finding("port 8443/tcp (admin API)", TcpListener::bind(any(8443)).map(drop)),
    ]
}

/// What the data plane builds on.
pub(super) fn network() -> Vec<Finding> {
    vec![
        match udp_round_trip() {
            Ok(()) => Finding::new("UDP on loopback", Outcome::Ok, "datagrams arrive"),
            Err(error) => Finding::new("UDP on loopback", Outcome::Bad, error.to_string()),
        },
        match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(_) => Finding::new("IPv6", Outcome::Ok, "on"),
            Err(error) => Finding::new("IPv6", Outcome::Absent, error.to_string()),
        },
        buffers(),
        match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
            Ok(_) => Finding::new("TUN device", Outcome::Ok, "/dev/net/tun can be opened"),
            Err(error) => Finding::new(
                "TUN device",
                Outcome::Absent,
                format!("/dev/net/tun: {error}; SOCKS5 and forwards need none"),
            ),
        },
        match ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft"]
            .into_iter()
            .find(|path| Path::new(path).exists())
        {
            Some(path) => Finding::new("nftables", Outcome::Ok, path),
            None => {
                Finding::new("nftables", Outcome::Absent, "no nft; only the guard around a stopped gateway needs it")
            }
        },
    ]
}

fn udp_round_trip() -> io::Result<()> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    receiver.set_read_timeout(Some(Duration::from_secs(1)))?;
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(b"portcullis", receiver.local_addr()?)?;
    receiver.recv(&mut [0; 16]).map(drop)
}

fn buffers() -> Finding {
    let check = "UDP receive buffer";
    let most = fs::read_to_string("/proc/sys/net/core/rmem_max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    match most {
        None => Finding::new(check, Outcome::Absent, "net.core.rmem_max cannot be read"),
        Some(bytes) if bytes < GOOD_BUFFER => Finding::new(
            check,
            Outcome::Absent,
            format!("net.core.rmem_max is {bytes}; busy gateways want {GOOD_BUFFER} or more"),
        ),
        Some(bytes) => Finding::new(check, Outcome::Ok, format!("{bytes} bytes")),
    }
}

/// The layers around scripts that are in force in a worker started here.
#[cfg(any(feature = "controller", feature = "gateway"))]
pub(super) async fn isolation() -> Vec<Finding> {
    use sandbox::{Sandbox, SandboxConfig};
    let bad = |detail: String| vec![Finding::new("script workers", Outcome::Bad, detail)];
    let worker = match crate::process::worker_command() {
        Ok(worker) => worker,
        Err(error) => return bad(format!("{error:#}")),
    };
    let sandbox = match Sandbox::start(SandboxConfig::new(worker)).await {
        Ok(sandbox) => sandbox,
        Err(error) => return bad(error.to_string()),
    };
    let mut findings = vec![Finding::new("script workers", Outcome::Ok, "start")];
    for (layer, present) in sandbox.layers().list() {
        let (result, detail) =
            if present { (Outcome::Ok, "in force") } else { (Outcome::Bad, "scripts run without it") };
        findings.push(Finding::new(format!("script isolation: {layer}"), result, detail));
    }
    sandbox.stop().await;
    findings
}

/// Who else can enter a data directory and read what is in it.
pub(super) fn data_dir(dir: &Path) -> Vec<Finding> {
    let check = format!("data directory {}", dir.display());
    let mode = |path: &Path| {
        fs::symlink_metadata(path).map(|metadata| (metadata.permissions().mode() & 0o777, metadata.is_file()))
    };
    let mut findings = match mode(dir) {
        Err(error) => return vec![Finding::new(check, Outcome::Bad, error.to_string())],
        Ok((mode, _)) if mode & 0o077 == 0 => vec![Finding::new(check, Outcome::Ok, "only its owner can enter")],
        Ok((mode, _)) => {
            vec![Finding::new(check, Outcome::Bad, format!("mode {mode:03o}; others can enter; use `chmod 700`"))]
        }
    };
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|file| !file.ends_with("authority.pem")) {
        if let Ok((mode, true)) = mode(&file)
            && mode & 0o077 != 0
        {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            findings.push(Finding::new(
                format!("file {name}"),
                Outcome::Bad,
                format!("mode {mode:03o}; others can read it; use `chmod 600`"),
            ));
        }
    }
    findings
}

/// Enough for some thousand packets between two looks at the socket.
const GOOD_BUFFER: u64 = 4 << 20;
