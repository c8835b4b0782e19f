//! Values in and out: claims become plain mutable objects, results become JSON in the shape the script's kind promises.
//!
//! Reading a result may run the script's own code (getters, proxies); it happens within the run and its bounds.

mod json;

use boa_engine::object::builtins::JsDate;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsError, JsObject, JsResult, JsValue, js_string};
use engine::script::ScriptKind;
use serde_json::{Map, Number, Value};

use super::globals;
pub(super) use json::{RunClaims, read_json};

/// Deepest nesting of a result.
const MAX_DEPTH: usize = 32;
/// Most values in a result.
const MAX_ELEMENTS: usize = 10_000;
/// Most bytes of text in a result.
const MAX_BYTES: usize = 1024 * 1024;

/// Prototypes of the three dictionaries, which hold their helpers out of sight (D 9.4).
pub(super) struct ClaimProtos {
    user: JsObject,
    device: JsObject,
    system: JsObject,
}

impl ClaimProtos {
    pub(super) fn new(context: &Context) -> Self {
        let new = || JsObject::with_object_proto(context.intrinsics());
        let protos = Self { user: new(), device: new(), system: new() };
        globals::install_user(&protos.user, context);
        globals::install_device(&protos.device, context);
        globals::install_system(&protos.system, context);
        protos
    }

    /// The claims in this JSON text; none when they cannot be read.
    pub(super) fn claims(&self, text: &[u8], context: &mut Context) -> Option<RunClaims> {
        json::read_claims(text, self, context)
    }
}

/// Why a value is no result.
#[derive(Debug)]
pub(super) enum ResultError {
    /// The value has the wrong type; the text says so.
    Wrong(String),
    /// Reading the value threw.
    Threw(JsError),
}

impl From<JsError> for ResultError {
    fn from(error: JsError) -> Self {
        Self::Threw(error)
    }
}

/// The result of a script of this kind.
pub(super) fn result(value: &JsValue, kind: ScriptKind, context: &mut Context) -> Result<Value, ResultError> {
    let wrong = |wanted: &str| {
        ResultError::Wrong(format!("Expression does not return {wanted}. Received: {}", type_name(value)))
    };
    let mut bounds = Bounds::new(MAX_ELEMENTS, MAX_BYTES);
    match kind {
        ScriptKind::Policy | ScriptKind::Criteria | ScriptKind::Condition => {
            value.as_boolean().map(Value::Bool).ok_or_else(|| wrong("boolean"))
        }
        ScriptKind::Host | ScriptKind::PortOrType => {
            let list = value.as_object().filter(JsObject::is_array).ok_or_else(|| wrong("list"))?;
            list_of(&list, &mut bounds, context, |element, bounds, _| match element_text(element) {
                Some(text) => bounds.text(&text).map(|()| Value::String(text)),
                None => Err(ResultError::Wrong(format!(
                    "List may hold strings and numbers only. Received: {}",
                    type_name(element)
                ))),
            })
        }
        ScriptKind::AppShortcut => {
            let list = value.as_object().filter(JsObject::is_array).ok_or_else(|| wrong("list"))?;
            list_of(&list, &mut bounds, context, |element, bounds, context| {
                match element.as_object().filter(|object| !object.is_array() && !object.is_callable()) {
                    Some(object) => dictionary(&object, 1, bounds, context),
                    None => Err(ResultError::Wrong(format!(
                        "List may hold shortcut objects only. Received: {}",
                        type_name(element)
                    ))),
                }
            })
        }
        ScriptKind::UserClaim => {
            let object =
                value.as_object().filter(|object| is_dictionary(value, object)).ok_or_else(|| wrong("object"))?;
            dictionary(&object, 0, &mut bounds, context)
        }
    }
}

/// What is left of the size a value that leaves a run may have.
pub(super) struct Bounds {
    elements: usize,
    bytes: usize,
    max_elements: usize,
    max_bytes: usize,
}

impl Bounds {
    /// So many values with so many bytes of text in all.
    pub(super) fn new(max_elements: usize, max_bytes: usize) -> Self {
        Self { elements: 0, bytes: 0, max_elements, max_bytes }
    }

