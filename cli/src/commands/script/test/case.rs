//! Runs the cases of one test file and compares what comes out with what they want.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sandbox::{Batch, Lane, Purpose, RunRecord, Sandbox, Script};
use serde_json::Value;

use super::{
    expect::{Expected, Mismatch, SwitchedHttp},
    file::{Case, TestFile, Want},
    find::script_of,
};
use crate::commands::script::{
    exchange::Redactor,
    input::{self, InputError, Known},
    report::failure_text,
};

/// What runs cases, one after another.
pub(super) struct Bench {
    pub(super) sandbox: Sandbox,
    pub(super) http: Arc<SwitchedHttp>,
}

/// What came of one test file.
pub(super) struct FileReport {
    pub(super) file: PathBuf,
    /// The cases, or why there were none.
    pub(super) cases: Result<Vec<CaseReport>, InputError>,
}

/// What came of one case.
pub(super) struct CaseReport {
    pub(super) line: u64,
    pub(super) note: String,
    pub(super) lane: Lane,
    pub(super) duration: Duration,
    /// What is wrong; empty when it passed.
    pub(super) problems: Vec<Problem>,
}

/// Something that is not as it should be.
pub(super) struct Problem {
    /// What it is about.
    pub(super) what: &'static str,
    /// What should be, and what is, as texts of lines; absent when there is nothing to compare.
    pub(super) difference: Option<(String, String)>,
    /// More about it.
    pub(super) detail: Option<String>,
}

/// A test file made ready.
struct Plan {
    script: Script,
    criteria: Arc<[Script]>,
    cases: Vec<Case>,
}

impl Plan {
    fn read(path: &Path) -> Result<Self, InputError> {
        let file = TestFile::read(path)?;
        let script = input::read_script(&script_of(path), file.kind(path)?)?;
        let criteria = file.criteria.iter().map(|name| input::read_criterion(&path.with_file_name(name)));
        let criteria = criteria.collect::<Result<Vec<Script>, _>>()?.into();
        Ok(Self { script, criteria, cases: file.into_cases(path)? })
    }
}

impl Bench {
    /// Runs every case of the file.
    pub(super) async fn run_file(&self, file: &Path) -> FileReport {
        FileReport { file: file.to_owned(), cases: self.run_cases(file).await }
    }

    async fn run_cases(&self, file: &Path) -> Result<Vec<CaseReport>, InputError> {
        let plan = Plan::read(file)?;
        let mut reports = Vec::with_capacity(plan.cases.len());
        for case in &plan.cases {
            let report = self.run_case(&plan, case).await.map_err(|error| match error {
                InputError::Content { .. } => error,
                other => InputError::Content { path: file.to_owned(), line: case.line, message: other.to_string() },
            })?;
            reports.push(report);
        }
        Ok(reports)
    }

    async fn run_case(&self, plan: &Plan, case: &Case) -> Result<CaseReport, InputError> {
        let known = Known::new(case.secrets.clone()).map_err(|message| InputError::Content {
            path: PathBuf::new(),
            line: case.line,
            message,
        })?;
        let claims = case.claims.clone().into_claims(case.responses.clone())?;
        let expected = Arc::new(Expected::new(case.http.clone(), Redactor::new(&known)));
        self.sandbox.reset_cache(Purpose::Test, case.cache.clone());
        self.http.switch(Some(Arc::clone(&expected)));
        let batch = Batch {
            secrets: known.secrets,
            purpose: Purpose::Test,
            ..Batch::new(claims, input::parse_time(&case.now)?, vec![plan.script.clone()], Arc::clone(&plan.criteria))
        };
        let record = self.sandbox.evaluate(batch).await.into_iter().next();
        self.http.switch(None);
        Ok(judge(plan, case, record, expected.mismatch()))
    }
}

fn judge(plan: &Plan, case: &Case, record: Option<RunRecord>, mismatch: Option<Mismatch>) -> CaseReport {
    let mut report = CaseReport {
        line: case.line,
        note: case.note.clone(),
        lane: Lane::Fresh,
        duration: Duration::ZERO,
        problems: Vec::new(),
    };
    let Some(record) = record else {
        report.problems.push(Problem { what: "the script was not run", difference: None, detail: None });
        return report;
    };
    (report.lane, report.duration) = (record.lane, record.duration);
    if let Some(Mismatch { expected, actual }) = mismatch {
        let difference = Some((expected, actual));
        report.problems.push(Problem { what: "HTTP calls", difference, detail: None });
    }
    report.problems.extend(judge_result(plan, &case.want, &record));
    let texts = [
        ("output", case.output.clone(), record.output.clone()),
        ("audit log", case.audit.as_ref().map(|audit| lines(audit)), lines(&record.audit)),
    ];
    for (what, wanted, actual) in texts {
        if let Some(wanted) = wanted.filter(|wanted| wanted.trim_end() != actual.trim_end()) {
            report.problems.push(Problem { what, difference: Some((wanted, actual)), detail: None });
        }
    }
    report
}

fn judge_result(plan: &Plan, want: &Want, record: &RunRecord) -> Option<Problem> {
    let detail = || {
        let scripts: Vec<Script> = std::iter::once(&plan.script).chain(plan.criteria.iter()).cloned().collect();
        record.result.as_ref().err().map(|failure| failure_text(failure, &scripts))
    };
    let failed = |kind: &str| format!("failure: {kind}");
    let (wanted, actual) = match (want, &record.result) {
        (Want::Result(wanted), Ok(actual)) => (pretty(wanted), pretty(actual)),
        (Want::Result(wanted), Err(failure)) => (pretty(wanted), failed(failure.kind.as_str())),
        (Want::Failure(kind), Err(failure)) => (failed(kind), failed(failure.kind.as_str())),
        (Want::Failure(kind), Ok(actual)) => (failed(kind), pretty(actual)),
    };
    (wanted != actual).then(|| Problem { what: "result", difference: Some((wanted, actual)), detail: detail() })
}

/// A value as lines, the same for equal values: keys sorted, whole numbers without a point.
fn pretty(value: &Value) -> String {
    format!("{:#}", canonical(value))
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<_, _> =
                members.iter().map(|(name, value)| (name.clone(), canonical(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Number(number) => whole(number).map_or_else(|| value.clone(), Value::from),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// A number written with a point that needs none.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
}

fn lines(texts: &[String]) -> String {
    texts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_look_the_same() {
        let one: Value = serde_json::from_str(r#"{"b": 1.0, "a": [2.5]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a": [2.5], "b": 1}"#).unwrap();
        assert_eq!(pretty(&one), pretty(&other));
    }
}
