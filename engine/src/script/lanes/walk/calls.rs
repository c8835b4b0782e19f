//! Calls: who may be called, and with what.

use super::{Answers, Walker};
use crate::script::lanes::names::{self, Answer, Effect};
use crate::script::tree::{Expr, ExprKind, Item, Span};

impl Walker<'_> {
    pub(super) fn call(&mut self, callee: &Expr, args: &[Item], span: Span) {
        match &callee.kind {
            ExprKind::Name(name) => self.call_name(name, args, callee.span),
            ExprKind::Function(function) => {
                self.function(function, Answers::Kept);
                self.handed(args);
            }
            ExprKind::Member { object, name, .. } => match self.global_object(object) {
                Some(global) => self.call_static(global, name, args, span),
                None => self.call_method(object, name, args, span),
            },
            _ => {
                self.doubt(Some(callee.span), "calls a value that is not known to be harmless");
                self.expr(callee);
                self.handed(args);
            }
        }
    }

    pub(super) fn construct(&mut self, callee: &Expr, args: &[Item]) {
        match &callee.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() && names::is_pure_constructor(name) => {}
            // With an argument it answers that very object.
            ExprKind::Name(name)
                if self.global_object(callee).is_some() && name.as_ref() == "Object" && args.is_empty() => {}
            _ => {
                self.doubt(Some(callee.span), "constructs an object of a class that is not known");
                self.expr(callee);
            }
        }
        self.handed(args);
    }

    fn call_name(&mut self, name: &str, args: &[Item], span: Span) {
        if let Some(id) = self.scopes.resolve(name) {
            self.must_be_function.push((id, span));
            self.handed(args);
        } else if !names::is_reserved_global(name) && (self.is_criterion)(name) {
            self.criteria.insert(name.into());
            self.criterion_args(args);
            // A criterion may answer a function.
            self.foreign = true;
        } else {
            if !names::is_pure_function(name) {
                self.doubt(Some(span), "calls a function that is not known to be harmless");
            }
            self.items(args);
        }
    }

    /// Handing the claims on is not reading them: what the criterion reads counts.
    fn criterion_args(&mut self, args: &[Item]) {
        for arg in args {
            match arg {
                Item::One(expr) if self.is_claims(expr) => {}
                Item::One(expr) | Item::Spread(expr) => {
                    self.expr(expr);
                    self.kept(expr);
                    self.open_slot(expr.span);
                }
                Item::Hole => {}
            }
        }
    }

    fn call_static(&mut self, global: &str, name: &str, args: &[Item], span: Span) {
        match (global, name, args) {
            ("JSON", "parse" | "stringify", _) => self.json_args(name, args, span),
            ("Object", "assign" | "freeze" | "preventExtensions" | "seal", [Item::One(target), ..]) => {
                self.must_own(target, span, "changes an object it may not have made");
                self.handed(args);
            }
            ("Object", "create", [Item::One(Expr { kind: ExprKind::Null, .. })]) => {}
            ("Object", "fromEntries", _) => {
                self.handed(args);
                self.open_slot(span);
            }
            ("Array", "from", [Item::One(_)]) => self.handed(args),
            ("Array", "from", [Item::One(from), Item::One(each)]) if self.is_function(each) => {
                self.expr(from);
                self.kept(from);
                self.callback(each, false);
            }
            _ => {
                if !names::is_pure_static(global, name) {
                    self.doubt(Some(span), "calls a built-in function that is not known to be harmless");
                }
                self.items(args);
                if (global, name) == ("Array", "of") {
                    self.kept_items(args);
                }
            }
        }
    }

    /// `JSON.parse` and `JSON.stringify` call their second argument.
    fn json_args(&mut self, name: &str, args: &[Item], span: Span) {
        if name == "parse" && args.len() > 1 {
            self.open_slot(span);
        }
        for (at, arg) in args.iter().enumerate() {
            match arg {
                Item::One(expr) if at == 1 && self.is_function(expr) => self.callback(expr, false),
                Item::One(expr) if at == 1 && !is_inert(expr) && !matches!(expr.kind, ExprKind::Array(_)) => {
                    self.doubt(Some(span), "hands a value to a built-in that may call it");
                    self.expr(expr);
                }
                Item::One(expr) => self.expr(expr),
                Item::Spread(expr) => {
                    self.doubt(Some(span), "hands a value to a built-in that may call it");
                    self.expr(expr);
                }
                Item::Hole => self.doubt(Some(span), "hands a value to a built-in that may call it"),
            }
        }
    }

    fn call_method(&mut self, object: &Expr, name: &str, args: &[Item], span: Span) {
        self.receiver(object, name);
        let known = names::method(name);
        match (known.map(|(effect, _)| effect), name) {
            (Some(Effect::Calls), _) => self.callback_args(name, args, span),
            (Some(Effect::Writes), _) => {
                self.must_own(object, span, "changes a list or an object it may not have made");
                if name == "sort" && !args.is_empty() {
                    self.callback_args(name, args, span);
                } else {
                    self.handed(args);
                }
            }
            (Some(Effect::Judged), "replace" | "replaceAll") => self.replace_args(args, span),
            (Some(Effect::Judged), _) if !args.is_empty() => self.callback_args(name, args, span),
            (effect, _) => {
                if effect.is_none() {
                    self.doubt(Some(span), "calls a method that is not known to be harmless");
                }
                self.items(args);
                if known.is_some_and(|(_, answer)| answer == Answer::Array) || !self.is_of_claims(object) {
                    self.kept_items(args);
                }
            }
        }
    }

    /// Arguments that the callee may keep.
    fn handed(&mut self, args: &[Item]) {
        self.items(args);
        self.kept_items(args);
    }

    fn callback_args(&mut self, method: &str, args: &[Item], span: Span) {
        match args.split_first() {
            Some((Item::One(first), rest)) if self.is_function(first) => {
                let tested = matches!(
                    method,
                    "every" | "filter" | "find" | "findIndex" | "findLast" | "findLastIndex" | "forEach" | "some"
                );
                self.callback(first, tested);
                self.handed(rest);
            }
            _ => {
                self.doubt(Some(span), "hands a value to a built-in that calls it");
                self.handed(args);
            }
        }
    }

    /// `replace` calls its second argument when that is a function.
    fn replace_args(&mut self, args: &[Item], span: Span) {
        match args {
            [Item::One(what), Item::One(by)] if self.is_function(by) => {
                self.expr(what);
                self.kept(what);
                self.callback(by, true);
            }
            [Item::One(what), Item::One(by)] if is_inert(by) => {
                self.expr(what);
                self.kept(what);
                self.expr(by);
            }
            _ => {
                self.doubt(Some(span), "hands a value to a built-in that may call it");
                self.items(args);
            }
        }
    }

    /// Whether a built-in may be given this expression to call.
    fn is_function(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Function(_) => true,
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(id) => self.scopes.holds(id).own_functions,
                None => names::is_pure_function(name),
            },
            _ => false,
        }
    }

    /// Walks an expression that [`Self::is_function`] accepted; `tested` when what it answers goes nowhere.
    fn callback(&mut self, expr: &Expr, tested: bool) {
        match &expr.kind {
            ExprKind::Name(name) => {
                if let Some(id) = self.scopes.resolve(name) {
                    self.must_be_function.push((id, expr.span));
                    if !tested {
                        self.kept_returns(id, expr.span);
                    }
                }
            }
            ExprKind::Function(function) => {
                self.function(function, if tested { Answers::Tested } else { Answers::Kept });
            }
            _ => self.expr(expr),
        }
    }

    /// The name of a built-in global object, when `object` is just that.
    pub(super) fn global_object<'e>(&self, object: &'e Expr) -> Option<&'e str> {
        match &object.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() => Some(name),
            _ => None,
        }
    }
}

/// Whether the value is certainly no function and no object.
fn is_inert(expr: &Expr) -> bool {
    matches!(
        expr.kind,
        ExprKind::String(_)
            | ExprKind::Number(_)
            | ExprKind::Boolean(_)
            | ExprKind::Null
            | ExprKind::Undefined
            | ExprKind::Template(_)
    )
}
