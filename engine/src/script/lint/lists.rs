//! Rule `unbounded-list`: a result that grows with a claim or an HTTP answer, with nothing that bounds it.
//!
//! Rules of a session are made from such lists, so one that somebody else fills without end costs the gateway.

use std::collections::BTreeSet;

use super::Finding;
use super::paths::{Aliases, is_http_call};
use crate::script::ScriptKind;
use crate::script::tree::{
    BinaryOp, EachTarget, Expr, ExprKind, Function, Item, Pattern, Property, Stmt, StmtKind, Target, Tree,
};
use crate::script::visit::{self, Node};

pub(super) fn check(tree: &Tree, kind: ScriptKind, findings: &mut Vec<Finding>) {
    let whole_list = match kind {
        ScriptKind::Policy | ScriptKind::Criteria | ScriptKind::Condition => return,
        ScriptKind::Host | ScriptKind::PortOrType | ScriptKind::AppShortcut => true,
        ScriptKind::UserClaim => false,
    };
    let mut growth = Growth { foreign: BTreeSet::new(), growing: BTreeSet::new(), bounded: bounded_names(tree) };
    // Variables are filled from one another, in an order that need not be that of the text.
    for _ in 0..ROUNDS {
        growth.look(&tree.body);
    }
    for value in returned(&tree.body) {
        let grows = match &value.kind {
            ExprKind::Object(properties) => properties.iter().any(|property| match property {
                Property::Value(_, value) => growth.grows(value, whole_list),
                Property::Spread(_) | Property::Opaque => false,
            }),
            _ => growth.grows(value, whole_list),
        };
        if grows {
            let message = "the result grows with a claim or an HTTP answer and nothing bounds it; cut it, such as `.slice(0, 100)`, \
                           or keep only what matches something fixed";
            findings.push(Finding { code: "unbounded-list", span: Some(value.span), message: message.to_owned() });
            return;
        }
    }
}

const ROUNDS: usize = 3;

struct Growth<'t> {
    /// Variables with data of somebody else.
    foreign: BTreeSet<&'t str>,
    /// Variables with lists that grow with such data.
    growing: BTreeSet<&'t str>,
    /// Variables whose length something compares or sets.
    bounded: BTreeSet<&'t str>,
}

impl<'t> Growth<'t> {
    /// Notes what variables hold; what is pushed inside a loop or a callback over foreign data grows.
    fn look(&mut self, body: &'t [Stmt]) {
        visit::statements(body, &mut |node| match node {
            Node::Stmt(Stmt { kind: StmtKind::Declare(_, list), .. }) => {
                for item in list {
                    if let (Pattern::Name(name), Some(init)) = (&item.target, &item.init) {
                        self.assign(name, init);
                    }
                }
            }
            Node::Stmt(Stmt { kind: StmtKind::ForEach { subject, body, target, .. }, .. })
                if self.is_foreign(subject) =>
            {
                if let EachTarget::Declare(_, Pattern::Name(name)) = target {
                    self.foreign.insert(name);
                }
                self.filled(std::slice::from_ref(body));
            }
            Node::Stmt(Stmt { kind: StmtKind::For { test: Some(test), body, .. }, .. })
            | Node::Stmt(Stmt { kind: StmtKind::While { test, body }, .. })
                if self.compares_foreign(test) =>
            {
                self.filled(std::slice::from_ref(body));
            }
            Node::Expr(Expr { kind: ExprKind::Assign { target: Target::Name(name), value, .. }, .. }) => {
                self.assign(name, value);
            }
            Node::Expr(Expr { kind: ExprKind::Call { callee, args, .. }, .. }) => {
                if let (
                    ExprKind::Member { object, .. },
                    Some(Item::One(Expr { kind: ExprKind::Function(function), .. })),
                ) = (&callee.kind, args.first())
                    && self.is_foreign(object)
                {
                    self.called_back(function);
                }
            }
            _ => {}
        });
    }

    fn assign(&mut self, name: &'t str, value: &'t Expr) {
        if self.is_foreign(value) {
            self.foreign.insert(name);
        }
        if self.grows(value, false) {
            self.growing.insert(name);
        }
    }

    fn called_back(&mut self, function: &'t Function) {
        for param in &function.params {
            if let Pattern::Name(name) = &param.target {
                self.foreign.insert(name);
            }
        }
        self.filled(&function.body);
    }

    /// Lists that the statements push to grow.
    fn filled(&mut self, body: &'t [Stmt]) {
        visit::statements(body, &mut |node| match node {
            Node::Expr(Expr { kind: ExprKind::Call { callee, .. }, .. }) => {
                if let ExprKind::Member { object, name, .. } = &callee.kind
                    && matches!(name.as_ref(), "push" | "unshift" | "add")
                    && let ExprKind::Name(list) = &object.kind
                {
                    self.growing.insert(list);
                }
            }
            Node::Target(Target::Index { object, .. }) => {
                if let ExprKind::Name(list) = &object.kind {
                    self.growing.insert(list);
                }
            }
            _ => {}
        });
    }

