//! What scripts find besides the language itself (D 7.2, D 9.4), and what of the language they do not find.
//!
//! Functions here read their own `this` and arguments and the run's [`Host`]; they write only to the run's output.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use boa_engine::object::FunctionObjectBuilder;
use boa_engine::property::{Attribute, PropertyDescriptor};
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, JsValue, NativeFunction, js_string};
use ipnet::IpNet;

use crate::config::MAX_OUTPUT;

/// Longest list a helper looks at.
const MAX_LIST: u64 = 100_000;

/// What a remedy left, for `hasPassword` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) suffix: String,
    pub(super) kind: String,
    pub(super) at_secs: i64,
}

/// What one run may ask of its host, and what it leaves there.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) now_ms: Cell<i64>,
    pub(super) responses: RefCell<Rc<[Response]>>,
    output: RefCell<String>,
    random: Cell<u64>,
}

impl Host {
    /// Prepares for a run; the same script at the same time draws the same random numbers.
    pub(super) fn begin(&self, now_ms: i64, responses: &Rc<[Response]>, source: &str) {
        self.now_ms.set(now_ms);
        self.responses.replace(Rc::clone(responses));
        self.output.borrow_mut().clear();
        let seed = source
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.random.set((seed ^ now_ms.unsigned_abs()) | 1);
    }

    /// What the run printed.
    pub(super) fn take_output(&self) -> String {
        std::mem::take(&mut *self.output.borrow_mut())
    }

    fn print(&self, line: &str) {
        let mut output = self.output.borrow_mut();
        let room = MAX_OUTPUT.saturating_sub(output.len() + 1);
        if room > 0 {
            output.push_str(line.get(..line.floor_char_boundary(room)).unwrap_or_default());
            output.push('\n');
        }
    }

    fn next_random(&self) -> f64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        let bits = u32::try_from(state >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Adds our globals to a new context and takes away what could tell runs apart or make threads wait.
pub(super) fn install(context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    for name in [
        js_string!("WeakRef"),
        js_string!("FinalizationRegistry"),
        js_string!("Atomics"),
        js_string!("SharedArrayBuffer"),
    ] {
        global.delete_property_or_throw(name, context)?;
    }
    let console = JsObject::with_object_proto(context.intrinsics());
    for name in ["log", "info", "warn", "error", "debug"] {
        define(&console, name, print, context)?;
    }
    define_value(&global, "console", console.into(), context)?;
    define(&global, "print", print, context)?;
    let math = global.get(js_string!("Math"), context)?.to_object(context)?;
    define(&math, "random", random, context)?;
    let strings = context.intrinsics().constructors().string().prototype();
    define(&strings, "containsText", string_contains_text, context)?;
    let arrays = context.intrinsics().constructors().array().prototype();
    define(&arrays, "containsText", array_contains_text, context)
}

/// Helpers of `claims.user`.
pub(super) fn install_user(proto: &JsObject, context: &mut Context) -> JsResult<()> {
    define(proto, "hasPassword", |_, args, context| has_response("password", args, context), context)?;
    define(proto, "hasOtp", |_, args, context| has_response("otp", args, context), context)?;
    define(proto, "hasReason", |_, args, context| has_response("reason", args, context), context)
}

/// Helpers of `claims.device`.
pub(super) fn install_device(proto: &JsObject, context: &mut Context) -> JsResult<()> {
    define(proto, "isClientInNetwork", device_in_network, context)
}

/// Helpers of `claims.system`.
pub(super) fn install_system(proto: &JsObject, context: &mut Context) -> JsResult<()> {
    define(proto, "isClientInNetwork", system_in_network, context)?;
    define(proto, "inTimeRange", in_time_range, context)
}

type Native = fn(&JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>;

fn define(object: &JsObject, name: &str, function: Native, context: &mut Context) -> JsResult<()> {
    let function = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(function))
        .name(JsString::from(name))
        .build();
    define_value(object, name, function.into(), context)
}

/// Defines a property that loops over the object do not show.
pub(super) fn define_value(object: &JsObject, name: &str, value: JsValue, context: &mut Context) -> JsResult<()> {
    let hidden = Attribute::WRITABLE | Attribute::CONFIGURABLE;
    let property = PropertyDescriptor::builder()
        .value(value)
        .writable(hidden.writable())
        .enumerable(hidden.enumerable())
        .configurable(hidden.configurable())
        .build();
    object.define_property_or_throw(JsString::from(name), property, context)?;
    Ok(())
}

fn host(context: &Context) -> JsResult<Rc<Host>> {
    context.get_data::<Rc<Host>>().cloned().ok_or_else(|| JsNativeError::error().with_message("no host").into())
}

fn argument(args: &[JsValue], at: usize) -> JsValue {
    args.get(at).cloned().unwrap_or_default()
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

fn random(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok(JsValue::from(host(context)?.next_random()))
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

fn elements(list: &JsValue, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let list = list.to_object(context)?;
    let length = list.get(js_string!("length"), context)?.to_length(context)?.min(MAX_LIST);
    (0..length).map(|at| list.get(at, context)).collect()
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
