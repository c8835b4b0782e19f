//! Prints what the test files came to.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::case::{CaseReport, FileReport, Problem};
use crate::{
    commands::script::{
        input::InputError,
        report::{counted, counts, milliseconds},
    },
    output::{Output, printable, say},
};

/// What everything came to.
#[derive(Default)]
struct Summary {
    files: usize,
    cases: usize,
    failed: usize,
    broken: usize,
    untested: usize,
    lanes: BTreeMap<&'static str, usize>,
}

impl Summary {
    fn passed(&self) -> bool {
        self.failed + self.broken + self.untested == 0
    }
}

/// Prints the reports; whether all is well.
pub(super) fn print(reports: &[FileReport], untested: &[PathBuf], output: Output) -> bool {
    let summary = summarise(reports, untested);
    match output {
        Output::Json => print_json(reports, untested, &summary),
        Output::Table => print_text(reports, untested, &summary),
    }
    summary.passed()
}

fn summarise(reports: &[FileReport], untested: &[PathBuf]) -> Summary {
    let mut summary = Summary { files: reports.len(), untested: untested.len(), ..Summary::default() };
    for report in reports {
        let Ok(cases) = &report.cases else {
            summary.broken += 1;
            continue;
        };
        summary.cases += cases.len();
        summary.failed += cases.iter().filter(|case| !case.problems.is_empty()).count();
        for case in cases {
            *summary.lanes.entry(case.lane.as_str()).or_default() += 1;
        }
    }
    summary
}

fn print_text(reports: &[FileReport], untested: &[PathBuf], summary: &Summary) {
    for report in reports {
        match &report.cases {
            Ok(cases) => print_file(report, cases),
            Err(error) => print_broken(report, error),
        }
    }
    for script in untested {
        say!("FAILED  {}: no test file", printable(script.display().to_string()));
    }
    say!("");
    let mut parts = vec![
        counted(summary.files, "test file"),
        format!("{} passed", counted(summary.cases - summary.failed, "case")),
        format!("{} failed", summary.failed),
    ];
    if summary.broken > 0 {
        parts.push(format!("{} could not be read", counted(summary.broken, "test file")));
    }
    if summary.untested > 0 {
        parts.push(format!("{} without a test file", counted(summary.untested, "script")));
    }
    if summary.cases > 0 {
        parts.push(format!("runs: {}", counts(&summary.lanes)));
    }
    say!("{}", parts.join(", "));
}

fn print_file(report: &FileReport, cases: &[CaseReport]) {
    let failed = cases.iter().filter(|case| !case.problems.is_empty()).count();
    let duration: Duration = cases.iter().map(|case| case.duration).sum();
    let word = if failed == 0 { "ok     " } else { "FAILED " };
    let failures = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    let file = printable(report.file.display().to_string());
    say!("{word} {file}: {}{failures}, {:.1} ms", counted(cases.len(), "case"), milliseconds(duration));
    for case in cases.iter().filter(|case| !case.problems.is_empty()) {
        say!("");
        say!("  {file}:{}: {}", case.line, printable(case.note.clone()));
        case.problems.iter().for_each(print_problem);
        say!("");
    }
}

fn print_broken(report: &FileReport, error: &InputError) {
    let text = match error {
        InputError::Content { .. } => error.to_string(),
        other => format!("{}: {}", report.file.display(), chain(other)),
    };
    say!("FAILED  {}", printable(text));
}

fn chain(error: &InputError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn print_problem(problem: &Problem) {
    if problem.difference.is_some() {
        say!("    {} (- expected, + actual):", problem.what);
    } else {
        say!("    {}", problem.what);
    }
    for line in difference(problem).lines().chain(problem.detail.as_deref().unwrap_or_default().lines()) {
        say!("      {}", printable(line.to_owned()));
    }
}

/// The lines of both texts, each marked as expected only, actual only or both.
fn difference(problem: &Problem) -> String {
    let Some((expected, actual)) = &problem.difference else { return String::new() };
    let (expected, actual) = (format!("{}\n", expected.trim_end()), format!("{}\n", actual.trim_end()));
    let diff = TextDiff::from_lines(&expected, &actual);
    diff.iter_all_changes()
        .map(|change| {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            format!("{sign} {}\n", change.value().trim_end_matches('\n'))
        })
        .collect()
}

fn print_json(reports: &[FileReport], untested: &[PathBuf], summary: &Summary) {
    for report in reports {
        match &report.cases {
            Ok(cases) => cases.iter().for_each(|case| say!("{}", case_json(report, case))),
            Err(error) => {
                say!("{}", json!({ "file": report.file, "outcome": "broken", "message": chain(error) }));
            }
        }
    }
    for script in untested {
        say!("{}", json!({ "file": script, "outcome": "untested" }));
    }
    say!(
        "{}",
        json!({ "outcome": if summary.passed() { "passed" } else { "failed" }, "files": summary.files, "cases": summary.cases,
            "failed": summary.failed, "broken": summary.broken, "untested": summary.untested, "lanes": summary.lanes })
    );
}

fn case_json(report: &FileReport, case: &CaseReport) -> Value {
    let problems: Vec<Value> = case.problems.iter().map(problem_json).collect();
    json!({
        "file": report.file,
        "line": case.line,
        "note": case.note,
        "outcome": if problems.is_empty() { "passed" } else { "failed" },
        "lane": case.lane.as_str(),
        "executionMs": milliseconds(case.duration),
        "problems": problems,
    })
}

fn problem_json(problem: &Problem) -> Value {
    let (expected, actual) = problem.difference.clone().unzip();
    json!({ "what": problem.what, "expected": expected, "actual": actual, "diff": difference(problem), "detail": problem.detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_marked_line_by_line() {
        let problem = Problem {
            what: "result",
            difference: Some(("[\n  1,\n  2\n]".into(), "[\n  1,\n  3\n]".into())),
            detail: None,
        };
        assert_eq!(difference(&problem), "  [\n    1,\n-   2\n+   3\n  ]\n");
    }
}
