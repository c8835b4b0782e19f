//! Puts the values of secrets into the text of a script (D 7.2), and leads places in that text back to the author's.
//!
//! Every UTF-16 unit of a value becomes `\uXXXX`, which means the unit in strings, templates and regular expressions alike
//! and ends none of them, whatever the value is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::facts::NamedSecret;
use crate::config::MAX_SUBSTITUTED;
use crate::secrets::{Origin, Secret, Secrets};

/// Longest value in bytes.
const MAX_VALUE: usize = 16 * 1024;

/// The secrets one run names, by name.
pub(super) type Named = BTreeMap<Box<str>, Secret>;

/// Finds the secrets; the error is what is wrong with one, for a person.
pub(super) fn find<'a>(named: impl Iterator<Item = &'a NamedSecret>, secrets: &Secrets) -> Result<Named, String> {
    let mut found = Named::new();
    for NamedSecret { name, .. } in named {
        let secret = secrets.find(name).ok_or_else(|| format!("there is no secret `{name}` that may be used here"))?;
        if secret.value.len() > MAX_VALUE {
            return Err(format!("the value of secret `{name}` is longer than 16 KiB"));
        }
        found.insert(name.clone(), secret.clone());
    }
    Ok(found)
}

/// Where a run that names these secrets may call; everywhere when none of them says.
pub(super) fn allowed_origins(named: &Named) -> Option<Arc<[Origin]>> {
    let mut lists = named.values().filter_map(|secret| secret.allowed_origins.as_deref());
    let first = lists.next()?;
    let rest: Vec<&[Origin]> = lists.collect();
    Some(first.iter().filter(|origin| rest.iter().all(|list| list.contains(origin))).cloned().collect())
}

/// A text with secrets in it.
pub(super) struct Substituted {
    pub(super) text: Zeroizing<String>,
    shifts: Vec<Shift>,
}

/// One place where the text differs from the author's; columns counted from 1.
#[derive(Debug, Clone, Copy)]
struct Shift {
    line: u32,
    /// Of the first character, in the new text.
    column: u32,
    /// Of the first character, in the author's text.
    author: u32,
    new_width: u32,
    author_width: u32,
}

impl Substituted {
    /// Replaces what `at` names; nothing when the text becomes too long.
    pub(super) fn new(source: &str, at: &[NamedSecret], values: &Named) -> Option<Self> {
        let mut text = Zeroizing::new(String::with_capacity(room(source, at, values)?));
        let mut shifts = Vec::with_capacity(at.len());
        let mut place = Place { line: 1, column: 1 };
        let (mut from, mut shifted) = (0, (1, 0_i64));
        for named in at {
            let before = source.get(from..named.at.start).unwrap_or_default();
            place = place.after(before);
            text.push_str(before);
            if shifted.0 != place.line {
                shifted = (place.line, 0);
            }
            let value = values.get(&named.name).map(|secret| secret.value.as_str()).unwrap_or_default();
            let units = value.encode_utf16().map(|unit| write!(text, "\\u{unit:04x}")).count();
            let new_width = u32::try_from(units.saturating_mul(6)).ok()?;
            let author_width = u32::try_from(source.get(named.at.clone())?.chars().count()).ok()?;
            let column = u32::try_from(i64::from(place.column) + shifted.1).ok()?;
            shifts.push(Shift { line: place.line, column, author: place.column, new_width, author_width });
            shifted.1 += i64::from(new_width) - i64::from(author_width);
            place.column += author_width;
            from = named.at.end;
        }
        text.push_str(source.get(from..).unwrap_or_default());
        Some(Self { text, shifts })
    }

    /// The author's column of a place in this text; a place in a secret is where its name begins.
    pub(super) fn author_column(&self, line: u32, column: u32) -> u32 {
        let before = self.shifts.iter().rfind(|shift| shift.line == line && shift.column <= column);
        match before {
            None => column,
            Some(shift) if column < shift.column + shift.new_width => shift.author,
            Some(shift) => column - (shift.column + shift.new_width) + shift.author + shift.author_width,
        }
    }
}

/// Bytes of the text to come; nothing when they are too many. Room made at once leaves no copies of secrets behind.
fn room(source: &str, at: &[NamedSecret], values: &Named) -> Option<usize> {
    let value = |named: &NamedSecret| {
        values.get(&named.name).map_or(0, |secret| secret.value.encode_utf16().count().saturating_mul(6))
    };
    let size = at.iter().map(value).fold(source.len(), usize::saturating_add);
    (size <= MAX_SUBSTITUTED).then_some(size)
}