    fn element(&mut self, depth: usize) -> Result<(), ResultError> {
        self.elements += 1;
        if depth > MAX_DEPTH {
            return Err(ResultError::Wrong("Result is nested more than 32 deep".to_owned()));
        }
        if self.elements > self.max_elements {
            return Err(ResultError::Wrong(format!("Result has more than {} elements", self.max_elements)));
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ResultError> {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > self.max_bytes {
            let most = match self.max_bytes / 1024 {
                kib if kib >= 1024 => format!("{} MiB", kib / 1024),
                kib => format!("{kib} KiB"),
            };
            return Err(ResultError::Wrong(format!("Result is larger than {most}")));
        }
        Ok(())
    }
}

fn is_dictionary(value: &JsValue, object: &JsObject) -> bool {
    !object.is_array()
        && !object.is_callable()
        && !value.is_promise()
        && !value.is_regexp()
        && JsDate::from_object(object.clone()).is_err()
}

fn list_of(
    list: &JsObject,
    bounds: &mut Bounds,
    context: &mut Context,
    mut convert: impl FnMut(&JsValue, &mut Bounds, &mut Context) -> Result<Value, ResultError>,
) -> Result<Value, ResultError> {
    let length = list.get(js_string!("length"), context)?.to_length(context)?;
    let mut items = Vec::new();
    for at in 0..length {
        bounds.element(0)?;
        let element = list.get(at, context)?;
        items.push(convert(&element, bounds, context)?);
    }
    Ok(Value::Array(items))
}

/// Numbers are the other way to write a port or an address part (D 8).
fn element_text(element: &JsValue) -> Option<String> {
    element
        .as_string()
        .map(|text| text.to_std_string_lossy())
        .or_else(|| element.as_number().filter(|number| number.is_finite()).map(|number| number.to_string()))
}

fn dictionary(
    object: &JsObject,
    depth: usize,
    bounds: &mut Bounds,
    context: &mut Context,
) -> Result<Value, ResultError> {
    let mut members = Map::new();
    for key in object.own_property_keys(context)? {
        bounds.element(depth)?;
        let Some(name) = key_text(&key) else { continue };
        if !is_enumerable(object, &key, context)? {
            continue;
        }
        let value = object.get(key, context)?;
        if let Some(value) = json_of(&value, depth + 1, bounds, context)? {
            bounds.text(&name)?;
            members.insert(name, value);
        }
    }
    Ok(Value::Object(members))
}

fn is_enumerable(object: &JsObject, key: &PropertyKey, context: &mut Context) -> JsResult<bool> {
    let check =
        context.intrinsics().constructors().object().prototype().get(js_string!("propertyIsEnumerable"), context)?;
    match check.as_function() {
        Some(check) => Ok(check.call(&object.clone().into(), &[key.clone().into()], context)?.to_boolean()),
        None => Ok(true),
    }
}

fn key_text(key: &PropertyKey) -> Option<String> {
    match key {
        PropertyKey::String(name) => Some(name.to_std_string_lossy()),
        PropertyKey::Index(at) => Some(at.get().to_string()),
        PropertyKey::Symbol(_) => None,
    }
}

/// The value as JSON; none for what JSON leaves out.
pub(super) fn to_json(
    value: &JsValue,
    bounds: &mut Bounds,
    context: &mut Context,
) -> Result<Option<Value>, ResultError> {
    json_of(value, 0, bounds, context)
}

/// As `JSON.stringify` sees values: functions and `undefined` are absent, dates are texts, numbers that are none are null.
fn json_of(
    value: &JsValue,
    depth: usize,
    bounds: &mut Bounds,
    context: &mut Context,
) -> Result<Option<Value>, ResultError> {
    bounds.element(depth)?;
    if value.is_null() {
        return Ok(Some(Value::Null));
    }
    if let Some(value) = value.as_boolean() {
        return Ok(Some(Value::Bool(value)));
    }
    if let Some(text) = value.as_string() {
        let text = text.to_std_string_lossy();
        bounds.text(&text)?;
        return Ok(Some(Value::String(text)));
    }
    if let Some(number) = value.as_number() {
        return Ok(Some(number_json(number)));
    }
    let Some(object) = value.as_object().filter(|object| !object.is_callable()) else {
        return match value.is_bigint() {
            true => Err(ResultError::Wrong("Result holds a BigInt".to_owned())),
            false => Ok(None),
        };
    };
    if let Ok(date) = JsDate::from_object(object.clone()) {
        let text = date.to_json(context)?;
        return json_of(&text, depth, bounds, context);
    }
    if object.is_array() {
        return list_of(&object, bounds, context, |element, bounds, context| {
            Ok(json_of(element, depth + 1, bounds, context)?.unwrap_or(Value::Null))
        })
        .map(Some);
    }
    dictionary(&object, depth, bounds, context).map(Some)
}

/// Whole numbers stay whole; the largest that a double holds exactly is 2^53.
fn number_json(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, so nothing is cut")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// The name of a value's type in the style of the failure texts of D 7.4.
fn type_name(value: &JsValue) -> &'static str {
    match value.as_object() {
        Some(object) if object.is_array() => "Array",
        Some(object) if object.is_callable() => "Function",
        Some(_) if value.is_promise() => "Promise",
        Some(object) if JsDate::from_object(object.clone()).is_ok() => "Date",
        Some(_) => "Object",
        None if value.is_string() => "String",
        None if value.is_boolean() => "Boolean",
        None if value.is_number() => "Number",
        None if value.is_bigint() => "BigInt",
        None if value.is_symbol() => "Symbol",
        None if value.is_null() => "Null",
        None => "Undefined",
    }
}
