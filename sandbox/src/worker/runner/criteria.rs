//! The criteria scripts a batch brought along.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use engine::script::ScriptKind;
use engine::script::lanes::is_reserved_global;

use crate::wire::WireScript;

/// Whether scripts of this kind can call criteria (D 8).
pub(crate) fn sees_criteria(kind: ScriptKind) -> bool {
    match kind {
        ScriptKind::Policy | ScriptKind::Criteria => true,
        ScriptKind::Condition
        | ScriptKind::Host
        | ScriptKind::PortOrType
        | ScriptKind::AppShortcut
        | ScriptKind::UserClaim => false,
    }
}

/// Criteria by name; a name that a built-in has cannot be called and is left out.
pub(super) struct Criteria<'a>(HashMap<&'a str, &'a str>);

impl<'a> Criteria<'a> {
    pub(super) fn new(scripts: &[WireScript<'a>]) -> Self {
        Self(
            scripts
                .iter()
                .filter(|script| !is_reserved_global(script.name))
                .map(|script| (script.name, script.source))
                .collect(),
        )
    }

    pub(super) fn source(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    /// Every criterion named anywhere in `source`, and in those in turn.
    pub(super) fn mentioned(&self, source: &str) -> BTreeMap<&'a str, &'a str> {
        let mut found = BTreeMap::new();
        let mut unread: Vec<&str> = vec![source];
        while let Some(text) = unread.pop() {
            for word in words(text) {
                if let Some((name, criterion)) = self.0.get_key_value(&*word)
                    && found.insert(*name, *criterion).is_none()
                {
                    unread.push(criterion);
                }
            }
        }
        found
    }
}

/// Whatever in a text could be a name, also where it is spelt with escapes: `st\u0061ff` is `staff`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let spelt_out = if text.contains("\\u") { unescaped(text) } else { String::new() };
    let escaped: Vec<Cow<'_, str>> = split(&spelt_out).map(|word| Cow::Owned(word.to_owned())).collect();
    split(text).map(Cow::Borrowed).chain(escaped)
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !could_be_of_a_name(char)).filter(|word| !word.is_empty())
}

/// Beyond ASCII everything but blanks may stand in a name, or does not stand beside one.
fn could_be_of_a_name(char: char) -> bool {
    match char.is_ascii() {
        true => char.is_ascii_alphanumeric() || char == '_' || char == '$',
        false => !char.is_whitespace() && char != '\u{feff}',
    }
}

/// The text with `\u0061` and `\u{61}` written out.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split("\\u");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (digits, rest) = match part.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(braced) => braced,
            None => part.split_at_checked(4).unwrap_or((part, "")),
        };
        let char = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        match char {
            Some(char) => {
                out.push(char);
                out.push_str(rest);
            }
            None => {
                out.push(' ');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = words(text).map(Cow::into_owned).collect();
        assert!(expected.iter().all(|word| found.iter().any(|found| found == word)), "{found:?}");
    }

    #[test]
    fn names_are_found_however_they_are_spelt() {
        check("staff(claims)", &["staff", "claims"]);
        check("st\\u0061ff(claims)", &["staff"]);
        check("\\u{73}taff\\u{0000000024}()", &["staff$"]);
        check("'\\u00'; staff()", &["staff"]);
        check("'\\u'", &[]);
        check("caf\u{e9}() + e\u{301}t\u{e9}()", &["caf\u{e9}", "e\u{301}t\u{e9}"]);
        check("a\u{a0}staff\u{2028}b\u{feff}c", &["staff", "b", "c"]);
    }
}
