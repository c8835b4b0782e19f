//! Shows every part of a tree to a caller, each before what is inside it.
//!
//! Recursion is bounded by the tree's own bounds.

use super::tree::{
    Declarator, EachTarget, Expr, ExprKind, Function, Item, Key, Pattern, Property, Stmt, StmtKind, Target,
    TemplatePart,
};

/// One part of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node<'t> {
    /// A statement.
    Stmt(&'t Stmt),
    /// An expression.
    Expr(&'t Expr),
    /// What a declaration, a parameter or a loop binds.
    Pattern(&'t Pattern),
    /// What an assignment writes to.
    Target(&'t Target),
    /// A function; its name is declared inside, or around where it is a statement.
    Function(&'t Function),
}

/// Shows every part of `body` to `see`.
pub(super) fn statements<'t>(body: &'t [Stmt], see: &mut dyn FnMut(Node<'t>)) {
    body.iter().for_each(|stmt| statement(stmt, see));
}

/// Shows a statement and what is inside it to `see`.
pub(super) fn statement<'t>(stmt: &'t Stmt, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Stmt(stmt));
    match &stmt.kind {
        StmtKind::Empty | StmtKind::Break(_) | StmtKind::Continue(_) | StmtKind::Opaque | StmtKind::Return(None) => {}
        StmtKind::Expr(value) | StmtKind::Throw(value) | StmtKind::Return(Some(value)) => expression(value, see),
        StmtKind::Declare(_, list) => list.iter().for_each(|item| declarator(item, see)),
        StmtKind::Function(inner) => function(inner, see),
        StmtKind::If { test, then, otherwise } => {
            expression(test, see);
            statement(then, see);
            if let Some(otherwise) = otherwise {
                statement(otherwise, see);
            }
        }
        StmtKind::While { test, body } | StmtKind::DoWhile { body, test } => {
            expression(test, see);
            statement(body, see);
        }
        StmtKind::For { init, test, update, body } => {
            if let Some(init) = init {
                statement(init, see);
            }
            test.iter().chain(update).for_each(|part| expression(part, see));
            statement(body, see);
        }
        StmtKind::ForEach { target, subject, body, .. } => {
            if let EachTarget::Declare(_, bound) = target {
                pattern(bound, see);
            }
            expression(subject, see);
            statement(body, see);
        }
        StmtKind::Block(body) => statements(body, see),
        StmtKind::Switch { subject, cases } => {
            expression(subject, see);
            for case in cases {
                case.test.iter().for_each(|test| expression(test, see));
                statements(&case.body, see);
            }
        }
        StmtKind::Try { block, param, handler, finalizer } => {
            statements(block, see);
            param.iter().for_each(|param| pattern(param, see));
            statements(handler.as_deref().unwrap_or_default(), see);
            statements(finalizer.as_deref().unwrap_or_default(), see);
        }
        StmtKind::Labelled(_, body) => statement(body, see),
    }
}

/// Shows a statement and the statements inside it to `see`, those of functions left out.
pub(super) fn own_statements<'t>(stmt: &'t Stmt, see: &mut dyn FnMut(&'t Stmt)) {
    see(stmt);
    match &stmt.kind {
        StmtKind::If { then, otherwise, .. } => {
            own_statements(then, see);
            otherwise.iter().for_each(|otherwise| own_statements(otherwise, see));
        }
        StmtKind::While { body, .. }
        | StmtKind::DoWhile { body, .. }
        | StmtKind::For { body, .. }
        | StmtKind::ForEach { body, .. }
        | StmtKind::Labelled(_, body) => own_statements(body, see),
        StmtKind::Block(body) => body.iter().for_each(|stmt| own_statements(stmt, see)),
        StmtKind::Switch { cases, .. } => {
            cases.iter().flat_map(|case| &case.body).for_each(|stmt| own_statements(stmt, see));
        }
        StmtKind::Try { block, handler, finalizer, .. } => {
            let parts = [Some(block), handler.as_ref(), finalizer.as_ref()];
            parts.into_iter().flatten().flatten().for_each(|stmt| own_statements(stmt, see));
        }
        StmtKind::Empty
        | StmtKind::Expr(_)
        | StmtKind::Declare(..)
        | StmtKind::Function(_)
        | StmtKind::Return(_)
        | StmtKind::Throw(_)
        | StmtKind::Break(_)
        | StmtKind::Continue(_)
        | StmtKind::Opaque => {}
    }
}

/// Shows an expression and what is inside it to `see`.
pub(super) fn expression<'t>(expr: &'t Expr, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Expr(expr));
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
            TemplatePart::Expr(inner) => expression(inner, see),
        }),
        ExprKind::Array(list) => items(list, see),
        ExprKind::Object(properties) => properties.iter().for_each(|part| property(part, see)),
        ExprKind::Function(inner) => function(inner, see),
        ExprKind::Unary(_, inner) | ExprKind::Chain(inner) => expression(inner, see),
        ExprKind::Binary(_, left, right) | ExprKind::Logical(_, left, right) | ExprKind::Sequence(left, right) => {
            expression(left, see);
            expression(right, see);
        }
        ExprKind::Assign { target, value, .. } => {
            written(target, see);
            expression(value, see);
        }
        ExprKind::Delete(target) | ExprKind::Update { target, .. } => written(target, see),
        ExprKind::Conditional { test, then, otherwise } => {
            [test, then, otherwise].into_iter().for_each(|part| expression(part, see));
        }
        ExprKind::Call { callee, args, .. } | ExprKind::New { callee, args } => {
            expression(callee, see);
            items(args, see);
        }
        ExprKind::Member { object, .. } => expression(object, see),
        ExprKind::Index { object, index, .. } => {
            expression(object, see);
            expression(index, see);
        }
    }
}

