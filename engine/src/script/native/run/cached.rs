//! What a run finds in the scripts' cache.

use serde_json::Value as Json;

use super::{Bail, Run, Stop, bail, exact};
use crate::script::native::program::Node;
use crate::script::native::value::{Value, travelled};

/// Longest key in bytes, as workers have it.
const MAX_KEY: usize = 1024;
/// Most bytes of JSON text that are read at once, and how many of them cost a step.
const MAX_CACHED: usize = 16 * 1024;
const PER_STEP: usize = 4;

impl<'a> Run<'a, '_> {
    /// `cache.getIfPresent`. What is not there, long, or more than lists of plain values is left to a worker.
    pub(super) fn cached(&mut self, key: &'a Node) -> Result<Value<'a>, Stop> {
        let Value::Text(key) = self.eval(key)? else { return bail("a key of the cache that is no text") };
        let kept = if key.len() <= MAX_KEY { (self.world.cache)(&key) } else { None };
        let Some(text) = kept.filter(|text| text.len() <= MAX_CACHED) else {
            return bail("the cache has nothing that is read here");
        };
        self.spend(text.len() / PER_STEP)?;
        let json = serde_json::from_str(&text).map_err(|_| Stop::Bail(Bail("what the cache keeps is unreadable")))?;
        let value = exact(value(&json))?;
        self.counted(value)
    }
}

/// The value; none for objects, whose members would have to keep their order.
fn value<'a>(json: &Json) -> Option<Value<'a>> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(travelled(number)),
        Json::String(text) => Value::made_text(text.clone()),
        Json::Array(items) => Value::made_list(items.iter().map(value).collect::<Option<_>>()?)?,
        Json::Object(_) => return None,
    })
}
