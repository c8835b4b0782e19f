//! Counters of the controller as Prometheus text (D 31).

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::state::Controller;

/// How often something was done, and how long it took in all.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    success: AtomicU64,
    error: AtomicU64,
    micros: AtomicU64,
}

impl Measured {
    /// Counts one.
    pub(crate) fn note(&self, succeeded: bool, took: Duration) {
        let counter = if succeeded { &self.success } else { &self.error };
        counter.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    fn write(&self, name: &str, text: &mut String) {
        let (success, error) = (self.success.load(Ordering::Relaxed), self.error.load(Ordering::Relaxed));
        let total = success.saturating_add(error);
        #[expect(clippy::cast_precision_loss, reason = "an average for people needs no more digits than a float has")]
        let average = self.micros.load(Ordering::Relaxed) as f64 / 1000.0 / total.max(1) as f64;
        // Writing to a String never fails.
        let _ = writeln!(text, "# TYPE {name} untyped");
        for (measure, value) in [("success", success), ("error", error), ("total", total)] {
            let _ = writeln!(text, "{name}{{measure=\"{measure}\"}} {value}");
        }
        let _ = writeln!(text, "{name}{{measure=\"average_time\"}} {average:.3}");
    }
}

/// What the controller counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) client_authentication: Measured,
    pub(crate) client_authorization: Measured,
    pub(crate) evaluate_all_policies: Measured,
    pub(crate) evaluate_user_claim_script: Measured,
    pub(crate) admin_authentication: Measured,
    pub(crate) admin_authorization: Measured,
}

/// Everything that `/metrics` shows.
pub(crate) fn text(c: &Controller) -> String {
    let mut text = String::new();
    let all = [
        ("ctr_client_authentication", &c.metrics.client_authentication),
        ("ctr_client_authorization", &c.metrics.client_authorization),
        ("ctr_client_evaluate_all_policies", &c.metrics.evaluate_all_policies),
        ("ctr_evaluate_user_claim_script", &c.metrics.evaluate_user_claim_script),
        ("ctr_admin_authentication", &c.metrics.admin_authentication),
        ("ctr_admin_authorization", &c.metrics.admin_authorization),
    ];
    all.into_iter().for_each(|(name, measured)| measured.write(name, &mut text));
    let _ =
        writeln!(text, "# TYPE ctr_gateways_connected gauge\nctr_gateways_connected {}", c.gateways.connected().len());
    let _ = writeln!(text, "# TYPE ctr_config_sequence counter\nctr_config_sequence {}", c.config.current().seq);
    text.push_str(&c.sandbox.metrics().prometheus("ctr_"));
    text
}
