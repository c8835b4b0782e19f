//! What the JavaScript engine says went wrong, as one of our failures.

use std::fmt::Write;

use boa_engine::error::{EngineError, RuntimeLimitError};
use boa_engine::{Context, JsError, JsNativeErrorKind, JsValue, js_string};
use engine::script::{Failure, FailureKind};

use crate::config::MAX_MESSAGE;

/// Longest text of the engine that is searched for a position.
const MAX_TRACE: usize = 16 * 1024;

/// Path by which the running script is known to the JavaScript engine.
pub(super) const MAIN: &str = "main";
/// Start of the path by which a criteria script is known.
pub(super) const CRITERION: &str = "criterion:";

/// A place in a script as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// [`MAIN`], or [`CRITERION`] and a name.
    path: String,
    line: u32,
    column: u32,
}

impl Place {
    /// A place in the function a script became; the wrapper takes the first line, and nothing an author wrote stands there.
    fn new(path: &str, line: u32, column: u32) -> Option<Self> {
        let is_script = path == MAIN || path.starts_with(CRITERION);
        let line = line.checked_sub(1).filter(|line| *line > 0 && is_script)?;
        Some(Self { path: path.to_owned(), line, column })
    }

    /// The failure, happened here.
    pub(super) fn mark(self, failure: Failure) -> Failure {
        let script = self.path.strip_prefix(CRITERION).map_or(failure.script, str::to_owned);
        Failure { script, line: Some(self.line), column: Some(self.column), ..failure }
    }
}

/// Where in a script the built-in function that is running was called.
pub(super) fn current_place(context: &Context) -> Option<Place> {
    context.stack_trace().find_map(|frame| {
        let frame = frame.position();
        let position = frame.position?;
        Place::new(&frame.path.to_string(), position.line_number(), position.column_number())
    })
}

/// A failure of `script` without a place.
pub(super) fn failure(kind: FailureKind, script: &str, message: &str) -> Failure {
    Failure { kind, script: script.to_owned(), message: shorten(message), line: None, column: None }
}

/// The failure an uncaught error is; `lines` is how many lines the script has.
pub(super) fn from_error(error: &JsError, script: &str, context: &mut Context) -> Failure {
    let (kind, message) = match error.as_engine() {
        Some(engine) => from_engine(engine),
        None => from_thrown(error, context),
    };
    let found = failure(kind, script, &message);
    match place(error) {
        Some(place) => place.mark(found),
        None => found,
    }
}

/// At most [`MAX_MESSAGE`] bytes of `text`.
pub(super) fn shorten(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default().to_owned()
}

fn from_engine(error: &EngineError) -> (FailureKind, String) {
    match error {
        EngineError::NoInstructionsRemain => (FailureKind::Instructions, "used up its instruction budget".to_owned()),
        EngineError::RuntimeLimit(RuntimeLimitError::LoopIteration) => {
            (FailureKind::Instructions, "ran through too many loop rounds".to_owned())
        }
        EngineError::RuntimeLimit(RuntimeLimitError::Recursion | RuntimeLimitError::StackSize) => {
            (FailureKind::Instructions, "called functions too deeply".to_owned())
        }
        EngineError::Panic(_) => (FailureKind::Crash, "the JavaScript engine failed".to_owned()),
    }
}

fn from_thrown(error: &JsError, context: &mut Context) -> (FailureKind, String) {
    let native_kind = match error.as_native() {
        Some(native) => Some(native.kind().clone()),
        None => error.try_native(context).ok().map(|native| native.kind().clone()),
    };
    let kind = match native_kind {
        Some(JsNativeErrorKind::Type) => FailureKind::Type,
        _ => FailureKind::Thrown,
    };
    let text = match (error.as_native(), error.as_opaque()) {
        (Some(native), _) => match native.message() {
            "" => native.kind().to_string(),
            message => bounded(format_args!("{}: {message}", native.kind())),
        },
        (None, Some(value)) => thrown_text(value, context),
        (None, None) => String::new(),
    };
    (kind, text)
}

/// `Name: message` for an error object, the text of anything else that is not an object.
fn thrown_text(value: &JsValue, context: &mut Context) -> String {
    let Some(object) = value.as_object() else {
        return bounded(value.display());
    };
    let mut part = |key| {
        let part = object.get(key, context).ok().and_then(|value| value.as_string())?;
        Some(bounded(part.display_lossy())).filter(|text| !text.is_empty())
    };
    match (part(js_string!("name")), part(js_string!("message"))) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "threw an object that is no error".to_owned(),
    }
}

/// The innermost place in a script that the error knows.
fn place(error: &JsError) -> Option<Place> {
    let is_error_object = error.as_opaque().is_none_or(|value| !value.is_object() || is_error(value));
    if !is_error_object {
        return None;
    }
    let text = bounded_to(error, MAX_TRACE);
    text.lines().find_map(|line| {
        let place = line.strip_prefix("    at ")?.strip_suffix(')')?;
        let (_, place) = place.rsplit_once(" (")?;
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        Place::new(parts.next()?, line, column)
    })
}

fn is_error(value: &JsValue) -> bool {
    value.as_object().is_some_and(|object| object.is::<boa_engine::builtins::error::Error>())
}

fn bounded(text: impl std::fmt::Display) -> String {
    bounded_to(text, MAX_MESSAGE)
}

/// The start of a text, formatting of which stops once there is enough.
fn bounded_to(text: impl std::fmt::Display, most: usize) -> String {
    struct Bounded {
        text: String,
        most: usize,
    }
    impl Write for Bounded {
        fn write_str(&mut self, piece: &str) -> std::fmt::Result {
            let room = self.most.saturating_sub(self.text.len());
            self.text.push_str(piece.get(..piece.floor_char_boundary(room)).unwrap_or_default());
            if piece.len() > room { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let mut out = Bounded { text: String::new(), most };
    // Running out of room is how a long text ends.
    let _ = write!(out, "{text}");
    out.text
}
