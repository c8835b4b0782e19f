//! Rule `implicit-global`: a variable that is assigned and nowhere declared.

use std::collections::BTreeSet;

use super::Finding;
use crate::script::tree::{EachTarget, Expr, ExprKind, Pattern, Span, StmtKind, Target, Tree};
use crate::script::visit::{self, Node};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut declared = BTreeSet::from(["claims"]);
    let mut assigned: Vec<(&str, Option<Span>)> = Vec::new();
    visit::statements(&tree.body, &mut |node| match node {
        Node::Pattern(Pattern::Name(name)) => {
            declared.insert(name.as_ref());
        }
        Node::Function(function) => declared.extend(function.name.as_deref()),
        Node::Expr(Expr { span, kind: ExprKind::Assign { target, .. } | ExprKind::Update { target, .. } }) => {
            if let Target::Name(name) = target {
                assigned.push((name, Some(*span)));
            }
        }
        Node::Stmt(stmt) => {
            if let StmtKind::ForEach { target: EachTarget::Name(name), subject, .. } = &stmt.kind {
                assigned.push((name, Some(subject.span)));
            }
        }
        Node::Pattern(_) | Node::Expr(_) | Node::Target(_) => {}
    });
    let mut told = BTreeSet::new();
    for (name, span) in assigned {
        if !declared.contains(name) && told.insert(name) {
            let message = format!(
                "`{name}` is declared nowhere, so this makes a global variable; write `var {name}` or `let {name}` first"
            );
            findings.push(Finding { code: "implicit-global", span, message });
        }
    }
}
