//! What running scripts ask for: HTTP, the cache, the audit log.
//!
//! A run that waits for HTTP gives its slot back; it holds a place of the parking instead. The wait for the answer counts as the run's wall time,
//! the wait for a slot afterwards does not.

use std::sync::Arc;
use std::time::Duration;

use engine::script::FailureKind;
use tokio::time::{Instant, timeout};

use super::clock::Verdict;
use super::metrics::outcome_code;
use super::scrub::Veil;
use super::session::{Active, ENDED, Killed, Session};
use crate::http::{HttpCall, HttpFailure, HttpOutcome, HttpRequest};
use crate::wire::{HostCall, HostReply, HttpCallWire};

/// Time for a call whose script names none, and the longest it can name (D 7.3).
const HTTP_TIME: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));
/// HTTP calls of one run.
const MAX_HTTP: usize = 100;
/// Calls of one run for cache and audit log.
const MAX_OTHER: u32 = 1000;
/// Audit texts kept of one run, and bytes of each.
const MAX_AUDIT: (usize, usize) = (16, 4096);
/// Bytes of a URL in records.
const MAX_URL: usize = 2048;
/// Bytes that a run which names a secret may put into the cache.
const MAX_CACHED: usize = 64 * 1024;

/// What the run under way asked for.
#[derive(Default)]
pub(super) struct Calls {
    http: Vec<HttpCall>,
    audit: Vec<String>,
    others: u32,
    /// Keys and values that a run with a secret put into the cache, each one after the other.
    cached: (String, String),
}

impl Calls {
    /// What goes into the record; the next run begins with nothing.
    pub(super) fn take(&mut self) -> (Vec<HttpCall>, Vec<String>) {
        self.others = 0;
        self.cached = (String::new(), String::new());
        (std::mem::take(&mut self.http), std::mem::take(&mut self.audit))
    }

    /// Why a run that names a secret may not cache this; what it cached before is judged together with it.
    fn refusal(&mut self, veil: &Veil, key: &str, value: &str) -> Option<&'static str> {
        let (keys, values) = &mut self.cached;
        let size = [&*keys, &*values, key, value].iter().map(|text| text.len()).fold(0, usize::saturating_add);
        if size > MAX_CACHED {
            return Some("a run that names a secret may put 64 KiB into the cache");
        }
        keys.push_str(key);
        values.push_str(value);
        let holds = veil.is_in_end(keys, key.len())
            || veil.is_in_end(values, value.len())
            || veil.is_in(&format!("{key}{value}"));
        holds.then_some("the cache is shared: what a run that names a secret puts there must not hold the secret")
    }
}