fn items<'t>(list: &'t [Item], see: &mut dyn FnMut(Node<'t>)) {
    for item in list {
        match item {
            Item::One(value) | Item::Spread(value) => expression(value, see),
            Item::Hole => {}
        }
    }
}

fn property<'t>(property: &'t Property, see: &mut dyn FnMut(Node<'t>)) {
    match property {
        Property::Value(name, value) => {
            key(name, see);
            expression(value, see);
        }
        Property::Spread(value) => expression(value, see),
        Property::Opaque => {}
    }
}

fn key<'t>(key: &'t Key, see: &mut dyn FnMut(Node<'t>)) {
    match key {
        Key::Name(_) => {}
        Key::Computed(value) => expression(value, see),
    }
}

fn written<'t>(target: &'t Target, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Target(target));
    match target {
        Target::Name(_) | Target::Opaque => {}
        Target::Member { object, .. } => expression(object, see),
        Target::Index { object, index } => {
            expression(object, see);
            expression(index, see);
        }
    }
}

fn function<'t>(function: &'t Function, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Function(function));
    function.params.iter().for_each(|param| declarator(param, see));
    statements(&function.body, see);
}

fn declarator<'t>(item: &'t Declarator, see: &mut dyn FnMut(Node<'t>)) {
    pattern(&item.target, see);
    item.init.iter().for_each(|init| expression(init, see));
}

fn pattern<'t>(bound: &'t Pattern, see: &mut dyn FnMut(Node<'t>)) {
    see(Node::Pattern(bound));
    match bound {
        Pattern::Name(_) | Pattern::Opaque => {}
        Pattern::Object(parts) => {
            for part in parts {
                part.key.iter().for_each(|name| key(name, see));
                part.default.iter().for_each(|value| expression(value, see));
                pattern(&part.target, see);
            }
        }
        Pattern::Array(parts) => {
            for part in parts {
                part.default.iter().for_each(|value| expression(value, see));
                part.target.iter().for_each(|target| pattern(target, see));
            }
        }
    }
}
