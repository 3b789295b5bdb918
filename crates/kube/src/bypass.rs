//! Who passes the controller-manager's own approver.
//!
//! Kubernetes approves a kubelet's client certificate by itself for whoever may create
//! `certificatesigningrequests/nodeclient` (first join) or `…/selfnodeclient` (renewal). Then no
//! approver of ours is asked. `kubeadm init` and `kubeadm upgrade` create such bindings.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Subject};

/// The check ids of this module.
pub const CHECKS: &[&str] = &["kube.csr.bypass"];

const GROUP: &str = "certificates.k8s.io";
const DOORS: [&str; 2] = [
    "certificatesigningrequests/nodeclient",
    "certificatesigningrequests/selfnodeclient",
];

fn opens(rule: &PolicyRule) -> bool {
    let any = |list: Option<&[String]>, wanted: &[&str]| {
        let list = list.unwrap_or_default();
        list.iter()
            .any(|it| it == "*" || wanted.contains(&it.as_str()))
    };
    let resources = [DOORS[0], DOORS[1], "*/nodeclient", "*/selfnodeclient"];
    any(Some(&rule.verbs), &["create"])
        && any(rule.api_groups.as_deref(), &[GROUP])
        && any(rule.resources.as_deref(), &resources)
}

/// One sentence for each binding that lets somebody pass. Administrators in `system:masters` are
/// left out: no rule of RBAC binds them.
#[must_use]
pub fn bypass(roles: &[ClusterRole], bindings: &[ClusterRoleBinding]) -> Vec<String> {
    let opening = |name: &str| {
        let named = roles
            .iter()
            .find(|role| role.metadata.name.as_deref() == Some(name));
        let rules = named.and_then(|role| role.rules.as_deref());
        rules.unwrap_or_default().iter().any(opens)
    };
    let mut found = Vec::new();
    for binding in bindings {
        if !opening(&binding.role_ref.name) {
            continue;
        }
        let subjects = binding.subjects.as_deref().unwrap_or_default();
        let masters = |it: &&Subject| it.kind == "Group" && it.name == "system:masters";
        let others: Vec<String> = subjects
            .iter()
            .filter(|it| !masters(it))
            .map(|it| format!("{} {}", it.kind, it.name))
            .collect();
        if !others.is_empty() {
            found.push(format!(
                "ClusterRoleBinding {} gives {} to {}",
                binding.metadata.name.as_deref().unwrap_or_default(),
                binding.role_ref.name,
                others.join(", ")
            ));
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, verbs: &[&str], resources: &[&str]) -> ClusterRole {
        serde_json::from_value(json!({"metadata": {"name": name}, "rules": [
            {"verbs": verbs, "apiGroups": ["certificates.k8s.io"], "resources": resources}
        ]}))
        .unwrap()
    }

    fn binding(name: &str, role: &str, group: &str) -> ClusterRoleBinding {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": group}]
        }))
        .unwrap()
    }

    #[test]
    fn every_way_to_the_doors_is_found_and_nothing_else() {
        let open = [
            (["create"], ["certificatesigningrequests/nodeclient"]),
            (["*"], ["certificatesigningrequests/selfnodeclient"]),
            (["create"], ["*"]),
            (["create"], ["*/nodeclient"]),
        ];
        for (verbs, resources) in open {
            let roles = [role("r", &verbs, &resources)];
            let bindings = [binding("b", "r", "system:bootstrappers")];
            assert_eq!(
                bypass(&roles, &bindings),
                ["ClusterRoleBinding b gives r to Group system:bootstrappers"]
            );
            assert!(bypass(&roles, &[binding("b", "r", "system:masters")]).is_empty());
            assert!(bypass(&roles, &[]).is_empty());
        }
        for (verbs, resources) in [
            (["get"], ["certificatesigningrequests/nodeclient"]),
            (["create"], ["certificatesigningrequests"]),
        ] {
            let roles = [role("r", &verbs, &resources)];
            assert!(bypass(&roles, &[binding("b", "r", "x")]).is_empty());
        }
    }
}
