//! Object literals and assignments.

use super::Walker;
use crate::script::lanes::names;
use crate::script::tree::{AssignOp, Expr, Key, Property, Span, Target};

impl Walker<'_> {
    pub(super) fn property(&mut self, property: &Property, span: Span) {
        match property {
            Property::Value(Key::Name(name), value) => {
                self.expr(value);
                self.kept(value);
                if names::is_guarded_member(name) {
                    self.doubt(Some(value.span), "makes an object with a property that built-ins look for");
                } else if names::is_builtin_member(name) {
                    self.slot(value, value.span);
                }
            }
            Property::Value(Key::Computed(key), value) => {
                self.expr(key);
                self.expr(value);
                self.kept(value);
                self.slot(value, value.span);
                self.keyed_slot(key, value, value.span);
            }
            Property::Spread(value) => self.expr(value),
            Property::Opaque => self.opaque(Some(span), "makes an object with accessors"),
        }
    }

    pub(super) fn assign(&mut self, op: Option<AssignOp>, target: &Target, value: &Expr) {
        match target {
            Target::Name(name) => self.assign_variable(op, name, value),
            Target::Member { .. } | Target::Index { .. } => {
                self.expr(value);
                let kept = match op {
                    None => Some(value),
                    Some(AssignOp::Logical(_)) => {
                        self.read_before(target);
                        Some(value)
                    }
                    Some(AssignOp::Binary(_)) => None,
                };
                self.write(target, kept, value.span);
            }
            Target::Opaque => {
                self.expr(value);
                self.opaque(Some(value.span), "assigns a pattern");
            }
        }
    }

    fn assign_variable(&mut self, op: Option<AssignOp>, name: &str, value: &Expr) {
        let Some(id) = self.scopes.resolve(name) else {
            self.expr(value);
            self.doubt(Some(value.span), "assigns a variable it does not declare");
            return;
        };
        match op {
            None | Some(AssignOp::Logical(_)) => self.flow(id, value),
            Some(AssignOp::Binary(op)) => {
                self.expr(value);
                self.note_compound(id, op, value);
            }
        }
    }

    /// What `||=` and its like on a property answer may be what was there.
    fn read_before(&mut self, target: &Target) {
        match target {
            Target::Member { name, .. } => self.foreign |= names::is_builtin_member(name),
            Target::Index { index, .. } => self.key_read(index),
            Target::Name(_) | Target::Opaque => {}
        }
    }
}
