//! Which expressions assign a variable that they also use.
//!
//! JavaScript says in which order that happens, but engines keep variables where they are until an operator needs them,
//! and some then see what was assigned in between. What does not depend on it is all that runs natively.

use std::collections::BTreeMap;

use crate::script::tree::{Expr, ExprKind, Item, Key, Property, Target, TemplatePart};
use crate::script::visit::{self, Node};

/// Whether anything is assigned in the expression, functions included.
pub(super) fn assigns(expr: &Expr) -> bool {
    let mut found = false;
    visit::expression(expr, &mut |node| found |= matches!(node, Node::Target(_)));
    found
}

/// Whether no variable that a part of the expression assigns is used by another part; functions stand for themselves.
pub(super) fn is_plain(expr: &Expr) -> bool {
    let mut uses = Uses::default();
    match &expr.kind {
        // What the whole assigns comes last.
        ExprKind::Assign { op, target: Target::Name(name), value } => {
            uses.walk(value);
            let used = uses.0.get(name.as_ref());
            return uses.are_plain() && (op.is_none() || used.is_none_or(|used| used.is_only_read()));
        }
        _ => uses.walk(expr),
    }
    uses.are_plain()
}

/// What an expression does with one variable.
#[derive(Default)]
struct Use {
    read: usize,
    assigned: usize,
    updated: usize,
    /// `++x` was met, and then another one.
    prefix: bool,
    after_prefix: bool,
}

impl Use {
    fn is_only_read(&self) -> bool {
        self.assigned == 0 && self.updated == 0
    }

    fn is_plain(&self) -> bool {
        match (self.read, self.assigned, self.updated) {
            (_, 0, 0) | (0, 1, 0) => true,
            (0, 0, _) => !self.after_prefix,
            _ => false,
        }
    }
}

#[derive(Default)]
struct Uses<'t>(BTreeMap<&'t str, Use>);

impl<'t> Uses<'t> {
    fn are_plain(&self) -> bool {
        self.0.values().all(Use::is_plain)
    }

    fn all(&mut self, exprs: &[&'t Expr]) {
        exprs.iter().for_each(|expr| self.walk(expr));
    }

    fn items(&mut self, items: &'t [Item]) {
        for item in items {
            match item {
                Item::One(expr) | Item::Spread(expr) => self.walk(expr),
                Item::Hole => {}
            }
        }
    }

    fn target(&mut self, target: &'t Target) {
        match target {
            Target::Name(_) | Target::Opaque => {}
            Target::Member { object, .. } => self.walk(object),
            Target::Index { object, index } => self.all(&[object, index]),
        }
    }

    fn walk(&mut self, expr: &'t Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.0.entry(name).or_default().read += 1,
            ExprKind::Assign { target, value, .. } => {
                self.target(target);
                if let Target::Name(name) = target {
                    self.0.entry(name).or_default().assigned += 1;
                }
                self.walk(value);
            }
            ExprKind::Update { prefix, target, .. } => {
                self.target(target);
                if let Target::Name(name) = target {
                    let used = self.0.entry(name).or_default();
                    used.updated += 1;
                    used.after_prefix |= used.prefix;
                    used.prefix |= *prefix;
                }
            }
            ExprKind::Template(parts) => {
                for part in parts {
                    if let TemplatePart::Expr(expr) = part {
                        self.walk(expr);
                    }
                }
            }
            ExprKind::Array(items) => self.items(items),
            ExprKind::Object(properties) => {
                for property in properties {
                    match property {
                        Property::Value(Key::Computed(name), value) => self.all(&[name, value]),
                        Property::Value(Key::Name(_), value) | Property::Spread(value) => self.walk(value),
                        Property::Opaque => {}
                    }
                }
            }
            ExprKind::Unary(_, inner) | ExprKind::Chain(inner) => self.walk(inner),
            ExprKind::Binary(_, left, right) | ExprKind::Logical(_, left, right) | ExprKind::Sequence(left, right) => {
                self.all(&[left, right]);
            }
            ExprKind::Delete(target) => self.target(target),
            ExprKind::Conditional { test, then, otherwise } => self.all(&[test, then, otherwise]),
            ExprKind::Call { callee, args, .. } | ExprKind::New { callee, args } => {
                self.walk(callee);
                self.items(args);
            }
            ExprKind::Member { object, .. } => self.walk(object),
            ExprKind::Index { object, index, .. } => self.all(&[object, index]),
            ExprKind::String(_)
            | ExprKind::Number(_)
            | ExprKind::Boolean(_)
            | ExprKind::Null
            | ExprKind::Undefined
            | ExprKind::Regex { .. }
            | ExprKind::Function(_)
            | ExprKind::Opaque => {}
        }
    }
}
