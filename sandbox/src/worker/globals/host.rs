//! What one run may ask of its host, and what it leaves there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use boa_engine::{Context, JsError, JsNativeError, JsResult};

use super::type_error;
use crate::config::MAX_OUTPUT;
use crate::wire::{HostCall, HostReply};
use crate::worker::failure::{self, Place};
use crate::worker::link::Link;

/// What a remedy left, for `hasPassword` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::worker) struct Response {
    pub(in crate::worker) suffix: String,
    pub(in crate::worker) kind: String,
    pub(in crate::worker) at_secs: i64,
}

/// A call that must not be made; it ends the run, whatever the script does about the exception.
#[derive(Debug, Clone)]
pub(in crate::worker) struct Refusal {
    /// Why.
    pub(in crate::worker) text: String,
    /// Where the call stands.
    pub(in crate::worker) place: Option<Place>,
}

/// The host of one context.
pub(in crate::worker) struct Host {
    link: Rc<dyn Link>,
    pub(super) now_ms: Cell<i64>,
    pub(super) responses: RefCell<Rc<[Response]>>,
    output: RefCell<String>,
    random: Cell<u64>,
    refusal: RefCell<Option<Refusal>>,
}

impl Host {
    /// The host of a context whose scripts call through `link`.
    pub(in crate::worker) fn new(link: Rc<dyn Link>) -> Self {
        Self {
            link,
            now_ms: Cell::new(0),
            responses: RefCell::default(),
            output: RefCell::default(),
            random: Cell::new(1),
            refusal: RefCell::default(),
        }
    }

    /// Prepares for a run; the same script at the same time draws the same random numbers.
    pub(in crate::worker) fn begin(&self, now_ms: i64, responses: &Rc<[Response]>, source: &str) {
        self.now_ms.set(now_ms);
        self.responses.replace(Rc::clone(responses));
        self.output.borrow_mut().clear();
        self.refusal.replace(None);
        self.random.set((seed(source) ^ now_ms.unsigned_abs()) | 1);
    }

    /// What the run's clock says, in milliseconds since 1970.
    pub(in crate::worker) fn now_ms(&self) -> i64 {
        self.now_ms.get()
    }

    /// What the run printed.
    pub(in crate::worker) fn take_output(&self) -> String {
        std::mem::take(&mut *self.output.borrow_mut())
    }

    /// The refusal that ends the run, when there is one.
    pub(in crate::worker) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Asks the supervisor. Answers what was replied, or what the script is to be thrown.
    pub(super) fn call(&self, call: HostCall, context: &Context) -> JsResult<HostReply> {
        if let Some(refusal) = &*self.refusal.borrow() {
            return Err(refused(&refusal.text));
        }
        match self.link.call(call) {
            HostReply::Invalid(text) => Err(type_error(text)),
            HostReply::Refused(text) => {
                let error = refused(&text);
                self.refusal.replace(Some(Refusal { text, place: failure::current_place(context) }));
                Err(error)
            }
            reply @ (HostReply::Done | HostReply::Cached(_) | HostReply::Nothing | HostReply::Http { .. }) => Ok(reply),
        }
    }

    pub(super) fn print(&self, line: &str) {
        let mut output = self.output.borrow_mut();
        let room = MAX_OUTPUT.saturating_sub(output.len() + 1);
        if room > 0 {
            output.push_str(line.get(..line.floor_char_boundary(room)).unwrap_or_default());
            output.push('\n');
        }
    }

    pub(super) fn next_random(&self) -> f64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        let bits = u32::try_from(state >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}

/// A number that depends on every byte of the text.
fn seed(text: &str) -> u64 {
    let mix = |hash: u64, piece: u64| (hash ^ piece).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    let (pieces, rest) = text.as_bytes().as_chunks::<8>();
    let hash = pieces.iter().fold(0xcbf2_9ce4_8422_2325, |hash, piece| mix(hash, u64::from_le_bytes(*piece)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}

fn refused(text: &str) -> JsError {
    JsNativeError::error().with_message(text.to_owned()).into()
}

/// A reply that does not fit the call; the supervisor never sends one.
pub(super) fn mismatched<T>() -> JsResult<T> {
    Err(JsNativeError::error().with_message("the host answered something else").into())
}
