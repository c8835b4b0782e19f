//! What a script that parses may still not use: the Java classes that Nashorn offers and this sandbox never will.
//!
//! Such a script would fail on its first run; on save its author is told so, and told what to use instead (D 7.1).
//! A name the script declares or assigns itself is its own, and one it asks for by `typeof` first is taken for guarded.

use std::collections::BTreeSet;

use super::tree::{Expr, ExprKind, Item, Pattern, Span, Target, Tree, UnaryOp};
use super::visit::{self, Node};

/// Why a script is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands, when the parser knows.
    pub span: Option<Span>,
    /// What it is and what to do, for a person.
    pub message: String,
}

/// Whether the script keeps to what the sandbox has.
///
/// # Errors
/// The first use of something that only a Java runtime has.
pub fn check(tree: &Tree) -> Result<(), Problem> {
    let own = own_names(tree);
    let mut found = None;
    let mut called_with_claims = BTreeSet::new();
    visit::statements(&tree.body, &mut |node| {
        let Node::Expr(expr) = node else { return };
        if let Some(callee) = criterion_call(expr) {
            called_with_claims.insert((callee.span.start, callee.span.end));
        }
        let ExprKind::Name(name) = &expr.kind else { return };
        let is_call = called_with_claims.contains(&(expr.span.start, expr.span.end));
        if found.is_none()
            && !own.contains(name.as_ref())
            && let Some(advice) = advice(name)
            && !(is_call && is_plain_word(name))
        {
            let message = format!("`{name}` is not available: scripts have no access to {advice}");
            found = Some(Problem { span: Some(expr.span), message });
        }
    });
    found.map_or(Ok(()), Err)
}

/// Names that mean something else than what Nashorn gives: the script's own, and those it asks for first.
fn own_names(tree: &Tree) -> BTreeSet<&str> {
    let mut own = BTreeSet::new();
    visit::statements(&tree.body, &mut |node| match node {
        Node::Pattern(Pattern::Name(name)) | Node::Target(Target::Name(name)) => {
            own.insert(name.as_ref());
        }
        Node::Function(function) => own.extend(function.name.as_deref()),
        Node::Expr(Expr { kind: ExprKind::Unary(UnaryOp::TypeOf, operand), .. }) => {
            if let ExprKind::Name(name) = &operand.kind {
                own.insert(name);
            }
        }
        Node::Expr(_) | Node::Stmt(_) | Node::Pattern(_) | Node::Target(_) => {}
    });
    own
}

/// The function's name in a call that looks like one of a criteria script.
fn criterion_call(expr: &Expr) -> Option<&Expr> {
    let ExprKind::Call { callee, args, .. } = &expr.kind else { return None };
    let claims =
        |item: &Item| matches!(item, Item::One(Expr { kind: ExprKind::Name(name), .. }) if name.as_ref() == "claims");
    match (&callee.kind, args.as_slice()) {
        (ExprKind::Name(_), [only]) if claims(only) => Some(callee),
        _ => None,
    }
}

/// Whether somebody may have called a criteria script so.
fn is_plain_word(name: &str) -> bool {
    matches!(name, "exit" | "java" | "javax" | "load" | "org" | "quit")
}

/// What the name stands for and what to use instead.
fn advice(name: &str) -> Option<&'static str> {
    match name {
        "Java" | "JavaImporter" | "Packages" | "importClass" | "importPackage" | "java" | "javax" | "JavaAdapter" => {
            Some(
                "Java classes; use what JavaScript has instead: `Date` for times, `Math` for numbers, arrays and objects for lists and maps, \
             `atob` and `btoa` for base64, `httpGet` and its like for the network",
            )
        }
        "load" | "loadWithNewGlobal" | "readFully" | "readLine" => Some(
            "files or other sources; put the code into this script, or into a criteria script that policies call by name",
        ),
        "$ENV" | "$EXEC" | "$ARG" | "$OPTIONS" => {
            Some("the environment or other programs; keep tokens and the like in a secret and write `%SECRET:NAME%`")
        }
        "exit" | "quit" => Some("the process they run in; use `return` to end the script"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::tree::{Position, Stmt, StmtKind};

    fn at(column: u32) -> Span {
        let position = |column| Position { line: 1, column };
        Span { start: position(column), end: position(column + 1) }
    }

    fn expr(column: u32, kind: ExprKind) -> Expr {
        Expr { span: at(column), kind }
    }

    fn name(column: u32, name: &str) -> Box<Expr> {
        Box::new(expr(column, ExprKind::Name(name.into())))
    }

    fn tree(kinds: Vec<ExprKind>) -> Tree {
        let stmt = |kind| Stmt { span: None, kind: StmtKind::Expr(expr(1, kind)) };
        Tree { body: kinds.into_iter().map(stmt).collect() }
    }

    fn member(object: &str) -> ExprKind {
        ExprKind::Member { object: name(5, object), name: "type".into(), optional: false }
    }

    fn call(callee: &str, arg: &str) -> ExprKind {
        ExprKind::Call { callee: name(7, callee), args: vec![Item::One(*name(9, arg))], optional: false }
    }

    #[test]
    fn java_is_refused_with_its_place() {
        let problem = check(&tree(vec![member("Java")])).unwrap_err();
        assert_eq!(problem.span, Some(at(5)));
        assert!(problem.message.starts_with("`Java` is not available"), "{}", problem.message);
        for kind in
            [member("Packages"), member("java"), call("load", "x"), call("quit", "x"), call("importPackage", "claims")]
        {
            assert!(check(&tree(vec![kind.clone()])).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn names_of_its_own_and_guarded_ones_are_admitted() {
        let guard = ExprKind::Unary(UnaryOp::TypeOf, name(2, "Java"));
        assert_eq!(check(&tree(vec![guard, member("Java")])), Ok(()));
        let assigned = ExprKind::Assign { op: None, target: Target::Name("java".into()), value: name(3, "claims") };
        assert_eq!(check(&tree(vec![assigned, member("java")])), Ok(()));
        assert_eq!(check(&tree(vec![call("load", "claims"), member("claims")])), Ok(()));
    }
}
