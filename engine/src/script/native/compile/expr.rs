//! Expressions.

use super::scopes::Binding;
use super::{Beyond, Compiler, Reason, order, refuse};
use crate::script::lanes::is_reserved_global;
use crate::script::native::methods;
use crate::script::native::program::{Argument, Element, FunctionId, Node, Part, Slot};
use crate::script::native::statics::Static;
use crate::script::tree::{
    AssignOp, BinaryOp, Expr, ExprKind, Item, Key, Property, Span, Target, TemplatePart, UnaryOp,
};

impl<'a> Compiler<'a> {
    /// An expression that is not part of another one.
    pub(super) fn whole(&mut self, expr: &'a Expr) -> Result<Node, Reason> {
        let scopes = self.scopes.depth();
        let place = (self.current, self.depth, self.in_switch);
        let compiled = match order::is_plain(expr) {
            true => self.expr(expr),
            false => refuse(Some(expr.span), "uses a variable and assigns it in one expression"),
        };
        if self.beyond == Beyond::Refused || compiled.is_ok() {
            return compiled;
        }
        // INVARIANT: an expression declares nothing around itself, so everything else means what it means with it.
        self.scopes.leave_to(scopes);
        (self.current, self.depth, self.in_switch) = place;
        Ok(Node::Beyond)
    }

    pub(super) fn expr(&mut self, expr: &'a Expr) -> Result<Node, Reason> {
        self.deeper(Some(expr.span), |this| match &expr.kind {
            ExprKind::Name(name) => this.name(name, expr.span),
            ExprKind::String(text) => Ok(Node::Text(text.clone())),
            ExprKind::Number(number) => Ok(Node::Number(*number)),
            ExprKind::Boolean(value) => Ok(Node::Boolean(*value)),
            ExprKind::Null => Ok(Node::Null),
            ExprKind::Undefined => Ok(Node::Undefined),
            ExprKind::Template(parts) => this.template(parts),
            ExprKind::Array(items) => this.list(items, expr.span),
            ExprKind::Object(properties) => this.object(properties, expr.span),
            ExprKind::Unary(op, operand) => this.unary(*op, operand, expr.span),
            ExprKind::Binary(op, left, right) => this.binary(*op, left, right, expr.span),
            ExprKind::Logical(op, left, right) => {
                let (left, right) = this.pair(left, right)?;
                Ok(Node::Logical(*op, left, right))
            }
            ExprKind::Sequence(left, right) => {
                let (left, right) = this.pair(left, right)?;
                Ok(Node::Sequence(left, right))
            }
            ExprKind::Assign { op, target, value } => this.assign(*op, target, value, expr.span),
            ExprKind::Update { increment, prefix, target } => {
                let slot = this.assigned(target, expr.span)?;
                Ok(Node::Update { slot, by: if *increment { 1.0 } else { -1.0 }, prefix: *prefix })
            }
            ExprKind::Conditional { test, then, otherwise } => {
                let parts = [this.expr(test)?, this.expr(then)?, this.expr(otherwise)?];
                Ok(Node::Conditional(Box::new(parts)))
            }
            ExprKind::Call { callee, args, optional: false } => this.call(callee, args, expr.span),
            ExprKind::New { callee, args } => this.construct(callee, args, expr.span),
            ExprKind::Member { object, name, optional } => this.member(object, name, *optional, expr.span),
            ExprKind::Index { object, index, optional } => {
                let parts = [this.expr(object)?, this.expr(index)?];
                Ok(Node::Index(Box::new(parts), *optional))
            }
            ExprKind::Chain(inner) => Ok(Node::Chain(Box::new(this.expr(inner)?))),
            ExprKind::Function(_) => refuse(Some(expr.span), "uses a function as a value"),
            ExprKind::Regex { .. } => refuse(Some(expr.span), "uses a regular expression"),
            ExprKind::Delete(_) => refuse(Some(expr.span), "deletes a property"),
            ExprKind::Call { .. } | ExprKind::Opaque => {
                refuse(Some(expr.span), "uses an expression outside the native subset")
            }
        })
    }

    fn pair(&mut self, left: &'a Expr, right: &'a Expr) -> Result<(Box<Node>, Box<Node>), Reason> {
        Ok((Box::new(self.expr(left)?), Box::new(self.expr(right)?)))
    }

