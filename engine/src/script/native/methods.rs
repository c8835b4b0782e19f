//! Methods of texts, lists, dates and claims.

use std::net::IpAddr;

use ipnet::IpNet;

use super::dates;
use super::operators;
use super::run::{Bail, Callback, LEVELS, PER_STEP, Run, Stop};
use super::texts;
use super::value::{List, Object, Part, Text, Value};

/// Longest list that is looked at.
const MAX_LIST: usize = 10_000;

/// Whether a method of this name is covered for some receiver.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

/// Whether an object that has no property of this name of its own may still answer it.
pub(super) fn is_inherited(name: &str) -> bool {
    name.starts_with("__")
        || matches!(
            name,
            "constructor"
                | "hasMfa"
                | "hasOtp"
                | "hasOwnProperty"
                | "hasPassword"
                | "hasReason"
                | "inTimeRange"
                | "isClientInNetwork"
                | "isPrototypeOf"
                | "propertyIsEnumerable"
                | "toLocaleString"
                | "toString"
                | "valueOf"
        )
}

pub(super) const KNOWN: &[&str] = &[
    "charAt",
    "concat",
    "containsText",
    "endsWith",
    "every",
    "filter",
    "find",
    "findIndex",
    "forEach",
    "getDate",
    "getDay",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "getTime",
    "getUTCDate",
    "getUTCDay",
    "getUTCFullYear",
    "getUTCHours",
    "getUTCMilliseconds",
    "getUTCMinutes",
    "getUTCMonth",
    "getUTCSeconds",
    "hasOtp",
    "hasOwnProperty",
    "hasPassword",
    "hasReason",
    "inTimeRange",
    "includes",
    "indexOf",
    "isClientInNetwork",
    "join",
    "lastIndexOf",
    "map",
    "reduce",
    "replace",
    "slice",
    "some",
    "split",
    "startsWith",
    "substr",
    "substring",
    "toLowerCase",
    "toString",
    "toUpperCase",
    "trim",
    "trimEnd",
    "trimStart",
    "valueOf",
];

fn bail<T>() -> Result<T, Stop> {
    Err(Stop::Bail(Bail("a method that is not exactly covered")))
}

fn exact<T>(answer: Option<T>) -> Result<T, Stop> {
    answer.map_or_else(bail, Ok)
}

