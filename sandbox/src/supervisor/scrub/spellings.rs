//! The ways in which a script can write a value without arithmetic of its own.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use zeroize::Zeroizing;

/// Characters of a piece that is looked for, and of one spelled in codes, which take several characters for one.
const PIECE: usize = 8;
const CODED_PIECE: usize = 16;
/// Shortest part of a value in base64 that is looked for.
const MIN_ENCODED: usize = 4;

/// How a value may be written, with the length of the pieces to look for.
pub(super) fn ways_to_write(value: &str) -> Vec<(Zeroizing<String>, usize)> {
    if value.is_empty() {
        return Vec::new();
    }
    let bytes = value.as_bytes();
    let codes = |format: fn(u32) -> String| value.chars().map(|char| format(u32::from(char))).collect::<String>();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = Value::String(value.to_owned()).to_string();
    let mut ways = vec![
        value.to_owned(),
        value.chars().rev().collect(),
        json.trim_matches('"').to_owned(),
        percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)),
        percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-_.!~*'();/?:@&=+$,#".contains(&byte)),
        percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)).replace("%20", "+"),
    ];
    let mut coded = vec![
        percent(bytes, |_| false),
        value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect(),
        bytes.iter().map(|byte| format!("0x{byte:02x}")).collect(),
        codes(|code| code.to_string()),
        hex.chars().rev().collect(),
        hex,
    ];
    if value.chars().all(|char| u32::from(char) < 256) {
        let latin: Vec<u8> = value.chars().filter_map(|char| u8::try_from(u32::from(char)).ok()).collect();
        base64_ways(&latin, &mut ways);
    }
    base64_ways(bytes, &mut ways);
    let reversed: Vec<u8> = value.chars().rev().collect::<String>().into_bytes();
    base64_ways(&reversed, &mut ways);
    let finished = |mut ways: Vec<String>, piece: usize| {
        ways.sort();
        ways.dedup();
        ways.retain(|way| !way.is_empty());
        ways.into_iter().map(move |way| (Zeroizing::new(way), piece))
    };
    coded.retain(|way| !ways.contains(way));
    finished(ways, PIECE).chain(finished(coded, CODED_PIECE)).collect()
}

/// Base64 of the value wherever it stands in a longer text: the characters that depend on the value alone.
fn base64_ways(bytes: &[u8], ways: &mut Vec<String>) {
    for before in 0..3_usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        let first = (before * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            // At the very end of a text the last character depends on the value alone as well.
            ways.extend(encoded.get(first..last).filter(|part| part.len() >= MIN_ENCODED).map(str::to_owned));
            ways.extend(encoded.get(first..).filter(|part| part.len() >= MIN_ENCODED).map(str::to_owned));
        }
    }
}

fn percent(bytes: &[u8], is_plain: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if is_plain(*byte) {
            text.push(char::from(*byte));
        } else {
            // Formatting into a text cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
