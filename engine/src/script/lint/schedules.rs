//! Rule `http-without-schedule`: what a condition learned over HTTP is never asked again when nothing makes it run again (D 13).

use super::paths::is_http_call;
use super::source::Source;
use super::{Finding, LintContext};
use crate::script::ScriptKind;
use crate::script::tree::Tree;
use crate::script::visit::{self, Node};

pub(super) fn check(tree: &Tree, context: &LintContext<'_>, source: &Source<'_>, findings: &mut Vec<Finding>) {
    let scheduled = context.schedules.is_some_and(|schedules| !schedules.is_empty()) || source.names_a_schedule();
    if context.kind != ScriptKind::Condition || scheduled {
        return;
    }
    let mut first = None;
    visit::statements(&tree.body, &mut |node| {
        if let Node::Expr(expr) = node
            && is_http_call(expr)
        {
            first.get_or_insert(expr.span);
        }
    });
    if let Some(span) = first {
        let message = "the condition asks over HTTP but has no repeat schedule, so a change of the answer goes unnoticed while the session lasts; \
                       give it one, such as `15m`";
        findings.push(Finding { code: "http-without-schedule", span: Some(span), message: message.to_owned() });
    }
}
