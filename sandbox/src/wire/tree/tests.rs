//! Trees come back as they were; nothing else is taken for one.

use engine::script::tree::*;
use proptest::prelude::*;

use super::{MAX_ELEMENTS, Reader, Tree, Writer, read_tree, write_tree};
use crate::wire::codec::frame;

fn bytes(tree: &Tree) -> Vec<u8> {
    let mut body = Vec::new();
    frame(&mut body, |to: &mut Writer<'_>| write_tree(tree, to)).unwrap();
    body.split_off(4)
}

fn there_and_back(tree: &Tree) -> Tree {
    let body = bytes(tree);
    let mut reader = Reader::new(&body);
    let read = read_tree(&mut reader).unwrap();
    reader.end().unwrap();
    read
}

fn at(line: u32) -> Span {
    Span { start: Position { line, column: 1 }, end: Position { line, column: 9 } }
}

fn expr(kind: ExprKind) -> Expr {
    Expr { span: at(3), kind }
}

fn names() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-z]{1,6}", "\\PC{0,5}"].prop_map(Into::into)
}

fn targets(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Target> {
    prop_oneof![
        names().prop_map(Target::Name),
        (inner.clone(), names()).prop_map(|(object, name)| Target::Member { object: Box::new(object), name }),
        (inner.clone(), inner).prop_map(|(a, b)| Target::Index { object: Box::new(a), index: Box::new(b) }),
        Just(Target::Opaque),
    ]
}

fn items(inner: BoxedStrategy<Expr>) -> impl Strategy<Value = Vec<Item>> {
    let item = prop_oneof![inner.clone().prop_map(Item::One), inner.prop_map(Item::Spread), Just(Item::Hole)];
    prop::collection::vec(item, 0..3)
}

fn exprs() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        names().prop_map(ExprKind::Name),
        names().prop_map(ExprKind::String),
        (-1e9..1e9_f64).prop_map(ExprKind::Number),
        any::<bool>().prop_map(ExprKind::Boolean),
        Just(ExprKind::Null),
        Just(ExprKind::Undefined),
        Just(ExprKind::Opaque),
        (names(), names()).prop_map(|(pattern, flags)| ExprKind::Regex { pattern, flags }),
    ]
    .prop_map(expr);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let inner = inner.boxed();
        let two = (inner.clone(), inner.clone()).prop_map(|(a, b)| (Box::new(a), Box::new(b)));
        let one = inner.clone().prop_map(Box::new);
        prop_oneof![
            two.clone().prop_map(|(a, b)| ExprKind::Binary(BinaryOp::StrictEqual, a, b)),
            two.clone().prop_map(|(a, b)| ExprKind::Logical(LogicalOp::Coalesce, a, b)),
            two.clone().prop_map(|(a, b)| ExprKind::Sequence(a, b)),
            two.prop_map(|(a, b)| ExprKind::Index { object: a, index: b, optional: true }),
            one.clone().prop_map(|a| ExprKind::Unary(UnaryOp::TypeOf, a)),
            one.clone().prop_map(ExprKind::Chain),
            (one.clone(), names()).prop_map(|(object, name)| ExprKind::Member { object, name, optional: false }),
            (one.clone(), items(inner.clone())).prop_map(|(callee, args)| ExprKind::Call {
                callee,
                args,
                optional: false
            }),
            (one.clone(), items(inner.clone())).prop_map(|(callee, args)| ExprKind::New { callee, args }),
            items(inner.clone()).prop_map(ExprKind::Array),
            targets(inner.clone()).prop_map(ExprKind::Delete),
            (targets(inner.clone()), any::<bool>()).prop_map(|(target, prefix)| ExprKind::Update {
                increment: true,
                prefix,
                target
            }),
            (targets(inner.clone()), one.clone()).prop_map(|(target, value)| ExprKind::Assign {
                op: Some(AssignOp::Binary(BinaryOp::Add)),
                target,
                value
            }),
            (names(), inner.clone()).prop_map(|(text, value)| {
                ExprKind::Template(vec![TemplatePart::Text(text), TemplatePart::Expr(value)])
            }),
            (names(), inner.clone()).prop_map(|(name, value)| {
                ExprKind::Object(vec![Property::Value(Key::Name(name), value.clone()), Property::Spread(value)])
            }),
            (names(), inner.clone(), any::<bool>()).prop_map(|(name, value, rest)| {
                let params = vec![Declarator { target: Pattern::Name(name.clone()), init: Some(value.clone()) }];
                let body = vec![Stmt { span: Some(at(4)), kind: StmtKind::Return(Some(value)) }];
                ExprKind::Function(Box::new(Function { name: Some(name), params, rest, body }))
            }),
        ]
        .prop_map(expr)
    })
    .boxed()
}

