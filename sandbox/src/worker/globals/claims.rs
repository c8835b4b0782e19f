//! Helpers of the claims, which their prototypes hold out of sight (D 9.4).

use std::net::IpAddr;

use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsValue, js_string};
use ipnet::IpNet;

use super::lists::elements;
use super::{argument, define, host};

/// Helpers of `claims.user`. The manual does not name the one for one-time codes, so it answers to two names (D 35, row 7).
pub(in crate::worker) fn install_user(proto: &JsObject, context: &Context) {
    define(proto, js_string!("hasPassword"), 2, |_, args, context| has_response("password", args, context), context);
    define(proto, js_string!("hasOtp"), 2, |_, args, context| has_response("otp", args, context), context);
    define(proto, js_string!("hasMfa"), 2, |_, args, context| has_response("otp", args, context), context);
    define(proto, js_string!("hasReason"), 2, |_, args, context| has_response("reason", args, context), context);
}

/// Helpers of `claims.device`.
pub(in crate::worker) fn install_device(proto: &JsObject, context: &Context) {
    define(proto, js_string!("isClientInNetwork"), 1, device_in_network, context);
}

/// Helpers of `claims.system`.
pub(in crate::worker) fn install_system(proto: &JsObject, context: &Context) {
    define(proto, js_string!("isClientInNetwork"), 1, system_in_network, context);
    define(proto, js_string!("inTimeRange"), 2, in_time_range, context);
}

fn system_in_network(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let network = network(args, context)?;
    let address = this.to_object(context)?.get(js_string!("clientSrcIP"), context)?;
    Ok(JsValue::from(is_inside(&address, &network)))
}

fn device_in_network(this: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let network = network(args, context)?;
    let addresses = this.to_object(context)?.get(js_string!("clientIPs"), context)?;
    if addresses.is_null_or_undefined() {
        return Ok(JsValue::from(false));
    }
    let inside = elements(&addresses, context)?.iter().any(|address| is_inside(address, &network));
    Ok(JsValue::from(inside))
}

fn network(args: &[JsValue], context: &mut Context) -> JsResult<IpNet> {
    let text = argument(args, 0).to_string(context)?.to_std_string_lossy();
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        JsNativeError::typ().with_message(format!("`{shown}` is not a network such as 10.0.0.0/8")).into()
    })
}

fn is_inside(address: &JsValue, network: &IpNet) -> bool {
    let address = address.as_string().and_then(|text| text.to_std_string_lossy().trim().parse::<IpAddr>().ok());
    address.is_some_and(|address| network.contains(&address.to_canonical()))
}

/// `inTimeRange("22:00", "06:00")`: from the first time of day up to, not including, the second, UTC; over midnight when the second is earlier.
fn in_time_range(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let from = time_of_day(args, 0, context)?;
    let to = time_of_day(args, 1, context)?;
    let now = host(context)?.now_ms.get().div_euclid(60_000).rem_euclid(24 * 60);
    let inside = if from <= to { from <= now && now < to } else { from <= now || now < to };
    Ok(JsValue::from(inside))
}

fn time_of_day(args: &[JsValue], at: usize, context: &mut Context) -> JsResult<i64> {
    let text = argument(args, at).to_string(context)?.to_std_string_lossy();
    let parsed = text
        .split_once(':')
        .and_then(|(hours, minutes)| Some((hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?)));
    match parsed {
        Some((hours, minutes)) if hours < 24 && minutes < 60 => Ok(i64::from(hours) * 60 + i64::from(minutes)),
        _ => {
            let shown: String = text.chars().take(64).collect();
            Err(JsNativeError::typ().with_message(format!("`{shown}` is not a time of day such as 13:30")).into())
        }
    }
}

/// Whether the user answered the remedy of this suffix at most so many minutes ago.
fn has_response(kind: &str, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let suffix = argument(args, 0).to_string(context)?.to_std_string_lossy();
    let minutes = argument(args, 1).to_number(context)?;
    let host = host(context)?;
    let now_secs = host.now_ms.get().div_euclid(1000);
    let found = host.responses.borrow().iter().any(|response| {
        let age = now_secs.saturating_sub(response.at_secs).max(0);
        let age_minutes = f64::from(u32::try_from(age).unwrap_or(u32::MAX)) / 60.0;
        response.kind == kind && response.suffix == suffix && age_minutes <= minutes
    });
    Ok(JsValue::from(found))
}
