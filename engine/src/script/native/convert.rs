//! Results in the shape that a script's kind promises (D 8); what is none, or too large to be sure, is left to a worker.

use serde_json::{Map, Number, Value as Json};

use super::statics;
use super::texts;
use super::value::{Object, Part, Value, travelled};
use crate::script::ScriptKind;

/// Deepest nesting, most values and most bytes of text of a result that is converted here; all below the bounds of results.
const MAX_DEPTH: usize = 16;
const MAX_VALUES: usize = 5_000;
const MAX_BYTES: usize = 512 * 1024;

/// The result of a script of this kind.
pub(super) fn result(value: &Value<'_>, kind: ScriptKind) -> Option<Json> {
    let mut room = Room { values: MAX_VALUES, bytes: MAX_BYTES };
    match (kind, value) {
        (ScriptKind::Policy | ScriptKind::Criteria | ScriptKind::Condition, Value::Boolean(value)) => {
            Some(Json::Bool(*value))
        }
        (ScriptKind::Host | ScriptKind::PortOrType, Value::List(list)) => {
            list.iter().map(|item| room.name(&item)).collect::<Option<_>>().map(Json::Array)
        }
        (ScriptKind::AppShortcut, Value::List(list)) => {
            list.iter().map(|item| room.dictionary(&item, 1)).collect::<Option<_>>().map(Json::Array)
        }
        (ScriptKind::UserClaim, Value::Object(_)) => room.dictionary(value, 0),
        _ => None,
    }
}

/// What is left of the size a result may have.
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, depth: usize, bytes: usize) -> Option<()> {
        self.values = self.values.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        (depth <= MAX_DEPTH).then_some(())
    }

    /// A host or a port.
    fn name(&mut self, item: &Value<'_>) -> Option<Json> {
        let text = match item {
            Value::Text(text) => (**text).to_owned(),
            Value::Number(number) if number.is_finite() => number.to_string(),
            _ => return None,
        };
        self.take(0, text.len())?;
        Some(Json::String(text))
    }

    fn dictionary(&mut self, value: &Value<'_>, depth: usize) -> Option<Json> {
        let Value::Object(object) = value else { return None };
        let mut members = Map::new();
        // The order of names does not matter here, so names that are numbers are fine.
        match object {
            Object::Claims => return None,
            Object::Part(Part::User | Part::Device | Part::System, None) => {}
            Object::Part(_, Some(map)) | Object::Claim(map) => {
                for (name, value) in *map {
                    self.member(name, &Value::from_claim(value), depth, &mut members)?;
                }
            }
            Object::Made(_) => {
                for (name, value) in statics::members(value)? {
                    self.member(&name, &value, depth, &mut members)?;
                }
            }
        }
        Some(Json::Object(members))
    }

    fn member(&mut self, name: &str, value: &Value<'_>, depth: usize, to: &mut Map<String, Json>) -> Option<()> {
        self.take(depth, name.len())?;
        if !matches!(value, Value::Undefined) {
            let value = self.json(value, depth + 1)?;
            to.insert(name.to_owned(), value);
        }
        Some(())
    }

    /// As `JSON.stringify` sees a value.
    fn json(&mut self, value: &Value<'_>, depth: usize) -> Option<Json> {
        self.take(depth, 0)?;
        Some(match value {
            Value::Uninitialised | Value::Date(_) => return None,
            // Only in lists: objects leave such members out.
            Value::Undefined | Value::Null => Json::Null,
            Value::Boolean(value) => Json::Bool(*value),
            Value::Number(number) => match texts::whole(*number) {
                Some(whole) => Json::from(whole),
                None if number.is_finite() && number.abs() > 9_007_199_254_740_000.0 => return None,
                None => match Number::from_f64(*number) {
                    // A worker's results travel as JSON text too, and reading that may move the last digit.
                    Some(number) => Number::from_f64(travelled(&number)).map(Json::Number)?,
                    None => Json::Null,
                },
            },
            Value::Text(text) => {
                self.take(depth, text.len())?;
                Json::String((**text).to_owned())
            }
            Value::List(list) => {
                list.iter().map(|item| self.json(&item, depth + 1)).collect::<Option<_>>().map(Json::Array)?
            }
            Value::Object(_) => self.dictionary(value, depth)?,
        })
    }
}
