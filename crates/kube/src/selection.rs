//! What is demanded of one node: the policy that the controller follows, tightened by every policy
//! with a selector that fits.
//!
//! A selector goes by the bootstrap group of the token with which a machine joined, which the API
//! server says, and by the node's name. An attested machine chooses its name among those that are
//! free, and nobody can keep whoever runs the API server from taking a policy away: so no selector
//! lets anybody out. Which lists count, how old a verdict may be and how far the ladder goes can only
//! become stricter than what holds for all. Labels, which machines set themselves, select nothing.

use crate::api::{AttestationPolicy, AttestationPolicySpec, Selector};
use crate::model::Tightened;

/// What precedes the groups of bootstrap tokens.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:";
/// Groups that are remembered of a machine: a token has few.
const GROUPS_MAX: usize = 8;

/// The policies of a cluster.
#[derive(Debug, Clone)]
pub struct Rules {
    /// What holds for every node.
    pub base: AttestationPolicySpec,
    /// What tightens it for some.
    selecting: Vec<(Selector, AttestationPolicySpec)>,
}

/// What is demanded of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// Digests of witness policies: each list must hold the one that was applied.
    pub policies: Vec<Vec<String>>,
    /// Issuers of witnesses: each list must hold the one that judged.
    pub witnesses: Vec<Vec<String>>,
    /// How old a verdict may become, in seconds.
    pub age_secs_max: i64,
}

impl Rules {
    /// Of the policies of a cluster, `base` and those with a selector.
    #[must_use]
    pub fn of<'a>(
        base: &AttestationPolicy,
        all: impl Iterator<Item = &'a AttestationPolicy>,
    ) -> Self {
        let others = all.filter(|it| it.metadata.name != base.metadata.name);
        let selecting = others.filter_map(|it| Some((it.spec.selector.clone()?, it.spec.clone())));
        Self {
            base: base.spec.clone(),
            selecting: selecting.collect(),
        }
    }

    /// What is demanded of the node of this name, whose machine joined by these groups.
    #[must_use]
    pub fn demands(&self, node: &str, groups: &[String]) -> Demands {
        let tightened = self.tightened(node, groups);
        let base = self.base.max_age_seconds;
        let mut demands = Demands {
            policies: Vec::new(),
            witnesses: Vec::new(),
            age_secs_max: tightened.age_secs_max.map_or(base, |own| own.min(base)),
        };
        demands.add(&self.base);
        for spec in self.selecting(node, groups) {
            demands.add(spec);
        }
        demands
    }

    /// What the plan has to know of it.
    #[must_use]
    pub fn tightened(&self, node: &str, groups: &[String]) -> Tightened {
        let mut all = Tightened::default();
        for spec in self.selecting(node, groups) {
            let (age, rung) = (spec.max_age_seconds, spec.policy().ladder);
            all.age_secs_max = Some(all.age_secs_max.map_or(age, |known| known.min(age)));
            all.ladder = Some(all.ladder.map_or(rung, |known| known.max(rung)));
        }
        all
    }

    fn selecting(
        &self,
        node: &str,
        groups: &[String],
    ) -> impl Iterator<Item = &AttestationPolicySpec> {
        let fits = move |it: &&(Selector, _)| selects(&it.0, node, groups);
        self.selecting.iter().filter(fits).map(|(_, spec)| spec)
    }

    /// The base alone.
    #[must_use]
    pub const fn only(base: AttestationPolicySpec) -> Self {
        Self {
            base,
            selecting: Vec::new(),
        }
    }
}

impl Demands {
    /// A list that says nothing demands nothing.
    fn add(&mut self, spec: &AttestationPolicySpec) {
        for (all, list) in [
            (&mut self.policies, &spec.policies),
            (&mut self.witnesses, &spec.witnesses),
        ] {
            if !list.is_empty() {
                all.push(list.clone());
            }
        }
    }
}

/// Whether a selector is about this node. One that names nothing selects nothing.
fn selects(selector: &Selector, node: &str, groups: &[String]) -> bool {
    let named = selector.names.iter().any(|it| fits(it, node));
    named
        || selector
            .bootstrap_groups
            .iter()
            .any(|it| groups.contains(it))
}

/// Whether a name fits a pattern, in which `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

