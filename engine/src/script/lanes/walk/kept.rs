//! What computed names answered, which may be any built-in function: it is looked at, and never kept or handed on.
//!
//! The other rules hold without this one; it keeps such values away from every place where one of them could be wrong.

use super::Walker;
use crate::script::lanes::names;
use crate::script::lanes::scope::{BindingId, Holds};
use crate::script::tree::{AssignOp, Expr, ExprKind, Item, Span, Target};

/// A value that is kept, returned or handed on.
pub(super) struct Kept {
    /// Variables that hold it.
    names: Vec<BindingId>,
    /// Variables in the computed names it was found under.
    keys: Vec<BindingId>,
    span: Span,
}

const WHAT: &str = "hands on what it found under a computed name";

impl Walker<'_> {
    /// Notes a value that others get hold of.
    pub(super) fn kept(&mut self, value: &Expr) {
        let mut kept = Kept { names: Vec::new(), keys: Vec::new(), span: value.span };
        if self.looked_up(value, &mut kept) {
            self.doubt(Some(value.span), WHAT);
        } else if !kept.names.is_empty() || !kept.keys.is_empty() {
            self.kept.push(kept);
        }
    }

    /// Notes a list of values that others get hold of.
    pub(super) fn kept_items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::One(expr) | Item::Spread(expr) => self.kept(expr),
                Item::Hole => {}
            }
        }
    }

    /// Notes that others get hold of what the functions in a variable return.
    pub(super) fn kept_returns(&mut self, function: BindingId, span: Span) {
        let returns = self.returns_of(function);
        self.kept.push(Kept { names: vec![returns], keys: Vec::new(), span });
    }

    /// Notes that a variable holds what a computed name answered, should `value` be that.
    pub(super) fn note_look_up(&mut self, target: BindingId, value: &Expr) {
        let mut kept = Kept { names: Vec::new(), keys: Vec::new(), span: value.span };
        if self.looked_up(value, &mut kept) {
            self.scopes.assign(target, Holds::LOOKED_UP);
        }
        kept.names.into_iter().for_each(|source| self.scopes.copy(target, source));
        kept.keys.into_iter().for_each(|key| self.scopes.element(target, key));
    }

    /// Checks at the end what depends on every assignment.
    pub(super) fn check_kept(&mut self) {
        for kept in std::mem::take(&mut self.kept) {
            let harmless = kept.names.iter().all(|id| self.scopes.holds(*id).named)
                && kept.keys.iter().all(|id| self.scopes.holds(*id).numbers);
            if !harmless {
                self.doubt(Some(kept.span), WHAT);
            }
        }
    }

    /// Whether the value may be what a computed name answered, whatever the variables put into `kept` hold.
    fn looked_up(&mut self, value: &Expr, kept: &mut Kept) -> bool {
        match &value.kind {
            ExprKind::Name(name) => {
                kept.names.extend(self.scopes.resolve(name));
                false
            }
            ExprKind::Conditional { then, otherwise, .. } => {
                self.looked_up(then, kept) || self.looked_up(otherwise, kept)
            }
            ExprKind::Logical(_, left, right) => self.looked_up(left, kept) || self.looked_up(right, kept),
            ExprKind::Sequence(_, value) | ExprKind::Chain(value) | ExprKind::Assign { op: None, value, .. } => {
                self.looked_up(value, kept)
            }
            ExprKind::Assign { op: Some(AssignOp::Logical(_)), target, value } => match target {
                Target::Name(name) => {
                    kept.names.extend(self.scopes.resolve(name));
                    self.looked_up(value, kept)
                }
                Target::Member { .. } | Target::Index { .. } | Target::Opaque => true,
            },
            ExprKind::Index { index, .. } => !self.is_harmless_key(index, &mut kept.keys),
            ExprKind::Member { name, .. } => names::is_builtin_member(name),
            ExprKind::Call { callee, .. } => match &callee.kind {
                ExprKind::Name(name) => match self.own_callee(callee) {
                    Some(function) => {
                        let returns = self.returns_of(function);
                        kept.names.push(returns);
                        false
                    }
                    None => !names::is_reserved_global(name),
                },
                // It answers what it is called on.
                ExprKind::Member { name, .. } => name.as_ref() == "valueOf",
                _ => false,
            },
            _ => false,
        }
    }
}
