//! Expressions.

use boa_ast::Expression;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{LiteralKind, PropertyDefinition, TemplateElement};
use boa_ast::expression::operator::assign::{AssignOp as AstAssignOp, AssignTarget};
use boa_ast::expression::operator::binary::{
    ArithmeticOp, BinaryOp as AstBinaryOp, BitwiseOp, LogicalOp as AstLogicalOp, RelationalOp,
};
use boa_ast::expression::operator::unary::UnaryOp as AstUnaryOp;
use boa_ast::expression::operator::update::{UpdateOp, UpdateTarget};
use boa_ast::expression::{Optional, OptionalOperationKind};
use boa_ast::property::MethodDefinitionKind;
use engine::script::tree::{
    AssignOp, BinaryOp, Expr, ExprKind, Item, Key, LogicalOp, MAX_DEPTH, Property, Span, Target, TemplatePart, UnaryOp,
};

use super::Converter;

impl Converter<'_> {
    pub(super) fn expr(&mut self, expr: &Expression) -> Expr {
        if let Expression::Parenthesized(inner) = expr {
            return self.descend(|this| this.expr(inner.expression())).unwrap_or(opaque(expr));
        }
        let kind = self.descend(|this| this.expr_kind(expr)).unwrap_or(ExprKind::Opaque);
        Expr { span: super::super::parse::span(expr), kind }
    }

    fn boxed_expr(&mut self, expr: &Expression) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn expr_kind(&mut self, expr: &Expression) -> ExprKind {
        match expr {
            Expression::Identifier(name) => ExprKind::Name(self.text(name.sym())),
            Expression::Literal(literal) => self.literal(literal.kind()),
            Expression::RegExpLiteral(regex) => {
                ExprKind::Regex { pattern: self.text(regex.pattern()), flags: self.text(regex.flags()) }
            }
            Expression::ArrayLiteral(array) => ExprKind::Array(
                array.as_ref().iter().map(|item| item.as_ref().map_or(Item::Hole, |item| self.arg(item))).collect(),
            ),
            Expression::ObjectLiteral(object) => {
                ExprKind::Object(object.properties().iter().map(|property| self.property(property)).collect())
            }
            Expression::FunctionExpression(function) => {
                let name =
                    function.name().filter(|_| function.has_binding_identifier()).map(|name| self.text(name.sym()));
                ExprKind::Function(Box::new(self.function(name, function.parameters(), function.body())))
            }
            Expression::ArrowFunction(function) => {
                ExprKind::Function(Box::new(self.function(None, function.parameters(), function.body())))
            }
            Expression::TemplateLiteral(template) => {
                ExprKind::Template(template.elements().iter().map(|part| self.template_part(part)).collect())
            }
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                let object = self.boxed_expr(access.target());
                self.access(object, access.field(), false)
            }
            Expression::New(new) => {
                ExprKind::New { callee: self.boxed_expr(new.constructor()), args: self.args(new.arguments()) }
            }
            Expression::Call(call) => ExprKind::Call {
                callee: self.boxed_expr(call.function()),
                args: self.args(call.args()),
                optional: false,
            },
            Expression::Optional(optional) => self.optional(optional),
            Expression::Assign(assign) => {
                let target = match assign.lhs() {
                    AssignTarget::Identifier(name) => Target::Name(self.text(name.sym())),
                    AssignTarget::Access(access) => self.target(access),
                    AssignTarget::Pattern(_) => Target::Opaque,
                };
                ExprKind::Assign { op: assign_op(assign.op()), target, value: self.boxed_expr(assign.rhs()) }
            }
            Expression::Unary(unary) => match unary_op(unary.op()) {
                Some(op) => ExprKind::Unary(op, self.boxed_expr(unary.target())),
                None => match unary.target() {
                    Expression::PropertyAccess(access) => ExprKind::Delete(self.target(access)),
                    _ => ExprKind::Opaque,
                },
            },
            Expression::Update(update) => {
                let target = match update.target() {
                    UpdateTarget::Identifier(name) => Target::Name(self.text(name.sym())),
                    UpdateTarget::PropertyAccess(access) => self.target(access),
                };
                let (increment, prefix) = match update.op() {
                    UpdateOp::IncrementPost => (true, false),
                    UpdateOp::IncrementPre => (true, true),
                    UpdateOp::DecrementPost => (false, false),
                    UpdateOp::DecrementPre => (false, true),
                };
                ExprKind::Update { increment, prefix, target }
            }
            Expression::Binary(binary) => {
                let (left, right) = (self.boxed_expr(binary.lhs()), self.boxed_expr(binary.rhs()));
                match binary.op() {
                    AstBinaryOp::Logical(op) => ExprKind::Logical(logical_op(op), left, right),
                    AstBinaryOp::Comma => ExprKind::Sequence(left, right),
                    AstBinaryOp::Arithmetic(op) => ExprKind::Binary(arithmetic_op(op), left, right),
                    AstBinaryOp::Bitwise(op) => ExprKind::Binary(bitwise_op(op), left, right),
                    AstBinaryOp::Relational(op) => ExprKind::Binary(relational_op(op), left, right),
                }
            }
            Expression::Conditional(conditional) => ExprKind::Conditional {
                test: self.boxed_expr(conditional.condition()),
                then: self.boxed_expr(conditional.if_true()),
                otherwise: self.boxed_expr(conditional.if_false()),
            },
            _ => ExprKind::Opaque,
        }
    }

    fn literal(&self, literal: &LiteralKind) -> ExprKind {
        match literal {
            LiteralKind::String(text) => self.exact(*text).map_or(ExprKind::Opaque, ExprKind::String),
            LiteralKind::Num(number) => ExprKind::Number(*number),
            LiteralKind::Int(number) => ExprKind::Number(f64::from(*number)),
            LiteralKind::BigInt(_) => ExprKind::Opaque,
            LiteralKind::Bool(value) => ExprKind::Boolean(*value),
            LiteralKind::Null => ExprKind::Null,
            LiteralKind::Undefined => ExprKind::Undefined,
        }
    }

    fn access(&mut self, object: Box<Expr>, field: &PropertyAccessField, optional: bool) -> ExprKind {
        match field {
            PropertyAccessField::Const(name) => match self.exact(name.sym()) {
                Some(name) => ExprKind::Member { object, name, optional },
                None => ExprKind::Index { object, index: Box::new(unknown()), optional },
            },
            PropertyAccessField::Expr(index) => ExprKind::Index { object, index: self.boxed_expr(index), optional },
        }
    }

    /// The place of a property that is written.
    fn target(&mut self, access: &PropertyAccess) -> Target {
        let PropertyAccess::Simple(access) = access else { return Target::Opaque };
        let object = self.boxed_expr(access.target());
        match access.field() {
            PropertyAccessField::Const(name) => match self.exact(name.sym()) {
                Some(name) => Target::Member { object, name },
                None => Target::Opaque,
            },
            PropertyAccessField::Expr(index) => Target::Index { object, index: self.boxed_expr(index) },
        }
    }

    fn optional(&mut self, optional: &Optional) -> ExprKind {
        let span = super::super::parse::span(optional);
        let links = optional.chain().len();
        if self.depth.saturating_add(links) >= MAX_DEPTH {
            return ExprKind::Opaque;
        }
        // Every link is a node around what stands left of it.
        self.depth += links;
        self.nodes += links;
        let mut chain = self.expr(optional.target());
        for operation in optional.chain() {
            self.depth -= 1;
            let kind = match operation.kind() {
                OptionalOperationKind::SimplePropertyAccess { field } => {
                    self.access(Box::new(chain), field, operation.shorted())
                }
                OptionalOperationKind::Call { args } => {
                    ExprKind::Call { callee: Box::new(chain), args: self.args(args), optional: operation.shorted() }
                }
                OptionalOperationKind::PrivatePropertyAccess { .. } => ExprKind::Opaque,
            };
            chain = Expr { span, kind };
        }
        ExprKind::Chain(Box::new(chain))
    }

    fn args(&mut self, args: &[Expression]) -> Vec<Item> {
        args.iter().map(|arg| self.arg(arg)).collect()
    }

    fn arg(&mut self, arg: &Expression) -> Item {
        match arg {
            Expression::Spread(spread) => Item::Spread(self.expr(spread.target())),
            _ => Item::One(self.expr(arg)),
        }
    }

    fn template_part(&mut self, part: &TemplateElement) -> TemplatePart {
        match part {
            TemplateElement::String(text) => match self.exact(*text) {
                Some(text) => TemplatePart::Text(text),
                None => TemplatePart::Expr(unknown()),
            },
            TemplateElement::Expr(expr) => TemplatePart::Expr(self.expr(expr)),
        }
    }

    fn property(&mut self, property: &PropertyDefinition) -> Property {
        match property {
            PropertyDefinition::IdentifierReference(name) => {
                let text = self.text(name.sym());
                let value = Expr { span: super::super::parse::span(name), kind: ExprKind::Name(text.clone()) };
                Property::Value(Key::Name(text), value)
            }
            PropertyDefinition::Property(name, value) => Property::Value(self.key(name), self.expr(value)),
            PropertyDefinition::MethodDefinition(method) if method.kind() == MethodDefinitionKind::Ordinary => {
                let function = self.descend(|this| this.function(None, method.parameters(), method.body()));
                let kind = function.map_or(ExprKind::Opaque, |function| ExprKind::Function(Box::new(function)));
                Property::Value(self.key(method.name()), Expr { kind, ..unknown() })
            }
            PropertyDefinition::SpreadObject(value) => Property::Spread(self.expr(value)),
            PropertyDefinition::MethodDefinition(_) | PropertyDefinition::CoverInitializedName(..) => Property::Opaque,
        }
    }
}

