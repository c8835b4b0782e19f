//! The walk over a tree that collects doubts, criteria called and claims named.

mod calls;
mod claims;
mod kept;
mod values;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use super::bound::Bound;
use super::scope::{BindingId, Holds, Scopes};
use super::{Analysis, Doubt, names};
use crate::script::tree::{
    BinaryOp, Declarator, DeclareKind, EachTarget, Expr, ExprKind, Function, Item, Key, Pattern, Span, Stmt, StmtKind,
    Target, TemplatePart, Tree, UnaryOp,
};

/// Where what a function returns goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answers {
    /// Out of the run.
    Script,
    /// To who calls the function through a variable; stands for all that is returned there.
    Variable(BindingId),
    /// To a built-in that does no more than test it, make text of it or drop it.
    Tested,
    /// Anywhere.
    Kept,
}

/// State of one walk.
pub(super) struct Walker<'a> {
    is_criterion: &'a dyn Fn(&str) -> bool,
    scopes: Scopes,
    claims_binding: Option<BindingId>,
    must_be_function: Vec<(BindingId, Span)>,
    /// Variables that are written to, with what the doubt would be.
    must_be_own: Vec<(BindingId, Span, &'static str)>,
    slots: Vec<values::Slot>,
    kept: Vec<kept::Kept>,
    /// Whether some value may be a function that is not the script's own.
    foreign: bool,
    /// Variables read as values rather than called.
    values_read: Vec<BindingId>,
    /// Variables used as computed names.
    number_keys: Vec<BindingId>,
    /// What the functions in a variable return, as an unnamed variable.
    returns: BTreeMap<BindingId, BindingId>,
    answers: Answers,
    doubt: Option<Doubt>,
    criteria: BTreeSet<Box<str>>,
    claims: BTreeSet<String>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(is_criterion: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            is_criterion,
            scopes: Scopes::default(),
            claims_binding: None,
            must_be_function: Vec::new(),
            must_be_own: Vec::new(),
            slots: Vec::new(),
            kept: Vec::new(),
            foreign: false,
            values_read: Vec::new(),
            number_keys: Vec::new(),
            returns: BTreeMap::new(),
            answers: Answers::Script,
            doubt: None,
            criteria: BTreeSet::new(),
            claims: BTreeSet::new(),
        }
    }

    /// Walks the whole script.
    pub(super) fn script(&mut self, tree: &Tree) {
        let bound = Bound::of(tree);
        if bound.claims {
            self.claims.insert("*".to_owned());
            self.doubt(None, "gives the name of the claims another meaning");
        }
        if bound.arguments {
            // The claims are among them.
            self.claims.insert("*".to_owned());
            self.doubt(None, "uses the arguments object");
        }
        self.scopes.enter();
        self.claims_binding = Some(self.scopes.declare("claims", Holds::ANYTHING));
        self.function_body(&tree.body);
        self.scopes.leave();
    }

    /// Checks what could only be checked once every assignment was seen.
    pub(super) fn finish(mut self) -> Analysis {
        self.check_values();
        for (id, span) in std::mem::take(&mut self.must_be_function) {
            if !self.scopes.holds(id).own_functions {
                self.doubt(Some(span), "calls a variable that may hold any function");
            }
        }
        Analysis { doubt: self.doubt, criteria: self.criteria, claims: self.claims }
    }

    fn doubt(&mut self, span: Option<Span>, what: &'static str) {
        if self.doubt.is_none() {
            self.doubt = Some(Doubt { span, what });
        }
    }

    /// Something that is not looked into: whatever may be read there counts as read.
    fn opaque(&mut self, span: Option<Span>, what: &'static str) {
        self.claims.insert("*".to_owned());
        self.doubt(span, what);
    }

    /// Statements of a function whose parameters are the innermost scope.
    fn function_body(&mut self, body: &[Stmt]) {
        let params = self.scopes.innermost();
        self.scopes.enter();
        self.scopes.declare_vars(body, &params);
        self.scopes.declare_lexical(body);
        self.statements(body);
        self.scopes.leave();
    }

    fn block(&mut self, body: &[Stmt]) {
        self.scopes.enter();
        self.scopes.declare_lexical(body);
        self.refuse_block_functions(body);
        self.statements(body);
        self.scopes.leave();
    }

    /// In sloppy mode a function declared in a block writes whatever its name holds then to a variable of the function around
    /// the block ([Annex B.3.2](https://tc39.es/ecma262/#sec-block-level-function-declarations-web-legacy-compatibility-semantics)).
    fn refuse_block_functions(&mut self, body: &[Stmt]) {
        if let Some(stmt) = body.iter().find(|stmt| matches!(stmt.kind, StmtKind::Function(_))) {
            self.doubt(stmt.span, "declares a function in a block");
        }
    }

    fn statements(&mut self, body: &[Stmt]) {
        for stmt in body {
            self.statement(stmt);
        }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Empty | StmtKind::Break(_) | StmtKind::Continue(_) => {}
            StmtKind::Expr(expr) => self.expr(expr),
            StmtKind::Throw(expr) => {
                self.expr(expr);
                self.kept(expr);
            }
            StmtKind::Return(value) => {
                self.optional(value.as_ref());
                match (self.answers, value) {
                    (Answers::Variable(returns), Some(value)) => self.note(returns, value),
                    (Answers::Kept, Some(value)) => self.kept(value),
                    _ => {}
                }
            }
            StmtKind::Declare(_, list) => list.iter().for_each(|item| self.declarator(item)),
            // Its name is the variable that was declared around it, which the body may assign too.
            StmtKind::Function(function) => {
                let returns = function.name.as_deref().and_then(|name| self.scopes.resolve(name));
                let answers = returns.map_or(Answers::Kept, |id| Answers::Variable(self.returns_of(id)));
                self.function_inside(function, answers);
            }
            StmtKind::If { test, then, otherwise } => {
                self.expr(test);
                self.nested(then);
                if let Some(otherwise) = otherwise {
                    self.nested(otherwise);
                }
            }
            StmtKind::While { test, body } | StmtKind::DoWhile { body, test } => {
                self.expr(test);
                self.nested(body);
            }
            StmtKind::For { init, test, update, body } => {
                self.scopes.enter();
                if let Some(init) = init {
                    self.scopes.declare_lexical(std::slice::from_ref(init));
                    self.statement(init);
                }
                self.optional(test.as_ref());
                self.optional(update.as_ref());
                self.nested(body);
                self.scopes.leave();
            }
            StmtKind::ForEach { target, subject, body, .. } => self.for_each(target, subject, body),
            StmtKind::Block(body) => self.block(body),
            StmtKind::Switch { subject, cases } => {
                self.expr(subject);
                self.scopes.enter();
                cases.iter().for_each(|case| self.scopes.declare_lexical(&case.body));
                cases.iter().for_each(|case| self.refuse_block_functions(&case.body));
                for case in cases {
                    self.optional(case.test.as_ref());
                    self.statements(&case.body);
                }
                self.scopes.leave();
            }
            StmtKind::Try { block, param, handler, finalizer } => {
                self.block(block);
                self.scopes.enter();
                if let Some(param) = param {
                    self.scopes.declare_pattern(param, Holds::ANYTHING);
                    self.pattern(param);
                }
                self.block(handler.as_deref().unwrap_or_default());
                self.scopes.leave();
                self.block(finalizer.as_deref().unwrap_or_default());
            }
            StmtKind::Labelled(_, body) => self.nested(body),
            StmtKind::Opaque => self.opaque(stmt.span, "uses a statement that is not modelled"),
        }
    }

    /// A statement that is the body of another one, with a scope of its own even without braces.
    fn nested(&mut self, stmt: &Stmt) {
        self.block(std::slice::from_ref(stmt));
    }

    fn for_each(&mut self, target: &EachTarget, subject: &Expr, body: &Stmt) {
        self.expr(subject);
        self.scopes.enter();
        match target {
            EachTarget::Declare(DeclareKind::Var, pattern) => {
                let mut bound = Vec::new();
                super::scope::pattern_names(pattern, &mut bound);
                bound.into_iter().for_each(|name| self.assign_name(name, Holds::ANYTHING, subject.span));
                self.pattern(pattern);
            }
            EachTarget::Declare(DeclareKind::Let | DeclareKind::Const, pattern) => {
                self.scopes.declare_pattern(pattern, Holds::ANYTHING);
                self.pattern(pattern);
            }
            EachTarget::Name(name) => self.assign_name(name, Holds::ANYTHING, subject.span),
            EachTarget::Opaque => {
                self.opaque(Some(subject.span), "assigns loop values to something that is no variable")
            }
        }
        self.nested(body);
        self.scopes.leave();
    }

    fn declarator(&mut self, item: &Declarator) {
        match (&item.target, &item.init) {
            (Pattern::Name(name), Some(init)) => match self.scopes.resolve(name) {
                Some(id) => self.flow(id, init),
                None => {
                    self.expr(init);
                    self.doubt(Some(init.span), "assigns a variable it does not declare");
                }
            },
            (target, Some(init)) => {
                self.expr(init);
                let mut bound = Vec::new();
                super::scope::pattern_names(target, &mut bound);
                bound.into_iter().for_each(|name| self.assign_name(name, Holds::ANYTHING, init.span));
            }
            (_, None) => {}
        }
        self.pattern(&item.target);
    }

    /// Walks the keys and defaults of a pattern whose names are declared already.
    fn pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::Name(_) => {}
            Pattern::Object(parts) => {
                for part in parts {
                    if let Some(key) = &part.key {
                        self.pattern_key(key);
                        self.pattern_look_up(key, &part.target);
                    }
                    self.default(part.default.as_ref());
                    self.pattern(&part.target);
                }
            }
            Pattern::Array(parts) => {
                for part in parts {
                    self.default(part.default.as_ref());
                    if let Some(target) = &part.target {
                        self.pattern(target);
                    }
                }
            }
            Pattern::Opaque => self.opaque(None, "binds a pattern that is not modelled"),
        }
    }

    /// A built-in function may be bound by its name.
    fn pattern_look_up(&mut self, key: &Key, target: &Pattern) {
        if !matches!(key, Key::Name(name) if names::is_builtin_member(name)) {
            return;
        }
        let mut bound = Vec::new();
        super::scope::pattern_names(target, &mut bound);
        for id in bound.into_iter().filter_map(|name| self.scopes.resolve(name)).collect::<Vec<_>>() {
            self.scopes.assign(id, Holds::LOOKED_UP);
        }
    }

    fn pattern_key(&mut self, key: &Key) {
        match key {
            Key::Name(name) if names::is_guarded_member(name) => {
                self.doubt(None, "reads a property that leads to a writing built-in")
            }
            Key::Name(name) => self.foreign |= names::is_builtin_member(name),
            Key::Computed(expr) => {
                self.expr(expr);
                self.doubt(Some(expr.span), "binds a property by a computed name");
            }
        }
    }

    /// A function expression; inside, its name is a variable of its own.
    fn function(&mut self, function: &Function, answers: Answers) {
        self.scopes.enter();
        if let Some(name) = &function.name {
            let id = self.scopes.declare(name, Holds::OWN_FUNCTION);
            let inside = self.returns_of(id);
            self.scopes.assign(inside, Holds::LOOKED_UP);
        }
        self.function_inside(function, answers);
        self.scopes.leave();
    }

    fn function_inside(&mut self, function: &Function, answers: Answers) {
        let around = std::mem::replace(&mut self.answers, answers);
        self.scopes.enter();
        for param in &function.params {
            self.scopes.declare_pattern(&param.target, Holds::ANYTHING);
        }
        for param in &function.params {
            self.default(param.init.as_ref());
            self.pattern(&param.target);
        }
        self.function_body(&function.body);
        self.scopes.leave();
        self.answers = around;
    }

    /// A value for a name that was declared to hold anything, which nothing more is noted of.
    fn default(&mut self, value: Option<&Expr>) {
        self.optional(value);
        value.into_iter().for_each(|value| self.kept(value));
    }

    fn optional(&mut self, expr: Option<&Expr>) {
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::String(_)
            | ExprKind::Number(_)
            | ExprKind::Boolean(_)
            | ExprKind::Null
            | ExprKind::Undefined
            | ExprKind::Regex { .. } => {}
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Template(parts) => {
                for part in parts {
                    if let TemplatePart::Expr(inner) = part {
                        self.expr(inner);
                    }
                }
            }
            ExprKind::Array(items) => {
                self.items(items);
                self.kept_items(items);
            }
            ExprKind::Object(properties) => properties.iter().for_each(|property| self.property(property, expr.span)),
            ExprKind::Function(function) => {
                self.foreign = true;
                self.function(function, Answers::Kept);
            }
            ExprKind::Unary(UnaryOp::TypeOf, operand) if matches!(operand.kind, ExprKind::Name(_)) => {
                self.type_of(operand)
            }
            ExprKind::Unary(_, operand) | ExprKind::Chain(operand) => self.expr(operand),
            ExprKind::Binary(BinaryOp::InstanceOf, left, right) => self.instance_of(left, right),
            ExprKind::Binary(_, left, right) | ExprKind::Logical(_, left, right) | ExprKind::Sequence(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Assign { op, target, value } => self.assign(*op, target, value),
            ExprKind::Update { target, .. } => match target {
                Target::Name(name) => self.assign_name(name, Holds::NUMBER, expr.span),
                Target::Member { .. } | Target::Index { .. } | Target::Opaque => self.write(target, None, expr.span),
            },
            ExprKind::Delete(target) => self.write(target, None, expr.span),
            ExprKind::Conditional { test, then, otherwise } => {
                self.expr(test);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::Call { callee, args, .. } => self.call(callee, args, expr.span),
            ExprKind::New { callee, args } => self.construct(callee, args),
            ExprKind::Member { .. } | ExprKind::Index { .. } => self.member(expr),
            ExprKind::Opaque => self.opaque(Some(expr.span), "uses an expression that is not modelled"),
        }
    }

    fn name(&mut self, name: &str, span: Span) {
        if let Some(id) = self.scopes.resolve(name) {
            self.values_read.push(id);
            self.used(name);
            return;
        }
        if !matches!(name, "undefined" | "NaN" | "Infinity") {
            self.doubt(Some(span), "uses a global variable");
        }
    }

    /// A declared variable is used; taking the claims as a whole is reading all of them.
    fn used(&mut self, name: &str) {
        if self.claims_binding.is_some() && self.scopes.resolve(name) == self.claims_binding {
            self.claims.insert("*".to_owned());
        }
    }

    fn type_of(&mut self, operand: &Expr) {
        match &operand.kind {
            // Which criteria a name stands for is known to the fresh lane alone.
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() && !names::is_reserved_global(name) => {
                self.doubt(Some(operand.span), "asks for the type of a global variable");
            }
            _ => {}
        }
    }

    fn instance_of(&mut self, left: &Expr, right: &Expr) {
        self.expr(left);
        match &right.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() && names::is_known_class(name) => {}
            _ => {
                self.doubt(Some(right.span), "tests against a class that is not known");
                self.expr(right);
            }
        }
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::One(expr) | Item::Spread(expr) => self.expr(expr),
                Item::Hole => {}
            }
        }
    }

    fn assign_name(&mut self, name: &str, holds: Holds, span: Span) {
        match self.scopes.resolve(name) {
            Some(id) => self.scopes.assign(id, holds),
            None => self.doubt(Some(span), "assigns a variable it does not declare"),
        }
    }
}
