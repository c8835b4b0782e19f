//! Scripts that want too much, and those that another engine may read differently.

use serde_json::{Value as Json, json};

use crate::script::ScriptKind;
use crate::script::native::{Bail, compile};
use crate::script::tree::*;

fn expr(kind: ExprKind) -> Expr {
    let position = Position { line: 1, column: 1 };
    Expr { span: Span { start: position, end: position }, kind }
}

fn name(name: &str) -> Expr {
    expr(ExprKind::Name(name.into()))
}

fn number(number: f64) -> Expr {
    expr(ExprKind::Number(number))
}

fn list(items: Vec<Expr>) -> Expr {
    expr(ExprKind::Array(items.into_iter().map(Item::One).collect()))
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    expr(ExprKind::Binary(op, Box::new(left), Box::new(right)))
}

fn assign(target: &str, value: Expr) -> Expr {
    expr(ExprKind::Assign { op: None, target: Target::Name(target.into()), value: Box::new(value) })
}

fn method(object: Expr, method: &str, arg: Expr) -> Expr {
    let callee = expr(ExprKind::Member { object: Box::new(object), name: method.into(), optional: false });
    expr(ExprKind::Call { callee: Box::new(callee), args: vec![Item::One(arg)], optional: false })
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt { span: None, kind }
}

fn run(expr: Expr) -> Stmt {
    stmt(StmtKind::Expr(expr))
}

fn give(expr: Expr) -> Stmt {
    stmt(StmtKind::Return(Some(expr)))
}

fn var(name: &str, init: Expr) -> Stmt {
    let item = Declarator { target: Pattern::Name(name.into()), init: Some(init) };
    stmt(StmtKind::Declare(DeclareKind::Var, vec![item]))
}

fn function(body: Vec<Stmt>) -> Expr {
    expr(ExprKind::Function(Box::new(Function { name: None, params: Vec::new(), rest: false, body })))
}

/// `body` for each pair of 60 elements.
fn many(body: Expr) -> Vec<Stmt> {
    let inner = run(method(name("l"), "forEach", function(vec![run(body)])));
    vec![var("l", list(vec![number(1.0); 60])), run(method(name("l"), "forEach", function(vec![inner])))]
}

fn answer(mut before: Vec<Stmt>, body: Vec<Stmt>, claims: &Json) -> Result<Json, Bail> {
    before.extend(body);
    before.push(give(expr(ExprKind::Boolean(false))));
    compile(&Tree { body: before }, ScriptKind::Policy, &|_| None).unwrap().run(claims, 0)
}

fn refused(body: Vec<Stmt>) -> bool {
    compile(&Tree { body }, ScriptKind::Policy, &|_| None).is_err()
}

fn nested(mut inner: Expr, around: fn(Expr) -> Expr) -> Expr {
    for _ in 0..5 {
        inner = around(inner);
    }
    inner
}

#[test]
fn values_nest_no_deeper_than_any_stack_holds() {
    let shapes: [fn(Expr) -> Expr; 4] = [
        |inner| list(vec![inner]),
        |inner| expr(ExprKind::Object(vec![Property::Value(Key::Name("a".into()), inner)])),
        |inner| method(list(Vec::new()), "concat", list(vec![inner])),
        |inner| method(list(vec![number(1.0)]), "map", function(vec![give(inner)])),
    ];
    let ran = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
        for shape in shapes {
            let body = many(assign("x", nested(name("x"), shape)));
            let ended = answer(vec![var("x", list(Vec::new()))], body, &json!({}));
            // Of nesting, long before the steps are used up.
            assert!(ended.is_err_and(|bail| bail.0.ends_with("that is not exactly covered")));
        }
    });
    ran.unwrap().join().unwrap();
}