impl<'a> Run<'a, '_> {
    pub(super) fn without_callback(
        &mut self,
        object: &Value<'a>,
        name: &str,
        args: &[Value<'a>],
    ) -> Result<Value<'a>, Stop> {
        for arg in args {
            // Lists handed to a list are taken as they are.
            let levels = if matches!(object, Value::List(_)) { 0 } else { LEVELS };
            self.look(arg, levels)?;
        }
        match object {
            Value::Text(text) => {
                self.look(object, 0)?;
                self.text_method(text, name, args)
            }
            Value::List(list) if list.len() <= MAX_LIST => {
                let each = match (name, args) {
                    ("indexOf" | "includes", [Value::Text(wanted)]) => 1 + wanted.len() / PER_STEP,
                    _ => 1,
                };
                self.spend(list.len().saturating_mul(each))?;
                if matches!(name, "containsText" | "join" | "toString") {
                    self.look(object, LEVELS)?;
                }
                exact(list_method(list, name, args))
            }
            Value::Date(time) => exact(date_method(*time, name, args)),
            Value::Object(object) => self.object_method(object, name, args),
            _ => bail(),
        }
    }

    pub(super) fn with_callback(
        &mut self,
        object: &Value<'a>,
        name: &str,
        callback: &Callback,
        args: &[Value<'a>],
    ) -> Result<Value<'a>, Stop> {
        let Value::List(list) = object else { return bail() };
        if list.len() > MAX_LIST {
            return bail();
        }
        match (name, args) {
            ("reduce", [first]) => self.reduce(list, callback, first.clone()),
            ("every" | "filter" | "find" | "findIndex" | "forEach" | "map" | "some", []) => {
                self.each(list, name, callback)
            }
            _ => bail(),
        }
    }

    fn reduce(&mut self, list: &List<'a>, callback: &Callback, first: Value<'a>) -> Result<Value<'a>, Stop> {
        let mut sum = first;
        for (at, item) in list.iter().enumerate() {
            sum = self.call_back(callback, vec![sum, item, index(at), Value::List(list.clone())])?;
        }
        Ok(sum)
    }

    fn each(&mut self, list: &List<'a>, name: &str, callback: &Callback) -> Result<Value<'a>, Stop> {
        let mut kept = Vec::new();
        for (at, item) in list.iter().enumerate() {
            let answer = self.call_back(callback, vec![item.clone(), index(at), Value::List(list.clone())])?;
            match (name, answer.truthy()) {
                ("some", true) => return Ok(Value::Boolean(true)),
                ("every", false) => return Ok(Value::Boolean(false)),
                ("find", true) => return Ok(item),
                ("findIndex", true) => return Ok(index(at)),
                ("filter", true) => kept.push(item),
                ("map", _) => kept.push(answer),
                _ => {}
            }
        }
        Ok(match name {
            "some" => Value::Boolean(false),
            "every" => Value::Boolean(true),
            "findIndex" => Value::Number(-1.0),
            "filter" | "map" => exact(Value::made_list(kept))?,
            _ => Value::Undefined,
        })
    }

    fn text_method(&mut self, text: &Text<'a>, name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
        if let Some(answer) = question(text, name, args) {
            return Ok(answer);
        }
        let made: String = match (name, args) {
            ("toString" | "valueOf", []) => return Ok(Value::Text(text.clone())),
            ("toLowerCase", []) if text.is_ascii() => text.to_ascii_lowercase(),
            ("toUpperCase", []) if text.is_ascii() => text.to_ascii_uppercase(),
            ("trim", []) => text.trim_matches(texts::is_space).to_owned(),
            ("trimStart", []) => text.trim_start_matches(texts::is_space).to_owned(),
            ("trimEnd", []) => text.trim_end_matches(texts::is_space).to_owned(),
            ("charAt" | "slice" | "substr" | "substring", _) => exact(part(text, name, args))?.to_owned(),
            ("replace", [Value::Text(what), Value::Text(by)]) if !by.contains('$') => text.replacen(&**what, by, 1),
            ("concat", _) => {
                let mut whole = (**text).to_owned();
                for arg in args {
                    whole.push_str(&exact(operators::text(arg))?);
                }
                whole
            }
            ("split", [Value::Text(separator)]) if !separator.is_empty() => {
                self.spend(text.len())?;
                let parts = text.split(&**separator).map(|part| Value::made_text(part.to_owned()));
                return exact(Value::made_list(parts.collect()));
            }
            _ => return bail(),
        };
        // The caller counts what was made.
        Ok(Value::made_text(made))
    }

    fn object_method(&mut self, object: &Object<'a>, name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
        if !matches!(self.own(object, name)?, Value::Undefined) {
            return bail();
        }
        match (object, name, args) {
            (_, "hasOwnProperty", [Value::Text(name)]) => {
                self.search(object, name)?;
                Ok(Value::Boolean(has_own(object, name)))
            }
            (Object::Part(Part::User, _), "hasPassword", [Value::Text(suffix), Value::Number(minutes)]) => {
                Ok(Value::Boolean(self.has_response("password", suffix, *minutes)?))
            }
            (Object::Part(Part::User, _), "hasOtp", [Value::Text(suffix), Value::Number(minutes)]) => {
                Ok(Value::Boolean(self.has_response("otp", suffix, *minutes)?))
            }
            (Object::Part(Part::User, _), "hasReason", [Value::Text(suffix), Value::Number(minutes)]) => {
                Ok(Value::Boolean(self.has_response("reason", suffix, *minutes)?))
            }
            (Object::Part(Part::System, _), "inTimeRange", [Value::Text(from), Value::Text(to)]) => {
                let (from, to) = (exact(time_of_day(from))?, exact(time_of_day(to))?);
                let now = self.world.now_ms.div_euclid(60_000).rem_euclid(24 * 60);
                let inside = if from <= to { from <= now && now < to } else { from <= now || now < to };
                Ok(Value::Boolean(inside))
            }
            (Object::Part(Part::System, _), "isClientInNetwork", [Value::Text(network)]) => {
                let network = exact(parse_network(network))?;
                let address = self.own(object, "clientSrcIP")?;
                self.look(&address, 0)?;
                Ok(Value::Boolean(is_inside(&address, &network)))
            }
            (Object::Part(Part::Device, _), "isClientInNetwork", [Value::Text(network)]) => {
                let network = exact(parse_network(network))?;
                let addresses = self.own(object, "clientIPs")?;
                self.look(&addresses, 1)?;
                match addresses {
                    Value::Undefined | Value::Null => Ok(Value::Boolean(false)),
                    Value::List(list) => Ok(Value::Boolean(list.iter().any(|each| is_inside(&each, &network)))),
                    _ => bail(),
                }
            }
            _ => bail(),
        }
    }

    /// Whether the user answered the remedy of this suffix at most so many minutes ago (D 9.4).
    fn has_response(&mut self, kind: &str, suffix: &str, minutes: f64) -> Result<bool, Stop> {
        let listed = self.world.claims.get("responses").and_then(serde_json::Value::as_array);
        let each = 4 + suffix.len() / PER_STEP;
        self.spend(listed.map_or(0, |listed| listed.len().saturating_mul(each)))?;
        let now_secs = self.world.now_ms.div_euclid(1000);
        Ok(listed.into_iter().flatten().any(|response| {
            let text = |name: &str| response.get(name).and_then(serde_json::Value::as_str);
            let Some(at_secs) = response.get("at").and_then(serde_json::Value::as_i64) else { return false };
            let age = now_secs.saturating_sub(at_secs).max(0);
            let age_minutes = f64::from(u32::try_from(age).unwrap_or(u32::MAX)) / 60.0;
            text("kind") == Some(kind) && text("suffix") == Some(suffix) && age_minutes <= minutes
        }))
    }
}