/// The place of something whose place the parser does not keep.
const ORIGIN: engine::script::tree::Position = engine::script::tree::Position { line: 1, column: 1 };

/// Something we do not model and whose place the parser does not keep.
pub(super) fn unknown() -> Expr {
    Expr { span: Span { start: ORIGIN, end: ORIGIN }, kind: ExprKind::Opaque }
}

fn opaque(expr: &Expression) -> Expr {
    Expr { span: super::super::parse::span(expr), kind: ExprKind::Opaque }
}

fn unary_op(op: AstUnaryOp) -> Option<UnaryOp> {
    match op {
        AstUnaryOp::Minus => Some(UnaryOp::Minus),
        AstUnaryOp::Plus => Some(UnaryOp::Plus),
        AstUnaryOp::Not => Some(UnaryOp::Not),
        AstUnaryOp::Tilde => Some(UnaryOp::BitNot),
        AstUnaryOp::TypeOf => Some(UnaryOp::TypeOf),
        AstUnaryOp::Void => Some(UnaryOp::Void),
        AstUnaryOp::Delete => None,
    }
}

fn logical_op(op: AstLogicalOp) -> LogicalOp {
    match op {
        AstLogicalOp::And => LogicalOp::And,
        AstLogicalOp::Or => LogicalOp::Or,
        AstLogicalOp::Coalesce => LogicalOp::Coalesce,
    }
}

