//! The examples of the script reference, run as they stand there, and a look for globals it leaves out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use engine::script::ScriptKind;
use sandbox::{
    Batch, Broker, BrokerConfig, HttpBackend, HttpFuture, HttpOutcome, HttpRequest, RunRecord, Sandbox, Script, Secret,
    Secrets,
};
use serde_json::Value;
use time::macros::datetime;

use super::helpers::{config, script};

const REFERENCE: &str = include_str!("../../../docs/script-reference.md");

#[tokio::test]
async fn every_example_of_the_reference_gives_what_it_says() {
    let recorded = Arc::new(Recorded::default());
    let mut config = config();
    config.http = Arc::clone(&recorded) as Arc<dyn HttpBackend>;
    let sandbox = Sandbox::start(config).await.unwrap();
    let mut tried = 0;
    for text in REFERENCE.split("\n```js\n").skip(1) {
        let example = Example::read(text.split("\n```").next().unwrap());
        recorded.0.lock().unwrap().clone_from(&example.http);
        if example.fails == Some("syntax") {
            let refused = sandbox.admit(example.script()).await.unwrap_err();
            assert_eq!(refused.kind.as_str(), "syntax", "{}", example.text);
        } else {
            example.check(&example.run(&sandbox).await);
        }
        tried += 1;
    }
    assert!(tried >= 20, "only {tried} examples were found");
    sandbox.stop().await;
}

#[tokio::test]
async fn every_global_stands_in_the_reference_with_an_example_that_holds() {
    let sandbox = Sandbox::start(config()).await.unwrap();
    let rows: Vec<Vec<&str>> = REFERENCE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| row.len() == 5)
        .collect();
    let scripts: Vec<Script> = rows
        .iter()
        .map(|row| {
            let source = format!("return {{ gives: {} }};", code(row[3]).replace("\\|", "|"));
            script(code(row[0]), ScriptKind::UserClaim, &source)
        })
        .collect();
    let records = sandbox.evaluate(batch(default_claims(), scripts, Vec::new(), Secrets::default())).await;
    for (row, record) in rows.iter().zip(records) {
        let gives: Value = serde_json::from_str(code(row[4])).unwrap();
        assert_eq!(record.result.as_ref().unwrap()["gives"], gives, "{row:?}");
    }

    let names = script("names", ScriptKind::UserClaim, "return { names: Object.getOwnPropertyNames(globalThis) };");
    let record = sandbox.evaluate(batch(default_claims(), vec![names], Vec::new(), Secrets::default())).await;
    let told: BTreeSet<&str> = REFERENCE
        .lines()
        .filter_map(|line| line.strip_prefix("### `").or_else(|| line.strip_prefix("| `")))
        .map(|line| line.split(|char: char| !char.is_alphanumeric()).next().unwrap())
        .collect();
    for name in record[0].result.as_ref().unwrap()["names"].as_array().unwrap() {
        assert!(told.contains(name.as_str().unwrap()), "the reference does not tell of `{name}`");
    }
    sandbox.stop().await;
}

/// An example with what the comments above it say.
#[derive(Default)]
struct Example<'a> {
    text: &'a str,
    kind: &'a str,
    claims: Option<Value>,
    criteria: Vec<Script>,
    secrets: Vec<(Box<str>, Secret)>,
    http: Vec<(String, u16, String)>,
    result: Option<Value>,
    fails: Option<&'a str>,
    output: Option<&'a str>,
    audit: Option<&'a str>,
}

impl<'a> Example<'a> {
    fn read(text: &'a str) -> Self {
        let mut example = Self { text, ..Self::default() };
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("no `key: value` in {line:?}"));
            match key.split_once(' ').unwrap_or((key, "")) {
                ("kind", _) => example.kind = value,
                ("claims", _) => example.claims = Some(serde_json::from_str(value).unwrap()),
                ("criteria", name) => example.criteria.push(script(name, ScriptKind::Criteria, value)),
                ("secret", name) => {
                    let value = Arc::new(value.to_owned().into());
                    example.secrets.push((name.into(), Secret { value, allowed_origins: None }));
                }
                ("http", _) => example.http.push(exchange(value)),
                ("result", _) => example.result = Some(serde_json::from_str(value).unwrap()),
                ("fails", _) => example.fails = Some(value),
                ("output", _) => example.output = Some(value),
                ("audit", _) => example.audit = Some(value),
                _ => panic!("unknown line {line:?}"),
            }
        }
        assert!(example.result.is_some() != example.fails.is_some(), "{text}");
        example
    }

    fn script(&self) -> Script {
        let kinds = [
            ScriptKind::Policy,
            ScriptKind::Criteria,
            ScriptKind::Condition,
            ScriptKind::Host,
            ScriptKind::PortOrType,
            ScriptKind::AppShortcut,
            ScriptKind::UserClaim,
        ];
        let kind = kinds.into_iter().find(|kind| kind.as_str() == self.kind);
        script("example", kind.unwrap_or_else(|| panic!("no kind: {}", self.text)), self.text)
    }

    async fn run(&self, sandbox: &Sandbox) -> RunRecord {
        let claims = self.claims.clone().unwrap_or_else(default_claims);
        let secrets = self.secrets.iter().cloned().collect();
        sandbox.evaluate(batch(claims, vec![self.script()], self.criteria.clone(), secrets)).await.remove(0)
    }

    fn check(&self, record: &RunRecord) {
        match (&record.result, &self.result) {
            (Ok(result), Some(wanted)) => assert_eq!(result, wanted, "{}", self.text),
            (Err(failure), None) => assert_eq!(Some(failure.kind.as_str()), self.fails, "{}\n{failure}", self.text),
            (given, _) => panic!("{given:?}\n{}", self.text),
        }
        assert_eq!(record.output.trim_end(), self.output.unwrap_or_default(), "{}", self.text);
        assert_eq!(record.audit.join("\n"), self.audit.unwrap_or_default(), "{}", self.text);
    }
}

fn batch(claims: Value, scripts: Vec<Script>, criteria: Vec<Script>, secrets: Secrets) -> Batch {
    let now = datetime!(2026-01-05 09:00:00 UTC);
    Batch { secrets, ..Batch::new(Arc::new(claims), now, scripts, criteria.into()) }
}

fn default_claims() -> Value {
    let json = REFERENCE.split("\n```json\n").nth(1).unwrap().split("\n```").next().unwrap();
    serde_json::from_str(json).unwrap()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// `GET url -> 200 body`
fn exchange(line: &str) -> (String, u16, String) {
    let (request, answer) = line.split_once(" -> ").unwrap();
    let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
    (request.to_owned(), status.parse().unwrap(), body.to_owned())
}

/// Answers the calls that an example names; all others go to the broker, so that it refuses what it refuses.
#[derive(Default)]
struct Recorded(Mutex<Vec<(String, u16, String)>>);

impl HttpBackend for Recorded {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        let line = format!("{} {}", request.method.as_str(), request.url);
        let found = self.0.lock().unwrap().iter().find(|(known, ..)| *known == line).cloned();
        Box::pin(async move {
            match found {
                Some((_, status, body)) => HttpOutcome::Answer { status, body },
                None => Broker::new(BrokerConfig::default()).unwrap().call(request).await,
            }
        })
    }
}