/// The author's text with every secret's name replaced by an escaped letter of the same width, so that it parses and no place moves.
pub(super) fn with_dummies(source: &str, at: &[NamedSecret]) -> String {
    let mut text = String::with_capacity(source.len());
    let mut from = 0;
    for named in at {
        text.push_str(source.get(from..named.at.start).unwrap_or_default());
        let width = source.get(named.at.clone()).unwrap_or_default().chars().count();
        let zeros = width.saturating_sub("\\u{78}".len());
        text.push_str("\\u{");
        text.extend(std::iter::repeat_n('0', zeros));
        text.push_str("78}");
        from = named.at.end;
    }
    text.push_str(source.get(from..).unwrap_or_default());
    text
}

#[derive(Debug, Clone, Copy)]
struct Place {
    line: u32,
    column: u32,
}

impl Place {
    fn after(mut self, text: &str) -> Self {
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let ends_line = match char {
                '\n' | '\u{2028}' | '\u{2029}' => true,
                '\r' => chars.peek() != Some(&'\n'),
                _ => false,
            };
            if ends_line {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, name: &str) -> Vec<NamedSecret> {
        let whole = format!("%SECRET:{name}%");
        source
            .match_indices(&whole)
            .map(|(at, _)| NamedSecret { at: at..at + whole.len(), name: name.into() })
            .collect()
    }

    fn secret(value: &str, origins: Option<&[&str]>) -> Secret {
        Secret {
            value: Arc::new(Zeroizing::new(value.to_owned())),
            allowed_origins: origins.map(|list| list.iter().map(|text| Origin::parse(text).unwrap()).collect()),
        }
    }

    #[test]
    fn every_unit_is_escaped_and_places_lead_back() {
        let source = "é\nreturn '%SECRET:A%' + '%SECRET:A%' + x;\n@";
        let values = Named::from([("A".into(), secret("a'\u{1f600}", None))]);
        let new = Substituted::new(source, &named(source, "A"), &values).unwrap();
        let escaped = "\\u0061\\u0027\\ud83d\\ude00";
        assert_eq!(*new.text, format!("é\nreturn '{escaped}' + '{escaped}' + x;\n@"));
        for (at, _) in source.char_indices().filter(|(_, char)| "+x;@".contains(*char)) {
            let expected = Place { line: 1, column: 1 }.after(source.get(..at).unwrap());
            let mut same = new.text.char_indices().filter(|(_, char)| "+x;@".contains(*char));
            let order = source.get(..at).unwrap().chars().filter(|char| "+x;@".contains(*char)).count();
            let (now, _) = same.nth(order).unwrap();
            let place = Place { line: 1, column: 1 }.after(new.text.get(..now).unwrap());
            assert_eq!(place.line, expected.line);
            assert_eq!(new.author_column(place.line, place.column), expected.column, "{}", source.get(at..).unwrap());
        }
        assert_eq!(new.author_column(2, 12), 9);
    }

    #[test]
    fn dummies_move_nothing() {
        let source = "return '%SECRET:A%' + /%SECRET:Bé%/.test(x);";
        let mut at = named(source, "A");
        at.extend(named(source, "Bé"));
        let dummies = with_dummies(source, &at);
        assert_eq!(dummies.chars().count(), source.chars().count());
        assert_eq!(dummies, "return '\\u{000078}' + /\\u{0000078}/.test(x);");
    }

    #[test]
    fn origins_intersect() {
        let named = |lists: &[Option<&[&str]>]| -> Option<Vec<String>> {
            let secrets = lists.iter().enumerate().map(|(at, list)| (at.to_string().into(), secret("v", *list)));
            allowed_origins(&secrets.collect()).map(|list| list.iter().map(ToString::to_string).collect())
        };
        assert_eq!(named(&[None, None]), None);
        assert_eq!(named(&[None, Some(&["https://a.test"])]).unwrap().len(), 1);
        assert_eq!(named(&[Some(&["https://a.test", "https://b.test"]), Some(&["https://b.test"])]).unwrap().len(), 1);
        assert_eq!(named(&[Some(&["https://a.test"]), Some(&["https://b.test"])]).unwrap().len(), 0);
    }

    #[test]
    fn too_long_is_refused() {
        let source = "'%SECRET:A%'".repeat(20);
        let values = Named::from([("A".into(), secret(&"x".repeat(MAX_VALUE), None))]);
        assert!(Substituted::new(&source, &named(&source, "A"), &values).is_none());
        let missing = find(named(&source, "A").iter(), &Secrets::default()).unwrap_err();
        assert!(missing.contains("`A`"), "{missing}");
    }
}
