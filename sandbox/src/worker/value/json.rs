//! JSON text straight into a context: plain mutable objects, lists and values, without a tree in between.
//!
//! The text is read once and every value is new, so a run can do to it what it likes. Nesting is bounded by the reader, at 128.

use std::fmt;
use std::rc::Rc;

use boa_engine::builtins::object::OrdinaryObject;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsObject, JsString, JsValue, js_string};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::ClaimProtos;
use crate::worker::globals::Response;

/// The claims of a run, and what feeds its helpers.
#[derive(Clone)]
pub(in crate::worker) struct RunClaims {
    /// `{user, device, system}`; a dictionary that is missing is empty.
    pub(in crate::worker) value: JsValue,
    pub(in crate::worker) responses: Rc<[Response]>,
}

/// The value that JSON text is; none when it is no JSON.
pub(in crate::worker) fn read_json(text: &[u8], context: &mut Context) -> Option<JsValue> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let value = Anything(context).deserialize(&mut from).ok()?;
    from.end().ok()?;
    Some(value)
}

/// The claims in `text`; none when it is no JSON or a dictionary is none.
pub(super) fn read_claims(text: &[u8], protos: &ClaimProtos, context: &mut Context) -> Option<RunClaims> {
    let mut from = serde_json::Deserializer::from_slice(text);
    let parts = from.deserialize_map(Claims { protos, context }).ok()?;
    from.end().ok()?;
    let claims = JsObject::with_object_proto(context.intrinsics());
    let named = [js_string!("user"), js_string!("device"), js_string!("system")];
    let dictionaries = [(parts.user, &protos.user), (parts.device, &protos.device), (parts.system, &protos.system)];
    for (name, (part, proto)) in named.into_iter().zip(dictionaries) {
        let part = part.unwrap_or_else(|| JsObject::from_proto_and_data(proto.clone(), OrdinaryObject));
        put(&claims, name.into(), part.into());
    }
    Some(RunClaims { value: claims.into(), responses: responses(&parts.responses) })
}

fn put(object: &JsObject, key: PropertyKey, value: JsValue) {
    let property = PropertyDescriptor::builder().value(value).writable(true).enumerable(true).configurable(true);
    object.insert_property(key, property);
}

fn responses(list: &Value) -> Rc<[Response]> {
    let listed = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let response = |each: &Value| {
        Some(Response {
            suffix: each.get("suffix")?.as_str()?.to_owned(),
            kind: each.get("kind")?.as_str()?.to_owned(),
            at_secs: each.get("at")?.as_i64()?,
        })
    };
    listed.iter().filter_map(response).collect()
}

#[derive(Default)]
struct Parts {
    user: Option<JsObject>,
    device: Option<JsObject>,
    system: Option<JsObject>,
    responses: Value,
}

struct Claims<'a> {
    protos: &'a ClaimProtos,
    context: &'a mut Context,
}

impl<'de> Visitor<'de> for Claims<'_> {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
        let Self { protos, context } = self;
        let mut parts = Parts::default();
        while let Some(name) = map.next_key::<Box<str>>()? {
            match &*name {
                "user" => {
                    parts.user = map.next_value_seed(Dictionary { proto: &protos.user, context: &mut *context })?
                }
                "device" => {
                    parts.device = map.next_value_seed(Dictionary { proto: &protos.device, context: &mut *context })?;
                }
                "system" => {
                    parts.system = map.next_value_seed(Dictionary { proto: &protos.system, context: &mut *context })?;
                }
                "responses" => parts.responses = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(parts)
    }
}

/// One of the three dictionaries, on the prototype that holds its helpers.
struct Dictionary<'a> {
    proto: &'a JsObject,
    context: &'a mut Context,
}

impl<'de> DeserializeSeed<'de> for Dictionary<'_> {
    type Value = Option<JsObject>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Dictionary<'_> {
    type Value = Option<JsObject>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dictionary of claims")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let object = JsObject::from_proto_and_data(self.proto.clone(), OrdinaryObject);
        fill(&object, map, self.context)?;
        Ok(Some(object))
    }
}

fn fill<'de, A: MapAccess<'de>>(object: &JsObject, mut map: A, context: &mut Context) -> Result<(), A::Error> {
    while let Some(key) = map.next_key_seed(Key)? {
        let value = map.next_value_seed(Anything(&mut *context))?;
        put(object, key, value);
    }
    Ok(())
}

/// The name of a member.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = PropertyKey;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<PropertyKey, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = PropertyKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<PropertyKey, E> {
        Ok(JsString::from(name).into())
    }
}

/// Any value, made in this context.
struct Anything<'a>(&'a mut Context);

impl<'de> DeserializeSeed<'de> for Anything<'_> {
    type Value = JsValue;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<JsValue, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Anything<'_> {
    type Value = JsValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<JsValue, E> {
        Ok(JsValue::null())
    }

    fn visit_bool<E>(self, value: bool) -> Result<JsValue, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<JsValue, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<JsValue, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<JsValue, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<JsValue, E> {
        Ok(JsString::from(text).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<JsValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Anything(&mut *self.0))? {
            items.push(item);
        }
        Ok(JsArray::from_iter(items, self.0).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<JsValue, A::Error> {
        let object = JsObject::with_object_proto(self.0.intrinsics());
        fill(&object, map, self.0)?;
        Ok(object.into())
    }
}
