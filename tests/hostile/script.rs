//! The scripts in the files, and what their heads say.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use engine::script::ScriptKind;
use sandbox::{Batch, Origin, Purpose, RunRecord, Script, Secret, Secrets};
use serde_json::{Value, json};
use time::macros::datetime;
use zeroize::Zeroizing;

use super::server::Server;

/// One file.
pub struct Hostile {
    /// `family/name`.
    pub name: String,
    pub kind: ScriptKind,
    /// Ends that are right.
    pub expected: Vec<String>,
    pub source: String,
}

impl Hostile {
    pub fn family(&self) -> &str {
        self.name.split_once('/').unwrap().0
    }

    /// How the run ended, in the words of the heads.
    pub fn end(record: &RunRecord) -> &'static str {
        match &record.result {
            Ok(Value::Bool(true)) => "true",
            Ok(Value::Bool(false)) => "false",
            Ok(_) => "result",
            Err(failure) => failure.kind.as_str(),
        }
    }

    pub fn batch(&self, server: &Server) -> Batch {
        let script = Script { name: self.name.as_str().into(), kind: self.kind, source: self.source.as_str().into() };
        batch(vec![script], server)
    }
}

/// All of them, those that leave something behind before those that look for it.
pub fn all() -> Vec<Hostile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hostile");
    let mut found = Vec::new();
    for family in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(&family).unwrap().map(|entry| entry.unwrap().path()) {
            let family = family.file_name().unwrap().to_str().unwrap();
            let name = format!("{family}/{}", file.file_stem().unwrap().to_str().unwrap());
            found.push(parse(name, &fs::read_to_string(&file).unwrap()));
        }
    }
    let order = |script: &Hostile| script.name.replace(".write", ".0").replace(".read", ".1");
    found.sort_by_key(order);
    found
}

fn parse(name: String, text: &str) -> Hostile {
    let head =
        |key: &str| text.lines().find_map(|line| line.strip_prefix("// ")?.strip_prefix(key)?.strip_prefix(": "));
    let expected = head("expect").unwrap_or_else(|| panic!("{name} does not say how it ends"));
    let kind = match head("kind") {
        None => ScriptKind::Policy,
        Some("user-claim") => ScriptKind::UserClaim,
        Some("host") => ScriptKind::Host,
        Some(other) => panic!("{name}: no kind {other} here"),
    };
    let expected = expected.split(" or ").map(str::to_owned).collect();
    Hostile { kind, expected, source: expand(text), name }
}

/// Writes out every `@@COUNT|TEXT@@`.
fn expand(text: &str) -> String {
    let mut pieces = text.split("@@");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let repeated = piece.split_once('|').and_then(|(count, text)| Some(text.repeat(count.parse().ok()?)));
        out.push_str(&repeated.unwrap_or_else(|| piece.to_owned()));
    }
    out
}

/// Scripts for Ana, with the secrets and the criteria script the hostile ones go for.
pub fn batch(scripts: Vec<Script>, server: &Server) -> Batch {
    let staff = "return claims.user.groups.indexOf('nobody') >= 0;";
    let staff = Script { name: "staff".into(), kind: ScriptKind::Criteria, source: staff.into() };
    let mut batch =
        Batch::new(Arc::new(claims(server)), datetime!(2026-01-05 09:00:00 UTC), scripts, Arc::new([staff]));
    batch.secrets = secrets(server);
    batch.purpose = Purpose::Test;
    batch
}

fn claims(server: &Server) -> Value {
    json!({
        "user": { "username": "ana", "groups": ["CN=developers,OU=x", "CN=all,OU=x"] },
        "device": { "os": { "family": "linux" }, "clientIPs": ["192.168.7.9"] },
        "system": {
            "clientSrcIP": "10.20.30.40",
            "server": server.allowed(), "foreign": server.foreign(),
            "internal": server.internal(), "internalPort": server.internal_port(),
        },
    })
}

fn secrets(server: &Server) -> Secrets {
    let secret = |value: &str| Secret {
        value: Arc::new(Zeroizing::new(value.to_owned())),
        allowed_origins: Some(Arc::new([Origin::parse(&server.allowed()).unwrap()])),
    };
    [("TOKEN".into(), secret(TOKEN)), ("QUOTES".into(), secret(QUOTES))].into_iter().collect()
}

/// Forms of the secret that nobody may see, compared without regard to case.
pub fn forms_of_secret() -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let reversed: String = TOKEN.chars().rev().collect();
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02x}")).collect();
    // The letters at either end depend on what stands beside the value.
    let shifted = ["", "x", "xy"].map(|before| {
        let text = STANDARD.encode(format!("{before}{TOKEN}"));
        text.get(4..text.len() - 4).unwrap().to_owned()
    });
    let separated =
        ["-", " ", "/", "\n", "\",\""].map(|between| TOKEN.chars().map(String::from).collect::<Vec<_>>().join(between));
    [TOKEN.to_owned(), reversed, hex, percent].into_iter().chain(shifted).chain(separated).collect()
}

const TOKEN: &str = "Zx9-hunter2-Kq7mPw4t";

const QUOTES: &str = "a'b\"c`d${e}\\f/g\u{2028}h\ni'; var broken = 1; '";
