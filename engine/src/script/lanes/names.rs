//! The names the lane analyser knows: what is safe to call, and what a criteria script cannot be called.
//!
//! The lists are sorted, so that a look-up is a binary search; a test holds them to it.

/// Whether a method of this name writes nothing, whatever built-in or script-defined value it is found on.
pub(super) fn is_pure_method(name: &str) -> bool {
    PURE_METHODS.binary_search(&name).is_ok()
}

/// Whether a method of this name writes nothing but calls its first argument.
pub(super) fn is_callback_method(name: &str) -> bool {
    CALLBACK_METHODS.binary_search(&name).is_ok()
}

/// Whether a method of this name writes only to the array it is called on.
pub(super) fn is_array_mutator(name: &str) -> bool {
    ARRAY_MUTATORS.binary_search(&name).is_ok()
}

/// Whether a built-in method of this name answers a new array, or no array at all.
pub(super) fn makes_array(name: &str) -> bool {
    ARRAY_MAKERS.binary_search(&name).is_ok()
}

/// Whether reading a property of this name could hand out something that writes, or the way to it.
pub(super) fn is_guarded_member(name: &str) -> bool {
    GUARDED_MEMBERS.binary_search(&name).is_ok() || is_array_mutator(name)
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
    is_pure_constructor(name) || matches!(name, "Array" | "Boolean" | "Function" | "Number" | "Object" | "String")
}

/// Whether `object.name(…)` on the global `object` writes nothing and calls nothing it is given.
pub(super) fn is_pure_static(object: &str, name: &str) -> bool {
    match object {
        "Math" => MATH_FUNCTIONS.binary_search(&name).is_ok(),
        "JSON" => matches!(name, "parse" | "stringify"),
        "Object" => matches!(name, "entries" | "hasOwn" | "is" | "keys" | "values"),
        "Array" => matches!(name, "isArray" | "of"),
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

const PURE_METHODS: &[&str] = &[
    "at",
    "charAt",
    "charCodeAt",
    "codePointAt",
    "concat",
    "containsText",
    "endsWith",
    "entries",
    "flat",
    "getDate",
    "getDay",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "getTime",
    "getTimezoneOffset",
    "getUTCDate",
    "getUTCDay",
    "getUTCFullYear",
    "getUTCHours",
    "getUTCMilliseconds",
    "getUTCMinutes",
    "getUTCMonth",
    "getUTCSeconds",
    "has",
    "hasOtp",
    "hasOwnProperty",
    "hasPassword",
    "hasReason",
    "inTimeRange",
    "includes",
    "indexOf",
    "isClientInNetwork",
    "join",
    "keys",
    "lastIndexOf",
    "match",
    "padEnd",
    "padStart",
    "repeat",
    "search",
    "slice",
    "split",
    "startsWith",
    "substr",
    "substring",
    "test",
    "toFixed",
    "toISOString",
    "toJSON",
    "toLowerCase",
    "toString",
    "toUpperCase",
    "trim",
    "trimEnd",
    "trimStart",
    "valueOf",
    "values",
];

const CALLBACK_METHODS: &[&str] = &[
    "every",
    "filter",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "flatMap",
    "forEach",
    "map",
    "reduce",
    "reduceRight",
    "some",
];

const ARRAY_MUTATORS: &[&str] = &["pop", "push", "reverse", "shift", "sort", "splice", "unshift"];

const ARRAY_MAKERS: &[&str] = &["concat", "filter", "flat", "flatMap", "map", "slice", "split"];

const GUARDED_MEMBERS: &[&str] = &[
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "add",
    "apply",
    "arguments",
    "assign",
    "bind",
    "call",
    "callee",
    "caller",
    "clear",
    "compile",
    "constructor",
    "copyWithin",
    "create",
    "defineProperties",
    "defineProperty",
    "delete",
    "deleteProperty",
    "exec",
    "fill",
    "for",
    "freeze",
    "from",
    "get",
    "next",
    "preventExtensions",
    "prototype",
    "raw",
    "return",
    "seal",
    "set",
    "setDate",
    "setFullYear",
    "setHours",
    "setMilliseconds",
    "setMinutes",
    "setMonth",
    "setPrototypeOf",
    "setSeconds",
    "setTime",
    "setUTCDate",
    "setUTCFullYear",
    "setUTCHours",
    "setUTCMilliseconds",
    "setUTCMinutes",
    "setUTCMonth",
    "setUTCSeconds",
    "setYear",
    "stack",
    "throw",
];

const PURE_FUNCTIONS: &[&str] = &[
    "Boolean",
    "Number",
    "String",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "print",
    "unescape",
];

const PURE_CONSTRUCTORS: &[&str] = &["Date", "Error", "RangeError", "RegExp", "Set", "TypeError"];

const MATH_FUNCTIONS: &[&str] = &[
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clz32", "cos", "cosh", "exp",
    "expm1", "floor", "fround", "hypot", "imul", "log", "log10", "log1p", "log2", "max", "min", "pow", "round", "sign",
    "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
];

const RESERVED_GLOBALS: &[&str] = &[
    "AggregateError",
    "Array",
    "ArrayBuffer",
    "AsyncFunction",
    "AsyncIterator",
    "Atomics",
    "BigInt",
    "BigInt64Array",
    "BigUint64Array",
    "Boolean",
    "DataView",
    "Date",
    "Error",
    "EvalError",
    "FinalizationRegistry",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "Function",
    "Infinity",
    "Int16Array",
    "Int32Array",
    "Int8Array",
    "Intl",
    "Iterator",
    "JSON",
    "Java",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "SharedArrayBuffer",
    "String",
    "Symbol",
    "SyntaxError",
    "Temporal",
    "TypeError",
    "TypedArray",
    "URIError",
    "Uint16Array",
    "Uint32Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "WeakMap",
    "WeakRef",
    "WeakSet",
    "arguments",
    "atob",
    "auditLog",
    "btoa",
    "cache",
    "claims",
    "console",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "eval",
    "globalThis",
    "httpDelete",
    "httpGet",
    "httpPost",
    "httpPut",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "print",
    "undefined",
    "unescape",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [
            PURE_METHODS,
            CALLBACK_METHODS,
            ARRAY_MUTATORS,
            ARRAY_MAKERS,
            GUARDED_MEMBERS,
            PURE_FUNCTIONS,
            PURE_CONSTRUCTORS,
            MATH_FUNCTIONS,
            RESERVED_GLOBALS,
        ] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn nothing_pure_is_guarded() {
        for name in PURE_METHODS.iter().chain(CALLBACK_METHODS) {
            assert!(!is_guarded_member(name), "{name}");
        }
    }
}
