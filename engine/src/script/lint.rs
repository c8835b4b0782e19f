//! Warns an author of what parses and still looks like a mistake; it never refuses anything.
//!
//! Each rule is a reading of the tree, without running it, so it may be wrong in either direction: a finding says what to do, and doing it
//! silences the rule. Rules look at claims and HTTP answers that can be missing (D 9: any claim can; D 7.3: a failed call answers `null`),
//! at what a script forgets to return, and at what grows with somebody else's data.

mod globals;
mod lists;
mod paths;
mod presence;
mod returns;
mod schedules;
mod source;

use super::ScriptKind;
use super::tree::{Span, Tree};

/// What is known of a script beside its tree.
#[derive(Debug, Clone, Copy)]
pub struct LintContext<'a> {
    /// What it is written for.
    pub kind: ScriptKind,
    /// A condition's repeat schedules, where known; a header comment `// Needs schedule: 15m` counts as one.
    pub schedules: Option<&'a [String]>,
    /// Names of secrets that were made for it, where known; so count those of a header comment `// Needs secret: NAME`.
    pub secrets: Option<&'a [String]>,
    /// The text as its author wrote it.
    pub source: &'a str,
}

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable name of the rule.
    pub code: &'static str,
    /// Where, when the parser knows.
    pub span: Option<Span>,
    /// What it is and what to do, for a person.
    pub message: String,
}

/// Everything worth a warning, in the order of the text; what has no place comes first.
pub fn lint(tree: &Tree, context: &LintContext<'_>) -> Vec<Finding> {
    let source = source::Source::read(context.source);
    let mut findings = Vec::new();
    presence::check(tree, &mut findings);
    globals::check(tree, &mut findings);
    returns::check(tree, context.kind, &mut findings);
    lists::check(tree, context.kind, &mut findings);
    schedules::check(tree, context, &source, &mut findings);
    source.check_secrets(context.secrets.unwrap_or_default(), &mut findings);
    findings.sort_by_key(|finding| finding.span.map(|span| (span.start, span.end)));
    findings
}
