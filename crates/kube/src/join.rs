//! The join gate: whether a kubelet's certificate request is approved, denied, or waits.
//!
//! A pure function of the request, of Attestation Results whose signatures hold, and of what is
//! known about the name. Approval is final (Kubernetes takes none back), so it needs a result that
//! names exactly this key, for exactly this use, node and cluster, and is affirming; anything that
//! is merely missing waits.

use zeuge_protocol::binding::{BoundKey, Role};
use zeuge_protocol::ear::{Ear, Jwk, Status};

use crate::pkcs10::Request;

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "kube.csr.cluster",
    "kube.csr.key",
    "kube.csr.malformed",
    "kube.csr.node",
    "kube.csr.policy",
    "kube.csr.role",
    "kube.csr.verdict",
    "kube.csr.witness",
    "kube.node.enrolment",
    "kube.node.name-taken",
];

/// The signer of kubelets' client certificates.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The signer of kubelets' serving certificates.
pub const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// The annotation of a CertificateSigningRequest that carries an Attestation Result.
pub const RESULT_ANNOTATION: &str = "zeuge.dev/result";
/// The annotation of an AttestedNode with which people ask for fresh evidence; each new value asks
/// once.
pub const ASK_ANNOTATION: &str = "zeuge.dev/attest";
/// What precedes a node's name in its user name.
pub const NODE_USER: &str = "system:node:";
/// The key of the context under which a cluster's UID stands.
pub const CLUSTER_UID: &str = "cluster-uid";
/// The key of the context under which a node's name stands.
pub const NODE_NAME: &str = "node-name";
/// The key of the context under which the boot id of the machine stands.
pub const BOOT_ID: &str = "boot-id";

/// A pending CertificateSigningRequest of a kubelet's signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its signer: [`CLIENT_SIGNER`] or [`SERVING_SIGNER`].
    pub signer: String,
    /// Who made it, as the API server says.
    pub user: String,
    /// The usages it asks for.
    pub usages: Vec<String>,
    /// The groups of whoever made it, as the API server says.
    pub groups: Vec<String>,
}

/// What is known where the request is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The UID of the namespace kube-system, which names the cluster.
    pub cluster_uid: String,
    /// The node lives: it is Ready or renewed its lease lately.
    pub name_lives: bool,
    /// The name is one of the control plane's: such a Node exists, or it is reserved.
    pub control_plane: bool,
    /// The name is enrolled for the control plane.
    pub enrolled: bool,
    /// The digests of policies that count, in hexadecimal: each list must hold the one that was
    /// applied; without any the witness's is enough.
    pub policies: Vec<Vec<String>>,
    /// The issuers of witnesses that count among the pinned ones: each list must hold the one that
    /// judged; without any all do.
    pub witnesses: Vec<Vec<String>>,
    /// The tenant that must have been judged for.
    pub tenant: String,
    /// Whether machines whose evidence fails may be refused now (the breaker).
    pub refuses: bool,
    /// The bootstrap groups of machines that are not attested, as the controller was started.
    pub exempt: Vec<String>,
    /// The group by which the name was admitted without evidence, if it was.
    pub exempted_by: Option<String>,
    /// A key of this name was attested before.
    pub attested_before: bool,
    /// A person declared the key of this name compromised.
    pub compromised: bool,
}

impl Facts {
    /// The group by which this requester needs no evidence: one that the API server says of a
    /// newcomer, or the one by which a node that renews was admitted.
    fn exempts(&self, asked: &Asked, own: bool) -> Option<&String> {
        let mine = |group: &String| match own {
            true => self.exempted_by.as_ref() == Some(group),
            false => asked.groups.contains(group),
        };
        let client = asked.signer == CLIENT_SIGNER;
        self.exempt.iter().find(|it| client && mine(it))
    }
}

/// What happens to the request.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Approve for this node.
    Approve {
        /// The node's name.
        node: String,
        /// The result that admits it.
        result: Box<Ear>,
    },
    /// Approve without evidence: a machine that is not attested, and never trusted.
    Exempt {
        /// The node's name.
        node: String,
        /// The bootstrap group that says so.
        group: String,
    },
    /// Deny for good.
    Deny(Refusal),
    /// Neither: what is missing may still come.
    Wait(Refusal),
}

