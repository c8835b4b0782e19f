//! The names the lane analyser knows: what is safe to call, and what a criteria script cannot be called.
//!
//! The lists are sorted, so that a look-up is a binary search; a test holds them to it.

mod lists;
mod methods;

use lists::{GUARDED_MEMBERS, MATH_FUNCTIONS, OTHER_MEMBERS, PURE_CONSTRUCTORS, PURE_FUNCTIONS, RESERVED_GLOBALS};

pub(super) use methods::{Answer, Effect, method};

/// Whether reading a property of this name leads to prototypes, constructors or the caller.
pub(super) fn is_guarded_member(name: &str) -> bool {
    GUARDED_MEMBERS.binary_search(&name).is_ok()
}

/// Whether a built-in object has a function under this name, or looks for one.
pub fn is_builtin_member(name: &str) -> bool {
    method(name).is_some()
        || is_guarded_member(name)
        || OTHER_MEMBERS.binary_search(&name).is_ok()
        || MATH_FUNCTIONS.binary_search(&name).is_ok()
}

/// Whether the global function of this name writes nothing and calls nothing it is given.
pub(super) fn is_pure_function(name: &str) -> bool {
    PURE_FUNCTIONS.binary_search(&name).is_ok()
}

/// Whether `new` on this global makes an object without calling anything it is given.
pub(super) fn is_pure_constructor(name: &str) -> bool {
    PURE_CONSTRUCTORS.binary_search(&name).is_ok()
}

/// Whether this global can stand right of `instanceof`.
pub(super) fn is_known_class(name: &str) -> bool {
    is_pure_constructor(name) || matches!(name, "Boolean" | "Function" | "Number" | "Object" | "String")
}

/// Whether `object.name(…)` on the global `object` writes nothing and calls nothing it is given.
pub(super) fn is_pure_static(object: &str, name: &str) -> bool {
    match object {
        "Math" => MATH_FUNCTIONS.binary_search(&name).is_ok(),
        "JSON" => matches!(name, "parse" | "stringify"),
        "Object" => matches!(name, "entries" | "getOwnPropertyNames" | "hasOwn" | "is" | "keys" | "values"),
        "Array" => matches!(name, "isArray" | "of"),
        "cache" => matches!(name, "getIfPresent" | "put"),
        "Number" => matches!(name, "isFinite" | "isInteger" | "isNaN" | "isSafeInteger" | "parseFloat" | "parseInt"),
        "String" => matches!(name, "fromCharCode" | "fromCodePoint"),
        "Date" => matches!(name, "UTC" | "now" | "parse"),
        "console" => matches!(name, "debug" | "error" | "info" | "log" | "warn"),
        _ => false,
    }
}

/// Whether `object.name` on the global `object` is a plain number.
pub(super) fn is_static_constant(object: &str, name: &str) -> bool {
    match object {
        "Math" => matches!(name, "E" | "LN10" | "LN2" | "LOG10E" | "LOG2E" | "PI" | "SQRT1_2" | "SQRT2"),
        "Number" => matches!(
            name,
            "EPSILON"
                | "MAX_SAFE_INTEGER"
                | "MAX_VALUE"
                | "MIN_SAFE_INTEGER"
                | "MIN_VALUE"
                | "NEGATIVE_INFINITY"
                | "NaN"
                | "POSITIVE_INFINITY"
        ),
        _ => false,
    }
}

/// Whether the script API or the language owns this global name, so that no criteria script can be called by it.
pub fn is_reserved_global(name: &str) -> bool {
    RESERVED_GLOBALS.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::methods::METHODS;
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in
            [OTHER_MEMBERS, GUARDED_MEMBERS, PURE_FUNCTIONS, PURE_CONSTRUCTORS, MATH_FUNCTIONS, RESERVED_GLOBALS]
        {
            assert!(list.is_sorted(), "{list:?}");
        }
        assert!(METHODS.is_sorted_by_key(|(name, ..)| name));
    }

    #[test]
    fn no_name_is_both_harmless_and_not() {
        for (name, ..) in METHODS {
            assert!(!is_guarded_member(name) && !OTHER_MEMBERS.contains(name), "{name}");
        }
    }
}
