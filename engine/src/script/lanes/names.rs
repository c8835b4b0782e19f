//! The names the lane analyser knows: what is safe to call, and what a criteria script cannot be called.
//!
//! The lists are sorted, so that a look-up is a binary search; a test holds them to it.

/// Whether a method of this name writes nothing that outlives the run, whatever built-in value it is found on.
///
/// Regular expressions are always the run's own, so that `test` and `exec` may move `lastIndex`.
pub(super) fn is_pure_method(name: &str) -> bool {
    PURE_METHODS.binary_search(&name).is_ok()
}

/// Whether a method of this name writes nothing but calls its first argument.
pub(super) fn is_callback_method(name: &str) -> bool {
    CALLBACK_METHODS.binary_search(&name).is_ok()
}

/// Whether a method of this name writes only to the value it is called on, which then must be the run's own.
pub(super) fn is_own_mutator(name: &str) -> bool {
    OWN_MUTATORS.binary_search(&name).is_ok()
}

/// Whether a built-in method of this name answers a new array, a primitive, or nothing that others hold.
pub(super) fn makes_array(name: &str) -> bool {
    ARRAY_MAKERS.binary_search(&name).is_ok()
}

/// Whether a built-in method of this name answers a number.
pub(super) fn makes_number(name: &str) -> bool {
    NUMBER_METHODS.binary_search(&name).is_ok()
}

/// Whether a built-in method of this name answers a primitive or an object that nobody else holds, and no function.
pub(super) fn makes_own(name: &str) -> bool {
    (is_pure_method(name) && !matches!(name, "at" | "get" | "valueOf"))
        || (is_own_mutator(name) && !matches!(name, "pop" | "shift"))
        || makes_array(name)
        || makes_number(name)
        || matches!(name, "every" | "filter" | "flatMap" | "forEach" | "map" | "replace" | "replaceAll" | "some")
}

/// Whether reading a property of this name leads to prototypes, constructors or the caller.
pub(super) fn is_guarded_member(name: &str) -> bool {
    GUARDED_MEMBERS.binary_search(&name).is_ok()
}

