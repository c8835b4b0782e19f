//! What scripts find besides the language itself (D 7.2, D 9.4), and what of the language they do not find.
//!
//! Functions here read their own `this` and arguments and the run's [`Host`]; they write only to the run's output and to nothing a later run
//! could find, apart from the appliance's cache, which the supervisor keeps.
//!
//! INVARIANT: what a script hands over is measured before it is copied.

mod audit;
mod cache;
mod claims;
mod encoding;
mod host;
mod http;
mod java;
mod lists;
mod print;

use std::rc::Rc;

use boa_engine::object::FunctionObjectBuilder;
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, NativeFunction, js_string};

pub(super) use claims::{install_device, install_system, install_user};
pub(super) use host::{Host, Response};

/// Adds our globals to a new context and takes away what could tell runs apart, make threads wait, or is no global of the language.
pub(super) fn install(java_members: bool, context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    for name in [
        js_string!("WeakRef"),
        js_string!("FinalizationRegistry"),
        js_string!("Atomics"),
        js_string!("SharedArrayBuffer"),
        js_string!("TypedArray"),
    ] {
        global.delete_property_or_throw(name, context)?;
    }
    let math = global.get(js_string!("Math"), context)?.to_object(context)?;
    define(&math, js_string!("random"), 0, random, context);
    print::install(&global, context);
    http::install(&global, context);
    cache::install(&global, context);
    encoding::install(&global, context);
    audit::install(&global, context);
    lists::install(context);
    if java_members {
        java::install(context);
    }
    Ok(())
}

type Native = fn(&JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>;

/// Defines a function as built-ins have theirs: writable, configurable, not shown by loops.
fn define(object: &JsObject, name: JsString, length: usize, function: Native, context: &Context) {
    let function = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(function))
        .name(name.clone())
        .length(length)
        .build();
    define_value(object, name, function.into());
}

/// Defines a property that loops over the object do not show. The object must be one that no script has seen.
pub(super) fn define_value(object: &JsObject, name: JsString, value: JsValue) {
    let property = PropertyDescriptor::builder().value(value).writable(true).enumerable(false).configurable(true);
    object.insert_property(name, property);
}

fn host(context: &Context) -> JsResult<Rc<Host>> {
    context.get_data::<Rc<Host>>().cloned().ok_or_else(|| JsNativeError::error().with_message("no host").into())
}

fn argument(args: &[JsValue], at: usize) -> JsValue {
    args.get(at).cloned().unwrap_or_default()
}

fn random(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(JsValue::from(host(context)?.next_random()))
}

fn type_error(message: impl Into<std::borrow::Cow<'static, str>>) -> JsError {
    JsNativeError::typ().with_message(message).into()
}

fn range_error(message: impl Into<std::borrow::Cow<'static, str>>) -> JsError {
    JsNativeError::range().with_message(message).into()
}

/// An argument that must be a text of at most `most` bytes; `what` names it in errors. Numbers and booleans become texts.
fn text(value: &JsValue, what: &str, most: usize, context: &mut Context) -> JsResult<String> {
    if value.is_null_or_undefined() {
        return Err(type_error(format!("{what} is missing")));
    }
    if value.is_object() {
        return Err(type_error(format!("{what} must be a text, not an object")));
    }
    let text = value.to_string(context)?;
    let too_long = || range_error(format!("{what} is longer than {most} bytes"));
    if text.len() > most {
        return Err(too_long());
    }
    let text = text.to_std_string_lossy();
    if text.len() > most { Err(too_long()) } else { Ok(text) }
}
