//! Answers a case's HTTP calls: each call must be the next one the case expects.

use std::sync::{Arc, Mutex, PoisonError};

use sandbox::{HttpBackend, HttpFuture, HttpOutcome, HttpRequest};

use super::file::{Answer, Exchange};
use crate::commands::script::exchange::Redactor;

/// The backend of a sandbox that runs one case after another.
#[derive(Default)]
pub(super) struct SwitchedHttp {
    current: Mutex<Option<Arc<Expected>>>,
}

impl SwitchedHttp {
    /// From now on calls belong to this case.
    pub(super) fn switch(&self, expected: Option<Arc<Expected>>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = expected;
    }
}

impl HttpBackend for SwitchedHttp {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match current {
                Some(expected) => expected.answer(&request),
                None => HttpOutcome::Refused("no case is running".to_owned()),
            }
        })
    }
}

/// What a case expects, and how far it came.
pub(super) struct Expected {
    redactor: Redactor,
    exchanges: Vec<Exchange>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    next: usize,
    mismatch: Option<Mismatch>,
}

/// A call that was not the expected one.
#[derive(Debug, Clone)]
pub(super) struct Mismatch {
    /// What the case expects, a line each.
    pub(super) expected: String,
    /// What the script did.
    pub(super) actual: String,
}

impl Expected {
    /// The calls of a case in order.
    pub(super) fn new(exchanges: Vec<Exchange>, redactor: Redactor) -> Self {
        Self { redactor, exchanges, progress: Mutex::default() }
    }

    /// The first call that was not as expected, or the first that never came.
    pub(super) fn mismatch(&self) -> Option<Mismatch> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = || {
            let exchange = self.exchanges.get(progress.next)?;
            Some(Mismatch { expected: describe_expected(exchange), actual: "no further call\n".to_owned() })
        };
        progress.mismatch.clone().or_else(missing)
    }

    fn answer(&self, request: &HttpRequest) -> HttpOutcome {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = || HttpOutcome::Refused("the test case does not expect this call".to_owned());
        if progress.mismatch.is_some() {
            return refused();
        }
        let Some(exchange) = self.exchanges.get(progress.next).filter(|exchange| self.fits(exchange, request)) else {
            progress.mismatch = Some(self.describe(self.exchanges.get(progress.next), request));
            return refused();
        };
        progress.next += 1;
        match &exchange.answer {
            Answer::Status(status, body) => HttpOutcome::Answer { status: *status, body: self.redactor.reveal(body) },
            Answer::Fails(failure) => HttpOutcome::Failed(*failure),
        }
    }

    fn fits(&self, exchange: &Exchange, request: &HttpRequest) -> bool {
        let headers =
            exchange.headers.iter().all(|(name, value)| sent(request, name).any(|sent| self.is_same(value, sent)));
        let body = exchange.body.as_ref().is_none_or(|body| self.is_same(body, request.body.as_deref().unwrap_or("")));
        exchange.method == request.method && self.is_same(&exchange.url, &request.url) && headers && body
    }

    /// A text of a case may name a secret, or write out what the script makes of its value.
    fn is_same(&self, expected: &str, actual: &str) -> bool {
        expected == actual || self.redactor.reveal(expected) == actual || expected == self.redactor.redact(actual)
    }

    /// Shows only what the case looks at, so that the difference stands out.
    fn describe(&self, exchange: Option<&Exchange>, request: &HttpRequest) -> Mismatch {
        let shown = |expected: &str, actual: &str| {
            if self.is_same(expected, actual) { expected.to_owned() } else { self.redactor.redact(actual) }
        };
        let url =
            exchange.map_or_else(|| self.redactor.redact(&request.url), |exchange| shown(&exchange.url, &request.url));
        let mut actual = format!("{} {url}\n", request.method.as_str());
        for (name, value) in exchange.map_or(&[][..], |exchange| &exchange.headers) {
            let fitting =
                sent(request, name).find(|sent| self.is_same(value, sent)).or_else(|| sent(request, name).next());
            if let Some(sent) = fitting {
                actual.push_str(&format!("{name}: {}\n", shown(value, sent)));
            }
        }
        if let Some(body) = exchange.and_then(|exchange| exchange.body.as_ref()) {
            actual.push_str(&format!("\n{}\n", shown(body, request.body.as_deref().unwrap_or(""))));
        }
        let expected = exchange.map_or_else(|| "no further call\n".to_owned(), describe_expected);
        Mismatch { expected, actual }
    }
}

/// The values of a header; the content type counts as one, wherever the script gave it.
fn sent<'a>(request: &'a HttpRequest, name: &'a str) -> impl Iterator<Item = &'a str> {
    let listed =
        request.headers.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    listed.chain(request.content_type.as_deref().filter(|_| name.eq_ignore_ascii_case("content-type")))
}

fn describe_expected(exchange: &Exchange) -> String {
    let mut text = format!("{} {}\n", exchange.method.as_str(), exchange.url);
    for (name, value) in &exchange.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    if let Some(body) = &exchange.body {
        text.push_str(&format!("\n{body}\n"));
    }
    text
}
