//! What names mean while a script is compiled.

use std::collections::BTreeMap;

use super::{Reason, refuse};
use crate::script::lanes::is_reserved_global;
use crate::script::native::program::{FunctionId, Slot};
use crate::script::native::statics::Static;
use crate::script::tree::{ExprKind, Pattern, Target, Tree};
use crate::script::visit::{self, Node};

/// Refuses a script that declares or assigns a name that the language gives a meaning of its own, or mentions `arguments`.
pub(super) fn refuse_names(tree: &Tree) -> Result<(), Reason> {
    let mut found = None;
    visit::statements(&tree.body, &mut |node| match node {
        Node::Expr(expr) => {
            if matches!(&expr.kind, ExprKind::Name(name) if name.as_ref() == "arguments") {
                found.get_or_insert(Some(expr.span));
            }
        }
        Node::Pattern(Pattern::Name(name)) | Node::Target(Target::Name(name)) => {
            if is_special(name) {
                found.get_or_insert(None);
            }
        }
        Node::Function(function) => {
            if function.name.as_deref().is_some_and(is_special) {
                found.get_or_insert(None);
            }
        }
        Node::Stmt(_) | Node::Pattern(_) | Node::Target(_) => {}
    });
    match found {
        None => Ok(()),
        Some(span) => refuse(span, "gives a built-in name another meaning, or uses `arguments`"),
    }
}

fn is_special(name: &str) -> bool {
    is_reserved_global(name)
        || Static::function(name).is_some()
        || matches!(
            name,
            "arguments"
                | "eval"
                | "globalThis"
                | "undefined"
                | "NaN"
                | "Infinity"
                | "Array"
                | "Object"
                | "Math"
                | "Date"
                | "JSON"
        )
}

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    /// The script's claims, which nothing assigns.
    Claims,
    /// A variable.
    Variable(Slot),
    /// A variable that is set once.
    Constant(Slot),
    /// A function; `ready` holds `true` once it is in its variable, and is absent where it always is.
    Function { function: FunctionId, ready: Option<Slot> },
}

/// The scopes around the place that is compiled.
#[derive(Debug)]
pub(super) struct Scopes<'a> {
    open: Vec<BTreeMap<&'a str, Binding>>,
    slots: usize,
    /// How often a name is declared or assigned, anywhere in the script.
    uses: BTreeMap<&'a str, usize>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        let mut uses: BTreeMap<&'a str, usize> = BTreeMap::new();
        let mut count = |name: &'a str| *uses.entry(name).or_default() += 1;
        visit::statements(&tree.body, &mut |node| match node {
            Node::Pattern(Pattern::Name(name)) | Node::Target(Target::Name(name)) => count(name),
            Node::Function(function) => {
                if let Some(name) = &function.name {
                    count(name);
                }
            }
            Node::Expr(_) | Node::Stmt(_) | Node::Pattern(_) | Node::Target(_) => {}
        });
        Self { open: Vec::new(), slots: 0, uses }
    }

    /// Number of variables so far.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn enter(&mut self) {
        self.open.push(BTreeMap::new());
    }

    pub(super) fn leave(&mut self) {
        self.open.pop();
    }

    /// How many scopes are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Leaves scopes until so many are open.
    pub(super) fn leave_to(&mut self, depth: usize) {
        self.open.truncate(depth);
    }

    /// What `name` means here.
    pub(super) fn resolve(&self, name: &str) -> Option<Binding> {
        self.open.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    /// What the innermost scope says of `name`.
    pub(super) fn here(&self, name: &str) -> Option<Binding> {
        self.open.last().and_then(|scope| scope.get(name).copied())
    }

    /// Whether the innermost scope declares `name`.
    pub(super) fn is_here(&self, name: &str) -> bool {
        self.here(name).is_some()
    }

    /// Whether the script declares `name` once and never assigns it.
    pub(super) fn is_single(&self, name: &str) -> bool {
        self.uses.get(name) == Some(&1)
    }

    /// Says what `name` means in the innermost scope.
    pub(super) fn bind(&mut self, name: &'a str, binding: Binding) {
        if let Some(scope) = self.open.last_mut() {
            scope.insert(name, binding);
        }
    }

    /// A variable without a name.
    pub(super) fn unnamed(&mut self) -> Slot {
        self.slots += 1;
        self.slots - 1
    }

    /// Declares a variable in the innermost scope.
    pub(super) fn variable(&mut self, name: &'a str, constant: bool) -> Slot {
        let slot = self.unnamed();
        self.bind(name, if constant { Binding::Constant(slot) } else { Binding::Variable(slot) });
        slot
    }
}