/// Whether a built-in object has a function under this name, or looks for one.
pub fn is_builtin_member(name: &str) -> bool {
    is_pure_method(name)
        || is_callback_method(name)
        || is_own_mutator(name)
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

const PURE_METHODS: &[&str] = &[
    "at",
    "charAt",
    "charCodeAt",
    "codePointAt",
    "compareTo",
    "compareToIgnoreCase",
    "concat",
    "contains",
    "containsAll",
    "containsText",
    "endsWith",
    "entries",
    "equals",
    "equalsIgnoreCase",
    "exec",
    "flat",
    "get",
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
    "getYear",
    "has",
    "hasMfa",
    "hasOtp",
    "hasOwnProperty",
    "hasPassword",
    "hasReason",
    "inTimeRange",
    "includes",
    "indexOf",
    "isClientInNetwork",
    "isEmpty",
    "isPrototypeOf",
    "isWellFormed",
    "join",
    "keys",
    "lastIndexOf",
    "localeCompare",
    "match",
    "matchAll",
    "matches",
    "normalize",
    "padEnd",
    "padStart",
    "propertyIsEnumerable",
    "repeat",
    "search",
    "size",
    "slice",
    "split",
    "startsWith",
    "substr",
    "substring",
    "test",
    "toDateString",
    "toExponential",
    "toFixed",
    "toISOString",
    "toJSON",
    "toLowerCase",
    "toPrecision",
    "toReversed",
    "toSpliced",
    "toString",
    "toTimeString",
    "toUTCString",
    "toUpperCase",
    "toWellFormed",
    "trim",
    "trimEnd",
    "trimStart",
    "valueOf",
    "values",
    "with",
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

const OWN_MUTATORS: &[&str] = &[
    "add",
    "clear",
    "copyWithin",
    "delete",
    "fill",
    "pop",
    "push",
    "reverse",
    "set",
    "setDate",
    "setFullYear",
    "setHours",
    "setMilliseconds",
    "setMinutes",
    "setMonth",
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
    "shift",
    "sort",
    "splice",
    "unshift",
];

const ARRAY_MAKERS: &[&str] = &[
    "concat",
    "exec",
    "filter",
    "flat",
    "flatMap",
    "map",
    "match",
    "slice",
    "split",
    "toReversed",
    "toSorted",
    "toSpliced",
    "with",
];

const NUMBER_METHODS: &[&str] = &[
    "charCodeAt",
    "codePointAt",
    "compareTo",
    "compareToIgnoreCase",
    "findIndex",
    "findLastIndex",
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
    "getYear",
    "indexOf",
    "lastIndexOf",
    "localeCompare",
    "push",
    "search",
    "size",
    "unshift",
];

const OTHER_MEMBERS: &[&str] = &[
    "UTC",
    "all",
    "allSettled",
    "anchor",
    "any",
    "apply",
    "asIntN",
    "asUintN",
    "assign",
    "big",
    "bind",
    "blink",
    "bold",
    "call",
    "captureStackTrace",
    "catch",
    "compile",
    "construct",
    "create",
    "defineProperties",
    "defineProperty",
    "deleteProperty",
    "difference",
    "drop",
    "emplace",
    "escape",
    "finally",
    "fixed",
    "fontcolor",
    "fontsize",
    "for",
    "freeze",
    "from",
    "fromAsync",
    "fromCharCode",
    "fromCodePoint",
    "fromEntries",
    "getBigInt64",
    "getBigUint64",
    "getFloat16",
    "getFloat32",
    "getFloat64",
    "getInt16",
    "getInt32",
    "getInt8",
    "getOrInsert",
    "getOrInsertComputed",
    "getOwnPropertyDescriptor",
    "getOwnPropertyDescriptors",
    "getOwnPropertyNames",
    "getOwnPropertySymbols",
    "getPrototypeOf",
    "getUint16",
    "getUint32",
    "getUint8",
    "groupBy",
    "hasOwn",
    "intersection",
    "is",
    "isArray",
    "isDisjointFrom",
    "isError",
    "isExtensible",
    "isFinite",
    "isFrozen",
    "isInteger",
    "isNaN",
    "isRawJSON",
    "isSafeInteger",
    "isSealed",
    "isSubsetOf",
    "isSupersetOf",
    "isView",
    "italics",
    "keyFor",
    "link",
    "next",
    "now",
    "of",
    "ownKeys",
    "parse",
    "parseFloat",
    "parseInt",
    "preventExtensions",
    "race",
    "raw",
    "rawJSON",
    "reject",
    "replace",
    "replaceAll",
    "resize",
    "resolve",
    "return",
    "revocable",
    "seal",
    "setBigInt64",
    "setBigUint64",
    "setFloat16",
    "setFloat32",
    "setFloat64",
    "setInt16",
    "setInt32",
    "setInt8",
    "setPrototypeOf",
    "setUint16",
    "setUint32",
    "setUint8",
    "small",
    "strike",
    "stringify",
    "sub",
    "subarray",
    "sup",
    "symmetricDifference",
    "take",
    "then",
    "throw",
    "toArray",
    "toGMTString",
    "toLocaleDateString",
    "toLocaleLowerCase",
    "toLocaleString",
    "toLocaleTimeString",
    "toLocaleUpperCase",
    "toSorted",
    "toTemporalInstant",
    "transfer",
    "transferToFixedLength",
    "trimLeft",
    "trimRight",
    "try",
    "union",
    "waitAsync",
    "withResolvers",
];

const GUARDED_MEMBERS: &[&str] = &[
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "arguments",
    "callee",
    "caller",
    "constructor",
    "prototype",
    "stack",
];

const PURE_FUNCTIONS: &[&str] = &[
    "Boolean",
    "Number",
    "String",
    "atob",
    "auditLog",
    "btoa",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "httpDelete",
    "httpGet",
    "httpPost",
    "httpPut",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "print",
    "unescape",
];

const PURE_CONSTRUCTORS: &[&str] = &[
    "Array",
    "Date",
    "Error",
    "EvalError",
    "Map",
    "RangeError",
    "ReferenceError",
    "RegExp",
    "Set",
    "SyntaxError",
    "TypeError",
    "URIError",
];

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
            OWN_MUTATORS,
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
    fn no_name_is_both_harmless_and_not() {
        for name in PURE_METHODS.iter().chain(CALLBACK_METHODS) {
            assert!(!is_guarded_member(name) && !is_own_mutator(name), "{name}");
        }
    }
}
