//! Where values come from and where they go: which variables hold only what the run made, and where functions could be as values.

use super::{Answers, Walker};
use crate::script::lanes::names::{self, Answer};
use crate::script::lanes::scope::{BindingId, Holds};
use crate::script::tree::{AssignOp, BinaryOp, Expr, ExprKind, Span, Target, UnaryOp};

/// A property that was given a value which must be no function, should there be functions among the values at all.
pub(super) struct Slot {
    /// Variables that hold the value, which is fine when they hold no function.
    names: Vec<BindingId>,
    /// Variables in its computed name, which is fine when they hold numbers; none when the name is fine otherwise or not at all.
    keys: Vec<BindingId>,
    /// Whether nothing else than `names` could bring a function.
    certain: bool,
    /// Whether it must be no function even when no others are seen among the values, as its name is computed.
    computed: bool,
    span: Span,
}

impl Walker<'_> {
    /// Walks the value of an assignment to a variable and notes what the variable holds then.
    pub(super) fn flow(&mut self, target: BindingId, value: &Expr) {
        match &value.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_some() => self.used(name),
            ExprKind::Function(function) => {
                let returns = self.returns_of(target);
                self.function(function, Answers::Variable(returns));
                self.scopes.assign(target, Holds::OWN_FUNCTION);
                return;
            }
            _ => self.expr(value),
        }
        self.note(target, value);
    }

    /// Notes what `target` holds after being assigned `value`, which was walked.
    pub(super) fn note(&mut self, target: BindingId, value: &Expr) {
        match &value.kind {
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(source) => self.scopes.copy(target, source),
                None => self.scopes.assign(target, Holds::OWN_VALUE),
            },
            ExprKind::Function(_) => {
                let returns = self.returns_of(target);
                self.scopes.assign(returns, Holds::LOOKED_UP);
                self.scopes.assign(target, Holds::OWN_FUNCTION);
            }
            ExprKind::Conditional { then, otherwise, .. } => {
                self.note(target, then);
                self.note(target, otherwise);
            }
            ExprKind::Logical(_, left, right) => {
                self.note(target, left);
                self.note(target, right);
            }
            ExprKind::Sequence(_, value) | ExprKind::Chain(value) | ExprKind::Assign { op: None, value, .. } => {
                self.note(target, value);
            }
            ExprKind::Call { callee, .. } if self.own_callee(callee).is_some() => {
                if let Some(function) = self.own_callee(callee) {
                    let returns = self.returns_of(function);
                    self.scopes.copy(target, returns);
                }
            }
            ExprKind::Binary(BinaryOp::Add, ..) => {
                let mut operands = Vec::new();
                let numbers = self.is_number(value, &mut operands);
                self.scopes.assign(target, if numbers { Holds::NUMBER } else { Holds::OWN_VALUE });
                operands.into_iter().for_each(|operand| self.scopes.sum(target, operand));
            }
            _ => {
                self.scopes.assign(target, self.made(value));
                self.note_look_up(target, value);
            }
        }
    }

    /// Notes what a variable holds after `+=` and its like.
    pub(super) fn note_compound(&mut self, target: BindingId, op: BinaryOp, value: &Expr) {
        let mut operands = Vec::new();
        let numbers = is_arithmetic(op) || (op == BinaryOp::Add && self.is_number(value, &mut operands));
        self.scopes.assign(target, if numbers { Holds::NUMBER } else { Holds::OWN_VALUE });
        if op == BinaryOp::Add {
            operands.into_iter().for_each(|operand| self.scopes.sum(target, operand));
        }
    }

    /// The variable through which an own function is called.
    pub(super) fn own_callee(&self, callee: &Expr) -> Option<BindingId> {
        match &callee.kind {
            ExprKind::Name(name) => self.scopes.resolve(name),
            _ => None,
        }
    }

    /// Stands for whatever the functions assigned to `function` return.
    pub(super) fn returns_of(&mut self, function: BindingId) -> BindingId {
        if let Some(known) = self.returns.get(&function) {
            return *known;
        }
        let returns = self.scopes.unnamed();
        self.returns.insert(function, returns);
        returns
    }

    /// What an expression that is no variable and no choice between others certainly is.
    fn made(&self, value: &Expr) -> Holds {
        match &value.kind {
            ExprKind::Number(_) | ExprKind::Update { .. } => Holds::NUMBER,
            ExprKind::Unary(UnaryOp::Minus | UnaryOp::Plus | UnaryOp::BitNot, _) => Holds::NUMBER,
            ExprKind::Binary(op, ..) if is_arithmetic(*op) => Holds::NUMBER,
            ExprKind::String(_)
            | ExprKind::Boolean(_)
            | ExprKind::Null
            | ExprKind::Undefined
            | ExprKind::Regex { .. }
            | ExprKind::Template(_)
            | ExprKind::Array(_)
            | ExprKind::Object(_)
            | ExprKind::Unary(..)
            | ExprKind::Binary(..)
            | ExprKind::Delete(_)
            | ExprKind::New { .. }
            | ExprKind::Assign { op: Some(AssignOp::Binary(_)), .. } => Holds::OWN_VALUE,
            ExprKind::Call { callee, args, .. } => self.made_by_call(callee, args.len()),
            _ => Holds::ANYTHING,
        }
    }

    /// What a call of a built-in answers; calls of anything else are in doubt anyway.
    fn made_by_call(&self, callee: &Expr, arguments: usize) -> Holds {
        match &callee.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() && names::is_pure_function(name) => {
                match name.as_ref() {
                    "parseInt" | "parseFloat" | "Number" => Holds::NUMBER,
                    _ => Holds::OWN_VALUE,
                }
            }
            ExprKind::Member { object, name, .. } => match (self.global_object(object), name.as_ref()) {
                (Some("Math"), _) | (Some("Date"), "now") | (Some("Number"), "parseInt" | "parseFloat") => {
                    Holds::NUMBER
                }
                // A reviver could answer something that others hold too.
                (Some("JSON"), "parse") if arguments != 1 => Holds::ANYTHING,
                (Some("Object"), "assign" | "create" | "freeze" | "fromEntries" | "preventExtensions" | "seal") => {
                    Holds::OWN_VALUE
                }
                (Some("Array"), "from") => Holds::OWN_VALUE,
                (Some(global), name) if names::is_pure_static(global, name) => Holds::OWN_VALUE,
                (Some(_), _) => Holds::ANYTHING,
                (None, name) => match names::method(name) {
                    Some((_, Answer::Number)) => Holds::NUMBER,
                    Some((_, Answer::Array | Answer::Own)) => Holds::OWN_VALUE,
                    Some((_, Answer::Any)) | None => Holds::ANYTHING,
                },
            },
            _ => Holds::ANYTHING,
        }
    }

    /// Whether the value is a number provided that the variables put into `names` hold numbers.
    fn is_number(&self, value: &Expr, names: &mut Vec<BindingId>) -> bool {
        match &value.kind {
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(id) => {
                    names.push(id);
                    true
                }
                None => false,
            },
            ExprKind::Binary(BinaryOp::Add, left, right) => self.is_number(left, names) && self.is_number(right, names),
            _ => self.made(value).numbers,
        }
    }

    /// Whether the value was made by this run or has no identity, provided that the variables put into `names` hold such values only.
    fn is_own(&mut self, value: &Expr, names: &mut Vec<BindingId>) -> bool {
        match &value.kind {
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(id) => names.push(id),
                None => return matches!(name.as_ref(), "undefined" | "NaN" | "Infinity"),
            },
            ExprKind::Conditional { then, otherwise, .. } => {
                return self.is_own(then, names) && self.is_own(otherwise, names);
            }
            ExprKind::Logical(_, left, right) => return self.is_own(left, names) && self.is_own(right, names),
            ExprKind::Sequence(_, value) | ExprKind::Chain(value) | ExprKind::Assign { op: None, value, .. } => {
                return self.is_own(value, names);
            }
            ExprKind::Call { callee, .. } => match self.own_callee(callee) {
                Some(function) => {
                    let returns = self.returns_of(function);
                    names.push(returns);
                }
                None => return self.made(value).own_values,
            },
            _ => return self.made(value).own_values,
        }
        true
    }

    /// Raises a doubt unless what is written to was made by this run.
    pub(super) fn must_own(&mut self, object: &Expr, span: Span, what: &'static str) {
        let mut names = Vec::new();
        if self.is_own(object, &mut names) {
            self.must_be_own.extend(names.into_iter().map(|name| (name, span, what)));
        } else {
            self.doubt(Some(span), what);
        }
    }

    /// Notes a value put where a built-in may be called from by name.
    pub(super) fn slot(&mut self, value: &Expr, span: Span) {
        let mut names = Vec::new();
        let certain = self.is_own(value, &mut names);
        self.slots.push(Slot { names, keys: Vec::new(), certain, computed: false, span });
    }

    /// Notes a value put under a computed name.
    pub(super) fn keyed_slot(&mut self, index: &Expr, value: &Expr, span: Span) {
        let (mut keys, mut names) = (Vec::new(), Vec::new());
        let harmless = self.is_harmless_key(index, &mut keys);
        if harmless && keys.is_empty() {
            return;
        }
        if !harmless {
            keys.clear();
        }
        let certain = self.is_own(value, &mut names);
        // No function is put under a name that is no built-in's either, unless it comes from somewhere noted.
        let named = matches!(&value.kind, ExprKind::Member { name, .. } if !names::is_builtin_member(name));
        self.slots.push(Slot { names, keys, certain, computed: !named, span });
    }

    /// Notes a place that takes values nobody looked at.
    pub(super) fn open_slot(&mut self, span: Span) {
        self.slots.push(Slot { names: Vec::new(), keys: Vec::new(), certain: false, computed: false, span });
    }

    /// Whether a computed name certainly is none that a built-in has a function under; variables are looked at in the end.
    pub(super) fn is_harmless_key(&self, index: &Expr, names: &mut Vec<BindingId>) -> bool {
        match &index.kind {
            ExprKind::String(name) => !names::is_builtin_member(name),
            _ => self.is_number(index, names),
        }
    }

    /// Notes a read by a computed name, which may answer a built-in function.
    pub(super) fn key_read(&mut self, index: &Expr) {
        let mut names = Vec::new();
        if self.is_harmless_key(index, &mut names) {
            self.number_keys.append(&mut names);
        } else {
            self.foreign = true;
            if !is_taken_key(index) {
                self.doubt(Some(index.span), "reads a property by a name it puts together");
            }
        }
    }

    /// An assignment, an update or a `delete` of a property; `value` is absent when no function can come of it.
    pub(super) fn write(&mut self, target: &Target, value: Option<&Expr>, span: Span) {
        match target {
            Target::Member { object, name } => {
                self.expr(object);
                self.must_own(object, span, "writes to a property of something it may not have made");
                value.into_iter().for_each(|value| self.kept(value));
                if names::is_guarded_member(name) {
                    self.doubt(Some(span), "writes to a property that built-ins look for");
                } else if names::is_builtin_member(name)
                    && let Some(value) = value
                {
                    self.slot(value, span);
                }
            }
            Target::Index { object, index } => {
                self.expr(object);
                self.expr(index);
                self.must_own(object, span, "writes to a property of something it may not have made");
                let literal = matches!(&index.kind, ExprKind::String(name) if names::is_guarded_member(name));
                if literal {
                    self.doubt(Some(span), "writes to a property that built-ins look for");
                }
                if let Some(value) = value {
                    self.kept(value);
                    self.keyed_slot(index, value, span);
                }
            }
            Target::Name(_) | Target::Opaque => self.opaque(Some(span), "assigns something that is not modelled"),
        }
    }

    /// Checks at the end what depends on every assignment.
    pub(super) fn check_values(&mut self) {
        let reassigned: Vec<BindingId> =
            self.scopes.copies().iter().filter_map(|(target, _)| self.returns.get(target)).copied().collect();
        reassigned.into_iter().for_each(|returns| self.scopes.assign(returns, Holds::LOOKED_UP));
        self.scopes.settle();
        self.check_kept();
        for (id, span, what) in std::mem::take(&mut self.must_be_own) {
            if !self.scopes.holds(id).own_values {
                self.doubt(Some(span), what);
            }
        }
        let functions = self.foreign
            || self.number_keys.iter().any(|id| !self.scopes.holds(*id).numbers)
            || self.values_read.iter().any(|id| !self.scopes.holds(*id).no_function);
        for slot in std::mem::take(&mut self.slots) {
            let numbered = !slot.keys.is_empty() && slot.keys.iter().all(|id| self.scopes.holds(*id).numbers);
            let harmless = numbered || (slot.certain && slot.names.iter().all(|id| self.scopes.holds(*id).own_values));
            if (functions || slot.computed) && !harmless {
                self.doubt(Some(slot.span), "puts a value that may be a function where built-ins are called by name");
            }
        }
    }
}

/// Whether a computed name is taken from somewhere as it is, rather than put together here.
fn is_taken_key(index: &Expr) -> bool {
    match &index.kind {
        ExprKind::Name(_) | ExprKind::Number(_) | ExprKind::Member { .. } | ExprKind::Index { .. } => true,
        ExprKind::String(name) => !names::is_guarded_member(name),
        ExprKind::Chain(inner) => is_taken_key(inner),
        ExprKind::Conditional { then, otherwise, .. } => is_taken_key(then) && is_taken_key(otherwise),
        ExprKind::Logical(_, left, right) => is_taken_key(left) && is_taken_key(right),
        // Whose case it is asked in is all that many tables differ in.
        ExprKind::Call { callee, args, .. } if args.is_empty() => match &callee.kind {
            ExprKind::Member { object, name, .. } => {
                matches!(name.as_ref(), "toLowerCase" | "toUpperCase" | "trim") && is_taken_key(object)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Operators whose result is a number, as there are no big integers in our trees.
fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem
            | BinaryOp::Exp
            | BinaryOp::BitAnd
            | BinaryOp::BitOr
            | BinaryOp::BitXor
            | BinaryOp::Shl
            | BinaryOp::Shr
            | BinaryOp::UShr
    )
}
