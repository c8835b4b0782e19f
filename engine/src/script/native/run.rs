//! Runs a program.

mod access;
mod cached;

use std::sync::Arc;

use serde_json::Value as Json;

use super::operators::{self, MAX_TEXT};
use super::program::{Block, Code, Element, FunctionId, Node, Part as ObjectPart, Program, Slot, Step};
use super::value::{List, Object, Text, Value};
use super::{convert, statics};
use crate::script::tree::{AssignOp, BinaryOp, LogicalOp, UnaryOp};

/// Most steps of one run, those of its criteria included.
const MAX_STEPS: usize = 50_000;
/// Most bytes of text that one run makes.
const MAX_MADE: usize = 1024 * 1024;
/// Deepest evaluation inside evaluation, so that any thread's stack is enough.
const MAX_DEPTH: usize = 160;

/// Bytes of text that one step looks at.
pub(super) const PER_STEP: usize = 32;
/// Levels of lists that are looked at when a list becomes a text.
pub(super) const LEVELS: usize = 5;

/// A run that is left to a worker: it met something that is not exactly covered, an exception, or a bound. It has done nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("left to a worker: {0}")]
pub struct Bail(pub(super) &'static str);

impl Program {
    /// Runs the script. `claims` are `{user, device, system, responses}` as a batch has them, `now_ms` is the time in milliseconds since 1970.
    ///
    /// The result has the shape that the script's kind promises.
    ///
    /// # Errors
    /// Whatever is not certain; a worker then has the last word.
    pub fn run(&self, claims: &Json, now_ms: i64) -> Result<Json, Bail> {
        self.run_beside(claims, now_ms, &|_| None)
    }

    /// Runs a script that may look into the scripts' cache: `cache` answers what is kept under a key, as JSON text. A run that finds
    /// nothing there bails: it most likely goes on to fetch something.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_beside(
        &self,
        claims: &Json,
        now_ms: i64,
        cache: &dyn Fn(&str) -> Option<Arc<str>>,
    ) -> Result<Json, Bail> {
        let mut budget = Budget { steps: MAX_STEPS, made: MAX_MADE, depth: MAX_DEPTH };
        let world = World { claims, now_ms, cache };
        let value = run(self, world, &mut budget)?;
        convert::result(&value, self.kind).ok_or(Bail("the result is not what the kind promises"))
    }
}

/// What a run sees.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) claims: &'a Json,
    pub(super) now_ms: i64,
    cache: &'a dyn Fn(&str) -> Option<Arc<str>>,
}

struct Budget {
    steps: usize,
    made: usize,
    depth: usize,
}

fn run<'a>(program: &'a Program, world: World<'a>, budget: &mut Budget) -> Result<Value<'a>, Bail> {
    match budget.steps.checked_sub(program.slots) {
        Some(left) => budget.steps = left,
        None => return Err(Bail("too many steps")),
    }
    let slots = vec![Value::Uninitialised; program.slots];
    let mut run = Run { program, world, slots, budget };
    match run.function(0, Vec::new()) {
        Ok(value) => Ok(value),
        Err(Stop::Bail(bail)) => Err(bail),
        Err(Stop::Short) => Err(Bail("a chain without an end")),
    }
}

/// Why evaluation does not go on.
pub(super) enum Stop {
    Bail(Bail),
    /// `?.` found nothing.
    Short,
}

/// How a statement ended.
enum Flow<'a> {
    Next,
    Break,
    Return(Value<'a>),
}

fn bail<T>(why: &'static str) -> Result<T, Stop> {
    Err(Stop::Bail(Bail(why)))
}

/// The answer, or a bail where there is none.
fn exact<T>(answer: Option<T>) -> Result<T, Stop> {
    answer.ok_or(Stop::Bail(Bail("an operation that is not exactly covered")))
}

/// A function that a method calls back.
pub(super) enum Callback {
    Own(FunctionId),
    Convert(statics::Static),
}

pub(super) struct Run<'a, 'b> {
    program: &'a Program,
    pub(super) world: World<'a>,
    slots: Vec<Value<'a>>,
    budget: &'b mut Budget,
}

