//! Built-in functions that are called by a global name.

use super::dates;
use super::operators;
use super::texts;
use super::value::{List, Object, Part, Text, Value};

/// A built-in function of the subset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Static {
    Boolean,
    Number,
    String,
    ParseInt,
    ParseFloat,
    IsNan,
    IsFinite,
    IsArray,
    NumberIsInteger,
    NumberIsNan,
    NumberIsFinite,
    Keys,
    Values,
    DateNow,
    DateParse,
    Floor,
    Ceil,
    Trunc,
    Round,
    Abs,
    Max,
    Min,
}

impl Static {
    /// The function of this global name.
    pub(super) fn function(name: &str) -> Option<Self> {
        Some(match name {
            "Boolean" => Self::Boolean,
            "Number" => Self::Number,
            "String" => Self::String,
            "parseInt" => Self::ParseInt,
            "parseFloat" => Self::ParseFloat,
            "isNaN" => Self::IsNan,
            "isFinite" => Self::IsFinite,
            _ => return None,
        })
    }

    /// The function `object.name` of the global `object`.
    pub(super) fn method(object: &str, name: &str) -> Option<Self> {
        Some(match (object, name) {
            ("Array", "isArray") => Self::IsArray,
            ("Number", "isInteger") => Self::NumberIsInteger,
            ("Number", "isNaN") => Self::NumberIsNan,
            ("Number", "isFinite") => Self::NumberIsFinite,
            ("Number", "parseInt") => Self::ParseInt,
            ("Number", "parseFloat") => Self::ParseFloat,
            ("Object", "keys") => Self::Keys,
            ("Object", "values") => Self::Values,
            ("Date", "now") => Self::DateNow,
            ("Date", "parse") => Self::DateParse,
            ("Math", "floor") => Self::Floor,
            ("Math", "ceil") => Self::Ceil,
            ("Math", "trunc") => Self::Trunc,
            ("Math", "round") => Self::Round,
            ("Math", "abs") => Self::Abs,
            ("Math", "max") => Self::Max,
            ("Math", "min") => Self::Min,
            _ => return None,
        })
    }

    /// Whether the answer depends on what the arguments are as texts or numbers, and not on their kind alone.
    pub(super) fn looks(self) -> bool {
        !matches!(
            self,
            Self::Boolean | Self::IsArray | Self::NumberIsInteger | Self::NumberIsNan | Self::NumberIsFinite
        )
    }

    /// Calls it; none where the answer is not exactly known here, or is an exception.
    pub(super) fn call<'a>(self, args: &[Value<'a>], now: f64) -> Option<Value<'a>> {
        let first = args.first().cloned().unwrap_or(Value::Undefined);
        Some(match self {
            Self::Boolean => Value::Boolean(first.truthy()),
            Self::Number if args.is_empty() => Value::Number(0.0),
            Self::Number => Value::Number(operators::number(&first)?),
            Self::String if args.is_empty() => Value::Text(Text::Kept("")),
            Self::String => Value::made_text(operators::text(&first)?),
            Self::ParseInt => {
                match args.get(1) {
                    None | Some(Value::Undefined) => {}
                    Some(Value::Number(radix)) if *radix == 10.0 => {}
                    Some(_) => return None,
                }
                Value::Number(texts::parse_whole(&operators::text(&first)?)?)
            }
            Self::ParseFloat => Value::Number(texts::parse_decimal(&operators::text(&first)?)?),
            Self::IsNan => Value::Boolean(operators::number(&first)?.is_nan()),
            Self::IsFinite => Value::Boolean(operators::number(&first)?.is_finite()),
            Self::IsArray => Value::Boolean(matches!(first, Value::List(_))),
            Self::NumberIsInteger => {
                Value::Boolean(matches!(first, Value::Number(number) if number.is_finite() && number.fract() == 0.0))
            }
            Self::NumberIsNan => Value::Boolean(matches!(first, Value::Number(number) if number.is_nan())),
            Self::NumberIsFinite => Value::Boolean(matches!(first, Value::Number(number) if number.is_finite())),
            Self::Keys => Value::made_list(members(&first)?.into_iter().map(|(name, _)| Value::Text(name)).collect())?,
            Self::Values => Value::made_list(members(&first)?.into_iter().map(|(_, value)| value).collect())?,
            Self::DateNow => Value::Number(now),
            Self::DateParse => match &first {
                Value::Text(text) => Value::Number(dates::parse(text)?),
                _ => return None,
            },
            Self::Floor => Value::Number(operators::number(&first)?.floor()),
            Self::Ceil => Value::Number(operators::number(&first)?.ceil()),
            Self::Trunc => Value::Number(operators::number(&first)?.trunc()),
            Self::Round => Value::Number(round(operators::number(&first)?)),
            Self::Abs => Value::Number(operators::number(&first)?.abs()),
            Self::Max => {
                Value::Number(extreme(args, f64::NEG_INFINITY, |a, b| a > b || (a == b && b.is_sign_negative()))?)
            }
            Self::Min => Value::Number(extreme(args, f64::INFINITY, |a, b| a < b || (a == b && a.is_sign_negative()))?),
        })
    }
}

/// Halves go up, and what rounds to nothing keeps its sign.
fn round(number: f64) -> f64 {
    let floor = number.floor();
    let rounded = if number - floor >= 0.5 { floor + 1.0 } else { floor };
    if rounded == 0.0 && number.is_sign_negative() { -0.0 } else { rounded }
}

fn extreme(args: &[Value<'_>], none: f64, wins: fn(f64, f64) -> bool) -> Option<f64> {
    let mut best = none;
    for arg in args {
        let number = operators::number(arg)?;
        if number.is_nan() {
            // All arguments are looked at, so that one that cannot be a number is not passed over.
            best = f64::NAN;
        } else if !best.is_nan() && wins(number, best) {
            best = number;
        }
    }
    Some(best)
}

/// Names and values in the order in which JavaScript shows them; none when a name is a number, which would come first.
pub(super) fn members<'a>(value: &Value<'a>) -> Option<Vec<(Text<'a>, Value<'a>)>> {
    let Value::Object(object) = value else { return None };
    let listed: Vec<(Text<'a>, Value<'a>)> = match object {
        Object::Claims => return None,
        Object::Part(Part::User | Part::Device | Part::System, None) => Vec::new(),
        Object::Part(_, Some(map)) | Object::Claim(map) => {
            map.iter().map(|(name, value)| (Text::Kept(name), Value::from_claim(value))).collect()
        }
        Object::Made(members) => members.to_vec(),
    };
    let numbered = listed.iter().any(|(name, _)| name.starts_with(|char: char| char.is_ascii_digit()));
    (!numbered).then_some(listed)
}

/// Elements of a value that a spread takes apart.
pub(super) fn elements<'a>(value: &Value<'a>) -> Option<List<'a>> {
    match value {
        Value::List(list) => Some(list.clone()),
        _ => None,
    }
}