/// Each would end only after seconds if the length of what it looks at were free.
#[test]
fn looking_at_long_texts_and_wide_lists_uses_up_the_steps() {
    let text = "x".repeat(60_000);
    let foreign = "\u{e4}".repeat(30_000);
    let nested = json!([[null, null], [null, null]]);
    let numbers: Vec<u32> = (0..9_000).collect();
    let claims = json!({ "user": { "t": text, "f": foreign, "n": nested, "l": numbers } });
    let user = |part: &str| {
        let user = expr(ExprKind::Member { object: Box::new(name("claims")), name: "user".into(), optional: false });
        expr(ExprKind::Member { object: Box::new(user), name: part.into(), optional: false })
    };
    let unary = |op, operand| expr(ExprKind::Unary(op, Box::new(operand)));
    let built_in = |function: &str, arg| {
        expr(ExprKind::Call { callee: Box::new(name(function)), args: vec![Item::One(arg)], optional: false })
    };
    let bodies = [
        binary(BinaryOp::Less, user("t"), user("t")),
        binary(BinaryOp::StrictEqual, user("t"), user("t")),
        binary(BinaryOp::Equal, user("f"), user("f")),
        binary(BinaryOp::Less, user("f"), user("f")),
        binary(BinaryOp::Sub, user("t"), number(1.0)),
        unary(UnaryOp::Plus, user("t")),
        method(user("t"), "indexOf", user("t")),
        method(user("t"), "startsWith", user("t")),
        method(list(vec![user("t")]), "includes", user("t")),
        method(list(vec![user("t")]), "containsText", user("t")),
        method(user("l"), "join", expr(ExprKind::String("".into()))),
        method(user("l"), "map", name("Number")),
        built_in("parseInt", user("t")),
        built_in("isNaN", user("t")),
        expr(ExprKind::Member { object: Box::new(user("f")), name: "length".into(), optional: false }),
        expr(ExprKind::Index { object: Box::new(user("f")), index: Box::new(number(9.0)), optional: false }),
    ];
    for body in bodies {
        let shown = format!("{body:?}");
        assert_eq!(answer(Vec::new(), many(body), &claims), Err(Bail("too many steps")), "{shown}");
    }
}

/// A list that holds another many times over is small in memory and vast as a text.
#[test]
fn shared_parts_count_each_time_they_are_looked_at() {
    let wide = |of: Expr| list(vec![of; 50]);
    let twice = |of: &str| list((0..50).map(|_| name(of)).collect());
    let body = vec![
        var("a", wide(expr(ExprKind::Null))),
        var("b", twice("a")),
        var("c", twice("b")),
        var("d", twice("c")),
        run(method(name("d"), "join", expr(ExprKind::String("".into())))),
    ];
    assert_eq!(answer(Vec::new(), body, &json!({})), Err(Bail("too many steps")));
}

#[test]
fn a_variable_that_changes_while_it_is_used_is_refused() {
    let one = || var("x", number(1.0));
    let changed = || assign("x", number(2.0));
    let updated = || expr(ExprKind::Update { increment: true, prefix: true, target: Target::Name("x".into()) });
    let compound = expr(ExprKind::Assign {
        op: Some(AssignOp::Binary(BinaryOp::Add)),
        target: Target::Name("x".into()),
        value: Box::new(changed()),
    });
    for bad in [
        binary(BinaryOp::Add, name("x"), changed()),
        binary(BinaryOp::StrictEqual, name("x"), updated()),
        binary(BinaryOp::Less, name("x"), method(list(Vec::new()), "map", function(vec![run(changed())]))),
        binary(BinaryOp::Add, expr(ExprKind::Sequence(Box::new(number(0.0)), Box::new(name("x")))), changed()),
        list(vec![name("x"), changed()]),
        binary(BinaryOp::Add, changed(), changed()),
        binary(BinaryOp::Add, updated(), updated()),
        compound,
    ] {
        let shown = format!("{bad:?}");
        assert!(refused(vec![one(), give(bad)]), "{shown}");
    }
    let case = Case { test: Some(changed()), body: Vec::new() };
    assert!(refused(vec![one(), stmt(StmtKind::Switch { subject: name("x"), cases: vec![case] })]));
    // Assigning what was worked out before is what scripts do all the time.
    assert!(!refused(vec![one(), run(assign("x", binary(BinaryOp::Add, name("x"), number(1.0))))]));
    assert!(!refused(vec![one(), run(updated())]));
}

#[test]
fn names_that_the_language_gives_a_meaning_are_refused() {
    for special in [
        "arguments",
        "Number",
        "String",
        "Boolean",
        "parseInt",
        "parseFloat",
        "Array",
        "Object",
        "Math",
        "Date",
        "JSON",
        "isNaN",
        "isFinite",
        "undefined",
        "NaN",
        "Infinity",
        "eval",
        "globalThis",
    ] {
        assert!(refused(vec![var(special, number(1.0))]), "{special}");
        assert!(refused(vec![run(assign(special, number(1.0)))]), "{special}");
        let param = Declarator { target: Pattern::Name(special.into()), init: None };
        let inner = Function { name: Some("f".into()), params: vec![param], rest: false, body: Vec::new() };
        assert!(refused(vec![stmt(StmtKind::Function(Box::new(inner)))]), "{special}");
        let named = Function { name: Some(special.into()), params: Vec::new(), rest: false, body: Vec::new() };
        assert!(refused(vec![stmt(StmtKind::Function(Box::new(named)))]), "{special}");
    }
    assert!(refused(vec![give(name("arguments"))]));
    assert!(!refused(vec![var("other", number(1.0))]));
}
