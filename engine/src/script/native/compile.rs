//! From a tree to a program: names resolved, everything outside the subset refused with its place.

mod expr;
mod order;
mod scopes;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::program::{Block, Code, FunctionId, Node, Program, Slot, Step};
use crate::script::ScriptKind;
use crate::script::tree::{
    Case, Declarator, DeclareKind, Expr, ExprKind, Function, Pattern, Span, Stmt, StmtKind, Tree,
};
use scopes::{Binding, Scopes};

/// Deepest nesting that is compiled: deeper than any script a person writes, and little enough for any thread's stack.
const MAX_DEPTH: usize = 64;
/// Most programs in a row of criteria calling criteria.
const MAX_CHAIN: usize = 8;

/// Why a script is not of the subset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Where it leaves the subset, when the parser knows.
    pub span: Option<Span>,
    /// What it is, for a person.
    pub what: &'static str,
}

/// Compiles a script; `criteria` answers the programs of the criteria scripts that it can call by name.
///
/// # Errors
/// The first thing that is not of the subset.
pub fn compile(
    tree: &Tree,
    kind: ScriptKind,
    criteria: &dyn Fn(&str) -> Option<Arc<Program>>,
) -> Result<Program, Reason> {
    compile_as(tree, kind, criteria, Beyond::Refused)
}

/// Compiles a script of which only the beginning need be of the subset, as of one that calls out for some and answers all others
/// before: a run that comes to an expression which is not bails there.
///
/// # Errors
/// The first statement that is not of the subset.
pub fn compile_beginning(
    tree: &Tree,
    kind: ScriptKind,
    criteria: &dyn Fn(&str) -> Option<Arc<Program>>,
) -> Result<Program, Reason> {
    compile_as(tree, kind, criteria, Beyond::Left)
}

/// What an expression outside the subset does to the script: it is not compiled, or a run that comes there bails.
#[derive(PartialEq, Eq)]
enum Beyond {
    Refused,
    Left,
}

fn compile_as(
    tree: &Tree,
    kind: ScriptKind,
    criteria: &dyn Fn(&str) -> Option<Arc<Program>>,
    beyond: Beyond,
) -> Result<Program, Reason> {
    scopes::refuse_names(tree)?;
    let mut compiler = Compiler {
        beyond,
        scopes: Scopes::new(tree),
        criteria_by_name: criteria,
        functions: Vec::new(),
        calls: Vec::new(),
        current: 0,
        criteria: Vec::new(),
        depth: 0,
        in_switch: false,
    };
    compiler.script(tree)?;
    compiler.refuse_recursion()?;
    let chain = compiler.criteria.iter().map(|(_, program)| program.chain).max().unwrap_or(0).saturating_add(1);
    if chain > MAX_CHAIN {
        return Err(Reason { span: None, what: "calls criteria in a longer row than runs natively" });
    }
    Ok(Program {
        kind,
        slots: compiler.scopes.slots(),
        functions: compiler.functions,
        criteria: compiler.criteria.into_iter().map(|(_, program)| program).collect(),
        chain,
    })
}

struct Compiler<'a> {
    beyond: Beyond,
    scopes: Scopes<'a>,
    criteria_by_name: &'a dyn Fn(&str) -> Option<Arc<Program>>,
    functions: Vec<Code>,
    /// Who calls whom.
    calls: Vec<(FunctionId, FunctionId)>,
    current: FunctionId,
    criteria: Vec<(Box<str>, Arc<Program>)>,
    depth: usize,
    /// Whether a `break` here ends a `switch`.
    in_switch: bool,
}

fn refuse<T>(span: Option<Span>, what: &'static str) -> Result<T, Reason> {
    Err(Reason { span, what })
}

