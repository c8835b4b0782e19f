//! Texts as JavaScript counts them, in units of UTF-16; an index that falls into the middle of a character has no answer here.

use std::cmp::Ordering;

/// Length in units.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// The byte at which the unit number `unit` starts; none inside a character, the end beyond it.
fn byte_of(text: &str, unit: usize) -> Option<usize> {
    if text.is_ascii() {
        return Some(unit.min(text.len()));
    }
    let mut passed = 0;
    for (at, char) in text.char_indices() {
        if passed >= unit {
            return (passed == unit).then_some(at);
        }
        passed += char.len_utf16();
    }
    (passed <= unit).then_some(text.len())
}

/// The part between two units; none when it would cut a character in two.
pub(super) fn slice(text: &str, from: usize, to: usize) -> Option<&str> {
    text.get(byte_of(text, from)?..byte_of(text, to)?)
}

/// The unit at which `part` is first found.
pub(super) fn find(text: &str, part: &str) -> Option<usize> {
    text.find(part).and_then(|at| text.get(..at)).map(units)
}

/// The unit at which `part` is last found.
pub(super) fn rfind(text: &str, part: &str) -> Option<usize> {
    text.rfind(part).and_then(|at| text.get(..at)).map(units)
}

/// Order by units, which differs from the order of characters beyond the basic plane.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Whether [`trim`](https://tc39.es/ecma262/#sec-trimstring) takes the character away.
pub(super) fn is_space(char: char) -> bool {
    matches!(
        char,
        '\u{9}'..='\u{d}'
            | ' '
            | '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}'
    )
}

/// The number a text stands for, for the spellings that leave no doubt; none for any other, be it a number or not.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_space);
    if text.is_empty() {
        return Some(0.0);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.len() <= 15 && digits.starts_with(|char: char| char.is_ascii_digit());
    if plain && is_decimal(digits) {
        return text.parse().ok();
    }
    // A word of letters only is no number, nor is a text with a mark that no number has.
    let word = text.bytes().all(|byte| byte.is_ascii_alphabetic()) && text != "Infinity";
    let marked = text.contains(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.' | '_')));
    (word || marked).then_some(f64::NAN)
}

fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, rest)) => is_digits(whole) && is_digits(rest),
        None => is_digits(text),
    }
}

/// What `parseInt(text, 10)` answers; none for spellings that are not covered.
pub(super) fn parse_whole(text: &str) -> Option<f64> {
    let text = text.trim_start_matches(is_space);
    let (negative, text) = signed(text);
    if text.starts_with("0x") || text.starts_with("0X") {
        return None;
    }
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let digits = text.get(..end)?;
    match digits.len() {
        0 => Some(f64::NAN),
        1..=15 => digits.parse::<f64>().ok().map(|number| if negative { -number } else { number }),
        _ => None,
    }
}

/// What `parseFloat(text)` answers; none for spellings that are not covered.
pub(super) fn parse_decimal(text: &str) -> Option<f64> {
    let text = text.trim_start_matches(is_space);
    let (negative, text) = signed(text);
    let digits = |text: &str| text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    if whole == 0 {
        // `.5` and `Infinity` are numbers, any other text is none.
        return (!text.starts_with(['.', 'I'])).then_some(f64::NAN);
    }
    let rest = text.get(whole..)?;
    let end = match rest.strip_prefix('.') {
        Some(after) => whole + 1 + digits(after),
        None => whole,
    };
    if text.get(end..)?.starts_with(['e', 'E']) || end > 15 {
        return None;
    }
    let number = text.get(..end)?.trim_end_matches('.').parse::<f64>().ok()?;
    Some(if negative { -number } else { number })
}

fn signed(text: &str) -> (bool, &str) {
    match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (false, text),
    }
}

/// The text of a number; none where JavaScript writes it with an exponent.
pub(super) fn of_number(number: f64) -> Option<String> {
    if number == 0.0 {
        return Some("0".to_owned());
    }
    if number.is_nan() {
        return Some("NaN".to_owned());
    }
    if number.is_infinite() {
        return Some(if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned());
    }
    // Both write the fewest digits that say exactly this number.
    (1e-6..1e21).contains(&number.abs()).then(|| number.to_string())
}

/// The place in a list or text that a number names; none for a number that names something else or nothing.
pub(super) fn index(number: f64) -> Option<usize> {
    whole(number).and_then(|at| usize::try_from(at).ok())
}

/// The whole number below 2^53 that this is.
pub(super) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, so nothing is cut")]
        return Some(number as i64);
    }
    None
}
