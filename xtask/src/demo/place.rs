//! Where one demo lives: a private directory, and a loopback network of its own, so that no port is ever in the way.

use std::{
    fs::{self, File},
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::cargo;

/// The directory and the network of one demo.
pub struct Place {
    directory: PathBuf,
    network: [u8; 3],
}

/// A protected host: its name, its number in the demo's network, and the ports it serves.
pub struct Host {
    /// Name as users know it.
    pub name: &'static str,
    /// Last number of its address.
    pub number: u8,
    /// Ports it really listens on, granted or not.
    pub ports: &'static [u16],
}

/// Every engineer may read it.
pub const WIKI: Host = Host { name: "wiki.demo.internal", number: 101, ports: &[8080, 8081] };
/// For contractors.
pub const HELPDESK: Host = Host { name: "helpdesk.demo.internal", number: 102, ports: &[8080] };
/// For engineers on call.
pub const PRODUCTION: Host = Host { name: "production.demo.internal", number: 103, ports: &[8080] };
/// A range of ports is granted.
pub const BUILDS: Host = Host { name: "builds.demo.internal", number: 104, ports: &[8085, 8086] };
/// Granted to nobody.
pub const VAULT: Host = Host { name: "vault.demo.internal", number: 105, ports: &[8080] };
/// Guarded by scripts that never end, a different one for each port.
pub const RUNAWAY: Host = Host { name: "runaway.demo.internal", number: 106, ports: &[8080, 8081] };

/// For whom a directory says so, while a ticket is open; it moves to its second address.
pub const LAB: Host = Host { name: "lab.demo.internal", number: 107, ports: &[8080] };
/// Where the lab moves.
pub const NEW_LAB: Host = Host { name: "new-lab.demo.internal", number: 108, ports: &[8080] };
/// Answers scripts what is so at the moment; granted to nobody.
pub const TICKETS: Host = Host { name: "tickets.demo.internal", number: 109, ports: &[8080] };

/// All of them.
pub const HOSTS: &[&Host] = &[&WIKI, &HELPDESK, &PRODUCTION, &BUILDS, &VAULT, &RUNAWAY, &LAB, &NEW_LAB, &TICKETS];

impl Place {
    /// Makes the directory and finds a network in which nobody listens.
    ///
    /// # Errors
    /// When no directory can be made or no network is free.
    pub fn make() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        builder.create(&directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
        for part in ["logs", "bundle", FACTS, PASSWORDS] {
            builder
                .create(directory.join(part))
                .with_context(|| format!("cannot make `{part}` in `{}`", directory.display()))?;
        }
        Ok(Self { directory, network: free_network()? })
    }

    /// The private directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the processes write their logs.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// The whole network, as the gateway is allowed to dial it.
    pub fn network(&self) -> String {
        let [a, b, c] = self.network;
        format!("{a}.{b}.{c}.0/24")
    }

    /// An address of the network.
    pub fn address(&self, number: u8) -> IpAddr {
        address(self.network, number)
    }

    /// The controller's port for clients and gateways (UDP).
    pub fn client_port(&self) -> SocketAddr {
        SocketAddr::new(self.address(1), 4433)
    }

    /// The controller's port for administrators (TCP).
    pub fn admin_port(&self) -> SocketAddr {
        SocketAddr::new(self.address(1), 8443)
    }

    /// The gateway's port (UDP).
    pub fn gateway_port(&self) -> SocketAddr {
        SocketAddr::new(self.address(2), 4433)
    }

    /// The name server (UDP).
    pub fn name_server(&self) -> SocketAddr {
        SocketAddr::new(self.address(NAME_SERVER), NAME_PORT)
    }

    /// Where a user's password stands.
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.path(PASSWORDS).join(user)
    }

    /// Where the services read what they answer to `/facts/NAME`.
    pub fn facts(&self) -> PathBuf {
        self.path(FACTS)
    }

    /// Makes a fresh password for a user.
    ///
    /// # Errors
    /// When there are no random bytes or the file cannot be written.
    pub fn make_password(&self, user: &str) -> Result<()> {
        let text: String = random::<18>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&self.password_file(user), &text)
    }

    /// Copies the example policies beside passwords for their users, and answers where.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy_bundle(&self) -> Result<PathBuf> {
        let (from, to) = (cargo::root().join("policies/demo"), self.path("bundle"));
        for entry in fs::read_dir(&from).with_context(|| format!("cannot read `{}`", from.display()))? {
            let path = entry.context("cannot read the example policies")?.path();
            let target = path.file_name().filter(|_| path.is_file()).map(|name| to.join(name));
            if let Some(target) = target {
                fs::copy(&path, &target).with_context(|| format!("cannot copy `{}`", path.display()))?;
            }
        }
        Ok(to)
    }
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// When it cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn free_network() -> Result<[u8; 3]> {
    for _ in 0..ATTEMPTS {
        let [second, third] = random()?;
        let network = [127, second | 64, third];
        if is_free(network) {
            return Ok(network);
        }
    }
    bail!("no loopback network is free; the demo needs addresses below 127.64.0.0/10")
}

fn is_free(network: [u8; 3]) -> bool {
    let udp = [(1, 4433), (2, 4433), (NAME_SERVER, NAME_PORT)];
    let services = HOSTS.iter().flat_map(|host| host.ports.iter().map(|port| (host.number, *port)));
    let tcp = services.chain([(1, 8443)]);
    udp.iter().all(|(number, port)| UdpSocket::bind((address(network, *number), *port)).is_ok())
        && tcp.into_iter().all(|(number, port)| TcpListener::bind((address(network, number), port)).is_ok())
}

fn address([a, b, c]: [u8; 3], number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, number))
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no random bytes")?;
    Ok(bytes)
}

/// Beside the bundle, where its users' `passwordFile` points.
const PASSWORDS: &str = "bundle/passwords";

const FACTS: &str = "facts";
const NAME_SERVER: u8 = 53;
const NAME_PORT: u16 = 5300;
const ATTEMPTS: usize = 20;
