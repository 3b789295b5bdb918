//! Figures in the text form of OpenMetrics 1.0. Labels are check ids, words and paths of the
//! description, never names of tenants, machines or secrets.
//!
//! Counters and durations live as long as the process; gauges are read when somebody asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The media type.
pub const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper ends of the buckets of durations, in milliseconds: a challenge takes less than one, a
/// release that waits for its checkpoint some, a maker that is asked thousands.
const BUCKETS_MS: [u32; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000, 25_000];

/// How long things took.
#[derive(Debug, Clone, Copy, Default)]
struct Durations {
    buckets: [u64; BUCKETS_MS.len()],
    count: u64,
    sum_secs: f64,
}

/// Method and path of a call, as the description has them.
pub type Call = (&'static str, &'static str);

/// The figures of one process.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    findings: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    requests: Mutex<BTreeMap<Call, Durations>>,
    published: Mutex<Durations>,
    /// Since when which checkpoint stands still although leaves wait.
    waiting: Mutex<Option<(u64, Instant)>>,
}

/// Names, the name of their label, and what they count.
const COUNTERS: [(&str, &str, &str); 7] = [
    (
        "zeuge_audit_events_total",
        "action",
        "Changes by people, and attempts that were denied.",
    ),
    ("zeuge_challenges_total", "", "Challenges that were made."),
    (
        "zeuge_connections_total",
        "outcome",
        "Connections that were accepted, refused, or let go for others.",
    ),
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

/// A gauge: its name, what it is, its value.
pub type Gauge = (&'static str, &'static str, String);

impl Durations {
    fn add(&mut self, took: Duration) {
        self.count = self.count.saturating_add(1);
        self.sum_secs += took.as_secs_f64();
        for (bucket, most) in self.buckets.iter_mut().zip(BUCKETS_MS) {
            if took <= Duration::from_millis(most.into()) {
                *bucket = bucket.saturating_add(1);
            }
        }
    }

    /// The samples of one series; `labels` end in a comma, or are empty.
    fn write(&self, out: &mut String, name: &str, labels: &str) {
        for (bucket, most) in self.buckets.iter().zip(BUCKETS_MS) {
            let most = f64::from(most) / 1000.0;
            let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{most:?}\"}} {bucket}");
        }
        let Self {
            count, sum_secs, ..
        } = self;
        let _ = writeln!(out, "{name}_bucket{{{labels}le=\"+Inf\"}} {count}");
        let labels = labels.trim_end_matches(',');
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{labels}}}"),
        };
        let _ = writeln!(out, "{name}_count{labels} {count}");
        let _ = writeln!(out, "{name}_sum{labels} {sum_secs:?}");
    }
}

fn family(out: &mut String, (name, kind, help): (&str, &str, &str)) {
    let _ = writeln!(out, "# TYPE {name} {kind}");
    if name.ends_with("_seconds") {
        let _ = writeln!(out, "# UNIT {name} seconds");
    }
    let _ = writeln!(out, "# HELP {name} {help}");
}

