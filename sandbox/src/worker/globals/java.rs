//! The read-only members that Java gives strings and lists and that Nashorn lets scripts call on theirs (D 7.1); a switch, on by default.
//!
//! They stand on the prototypes, hidden from loops, so whatever a script defines under such a name hides them.
//! `contains` and its like compare as `===` does, apart from `NaN`, which is equal to itself.

use boa_engine::object::builtins::JsRegExp;
use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, js_string};

use super::lists::elements;
use super::{argument, define, range_error, type_error};

pub(super) fn install(context: &Context) {
    let strings = context.intrinsics().constructors().string().prototype();
    define(&strings, js_string!("contains"), 1, string_contains, context);
    define(&strings, js_string!("isEmpty"), 0, string_is_empty, context);
    define(&strings, js_string!("equals"), 1, string_equals, context);
    define(&strings, js_string!("equalsIgnoreCase"), 1, string_equals_ignore_case, context);
    define(&strings, js_string!("compareTo"), 1, string_compare, context);
    define(&strings, js_string!("compareToIgnoreCase"), 1, string_compare_ignore_case, context);
    define(&strings, js_string!("matches"), 1, string_matches, context);
    let arrays = context.intrinsics().constructors().array().prototype();
    define(&arrays, js_string!("contains"), 1, list_contains, context);
    define(&arrays, js_string!("containsAll"), 1, list_contains_all, context);
    define(&arrays, js_string!("equals"), 1, list_equals, context);
    define(&arrays, js_string!("get"), 1, list_get, context);
    define(&arrays, js_string!("isEmpty"), 0, list_is_empty, context);
    define(&arrays, js_string!("size"), 0, list_size, context);
}

fn this_text(this: &JsValue, context: &mut Context) -> JsResult<JsString> {
    this.require_object_coercible()?.to_string(context)
}

/// An argument where Java throws when it is null.
fn needed_text(args: &[JsValue], context: &mut Context) -> JsResult<JsString> {
    match argument(args, 0) {
        value if value.is_null_or_undefined() => Err(type_error("the text to compare with is missing")),
        value => value.to_string(context),
    }
}

fn string_contains(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    let part = needed_text(args, context)?;
    Ok(text.index_of(part.as_str(), 0).is_some().into())
}

fn string_is_empty(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(this_text(this, context)?.is_empty().into())
}

/// A text never equals what is no text.
fn string_equals(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    Ok(argument(args, 0).as_string().is_some_and(|other| other == text).into())
}

fn string_equals_ignore_case(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    let other = argument(args, 0);
    if other.is_null_or_undefined() {
        return Ok(false.into());
    }
    let other = other.to_string(context)?;
    Ok((text.len() == other.len() && folded(&text).eq(folded(&other))).into())
}

fn string_compare(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    let other = needed_text(args, context)?;
    Ok(difference(text.iter(), other.iter(), text.len(), other.len()).into())
}

fn string_compare_ignore_case(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    let other = needed_text(args, context)?;
    Ok(difference(folded(&text), folded(&other), text.len(), other.len()).into())
}

/// The difference of the first units that differ, otherwise of the lengths.
fn difference(
    left: impl Iterator<Item = u16>,
    right: impl Iterator<Item = u16>,
    left_length: usize,
    right_length: usize,
) -> f64 {
    let unit = left.zip(right).find(|(left, right)| left != right);
    match unit {
        Some((left, right)) => f64::from(left) - f64::from(right),
        None => length(left_length) - length(right_length),
    }
}

fn length(length: usize) -> f64 {
    f64::from(u32::try_from(length).unwrap_or(u32::MAX))
}

/// Each unit in upper and then lower case, as long as that is one unit.
fn folded(text: &JsString) -> impl Iterator<Item = u16> + '_ {
    text.iter().map(|unit| {
        let Some(char) = char::from_u32(u32::from(unit)) else { return unit };
        let upper = only(char.to_uppercase()).unwrap_or(char);
        // Java lowers the Turkish dotted I to one letter.
        let lower = if upper == '\u{130}' { 'i' } else { only(upper.to_lowercase()).unwrap_or(upper) };
        u16::try_from(u32::from(lower)).unwrap_or(unit)
    })
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

/// Whether the pattern matches the whole text. A leading group of flags such as `(?i)` is understood as Java does.
fn string_matches(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this_text(this, context)?;
    let given = needed_text(args, context)?.to_std_string_lossy();
    let (flags, pattern) = leading_flags(&given);
    let mut js_flags: String = ['i', 's', 'm'].into_iter().filter(|flag| flags.contains(*flag)).collect();
    if pattern.contains("\\p{") || pattern.contains("\\P{") {
        js_flags.push('u');
    }
    let whole = match flags.contains('m') {
        false => format!("^(?:{pattern})$"),
        true => format!("(?<![\\s\\S])(?:{pattern})(?![\\s\\S])"),
    };
    let pattern = JsRegExp::new(JsString::from(whole.as_str()), JsString::from(js_flags.as_str()), context)?;
    Ok(pattern.test(text, context)?.into())
}

/// `("is", rest)` for `(?is)rest`.
fn leading_flags(pattern: &str) -> (&str, &str) {
    let split = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    match split {
        Some((flags, rest)) if !flags.is_empty() && flags.chars().all(|flag| matches!(flag, 'i' | 's' | 'm' | 'u')) => {
            (flags, rest)
        }
        _ => ("", pattern),
    }
}

fn list_contains(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let wanted = argument(args, 0);
    Ok(elements(this, context)?.iter().any(|element| JsValue::same_value_zero(element, &wanted)).into())
}

fn list_contains_all(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(wanted) = list(&argument(args, 0)) else {
        return Err(type_error("containsAll needs a list"));
    };
    let wanted = elements(&wanted, context)?;
    let held = elements(this, context)?;
    let all = wanted.iter().all(|wanted| held.iter().any(|element| JsValue::same_value_zero(element, wanted)));
    Ok(all.into())
}

fn list_equals(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let Some(other) = list(&argument(args, 0)) else {
        return Ok(false.into());
    };
    let (left, right) = (elements(this, context)?, elements(&other, context)?);
    let equal =
        left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| JsValue::same_value_zero(left, right));
    Ok(equal.into())
}

fn list(value: &JsValue) -> Option<JsValue> {
    value.as_object().filter(JsObject::is_array).map(JsValue::from)
}

/// The element at an index; Java throws where there is none.
fn list_get(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let list = this.to_object(context)?;
    let length = list.get(js_string!("length"), context)?.to_length(context)?;
    let index = argument(args, 0).to_integer_or_infinity(context)?.as_integer();
    match index.and_then(|index| u64::try_from(index).ok()).filter(|index| *index < length) {
        Some(index) => list.get(index, context),
        None => Err(range_error(format!("the list has {length} elements and none at this index"))),
    }
}

fn list_is_empty(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok((size(this, context)? == 0).into())
}

fn list_size(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(size(this, context)?.into())
}

fn size(this: &JsValue, context: &mut Context) -> JsResult<u64> {
    this.to_object(context)?.get(js_string!("length"), context)?.to_length(context)
}
