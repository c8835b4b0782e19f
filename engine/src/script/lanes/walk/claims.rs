//! Property reads, and which claims they name.

use super::Walker;
use crate::script::lanes::names;
use crate::script::tree::{Expr, ExprKind};

/// How many names of a path are kept: `user.labels.team`.
const MAX_PATH: usize = 3;

impl Walker<'_> {
    /// A property read that is not the callee of a call.
    pub(super) fn member(&mut self, expr: &Expr) {
        if let ExprKind::Member { object, name, .. } = &expr.kind
            && let Some(global) = self.global_object(object)
        {
            if !names::is_static_constant(global, name) {
                self.doubt(Some(expr.span), "reads a property of a global object");
            }
            return;
        }
        match self.claims_path(expr) {
            Some(path) => {
                self.claims.insert(if path.contains('.') || path == "*" { path } else { format!("{path}.*") });
                self.member_parts(expr, true);
            }
            None => self.member_parts(expr, false),
        }
    }

    /// The object a method is called on; helpers of the claims read claims of their own.
    pub(super) fn receiver(&mut self, object: &Expr, method: &str) {
        let read = match (self.claims_path(object).as_deref(), method) {
            (Some("system"), "isClientInNetwork") => Some("system.clientSrcIP".to_owned()),
            (Some("device"), "isClientInNetwork") => Some("device.clientIPs".to_owned()),
            (Some("user"), "hasPassword" | "hasOtp" | "hasMfa" | "hasReason") => Some(format!("user.{method}")),
            (Some("system"), "inTimeRange") => {
                self.member_parts(object, true);
                return;
            }
            _ => None,
        };
        match read {
            Some(read) => {
                self.claims.insert(read);
                self.member_parts(object, true);
            }
            None => self.expr(object),
        }
    }

    /// Whether the expression is the script's claims as it got them.
    pub(super) fn is_claims(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Name(name) => {
                // A script that gives the name another meaning is in doubt.
                self.claims_binding.is_some() && self.scopes.resolve(name) == self.claims_binding
            }
            _ => false,
        }
    }

    /// Whether the expression is a part of the claims, which has only built-in methods.
    pub(super) fn is_of_claims(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Chain(inner) => self.is_of_claims(inner),
            _ => self.is_claims(expr) || self.claims_path(expr).is_some(),
        }
    }

    /// Walks the parts of a property read; `recorded` when the path below is recorded already.
    fn member_parts(&mut self, expr: &Expr, recorded: bool) {
        match &expr.kind {
            ExprKind::Member { object, name, .. } => {
                if names::is_guarded_member(name) {
                    self.doubt(Some(expr.span), "reads a property that leads to a writing built-in");
                }
                self.foreign |= names::is_builtin_member(name);
                self.below(object, recorded);
            }
            ExprKind::Index { object, index, .. } => {
                if let ExprKind::String(name) = &index.kind
                    && names::is_guarded_member(name)
                {
                    self.doubt(Some(expr.span), "reads a property that leads to a writing built-in");
                }
                self.expr(index);
                self.key_read(index);
                self.below(object, recorded);
            }
            _ => self.expr(expr),
        }
    }

    fn below(&mut self, object: &Expr, recorded: bool) {
        if recorded && self.is_claims(object) {
            return;
        }
        match &object.kind {
            ExprKind::Member { .. } | ExprKind::Index { .. } if recorded => self.member_parts(object, true),
            _ => self.expr(object),
        }
    }

    /// `user.groups` for `claims.user.groups`; a computed name ends the path.
    fn claims_path(&self, expr: &Expr) -> Option<String> {
        let (object, name) = match &expr.kind {
            ExprKind::Member { object, name, .. } => (object, Some(name.as_ref())),
            ExprKind::Index { object, index, .. } => match &index.kind {
                ExprKind::String(name) => (object, Some(name.as_ref())),
                _ => (object, None),
            },
            _ => return None,
        };
        if self.is_claims(object) {
            return Some(name.unwrap_or("*").to_owned());
        }
        let path = self.claims_path(object)?;
        if path.split('.').count() >= MAX_PATH || path.ends_with('*') {
            return Some(path);
        }
        Some(format!("{path}.{}", name.unwrap_or("*")))
    }
}
