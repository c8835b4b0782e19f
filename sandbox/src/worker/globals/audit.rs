//! `auditLog`: one message for the audit log, meant for sparse use (D 7.2).

use boa_engine::{Context, JsObject, JsResult, JsValue, js_string};

use super::host::mismatched;
use super::{argument, define, host, text};
use crate::wire::{HostCall, HostReply};

/// Longest message, in bytes.
const MAX_TEXT: usize = 4 * 1024;

pub(super) fn install(global: &JsObject, context: &Context) {
    define(global, js_string!("auditLog"), 1, audit_log, context);
}

fn audit_log(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = text(&argument(args, 0), "the audit text", MAX_TEXT, context)?;
    match host(context)?.call(HostCall::Audit { text }, context)? {
        HostReply::Done => Ok(JsValue::undefined()),
        _ => mismatched(),
    }
}