/// The groups of a bootstrap token among those of a requester.
#[must_use]
pub fn bootstrap_groups(groups: &[String]) -> Vec<String> {
    let own = groups.iter().filter(|it| it.starts_with(BOOTSTRAP_GROUP));
    own.take(GROUPS_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::Rung;

    fn policy(name: &str, spec: Value) -> AttestationPolicy {
        let spec = serde_json::from_value(spec).unwrap();
        AttestationPolicy::new(name, spec)
    }

    fn rules(base: Value, others: &[Value]) -> Rules {
        let base = policy("default", base);
        let mut all = vec![base.clone()];
        let named = |(at, spec): (usize, &Value)| policy(&format!("p{at}"), spec.clone());
        all.extend(others.iter().enumerate().map(named));
        Rules::of(&base, all.iter())
    }

    #[test]
    fn a_pattern_fits_whole_names() {
        for (pattern, name, wanted) in [
            ("worker-1", "worker-1", true),
            ("worker-1", "worker-10", false),
            ("worker-*", "worker-10", true),
            ("worker-*", "my-worker-1", false),
            ("*-db", "a-db", true),
            ("*-db", "a-db-1", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "a1c2b", false),
            ("a*b*b", "ab", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_group_or_a_name_selects_and_nothing_else() {
        let group = "system:bootstrappers:db".to_owned();
        let strict = json!({"selector": {"names": ["db-*"], "bootstrapGroups": [group]},
            "policies": ["aa"], "witnesses": ["https://w2"], "maxAgeSeconds": 300,
            "reaction": "NoExecute"});
        let rules = rules(
            json!({"policies": ["aa", "bb"], "reaction": "Taint"}),
            &[strict],
        );
        let all = rules.demands("worker-1", &[]);
        assert_eq!((all.policies.len(), all.witnesses.len()), (1, 0));
        assert_eq!(all.age_secs_max, 900);
        assert_eq!(rules.tightened("worker-1", &[]), Tightened::default());
        for (name, groups) in [("db-1", vec![]), ("worker-1", vec![group.clone()])] {
            let some = rules.demands(name, &groups);
            assert_eq!(
                some.policies,
                [vec!["aa".to_owned(), "bb".into()], vec!["aa".into()]]
            );
            assert_eq!(some.witnesses, [["https://w2"]]);
            assert_eq!(some.age_secs_max, 300);
            let tightened = rules.tightened(name, &groups);
            assert_eq!(tightened.ladder, Some(Rung::NoExecute));
            assert_eq!(tightened.age_secs_max, Some(300));
        }
        let groups = ["system:bootstrappers", "system:authenticated", &group];
        let groups = groups.map(str::to_owned);
        assert_eq!(bootstrap_groups(&groups), [group]);
    }

    #[test]
    fn no_selector_lets_anybody_out() {
        let base = json!({"policies": ["aa"], "witnesses": ["https://w1"], "maxAgeSeconds": 300,
            "reaction": "Drain", "selector": {"names": ["worker-*"]}});
        let loose = json!({"selector": {"names": ["*"]}, "policies": ["aa", "bb"],
            "witnesses": ["https://w1", "https://w2"], "maxAgeSeconds": 86400, "reaction": "Report"});
        let nothing = json!({"selector": {}, "maxAgeSeconds": 60, "reaction": "Delete"});
        let rules = rules(base, &[loose, nothing]);
        // The policy that is followed holds for all, whatever selector somebody gave it.
        let demands = rules.demands("db-1", &[]);
        assert_eq!(demands.policies[0], ["aa"]);
        assert_eq!(demands.witnesses[0], ["https://w1"]);
        assert_eq!(demands.age_secs_max, 300);
        // The plan takes the stricter of both.
        let policy = rules.base.policy();
        let mut node = crate::cluster::machine("db-1", None, None, &rules, "t");
        assert_eq!(node.tightened, rules.tightened("db-1", &[]));
        assert_eq!(
            (policy.ladder_of(&node), policy.age_of(&node)),
            (Rung::Drain, 300)
        );
        node.tightened.ladder = Some(Rung::Delete);
        node.tightened.age_secs_max = Some(100);
        assert_eq!(
            (policy.ladder_of(&node), policy.age_of(&node)),
            (Rung::Delete, 100)
        );
    }
}
