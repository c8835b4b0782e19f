//! The deepest trees there are, on the stack of an ordinary thread.

use super::lint::{LintContext, lint};
use super::tree::*;
use super::{ScriptKind, admission, lanes, native};

fn span() -> Span {
    let position = Position { line: 1, column: 1 };
    Span { start: position, end: position }
}

fn expr(kind: ExprKind) -> Expr {
    Expr { span: span(), kind }
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt { span: None, kind }
}

fn boxed(expr: Expr) -> Box<Expr> {
    Box::new(expr)
}

fn name(name: &str) -> Box<Expr> {
    boxed(expr(ExprKind::Name(name.into())))
}

/// One level around an expression.
type Around = fn(Expr) -> Expr;

/// `MAX_DEPTH` levels of one kind.
fn deep(around: Around) -> Tree {
    let mut inner = expr(ExprKind::Null);
    for _ in 0..MAX_DEPTH {
        inner = around(inner);
    }
    Tree { body: vec![stmt(StmtKind::Return(Some(inner)))] }
}

fn deep_statements() -> Tree {
    let mut inner = stmt(StmtKind::Empty);
    for _ in 0..MAX_DEPTH {
        inner = stmt(StmtKind::If { test: *name("claims"), then: Box::new(inner), otherwise: None });
    }
    Tree { body: vec![inner] }
}

#[test]
fn the_deepest_trees_are_read_on_any_stack() {
    let shapes: [Around; 7] = [
        |inner| expr(ExprKind::Unary(UnaryOp::Not, boxed(inner))),
        |inner| expr(ExprKind::Call { callee: name("f"), args: vec![Item::One(inner)], optional: false }),
        |inner| expr(ExprKind::Member { object: boxed(inner), name: "x".into(), optional: false }),
        |inner| expr(ExprKind::Object(vec![Property::Value(Key::Name("x".into()), inner)])),
        |inner| expr(ExprKind::Logical(LogicalOp::And, boxed(inner), name("claims"))),
        |inner| expr(ExprKind::Assign { op: None, target: Target::Name("x".into()), value: boxed(inner) }),
        |inner| {
            let body = vec![stmt(StmtKind::Return(Some(inner)))];
            expr(ExprKind::Function(Box::new(Function { name: None, params: Vec::new(), rest: false, body })))
        },
    ];
    let mut trees: Vec<Tree> = shapes.into_iter().map(deep).collect();
    trees.push(deep_statements());
    let walked = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        for tree in &trees {
            let _ = admission::check(tree);
            let _ = lanes::analyse(tree, &|_| true);
            assert!(native::compile(tree, ScriptKind::Policy, &|_| None).is_err());
            let context = LintContext { kind: ScriptKind::Host, schedules: None, secrets: None, source: "" };
            let _ = lint(tree, &context);
        }
    });
    walked.unwrap().join().unwrap();
}
