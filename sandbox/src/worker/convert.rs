//! From the JavaScript parser's tree to our own bounded one; what we do not model becomes opaque.

mod expr;

use boa_ast::declaration::{Binding, LexicalDeclaration, Variable};
use boa_ast::function::{FormalParameterList, FunctionBody};
use boa_ast::pattern::{ArrayPatternElement, ObjectPatternElement, Pattern as AstPattern};
use boa_ast::property::PropertyName;
use boa_ast::statement::iteration::{ForLoopInitializer, IterableLoopInitializer};
use boa_ast::statement::{LabelledItem, Statement};
use boa_ast::{Declaration, StatementList, StatementListItem};
use boa_interner::{Interner, Sym};
use engine::script::tree::{
    ArrayPart, Case, Declarator, DeclareKind, Each, EachTarget, Function, Key, MAX_DEPTH, MAX_NODES, ObjectPart,
    Pattern, Stmt, StmtKind, Tree,
};

/// The tree of a script's body.
pub(super) fn tree(body: &FunctionBody, interner: &Interner) -> Tree {
    let mut converter = Converter { interner, nodes: 0, depth: 0 };
    let body = converter.statements(body.statement_list());
    if converter.nodes > MAX_NODES {
        return Tree { body: vec![OPAQUE] };
    }
    Tree { body }
}

const OPAQUE: Stmt = Stmt { span: None, kind: StmtKind::Opaque };

struct Converter<'a> {
    interner: &'a Interner,
    nodes: usize,
    depth: usize,
}