impl Metrics {
    /// Counts one; `label` is the label's value, or empty for a counter without labels.
    pub fn count(&self, name: &'static str, label: &'static str) {
        if let Ok(mut counts) = self.counts.lock() {
            let count = counts.entry((name, label)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Counts what a verdict said about a check.
    pub fn finding(&self, check: &'static str, status: &'static str) {
        if let Ok(mut findings) = self.findings.lock() {
            let count = findings.entry((check, status)).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// How long a call took; those that are not described are one.
    pub fn took(&self, call: Option<Call>, took: Duration) {
        if let Ok(mut requests) = self.requests.lock() {
            requests
                .entry(call.unwrap_or_default())
                .or_default()
                .add(took);
        }
    }

    /// How long a decision waited for the checkpoint that covers it.
    pub fn published(&self, took: Duration) {
        if let Ok(mut published) = self.published.lock() {
            published.add(took);
        }
    }

    /// For how many seconds the checkpoint of this size has been seen to stand still while leaves
    /// waited; called whenever somebody looks.
    pub fn standing(&self, size: u64, waits: bool) -> f64 {
        let Ok(mut waiting) = self.waiting.lock() else {
            return 0.0;
        };
        *waiting = match *waiting {
            _ if !waits => None,
            Some((same, since)) if same == size => Some((same, since)),
            _ => Some((size, Instant::now())),
        };
        waiting.map_or(0.0, |(_, since)| since.elapsed().as_secs_f64())
    }

    /// The exposition without its end, with these gauges behind the counters.
    #[must_use]
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let mut out = String::new();
        self.write_counts(&mut out);
        let (name, help) = (
            "zeuge_request_seconds",
            "How long requests took, by call; empty: not described.",
        );
        family(&mut out, (name, "histogram", help));
        let requests = self.requests.lock().map(|requests| requests.clone());
        for ((method, path), durations) in requests.unwrap_or_default() {
            let labels = format!("method=\"{method}\",path=\"{path}\",");
            durations.write(&mut out, name, &labels);
        }
        let (name, help) = (
            "zeuge_publish_seconds",
            "How long decisions waited for the checkpoint that covers them.",
        );
        family(&mut out, (name, "histogram", help));
        let published = self
            .published
            .lock()
            .map_or_else(|_| Durations::default(), |held| *held);
        published.write(&mut out, name, "");
        for (name, help, value) in gauges {
            family(&mut out, (name, "gauge", help));
            let _ = writeln!(out, "{name} {value}");
        }
        out
    }

    fn write_counts(&self, out: &mut String) {
        let counts = self.counts.lock().map(|counts| counts.clone());
        let counts = counts.unwrap_or_default();
        for (name, label, help) in COUNTERS {
            family(out, (name.trim_end_matches("_total"), "counter", help));
            if label.is_empty() {
                let count = counts.get(&(name, "")).copied().unwrap_or(0);
                let _ = writeln!(out, "{name} {count}");
                continue;
            }
            for ((_, value), count) in counts.iter().filter(|((found, _), _)| *found == name) {
                let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {count}");
            }
        }
        let help = "Checks that failed or warned in verdicts, by check id.";
        family(out, ("zeuge_findings", "counter", help));
        let findings = self.findings.lock().map(|findings| findings.clone());
        for ((check, status), count) in findings.unwrap_or_default() {
            let labels = format!("check=\"{check}\",status=\"{status}\"");
            let _ = writeln!(out, "zeuge_findings_total{{{labels}}} {count}");
        }
    }
}

/// Gauges of one name, one for each value of a label; nothing where there is none.
#[must_use]
pub fn labelled(name: &str, help: &str, label: &str, values: &[(String, i64)]) -> String {
    let mut out = String::new();
    for (place, (value, number)) in values.iter().enumerate() {
        if place == 0 {
            family(&mut out, (name, "gauge", help));
        }
        let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {number}");
    }
    out
}

/// What the kernel says of this process: memory, handles, processor time. Nothing where it does
/// not say it.
#[must_use]
pub fn process() -> String {
    let mut out = String::new();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}"));
    let status = read("status").unwrap_or_default();
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let number = line.trim_matches(|letter: char| !letter.is_ascii_digit());
        number.parse::<u64>().ok()?.checked_mul(1024)
    };
    let limits = read("limits").unwrap_or_default();
    let limits = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let most = limits.and_then(|limits| limits.split_whitespace().next()?.parse().ok());
    let held = std::fs::read_dir("/proc/self/fd").ok();
    let held = held.and_then(|entries| u64::try_from(entries.count()).ok());
    let gauges = [
        ("process_open_fds", "Handles in use.", held),
        ("process_max_fds", "Handles at most.", most),
        (
            "process_resident_memory_bytes",
            "Resident memory.",
            kib("VmRSS:"),
        ),
        (
            "process_resident_memory_peak_bytes",
            "The most resident memory so far.",
            kib("VmHWM:"),
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            family(&mut out, (name, "gauge", help));
            let _ = writeln!(out, "{name} {value}");
        }
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
        metrics.finding("policy.debug", "fail");
        let text = metrics.text(&[("zeuge_log_size", "Entries.", "7".to_owned())]);
        assert!(text.contains("# TYPE zeuge_refusals counter\n"));
        assert!(text.contains("zeuge_refusals_total{check=\"challenge.spent\"} 2\n"));
        assert!(text.contains("zeuge_findings_total{check=\"policy.debug\",status=\"fail\"} 1\n"));
        assert!(text.contains("zeuge_releases_total 0\n"));
        assert!(text.ends_with("# HELP zeuge_log_size Entries.\nzeuge_log_size 7\n"));
    }

    #[test]
    fn durations_fall_into_their_buckets_and_all_above() {
        let metrics = Metrics::default();
        let call = Some(("get", "/healthz"));
        metrics.took(call, Duration::from_millis(3));
        metrics.took(call, Duration::from_secs(100));
        metrics.took(None, Duration::from_millis(1));
        let text = metrics.text(&[]);
        let series = "zeuge_request_seconds_bucket{method=\"get\",path=\"/healthz\",le=";
        for (le, count) in [("0.002", 0), ("0.005", 1), ("25.0", 1), ("+Inf", 2)] {
            assert!(
                text.contains(&format!("{series}\"{le}\"}} {count}\n")),
                "{le}: {text}"
            );
        }
        let count = "zeuge_request_seconds_count{method=\"get\",path=\"/healthz\"} 2\n";
        assert!(text.contains(count));
        assert!(text.contains("zeuge_request_seconds_count{method=\"\",path=\"\"} 1\n"));
    }

    #[test]
    fn a_checkpoint_stands_still_only_while_leaves_wait_for_the_same_one() {
        let metrics = Metrics::default();
        assert!(metrics.standing(5, false) == 0.0);
        let first = metrics.standing(5, true);
        assert!(metrics.standing(5, true) >= first);
        assert!(metrics.waiting.lock().unwrap().is_some());
        metrics.standing(5, false);
        assert!(metrics.waiting.lock().unwrap().is_none());
    }
}
