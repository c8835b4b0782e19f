//! Rules `unguarded-claim` and `ignored-http-failure`: members of what may be missing, read before anything made sure that it is there.

mod guards;

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::paths::{Aliases, Path, is_http_call, may_miss};
use crate::script::tree::{
    Each, EachTarget, Expr, ExprKind, Function, Item, LogicalOp, Pattern, Property, Span, Stmt, StmtKind, Target,
    TemplatePart, Tree,
};

/// Most facts carried along; beyond, nothing more is learned.
const MAX_FACTS: usize = 64;

/// Adds a finding for every path whose member is read without a guard; once for each path.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut walk = Walk { known: Known::default(), reported: BTreeSet::new(), in_try: 0, findings };
    walk.statements(&tree.body);
}

/// What is known at one place of the script.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Paths that are certainly there.
    present: BTreeSet<Path>,
    aliases: Aliases,
    /// Paths that are there when the variable is true.
    implied: BTreeMap<Box<str>, Vec<Path>>,
}

impl Known {
    fn learn(&mut self, paths: Vec<Path>) {
        for mut path in paths {
            while !path.is_empty() && self.present.len() < MAX_FACTS {
                self.present.insert(path.clone());
                path.pop();
            }
        }
    }

    /// Forgets whatever begins with `path`, which was given a new value.
    fn unlearn(&mut self, path: &[Box<str>]) {
        self.present.retain(|known| !known.starts_with(path));
    }
}

struct Walk<'f> {
    known: Known,
    reported: BTreeSet<Path>,
    /// Blocks around whose exceptions are caught.
    in_try: usize,
    findings: &'f mut Vec<Finding>,
}

