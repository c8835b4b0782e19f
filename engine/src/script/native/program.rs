//! What a script of the subset is compiled to: its tree with names resolved.

use std::sync::Arc;

use super::statics::Static;
use crate::script::ScriptKind;
use crate::script::tree::{AssignOp, BinaryOp, LogicalOp, UnaryOp};

/// A compiled script.
#[derive(Debug)]
pub struct Program {
    pub(super) kind: ScriptKind,
    /// Number of variables.
    pub(super) slots: usize,
    /// Its functions; the first is the script itself.
    pub(super) functions: Vec<Code>,
    /// Criteria it calls.
    pub(super) criteria: Vec<Arc<Program>>,
    /// How many programs stand in a row, from this one over its criteria.
    pub(super) chain: usize,
}

/// Place of a variable.
pub(super) type Slot = usize;
/// Number of a function.
pub(super) type FunctionId = usize;

/// A function's body.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) params: Vec<Slot>,
    /// Variables that are `undefined` when it starts.
    pub(super) vars: Vec<Slot>,
    pub(super) body: Block,
}

/// Statements with the variables of their own, which do not exist before their declaration.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) fresh: Vec<Slot>,
    pub(super) steps: Vec<Step>,
}

/// A statement.
#[derive(Debug)]
pub(super) enum Step {
    Expr(Node),
    /// A declaration's first value.
    Set(Slot, Node),
    Return(Option<Node>),
    If(Node, Box<Step>, Option<Box<Step>>),
    Block(Block),
    Switch {
        subject: Node,
        fresh: Vec<Slot>,
        cases: Vec<(Option<Node>, Vec<Step>)>,
    },
    Break,
    /// An exception, which no code of the subset catches.
    Throw,
}

/// An expression.
#[derive(Debug)]
pub(super) enum Node {
    Undefined,
    Null,
    Boolean(bool),
    Number(f64),
    Text(Box<str>),
    Claims,
    Variable(Slot),
    Assign(Slot, Option<AssignOp>, Box<Node>),
    Update {
        slot: Slot,
        by: f64,
        prefix: bool,
    },
    Template(Vec<Node>),
    List(Vec<Element>),
    Object(Vec<Part>),
    Unary(UnaryOp, Box<Node>),
    Binary(BinaryOp, Box<Node>, Box<Node>),
    Logical(LogicalOp, Box<Node>, Box<Node>),
    Sequence(Box<Node>, Box<Node>),
    Conditional(Box<[Node; 3]>),
    Member(Box<Node>, Box<str>, Optional),
    Index(Box<[Node; 2]>, Optional),
    Chain(Box<Node>),
    Method {
        object: Box<Node>,
        name: Box<str>,
        args: Vec<Argument>,
        optional: Optional,
    },
    /// `ready` holds `true` once the function is in its variable.
    Call {
        function: FunctionId,
        ready: Option<Slot>,
        args: Vec<Node>,
    },
    Criterion(usize),
    Static(Static, Vec<Node>),
    /// `new Date(…)` with at most one argument.
    Date(Option<Box<Node>>),
    /// `cache.getIfPresent(…)`
    Cached(Box<Node>),
    /// Something that is not of the subset.
    Beyond,
}

/// Whether `?.` stands before a part.
pub(super) type Optional = bool;

/// An element of a list literal.
#[derive(Debug)]
pub(super) enum Element {
    One(Node),
    Spread(Node),
}

/// A part of an object literal.
#[derive(Debug)]
pub(super) enum Part {
    Named(Box<str>, Node),
    Spread(Node),
}

/// An argument of a method.
#[derive(Debug)]
pub(super) enum Argument {
    Value(Node),
    Function { function: FunctionId, ready: Option<Slot> },
    Convert(Static),
}
