//! What an expression names: a claim such as `user.groups`, or a variable that holds an HTTP answer.

use std::collections::BTreeMap;

use crate::script::tree::{Expr, ExprKind};

/// Longest path that is followed.
const MAX_NAMES: usize = 8;

/// A path from the claims, `["user", "groups"]`, or a single `@name` for a variable that may be `null`.
pub(super) type Path = Vec<Box<str>>;

/// Variables that stand for a path.
#[derive(Debug, Clone, Default)]
pub(super) struct Aliases(BTreeMap<Box<str>, Path>);

impl Aliases {
    /// What the expression names; nothing for computed names and everything else.
    pub(super) fn path(&self, expr: &Expr) -> Option<Path> {
        match &expr.kind {
            ExprKind::Name(name) if name.as_ref() == "claims" && !self.0.contains_key(name) => Some(Path::new()),
            ExprKind::Name(name) => self.0.get(name).cloned(),
            ExprKind::Member { object, name, .. } => self.below(object, name),
            ExprKind::Index { object, index, .. } => match &index.kind {
                ExprKind::String(name) => self.below(object, name),
                _ => None,
            },
            ExprKind::Chain(inner) => self.path(inner),
            _ => None,
        }
    }

    fn below(&self, object: &Expr, name: &str) -> Option<Path> {
        let mut path = self.path(object)?;
        if path.len() >= MAX_NAMES {
            return None;
        }
        path.push(name.into());
        Some(path)
    }

    /// Notes what was put into a variable.
    pub(super) fn assign(&mut self, name: &str, value: &Expr) {
        let path = match is_http_call(value) {
            true => Some(vec![format!("@{name}").into()]),
            false => self.path(value),
        };
        match path {
            Some(path) => self.0.insert(name.into(), path),
            None => self.0.remove(name),
        };
    }

    /// What a variable stands for.
    pub(super) fn named(&self, name: &str) -> Option<Path> {
        self.0.get(name).cloned()
    }

    /// Forgets a name that is declared anew.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Whether the expression calls `httpGet` or its like.
pub(super) fn is_http_call(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call { callee, .. } => match &callee.kind {
            ExprKind::Name(name) => matches!(name.as_ref(), "httpDelete" | "httpGet" | "httpPost" | "httpPut"),
            _ => false,
        },
        _ => false,
    }
}

/// Whether something of this path may be missing: the three dictionaries never are.
pub(super) fn may_miss(path: &[Box<str>]) -> bool {
    path.len() >= 2 || path.first().is_some_and(|name| name.starts_with('@'))
}
