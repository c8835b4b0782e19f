//! Rule `missing-return`: a way through the script that ends without a result, and callbacks that answer nothing.

use super::Finding;
use crate::script::ScriptKind;
use crate::script::tree::{Case, Expr, ExprKind, Function, Item, Stmt, StmtKind, Tree};
use crate::script::visit::{self, Node};

pub(super) fn check(tree: &Tree, kind: ScriptKind, findings: &mut Vec<Finding>) {
    if !tree.body.iter().any(never_ends) {
        let wanted = match kind {
            ScriptKind::Policy | ScriptKind::Criteria | ScriptKind::Condition => "`return true;` or `return false;`",
            ScriptKind::Host | ScriptKind::PortOrType | ScriptKind::AppShortcut => "`return [];`",
            ScriptKind::UserClaim => "`return {};`",
        };
        let message = format!(
            "the script can end without `return`, which is a wrong result for a {kind} script; end it with {wanted} or what else it should answer then"
        );
        findings.push(Finding { code: "missing-return", span: None, message });
    }
    visit::statements(&tree.body, &mut |node| {
        if let Node::Expr(Expr { span, kind: ExprKind::Call { callee, args, .. } }) = node
            && let ExprKind::Member { name, .. } = &callee.kind
            && let Some(Item::One(Expr { kind: ExprKind::Function(function), .. })) = args.first()
            && wants_answers(name)
            && !answers(function)
        {
            let message = format!(
                "the function given to `{name}` never returns anything; write `return` before what it should answer"
            );
            findings.push(Finding { code: "missing-return", span: Some(*span), message });
        }
    });
}

fn wants_answers(method: &str) -> bool {
    matches!(method, "every" | "filter" | "find" | "findIndex" | "flatMap" | "map" | "reduce" | "some")
}

/// Whether the function, not one inside it, returns a value somewhere.
fn answers(function: &Function) -> bool {
    let mut found = false;
    for stmt in &function.body {
        visit::own_statements(stmt, &mut |stmt| {
            found |= matches!(stmt.kind, StmtKind::Return(Some(_)) | StmtKind::Throw(_) | StmtKind::Opaque);
        });
    }
    found
}

/// Whether nothing behind this statement is ever reached through it.
pub(super) fn never_ends(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Return(_) | StmtKind::Throw(_) | StmtKind::Continue(_) | StmtKind::Break(_) => true,
        // What is not modelled gets the benefit of the doubt.
        StmtKind::Opaque => true,
        StmtKind::Block(body) => body.iter().any(never_ends),
        StmtKind::If { then, otherwise, .. } => never_ends(then) && otherwise.as_deref().is_some_and(never_ends),
        StmtKind::Try { block, handler, finalizer, .. } => {
            finalizer.as_ref().is_some_and(|body| body.iter().any(never_ends))
                || (block.iter().any(never_ends) && handler.as_ref().is_none_or(|body| body.iter().any(never_ends)))
        }
        StmtKind::While { test, body } => is_true(test) && !breaks(body),
        StmtKind::For { test, body, .. } => test.as_ref().is_none_or(is_true) && !breaks(body),
        StmtKind::DoWhile { body, test } => (is_true(test) || never_ends(body)) && !breaks(body),
        StmtKind::Switch { cases, .. } => switch_never_ends(cases),
        StmtKind::Labelled(_, body) => never_ends(body),
        StmtKind::Empty
        | StmtKind::Expr(_)
        | StmtKind::Declare(..)
        | StmtKind::Function(_)
        | StmtKind::ForEach { .. } => false,
    }
}

fn is_true(test: &Expr) -> bool {
    matches!(test.kind, ExprKind::Boolean(true)) || matches!(test.kind, ExprKind::Number(number) if number != 0.0)
}

/// Whether some `break` or `continue` may leave the statement; of loops inside, one of theirs is taken for one of ours.
fn breaks(body: &Stmt) -> bool {
    let mut found = false;
    visit::own_statements(body, &mut |stmt| found |= matches!(stmt.kind, StmtKind::Break(_)));
    found
}

fn switch_never_ends(cases: &[Case]) -> bool {
    let has_default = cases.iter().any(|case| case.test.is_none());
    let last_ends = cases.last().is_some_and(|case| case.body.iter().any(never_ends));
    let leaves = cases.iter().flat_map(|case| &case.body).any(breaks);
    has_default && last_ends && !leaves
}
