//! Keeps the values of secrets out of whatever a run leaves behind.
//!
//! A text first loses every spelling of a value that is known (as it is, escaped, percent-encoded, base64, hexadecimal, decimal codes, reversed).
//! Then a copy of what is left, reduced to letters and digits in lower case, is searched for pieces of half a value's length; also every
//! second to eighth character of it, as somebody might print one with other characters in between. When a piece is found the whole text is withheld.
//! This stops accidents and the simple tricks; who may edit a script that names a secret can always do arithmetic with it, which is why
//! a secret can be bound to origins.

use std::collections::HashSet;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use zeroize::Zeroizing;

use super::secret::Named;
use crate::batch::RunRecord;
use crate::http::HttpCall;
use engine::script::{Failure, FailureKind};

/// Shortest spelling that is looked for in a reduced copy; shorter ones would be found in every text.
const MIN_REDUCED: usize = 6;
/// Shortest and longest piece that is looked for.
const PIECE: (usize, usize) = (8, 64);
/// Most pieces of one spelling; of a longer one every so many is taken.
const MAX_PIECES: usize = 512;
/// Shortest value a result is searched for as it is.
const MIN_IN_RESULT: usize = 4;
/// Characters skipped at most between those of a value.
const MAX_STRIDE: usize = 8;
/// What stands in place of a text that holds a secret in disguise.
const WITHHELD: &str = "[withheld: it seems to hold a part of a secret]";

/// The secrets of one run, ready to be recognised.
pub(super) struct Veil {
    spellings: Vec<Spelling>,
    /// Pieces of the reduced spellings, all of one length per set.
    pieces: Vec<Pieces>,
}

/// One way to write one secret; compared without regard to case.
struct Spelling {
    /// In lower case.
    text: Zeroizing<Vec<u8>>,
    /// What takes its place.
    label: String,
}

struct Pieces {
    length: usize,
    set: HashSet<Box<[u8]>>,
}

impl Veil {
    /// Over these secrets.
    pub(super) fn new(named: &Named) -> Self {
        let mut spellings = Vec::new();
        let mut pieces: Vec<Pieces> = Vec::new();
        for (name, secret) in named {
            for text in ways_to_write(&secret.value) {
                add_pieces(&mut pieces, &reduced(&text));
                let text = Zeroizing::new(text.to_ascii_lowercase().into_bytes());
                spellings.push(Spelling { text, label: format!("%SECRET:{name}%") });
            }
        }
        // The longest goes first: a spelling may hold another one.
        spellings.sort_by_key(|spelling| std::cmp::Reverse(spelling.text.len()));
        Self { spellings, pieces }
    }

    /// The text without the secrets.
    pub(super) fn scrub(&self, text: &mut String) {
        if text.is_empty() {
            return;
        }
        for spelling in &self.spellings {
            replace(text, &spelling.text, &spelling.label);
        }
        let mut rest = text.clone();
        self.spellings.iter().for_each(|spelling| rest = rest.replace(&spelling.label, " "));
        if self.is_hidden_in(&rest) {
            WITHHELD.clone_into(text);
        }
    }

    /// Whether the text holds a secret in any way that is known.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        let has = |spelling: &Spelling| {
            spelling.text.len() >= MIN_IN_RESULT && find(lower.as_bytes(), &spelling.text).is_some()
        };
        self.spellings.iter().any(has) || self.is_hidden_in(text)
    }

    /// Takes the secrets out of everything a run left, and the result when it holds one.
    pub(super) fn scrub_record(&self, record: &mut RunRecord) {
        self.scrub(&mut record.output);
        record.audit.iter_mut().for_each(|text| self.scrub(text));
        record.claims_read.iter_mut().for_each(|text| self.scrub(text));
        record.http_calls.iter_mut().for_each(|HttpCall { url, .. }| self.scrub(url));
        match &mut record.result {
            Err(failure) => self.scrub(&mut failure.message),
            Ok(value) if self.is_in_value(value) => {
                record.result = Err(Failure {
                    kind: FailureKind::WrongResult,
                    script: record.script.to_string(),
                    message: "the result holds a secret".to_owned(),
                    line: None,
                    column: None,
                });
            }
            Ok(_) => {}
        }
    }

    fn is_in_value(&self, value: &Value) -> bool {
        match value {
            Value::Bool(_) | Value::Null => false,
            // The text of all, so that a secret spread over the parts of a list is found as well.
            Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                let mut all = String::new();
                gather(value, &mut all);
                self.is_in(&all) || self.is_in(&value.to_string())
            }
        }
    }

    fn is_hidden_in(&self, text: &str) -> bool {
        let plain: Vec<char> = text.chars().collect();
        let reduced: Vec<char> = plain.iter().copied().filter(|char| char.is_alphanumeric()).collect();
        let holds = |every: String| {
            let every = self::reduced(&every);
            self.pieces.iter().any(|pieces| every.windows(pieces.length).any(|piece| pieces.set.contains(piece)))
        };
        // With every character of the value something else stands, or only with those that are letters and digits.
        [plain, reduced].iter().any(|chars| {
            (1..=MAX_STRIDE)
                .any(|stride| (0..stride).any(|from| holds(chars.iter().skip(from).step_by(stride).collect())))
        })
    }
}

/// The texts of a value one after the other, members' names first.
fn gather(value: &Value, all: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            // Formatting into a text cannot fail.
            let _ = write!(all, "{number} ");
        }
        Value::String(text) => all.push_str(text),
        Value::Array(items) => items.iter().for_each(|item| gather(item, all)),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            all.push_str(name);
            gather(member, all);
        }),
    }
}

