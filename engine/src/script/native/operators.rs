//! Operators and conversions; `None` wherever the answer is not exactly known here, or is an exception.

use std::cmp::Ordering;

use super::methods::has_own;
use super::texts;
use super::value::Value;
use crate::script::tree::BinaryOp;

/// Most bytes one text may have.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// The text of a value, as template literals and `+` make it.
pub(super) fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(_) => list_text(value, 4),
        _ => primitive_text(value),
    }
}

fn primitive_text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Undefined => Some("undefined".to_owned()),
        Value::Null => Some("null".to_owned()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Number(number) => texts::of_number(*number),
        Value::Text(text) => Some((**text).to_owned()),
        Value::Object(object) if !has_own(object, "toString") && !has_own(object, "valueOf") => {
            Some("[object Object]".to_owned())
        }
        Value::Uninitialised | Value::List(_) | Value::Object(_) | Value::Date(_) => None,
    }
}

/// The value without an object around it, as comparisons want it.
fn primitive<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::List(_) | Value::Object(_) => Some(Value::made_text(text(value)?)),
        Value::Date(time) => Some(Value::Number(*time)),
        _ => Some(value.clone()),
    }
}

/// A list's elements with commas between; what is missing is empty.
fn list_text(value: &Value<'_>, levels: usize) -> Option<String> {
    let Value::List(list) = value else { return primitive_text(value) };
    join(list.iter(), ",", levels)
}

/// Elements with `separator` between.
pub(super) fn join<'a>(items: impl Iterator<Item = Value<'a>>, separator: &str, levels: usize) -> Option<String> {
    let mut joined = String::new();
    for (at, item) in items.enumerate() {
        if at > 0 {
            joined.push_str(separator);
        }
        if !item.is_nullish() {
            joined.push_str(&list_text(&item, levels.checked_sub(1)?)?);
        }
        if joined.len() > MAX_TEXT {
            return None;
        }
    }
    Some(joined)
}

/// The number of a value, as arithmetic takes it.
pub(super) fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Undefined => Some(f64::NAN),
        Value::Null => Some(0.0),
        Value::Boolean(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) => Some(*number),
        Value::Text(text) => texts::number(text),
        Value::Date(time) => Some(*time),
        Value::List(_) | Value::Object(_) => texts::number(&text(value)?),
        Value::Uninitialised => None,
    }
}

/// `===`
pub(super) fn strictly_equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    Some(match (left, right) {
        (Value::Uninitialised, _) | (_, Value::Uninitialised) => return None,
        (Value::Undefined, Value::Undefined) | (Value::Null, Value::Null) => true,
        (Value::Boolean(left), Value::Boolean(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => **left == **right,
        (Value::List(left), Value::List(right)) => return left.is(right),
        (Value::Object(left), Value::Object(right)) => left.is(right),
        // Which date is which is not kept.
        (Value::Date(_), Value::Date(_)) => return None,
        _ => false,
    })
}

/// `==`
pub(super) fn loosely_equal(left: &Value<'_>, right: &Value<'_>) -> Option<bool> {
    match (left, right) {
        (Value::Uninitialised, _) | (_, Value::Uninitialised) => None,
        _ if left.is_nullish() || right.is_nullish() => Some(left.is_nullish() && right.is_nullish()),
        _ if left.is_object() && right.is_object() => strictly_equal(left, right),
        // A date would be compared as a text.
        (Value::Date(_), _) | (_, Value::Date(_)) => None,
        _ if left.is_object() => loosely_equal(&primitive(left)?, right),
        _ if right.is_object() => loosely_equal(left, &primitive(right)?),
        (Value::Text(_), Value::Text(_)) | (Value::Boolean(_), Value::Boolean(_)) => strictly_equal(left, right),
        _ => Some(number(left)? == number(right)?),
    }
}

/// Any operator with two operands that the subset has.
pub(super) fn binary<'a>(op: BinaryOp, left: &Value<'a>, right: &Value<'a>) -> Option<Value<'a>> {
    match op {
        BinaryOp::Add => add(left, right),
        BinaryOp::Sub => Some(Value::Number(number(left)? - number(right)?)),
        BinaryOp::Mul => Some(Value::Number(number(left)? * number(right)?)),
        BinaryOp::Div => Some(Value::Number(number(left)? / number(right)?)),
        BinaryOp::Rem => Some(Value::Number(number(left)? % number(right)?)),
        BinaryOp::Equal => loosely_equal(left, right).map(Value::Boolean),
        BinaryOp::NotEqual => loosely_equal(left, right).map(|equal| Value::Boolean(!equal)),
        BinaryOp::StrictEqual => strictly_equal(left, right).map(Value::Boolean),
        BinaryOp::StrictNotEqual => strictly_equal(left, right).map(|equal| Value::Boolean(!equal)),
        BinaryOp::Less => ordered(left, right, |order| order == Ordering::Less),
        BinaryOp::LessEqual => ordered(left, right, |order| order != Ordering::Greater),
        BinaryOp::Greater => ordered(left, right, |order| order == Ordering::Greater),
        BinaryOp::GreaterEqual => ordered(left, right, |order| order != Ordering::Less),
        BinaryOp::Exp
        | BinaryOp::BitAnd
        | BinaryOp::BitOr
        | BinaryOp::BitXor
        | BinaryOp::Shl
        | BinaryOp::Shr
        | BinaryOp::UShr
        | BinaryOp::In
        | BinaryOp::InstanceOf => None,
    }
}

fn add<'a>(left: &Value<'a>, right: &Value<'a>) -> Option<Value<'a>> {
    let is_text = |value: &Value<'_>| matches!(value, Value::Text(_) | Value::List(_) | Value::Object(_));
    if is_text(left) || is_text(right) {
        let mut sum = text(left)?;
        sum.push_str(&text(right)?);
        return (sum.len() <= MAX_TEXT).then(|| Value::made_text(sum));
    }
    // A date is added as a text.
    if left.is_object() || right.is_object() {
        return None;
    }
    Some(Value::Number(number(left)? + number(right)?))
}

/// A comparison; with something that is no number it is false.
fn ordered<'a>(left: &Value<'_>, right: &Value<'_>, wanted: fn(Ordering) -> bool) -> Option<Value<'a>> {
    let order = match (&primitive(left)?, &primitive(right)?) {
        (Value::Text(left), Value::Text(right)) => Some(texts::compare(left, right)),
        (left, right) => number(left)?.partial_cmp(&number(right)?),
    };
    Some(Value::Boolean(order.is_some_and(wanted)))
}

/// The answer of `typeof`.
pub(super) fn type_of(value: &Value<'_>) -> Option<&'static str> {
    match value {
        Value::Uninitialised => None,
        Value::Undefined => Some("undefined"),
        Value::Boolean(_) => Some("boolean"),
        Value::Number(_) => Some("number"),
        Value::Text(_) => Some("string"),
        Value::Null | Value::List(_) | Value::Object(_) | Value::Date(_) => Some("object"),
    }
}
