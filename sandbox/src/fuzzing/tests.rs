//! The committed corpus, fed to the functions that the fuzz targets call.

mod seeds;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::{admission, broker_url, frames, on_worker_stack, urls};
use crate::broker::address::tests::SPELLINGS;
use crate::broker::target::Target;
use crate::wire::{FromWorker, ToWorker};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The files of a target's corpus, in the order of their names.
fn files(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(corpus(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() >= 50, "{target} has {} files only", files.len());
    files
}

fn replay(target: &str, entry: fn(&[u8])) {
    for (path, bytes) in files(target) {
        println!("{}", path.display());
        entry(&bytes);
    }
}

#[test]
fn the_corpus_of_frames_is_read_without_a_finding() {
    replay("frames", frames);
    let whole = files("frames")
        .iter()
        .filter(|(_, bytes)| ToWorker::read(bytes).is_ok() || FromWorker::read(bytes).is_ok())
        .count();
    assert!(whole >= 25, "only {whole} files are whole frames: write the seeds anew, as fuzz/README.md says");
}

#[test]
fn the_corpus_of_scripts_is_read_without_a_finding() {
    on_worker_stack(|| replay("admission", admission));
}

#[test]
fn the_corpus_of_urls_is_judged_without_a_finding() {
    replay("broker_url", broker_url);
}

/// Every address of the table of spellings, each of its bits turned over, and the addresses around it.
#[test]
fn both_opinions_agree_around_every_edge() {
    let mut compared = 0;
    for (host, _) in SPELLINGS {
        let Ok(target) = Target::parse(&format!("http://{host}")) else { continue };
        let Some(Ok(address)) = target.host() else { continue };
        for neighbour in neighbours(address) {
            for choice in [0, 0x0f, 0x20, 0xff] {
                urls::compare(neighbour, &urls::networks(choice));
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000);
}

fn neighbours(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(four) => {
            let bits = four.to_bits();
            let around = [bits, bits.wrapping_add(1), bits.wrapping_sub(1)].into_iter();
            around.chain((0..32).map(|bit| bits ^ 1 << bit)).map(|bits| Ipv4Addr::from_bits(bits).into()).collect()
        }
        IpAddr::V6(six) => {
            let bits = six.to_bits();
            let around = [bits, bits.wrapping_add(1), bits.wrapping_sub(1)].into_iter();
            around.chain((0..128).map(|bit| bits ^ 1 << bit)).map(|bits| Ipv6Addr::from_bits(bits).into()).collect()
        }
    }
}

/// Writes the seeds when asked to; they follow the wire format, which may change.
#[test]
fn seeds_can_be_written() {
    let write = std::env::var_os("PORTCULLIS_WRITE_SEEDS").is_some();
    on_worker_stack(|| {
        for (target, name, bytes) in seeds::all() {
            assert!(bytes.len() < 256 * 1024, "{target}/{name} is large for a seed");
            if write {
                fs::create_dir_all(corpus(target)).unwrap();
                fs::write(corpus(target).join(format!("seed-{name}")), bytes).unwrap();
            }
        }
    });
}

/// A fixed walk through inputs made of the corpus; a million with `PORTCULLIS_LONG`.
#[test]
fn inputs_made_of_the_corpus_are_read_without_a_finding() {
    let rounds = if std::env::var_os("PORTCULLIS_LONG").is_some() { 1_000_000 } else { 3_000 };
    mutate("frames", rounds, frames);
    mutate("broker_url", rounds, broker_url);
    on_worker_stack(|| mutate("admission", rounds / 10, admission));
}

fn mutate(target: &str, rounds: u32, entry: fn(&[u8])) {
    let files: Vec<Vec<u8>> = files(target).into_iter().map(|(_, bytes)| bytes).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let mut input = files[random.below(files.len())].clone();
        for _ in 0..=random.below(4) {
            change(&mut input, &files, &mut random);
        }
        input.truncate(16 * 1024);
        entry(&input);
    }
}

fn change(input: &mut Vec<u8>, files: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let length = random.below(16).min(input.len() - at);
    match random.below(6) {
        0 => drop(input.drain(at..at + length)),
        1 => input.insert(at, random.next() as u8),
        2 if at < input.len() => input[at] ^= 1 << random.below(8),
        3 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        4 => {
            let piece = input[at..at + length].repeat(1 + random.below(8));
            input.splice(at..at, piece);
        }
        _ => {
            let other = &files[random.below(files.len())];
            let from = random.below(other.len() + 1);
            let until = (from + random.below(64)).min(other.len());
            input.splice(at..at + length, other[from..until].iter().copied());
        }
    }
}

/// A generator of numbers that is the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }
}