/// Which check refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The check id.
    pub check: &'static str,
    /// A sentence with what was found.
    pub because: String,
}

fn refusal(check: &'static str, because: impl Into<String>) -> Refusal {
    Refusal {
        check,
        because: because.into(),
    }
}

/// The node's name, if subject, usages and names are what the signer demands.
///
/// # Errors
/// `kube.csr.malformed`.
pub fn shape(asked: &Asked, request: &Request) -> Result<String, Refusal> {
    let bad = |because: &str| Err(refusal("kube.csr.malformed", because));
    if request.organizations != ["system:nodes"] {
        return bad("the subject's organization is not exactly system:nodes");
    }
    let [name] = request.common_names.as_slice() else {
        return bad("the subject has not exactly one common name");
    };
    let Some(node) = name.strip_prefix(NODE_USER).filter(|node| node_name(node)) else {
        return bad("the common name is not system:node: and a node's name");
    };
    let purpose = if asked.signer == CLIENT_SIGNER {
        if !request.dns.is_empty() || !request.addresses.is_empty() {
            return bad("a client certificate has no alternative names");
        }
        "client auth"
    } else {
        if request.dns.is_empty() && request.addresses.is_empty() {
            return bad("a serving certificate needs an alternative name");
        }
        if request.dns.iter().any(|name| name != node) {
            return bad("a DNS name is not the node's name");
        }
        "server auth"
    };
    let allowed = ["digital signature", "key encipherment", purpose];
    let usages = &asked.usages;
    let needed = ["digital signature", purpose];
    if usages
        .iter()
        .any(|usage| !allowed.contains(&usage.as_str()))
        || needed
            .iter()
            .any(|need| !usages.iter().any(|usage| usage == need))
    {
        return bad("the usages are not those of a kubelet");
    }
    Ok(node.to_owned())
}

/// RFC 1123 subdomain: what Kubernetes takes as a node's name.
pub(crate) fn node_name(name: &str) -> bool {
    let labels = name.split('.').all(|label| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let edge = |byte: Option<u8>| byte.is_some_and(inside);
        edge(label.bytes().next())
            && edge(label.bytes().last())
            && label.bytes().all(|byte| inside(byte) || byte == b'-')
    });
    name.len() <= 253 && labels
}

/// Decides. `results` are believed: signature, issuer, audience and time hold.
#[must_use]
pub fn decide(asked: &Asked, request: &Request, results: &[Ear], facts: &Facts) -> Decision {
    let node = match shape(asked, request) {
        Ok(node) => node,
        Err(refusal) => return Decision::Deny(refusal),
    };
    let own = asked.user.strip_prefix(NODE_USER);
    if own.is_some_and(|own| own != node) || (asked.signer == SERVING_SIGNER && own.is_none()) {
        let because = format!("{} asks for the name {node}", asked.user);
        return Decision::Deny(refusal("kube.csr.node", because));
    }
    if facts.control_plane && !facts.enrolled {
        let because = format!("{node} is a name of the control plane and not enrolled");
        return Decision::Deny(refusal("kube.node.enrolment", because));
    }
    if own.is_none() && facts.name_lives {
        let because = format!("{node} lives, and {} is not it", asked.user);
        return Decision::Deny(refusal("kube.node.name-taken", because));
    }
    if facts.compromised {
        let because = format!("the key of {node} is declared compromised (spec.compromised)");
        return Decision::Deny(refusal("kube.node.failed", because));
    }
    let key = BoundKey::p256(&request.key.0, &request.key.1);
    let Some(jwk) = Jwk::from_bound(&key) else {
        return Decision::Deny(refusal("kube.csr.malformed", "the key cannot be named"));
    };
    let of_key = results.iter().filter(|ear| {
        let confirmed = ear.confirmation.as_ref().map(|it| &it.jwk);
        confirmed.is_some_and(|it| {
            (&it.kty, &it.crv, &it.x, &it.y) == (&jwk.kty, &jwk.crv, &jwk.x, &jwk.y)
        })
    });
    let mut last = None;
    for ear in of_key {
        match fits(ear, asked, &node, facts) {
            Ok(()) => {
                let result = Box::new(ear.clone());
                return Decision::Approve { node, result };
            }
            Err(refusal) => last = Some(refusal),
        }
    }
    match last {
        // Machines that fail because of a change nobody has looked at are not thrown out by it.
        Some(refusal) if refusal.check == "kube.csr.verdict" && !facts.refuses => {
            Decision::Wait(refusal)
        }
        Some(refusal) => Decision::Deny(refusal),
        None => without_result(node, facts.exempts(asked, own.is_some()), facts),
    }
}

