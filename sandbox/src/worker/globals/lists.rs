//! `containsText` on strings and lists, as the criteria builder writes it (D 7.2).

use boa_engine::{Context, JsResult, JsValue, js_string};

use super::{argument, define};

/// Longest list a helper looks at.
const MAX_LIST: u64 = 100_000;

pub(super) fn install(context: &Context) {
    let strings = context.intrinsics().constructors().string().prototype();
    define(&strings, js_string!("containsText"), 1, string_contains_text, context);
    let arrays = context.intrinsics().constructors().array().prototype();
    define(&arrays, js_string!("containsText"), 1, array_contains_text, context);
}

fn string_contains_text(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = this.require_object_coercible()?.to_string(context)?;
    let part = argument(args, 0).to_string(context)?;
    Ok(JsValue::from(text.index_of(part.as_str(), 0).is_some()))
}

fn array_contains_text(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let part = argument(args, 0).to_string(context)?;
    for element in elements(this, context)? {
        if element.is_null_or_undefined() {
            continue;
        }
        if element.to_string(context)?.index_of(part.as_str(), 0).is_some() {
            return Ok(JsValue::from(true));
        }
    }
    Ok(JsValue::from(false))
}

/// The elements of a list, or of anything that looks like one.
pub(super) fn elements(list: &JsValue, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let list = list.to_object(context)?;
    let length = list.get(js_string!("length"), context)?.to_length(context)?.min(MAX_LIST);
    (0..length).map(|at| list.get(at, context)).collect()
}