fn stmts() -> impl Strategy<Value = Stmt> {
    let stmt = |kind| Stmt { span: None, kind };
    let pattern = names().prop_map(|name| {
        Pattern::Array(vec![ArrayPart { target: Some(Pattern::Name(name)), default: None, rest: true }])
    });
    let leaf = prop_oneof![
        exprs().prop_map(StmtKind::Expr),
        exprs().prop_map(|value| StmtKind::Return(Some(value))),
        exprs().prop_map(StmtKind::Throw),
        names().prop_map(|label| StmtKind::Break(Some(label))),
        Just(StmtKind::Continue(None)),
        Just(StmtKind::Empty),
        Just(StmtKind::Opaque),
        (pattern, exprs()).prop_map(|(target, init)| StmtKind::Declare(
            DeclareKind::Let,
            vec![Declarator { target, init: Some(init) }]
        )),
    ]
    .prop_map(stmt);
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            list.clone().prop_map(StmtKind::Block),
            (exprs(), inner.clone()).prop_map(|(test, then)| StmtKind::If {
                test,
                then: Box::new(then),
                otherwise: None
            }),
            (exprs(), inner.clone()).prop_map(|(test, body)| StmtKind::DoWhile { test, body: Box::new(body) }),
            (exprs(), inner.clone()).prop_map(|(subject, body)| StmtKind::ForEach {
                each: Each::Of,
                target: EachTarget::Name("x".into()),
                subject,
                body: Box::new(body)
            }),
            (exprs(), list.clone())
                .prop_map(|(subject, body)| StmtKind::Switch { subject, cases: vec![Case { test: None, body }] }),
            (list.clone(), list).prop_map(|(block, handler)| StmtKind::Try {
                block,
                param: None,
                handler: Some(handler),
                finalizer: None
            }),
        ]
        .prop_map(stmt)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_comes_back(body in prop::collection::vec(stmts(), 0..4)) {
        let tree = Tree { body };
        prop_assert_eq!(there_and_back(&tree), tree);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_tree(&mut Reader::new(&body));
    }

    #[test]
    fn a_spoilt_tree_is_read_or_refused(body in prop::collection::vec(stmts(), 1..3), at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = bytes(&Tree { body });
        let at = at.index(body.len());
        body[at] = byte;
        let _ = read_tree(&mut Reader::new(&body));
    }
}

fn nested_expr(depth: usize) -> Tree {
    let mut inner = expr(ExprKind::Null);
    for _ in 2..depth {
        inner = expr(ExprKind::Unary(UnaryOp::Not, Box::new(inner)));
    }
    Tree { body: vec![Stmt { span: None, kind: StmtKind::Expr(inner) }] }
}

fn nested_stmt(depth: usize) -> Tree {
    let mut inner = Stmt { span: None, kind: StmtKind::Empty };
    for _ in 1..depth {
        inner = Stmt {
            span: None,
            kind: StmtKind::If { test: expr(ExprKind::Null), then: Box::new(inner), otherwise: None },
        };
    }
    Tree { body: vec![inner] }
}

#[test]
fn the_deepest_tree_fits_the_stack_of_any_thread() {
    for tree in [nested_expr(MAX_DEPTH), nested_stmt(MAX_DEPTH)] {
        let body = bytes(&tree);
        let read = std::thread::Builder::new()
            .stack_size(2 * 1024 * 1024)
            .spawn(move || read_tree(&mut Reader::new(&body)).unwrap());
        assert_eq!(read.unwrap().join().unwrap(), tree);
    }
}

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    let holes = Tree {
        body: vec![Stmt { span: None, kind: StmtKind::Expr(expr(ExprKind::Array(vec![Item::Hole; MAX_ELEMENTS]))) }],
    };
    let wide = Tree { body: vec![Stmt { span: None, kind: StmtKind::Empty }; MAX_NODES + 1] };
    for tree in [nested_expr(MAX_DEPTH + 4), nested_stmt(MAX_DEPTH + 4), holes, wide] {
        let body = bytes(&tree);
        assert!(read_tree(&mut Reader::new(&body)).is_err());
    }
}
