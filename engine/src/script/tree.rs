//! Our own syntax tree of a script, with places in the author's text.
//!
//! The sandbox makes it from what its JavaScript parser read; [`super::lanes`], [`super::native`] and [`super::lint`] read it.
//! It models the part of the language that policies are written in. Everything else is [`ExprKind::Opaque`] or
//! [`StmtKind::Opaque`], which proves nothing and so sends a script to the fresh lane.
//!
//! INVARIANT: a tree holds at most [`MAX_NODES`] nodes, nested at most [`MAX_DEPTH`] deep, so walking it may recurse.

/// Most nodes one tree may have; a larger script is all opaque.
pub const MAX_NODES: usize = 20_000;

/// Deepest nesting of nodes; what lies deeper is opaque.
pub const MAX_DEPTH: usize = 200;

/// A place in the author's text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column in that line.
    pub column: u32,
}

/// From where to where a piece of the script goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First character.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
}

/// A whole script: the body of a function whose one parameter is `claims`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The statements of the body.
    pub body: Vec<Stmt>,
}

/// A statement; `span` is absent where the parser keeps none.
#[derive(Debug, Clone, PartialEq)]
pub struct Stmt {
    /// Where it stands.
    pub span: Option<Span>,
    /// What it is.
    pub kind: StmtKind,
}

/// The statements we model.
#[derive(Debug, Clone, PartialEq)]
pub enum StmtKind {
    /// `;`
    Empty,
    /// An expression for its effect.
    Expr(Expr),
    /// `var`, `let` or `const`.
    Declare(DeclareKind, Vec<Declarator>),
    /// A function declaration; its name is always present.
    Function(Box<Function>),
    /// `return`
    Return(Option<Expr>),
    /// `if`
    If { test: Expr, then: Box<Stmt>, otherwise: Option<Box<Stmt>> },
    /// `while`
    While { test: Expr, body: Box<Stmt> },
    /// `do … while`
    DoWhile { body: Box<Stmt>, test: Expr },
    /// `for (init; test; update)`
    For { init: Option<Box<Stmt>>, test: Option<Expr>, update: Option<Expr>, body: Box<Stmt> },
    /// `for (… in …)` and `for (… of …)`
    ForEach { each: Each, target: EachTarget, subject: Expr, body: Box<Stmt> },
    /// `{ … }`
    Block(Vec<Stmt>),
    /// `switch`
    Switch { subject: Expr, cases: Vec<Case> },
    /// `throw`
    Throw(Expr),
    /// `try`
    Try { block: Vec<Stmt>, param: Option<Pattern>, handler: Option<Vec<Stmt>>, finalizer: Option<Vec<Stmt>> },
    /// `break` with its label
    Break(Option<Box<str>>),
    /// `continue` with its label
    Continue(Option<Box<str>>),
    /// A labelled statement.
    Labelled(Box<str>, Box<Stmt>),
    /// Anything else.
    Opaque,
}

/// How a variable was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclareKind {
    /// `var`: belongs to the function.
    Var,
    /// `let`: belongs to the block.
    Let,
    /// `const`: belongs to the block.
    Const,
}

/// One declared name or pattern with its first value.
#[derive(Debug, Clone, PartialEq)]
pub struct Declarator {
    /// What is declared.
    pub target: Pattern,
    /// Its first value.
    pub init: Option<Expr>,
}

/// Which `for` loop over a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// Over property names.
    In,
    /// Over elements.
    Of,
}

/// What a `for` loop over a value assigns to.
#[derive(Debug, Clone, PartialEq)]
pub enum EachTarget {
    /// A variable of the loop's own.
    Declare(DeclareKind, Pattern),
    /// A variable that was there before.
    Name(Box<str>),
    /// Anything else.
    Opaque,
}

/// One `case`; `test` is absent for `default`.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The value compared with.
    pub test: Option<Expr>,
    /// What runs.
    pub body: Vec<Stmt>,
}

/// What a declaration or a parameter binds.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// One name.
    Name(Box<str>),
    /// `{ a, b: c = 1, ...rest }`
    Object(Vec<ObjectPart>),
    /// `[a, , b = 1, ...rest]`
    Array(Vec<ArrayPart>),
    /// Anything else.
    Opaque,
}

