//! Every code that a user can meet has a next step: codes are collected where they are written.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Who tells a user something: the client, the controller's port, and what that port passes on.
const PLACES: [&str; 4] =
    ["client/src", "controller/src/port", "controller/src/refusal.rs", "controller/src/sign_in.rs"];

/// What such a code begins with.
const FAMILIES: [&str; 4] = ["client.", "controller.", "remedy.", "sign-in."];

#[test]
fn every_code_that_is_written_somewhere_has_advice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut codes = BTreeSet::new();
    for place in PLACES {
        for file in sources(root.join(place)) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            // Every second piece between quotes is a literal; pieces that are none do not look like a code.
            codes.extend(code.split('"').filter(|text| is_code(text)).map(str::to_owned));
        }
    }
    for known in ["remedy.codes-locked", "client.no-code-asked", "sign-in.failed", "controller.busy"] {
        assert!(codes.contains(known), "{known} is not found: {codes:?}");
    }
    let unknown = client::advice("made.up");
    let missing: Vec<&String> = codes.iter().filter(|code| client::advice(code) == unknown).collect();
    assert!(missing.is_empty(), "no advice in `client/src/advice.rs` for {missing:?}");
}

fn is_code(text: &str) -> bool {
    let mut rest = FAMILIES.iter().filter_map(|family| text.strip_prefix(family));
    rest.any(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
}

/// The Rust files at or below a path.
fn sources(path: PathBuf) -> Vec<PathBuf> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return entries.flat_map(sources).collect();
    }
    if path.extension().is_some_and(|extension| extension == "rs") { vec![path] } else { Vec::new() }
}
