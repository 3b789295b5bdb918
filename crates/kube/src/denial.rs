//! The admission policy that refuses the writes of nodes whose credentials are denied: its name,
//! and the list of identities as expressions of it.
//!
//! The list stands in the policy itself. Parameters of a policy (`paramKind`) would be the obvious
//! place, but while an API server has not taken up their definition, after an installation and after
//! every start, it refuses *every* write that such a policy might be about.
//! Sizes: one expression holds 64 KiB of names, the policy [`LIST_BYTES_MAX`];
//! the API server looks a name up in a set, so that the length of a list costs a request nothing.
//! Never holds a name that is none of Kubernetes': nothing in a list can end its quotes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::Error;
use crate::join::{NODE_USER, node_name};

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["kube.denied.full"];

/// The policy's name.
pub const POLICY: &str = "zeuge-denied";
/// The longest expression: cel-go reads 100,000 characters.
const EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// The longest list: etcd takes 1.5 MiB, and the object holds it once.
pub const LIST_BYTES_MAX: usize = 768 * 1024;

const BEFORE: &str = "!(request.userInfo.username in [";
const AFTER: &str = "])";
const SENTENCE: &str = "the evidence of this node failed: its credentials are denied";

/// The name as it stands in a list.
fn entry(node: &str) -> String {
    format!("'{NODE_USER}{node}'")
}

/// The validations of the policy that denies these nodes; each identity in one of them, in the
/// order of names, so that the same nodes always give the same text.
///
/// # Errors
/// `kube.denied.full` when they do not fit: about 3,000 of the longest names that Kubernetes knows,
/// 20,000 of usual ones.
pub fn validations(nodes: &BTreeSet<String>) -> Result<Vec<Value>, Error> {
    let mut lists = vec![String::new()];
    let mut whole = 0_usize;
    for node in nodes.iter().filter(|it| node_name(it)) {
        let entry = entry(node);
        whole = whole.saturating_add(entry.len()).saturating_add(1);
        if whole > LIST_BYTES_MAX {
            return Err(Error::Refused("kube.denied.full"));
        }
        match lists.last_mut() {
            Some(last) if last.is_empty() => last.push_str(&entry),
            Some(last) if last.len().saturating_add(entry.len()) < EXPRESSION_BYTES_MAX => {
                last.push(',');
                last.push_str(&entry);
            }
            _ => lists.push(entry),
        }
    }
    let validation = |list: &String| {
        json!({"expression": format!("{BEFORE}{list}{AFTER}"), "message": SENTENCE,
            "reason": "Forbidden"})
    };
    Ok(lists.iter().map(validation).collect())
}

/// The nodes that expressions of the policy deny; what is written otherwise than here denies nobody.
#[must_use]
pub fn denied<'a>(expressions: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let inside = |it: &'a str| it.strip_prefix(BEFORE)?.strip_suffix(AFTER);
    let quoted = |it: &'a str| it.strip_prefix('\'')?.strip_suffix('\'');
    let name = |it: &'a str| quoted(it)?.strip_prefix(NODE_USER);
    expressions
        .filter_map(inside)
        .flat_map(|list| list.split(',').filter_map(name))
        .map(str::to_owned)
        .collect()
}

/// A node whose credentials are denied writes nothing but results, for the day it is repaired.
pub(crate) fn policy() -> Value {
    // Nobody's list always fits.
    let nobody = validations(&BTreeSet::new()).unwrap_or_default();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
                "resources": ["*/*"], "operations": ["CREATE", "UPDATE", "DELETE"]}]},
            "matchConditions": [{"name": "who", "expression":
                "'system:nodes' in request.userInfo.groups && request.resource.group != 'zeuge.dev'"}],
            "validations": nobody
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize, long: usize) -> BTreeSet<String> {
        (0..count).map(|at| format!("{at:0long$}")).collect()
    }

    fn expressions(validations: &[Value]) -> Vec<&str> {
        validations
            .iter()
            .map(|it| it["expression"].as_str().unwrap())
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again_and_every_expression_is_short_enough() {
        for nodes in [names(0, 1), names(1, 8), names(300, 40), names(2500, 253)] {
            let written = validations(&nodes).unwrap();
            let expressions = expressions(&written);
            assert!(expressions.iter().all(|it| it.len() < 100_000));
            assert_eq!(denied(expressions.into_iter()), nodes);
            // The policy as it travels, beside its other fields, stays far below what etcd takes.
            assert!(json!(written).to_string().len() < 1_000_000);
        }
    }

    #[test]
    fn nobody_is_one_list_that_is_empty() {
        let written = validations(&BTreeSet::new()).unwrap();
        assert_eq!(
            expressions(&written),
            ["!(request.userInfo.username in [])"]
        );
    }

    #[test]
    fn too_many_are_refused_as_a_whole() {
        let refused = validations(&names(4000, 253)).unwrap_err();
        assert_eq!(refused.check(), "kube.denied.full");
    }

    #[test]
    fn a_name_that_is_none_is_left_out() {
        let nodes = BTreeSet::from(["a'] || true || ['".to_owned(), "b".to_owned()]);
        let written = validations(&nodes).unwrap();
        assert_eq!(
            expressions(&written),
            ["!(request.userInfo.username in ['system:node:b'])"]
        );
    }

    #[test]
    fn what_somebody_else_wrote_denies_nobody() {
        for text in ["true", "!(request.userInfo.username in ['admin'])", ""] {
            assert!(denied([text].into_iter()).is_empty(), "{text}");
        }
    }
}