/// How a value may be written; the value itself comes first.
fn ways_to_write(value: &str) -> Vec<Zeroizing<String>> {
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
        percent(bytes, |_| false),
        percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)).replace("%20", "+"),
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
    ways.sort();
    ways.dedup();
    ways.retain(|way| !way.is_empty());
    ways.into_iter().map(Zeroizing::new).collect()
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
            ways.extend(encoded.get(first..last).filter(|part| part.len() >= MIN_IN_RESULT).map(str::to_owned));
            ways.extend(encoded.get(first..).filter(|part| part.len() >= MIN_IN_RESULT).map(str::to_owned));
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

/// Letters and digits alone, in lower case.
fn reduced(text: &str) -> Zeroizing<Vec<u8>> {
    let kept: String = text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    Zeroizing::new(kept.into_bytes())
}

fn add_pieces(pieces: &mut Vec<Pieces>, spelling: &[u8]) {
    if spelling.len() < MIN_REDUCED {
        return;
    }
    let length = (spelling.len() / 2).clamp(PIECE.0, PIECE.1).min(spelling.len());
    let windows = spelling.windows(length).step_by(spelling.len().div_ceil(MAX_PIECES)).map(Box::from);
    match pieces.iter_mut().find(|pieces| pieces.length == length) {
        Some(pieces) => pieces.set.extend(windows),
        None => pieces.push(Pieces { length, set: windows.collect() }),
    }
}

/// Replaces `what` (lower case) wherever it stands, in any case.
fn replace(text: &mut String, what: &[u8], with: &str) {
    let lower = text.to_ascii_lowercase();
    if find(lower.as_bytes(), what).is_none() {
        return;
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = lower.as_bytes().get(from..).and_then(|rest| find(rest, what)) {
        out.push_str(text.get(from..from + at).unwrap_or_default());
        out.push_str(with);
        from += at + what.len();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    *text = out;
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    // Both are valid UTF-8, which makes a match begin and end between characters.
    let (text, what) = (std::str::from_utf8(text).ok(), std::str::from_utf8(what).ok());
    match (text, what) {
        (Some(text), Some(what)) if !what.is_empty() => text.find(what),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::secrets::Secret;

    const VALUE: &str = "s3cr3t/Tok+en=='\"x";

    fn veil(value: &str) -> Veil {
        let secret = Secret { value: Arc::new(Zeroizing::new(value.to_owned())), allowed_origins: None };
        Veil::new(&Named::from([("TOKEN".into(), secret)]))
    }

    #[track_caller]
    fn hides(text: &str) {
        let mut scrubbed = text.to_owned();
        veil(VALUE).scrub(&mut scrubbed);
        assert!(scrubbed == WITHHELD || scrubbed.contains("%SECRET:TOKEN%"), "{text} -> {scrubbed}");
        let left = scrubbed.replace("%SECRET:TOKEN%", "");
        assert!(!left.to_lowercase().contains("s3cr"), "{text} -> {scrubbed}");
        assert!(veil(VALUE).is_in(text), "{text}");
    }

    #[test]
    fn every_spelling_is_hidden() {
        hides(VALUE);
        hides(&format!("a {VALUE} b"));
        hides(&VALUE.to_uppercase());
        hides(&VALUE.chars().rev().collect::<String>());
        hides(&VALUE.chars().map(|char| format!("{char}\n")).collect::<String>());
        hides(&VALUE.chars().map(|char| format!("{char}X")).collect::<String>());
        hides(&VALUE.chars().map(|char| format!("{char}, zz ")).collect::<String>());
        hides(&VALUE.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
        hides(&VALUE.bytes().map(|byte| format!("{byte:02X} ")).collect::<String>());
        hides(&VALUE.bytes().map(|byte| format!("{byte},")).collect::<String>());
        hides(&VALUE.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
        hides(&VALUE.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>());
        hides("s3cr3t%2FTok%2Ben%3D%3D'%22x");
        for before in ["", "a", "ab", "abc"] {
            hides(&base64::engine::general_purpose::STANDARD.encode(format!("{before}{VALUE}{before}")));
            hides(&base64::engine::general_purpose::URL_SAFE.encode(format!("{before}{VALUE}")));
        }
        hides(VALUE.get(..12).unwrap());
        hides(&json!({ "a": VALUE }).to_string());
    }

    #[test]
    fn honest_texts_stay() {
        for text in ["", "status 200", "the user ana may pass", "10.0.0.1, 10.0.0.2", "s3cr", "%SECRET:TOKEN%"] {
            let mut scrubbed = text.to_owned();
            veil(VALUE).scrub(&mut scrubbed);
            assert_eq!(scrubbed, text);
            assert!(!veil(VALUE).is_in(text));
        }
        let mut text = "nothing".to_owned();
        veil("").scrub(&mut text);
        assert_eq!(text, "nothing");
    }

    #[test]
    fn results_are_searched_as_a_whole() {
        let veil = veil(VALUE);
        let letters: Vec<String> = VALUE.chars().map(String::from).collect();
        let codes: Vec<u32> = VALUE.chars().map(u32::from).collect();
        for value in [json!([VALUE]), json!(letters), json!(codes), json!({ "a": { VALUE: 1 } })] {
            assert!(veil.is_in_value(&value), "{value}");
        }
        for value in [json!(true), json!(["10.0.0.1"]), json!({ "groups": ["a", "b"] })] {
            assert!(!veil.is_in_value(&value), "{value}");
        }
    }
}