    fn name(&mut self, name: &str, span: Span) -> Result<Node, Reason> {
        match (self.scopes.resolve(name), name) {
            (Some(Binding::Claims), _) => Ok(Node::Claims),
            (Some(Binding::Variable(slot) | Binding::Constant(slot)), _) => Ok(Node::Variable(slot)),
            (Some(Binding::Function { .. }), _) => refuse(Some(span), "uses a function as a value"),
            (None, "undefined") => Ok(Node::Undefined),
            (None, "NaN") => Ok(Node::Number(f64::NAN)),
            (None, "Infinity") => Ok(Node::Number(f64::INFINITY)),
            (None, _) => refuse(Some(span), "uses a global variable"),
        }
    }

    fn template(&mut self, parts: &'a [TemplatePart]) -> Result<Node, Reason> {
        let part = |this: &mut Self, part: &'a TemplatePart| match part {
            TemplatePart::Text(text) => Ok(Node::Text(text.clone())),
            TemplatePart::Expr(expr) => this.expr(expr),
        };
        Ok(Node::Template(parts.iter().map(|each| part(self, each)).collect::<Result<_, _>>()?))
    }

    fn list(&mut self, items: &'a [Item], span: Span) -> Result<Node, Reason> {
        let item = |this: &mut Self, item: &'a Item| match item {
            Item::One(expr) => Ok(Element::One(this.expr(expr)?)),
            Item::Spread(expr) => Ok(Element::Spread(this.expr(expr)?)),
            Item::Hole => refuse(Some(span), "makes a list with holes"),
        };
        Ok(Node::List(items.iter().map(|each| item(self, each)).collect::<Result<_, _>>()?))
    }

    fn object(&mut self, properties: &'a [Property], span: Span) -> Result<Node, Reason> {
        let part = |this: &mut Self, property: &'a Property| match property {
            Property::Value(Key::Name(name), value) if name.as_ref() != "__proto__" => {
                Ok(Part::Named(name.clone(), this.expr(value)?))
            }
            Property::Spread(value) => Ok(Part::Spread(this.expr(value)?)),
            Property::Value(..) | Property::Opaque => {
                refuse(Some(span), "makes an object with computed names, accessors or a prototype")
            }
        };
        Ok(Node::Object(properties.iter().map(|each| part(self, each)).collect::<Result<_, _>>()?))
    }

    fn unary(&mut self, op: UnaryOp, operand: &'a Expr, span: Span) -> Result<Node, Reason> {
        if matches!(op, UnaryOp::BitNot) {
            return refuse(Some(span), "uses a bit operator");
        }
        Ok(Node::Unary(op, Box::new(self.expr(operand)?)))
    }

    fn binary(&mut self, op: BinaryOp, left: &'a Expr, right: &'a Expr, span: Span) -> Result<Node, Reason> {
        match op {
            BinaryOp::Exp
            | BinaryOp::BitAnd
            | BinaryOp::BitOr
            | BinaryOp::BitXor
            | BinaryOp::Shl
            | BinaryOp::Shr
            | BinaryOp::UShr
            | BinaryOp::In
            | BinaryOp::InstanceOf => refuse(Some(span), "uses an operator outside the native subset"),
            BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Rem
            | BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::StrictEqual
            | BinaryOp::StrictNotEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterEqual
            | BinaryOp::Less
            | BinaryOp::LessEqual => {
                if matches!(left.kind, ExprKind::Name(_)) && order::assigns(right) {
                    return refuse(Some(span), "uses a variable and assigns in one operation");
                }
                let (left, right) = self.pair(left, right)?;
                Ok(Node::Binary(op, left, right))
            }
        }
    }

    fn assigned(&mut self, target: &Target, span: Span) -> Result<Slot, Reason> {
        let Target::Name(name) = target else { return refuse(Some(span), "writes to a property") };
        match self.scopes.resolve(name) {
            Some(Binding::Variable(slot)) => Ok(slot),
            Some(Binding::Constant(_) | Binding::Claims | Binding::Function { .. }) => {
                refuse(Some(span), "assigns a constant, a function or the claims")
            }
            None => refuse(Some(span), "assigns a variable it does not declare"),
        }
    }

    fn assign(
        &mut self,
        op: Option<AssignOp>,
        target: &'a Target,
        value: &'a Expr,
        span: Span,
    ) -> Result<Node, Reason> {
        let slot = self.assigned(target, span)?;
        if let Some(AssignOp::Binary(op)) = op
            && !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem)
        {
            return refuse(Some(span), "uses an operator outside the native subset");
        }
        Ok(Node::Assign(slot, op, Box::new(self.expr(value)?)))
    }

    fn member(&mut self, object: &'a Expr, name: &str, optional: bool, span: Span) -> Result<Node, Reason> {
        if self.global(object).is_some() {
            return refuse(Some(span), "reads a property of a global object");
        }
        Ok(Node::Member(Box::new(self.expr(object)?), name.into(), optional))
    }

    /// The name of a global object, when the expression is just that.
    fn global(&self, expr: &'a Expr) -> Option<&'a str> {
        match &expr.kind {
            ExprKind::Name(name) if self.scopes.resolve(name).is_none() => Some(name),
            _ => None,
        }
    }

    fn call(&mut self, callee: &'a Expr, args: &'a [Item], span: Span) -> Result<Node, Reason> {
        match &callee.kind {
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(Binding::Function { function, ready }) => {
                    self.calls.push((self.current, function));
                    Ok(Node::Call { function, ready, args: self.values(args, span)? })
                }
                Some(_) => refuse(Some(span), "calls a variable"),
                None => self.call_global(name, args, span),
            },
            ExprKind::Member { object, name, optional } => match self.global(object) {
                Some("cache") if self.beyond == Beyond::Left && name.as_ref() == "getIfPresent" => match args {
                    [Item::One(key)] => Ok(Node::Cached(Box::new(self.expr(key)?))),
                    _ => refuse(Some(span), "calls a built-in outside the native subset"),
                },
                Some(global) => self.call_static(Static::method(global, name), args, span),
                None => {
                    if !methods::is_known(name) {
                        return refuse(Some(span), "calls a method outside the native subset");
                    }
                    let object = Box::new(self.expr(object)?);
                    let args = args.iter().map(|arg| self.argument(arg, span)).collect::<Result<_, _>>()?;
                    Ok(Node::Method { object, name: name.clone(), args, optional: *optional })
                }
            },
            _ => refuse(Some(span), "calls a value"),
        }
    }

    fn call_global(&mut self, name: &str, args: &'a [Item], span: Span) -> Result<Node, Reason> {
        if is_reserved_global(name) {
            return self.call_static(Static::function(name), args, span);
        }
        let [Item::One(only)] = args else {
            return refuse(Some(span), "calls a criteria script with something else than the claims");
        };
        let is_claims =
            matches!(&only.kind, ExprKind::Name(name) if self.scopes.resolve(name) == Some(Binding::Claims));
        if !is_claims {
            return refuse(Some(span), "calls a criteria script with something else than the claims");
        }
        if let Some(known) = self.criteria.iter().position(|(known, _)| known.as_ref() == name) {
            return Ok(Node::Criterion(known));
        }
        match (self.criteria_by_name)(name) {
            Some(program) => {
                self.criteria.push((name.into(), program));
                Ok(Node::Criterion(self.criteria.len() - 1))
            }
            None => refuse(Some(span), "calls something that does not run natively"),
        }
    }

    fn call_static(&mut self, found: Option<Static>, args: &'a [Item], span: Span) -> Result<Node, Reason> {
        match found {
            Some(found) => Ok(Node::Static(found, self.values(args, span)?)),
            None => refuse(Some(span), "calls a built-in outside the native subset"),
        }
    }

    fn construct(&mut self, callee: &'a Expr, args: &'a [Item], span: Span) -> Result<Node, Reason> {
        match (self.global(callee), args) {
            (Some("Date"), []) => Ok(Node::Date(None)),
            (Some("Date"), [Item::One(time)]) => Ok(Node::Date(Some(Box::new(self.expr(time)?)))),
            _ => refuse(Some(span), "constructs an object"),
        }
    }

    fn values(&mut self, args: &'a [Item], span: Span) -> Result<Vec<Node>, Reason> {
        args.iter()
            .map(|arg| match arg {
                Item::One(expr) => self.expr(expr),
                Item::Spread(_) | Item::Hole => refuse(Some(span), "spreads arguments"),
            })
            .collect()
    }

    fn argument(&mut self, arg: &'a Item, span: Span) -> Result<Argument, Reason> {
        let Item::One(expr) = arg else { return refuse(Some(span), "spreads arguments") };
        match &expr.kind {
            ExprKind::Function(function) => {
                let function = self.function(function)?;
                self.called_back(function);
                Ok(Argument::Function { function, ready: None })
            }
            ExprKind::Name(name) => match self.scopes.resolve(name) {
                Some(Binding::Function { function, ready }) => {
                    self.called_back(function);
                    Ok(Argument::Function { function, ready })
                }
                None if matches!(name.as_ref(), "Boolean" | "Number" | "String") => match Static::function(name) {
                    Some(convert) => Ok(Argument::Convert(convert)),
                    None => refuse(Some(span), "hands on a built-in"),
                },
                _ => Ok(Argument::Value(self.expr(expr)?)),
            },
            _ => Ok(Argument::Value(self.expr(expr)?)),
        }
    }

    /// The method calls the function from inside the current one.
    fn called_back(&mut self, function: FunctionId) {
        self.calls.push((self.current, function));
    }
}
