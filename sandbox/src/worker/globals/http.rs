//! `httpGet`, `httpPost`, `httpPut`, `httpDelete` (D 7.2, D 7.3): the supervisor makes the call, the script waits.

use std::time::Duration;

use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, js_string};

use super::host::mismatched;
use super::{argument, define, host, range_error, text, type_error};
use crate::http::HttpMethod;
use crate::wire::{HostCall, HostReply, HttpCallWire};

/// Longest URL, in bytes.
const MAX_URL: usize = 8 * 1024;
/// Most headers of a call.
const MAX_HEADERS: u64 = 64;
/// Longest name, longest value of a header, in bytes.
const MAX_HEADER: usize = 8 * 1024;
/// Largest body sent, in bytes.
const MAX_BODY: usize = 1024 * 1024;

pub(super) fn install(global: &JsObject, context: &Context) {
    define(global, js_string!("httpGet"), 1, |_, args, context| without_body(HttpMethod::Get, args, context), context);
    define(
        global,
        js_string!("httpDelete"),
        1,
        |_, args, context| without_body(HttpMethod::Delete, args, context),
        context,
    );
    define(global, js_string!("httpPost"), 2, |_, args, context| with_body(HttpMethod::Post, args, context), context);
    define(global, js_string!("httpPut"), 2, |_, args, context| with_body(HttpMethod::Put, args, context), context);
}

/// `(url[, headers[, timeoutMs]])`
fn without_body(method: HttpMethod, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let call = HttpCallWire {
        method,
        url: text(&argument(args, 0), "the URL", MAX_URL, context)?,
        headers: headers(&argument(args, 1), context)?,
        body: None,
        content_type: None,
        timeout: timeout(&argument(args, 2), context)?,
    };
    answer(call, context)
}

/// `(url, body[, contentType[, headers[, timeoutMs]]])`
fn with_body(method: HttpMethod, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let call = HttpCallWire {
        method,
        url: text(&argument(args, 0), "the URL", MAX_URL, context)?,
        body: optional(&argument(args, 1), "the body", MAX_BODY, context)?,
        content_type: optional(&argument(args, 2), "the content type", MAX_HEADER, context)?,
        headers: headers(&argument(args, 3), context)?,
        timeout: timeout(&argument(args, 4), context)?,
    };
    answer(call, context)
}

fn answer(call: HttpCallWire, context: &mut Context) -> JsResult<JsValue> {
    match host(context)?.call(HostCall::Http(call), context)? {
        HostReply::Nothing => Ok(JsValue::null()),
        HostReply::Http { status, body } => {
            let response = JsObject::with_object_proto(context.intrinsics());
            let data = JsString::from(body.as_str());
            response.create_data_property_or_throw(js_string!("statusCode"), i32::from(status), context)?;
            response.create_data_property_or_throw(js_string!("data"), data, context)?;
            Ok(response.into())
        }
        _ => mismatched(),
    }
}

fn optional(value: &JsValue, what: &str, most: usize, context: &mut Context) -> JsResult<Option<String>> {
    if value.is_null_or_undefined() { Ok(None) } else { text(value, what, most, context).map(Some) }
}

/// A list of `{key, value}`; null and undefined are an empty one.
fn headers(list: &JsValue, context: &mut Context) -> JsResult<Vec<(String, String)>> {
    if list.is_null_or_undefined() {
        return Ok(Vec::new());
    }
    let not_a_list = || type_error("the headers must be a list of { key, value }");
    let list = list.as_object().filter(JsObject::is_array).ok_or_else(not_a_list)?;
    let length = list.get(js_string!("length"), context)?.to_length(context)?;
    if length > MAX_HEADERS {
        return Err(range_error("a call may have 64 headers at most"));
    }
    (0..length)
        .map(|at| {
            let header = list.get(at, context)?.as_object().ok_or_else(not_a_list)?;
            let key = header.get(js_string!("key"), context)?;
            let key = text(&key, "the key of a header", MAX_HEADER, context)?;
            let value = header.get(js_string!("value"), context)?;
            Ok((key, text(&value, "the value of a header", MAX_HEADER, context)?))
        })
        .collect()
}

/// Milliseconds for the whole call; what is not above zero leaves it to the default.
fn timeout(value: &JsValue, context: &mut Context) -> JsResult<Option<Duration>> {
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let millis = value.to_number(context)?;
    if millis.is_nan() {
        return Err(type_error("the timeout must be a number of milliseconds"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds just set")]
    let millis = millis.clamp(0.0, f64::from(u32::MAX)) as u64;
    Ok(Some(millis).filter(|millis| *millis > 0).map(Duration::from_millis))
}
