//! The form of a test file. Unknown keys are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use engine::script::ScriptKind;
use sandbox::{HttpFailure, HttpMethod};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::commands::script::{
    exchange::{failure_named, method_named},
    input::{ClaimsFile, InputError, ResponseFile, SecretsFile, read_document},
    kind_named,
};

/// A test file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::commands::script) struct TestFile {
    /// What the script is written for.
    kind: Spanned<String>,
    /// Files of criteria scripts that it calls by their names.
    #[serde(default)]
    pub(in crate::commands::script) criteria: Vec<String>,
    /// When a condition is checked again; for the linter.
    #[serde(default)]
    pub(in crate::commands::script) schedules: Vec<String>,
    cases: Vec<Spanned<CaseFile>>,
}

/// One case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    note: String,
    #[serde(default)]
    claims: ClaimsFile,
    #[serde(default = "default_now")]
    now: String,
    #[serde(default)]
    responses: Vec<ResponseFile>,
    #[serde(default)]
    secrets: SecretsFile,
    #[serde(default)]
    cache: Map<String, Value>,
    #[serde(default)]
    http: Vec<ExchangeFile>,
    #[serde(default, deserialize_with = "present")]
    want: Option<Value>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    audit: Option<Vec<String>>,
}

/// One expected call as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeFile {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    #[serde(default)]
    fails: Option<String>,
}

/// One case, checked.
pub(super) struct Case {
    /// Line of the case in its file.
    pub(super) line: u64,
    pub(super) note: String,
    pub(super) claims: ClaimsFile,
    pub(super) now: String,
    pub(super) responses: Vec<ResponseFile>,
    pub(super) secrets: SecretsFile,
    pub(super) cache: Map<String, Value>,
    pub(super) http: Vec<Exchange>,
    pub(super) want: Want,
    pub(super) output: Option<String>,
    pub(super) audit: Option<Vec<String>>,
}

/// How a case must end.
pub(super) enum Want {
    /// With this result.
    Result(Value),
    /// With a failure of this kind.
    Failure(String),
}

/// One call a script must make, and its answer.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    pub(super) method: HttpMethod,
    pub(super) url: String,
    /// Headers the call must have, among others.
    pub(super) headers: Vec<(String, String)>,
    /// What it must send, when the case says so.
    pub(super) body: Option<String>,
    pub(super) answer: Answer,
}

/// What a call is answered with.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Status(u16, String),
    Fails(HttpFailure),
}

/// A quiet Monday morning, so that cases which do not care about the time need not say one.
fn default_now() -> String {
    "2026-01-05T09:00:00Z".to_owned()
}

/// Tells a value of null from no value.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Kinds of failure a case may want.
const FAILURES: [&str; 11] = [
    "syntax",
    "type",
    "thrown",
    "timeout",
    "instructions",
    "memory",
    "crash",
    "http-refused",
    "secret-missing",
    "wrong-result",
    "overloaded",
];

impl TestFile {
    /// Reads a test file.
    pub(in crate::commands::script) fn read(path: &Path) -> Result<Self, InputError> {
        let file: Self = read_document(path)?;
        file.kind(path)?;
        Ok(file)
    }

    /// What the script is written for.
    pub(in crate::commands::script) fn kind(&self, path: &Path) -> Result<ScriptKind, InputError> {
        let message = || format!("`{}` is no kind of script", self.kind.value);
        kind_named(&self.kind.value).ok_or_else(|| content(path, self.kind.referenced.line(), message()))
    }

    /// The secrets that cases make for the script.
    pub(in crate::commands::script) fn secret_names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.cases.iter().flat_map(|case| case.value.secrets.keys()).collect();
        names.into_iter().cloned().collect()
    }

    /// The cases, checked.
    pub(super) fn into_cases(self, path: &Path) -> Result<Vec<Case>, InputError> {
        let mut cases: Vec<Case> = Vec::with_capacity(self.cases.len());
        for case in self.cases {
            let line = case.referenced.line();
            let case = check(case.value, line).map_err(|message| content(path, line, message))?;
            if cases.iter().any(|other| other.note == case.note) {
                return Err(content(path, line, format!("two cases have the note `{}`", case.note)));
            }
            cases.push(case);
        }
        if cases.is_empty() { Err(content(path, 1, "there are no cases".to_owned())) } else { Ok(cases) }
    }
}

fn content(path: &Path, line: u64, message: String) -> InputError {
    InputError::Content { path: path.to_owned(), line, message }
}

fn check(case: CaseFile, line: u64) -> Result<Case, String> {
    let CaseFile { note, claims, now, responses, secrets, cache, http, want, error, output, audit } = case;
    let want = match (want, error) {
        (Some(want), None) => Want::Result(want),
        (None, Some(kind)) if FAILURES.contains(&kind.as_str()) => Want::Failure(kind),
        (None, Some(kind)) => return Err(format!("`{kind}` is no kind of failure; there are {}", FAILURES.join(", "))),
        (Some(_), Some(_)) | (None, None) => {
            return Err("a case needs either `want`, the result, or `error`, the kind of failure".to_owned());
        }
    };
    let http: Vec<Exchange> = http.into_iter().map(exchange).collect::<Result<_, _>>()?;
    Ok(Case { line, note, claims, now, responses, secrets, cache, http, want, output, audit })
}

fn exchange(exchange: ExchangeFile) -> Result<Exchange, String> {
    let ExchangeFile { method, url, headers, body, status, answer, json, fails } = exchange;
    let method =
        method_named(&method).ok_or_else(|| format!("`{method}` is no method; there are GET, POST, PUT, DELETE"))?;
    let answer = match (status, answer, json, fails) {
        (Some(status), text, None, None) => Answer::Status(status, text.unwrap_or_default()),
        (Some(status), None, Some(json), None) => Answer::Status(status, json.to_string()),
        (None, None, None, Some(name)) => Answer::Fails(failure_named(&name).ok_or_else(|| {
            format!(
                "`{name}` is no failure of a call; there are timeout, resolve, connect, certificate, too-large, broken"
            )
        })?),
        _ => return Err(format!("the answer to {url} needs `status` with `answer` or `json`, or how it `fails`")),
    };
    Ok(Exchange { method, url, headers: headers.into_iter().collect(), body, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.test.yaml");
        std::fs::write(&path, text).unwrap();
        let error = TestFile::read(&path).and_then(|file| file.into_cases(&path)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        check_error("kind: policies\ncases: []", "x.test.yaml:1: `policies` is no kind of script");
        check_error("kind: policy\ncases: []", "there are no cases");
        check_error("kind: policy\ncases:\n- note: a\n  wants: true", "x.test.yaml:4");
        check_error("kind: policy\ncases:\n- note: a\n", "x.test.yaml:3: a case needs either");
        check_error("kind: policy\ncases:\n- note: a\n  error: denied\n", "`denied` is no kind of failure");
        check_error("kind: policy\ncases:\n- {note: a, want: true}\n- {note: a, want: true}\n", ":4: two cases");
        check_error(
            "kind: policy\ncases:\n- {note: a, want: true, http: [{method: PATCH, url: 'http://a'}]}\n",
            "`PATCH` is no method",
        );
    }
}
