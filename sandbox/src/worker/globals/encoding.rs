//! `atob` and `btoa`, with the meaning they have in browsers ([Base64 utility methods]).
//!
//! [Base64 utility methods]: https://html.spec.whatwg.org/multipage/webappapis.html#atob

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use boa_engine::string::JsStr;
use boa_engine::{Context, JsError, JsNativeError, JsObject, JsResult, JsString, JsValue, js_string};

use super::{argument, define, range_error};

/// Longest text either takes, in characters.
const MAX_TEXT: usize = 2 * 1024 * 1024;

/// Padding is looked at before; bits that the last character has too many do not matter.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

pub(super) fn install(global: &JsObject, context: &Context) {
    define(global, js_string!("atob"), 1, atob, context);
    define(global, js_string!("btoa"), 1, btoa, context);
}

fn btoa(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = bounded(args, context)?;
    let bytes: Option<Vec<u8>> = text.iter().map(|unit| u8::try_from(unit).ok()).collect();
    let bytes = bytes.ok_or_else(|| invalid("btoa: the text has characters beyond Latin-1"))?;
    Ok(JsString::from(STANDARD.encode(bytes).as_str()).into())
}

fn atob(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let not_base64 = || invalid("atob: the text is not Base64");
    let text = bounded(args, context)?;
    let blanks = [9_u16, 10, 12, 13, 32];
    let units = text.iter().filter(|unit| !blanks.contains(unit));
    let mut units = units.map(|unit| u8::try_from(unit).ok()).collect::<Option<Vec<u8>>>().ok_or_else(not_base64)?;
    if units.len() % 4 == 0 {
        for _ in 0..2 {
            units.pop_if(|unit| *unit == b'=');
        }
    }
    let bytes = FORGIVING.decode(&units).map_err(|_| not_base64())?;
    Ok(JsString::from(JsStr::latin1(&bytes)).into())
}

fn bounded(args: &[JsValue], context: &mut Context) -> JsResult<JsString> {
    let text = argument(args, 0).to_string(context)?;
    if text.len() > MAX_TEXT { Err(range_error("the text is longer than 2 MiB")) } else { Ok(text) }
}

fn invalid(message: &'static str) -> JsError {
    JsNativeError::error().with_message(message).into()
}