    /// Whether somebody else decides how much the value holds.
    fn is_foreign(&self, value: &Expr) -> bool {
        match &value.kind {
            ExprKind::Name(name) => self.foreign.contains(name.as_ref()) || self.growing.contains(name.as_ref()),
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
                Aliases::default().path(value).is_some_and(|path| path.len() >= 2) || self.is_foreign(object)
            }
            ExprKind::Chain(inner) => self.is_foreign(inner),
            ExprKind::Logical(_, left, right) => self.is_foreign(left) || self.is_foreign(right),
            ExprKind::Conditional { then, otherwise, .. } => self.is_foreign(then) || self.is_foreign(otherwise),
            ExprKind::Call { callee, args, .. } => {
                is_http_call(value)
                    || match &callee.kind {
                        ExprKind::Member { object, name, .. } => match &object.kind {
                            ExprKind::Name(global) if matches!(global.as_ref(), "Array" | "JSON" | "Object") => {
                                args.iter().any(|arg| matches!(arg, Item::One(arg) if self.is_foreign(arg)))
                            }
                            _ => keeps_length(name, args) && self.is_foreign(object),
                        },
                        _ => false,
                    }
            }
            _ => false,
        }
    }

    /// Whether the value is a list that grows with foreign data; `bare` when foreign data itself counts as one.
    fn grows(&self, value: &Expr, bare: bool) -> bool {
        match &value.kind {
            ExprKind::Name(name) => {
                !self.bounded.contains(name.as_ref())
                    && (self.growing.contains(name.as_ref()) || (bare && self.foreign.contains(name.as_ref())))
            }
            ExprKind::Array(items) => items.iter().any(|item| match item {
                Item::Spread(value) => self.is_foreign(value) && !self.is_bounded(value),
                Item::One(_) | Item::Hole => false,
            }),
            ExprKind::Logical(_, left, right) => self.grows(left, bare) || self.grows(right, bare),
            ExprKind::Conditional { then, otherwise, .. } => self.grows(then, bare) || self.grows(otherwise, bare),
            ExprKind::Chain(inner) => self.grows(inner, bare),
            ExprKind::Call { callee, args, .. } => match &callee.kind {
                ExprKind::Member { object, name, .. } => match &object.kind {
                    ExprKind::Name(global) if matches!(global.as_ref(), "Array" | "Object") => self.is_foreign(value),
                    ExprKind::Name(global) if global.as_ref() == "JSON" => bare && self.is_foreign(value),
                    _ if !keeps_length(name, args) => false,
                    _ => (self.is_foreign(object) && !self.is_bounded(object)) || self.grows(object, true),
                },
                _ => false,
            },
            _ => bare && self.is_foreign(value),
        }
    }

    /// Whether the value was cut on its way.
    fn is_bounded(&self, value: &Expr) -> bool {
        match &value.kind {
            ExprKind::Name(name) => self.bounded.contains(name.as_ref()),
            ExprKind::Chain(inner) => self.is_bounded(inner),
            _ => false,
        }
    }

    fn compares_foreign(&self, test: &Expr) -> bool {
        let mut found = false;
        visit::expression(test, &mut |node| {
            if let Node::Expr(Expr { kind: ExprKind::Member { object, name, .. }, .. }) = node
                && name.as_ref() == "length"
                && self.is_foreign(object)
            {
                found = true;
            }
        });
        found && !has_number(test)
    }
}

/// Whether a method answers about as much as there was: not when it cuts or keeps what matches something written down.
fn keeps_length(method: &str, args: &[Item]) -> bool {
    match method {
        "slice" => args.len() < 2,
        "filter" => !args.iter().any(|arg| matches!(arg, Item::One(arg) if has_literal(arg))),
        "concat" | "flat" | "flatMap" | "map" | "reverse" | "sort" | "split" | "toSorted" | "toReversed" | "values"
        | "keys" | "entries" => true,
        _ => false,
    }
}

fn has_literal(value: &Expr) -> bool {
    let mut found = false;
    visit::expression(value, &mut |node| {
        found |= matches!(
            node,
            Node::Expr(Expr { kind: ExprKind::String(_) | ExprKind::Number(_) | ExprKind::Regex { .. }, .. })
        );
    });
    found
}

fn has_number(value: &Expr) -> bool {
    let mut found = false;
    visit::expression(value, &mut |node| {
        found |= matches!(node, Node::Expr(Expr { kind: ExprKind::Number(_), .. }));
    });
    found
}

/// Variables whose length is compared with something or set.
fn bounded_names(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    visit::statements(&tree.body, &mut |node| match node {
        Node::Expr(Expr { kind: ExprKind::Binary(op, left, right), .. }) => {
            let (small, large) = match op {
                BinaryOp::Less | BinaryOp::LessEqual => (left, right),
                BinaryOp::Greater | BinaryOp::GreaterEqual => (right, left),
                _ => return,
            };
            // `list.length < MAX` and `list.length >= MAX` bound a list; `i < list.length` walks it.
            for (list, bound) in [(small, large), (large, small)] {
                if let Some(name) = length_of(list)
                    && is_fixed(bound)
                {
                    names.insert(name);
                }
            }
        }
        Node::Target(Target::Member { object, name }) if name.as_ref() == "length" => {
            if let ExprKind::Name(list) = &object.kind {
                names.insert(list.as_ref());
            }
        }
        _ => {}
    });
    names
}

fn length_of(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Member { object, name, .. } if name.as_ref() == "length" => match &object.kind {
            ExprKind::Name(list) => Some(list),
            _ => None,
        },
        _ => None,
    }
}

/// A number above one, or a variable written like a constant.
fn is_fixed(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(number) => *number > 1.0,
        ExprKind::Name(name) => {
            let shouted = name.chars().any(char::is_uppercase) && !name.chars().any(char::is_lowercase);
            shouted || name.to_ascii_lowercase().contains("max") || name.to_ascii_lowercase().contains("limit")
        }
        _ => false,
    }
}

/// What the script itself returns, not functions inside it.
fn returned(body: &[Stmt]) -> Vec<&Expr> {
    let mut found = Vec::new();
    for stmt in body {
        visit::own_statements(stmt, &mut |stmt| {
            if let StmtKind::Return(Some(value)) = &stmt.kind {
                found.push(value);
            }
        });
    }
    found
}
