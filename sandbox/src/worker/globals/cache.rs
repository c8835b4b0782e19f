//! `cache`: the appliance's memory shared between runs (D 7.2), which lies with the supervisor.
//!
//! Values travel as JSON text, so what one run takes out is never the object another run put in.

use std::time::Duration;

use boa_engine::{Context, JsObject, JsResult, JsValue, js_string};

use super::host::mismatched;
use super::{argument, define, define_value, host, range_error, text, type_error};
use crate::wire::{HostCall, HostReply};
use crate::worker::value::{self, Bounds, ResultError};

/// Longest key, in bytes.
const MAX_KEY: usize = 1024;
/// Largest value, in bytes of JSON text.
const MAX_VALUE: usize = 256 * 1024;
/// Longest time to live asked for; the supervisor has a bound of its own.
const MAX_TTL: f64 = 4_294_967_295.0;

pub(super) fn install(global: &JsObject, context: &Context) {
    let cache = JsObject::with_object_proto(context.intrinsics());
    define(&cache, js_string!("getIfPresent"), 1, get_if_present, context);
    define(&cache, js_string!("put"), 3, put, context);
    define_value(global, js_string!("cache"), cache.into());
}

fn get_if_present(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = text(&argument(args, 0), "the cache key", MAX_KEY, context)?;
    match host(context)?.call(HostCall::CacheGet { key }, context)? {
        HostReply::Nothing => Ok(JsValue::null()),
        // What cannot be read is as good as not there.
        HostReply::Cached(value) => Ok(value::read_json(value.as_bytes(), context).unwrap_or(JsValue::null())),
        _ => mismatched(),
    }
}

fn put(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let key = text(&argument(args, 0), "the cache key", MAX_KEY, context)?;
    let value = json(&argument(args, 1), context)?;
    let seconds = argument(args, 2).to_number(context)?;
    if seconds.is_nan() {
        return Err(type_error("the time to live must be a number of seconds"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds just set")]
    let ttl = Duration::from_secs(seconds.clamp(0.0, MAX_TTL).floor() as u64);
    match host(context)?.call(HostCall::CachePut { key, value, ttl }, context)? {
        HostReply::Done => Ok(JsValue::undefined()),
        _ => mismatched(),
    }
}

fn json(value: &JsValue, context: &mut Context) -> JsResult<String> {
    let converted = value::to_json(value, &mut Bounds::new(MAX_VALUE, MAX_VALUE), context);
    let too_large = || range_error("the value is larger than the cache takes, 256 KiB");
    match converted {
        Ok(Some(json)) => Some(json.to_string()).filter(|text| text.len() <= MAX_VALUE).ok_or_else(too_large),
        Ok(None) => Err(type_error("the cache keeps what JSON can hold; a function or undefined it cannot")),
        Err(ResultError::Threw(error)) => Err(error),
        Err(ResultError::Wrong(text)) => Err(type_error(format!("the cache cannot keep this value: {text}"))),
    }
}