impl<'a> Run<'a, '_> {
    fn function(&mut self, id: FunctionId, args: Vec<Value<'a>>) -> Result<Value<'a>, Stop> {
        let code: &'a Code = exact(self.program.functions.get(id))?;
        self.spend(code.vars.len().saturating_add(code.params.len()))?;
        for slot in &code.vars {
            self.set(*slot, Value::Undefined)?;
        }
        let mut args = args.into_iter();
        for slot in &code.params {
            self.set(*slot, args.next().unwrap_or(Value::Undefined))?;
        }
        match self.block(&code.body)? {
            Flow::Return(value) => Ok(value),
            Flow::Next | Flow::Break => Ok(Value::Undefined),
        }
    }

    fn set(&mut self, slot: Slot, value: Value<'a>) -> Result<(), Stop> {
        *exact(self.slots.get_mut(slot))? = value;
        Ok(())
    }

    fn variable(&self, slot: Slot) -> Result<Value<'a>, Stop> {
        match exact(self.slots.get(slot))? {
            Value::Uninitialised => bail("a variable before its declaration"),
            value => Ok(value.clone()),
        }
    }

    fn block(&mut self, block: &'a Block) -> Result<Flow<'a>, Stop> {
        self.spend(block.fresh.len())?;
        for slot in &block.fresh {
            self.set(*slot, Value::Uninitialised)?;
        }
        self.steps(&block.steps)
    }

    fn steps(&mut self, steps: &'a [Step]) -> Result<Flow<'a>, Stop> {
        for step in steps {
            match self.step(step)? {
                Flow::Next => {}
                ended => return Ok(ended),
            }
        }
        Ok(Flow::Next)
    }

    fn step(&mut self, step: &'a Step) -> Result<Flow<'a>, Stop> {
        match step {
            Step::Expr(node) => {
                self.eval(node)?;
            }
            Step::Set(slot, node) => {
                let value = self.eval(node)?;
                self.set(*slot, value)?;
            }
            Step::Return(None) => return Ok(Flow::Return(Value::Undefined)),
            Step::Return(Some(node)) => return Ok(Flow::Return(self.eval(node)?)),
            Step::If(test, then, otherwise) => return self.choose(test, then, otherwise.as_deref()),
            Step::Block(block) => return self.deeper(|this| this.block(block)),
            Step::Switch { subject, fresh, cases } => return self.switch(subject, fresh, cases),
            Step::Break => return Ok(Flow::Break),
            Step::Throw => return bail("an exception"),
        }
        Ok(Flow::Next)
    }

    fn choose(&mut self, test: &'a Node, then: &'a Step, otherwise: Option<&'a Step>) -> Result<Flow<'a>, Stop> {
        match (self.eval(test)?.truthy(), otherwise) {
            (true, _) => self.step(then),
            (false, Some(otherwise)) => self.step(otherwise),
            (false, None) => Ok(Flow::Next),
        }
    }

    fn switch(
        &mut self,
        subject: &'a Node,
        fresh: &[Slot],
        cases: &'a [(Option<Node>, Vec<Step>)],
    ) -> Result<Flow<'a>, Stop> {
        let subject = self.eval(subject)?;
        self.spend(fresh.len().saturating_add(cases.len()))?;
        for slot in fresh {
            self.set(*slot, Value::Uninitialised)?;
        }
        let mut start = cases.iter().position(|(test, _)| test.is_none());
        for (at, (test, _)) in cases.iter().enumerate() {
            let Some(test) = test else { continue };
            let test = self.eval(test)?;
            self.compared(BinaryOp::StrictEqual, &subject, &test)?;
            if exact(operators::strictly_equal(&subject, &test))? {
                start = Some(at);
                break;
            }
        }
        let run = start.and_then(|start| cases.get(start..)).unwrap_or_default();
        for (_, steps) in run {
            match self.deeper(|this| this.steps(steps))? {
                Flow::Next => {}
                Flow::Break => return Ok(Flow::Next),
                ended @ Flow::Return(_) => return Ok(ended),
            }
        }
        Ok(Flow::Next)
    }

    /// One level down, with a step taken from the budget.
    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        self.spend(1)?;
        let Some(depth) = self.budget.depth.checked_sub(1) else { return bail("too deep") };
        self.budget.depth = depth;
        let ran = run(self);
        self.budget.depth += 1;
        ran
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        match self.budget.steps.checked_sub(steps) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => bail("too many steps"),
        }
    }

    /// Takes a text that was made from the budget.
    pub(super) fn made(&mut self, text: String) -> Result<Value<'a>, Stop> {
        match self.budget.made.checked_sub(text.len()) {
            Some(left) if text.len() <= MAX_TEXT => {
                self.budget.made = left;
                Ok(Value::made_text(text))
            }
            _ => bail("too much text"),
        }
    }

    fn eval(&mut self, node: &'a Node) -> Result<Value<'a>, Stop> {
        self.deeper(|this| this.node(node))
    }

    fn node(&mut self, node: &'a Node) -> Result<Value<'a>, Stop> {
        match node {
            Node::Undefined => Ok(Value::Undefined),
            Node::Null => Ok(Value::Null),
            Node::Boolean(value) => Ok(Value::Boolean(*value)),
            Node::Number(number) => Ok(Value::Number(*number)),
            Node::Text(text) => Ok(Value::Text(Text::Kept(text))),
            Node::Claims => Ok(Value::Object(Object::Claims)),
            Node::Variable(slot) => self.variable(*slot),
            Node::Assign(slot, op, value) => self.assign(*slot, *op, value),
            Node::Update { slot, by, prefix } => self.update(*slot, *by, *prefix),
            Node::Template(parts) => self.template(parts),
            Node::List(elements) => self.list(elements),
            Node::Object(parts) => self.object(parts),
            Node::Unary(op, operand) => self.unary(*op, operand),
            Node::Binary(op, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                self.binary(*op, &left, &right)
            }
            Node::Logical(op, left, right) => {
                let left = self.eval(left)?;
                if goes_on(*op, &left) { self.eval(right) } else { Ok(left) }
            }
            Node::Sequence(left, right) => {
                self.eval(left)?;
                self.eval(right)
            }
            Node::Conditional(parts) => {
                let [test, then, otherwise] = parts.as_ref();
                if self.eval(test)?.truthy() { self.eval(then) } else { self.eval(otherwise) }
            }
            Node::Member(object, name, optional) => self.member(object, name, *optional),
            Node::Index(parts, optional) => self.index(parts, *optional),
            Node::Chain(inner) => match self.eval(inner) {
                Err(Stop::Short) => Ok(Value::Undefined),
                ended => ended,
            },
            Node::Method { object, name, args, optional } => self.method(object, name, args, *optional),
            Node::Call { function, ready, args } => self.call(*function, *ready, args),
            Node::Criterion(at) => {
                let program: &'a Program = exact(self.program.criteria.get(*at))?;
                run(program, self.world, self.budget).map_err(Stop::Bail)
            }
            Node::Static(found, args) => {
                let args = self.values(args)?;
                self.builtin(*found, &args)
            }
            Node::Date(time) => self.date(time.as_deref()),
            Node::Cached(key) => self.cached(key),
            Node::Beyond => bail("an expression outside the native subset"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 milliseconds")]
    fn now(&self) -> f64 {
        self.world.now_ms as f64
    }

    /// Takes what an operation made from the budget.
    fn counted(&mut self, value: Value<'a>) -> Result<Value<'a>, Stop> {
        match &value {
            Value::Text(Text::Made(text)) => match self.budget.made.checked_sub(text.len()) {
                Some(left) => self.budget.made = left,
                None => return bail("too much text"),
            },
            Value::List(List::Made(items)) => self.spend(items.len())?,
            _ => {}
        }
        Ok(value)
    }

    fn binary(&mut self, op: BinaryOp, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, Stop> {
        self.compared(op, left, right)?;
        let answer = exact(operators::binary(op, left, right))?;
        self.counted(answer)
    }

    fn builtin(&mut self, found: statics::Static, args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
        if found.looks() {
            args.iter().try_for_each(|arg| self.look(arg, LEVELS))?;
        }
        let answer = exact(found.call(args, self.now()))?;
        self.counted(answer)
    }

    /// Takes what an operator looks at from the budget.
    fn compared(&mut self, op: BinaryOp, left: &Value<'a>, right: &Value<'a>) -> Result<(), Stop> {
        let levels = match op {
            BinaryOp::StrictEqual | BinaryOp::StrictNotEqual => 0,
            BinaryOp::Equal | BinaryOp::NotEqual if left.is_nullish() || right.is_nullish() => 0,
            BinaryOp::Equal | BinaryOp::NotEqual if left.is_object() && right.is_object() => 0,
            _ => LEVELS,
        };
        self.look(left, levels)?;
        self.look(right, levels)
    }

    /// Takes from the budget what it costs to look at a value as a text, lists down to so many levels.
    pub(super) fn look(&mut self, value: &Value<'a>, levels: usize) -> Result<(), Stop> {
        match value {
            Value::Text(text) if text.len() > MAX_TEXT => bail("too much text"),
            Value::Text(text) => self.spend(text.len() / PER_STEP),
            Value::List(list) if levels > 0 => {
                self.spend(list.len())?;
                list.iter().try_for_each(|item| self.look(&item, levels - 1))
            }
            Value::Object(object) if levels > 0 => self.spend(object.len()),
            _ => Ok(()),
        }
    }

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Stop> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn assign(&mut self, slot: Slot, op: Option<AssignOp>, value: &'a Node) -> Result<Value<'a>, Stop> {
        let value = match op {
            None => self.eval(value)?,
            Some(AssignOp::Binary(op)) => {
                let (before, value) = (self.variable(slot)?, self.eval(value)?);
                self.binary(op, &before, &value)?
            }
            Some(AssignOp::Logical(op)) => {
                let before = self.variable(slot)?;
                if !goes_on(op, &before) {
                    return Ok(before);
                }
                self.eval(value)?
            }
        };
        // Assigning before the declaration is an exception.
        self.variable(slot)?;
        self.set(slot, value.clone())?;
        Ok(value)
    }

    fn update(&mut self, slot: Slot, by: f64, prefix: bool) -> Result<Value<'a>, Stop> {
        let before = self.variable(slot)?;
        self.look(&before, LEVELS)?;
        let before = exact(operators::number(&before))?;
        self.set(slot, Value::Number(before + by))?;
        Ok(Value::Number(if prefix { before + by } else { before }))
    }

    fn template(&mut self, parts: &'a [Node]) -> Result<Value<'a>, Stop> {
        let mut text = String::new();
        for part in parts {
            let part = self.eval(part)?;
            self.look(&part, LEVELS)?;
            text.push_str(&exact(operators::text(&part))?);
            if text.len() > MAX_TEXT {
                return bail("too much text");
            }
        }
        self.made(text)
    }

    fn list(&mut self, elements: &'a [Element]) -> Result<Value<'a>, Stop> {
        let mut items = Vec::new();
        for element in elements {
            match element {
                Element::One(node) => items.push(self.eval(node)?),
                Element::Spread(node) => {
                    let value = self.eval(node)?;
                    let list = exact(statics::elements(&value))?;
                    self.spend(list.len())?;
                    items.extend(list.iter());
                }
            }
        }
        exact(Value::made_list(items))
    }

    fn object(&mut self, parts: &'a [ObjectPart]) -> Result<Value<'a>, Stop> {
        let mut members: Vec<(Text<'a>, Value<'a>)> = Vec::new();
        for part in parts {
            match part {
                ObjectPart::Named(name, node) => {
                    let value = self.eval(node)?;
                    self.spend(members.len().saturating_mul(1 + name.len() / PER_STEP))?;
                    put(&mut members, Text::Kept(name), value);
                }
                ObjectPart::Spread(node) => {
                    let value = self.eval(node)?;
                    if value.is_nullish() {
                        continue;
                    }
                    self.look(&value, 1)?;
                    for (name, value) in exact(statics::members(&value))? {
                        self.spend(members.len().saturating_add(1).saturating_mul(1 + name.len() / PER_STEP))?;
                        put(&mut members, name, value);
                    }
                }
            }
        }
        exact(Value::made_object(members))
    }

    fn unary(&mut self, op: UnaryOp, operand: &'a Node) -> Result<Value<'a>, Stop> {
        let value = self.eval(operand)?;
        if matches!(op, UnaryOp::Minus | UnaryOp::Plus) {
            self.look(&value, LEVELS)?;
        }
        match op {
            UnaryOp::Not => Ok(Value::Boolean(!value.truthy())),
            UnaryOp::Minus => Ok(Value::Number(-exact(operators::number(&value))?)),
            UnaryOp::Plus => Ok(Value::Number(exact(operators::number(&value))?)),
            UnaryOp::TypeOf => Ok(Value::Text(Text::Kept(exact(operators::type_of(&value))?))),
            UnaryOp::Void => Ok(Value::Undefined),
            UnaryOp::BitNot => bail("a bit operator"),
        }
    }
}

/// Whether `&&` and its like look at their right side.
fn goes_on(op: LogicalOp, left: &Value<'_>) -> bool {
    match op {
        LogicalOp::And => left.truthy(),
        LogicalOp::Or => !left.truthy(),
        LogicalOp::Coalesce => left.is_nullish(),
    }
}

/// A name that is there already keeps its place.
fn put<'a>(members: &mut Vec<(Text<'a>, Value<'a>)>, name: Text<'a>, value: Value<'a>) {
    match members.iter_mut().find(|(known, _)| **known == *name) {
        Some((_, place)) => *place = value,
        None => members.push((name, value)),
    }
}
