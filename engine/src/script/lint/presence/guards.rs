//! What a test tells when it is true, and when it is false.

use super::Known;
use crate::script::lint::paths::Path;
use crate::script::tree::{BinaryOp, Expr, ExprKind, Item, LogicalOp, UnaryOp};

impl Known {
    /// Paths that are there when `test` is true.
    pub(super) fn when_true(&self, test: &Expr) -> Vec<Path> {
        match &test.kind {
            ExprKind::Logical(LogicalOp::And, left, right) => {
                let mut paths = self.when_true(left);
                paths.extend(self.when_true(right));
                paths
            }
            ExprKind::Logical(LogicalOp::Or, left, right) => {
                let right = self.when_true(right);
                self.when_true(left).into_iter().filter(|path| right.contains(path)).collect()
            }
            ExprKind::Unary(UnaryOp::Not, inner) => self.when_false(inner),
            ExprKind::Binary(op, left, right) => self.compared(*op, left, right, true),
            ExprKind::Call { callee, args, .. } => self.asked(callee, args),
            ExprKind::Assign { value, .. } => self.when_true(value),
            _ => self.touched(test),
        }
    }

    /// Paths that are there when `test` is false.
    pub(super) fn when_false(&self, test: &Expr) -> Vec<Path> {
        match &test.kind {
            ExprKind::Logical(LogicalOp::Or, left, right) => {
                let mut paths = self.when_false(left);
                paths.extend(self.when_false(right));
                paths
            }
            ExprKind::Logical(LogicalOp::And, left, right) => {
                let right = self.when_false(right);
                self.when_false(left).into_iter().filter(|path| right.contains(path)).collect()
            }
            ExprKind::Unary(UnaryOp::Not, inner) => self.when_true(inner),
            ExprKind::Binary(op, left, right) => self.compared(*op, left, right, false),
            _ => Vec::new(),
        }
    }

    /// The path that an expression names or reads below of, which is there when something comes of it.
    fn touched(&self, expr: &Expr) -> Vec<Path> {
        match &expr.kind {
            ExprKind::Chain(inner) => self.touched(inner),
            ExprKind::Name(name) => {
                let mut paths = self.implied.get(name).cloned().unwrap_or_default();
                paths.extend(self.aliases.path(expr));
                paths
            }
            ExprKind::Call { callee, .. } => match &callee.kind {
                ExprKind::Member { object, .. } => self.touched(object),
                _ => Vec::new(),
            },
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => match self.aliases.path(expr) {
                Some(path) => vec![path],
                None => self.touched(object),
            },
            _ => self.aliases.path(expr).into_iter().collect(),
        }
    }

    /// `Array.isArray(path)`, `path.includes(…)`, `claims.user.hasOwnProperty("name")`, `Boolean(path)`.
    fn asked(&self, callee: &Expr, args: &[Item]) -> Vec<Path> {
        let argument = |args: &[Item]| match args {
            [Item::One(only)] => self.aliases.path(only).into_iter().collect(),
            _ => Vec::new(),
        };
        match &callee.kind {
            ExprKind::Name(name) if name.as_ref() == "Boolean" => argument(args),
            ExprKind::Member { object, name, .. } => match (&object.kind, name.as_ref(), args) {
                (ExprKind::Name(global), "isArray", _) if global.as_ref() == "Array" => argument(args),
                (_, "hasOwnProperty", [Item::One(Expr { kind: ExprKind::String(name), .. })]) => {
                    let below = self.aliases.path(object).map(|mut path| {
                        path.push(name.clone());
                        path
                    });
                    below.into_iter().collect()
                }
                _ => self.touched(object),
            },
            _ => Vec::new(),
        }
    }

    /// What a comparison tells that came out as `outcome`.
    fn compared(&self, op: BinaryOp, left: &Expr, right: &Expr, outcome: bool) -> Vec<Path> {
        let equal = match op {
            BinaryOp::Equal | BinaryOp::StrictEqual => outcome,
            BinaryOp::NotEqual | BinaryOp::StrictNotEqual => !outcome,
            BinaryOp::Greater | BinaryOp::GreaterEqual | BinaryOp::Less | BinaryOp::LessEqual if outcome => {
                let mut paths = self.touched(left);
                paths.extend(self.touched(right));
                return paths;
            }
            BinaryOp::In if outcome => return self.named_in(left, right),
            _ => return Vec::new(),
        };
        match (&left.kind, &right.kind) {
            (ExprKind::Unary(UnaryOp::TypeOf, inner), ExprKind::String(name))
            | (ExprKind::String(name), ExprKind::Unary(UnaryOp::TypeOf, inner)) => {
                if equal == (name.as_ref() != "undefined") { self.touched(inner) } else { Vec::new() }
            }
            (_, kind) if is_nothing(kind) => {
                if equal {
                    Vec::new()
                } else {
                    self.touched(left)
                }
            }
            (kind, _) if is_nothing(kind) => {
                if equal {
                    Vec::new()
                } else {
                    self.touched(right)
                }
            }
            (_, kind) if is_something(kind) && equal => self.touched(left),
            (kind, _) if is_something(kind) && equal => self.touched(right),
            _ => Vec::new(),
        }
    }

    /// `"name" in claims.user`
    fn named_in(&self, left: &Expr, right: &Expr) -> Vec<Path> {
        match (&left.kind, self.aliases.path(right)) {
            (ExprKind::String(name), Some(mut path)) => {
                path.push(name.clone());
                vec![path]
            }
            _ => Vec::new(),
        }
    }
}

fn is_nothing(kind: &ExprKind) -> bool {
    match kind {
        ExprKind::Null | ExprKind::Undefined => true,
        ExprKind::Name(name) => name.as_ref() == "undefined",
        _ => false,
    }
}

fn is_something(kind: &ExprKind) -> bool {
    matches!(kind, ExprKind::String(_) | ExprKind::Number(_) | ExprKind::Boolean(_))
}