/// One part of an object pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectPart {
    /// The property read; absent for the rest.
    pub key: Option<Key>,
    /// Where it goes.
    pub target: Pattern,
    /// Value when the property is missing.
    pub default: Option<Expr>,
}

/// One part of an array pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayPart {
    /// Where the element goes; absent for a hole.
    pub target: Option<Pattern>,
    /// Value when the element is missing.
    pub default: Option<Expr>,
    /// Whether it takes all that is left.
    pub rest: bool,
}

/// A function, arrow function or method.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its own name.
    pub name: Option<Box<str>>,
    /// Parameters with their defaults, the rest parameter last.
    pub params: Vec<Declarator>,
    /// Whether the last parameter takes all arguments that are left.
    pub rest: bool,
    /// Its statements; an arrow's expression is one `return`.
    pub body: Vec<Stmt>,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: ExprKind,
}

/// The expressions we model.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A variable.
    Name(Box<str>),
    /// A string.
    String(Box<str>),
    /// A number.
    Number(f64),
    /// `true`, `false`
    Boolean(bool),
    /// `null`
    Null,
    /// `undefined`, where the parser already knows it
    Undefined,
    /// A regular expression literal.
    Regex { pattern: Box<str>, flags: Box<str> },
    /// A template without a tag: one more text than expressions.
    Template(Vec<TemplatePart>),
    /// `[…]`
    Array(Vec<Item>),
    /// `{…}`
    Object(Vec<Property>),
    /// A function or arrow function.
    Function(Box<Function>),
    /// An operator with one operand, except `delete`.
    Unary(UnaryOp, Box<Expr>),
    /// An operator with two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `&&`, `||`, `??`
    Logical(LogicalOp, Box<Expr>, Box<Expr>),
    /// `a, b`
    Sequence(Box<Expr>, Box<Expr>),
    /// Assignment; compound when `op` is not `None`.
    Assign { op: Option<AssignOp>, target: Target, value: Box<Expr> },
    /// `delete a.b` and `delete a[b]`
    Delete(Target),
    /// `++` and `--`
    Update { increment: bool, prefix: bool, target: Target },
    /// `a ? b : c`
    Conditional { test: Box<Expr>, then: Box<Expr>, otherwise: Box<Expr> },
    /// A call; `optional` for `f?.()`.
    Call { callee: Box<Expr>, args: Vec<Item>, optional: bool },
    /// `new`
    New { callee: Box<Expr>, args: Vec<Item> },
    /// `a.b`; `optional` for `a?.b`.
    Member { object: Box<Expr>, name: Box<str>, optional: bool },
    /// `a[b]`
    Index { object: Box<Expr>, index: Box<Expr>, optional: bool },
    /// Marks how far a `?.` inside skips.
    Chain(Box<Expr>),
    /// Anything else.
    Opaque,
}

/// One piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplatePart {
    /// Text between expressions.
    Text(Box<str>),
    /// `${…}`
    Expr(Expr),
}

/// One element of an array literal or one argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A value.
    One(Expr),
    /// `...values`
    Spread(Expr),
    /// Nothing, as in `[1, , 2]`.
    Hole,
}

/// One property of an object literal.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// `key: value`, the short form and methods included.
    Value(Key, Expr),
    /// `...values`
    Spread(Expr),
    /// Accessors and anything else.
    Opaque,
}

/// A property's name.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// Written down.
    Name(Box<str>),
    /// `[expression]`
    Computed(Box<Expr>),
}

/// What an assignment or `delete` writes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A variable.
    Name(Box<str>),
    /// `a.b`
    Member { object: Box<Expr>, name: Box<str> },
    /// `a[b]`
    Index { object: Box<Expr>, index: Box<Expr> },
    /// A pattern or anything else.
    Opaque,
}

/// Operators with one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    Minus,
    Plus,
    Not,
    BitNot,
    TypeOf,
    Void,
}

/// Operators with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Exp,
    BitAnd,
    BitOr,
    BitXor,
    Shl,
    Shr,
    UShr,
    Equal,
    NotEqual,
    StrictEqual,
    StrictNotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    In,
    InstanceOf,
}

/// Operators that may leave their right side alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogicalOp {
    And,
    Or,
    Coalesce,
}

/// The operator of a compound assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignOp {
    /// `+=` and the other operators with two operands.
    Binary(BinaryOp),
    /// `&&=`, `||=`, `??=`
    Logical(LogicalOp),
}
