//! Members, calls and methods.

use serde_json::Value as Json;

use super::{Callback, PER_STEP, Run, Stop, bail, exact};
use crate::script::native::program::{Argument, FunctionId, Node, Slot};
use crate::script::native::value::{Object, Part, Value};
use crate::script::native::{dates, methods, texts};

impl<'a> Run<'a, '_> {
    pub(super) fn member(&mut self, object: &'a Node, name: &str, optional: bool) -> Result<Value<'a>, Stop> {
        let object = self.eval(object)?;
        if optional && object.is_nullish() {
            return Err(Stop::Short);
        }
        self.property(&object, name)
    }

    /// A property that an object has itself, or the length of something; whatever prototypes have is not covered.
    fn property(&mut self, object: &Value<'a>, name: &str) -> Result<Value<'a>, Stop> {
        #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^53")]
        let length = |length: usize| Ok(Value::Number(length as f64));
        match object {
            Value::Text(text) if name == "length" => {
                self.look(object, 0)?;
                length(texts::units(text))
            }
            Value::List(list) if name == "length" => length(list.len()),
            Value::Object(object) if !methods::is_inherited(name) => self.own(object, name),
            _ => bail("a property that is not exactly covered"),
        }
    }

    /// A property of the object's own, `undefined` when it has none of the name.
    pub(in crate::script::native) fn own(&mut self, object: &Object<'a>, name: &str) -> Result<Value<'a>, Stop> {
        self.search(object, name)?;
        let found = match object {
            Object::Claims => Part::ALL
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(name, part)| Value::Object(Object::Part(*part, self.dictionary(name)))),
            Object::Part(_, members) => members.and_then(|members| members.get(name)).map(Value::from_claim),
            Object::Claim(members) => members.get(name).map(Value::from_claim),
            Object::Made(members) => members.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()),
        };
        Ok(found.unwrap_or(Value::Undefined))
    }

    /// Takes a search for a name among an object's members from the budget.
    pub(in crate::script::native) fn search(&mut self, object: &Object<'a>, name: &str) -> Result<(), Stop> {
        let compared = match object {
            Object::Made(members) => members.len() / 4,
            // Sought by halves.
            Object::Claims | Object::Part(..) | Object::Claim(_) => 4,
        };
        self.spend(compared / 4 + compared.saturating_mul(name.len() / PER_STEP))
    }

    fn dictionary(&self, name: &str) -> Option<&'a serde_json::Map<String, Json>> {
        self.world.claims.get(name).and_then(Json::as_object)
    }

    pub(super) fn index(&mut self, parts: &'a [Node; 2], optional: bool) -> Result<Value<'a>, Stop> {
        let [object, index] = parts;
        let object = self.eval(object)?;
        if optional && object.is_nullish() {
            return Err(Stop::Short);
        }
        let index = self.eval(index)?;
        match (&object, &index) {
            (Value::List(list), Value::Number(at)) => {
                Ok(texts::index(*at).and_then(|at| list.at(at)).unwrap_or(Value::Undefined))
            }
            (Value::Text(text), Value::Number(at)) => {
                self.look(&object, 0)?;
                match texts::index(*at).filter(|at| *at < texts::units(text)) {
                    Some(at) => {
                        let char = exact(texts::slice(text, at, at.saturating_add(1)))?.to_owned();
                        self.made(char)
                    }
                    None => Ok(Value::Undefined),
                }
            }
            (Value::Boolean(_) | Value::Number(_), Value::Number(_)) => Ok(Value::Undefined),
            (Value::Object(_), Value::Text(name)) => self.property(&object, name),
            (Value::Object(_), Value::Number(at)) => {
                let name = exact(texts::of_number(*at))?;
                self.property(&object, &name)
            }
            _ => bail("a computed property that is not exactly covered"),
        }
    }

    pub(super) fn call(
        &mut self,
        function: FunctionId,
        ready: Option<Slot>,
        args: &'a [Node],
    ) -> Result<Value<'a>, Stop> {
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

    pub(super) fn method(
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
    pub(in crate::script::native) fn call_back(
        &mut self,
        callback: &Callback,
        args: Vec<Value<'a>>,
    ) -> Result<Value<'a>, Stop> {
        match callback {
            Callback::Own(function) => self.deeper(|this| this.function(*function, args)),
            // Of all arguments the first alone counts for those that may stand here.
            Callback::Convert(convert) => {
                self.spend(1)?;
                self.builtin(*convert, args.get(..1).unwrap_or_default())
            }
        }
    }

    pub(super) fn date(&mut self, time: Option<&'a Node>) -> Result<Value<'a>, Stop> {
        let Some(time) = time else { return Ok(Value::Date(self.now())) };
        let time = self.eval(time)?;
        self.look(&time, 0)?;
        let time = match time {
            Value::Number(time) => time,
            Value::Text(text) => exact(dates::parse(&text))?,
            Value::Date(time) => time,
            _ => return bail("a date that is not exactly covered"),
        };
        exact(dates::parts(time))?;
        Ok(Value::Date(time))
    }
}
