//! Secrets in every disguise, and honest texts that look a little like them.

use std::hash::Hasher as _;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::json;

use super::pieces::Mixer;
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

fn record(output: &str, audit: &[&str], urls: &[&str], result: Value) -> RunRecord {
    let call = |url: &&str| HttpCall {
        method: crate::http::HttpMethod::Get,
        url: (*url).to_owned(),
        status: None,
        outcome: "ok",
        bytes: 0,
        duration: std::time::Duration::ZERO,
    };
    RunRecord {
        script: "s".into(),
        result: Ok(result),
        output: output.to_owned(),
        duration: std::time::Duration::ZERO,
        instructions: 0,
        lane: engine::script::lanes::Lane::Fresh,
        claims_read: Vec::new(),
        http_calls: urls.iter().map(call).collect(),
        audit: audit.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn what_is_spread_over_fields_is_withheld() {
    let veil = veil("abcdefghijklmnopqrst");
    for mut spread in [
        record("", &["abcdefg", "hijklmn", "opqrst"], &[], json!(true)),
        record("abcdefg", &["hijklmn"], &[], json!(true)),
        record("", &[], &["https://a.test/abcde", "https://a.test/fghij", "https://a.test/klmno"], json!(true)),
    ] {
        veil.scrub_record(&mut spread);
        assert!(texts_of(&mut spread).iter().all(|text| text.is_empty() || **text == WITHHELD), "{spread:?}");
    }
    let mut honest = record("one", &["two"], &["https://a.test/b", "https://a.test/c"], json!(true));
    let before = honest.clone();
    veil.scrub_record(&mut honest);
    assert_eq!(honest, before);
    let names = json!({ "zz1": "abcd", "zz2": "efgh", "zz3": "ijkl" });
    assert!(veil.is_in_value(&names));
}

#[test]
fn cut_texts_lose_their_end() {
    let veil = veil("abcdefghijklmnopqrst");
    let mut cut = record(&format!("{}-abcdefg\n", ". ".repeat(32 * 1024 - 5)), &[], &[], json!(true));
    veil.scrub_record(&mut cut);
    assert!(cut.output.len() > 60_000 && !cut.output.contains("abc"));
    let mut text = format!("{}abcdefghijklmnopqrst", "-".repeat(14));
    veil.scrub_to(&mut text, 20);
    assert_eq!(text, format!("{}%SECRE", "-".repeat(14)));
}

#[test]
fn results_are_bounded() {
    let mut long = record("", &[], &[], json!(["é ".repeat(22_000)]));
    veil(VALUE).scrub_record(&mut long);
    assert!(long.result.unwrap_err().message.contains("64 KiB"));
}

#[test]
fn too_many_are_refused() {
    let secret = |at: usize| Secret { value: Arc::new(Zeroizing::new(format!("value-{at}"))), allowed_origins: None };
    let some = |count: usize| Veil::new(&(0..count).map(|at| (at.to_string().into(), secret(at))).collect());
    assert!(some(8).refusal().is_none());
    assert!(some(9).refusal().is_some_and(|text| text.contains('8')));
}

/// A release build takes some milliseconds; a debug build on a busy machine gets a hundred times as much.
#[test]
fn much_text_and_many_secrets_take_little_time() {
    let value = |at: usize| {
        let hash = |part: usize| format!("{:016x}", Mixer::hashed(at * 100 + part));
        (0..=at).map(hash).collect::<String>()
    };
    let secret = |at: usize| Secret { value: Arc::new(Zeroizing::new(value(at))), allowed_origins: None };
    let veil = Veil::new(&(0..MAX_SECRETS).map(|at| (at.to_string().into(), secret(at))).collect());
    let words = |salt: usize| {
        // Letters that no hexadecimal text has.
        let letter = |byte: u8| if byte.is_multiple_of(16) { ' ' } else { char::from(b'g' + byte % 16) };
        let mut text: String = (0..8000).flat_map(|at| Mixer::hashed(at + salt).to_le_bytes()).map(letter).collect();
        text.truncate(64_000);
        text
    };
    let before = record(&words(1), &[], &[], json!([words(2)]));
    let mut record = before.clone();
    let started = std::time::Instant::now();
    veil.scrub_record(&mut record);
    let took = started.elapsed();
    println!("took {took:?}");
    assert!(record == before, "{:?}", record.result);
    assert!(took < std::time::Duration::from_millis(500), "{took:?}");
}

#[test]
fn a_secret_of_one_letter_costs_no_more() {
    let veil = veil(&format!("{}b", ". ".repeat(8000)));
    let mut text = ". ".repeat(30_000);
    let started = std::time::Instant::now();
    veil.scrub(&mut text);
    println!("repeated: {:?}", started.elapsed());
    assert_eq!(text, WITHHELD);
}

impl Mixer {
    fn hashed(number: usize) -> u64 {
        let mut mixer = Self::default();
        mixer.write_u64(number as u64 + 1);
        mixer.write_u64(number as u64);
        mixer.finish()
    }
}