impl<'a> Compiler<'a> {
    fn script(&mut self, tree: &'a Tree) -> Result<(), Reason> {
        self.functions.push(Code::default());
        self.scopes.enter();
        self.scopes.bind("claims", Binding::Claims);
        let (vars, body) = self.body(&tree.body)?;
        self.scopes.leave();
        self.put(0, Code { params: Vec::new(), vars, body });
        Ok(())
    }

    fn put(&mut self, id: FunctionId, code: Code) {
        if let Some(place) = self.functions.get_mut(id) {
            *place = code;
        }
    }

    /// Compiles one level further down.
    fn deeper<T>(
        &mut self,
        span: Option<Span>,
        compile: impl FnOnce(&mut Self) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        if self.depth >= MAX_DEPTH {
            return refuse(span, "nests deeper than runs natively");
        }
        self.depth += 1;
        let compiled = compile(self);
        self.depth -= 1;
        compiled
    }

    /// The body of a function whose parameters are in the innermost scope.
    fn body(&mut self, stmts: &'a [Stmt]) -> Result<(Vec<Slot>, Block), Reason> {
        let mut vars = Vec::new();
        self.declare_vars(stmts, &mut vars)?;
        let block = self.lexical(stmts, true)?;
        Ok((vars, block))
    }

    /// Statements with a scope of their own; functions are declared at the top of functions only.
    fn lexical(&mut self, stmts: &'a [Stmt], top: bool) -> Result<Block, Reason> {
        self.scopes.enter();
        let mut fresh = Vec::new();
        self.declare_lexical(stmts, &mut fresh)?;
        if top {
            self.hoist(stmts)?;
        }
        let steps = self.steps(stmts, top)?;
        self.scopes.leave();
        Ok(Block { fresh, steps })
    }

    /// Declares all functions before compiling any, since they may call one another.
    fn hoist(&mut self, stmts: &'a [Stmt]) -> Result<(), Reason> {
        let mut found = Vec::new();
        for stmt in stmts {
            if let StmtKind::Function(function) = &stmt.kind {
                let name = function.name.as_deref().unwrap_or_default();
                if !self.scopes.is_single(name) {
                    return refuse(stmt.span, "declares a function under a name that is used for something else too");
                }
                let id = self.reserve();
                self.scopes.bind(name, Binding::Function { function: id, ready: None });
                found.push((id, function));
            }
        }
        found.into_iter().try_for_each(|(id, function)| self.function_as(id, function))
    }

    fn reserve(&mut self) -> FunctionId {
        self.functions.push(Code::default());
        self.functions.len() - 1
    }

    /// A function that is no declaration.
    fn function(&mut self, function: &'a Function) -> Result<FunctionId, Reason> {
        let id = self.reserve();
        self.scopes.enter();
        if let Some(name) = &function.name {
            self.scopes.bind(name, Binding::Function { function: id, ready: None });
        }
        self.function_as(id, function)?;
        self.scopes.leave();
        Ok(id)
    }

    fn function_as(&mut self, id: FunctionId, function: &'a Function) -> Result<(), Reason> {
        let around = std::mem::replace(&mut self.current, id);
        let in_switch = std::mem::replace(&mut self.in_switch, false);
        self.scopes.enter();
        let params = self.params(function)?;
        let (vars, body) = self.deeper(None, |this| this.body(&function.body))?;
        self.scopes.leave();
        self.current = around;
        self.in_switch = in_switch;
        self.put(id, Code { params, vars, body });
        Ok(())
    }

    fn params(&mut self, function: &'a Function) -> Result<Vec<Slot>, Reason> {
        if function.rest {
            return refuse(None, "has a rest parameter");
        }
        let mut slots = Vec::new();
        for param in &function.params {
            match param {
                Declarator { target: Pattern::Name(name), init: None } if !self.scopes.is_here(name) => {
                    slots.push(self.scopes.variable(name, false));
                }
                _ => return refuse(None, "has a parameter that is more than a name"),
            }
        }
        Ok(slots)
    }