/// A request that no result names: of a machine that is not attested, or too early.
fn without_result(node: String, group: Option<&String>, facts: &Facts) -> Decision {
    let Some(group) = group.cloned() else {
        return Decision::Wait(refusal(
            "kube.csr.key",
            "no Attestation Result names the key of this request yet",
        ));
    };
    if facts.attested_before {
        let because = format!("{node} was attested, {group} is not: delete its AttestedNode first");
        return Decision::Deny(refusal("kube.node.name-taken", because));
    }
    Decision::Exempt { node, group }
}

/// Whether a result of the request's key admits it.
fn fits(ear: &Ear, asked: &Asked, node: &str, facts: &Facts) -> Result<(), Refusal> {
    let role = if asked.signer == CLIENT_SIGNER {
        Role::KubeletClient
    } else {
        Role::KubeletServing
    };
    if ear.confirmation_role != Some(role) {
        let because = format!(
            "the key was shown for {:?}, not {role:?}",
            ear.confirmation_role
        );
        return Err(refusal("kube.csr.role", because));
    }
    let said = |key: &str| ear.context.get(key).map_or("nothing", String::as_str);
    if said(CLUSTER_UID) != facts.cluster_uid {
        let because = format!("{}, wanted {}", said(CLUSTER_UID), facts.cluster_uid);
        return Err(refusal("kube.csr.cluster", because));
    }
    if said(NODE_NAME) != node {
        let because = format!("{}, wanted {node}", said(NODE_NAME));
        return Err(refusal("kube.csr.node", because));
    }
    judged(ear, facts)?;
    if ear.status() != Status::Affirming && ear.status() != Status::Warning {
        let failed: Vec<&str> = failed(ear);
        let because = format!("{}: {}", ear.status().as_str(), failed.join(", "));
        return Err(refusal("kube.csr.verdict", because));
    }
    Ok(())
}

/// Whether a result was judged for this tenant by a witness and under a policy that count here.
///
/// # Errors
/// `kube.csr.policy`, `kube.csr.witness`.
pub fn judged(ear: &Ear, facts: &Facts) -> Result<(), Refusal> {
    if ear.tenant.as_str() != facts.tenant {
        let because = format!("tenant {}, wanted {}", ear.tenant, facts.tenant);
        return Err(refusal("kube.csr.policy", because));
    }
    let digest = hex::encode(ear.policy_digest);
    for list in &facts.policies {
        if !list.contains(&digest) {
            let because = format!("policy {digest}, wanted {}", list.join(" or "));
            return Err(refusal("kube.csr.policy", because));
        }
    }
    for list in &facts.witnesses {
        if !list.contains(&ear.issuer) {
            let because = format!("judged by {}, wanted {}", ear.issuer, list.join(" or "));
            return Err(refusal("kube.csr.witness", because));
        }
    }
    Ok(())
}

/// The checks that failed, of every device, each once.
#[must_use]
pub fn failed(ear: &Ear) -> Vec<&str> {
    let mut failed: Vec<&str> = ear
        .submods
        .values()
        .flat_map(|device| device.failed.iter().map(String::as_str))
        .collect();
    failed.sort_unstable();
    failed.dedup();
    failed
}

#[cfg(test)]
pub(crate) mod tests;