impl Session<'_> {
    /// Does what the run asks for.
    pub(super) async fn serve(&mut self, active: &mut Active, call: HostCall) -> Result<HostReply, Killed> {
        let call = match call {
            HostCall::Http(call) => return self.serve_http(active, call).await,
            HostCall::CacheGet { .. } | HostCall::CachePut { .. } | HostCall::Audit { .. } => call,
        };
        active.calls.others += 1;
        if active.calls.others > MAX_OTHER {
            return Ok(HostReply::Refused(format!("more than {MAX_OTHER} calls of cache and auditLog in one run")));
        }
        let state = &self.job.state;
        let cache = state.cache(self.job.batch.purpose);
        Ok(match call {
            HostCall::CacheGet { key } => {
                cache.find(&key).map_or(HostReply::Nothing, |value| HostReply::Cached(value.as_ref().to_owned()))
            }
            HostCall::CachePut { key, value, ttl } => {
                let refusal = self.hidden.and_then(|hidden| active.calls.refusal(&hidden.veil, &key, &value));
                if let Some(text) = refusal {
                    HostReply::Invalid(text.to_owned())
                } else if cache.put(key, value, ttl) {
                    HostReply::Done
                } else {
                    HostReply::Invalid("the key or the value is too long for the cache".to_owned())
                }
            }
            HostCall::Audit { mut text } => {
                if active.calls.audit.len() < MAX_AUDIT.0 {
                    self.cut(&mut text, MAX_AUDIT.1);
                    active.calls.audit.push(text);
                }
                HostReply::Done
            }
            HostCall::Http(_) => HostReply::Nothing,
        })
    }

    async fn serve_http(&mut self, active: &mut Active, call: HttpCallWire) -> Result<HostReply, Killed> {
        if active.calls.http.len() >= MAX_HTTP {
            return Ok(HostReply::Refused(format!("more than {MAX_HTTP} HTTP calls in one run")));
        }
        if self.place.is_none() && self.passing_place.is_none() {
            let place = self
                .job
                .script(active.index)
                .and_then(|(_, facts)| self.job.state.pool.parking.try_place(facts.hash, &self.job.batch.subject));
            if place.is_none() {
                let text =
                    "too many scripts wait for HTTP; one that spells out the function it calls waits for its turn";
                return Ok(HostReply::Refused(text.to_owned()));
            }
            self.passing_place = place;
        }
        let left = active.watch.wall_left(&active.worker);
        let time = call.timeout.unwrap_or(HTTP_TIME.0).clamp(Duration::from_millis(1), HTTP_TIME.1).min(left);
        let outcome = self.carry_out(active, call, time).await;
        let waiting = Instant::now();
        self.slot = self.job.state.pool.slot_again().await;
        active.watch.add_queued(waiting.elapsed());
        if self.slot.is_none() {
            return Err(Killed(FailureKind::Crash, ENDED.to_owned()));
        }
        match active.watch.check(&active.worker) {
            Verdict::Wait(wait) => active.look_at = Instant::now() + wait,
            Verdict::Over(kind, message) => return Err(Killed(kind, message)),
        }
        Ok(match outcome {
            HttpOutcome::Answer { status, body } => HostReply::Http { status, body },
            HttpOutcome::Failed(_) => HostReply::Nothing,
            HttpOutcome::Refused(text) => HostReply::Refused(text),
            HttpOutcome::Invalid(text) => HostReply::Invalid(text),
        })
    }

    /// Has the call made while the slot is somebody else's.
    async fn carry_out(&mut self, active: &mut Active, call: HttpCallWire, time: Duration) -> HttpOutcome {
        let pool = &self.job.state.pool;
        let (method, mut url) = (call.method, shown(&call.url));
        self.cut(&mut url, MAX_URL);
        let script = self.job.script(active.index).map(|(script, _)| Arc::clone(&script.name)).unwrap_or_default();
        let request = HttpRequest {
            method,
            url: call.url,
            headers: call.headers,
            body: call.body,
            content_type: call.content_type,
            timeout: time,
            allowed_origins: self.hidden.and_then(|hidden| hidden.origins.clone()),
            script: Arc::clone(&script),
        };
        self.slot = None;
        let started = Instant::now();
        let parked = pool.counters.parked();
        let outcome = timeout(time, pool.config.http.call(request)).await;
        drop(parked);
        let outcome = outcome.unwrap_or(HttpOutcome::Failed(HttpFailure::Timeout));
        let duration = started.elapsed();
        active.watch.add_called(duration);
        pool.counters.called(&outcome);
        let (status, bytes) = match &outcome {
            HttpOutcome::Answer { status, body } => (Some(*status), u64::try_from(body.len()).unwrap_or(u64::MAX)),
            HttpOutcome::Failed(_) | HttpOutcome::Refused(_) | HttpOutcome::Invalid(_) => (None, 0),
        };
        let code = outcome_code(&outcome);
        // Whether a secret is spread over several URLs shows at the end of the run, when its record is made.
        let logged = if self.hidden.is_some() { "[in the record: the script names a secret]" } else { url.as_str() };
        tracing::info!(
            target: "script_http", %script, method = method.as_str(), url = logged, status, outcome = code, bytes,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), "Script made an HTTP call"
        );
        active.calls.http.push(HttpCall { method, url, status, outcome: code, bytes, duration });
        outcome
    }

    /// Takes the secrets out of the text before it is cut, so that no part of one is left at its end.
    fn cut(&self, text: &mut String, most: usize) {
        match self.hidden {
            Some(hidden) => hidden.veil.scrub_to(text, most),
            None => text.truncate(text.floor_char_boundary(most)),
        }
    }
}

/// A URL as records show it: without user, query and fragment.
fn shown(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "no URL".to_owned() };
    url.set_query(None);
    url.set_fragment(None);
    // A URL that can have no user has none to take away.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    String::from(url)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn records_show_no_user_query_or_fragment() {
        for (url, expected) in [
            ("https://ana:pw@api.example.com/a?token=1#x", "https://api.example.com/a"),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
            ("not a url", "no URL"),
            ("mailto:ana@example.com?x=1", "mailto:ana@example.com"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }
}