    /// Declares every `var` of a function; one that names a parameter is that parameter.
    fn declare_vars(&mut self, stmts: &'a [Stmt], vars: &mut Vec<Slot>) -> Result<(), Reason> {
        stmts.iter().try_for_each(|stmt| self.declare_vars_in(stmt, vars))
    }

    fn declare_vars_in(&mut self, stmt: &'a Stmt, vars: &mut Vec<Slot>) -> Result<(), Reason> {
        match &stmt.kind {
            StmtKind::Declare(DeclareKind::Var, list) => {
                list.iter().try_for_each(|item| self.declare(DeclareKind::Var, item, vars))
            }
            StmtKind::If { then, otherwise, .. } => {
                self.declare_vars_in(then, vars)?;
                otherwise.as_deref().map_or(Ok(()), |otherwise| self.declare_vars_in(otherwise, vars))
            }
            StmtKind::Block(body) => self.declare_vars(body, vars),
            StmtKind::Switch { cases, .. } => cases.iter().try_for_each(|case| self.declare_vars(&case.body, vars)),
            // Whatever else could declare something is refused where it stands.
            _ => Ok(()),
        }
    }

    fn declare_lexical(&mut self, stmts: &'a [Stmt], fresh: &mut Vec<Slot>) -> Result<(), Reason> {
        for stmt in stmts {
            if let StmtKind::Declare(kind @ (DeclareKind::Let | DeclareKind::Const), list) = &stmt.kind {
                list.iter().try_for_each(|item| self.declare(*kind, item, fresh))?;
            }
        }
        Ok(())
    }

    fn declare(&mut self, kind: DeclareKind, item: &'a Declarator, slots: &mut Vec<Slot>) -> Result<(), Reason> {
        let span = item.init.as_ref().map(|init| init.span);
        let Pattern::Name(name) = &item.target else { return refuse(span, "takes values apart") };
        let is_function = matches!(item.init, Some(Expr { kind: ExprKind::Function(_), .. }));
        match (self.scopes.here(name), is_function) {
            (Some(Binding::Variable(_)), false) => Ok(()),
            (Some(_), _) => refuse(span, "declares a name that is used for something else too"),
            (None, true) if !self.scopes.is_single(name) => {
                refuse(span, "keeps a function in a variable that may hold something else")
            }
            (None, true) => {
                let (function, ready) = (self.reserve(), self.scopes.unnamed());
                self.scopes.bind(name, Binding::Function { function, ready: Some(ready) });
                slots.push(ready);
                Ok(())
            }
            (None, false) => {
                slots.push(self.scopes.variable(name, kind == DeclareKind::Const));
                Ok(())
            }
        }
    }

    fn steps(&mut self, stmts: &'a [Stmt], top: bool) -> Result<Vec<Step>, Reason> {
        let mut steps = Vec::new();
        for stmt in stmts {
            match &stmt.kind {
                StmtKind::Empty => {}
                StmtKind::Function(_) if top => {}
                StmtKind::Declare(kind, list) => {
                    list.iter().try_for_each(|item| self.declarator(*kind, item, &mut steps))?;
                }
                _ => steps.push(self.deeper(stmt.span, |this| this.step(stmt))?),
            }
        }
        Ok(steps)
    }

    fn declarator(&mut self, kind: DeclareKind, item: &'a Declarator, steps: &mut Vec<Step>) -> Result<(), Reason> {
        let Pattern::Name(name) = &item.target else { return refuse(None, "takes values apart") };
        match (self.scopes.resolve(name), &item.init) {
            (Some(Binding::Function { function: id, ready: Some(ready) }), Some(init)) => {
                let ExprKind::Function(function) = &init.kind else {
                    return refuse(Some(init.span), "declares a name that is used for something else too");
                };
                if function.name.is_some() {
                    return refuse(Some(init.span), "gives a function two names");
                }
                self.function_as(id, function)?;
                steps.push(Step::Set(ready, Node::Boolean(true)));
            }
            (Some(Binding::Variable(slot) | Binding::Constant(slot)), Some(init)) => {
                let value = self.whole(init)?;
                steps.push(Step::Set(slot, value));
            }
            (Some(Binding::Variable(slot) | Binding::Constant(slot)), None) => {
                if kind != DeclareKind::Var {
                    steps.push(Step::Set(slot, Node::Undefined));
                }
            }
            _ => return refuse(None, "declares a name that is used for something else too"),
        }
        Ok(())
    }

