//! Names that a script must leave alone for its proof to mean anything.

use crate::script::tree::{DeclareKind, EachTarget, ExprKind, Pattern, StmtKind, Target, Tree};
use crate::script::visit::{self, Node};

use super::scope::pattern_names;

/// What a script does to the names that stand for what it was called with.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Whether `claims` may mean something else than the parameter of the script, inner parameters aside.
    pub(super) claims: bool,
    /// Whether `arguments` occurs, which is an object nobody declared even where it is declared.
    pub(super) arguments: bool,
}

impl Bound {
    /// Reads a whole script.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut bound = Self::default();
        visit::statements(&tree.body, &mut |node| bound.see(node));
        bound
    }

    fn see(&mut self, node: Node<'_>) {
        match node {
            Node::Stmt(stmt) => match &stmt.kind {
                StmtKind::Declare(DeclareKind::Var | DeclareKind::Let | DeclareKind::Const, list) => {
                    list.iter().for_each(|item| self.pattern(&item.target));
                }
                StmtKind::ForEach { target: EachTarget::Declare(_, pattern), .. }
                | StmtKind::Try { param: Some(pattern), .. } => self.pattern(pattern),
                StmtKind::ForEach { target: EachTarget::Name(name), .. } => self.name(name),
                _ => {}
            },
            Node::Target(Target::Name(name)) => self.name(name),
            Node::Function(function) => function.name.iter().for_each(|name| self.name(name)),
            Node::Expr(expr) => {
                self.arguments |= matches!(&expr.kind, ExprKind::Name(name) if name.as_ref() == "arguments");
            }
            // Parameters are variables of their own.
            Node::Pattern(Pattern::Name(name)) => self.arguments |= name.as_ref() == "arguments",
            Node::Pattern(_) | Node::Target(_) => {}
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        let mut names = Vec::new();
        pattern_names(pattern, &mut names);
        names.into_iter().for_each(|name| self.name(name));
    }

    fn name(&mut self, name: &str) {
        self.claims |= name == "claims";
        self.arguments |= name == "arguments";
    }
}
