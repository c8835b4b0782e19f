//! What the kernel refuses a worker by object rather than by call: Landlock rules without a single exception.
//!
//! It stands behind the filter of system calls. What is open already stays usable.
//! Each kind of right is a ruleset of its own, so that one which the kernel is too old for is reported and costs no other.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope};

use super::layer;

/// The newest interface whose rights are asked for; an older kernel gives those it knows.
const NEWEST: ABI = ABI::V9;

/// Applies to this thread and those it starts; answers the layers that took hold.
pub(super) fn apply() -> u32 {
    let kinds = [
        (layer::LANDLOCK, restrict(|rules| rules.handle_access(AccessFs::from_all(NEWEST)))),
        (layer::LANDLOCK_NET, restrict(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))),
        (layer::LANDLOCK_SCOPE, restrict(|rules| rules.scope(Scope::from_all(NEWEST)))),
    ];
    kinds.into_iter().filter(|(_, done)| *done).fold(0, |layers, (bit, _)| layers | bit)
}

fn restrict(ask: impl FnOnce(Ruleset) -> Result<Ruleset, RulesetError>) -> bool {
    let restricted = ask(Ruleset::default()).and_then(Ruleset::create).and_then(|rules| rules.restrict_self());
    restricted.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use rustix::process::{getppid, test_kill_process};

    use super::*;

    fn file_in_temp() -> std::io::Result<()> {
        let path = std::env::temp_dir().join(format!("portcullis-landlock-{}", std::process::id()));
        File::create(&path)?;
        std::fs::remove_file(path)
    }

    /// The rules bind the thread that asks for them, so a thread of this test can show what they refuse without the filter before them.
    #[test]
    fn rules_alone_refuse_files_connections_and_signals() {
        let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = outside.local_addr().unwrap();
        let checked = std::thread::spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let layers = apply();
            let has = |bit: u32| layers & bit != 0;
            assert_eq!(File::open("/etc/passwd").is_err(), has(layer::LANDLOCK));
            assert_eq!(File::open("/proc/self/environ").is_err(), has(layer::LANDLOCK));
            assert_eq!(std::fs::read_dir("/").is_err(), has(layer::LANDLOCK));
            assert_eq!(file_in_temp().is_err(), has(layer::LANDLOCK));
            assert_eq!(TcpStream::connect(address).is_err(), has(layer::LANDLOCK_NET));
            assert_eq!(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_err(), has(layer::LANDLOCK_NET));
            assert_eq!(test_kill_process(getppid().unwrap()).is_err(), has(layer::LANDLOCK_SCOPE));
        });
        checked.join().unwrap();
        assert!(File::open("/etc/passwd").is_ok());
    }
}