    fn step(&mut self, stmt: &'a Stmt) -> Result<Step, Reason> {
        match &stmt.kind {
            StmtKind::Expr(value) => Ok(Step::Expr(self.whole(value)?)),
            StmtKind::Return(value) => {
                let value = value.as_ref().map(|value| self.whole(value)).transpose()?;
                Ok(Step::Return(value))
            }
            StmtKind::If { test, then, otherwise } => {
                let test = self.whole(test)?;
                let then = Box::new(self.nested(then)?);
                let otherwise = otherwise.as_deref().map(|otherwise| self.nested(otherwise)).transpose()?;
                Ok(Step::If(test, then, otherwise.map(Box::new)))
            }
            StmtKind::Block(body) => Ok(Step::Block(self.lexical(body, false)?)),
            StmtKind::Switch { subject, cases } => self.switch(subject, cases),
            StmtKind::Throw(_) => Ok(Step::Throw),
            StmtKind::Break(None) if self.in_switch => Ok(Step::Break),
            StmtKind::Empty => Ok(Step::Block(Block::default())),
            StmtKind::Function(_) => refuse(stmt.span, "declares a function in a block"),
            StmtKind::While { .. } | StmtKind::DoWhile { .. } | StmtKind::For { .. } | StmtKind::ForEach { .. } => {
                refuse(stmt.span, "has a loop")
            }
            StmtKind::Try { .. } => refuse(stmt.span, "catches exceptions"),
            StmtKind::Declare(..)
            | StmtKind::Break(_)
            | StmtKind::Continue(_)
            | StmtKind::Labelled(..)
            | StmtKind::Opaque => refuse(stmt.span, "uses a statement outside the native subset"),
        }
    }

    /// A statement that is the body of another one.
    fn nested(&mut self, stmt: &'a Stmt) -> Result<Step, Reason> {
        let block = self.deeper(stmt.span, |this| this.lexical(std::slice::from_ref(stmt), false))?;
        Ok(Step::Block(block))
    }

    fn switch(&mut self, subject: &'a Expr, cases: &'a [Case]) -> Result<Step, Reason> {
        let subject = self.whole(subject)?;
        let around = std::mem::replace(&mut self.in_switch, true);
        self.scopes.enter();
        let mut fresh = Vec::new();
        for case in cases {
            self.declare_lexical(&case.body, &mut fresh)?;
        }
        let mut compiled = Vec::new();
        for case in cases {
            if let Some(test) = &case.test
                && order::assigns(test)
            {
                return refuse(Some(test.span), "assigns in a case");
            }
            let test = case.test.as_ref().map(|test| self.whole(test)).transpose()?;
            compiled.push((test, self.steps(&case.body, false)?));
        }
        self.scopes.leave();
        self.in_switch = around;
        Ok(Step::Switch { subject, fresh, cases: compiled })
    }

    /// Whether some function calls itself, be it over others: takes away functions that call none left, until there are none.
    fn refuse_recursion(&self) -> Result<(), Reason> {
        let mut calls = self.calls.clone();
        loop {
            let callers: BTreeSet<FunctionId> = calls.iter().map(|(caller, _)| *caller).collect();
            let before = calls.len();
            calls.retain(|(_, callee)| callers.contains(callee));
            match calls.len() {
                0 => return Ok(()),
                left if left == before => return refuse(None, "has a function that calls itself"),
                _ => {}
            }
        }
    }
}
