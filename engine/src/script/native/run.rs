//! Runs a program.

use std::rc::Rc;

use serde_json::Value as Json;

use super::operators::{self, MAX_TEXT};
use super::program::{Argument, Block, Code, Element, FunctionId, Node, Part as ObjectPart, Program, Slot, Step};
use super::value::{List, Object, Part, Text, Value};
use super::{convert, dates, methods, statics, texts};
use crate::script::tree::{AssignOp, LogicalOp, UnaryOp};

/// Most steps of one run, those of its criteria included.
const MAX_STEPS: usize = 200_000;
/// Most bytes of text that one run makes.
const MAX_MADE: usize = 1024 * 1024;
/// Deepest evaluation inside evaluation, so that any thread's stack is enough.
const MAX_DEPTH: usize = 160;

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
        let mut budget = Budget { steps: MAX_STEPS, made: MAX_MADE, depth: MAX_DEPTH };
        let world = World { claims, now_ms };
        let value = run(self, world, &mut budget)?;
        convert::result(&value, self.kind).ok_or(Bail("the result is not what the kind promises"))
    }
}

/// What a run sees.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) claims: &'a Json,
    pub(super) now_ms: i64,
}

struct Budget {
    steps: usize,
    made: usize,
    depth: usize,
}

fn run<'a>(program: &'a Program, world: World<'a>, budget: &mut Budget) -> Result<Value<'a>, Bail> {
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
        for slot in fresh {
            self.set(*slot, Value::Uninitialised)?;
        }
        let mut start = cases.iter().position(|(test, _)| test.is_none());
        for (at, (test, _)) in cases.iter().enumerate() {
            let Some(test) = test else { continue };
            let test = self.eval(test)?;
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
                let answer = exact(operators::binary(*op, &left, &right))?;
                self.counted(answer)
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
                let answer = exact(found.call(&args, self.now()))?;
                self.counted(answer)
            }
            Node::Date(time) => self.date(time.as_deref()),
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

    fn values(&mut self, nodes: &'a [Node]) -> Result<Vec<Value<'a>>, Stop> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn assign(&mut self, slot: Slot, op: Option<AssignOp>, value: &'a Node) -> Result<Value<'a>, Stop> {
        let value = match op {
            None => self.eval(value)?,
            Some(AssignOp::Binary(op)) => {
                let (before, value) = (self.variable(slot)?, self.eval(value)?);
                let answer = exact(operators::binary(op, &before, &value))?;
                self.counted(answer)?
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
        let before = exact(operators::number(&self.variable(slot)?))?;
        self.set(slot, Value::Number(before + by))?;
        Ok(Value::Number(if prefix { before + by } else { before }))
    }

    fn template(&mut self, parts: &'a [Node]) -> Result<Value<'a>, Stop> {
        let mut text = String::new();
        for part in parts {
            let part = self.eval(part)?;
            text.push_str(&exact(operators::text(&part))?);
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
        Ok(Value::made_list(items))
    }

    fn object(&mut self, parts: &'a [ObjectPart]) -> Result<Value<'a>, Stop> {
        let mut members: Vec<(Text<'a>, Value<'a>)> = Vec::new();
        for part in parts {
            match part {
                ObjectPart::Named(name, node) => {
                    let value = self.eval(node)?;
                    self.spend(members.len())?;
                    put(&mut members, Text::Kept(name), value);
                }
                ObjectPart::Spread(node) => {
                    let value = self.eval(node)?;
                    if value.is_nullish() {
                        continue;
                    }
                    let copied = exact(statics::members(&value))?;
                    self.spend(copied.len().saturating_mul(members.len().saturating_add(copied.len())))?;
                    copied.into_iter().for_each(|(name, value)| put(&mut members, name, value));
                }
            }
        }
        Ok(Value::Object(Object::Made(Rc::from(members))))
    }

    fn unary(&mut self, op: UnaryOp, operand: &'a Node) -> Result<Value<'a>, Stop> {
        let value = self.eval(operand)?;
        match op {
            UnaryOp::Not => Ok(Value::Boolean(!value.truthy())),
            UnaryOp::Minus => Ok(Value::Number(-exact(operators::number(&value))?)),
            UnaryOp::Plus => Ok(Value::Number(exact(operators::number(&value))?)),
            UnaryOp::TypeOf => Ok(Value::Text(Text::Kept(exact(operators::type_of(&value))?))),
            UnaryOp::Void => Ok(Value::Undefined),
            UnaryOp::BitNot => bail("a bit operator"),
        }
    }

    fn member(&mut self, object: &'a Node, name: &str, optional: bool) -> Result<Value<'a>, Stop> {
        let object = self.eval(object)?;
        if optional && object.is_nullish() {
            return Err(Stop::Short);
        }
        self.property(&object, name)
    }

    /// A property that an object has itself, or the length of something; whatever prototypes have is not covered.
    fn property(&self, object: &Value<'a>, name: &str) -> Result<Value<'a>, Stop> {
        #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
        let length = |length: usize| Ok(Value::Number(length as f64));
        match object {
            Value::Text(text) if name == "length" => length(texts::units(text)),
            Value::List(list) if name == "length" => length(list.len()),
            Value::Object(object) if !methods::is_inherited(name) => Ok(self.own(object, name)),
            _ => bail("a property that is not exactly covered"),
        }
    }

    /// A property of the object's own, `undefined` when it has none of the name.
    pub(super) fn own(&self, object: &Object<'a>, name: &str) -> Value<'a> {
        let found = match object {
            Object::Claims => Part::ALL
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(name, part)| Value::Object(Object::Part(*part, self.dictionary(name)))),
            Object::Part(_, members) => members.and_then(|members| members.get(name)).map(Value::from_claim),
            Object::Claim(members) => members.get(name).map(Value::from_claim),
            Object::Made(members) => members.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()),
        };
        found.unwrap_or(Value::Undefined)
    }

    fn dictionary(&self, name: &str) -> Option<&'a serde_json::Map<String, Json>> {
        self.world.claims.get(name).and_then(Json::as_object)
    }

    fn index(&mut self, parts: &'a [Node; 2], optional: bool) -> Result<Value<'a>, Stop> {
        let [object, index] = parts;
        let object = self.eval(object)?;
        if optional && object.is_nullish() {
            return Err(Stop::Short);
        }
        let index = self.eval(index)?;
        match (&object, &index) {
            (Value::List(list), Value::Number(at)) => {
                let at = exact(texts::whole(*at).and_then(|at| usize::try_from(at).ok()))?;
                Ok(list.at(at).unwrap_or(Value::Undefined))
            }
            (Value::Text(text), Value::Number(at)) => {
                let at = exact(texts::whole(*at).and_then(|at| usize::try_from(at).ok()))?;
                if at >= texts::units(text) {
                    return Ok(Value::Undefined);
                }
                let char = exact(texts::slice(text, at, at.saturating_add(1)))?.to_owned();
                self.made(char)
            }
            (Value::Object(_), Value::Text(name)) => self.property(&object, name),
            (Value::Object(_), Value::Number(at)) => {
                let name = exact(texts::of_number(*at))?;
                self.property(&object, &name)
            }
            _ => bail("a computed property that is not exactly covered"),
        }
    }

    fn call(&mut self, function: FunctionId, ready: Option<Slot>, args: &'a [Node]) -> Result<Value<'a>, Stop> {
        self.check_ready(ready)?;
        let args = self.values(args)?;
        self.deeper(|this| this.function(function, args))
    }

    fn check_ready(&self, ready: Option<Slot>) -> Result<(), Stop> {
        match ready.map(|slot| self.variable(slot)).transpose()? {
            None | Some(Value::Boolean(true)) => Ok(()),
            Some(_) => bail("a function before its declaration"),
        }
    }

    fn method(
        &mut self,
        object: &'a Node,
        name: &'a str,
        args: &'a [Argument],
        optional: bool,
    ) -> Result<Value<'a>, Stop> {
        let object = self.eval(object)?;
        if optional && object.is_nullish() {
            return Err(Stop::Short);
        }
        let mut callback = None;
        let mut values = Vec::new();
        for (at, arg) in args.iter().enumerate() {
            match arg {
                Argument::Value(node) => values.push(self.eval(node)?),
                Argument::Function { function, ready } if at == 0 => {
                    self.check_ready(*ready)?;
                    callback = Some(Callback::Own(*function));
                }
                Argument::Convert(convert) if at == 0 => callback = Some(Callback::Convert(*convert)),
                Argument::Function { .. } | Argument::Convert(_) => return bail("a function as a later argument"),
            }
        }
        let answer = match callback {
            Some(callback) => self.with_callback(&object, name, &callback, &values)?,
            None => self.without_callback(&object, name, &values)?,
        };
        self.counted(answer)
    }

    /// Calls a function as a built-in does.
    pub(super) fn call_back(&mut self, callback: &Callback, args: Vec<Value<'a>>) -> Result<Value<'a>, Stop> {
        match callback {
            Callback::Own(function) => self.deeper(|this| this.function(*function, args)),
            // Of all arguments the first alone counts for those that may stand here.
            Callback::Convert(convert) => {
                let answer = exact(convert.call(args.get(..1).unwrap_or_default(), self.now()))?;
                self.counted(answer)
            }
        }
    }

    fn date(&mut self, time: Option<&'a Node>) -> Result<Value<'a>, Stop> {
        let Some(time) = time else { return Ok(Value::Date(self.now())) };
        let time = match self.eval(time)? {
            Value::Number(time) => time,
            Value::Text(text) => exact(dates::parse(&text))?,
            Value::Date(time) => time,
            _ => return bail("a date that is not exactly covered"),
        };
        exact(dates::parts(time))?;
        Ok(Value::Date(time))
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