fn arithmetic_op(op: ArithmeticOp) -> BinaryOp {
    match op {
        ArithmeticOp::Add => BinaryOp::Add,
        ArithmeticOp::Sub => BinaryOp::Sub,
        ArithmeticOp::Div => BinaryOp::Div,
        ArithmeticOp::Mul => BinaryOp::Mul,
        ArithmeticOp::Exp => BinaryOp::Exp,
        ArithmeticOp::Mod => BinaryOp::Rem,
    }
}

fn bitwise_op(op: BitwiseOp) -> BinaryOp {
    match op {
        BitwiseOp::And => BinaryOp::BitAnd,
        BitwiseOp::Or => BinaryOp::BitOr,
        BitwiseOp::Xor => BinaryOp::BitXor,
        BitwiseOp::Shl => BinaryOp::Shl,
        BitwiseOp::Shr => BinaryOp::Shr,
        BitwiseOp::UShr => BinaryOp::UShr,
    }
}

fn relational_op(op: RelationalOp) -> BinaryOp {
    match op {
        RelationalOp::Equal => BinaryOp::Equal,
        RelationalOp::NotEqual => BinaryOp::NotEqual,
        RelationalOp::StrictEqual => BinaryOp::StrictEqual,
        RelationalOp::StrictNotEqual => BinaryOp::StrictNotEqual,
        RelationalOp::GreaterThan => BinaryOp::Greater,
        RelationalOp::GreaterThanOrEqual => BinaryOp::GreaterEqual,
        RelationalOp::LessThan => BinaryOp::Less,
        RelationalOp::LessThanOrEqual => BinaryOp::LessEqual,
        RelationalOp::In => BinaryOp::In,
        RelationalOp::InstanceOf => BinaryOp::InstanceOf,
    }
}

fn assign_op(op: AstAssignOp) -> Option<AssignOp> {
    Some(match op {
        AstAssignOp::Assign => return None,
        AstAssignOp::Add => AssignOp::Binary(BinaryOp::Add),
        AstAssignOp::Sub => AssignOp::Binary(BinaryOp::Sub),
        AstAssignOp::Mul => AssignOp::Binary(BinaryOp::Mul),
        AstAssignOp::Div => AssignOp::Binary(BinaryOp::Div),
        AstAssignOp::Mod => AssignOp::Binary(BinaryOp::Rem),
        AstAssignOp::Exp => AssignOp::Binary(BinaryOp::Exp),
        AstAssignOp::And => AssignOp::Binary(BinaryOp::BitAnd),
        AstAssignOp::Or => AssignOp::Binary(BinaryOp::BitOr),
        AstAssignOp::Xor => AssignOp::Binary(BinaryOp::BitXor),
        AstAssignOp::Shl => AssignOp::Binary(BinaryOp::Shl),
        AstAssignOp::Shr => AssignOp::Binary(BinaryOp::Shr),
        AstAssignOp::Ushr => AssignOp::Binary(BinaryOp::UShr),
        AstAssignOp::BoolAnd => AssignOp::Logical(LogicalOp::And),
        AstAssignOp::BoolOr => AssignOp::Logical(LogicalOp::Or),
        AstAssignOp::Coalesce => AssignOp::Logical(LogicalOp::Coalesce),
    })
}
