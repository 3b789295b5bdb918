//! Alert rules over the controller's numbers, each with a page that says what to do.

use serde_json::{Value, json};

use super::{MANAGER, NAMESPACE};

/// The page with one section per alert, relative to the repository.
pub const RUNBOOKS: &str = "docs/kubernetes-runbooks.md";

/// Name, expression, how long it must hold, severity, and one sentence.
const ALERTS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "ZeugeBypass",
        "max(zeuge_kube_bypass) > 0",
        "0m",
        "critical",
        "Somebody may join without attestation (kube.csr.bypass).",
    ),
    (
        "ZeugeNoLeader",
        "absent(zeuge_kube_leader == 1)",
        "2m",
        "critical",
        "No controller holds the Lease: nobody joins, renews or is expelled (kube.lease).",
    ),
    (
        "ZeugeNodeFailed",
        "max(zeuge_kube_nodes{state=\"failed\"}) > 0",
        "0m",
        "warning",
        "The evidence of a node failed (kube.node.failed).",
    ),
    (
        "ZeugeNodeStale",
        "max(zeuge_kube_nodes{state=\"stale\"}) > 0",
        "10m",
        "warning",
        "A node brings no evidence (kube.node.stale).",
    ),
    (
        "ZeugeHold",
        "max by (check) (zeuge_kube_hold) == 1",
        "0m",
        "critical",
        "Actions are held back (kube.breaker, kube.clock-skew or kube.silence).",
    ),
    (
        "ZeugeDrainStuck",
        "max(zeuge_kube_drains_stuck) > 0",
        "5m",
        "warning",
        "A disruption budget blocks the drain of a node that failed (kube.drain.stuck).",
    ),
    (
        "ZeugeUntold",
        "max(zeuge_kube_untold) > 0",
        "10m",
        "warning",
        "A witness cannot be told of waivers or of machines without secrets (kube.witness.untold).",
    ),
    (
        "ZeugePassesFail",
        "sum(increase(zeuge_kube_pass_failures_total[10m])) > 5",
        "0m",
        "warning",
        "The controller does not get through with the API server (kube.api).",
    ),
    (
        "ZeugeActionsFail",
        "sum by (step) (increase(zeuge_kube_action_failures_total[10m])) > 5",
        "0m",
        "warning",
        "A step is refused again and again (kube.api).",
    ),
];

/// The groups of rules, as a file for Prometheus holds them.
#[must_use]
pub fn groups() -> Value {
    let rules: Vec<Value> = ALERTS
        .iter()
        .map(|(name, expression, hold, severity, summary)| {
            json!({"alert": name, "expr": expression, "for": hold,
                "labels": {"severity": severity},
                "annotations": {"summary": summary,
                    "runbook_url": format!("{RUNBOOKS}#{}", name.to_lowercase())}})
        })
        .collect();
    json!([{"name": MANAGER, "rules": rules}])
}

/// The same for the operator of Prometheus.
pub(super) fn object() -> Value {
    json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": MANAGER, "namespace": NAMESPACE}, "spec": {"groups": groups()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    #[test]
    fn every_alert_asks_for_metrics_that_exist_and_has_a_section_that_says_what_to_do() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
        let page = std::fs::read_to_string(format!("{root}{RUNBOOKS}")).unwrap();
        for (name, expression, ..) in ALERTS {
            let word = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
            let asked: Vec<&str> = expression
                .split(word)
                .filter(|it| it.starts_with("zeuge_"))
                .collect();
            assert!(!asked.is_empty(), "{name}");
            for metric in asked {
                assert!(METRICS.iter().any(|it| it.0 == metric), "{metric}");
            }
            assert!(page.contains(&format!("\n## {name}\n")), "{name}");
        }
    }

    #[test]
    fn labels_that_alerts_ask_for_are_shown() {
        for (_, expression, ..) in ALERTS {
            for (metric, _, label, _) in METRICS.iter().filter(|it| !it.2.is_empty()) {
                if let Some((_, rest)) = expression.split_once(&format!("{metric}{{")) {
                    assert!(rest.starts_with(label), "{expression}");
                }
            }
        }
    }
}
