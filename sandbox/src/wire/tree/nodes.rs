//! The tag and the parts of every kind of node.

use engine::script::tree::{
    ArrayPart, AssignOp, BinaryOp, Case, Declarator, DeclareKind, Each, EachTarget, Expr, ExprKind, Function, Item,
    Key, LogicalOp, ObjectPart, Pattern, Position, Property, Span, Stmt, StmtKind, Target, TemplatePart, UnaryOp,
};

use super::{Coded, Malformed, Source, Writer};

/// Codes a struct field by field.
macro_rules! coded_struct {
    ($type:ident { $($field:ident),* }) => {
        impl Coded for $type {
            fn put(&self, to: &mut Writer<'_>) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }

            fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
                $(let $field = Coded::take(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}

/// Codes an enum: the tag, then the parts of the variant in order.
macro_rules! coded_enum {
    ($type:ident { $($tag:literal $variant:ident $(($($item:ident),*))? $({$($field:ident),*})?;)* }) => {
        impl Coded for $type {
            fn put(&self, to: &mut Writer<'_>) {
                match self {
                    $(Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        to.u8($tag);
                        $($($item.put(to);)*)?
                        $($($field.put(to);)*)?
                    })*
                }
            }

            fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
                match from.reader.u8()? {
                    $($tag => {
                        $($(let $item = Coded::take(from)?;)*)?
                        $($(let $field = Coded::take(from)?;)*)?
                        Ok(Self::$variant $(($($item),*))? $({ $($field),* })?)
                    })*
                    _ => Err(Malformed("unknown tag in a tree")),
                }
            }
        }
    };
}

coded_struct!(Position { line, column });
coded_struct!(Span { start, end });
coded_struct!(Declarator { target, init });
coded_struct!(Case { test, body });
coded_struct!(ObjectPart { key, target, default });
coded_struct!(ArrayPart { target, default, rest });
coded_struct!(Function { name, params, rest, body });

impl Coded for Stmt {
    fn put(&self, to: &mut Writer<'_>) {
        self.span.put(to);
        self.kind.put(to);
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        from.node(|from| Ok(Self { span: Coded::take(from)?, kind: Coded::take(from)? }))
    }
}

impl Coded for Expr {
    fn put(&self, to: &mut Writer<'_>) {
        self.span.put(to);
        self.kind.put(to);
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        from.node(|from| Ok(Self { span: Coded::take(from)?, kind: Coded::take(from)? }))
    }
}

coded_enum!(StmtKind {
    0 Empty;
    1 Expr(value);
    2 Declare(kind, list);
    3 Function(function);
    4 Return(value);
    5 If { test, then, otherwise };
    6 While { test, body };
    7 DoWhile { body, test };
    8 For { init, test, update, body };
    9 ForEach { each, target, subject, body };
    10 Block(body);
    11 Switch { subject, cases };
    12 Throw(value);
    13 Try { block, param, handler, finalizer };
    14 Break(label);
    15 Continue(label);
    16 Labelled(label, body);
    17 Opaque;
});

coded_enum!(DeclareKind { 0 Var; 1 Let; 2 Const; });
coded_enum!(Each { 0 In; 1 Of; });
coded_enum!(EachTarget { 0 Declare(kind, pattern); 1 Name(name); 2 Opaque; });

impl Coded for Pattern {
    fn put(&self, to: &mut Writer<'_>) {
        match self {
            Self::Name(name) => {
                to.u8(0);
                name.put(to);
            }
            Self::Object(parts) => {
                to.u8(1);
                parts.put(to);
            }
            Self::Array(parts) => {
                to.u8(2);
                parts.put(to);
            }
            Self::Opaque => to.u8(3),
        }
    }

    fn take(from: &mut Source<'_, '_>) -> Result<Self, Malformed> {
        match from.reader.u8()? {
            0 => Coded::take(from).map(Self::Name),
            1 => from.node(Coded::take).map(Self::Object),
            2 => from.node(Coded::take).map(Self::Array),
            3 => Ok(Self::Opaque),
            _ => Err(Malformed("unknown tag in a tree")),
        }
    }
}

coded_enum!(ExprKind {
    0 Name(name);
    1 String(text);
    2 Number(number);
    3 Boolean(value);
    4 Null;
    5 Undefined;
    6 Regex { pattern, flags };
    7 Template(parts);
    8 Array(items);
    9 Object(properties);
    10 Function(function);
    11 Unary(op, operand);
    12 Binary(op, left, right);
    13 Logical(op, left, right);
    14 Sequence(left, right);
    15 Assign { op, target, value };
    16 Delete(target);
    17 Update { increment, prefix, target };
    18 Conditional { test, then, otherwise };
    19 Call { callee, args, optional };
    20 New { callee, args };
    21 Member { object, name, optional };
    22 Index { object, index, optional };
    23 Chain(inner);
    24 Opaque;
});

coded_enum!(TemplatePart { 0 Text(text); 1 Expr(value); });
coded_enum!(Item { 0 One(value); 1 Spread(value); 2 Hole; });
coded_enum!(Property { 0 Value(key, value); 1 Spread(value); 2 Opaque; });
coded_enum!(Key { 0 Name(name); 1 Computed(value); });
coded_enum!(Target { 0 Name(name); 1 Member { object, name }; 2 Index { object, index }; 3 Opaque; });
coded_enum!(UnaryOp { 0 Minus; 1 Plus; 2 Not; 3 BitNot; 4 TypeOf; 5 Void; });
coded_enum!(BinaryOp {
    0 Add;
    1 Sub;
    2 Mul;
    3 Div;
    4 Rem;
    5 Exp;
    6 BitAnd;
    7 BitOr;
    8 BitXor;
    9 Shl;
    10 Shr;
    11 UShr;
    12 Equal;
    13 NotEqual;
    14 StrictEqual;
    15 StrictNotEqual;
    16 Greater;
    17 GreaterEqual;
    18 Less;
    19 LessEqual;
    20 In;
    21 InstanceOf;
});
coded_enum!(LogicalOp { 0 And; 1 Or; 2 Coalesce; });
coded_enum!(AssignOp { 0 Binary(op); 1 Logical(op); });
