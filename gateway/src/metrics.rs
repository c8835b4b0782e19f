//! Counters of the gateway as Prometheus text (D 31).

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::gateway::Gateway;

/// How often something ran, and how long in all.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    count: AtomicU64,
    micros: AtomicU64,
}

impl Timing {
    /// Counts one.
    pub(crate) fn note(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people need no more digits than a float has")]
    fn write(&self, kind: &str, text: &mut String) {
        let count = self.count.load(Ordering::Relaxed);
        let accumulated = self.micros.load(Ordering::Relaxed) as f64 / 1000.0;
        let average = accumulated / count.max(1) as f64;
        for (measure, value) in [("average", average), ("accumulated", accumulated)] {
            // Writing to a String never fails.
            let _ = writeln!(text, "gw_session_js_exectime{{type=\"{kind}\",measure=\"{measure}\"}} {value:.3}");
        }
        let _ = writeln!(text, "gw_session_js_exectime{{type=\"{kind}\",measure=\"count\"}} {count}");
    }
}

/// Everything that `/metrics` shows.
pub(crate) fn text(gateway: &Gateway) -> String {
    let mut text = "# TYPE gw_session_js_exectime untyped\n".to_owned();
    gateway.scripts.conditions.write("condition", &mut text);
    gateway.scripts.entitlement_scripts.write("entitlement", &mut text);
    let silent = gateway.contact.last().map(|_| gateway.contact.silent_for(gateway.clock.now()).as_secs());
    let seq = gateway.config.current().map(|config| config.seq);
    let gauges = [
        ("gw_vpn_sessions", Some(gateway.registry.count() as u64)),
        ("gw_config_sequence", seq),
        ("gw_controller_silent_seconds", silent),
    ];
    for (name, value) in gauges {
        if let Some(value) = value {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
        }
    }
    text.push_str(&gateway.scripts.metrics().prometheus("gw_"));
    text
}