impl Walk<'_> {
    fn statements(&mut self, body: &[Stmt]) {
        body.iter().for_each(|stmt| self.statement(stmt));
    }

    /// Walks something with `facts` known besides, and forgets afterwards what it learned.
    fn inside(&mut self, facts: Vec<Path>, walk: impl FnOnce(&mut Self)) {
        let before = self.known.clone();
        self.known.learn(facts);
        walk(self);
        self.known = before;
    }

    fn statement(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Empty | StmtKind::Break(_) | StmtKind::Continue(_) | StmtKind::Opaque => {}
            StmtKind::Expr(value) | StmtKind::Throw(value) => self.expr(value),
            StmtKind::Return(value) => value.iter().for_each(|value| self.expr(value)),
            StmtKind::Declare(_, list) => {
                for item in list {
                    if let Some(init) = &item.init {
                        self.expr(init);
                        self.bind(&item.target, init);
                    }
                }
            }
            StmtKind::Function(function) => self.function(function),
            StmtKind::If { test, then, otherwise } => self.choose(test, then, otherwise.as_deref()),
            StmtKind::While { test, body } => {
                self.expr(test);
                let facts = self.known.when_true(test);
                self.inside(facts, |this| this.statement(body));
                let facts = self.known.when_false(test);
                self.known.learn(facts);
            }
            StmtKind::DoWhile { body, test } => {
                self.statement(body);
                self.expr(test);
            }
            StmtKind::For { init, test, update, body } => {
                init.iter().for_each(|init| self.statement(init));
                test.iter().for_each(|test| self.expr(test));
                let facts = test.as_ref().map(|test| self.known.when_true(test)).unwrap_or_default();
                self.inside(facts, |this| {
                    this.statement(body);
                    update.iter().for_each(|update| this.expr(update));
                });
            }
            StmtKind::ForEach { each, target, subject, body } => self.for_each(*each, target, subject, body),
            StmtKind::Block(body) => self.statements(body),
            StmtKind::Switch { subject, cases } => {
                self.expr(subject);
                for case in cases {
                    self.inside(Vec::new(), |this| {
                        case.test.iter().for_each(|test| this.expr(test));
                        this.statements(&case.body);
                    });
                }
            }
            StmtKind::Try { block, handler, finalizer, .. } => {
                let caught = usize::from(handler.is_some());
                self.in_try += caught;
                self.inside(Vec::new(), |this| this.statements(block));
                self.in_try -= caught;
                self.inside(Vec::new(), |this| this.statements(handler.as_deref().unwrap_or_default()));
                self.statements(finalizer.as_deref().unwrap_or_default());
            }
            StmtKind::Labelled(_, body) => self.statement(body),
        }
    }

    fn choose(&mut self, test: &Expr, then: &Stmt, otherwise: Option<&Stmt>) {
        self.expr(test);
        let (when_true, when_false) = (self.known.when_true(test), self.known.when_false(test));
        self.inside(when_true.clone(), |this| this.statement(then));
        if let Some(otherwise) = otherwise {
            self.inside(when_false.clone(), |this| this.statement(otherwise));
        }
        if super::returns::never_ends(then) {
            self.known.learn(when_false);
        }
        if otherwise.is_some_and(super::returns::never_ends) {
            self.known.learn(when_true);
        }
        // What a branch assigned is not known any more, except where both ways lead to something.
        self.assigned_in(then, test);
    }

    /// `if (!x) { x = []; }` leaves something in `x`.
    fn assigned_in(&mut self, then: &Stmt, test: &Expr) {
        let missing = self.known.when_false(test);
        let stmts = match &then.kind {
            StmtKind::Block(body) => body.as_slice(),
            _ => std::slice::from_ref(then),
        };
        for stmt in stmts {
            if let StmtKind::Expr(Expr { kind: ExprKind::Assign { target, .. }, .. }) = &stmt.kind
                && let Some(path) = self.target_path(target)
                && missing.contains(&path)
            {
                self.known.learn(vec![path]);
            }
        }
    }

    fn for_each(&mut self, each: Each, target: &EachTarget, subject: &Expr, body: &Stmt) {
        self.expr(subject);
        if each == Each::Of {
            self.must_be_there(subject, subject.span);
        }
        self.inside(Vec::new(), |this| {
            if let EachTarget::Declare(_, Pattern::Name(name)) = target {
                this.known.aliases.forget(name);
            }
            this.statement(body);
        });
    }

    fn bind(&mut self, target: &Pattern, value: &Expr) {
        let Pattern::Name(name) = target else { return };
        self.known.unlearn(&[format!("@{name}").into()]);
        self.known.aliases.assign(name, value);
        let implied = self.known.when_true(value);
        self.known.implied.insert(name.clone(), implied);
    }

    /// A function sees what is known where it stands; its parameters hide variables.
    fn function(&mut self, function: &Function) {
        let around = std::mem::replace(&mut self.in_try, 0);
        self.inside(Vec::new(), |this| {
            for param in &function.params {
                if let Pattern::Name(name) = &param.target {
                    this.known.aliases.forget(name);
                }
                param.init.iter().for_each(|init| this.expr(init));
            }
            this.statements(&function.body);
        });
        self.in_try = around;
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(_)
            | ExprKind::String(_)
            | ExprKind::Number(_)
            | ExprKind::Boolean(_)
            | ExprKind::Null
            | ExprKind::Undefined
            | ExprKind::Regex { .. }
            | ExprKind::Opaque => {}
            ExprKind::Template(parts) => parts.iter().for_each(|part| match part {
                TemplatePart::Text(_) => {}
                TemplatePart::Expr(inner) => self.expr(inner),
            }),
            ExprKind::Array(items) => self.items(items),
            ExprKind::Object(properties) => properties.iter().for_each(|property| match property {
                Property::Value(_, value) | Property::Spread(value) => self.expr(value),
                Property::Opaque => {}
            }),
            ExprKind::Function(function) => {
                // A callback runs where it stands, so what is caught there is caught.
                let caught = self.in_try;
                self.function(function);
                self.in_try = caught;
            }
            ExprKind::Unary(_, inner) => self.expr(inner),
            ExprKind::Chain(inner) => self.inside(Vec::new(), |this| this.expr(inner)),
            ExprKind::Binary(_, left, right) | ExprKind::Sequence(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Logical(op, left, right) => self.logical(*op, left, right),
            ExprKind::Assign { target, value, .. } => self.assign(target, value),
            ExprKind::Delete(target) | ExprKind::Update { target, .. } => self.target(target),
            ExprKind::Conditional { test, then, otherwise } => {
                self.expr(test);
                let (when_true, when_false) = (self.known.when_true(test), self.known.when_false(test));
                self.inside(when_true, |this| this.expr(then));
                self.inside(when_false, |this| this.expr(otherwise));
            }
            ExprKind::Call { callee, args, .. } | ExprKind::New { callee, args } => {
                self.expr(callee);
                self.items(args);
            }
            ExprKind::Member { object, optional, .. } => self.read(object, *optional, expr.span),
            ExprKind::Index { object, index, optional } => {
                self.read(object, *optional, expr.span);
                self.expr(index);
            }
        }
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::One(value) => self.expr(value),
                Item::Spread(value) => {
                    self.expr(value);
                    self.must_be_there(value, value.span);
                }
                Item::Hole => {}
            }
        }
    }

    fn logical(&mut self, op: LogicalOp, left: &Expr, right: &Expr) {
        self.expr(left);
        let facts = match op {
            LogicalOp::And => self.known.when_true(left),
            LogicalOp::Or => self.known.when_false(left),
            LogicalOp::Coalesce => Vec::new(),
        };
        self.inside(facts, |this| this.expr(right));
    }

    fn assign(&mut self, target: &Target, value: &Expr) {
        self.expr(value);
        self.target(target);
        match target {
            Target::Name(name) => self.bind(&Pattern::Name(name.clone()), value),
            _ => {
                if let Some(path) = self.target_path(target) {
                    self.known.learn(vec![path]);
                }
            }
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Member { object, .. } => self.read(object, false, object.span),
            Target::Index { object, index } => {
                self.read(object, false, object.span);
                self.expr(index);
            }
            Target::Name(_) | Target::Opaque => {}
        }
    }

    fn target_path(&self, target: &Target) -> Option<Path> {
        let (object, name) = match target {
            Target::Member { object, name } => (object, name),
            Target::Index { object, index } => match &index.kind {
                ExprKind::String(name) => (object, name),
                _ => return None,
            },
            Target::Name(name) => return self.known.aliases.named(name),
            Target::Opaque => return None,
        };
        let mut path = self.known.aliases.path(object)?;
        path.push(name.clone());
        Some(path)
    }

    /// A member of `object` is read; with `?.` what follows is only reached when the object is there.
    fn read(&mut self, object: &Expr, optional: bool, span: Span) {
        self.expr(object);
        if optional {
            let there = self.known.aliases.path(object);
            self.known.learn(there.into_iter().collect());
        } else {
            self.must_be_there(object, span);
        }
    }

    fn must_be_there(&mut self, object: &Expr, span: Span) {
        if is_http_call(object) && self.in_try == 0 {
            self.findings.push(no_answer(span));
            return;
        }
        let Some(path) = self.known.aliases.path(object).filter(|path| may_miss(path)) else { return };
        if self.in_try > 0 || self.known.present.contains(&path) || !self.reported.insert(path.clone()) {
            return;
        }
        let finding = match path.split_first() {
            Some((first, _)) if first.starts_with('@') => no_answer(span),
            _ => unguarded(&path, span),
        };
        self.findings.push(finding);
        // What comes after only runs when it was there.
        self.known.learn(vec![path]);
    }
}

fn unguarded(path: &[Box<str>], span: Span) -> Finding {
    let name = format!("claims.{}", path.join("."));
    let message = format!(
        "`{name}` may be missing, and then this fails the script; ask for it first, such as `{name} && …`, or write `{name}?.…` or `({name} || [])`"
    );
    Finding { code: "unguarded-claim", span: Some(span), message }
}

fn no_answer(span: Span) -> Finding {
    let message = "a call that fails or takes too long answers `null`, and reading it then fails the script; \
                   keep the answer in a variable and ask `if (!answer)` before using it";
    Finding { code: "ignored-http-failure", span: Some(span), message: message.to_owned() }
}