#[expect(clippy::cast_precision_loss, reason = "indices are far below 2^53")]
fn index<'a>(at: usize) -> Value<'a> {
    Value::Number(at as f64)
}

/// Methods that look for a text in a text.
fn question<'a>(text: &str, name: &str, args: &[Value<'a>]) -> Option<Value<'a>> {
    let [Value::Text(part)] = args else { return None };
    Some(match name {
        "indexOf" => texts::find(text, part).map_or(Value::Number(-1.0), index),
        "lastIndexOf" => texts::rfind(text, part).map_or(Value::Number(-1.0), index),
        "includes" | "containsText" => Value::Boolean(text.contains(&**part)),
        "startsWith" => Value::Boolean(text.starts_with(&**part)),
        "endsWith" => Value::Boolean(text.ends_with(&**part)),
        _ => return None,
    })
}

/// The part of a text that `charAt`, `slice`, `substr` and `substring` answer.
fn part<'t>(text: &'t str, name: &str, args: &[Value<'_>]) -> Option<&'t str> {
    let length = texts::units(text);
    let at = |index: usize, missing: i64| match args.get(index) {
        None | Some(Value::Undefined) => Some(missing),
        Some(Value::Number(number)) => texts::whole(number.trunc()),
        Some(_) => None,
    };
    let signed = i64::try_from(length).ok()?;
    let clamp = |number: i64| usize::try_from(number.clamp(0, signed)).ok();
    let from_end = |number: i64| clamp(if number < 0 { signed.saturating_add(number) } else { number });
    if args.len() > 2 {
        return None;
    }
    match name {
        "charAt" => {
            let at = usize::try_from(at(0, 0)?).ok().filter(|at| *at < length);
            at.map_or(Some(""), |at| texts::slice(text, at, at.saturating_add(1)))
        }
        "substring" => {
            let (from, to) = (clamp(at(0, 0)?)?, clamp(at(1, signed)?)?);
            texts::slice(text, from.min(to), from.max(to))
        }
        "slice" => {
            let (from, to) = (from_end(at(0, 0)?)?, from_end(at(1, signed)?)?);
            if from < to { texts::slice(text, from, to) } else { Some("") }
        }
        "substr" => {
            let from = from_end(at(0, 0)?)?;
            let count = clamp(at(1, signed)?)?;
            texts::slice(text, from, from.saturating_add(count).min(length))
        }
        _ => None,
    }
}

fn list_method<'a>(list: &List<'a>, name: &str, args: &[Value<'a>]) -> Option<Value<'a>> {
    match (name, args) {
        ("indexOf", [wanted]) => {
            for (at, item) in list.iter().enumerate() {
                if operators::strictly_equal(&item, wanted)? {
                    return Some(index(at));
                }
            }
            Some(Value::Number(-1.0))
        }
        ("includes", [wanted]) => {
            let not_a_number = |value: &Value<'_>| matches!(value, Value::Number(number) if number.is_nan());
            for item in list.iter() {
                if operators::strictly_equal(&item, wanted)? || (not_a_number(&item) && not_a_number(wanted)) {
                    return Some(Value::Boolean(true));
                }
            }
            Some(Value::Boolean(false))
        }
        ("containsText", [Value::Text(part)]) => {
            for item in list.iter().filter(|item| !item.is_nullish()) {
                if operators::text(&item)?.contains(&**part) {
                    return Some(Value::Boolean(true));
                }
            }
            Some(Value::Boolean(false))
        }
        ("join", [] | [Value::Undefined]) | ("toString", []) => {
            operators::join(list.iter(), ",", 4).map(Value::made_text)
        }
        ("join", [Value::Text(separator)]) => operators::join(list.iter(), separator, 4).map(Value::made_text),
        ("concat", _) => {
            let mut items: Vec<Value<'a>> = list.iter().collect();
            for arg in args {
                match arg {
                    Value::List(more) if items.len().saturating_add(more.len()) <= MAX_LIST => {
                        items.extend(more.iter())
                    }
                    Value::List(_) => return None,
                    single => items.push(single.clone()),
                }
            }
            Value::made_list(items)
        }
        ("slice", _) => slice(list, args),
        ("valueOf", []) => Some(Value::List(list.clone())),
        _ => None,
    }
}

fn slice<'a>(list: &List<'a>, args: &[Value<'a>]) -> Option<Value<'a>> {
    let length = i64::try_from(list.len()).ok()?;
    let at = |index: usize, missing: i64| match args.get(index) {
        None | Some(Value::Undefined) => Some(missing),
        Some(Value::Number(number)) => {
            let number = texts::whole(number.trunc())?;
            Some(if number < 0 { length.saturating_add(number) } else { number })
        }
        Some(_) => None,
    };
    let (from, to) = (at(0, 0)?.clamp(0, length), at(1, length)?.clamp(0, length));
    let (from, count) = (usize::try_from(from).ok()?, usize::try_from(to.saturating_sub(from)).unwrap_or(0));
    Value::made_list(list.iter().skip(from).take(count).collect())
}

fn date_method<'a>(time: f64, name: &str, args: &[Value<'a>]) -> Option<Value<'a>> {
    if !args.is_empty() {
        return None;
    }
    let parts = dates::parts(time)?;
    let number = match name {
        "getTime" | "valueOf" => return Some(Value::Number(time)),
        "getFullYear" | "getUTCFullYear" => parts.year,
        "getMonth" | "getUTCMonth" => parts.month,
        "getDate" | "getUTCDate" => parts.day,
        "getDay" | "getUTCDay" => parts.weekday,
        "getHours" | "getUTCHours" => parts.hour,
        "getMinutes" | "getUTCMinutes" => parts.minute,
        "getSeconds" | "getUTCSeconds" => parts.second,
        "getMilliseconds" | "getUTCMilliseconds" => parts.millisecond,
        _ => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "parts of a date are small")]
    Some(Value::Number(number as f64))
}

pub(super) fn has_own(object: &Object<'_>, name: &str) -> bool {
    match object {
        Object::Claims => Part::ALL.iter().any(|(known, _)| *known == name),
        Object::Part(_, members) => members.is_some_and(|members| members.contains_key(name)),
        Object::Claim(members) => members.contains_key(name),
        Object::Made(members) => members.iter().any(|(known, _)| **known == *name),
    }
}

/// Minutes since midnight of a text such as `13:30`.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
    (hours < 24 && minutes < 60).then(|| i64::from(hours) * 60 + i64::from(minutes))
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_inside(address: &Value<'_>, network: &IpNet) -> bool {
    match address {
        Value::Text(text) => {
            text.trim().parse::<IpAddr>().is_ok_and(|address| network.contains(&address.to_canonical()))
        }
        _ => false,
    }
}
