//! A name server that answers A and AAAA questions from a file, over UDP ([RFC 1035, section 4]).
//!
//! [RFC 1035, section 4]: https://www.rfc-editor.org/rfc/rfc1035#section-4

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result};

/// Serves until the process ends.
///
/// # Errors
/// When the address cannot be listened on or the socket fails.
pub fn serve(listen: SocketAddr, names: &Path) -> Result<ExitCode> {
    let socket = UdpSocket::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    println!("Answering names on {listen}");
    let mut buffer = [0; 1500];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).context("the socket failed")?;
        let Some(question) = buffer.get(..length).and_then(Question::parse) else { continue };
        // Read for every question, so that a test can change an address by writing the file.
        let file = fs::read_to_string(names).unwrap_or_default();
        let addresses: Vec<IpAddr> = lookup(&file, &question.name).collect();
        println!("{} type {}: {addresses:?}", question.name, question.kind);
        // Who asked and is gone asks again.
        let _ = socket.send_to(&question.answer(&addresses), peer);
    }
}

fn lookup<'a>(file: &'a str, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    let pairs = file.lines().filter_map(|line| line.trim().split_once(' '));
    pairs
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .filter_map(|(_, address)| address.trim().parse().ok())
}

/// One question, with its bytes as they came.
struct Question<'a> {
    id: [u8; 2],
    section: &'a [u8],
    name: String,
    kind: u16,
}

impl<'a> Question<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let id = *packet.first_chunk::<2>()?;
        let is_query = packet.get(2)? & 0x80 == 0;
        let body = packet.get(HEADER..)?;
        let (mut at, mut labels) = (0, Vec::new());
        loop {
            let length = usize::from(*body.get(at)?);
            let label = body.get(at + 1..at + 1 + length)?;
            at += 1 + length;
            match length {
                0 => break,
                1..=63 => labels.push(String::from_utf8_lossy(label).into_owned()),
                _ => return None,
            }
        }
        let kind = u16::from_be_bytes(*body.get(at..)?.first_chunk()?);
        let section = body.get(..at + 4)?;
        is_query.then(|| Self { id, section, name: labels.join("."), kind })
    }

    fn answer(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = addresses.iter().filter_map(|address| self.record(*address)).collect();
        let code = if addresses.is_empty() { NO_SUCH_NAME } else { 0 };
        let count = u16::try_from(records.len()).unwrap_or(0).to_be_bytes();
        let mut packet = Vec::from(self.id);
        // An authoritative answer, recursion available.
        packet.extend([0x84, 0x80 | code, 0, 1]);
        packet.extend(count);
        packet.extend([0, 0, 0, 0]);
        packet.extend(self.section);
        packet.extend(records.into_iter().flatten());
        packet
    }

    fn record(&self, address: IpAddr) -> Option<Vec<u8>> {
        let data = match (address, self.kind) {
            (IpAddr::V4(address), TYPE_A) => address.octets().to_vec(),
            (IpAddr::V6(address), TYPE_AAAA) => address.octets().to_vec(),
            _ => return None,
        };
        // A pointer to the name in the question, its type, class IN.
        let mut record = vec![0xc0, 12];
        record.extend(self.kind.to_be_bytes());
        record.extend([0, 1]);
        record.extend(LIFE_SECS.to_be_bytes());
        record.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        record.extend(data);
        Some(record)
    }
}

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const NO_SUCH_NAME: u8 = 3;

/// Short, so that a changed file is seen soon.
const LIFE_SECS: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(label.as_bytes());
        }
        packet.push(0);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1]);
        packet
    }

    #[track_caller]
    fn check(kind: u16, name: &str, code: u8, answers: u8, tail: &[u8]) {
        let packet = query(name, kind);
        let question = Question::parse(&packet).unwrap();
        let addresses: Vec<IpAddr> =
            lookup("wiki.demo.internal 127.1.2.3\nsix.demo.internal fd00::1\n", &question.name).collect();
        let answer = question.answer(&addresses);
        assert_eq!((answer[3] & 15, answer[7]), (code, answers), "{name}");
        assert!(answer.starts_with(&[0xab, 0xcd]) && answer.ends_with(tail), "{name}");
    }

    #[test]
    fn questions_are_answered_from_the_file() {
        check(TYPE_A, "wiki.demo.internal", 0, 1, &[0, 4, 127, 1, 2, 3]);
        check(TYPE_A, "WIKI.demo.internal", 0, 1, &[0, 4, 127, 1, 2, 3]);
        check(TYPE_AAAA, "wiki.demo.internal", 0, 0, &[0, 28, 0, 1]);
        check(TYPE_AAAA, "six.demo.internal", 0, 1, &[0, 0, 0, 1]);
        check(TYPE_A, "unknown.demo.internal", NO_SUCH_NAME, 0, &[0, 1, 0, 1]);
    }

    #[test]
    fn broken_questions_are_dropped() {
        let whole = query("wiki.demo.internal", TYPE_A);
        for cut in 0..whole.len() {
            assert!(Question::parse(&whole[..cut]).is_none(), "{cut}");
        }
    }
}
