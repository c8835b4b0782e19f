//! Values of a run: borrowed from the claims and the program where that is possible.
//!
//! Lists and objects never change once they are there, since the subset writes no properties.

use std::ops::Deref;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

/// A value as JavaScript has it.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// A variable before its declaration; reading it ends the run.
    Uninitialised,
    Undefined,
    Null,
    Boolean(bool),
    Number(f64),
    Text(Text<'a>),
    List(List<'a>),
    Object(Object<'a>),
    /// Milliseconds since 1970.
    Date(f64),
}

/// A text.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Kept(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// Deepest nesting of lists and objects that a run makes; letting go of a value goes down all of it on the stack.
const MAX_NESTING: u8 = 64;

/// The parts of a list or an object that a run made.
#[derive(Debug)]
pub(super) struct Made<T> {
    parts: Rc<[T]>,
    /// How deep it nests, itself included; what is borrowed does not count.
    depth: u8,
}

impl<T> Made<T> {
    fn new(parts: Vec<T>, depth: impl Fn(&T) -> u8) -> Option<Self> {
        let inner = parts.iter().map(depth).max().unwrap_or(0);
        let depth = inner.checked_add(1).filter(|depth| *depth <= MAX_NESTING)?;
        Some(Self { parts: parts.into(), depth })
    }

    fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.parts, &other.parts)
    }
}

impl<T> Clone for Made<T> {
    fn clone(&self) -> Self {
        Self { parts: Rc::clone(&self.parts), depth: self.depth }
    }
}

impl<T> Deref for Made<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.parts
    }
}

/// A list without holes.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Claim(&'a [Json]),
    Made(Made<Value<'a>>),
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Claim(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub(super) fn at(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Claim(items) => items.get(index).map(Value::from_claim),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    /// Whether both are the very same list; empty claims cannot be told apart.
    pub(super) fn is(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Claim([]), Self::Claim([])) => None,
            (Self::Claim(left), Self::Claim(right)) => Some(std::ptr::eq(*left, *right)),
            (Self::Made(left), Self::Made(right)) => Some(left.is(right)),
            (Self::Claim(_), Self::Made(_)) | (Self::Made(_), Self::Claim(_)) => Some(false),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.at(index))
    }
}

/// An object.
#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    /// `claims`
    Claims,
    /// `claims.user` and its like, which have helpers; absent when the claims lack it.
    Part(Part, Option<&'a Map<String, Json>>),
    Claim(&'a Map<String, Json>),
    Made(Made<(Text<'a>, Value<'a>)>),
}

impl Object<'_> {
    /// Number of members.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Claims => Part::ALL.len(),
            Self::Part(_, members) => members.map_or(0, Map::len),
            Self::Claim(members) => members.len(),
            Self::Made(members) => members.len(),
        }
    }

    /// Whether both are the very same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Claims, Self::Claims) => true,
            (Self::Part(left, _), Self::Part(right, _)) => left == right,
            (Self::Claim(left), Self::Claim(right)) => std::ptr::eq(*left, *right),
            (Self::Made(left), Self::Made(right)) => left.is(right),
            (Self::Claims | Self::Part(..) | Self::Claim(_) | Self::Made(_), _) => false,
        }
    }
}

/// One of the three dictionaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    User,
    Device,
    System,
}

impl Part {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("user", Self::User), ("device", Self::Device), ("system", Self::System)];
}

impl<'a> Value<'a> {
    /// A claim as the worker gives it to scripts.
    pub(super) fn from_claim(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Boolean(*value),
            Json::Number(number) => Self::Number(travelled(number)),
            Json::String(text) => Self::Text(Text::Kept(text)),
            Json::Array(items) => Self::List(List::Claim(items)),
            Json::Object(members) => Self::Object(Object::Claim(members)),
        }
    }

    pub(super) fn made_text(text: String) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    /// None when it would nest too deep.
    pub(super) fn made_list(items: Vec<Self>) -> Option<Self> {
        Made::new(items, Self::depth).map(List::Made).map(Self::List)
    }

    /// None when it would nest too deep.
    pub(super) fn made_object(members: Vec<(Text<'a>, Self)>) -> Option<Self> {
        Made::new(members, |(_, value)| value.depth()).map(Object::Made).map(Self::Object)
    }

    /// Levels of lists and objects that a run made.
    fn depth(&self) -> u8 {
        match self {
            Self::List(List::Made(made)) => made.depth,
            Self::Object(Object::Made(made)) => made.depth,
            _ => 0,
        }
    }

    pub(super) fn is_nullish(&self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::List(_) | Self::Object(_) | Self::Date(_))
    }

    pub(super) fn truthy(&self) -> bool {
        match self {
            Self::Uninitialised | Self::Undefined | Self::Null => false,
            Self::Boolean(value) => *value,
            Self::Number(number) => !(number.is_nan() || *number == 0.0),
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) | Self::Date(_) => true,
        }
    }
}

/// The number that arrives at the other side of a worker's socket, where claims and results travel as JSON text.
pub(super) fn travelled(number: &serde_json::Number) -> f64 {
    match number.as_i64() {
        #[expect(clippy::cast_precision_loss, reason = "what JavaScript does with such a number")]
        Some(whole) => whole as f64,
        None => serde_json::from_str(&number.to_string()).unwrap_or(f64::NAN),
    }
}