impl Converter<'_> {
    /// Counts one more node one level down; `None` when the tree is large or deep enough.
    fn descend<T>(&mut self, convert: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let converted = convert(self);
        self.depth -= 1;
        Some(converted)
    }

    fn text(&self, sym: Sym) -> Box<str> {
        self.interner.resolve_expect(sym).to_string().into()
    }

    /// The very text, unless it has half a character, which our texts cannot hold.
    fn exact(&self, sym: Sym) -> Option<Box<str>> {
        String::from_utf16(self.interner.resolve_expect(sym).utf16()).ok().map(Into::into)
    }

    fn statements(&mut self, list: &StatementList) -> Vec<Stmt> {
        list.iter().map(|item| self.item(item)).collect()
    }

    fn item(&mut self, item: &StatementListItem) -> Stmt {
        match item {
            StatementListItem::Statement(statement) => self.statement(statement),
            StatementListItem::Declaration(declaration) => {
                let kind = self.descend(|this| this.declaration(declaration)).unwrap_or(StmtKind::Opaque);
                Stmt { span: None, kind }
            }
        }
    }

    fn declaration(&mut self, declaration: &Declaration) -> StmtKind {
        match declaration {
            Declaration::FunctionDeclaration(function) => {
                let name = self.text(function.name().sym());
                StmtKind::Function(Box::new(self.function(Some(name), function.parameters(), function.body())))
            }
            Declaration::Lexical(LexicalDeclaration::Let(list)) => self.declare(DeclareKind::Let, list.as_ref()),
            Declaration::Lexical(LexicalDeclaration::Const(list)) => self.declare(DeclareKind::Const, list.as_ref()),
            _ => StmtKind::Opaque,
        }
    }

    fn declare(&mut self, kind: DeclareKind, list: &[Variable]) -> StmtKind {
        StmtKind::Declare(kind, list.iter().map(|variable| self.variable(variable)).collect())
    }

    fn variable(&mut self, variable: &Variable) -> Declarator {
        Declarator { target: self.binding(variable.binding()), init: variable.init().map(|init| self.expr(init)) }
    }

    fn function(&mut self, name: Option<Box<str>>, parameters: &FormalParameterList, body: &FunctionBody) -> Function {
        let params = parameters.as_ref().iter().map(|parameter| self.variable(parameter.variable())).collect();
        let rest = parameters.has_rest_parameter();
        Function { name, params, rest, body: self.statements(body.statement_list()) }
    }

    fn statement(&mut self, statement: &Statement) -> Stmt {
        let span = match statement {
            Statement::Expression(expr) => Some(super::parse::span(expr)),
            _ => None,
        };
        Stmt { span, kind: self.descend(|this| this.statement_kind(statement)).unwrap_or(StmtKind::Opaque) }
    }

    fn boxed(&mut self, statement: &Statement) -> Box<Stmt> {
        Box::new(self.statement(statement))
    }

    fn statement_kind(&mut self, statement: &Statement) -> StmtKind {
        match statement {
            Statement::Block(block) => StmtKind::Block(self.statements(block.statement_list())),
            Statement::Var(var) => self.declare(DeclareKind::Var, var.0.as_ref()),
            Statement::Empty => StmtKind::Empty,
            Statement::Expression(expr) => StmtKind::Expr(self.expr(expr)),
            Statement::If(node) => StmtKind::If {
                test: self.expr(node.cond()),
                then: self.boxed(node.body()),
                otherwise: node.else_node().map(|otherwise| self.boxed(otherwise)),
            },
            Statement::DoWhileLoop(node) => {
                StmtKind::DoWhile { body: self.boxed(node.body()), test: self.expr(node.cond()) }
            }
            Statement::WhileLoop(node) => {
                StmtKind::While { test: self.expr(node.condition()), body: self.boxed(node.body()) }
            }
            Statement::ForLoop(node) => StmtKind::For {
                init: node.init().map(|init| Box::new(self.for_init(init))),
                test: node.condition().map(|test| self.expr(test)),
                update: node.final_expr().map(|update| self.expr(update)),
                body: self.boxed(node.body()),
            },
            Statement::ForInLoop(node) => StmtKind::ForEach {
                each: Each::In,
                target: self.each_target(node.initializer()),
                subject: self.expr(node.target()),
                body: self.boxed(node.body()),
            },
            Statement::ForOfLoop(node) if !node.r#await() => StmtKind::ForEach {
                each: Each::Of,
                target: self.each_target(node.initializer()),
                subject: self.expr(node.iterable()),
                body: self.boxed(node.body()),
            },
            Statement::Switch(node) => {
                let subject = self.expr(node.val());
                let case = |this: &mut Self, case: &boa_ast::statement::Case| Case {
                    test: case.condition().map(|test| this.expr(test)),
                    body: this.statements(case.body()),
                };
                StmtKind::Switch { subject, cases: node.cases().iter().map(|each| case(self, each)).collect() }
            }
            Statement::Continue(node) => StmtKind::Continue(node.label().map(|label| self.text(label))),
            Statement::Break(node) => StmtKind::Break(node.label().map(|label| self.text(label))),
            Statement::Return(node) => StmtKind::Return(node.target().map(|value| self.expr(value))),
            Statement::Labelled(node) => match node.item() {
                LabelledItem::Statement(body) => StmtKind::Labelled(self.text(node.label()), self.boxed(body)),
                LabelledItem::FunctionDeclaration(_) => StmtKind::Opaque,
            },
            Statement::Throw(node) => StmtKind::Throw(self.expr(node.target())),
            Statement::Try(node) => StmtKind::Try {
                block: self.statements(node.block().statement_list()),
                param: node.catch().and_then(|catch| catch.parameter()).map(|param| self.binding(param)),
                handler: node.catch().map(|catch| self.statements(catch.block().statement_list())),
                finalizer: node.finally().map(|finally| self.statements(finally.block().statement_list())),
            },
            Statement::Debugger => StmtKind::Empty,
            Statement::ForOfLoop(_) | Statement::With(_) => StmtKind::Opaque,
        }
    }

    fn for_init(&mut self, init: &ForLoopInitializer) -> Stmt {
        let kind = self.descend(|this| this.for_init_kind(init)).unwrap_or(StmtKind::Opaque);
        Stmt { span: None, kind }
    }

    fn for_init_kind(&mut self, init: &ForLoopInitializer) -> StmtKind {
        match init {
            ForLoopInitializer::Expression(expr) => StmtKind::Expr(self.expr(expr)),
            ForLoopInitializer::Var(var) => self.declare(DeclareKind::Var, var.0.as_ref()),
            ForLoopInitializer::Lexical(lexical) => match lexical.declaration() {
                LexicalDeclaration::Let(list) => self.declare(DeclareKind::Let, list.as_ref()),
                LexicalDeclaration::Const(list) => self.declare(DeclareKind::Const, list.as_ref()),
                _ => StmtKind::Opaque,
            },
        }
    }

    fn each_target(&mut self, target: &IterableLoopInitializer) -> EachTarget {
        match target {
            IterableLoopInitializer::Identifier(name) => EachTarget::Name(self.text(name.sym())),
            // The first value of annex B's `for (var a = 1 in b)` is not modelled.
            IterableLoopInitializer::Var(variable) if variable.init().is_none() => {
                EachTarget::Declare(DeclareKind::Var, self.binding(variable.binding()))
            }
            IterableLoopInitializer::Let(binding) => EachTarget::Declare(DeclareKind::Let, self.binding(binding)),
            IterableLoopInitializer::Const(binding) => EachTarget::Declare(DeclareKind::Const, self.binding(binding)),
            _ => EachTarget::Opaque,
        }
    }

    fn binding(&mut self, binding: &Binding) -> Pattern {
        match binding {
            Binding::Identifier(name) => Pattern::Name(self.text(name.sym())),
            Binding::Pattern(pattern) => self.pattern(pattern),
        }
    }

    fn pattern(&mut self, pattern: &AstPattern) -> Pattern {
        self.descend(|this| match pattern {
            AstPattern::Object(object) => {
                Pattern::Object(object.bindings().iter().map(|part| this.object_part(part)).collect())
            }
            AstPattern::Array(array) => {
                Pattern::Array(array.bindings().iter().map(|part| this.array_part(part)).collect())
            }
        })
        .unwrap_or(Pattern::Opaque)
    }

    fn object_part(&mut self, part: &ObjectPatternElement) -> ObjectPart {
        match part {
            ObjectPatternElement::SingleName { name, ident, default_init } => ObjectPart {
                key: Some(self.key(name)),
                target: Pattern::Name(self.text(ident.sym())),
                default: default_init.as_ref().map(|init| self.expr(init)),
            },
            ObjectPatternElement::RestProperty { ident } => {
                ObjectPart { key: None, target: Pattern::Name(self.text(ident.sym())), default: None }
            }
            ObjectPatternElement::Pattern { name, pattern, default_init } => ObjectPart {
                key: Some(self.key(name)),
                target: self.pattern(pattern),
                default: default_init.as_ref().map(|init| self.expr(init)),
            },
            ObjectPatternElement::AssignmentPropertyAccess { .. }
            | ObjectPatternElement::AssignmentRestPropertyAccess { .. } => {
                ObjectPart { key: None, target: Pattern::Opaque, default: None }
            }
        }
    }

    fn array_part(&mut self, part: &ArrayPatternElement) -> ArrayPart {
        let part_of = |target, default, rest| ArrayPart { target, default, rest };
        match part {
            ArrayPatternElement::Elision => part_of(None, None, false),
            ArrayPatternElement::SingleName { ident, default_init } => part_of(
                Some(Pattern::Name(self.text(ident.sym()))),
                default_init.as_ref().map(|init| self.expr(init)),
                false,
            ),
            ArrayPatternElement::Pattern { pattern, default_init } => {
                part_of(Some(self.pattern(pattern)), default_init.as_ref().map(|init| self.expr(init)), false)
            }
            ArrayPatternElement::SingleNameRest { ident } => {
                part_of(Some(Pattern::Name(self.text(ident.sym()))), None, true)
            }
            _ => part_of(Some(Pattern::Opaque), None, false),
        }
    }

    fn key(&mut self, name: &PropertyName) -> Key {
        match name {
            PropertyName::Literal(name) => match self.exact(name.sym()) {
                Some(text) => Key::Name(text),
                None => Key::Computed(Box::new(expr::unknown())),
            },
            PropertyName::Computed(expr) => Key::Computed(Box::new(self.expr(expr))),
        }
    }
}
