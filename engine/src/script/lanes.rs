//! Decides by reading which lane a script may run in (design: script lanes; docs/decisions/0002-script-lanes.md).
//!
//! A script is *warm* when its tree proves that a run writes nothing that outlives it: no global, no intrinsic object, no claim.
//! Then a compiled function may run again and again in one prepared context, and nobody can tell.
//! This is a whitelist: what is not known to be harmless makes the script *fresh*. It never runs anything and keeps no state.
//!
//! The proof. The run's *own* values are primitives and objects that an expression of this very run made; nothing else can reach those
//! unless it is written somewhere, and only own objects are written:
//! - variables written are declared by the script;
//! - properties are written and deleted, and lists, maps, sets and dates changed in place, only on own values. An assignment to a property
//!   never changes a prototype: it makes a property of the object itself, unless an accessor is found, and those of the language that take
//!   a value, such as `__proto__`, change the object they are used on. Accessors, classes and proxies are not modelled, so a script has none;
//! - functions called are the script's own, criteria that are warm themselves, or built-ins that write nothing but an own value;
//!   built-ins that call back are given only such functions;
//! - a method is trusted by its *name*, so no object may have any other function under the name of a built-in method. Two facts together
//!   would break that: that there is a function among the script's values (it reads a property by a computed name that is no number, or by
//!   the name of a built-in method, or uses a function of its own as a value, or calls a criterion), and that a value which may be
//!   a function is put under such a name or under a computed one. Either alone is harmless; both together are a doubt;
//! - what a computed name answers is never called, kept or handed on unless that name is a number, names put together are not read, and prototypes, constructors and callers are not read by name.
//!
//! The claims are what they were when the run began: a script that gives their name another meaning is in doubt, and so is one that
//! uses `arguments`, which shares its elements with the parameters and exists undeclared.
//!
//! What a call of an own function answers is own when all its returns are; parameters never are.

mod bound;
mod names;
mod scope;
mod walk;

use std::collections::BTreeSet;

use super::tree::{Span, Tree};

pub use names::{is_builtin_member, is_reserved_global};

/// Where a script runs; never visible in its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Our own evaluator, in process: bounded, without I/O, for the part of the language it covers exactly.
    Native,
    /// A prepared context of a worker, shared with other warm scripts.
    Warm,
    /// A context of its own.
    Fresh,
}

impl Lane {
    /// The name used in records, on the command line and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Warm => "warm",
            Self::Fresh => "fresh",
        }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first thing in a script that could not be proved harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Where it stands, when the parser knows.
    pub span: Option<Span>,
    /// What it is, for a person.
    pub what: &'static str,
}

/// What reading a script tells about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Why the script is fresh; nothing when it is warm, given that the criteria it calls are.
    pub doubt: Option<Doubt>,
    /// Criteria scripts it calls by name.
    pub criteria: BTreeSet<Box<str>>,
    /// Claims it names, such as `user.groups`; `user.*` where it takes the whole dictionary and `*` where it takes all of them or
    /// has a part that is not looked into. Nothing that a run may read is missing.
    pub claims: BTreeSet<String>,
}

impl Analysis {
    /// The lane, provided that every script in `criteria` is warm too.
    pub fn lane(&self) -> Lane {
        match self.doubt {
            None => Lane::Warm,
            Some(_) => Lane::Fresh,
        }
    }
}

/// Reads a script; `is_criterion` says which names are criteria scripts it can call.
pub fn analyse(tree: &Tree, is_criterion: &dyn Fn(&str) -> bool) -> Analysis {
    let mut walker = walk::Walker::new(is_criterion);
    walker.script(tree);
    walker.finish()
}
