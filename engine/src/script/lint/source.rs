//! What only the text shows: comments, and the secrets named in it. Rule `unused-secret`.

use std::collections::BTreeSet;

use super::Finding;

/// The text with its comments apart.
pub(super) struct Source<'a> {
    comments: Vec<&'a str>,
    /// Names of secrets outside comments.
    used: BTreeSet<&'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let comments = comments(text);
        let in_comments: usize = comments.iter().map(|comment| secrets(comment).count()).sum();
        let mut left = in_comments;
        let mut used: Vec<&str> = secrets(text).collect();
        for name in comments.iter().flat_map(|comment| secrets(comment)) {
            if let Some(at) = used.iter().position(|known| *known == name).filter(|_| left > 0) {
                used.remove(at);
                left -= 1;
            }
        }
        Self { comments, used: used.into_iter().collect() }
    }

    pub(super) fn names_a_schedule(&self) -> bool {
        self.header("schedule").next().is_some()
    }

    /// Adds a finding for every secret that was made for the script, or that a comment names, and that nothing uses.
    pub(super) fn check_secrets(&self, made: &[String], findings: &mut Vec<Finding>) {
        let mut named: BTreeSet<&str> = made.iter().map(String::as_str).collect();
        named.extend(self.header("secret"));
        let commented: BTreeSet<&str> = self.comments.iter().flat_map(|comment| secrets(comment)).collect();
        for name in named.iter().filter(|name| !self.used.contains(*name)) {
            let message = format!(
                "the secret `{name}` is said to be needed, but nothing uses it; write `%SECRET:{name}%` where it belongs, or drop it"
            );
            findings.push(Finding { code: "unused-secret", span: None, message });
        }
        for name in commented.iter().filter(|name| !self.used.contains(*name) && !named.contains(*name)) {
            let message = format!(
                "`%SECRET:{name}%` stands in a comment only, and the script still cannot run without that secret; take it out"
            );
            findings.push(Finding { code: "unused-secret", span: None, message });
        }
    }

    /// What comments of the form `Needs WHAT: a, b` list.
    fn header(&self, what: &str) -> impl Iterator<Item = &'a str> {
        let start = format!("needs {what}");
        self.comments.iter().flat_map(|comment| comment.lines()).flat_map(move |line| {
            let line = line.trim_start_matches(['/', '*', ' ', '\t']);
            let matching = line.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(&start));
            let rest = line.get(start.len()..).filter(|_| matching).unwrap_or_default();
            let rest = rest.strip_prefix('s').unwrap_or(rest);
            let names = rest.strip_prefix(':').unwrap_or_default();
            names
                .split(',')
                .filter_map(|name| name.split_whitespace().next())
                .map(|name| name.trim_matches(['`', '.', ';']))
        })
    }
}

/// Names of all secrets in a text.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    text.split("%SECRET:").skip(1).filter_map(|rest| rest.split_once('%')).map(|(name, _)| name)
}

/// Every comment of a script, with its marks; texts and regular expressions are skipped as well as one can without a parser.
fn comments(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    // What stood last tells a division from a regular expression.
    let mut before = ' ';
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if matches!(first, '"' | '\'' | '`') {
            quoted(rest, first)
        } else if first == '/'
            && matches!(before, '(' | ',' | '=' | ':' | '[' | '!' | '&' | '|' | '?' | '{' | ';' | '}' | ' ')
        {
            quoted(rest, '/')
        } else {
            first.len_utf8()
        };
        let piece = rest.get(..length).unwrap_or(rest);
        if piece.starts_with("//") || piece.starts_with("/*") {
            found.push(piece);
        } else if !first.is_whitespace() {
            before = first;
        }
        at += length.max(1);
    }
    found
}

/// Length of a quoted text that starts here, up to its end or the end of the line.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if quote != '`' => return at,
            _ if char == quote => return at + char.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn unused(text: &str, made: &[&str], wanted: &[&str]) {
        let made: Vec<String> = made.iter().map(|&name| name.to_owned()).collect();
        let mut findings = Vec::new();
        Source::read(text).check_secrets(&made, &mut findings);
        let named: Vec<bool> =
            findings.iter().zip(wanted).map(|(finding, name)| finding.message.contains(&format!("`{name}`"))).collect();
        assert!(findings.len() == wanted.len() && named.iter().all(|named| *named), "{text}: {findings:?}");
    }

    #[test]
    fn comments_are_told_from_texts() {
        for (text, wanted) in [
            ("a // b\nc /* d */ e", vec!["// b", "/* d */"]),
            ("'//' + \"/*\" + `// ${1}` // x", vec!["// x"]),
            ("var r = /\\/\\/[/*]/; // y", vec!["// y"]),
            ("a / b // z", vec!["// z"]),
            ("/* open", vec!["/* open"]),
            ("'it\\'s' // q", vec!["// q"]),
        ] {
            assert_eq!(comments(text), wanted, "{text}");
        }
    }

    #[test]
    fn secrets_that_nothing_uses_are_named() {
        unused("// Needs secret: A\nvar x = '%SECRET:A%';", &[], &[]);
        unused("// Needs secrets: A, B\nvar x = '%SECRET:A%';", &[], &["B"]);
        unused("/*\n * Needs secret: A (for the directory)\n */", &[], &["A"]);
        unused("var x = 1;", &["A"], &["A"]);
        unused("var x = 'y'; // %SECRET:A%", &[], &["%SECRET:A%"]);
        unused("// %SECRET:A%\nvar x = '%SECRET:A%';", &[], &[]);
    }

    #[test]
    fn a_header_names_a_schedule() {
        assert!(Source::read("// Needs schedule: 15m\n").names_a_schedule());
        assert!(!Source::read("// a schedule would be good").names_a_schedule());
    }
}
