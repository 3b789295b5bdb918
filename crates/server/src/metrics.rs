//! Counters in the text form of Prometheus. Labels are check ids and words, never names of
//! tenants, machines or secrets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// The counters of one process, by name and label.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// Names, the name of their label, and what they count.
const COUNTERS: [(&str, &str, &str); 5] = [
    ("zeuge_challenges_total", "", "Challenges that were made."),
    (
        "zeuge_log_alarms_total",
        "check",
        "Checkpoints that somebody held and the log does not continue, by check id.",
    ),
    (
        "zeuge_refusals_total",
        "check",
        "Requests that were refused, by check id.",
    ),
    ("zeuge_releases_total", "", "Secrets that were released."),
    (
        "zeuge_verdicts_total",
        "verdict",
        "Verdicts that were logged, by word.",
    ),
];

impl Metrics {
    /// Counts one; `label` is the label's value, or empty for a counter without labels.
    pub fn count(&self, name: &'static str, label: &'static str) {
        if let Ok(mut counts) = self.counts.lock() {
            let count = counts.entry((name, label)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The exposition, with these gauges behind the counters.
    #[must_use]
    pub fn text(&self, gauges: &[(&str, &str, u64)]) -> String {
        let mut out = String::new();
        let counts = self.counts.lock().map(|counts| counts.clone());
        let counts = counts.unwrap_or_default();
        for (name, label, help) in COUNTERS {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n");
            for ((found, value), count) in &counts {
                if *found != name {
                    continue;
                }
                let _ = if label.is_empty() {
                    writeln!(out, "{name} {count}")
                } else {
                    writeln!(out, "{name}{{{label}=\"{value}\"}} {count}")
                };
            }
        }
        for (name, help, value) in gauges {
            let _ = write!(
                out,
                "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"
            );
        }
        out
    }
}

/// Gauges of one name, one for each value of a label; nothing where there is none.
#[must_use]
pub fn labelled(name: &str, help: &str, label: &str, values: &[(String, i64)]) -> String {
    let mut out = String::new();
    for (place, (value, number)) in values.iter().enumerate() {
        if place == 0 {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        }
        let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {number}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_under_their_help_with_their_labels() {
        let metrics = Metrics::default();
        metrics.count("zeuge_refusals_total", "challenge.spent");
        metrics.count("zeuge_refusals_total", "challenge.spent");
        let text = metrics.text(&[("zeuge_log_size", "Entries.", 7)]);
        assert!(text.contains("zeuge_refusals_total{check=\"challenge.spent\"} 2\n"));
        assert!(text.ends_with("# TYPE zeuge_log_size gauge\nzeuge_log_size 7\n"));
    }
}
