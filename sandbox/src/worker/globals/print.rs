//! `print` and `console`: one line of the run's output a call.

use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, js_string};

use super::{define, define_value, host};
use crate::config::MAX_OUTPUT;

pub(super) fn install(global: &JsObject, context: &Context) {
    let console = JsObject::with_object_proto(context.intrinsics());
    for name in [js_string!("log"), js_string!("info"), js_string!("warn"), js_string!("error"), js_string!("debug")] {
        define(&console, name, 0, print, context);
    }
    define_value(global, js_string!("console"), console.into());
    define(global, js_string!("print"), 0, print, context);
}

fn print(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let mut line = String::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        let text = if arg.is_symbol() { JsString::from("Symbol()") } else { arg.to_string(context)? };
        if line.len() < MAX_OUTPUT {
            line.push_str(&text.to_std_string_lossy());
        }
    }
    host(context)?.print(&line);
    Ok(JsValue::undefined())
}
