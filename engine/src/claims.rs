//! Claims: facts about user, device and system that scripts read (D 9). Device claims are reported by the device and
//! never become more than that.

mod reads;

use serde_json::{Map, Value};

pub use reads::Reads;

/// The three dictionaries a script sees as `claims`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// From the identity provider, its scripts, and the remedies the user answered.
    pub user: Map<String, Value>,
    /// Reported by the device; untrusted.
    pub device: Map<String, Value>,
    /// Observed by the appliance that evaluates.
    pub system: Map<String, Value>,
}

impl Claims {
    /// The value handed to scripts: `{user, device, system}`.
    pub fn to_value(&self) -> Value {
        let mut all = Map::new();
        all.insert("user".to_owned(), Value::Object(self.user.clone()));
        all.insert("device".to_owned(), Value::Object(self.device.clone()));
        all.insert("system".to_owned(), Value::Object(self.system.clone()));
        Value::Object(all)
    }
}

/// Most bytes one token's claims may take as JSON; field reports speak of 28 to 40 KB in all (D 3).
pub const MAX_CLAIMS_BYTES: usize = 256 * 1024;

/// Nesting allowed in claims.
pub const MAX_CLAIMS_DEPTH: usize = 16;

/// Whether reported claims stay within the bounds of size and depth.
pub fn within_bounds(claims: &Map<String, Value>) -> bool {
    fn measure(value: &Value, depth: usize, left: &mut usize) -> bool {
        let own = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 8,
            Value::String(text) => text.len() + 2,
            Value::Array(_) | Value::Object(_) => 2,
        };
        let Some(rest) = left.checked_sub(own) else { return false };
        *left = rest;
        match value {
            Value::Array(items) => depth > 0 && items.iter().all(|item| measure(item, depth - 1, left)),
            Value::Object(members) => {
                depth > 0
                    && members.iter().all(|(key, item)| {
                        let Some(rest) = left.checked_sub(key.len() + 4) else { return false };
                        *left = rest;
                        measure(item, depth - 1, left)
                    })
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
    }
    let mut left = MAX_CLAIMS_BYTES;
    claims.iter().all(|(key, value)| {
        let Some(rest) = left.checked_sub(key.len() + 4) else { return false };
        left = rest;
        measure(value, MAX_CLAIMS_DEPTH, &mut left)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("not an object") };
        map
    }

    #[test]
    fn bounds_hold_size_and_depth() {
        assert!(within_bounds(&object(json!({"os": {"family": "linux"}, "clientIPs": ["10.0.0.1"]}))));
        assert!(!within_bounds(&object(json!({"x": "y".repeat(MAX_CLAIMS_BYTES)}))));
        let mut deep = json!(1);
        for _ in 0..MAX_CLAIMS_DEPTH + 2 {
            deep = json!([deep]);
        }
        assert!(!within_bounds(&object(json!({"deep": deep}))));
    }
}
