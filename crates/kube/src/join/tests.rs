//! The gate, one refusal at a time, against a request that would be approved.

use std::collections::BTreeMap;

use zeuge_protocol::ear::{Appraisal, Confirmation, PROFILE, Vector, VerifierId};
use zeuge_protocol::name::Name;

use super::*;

fn request() -> Request {
    Request {
        organizations: vec!["system:nodes".into()],
        common_names: vec!["system:node:worker-1".into()],
        key: ([1; 32], [2; 32]),
        dns: vec![],
        addresses: vec![],
    }
}

fn asked() -> Asked {
    Asked {
        signer: CLIENT_SIGNER.into(),
        user: "system:bootstrap:abcdef".into(),
        usages: vec!["digital signature".into(), "client auth".into()],
        groups: vec!["system:bootstrappers".into()],
    }
}

/// A cluster in which nothing is said of anybody yet.
pub(crate) fn facts() -> Facts {
    Facts {
        cluster_uid: "uid-1".into(),
        name_lives: false,
        control_plane: false,
        enrolled: false,
        policies: vec![],
        witnesses: vec![],
        tenant: "acme".into(),
        refuses: true,
        exempt: vec![],
        exempted_by: None,
        attested_before: false,
        compromised: false,
    }
}

fn ear() -> Ear {
    let device = Appraisal {
        status: Status::Affirming,
        vector: Vector::default(),
        policy_ids: vec![],
        failed: vec![],
        makers: vec!["AMD".into()],
        product: Some("Milan".into()),
        adversaries: [("provider-employee".into(), "conditional".into())].into(),
        claims: serde_json::Value::Null,
    };
    let context = [(CLUSTER_UID, "uid-1"), (NODE_NAME, "worker-1")];
    Ear {
        profile: PROFILE.into(),
        issuer: "https://w1.example".into(),
        audience: "kube".into(),
        issued: 1000,
        expires: 1300,
        nonce: None,
        verifier_id: VerifierId {
            developer: "d".into(),
            build: "b".into(),
        },
        confirmation: Some(Confirmation {
            jwk: Jwk::from_bound(&BoundKey::p256(&[1; 32], &[2; 32])).unwrap(),
        }),
        confirmation_role: Some(Role::KubeletClient),
        context: BTreeMap::from(context.map(|(key, value)| (key.into(), value.into()))),
        tenant: Name::parse("acme").unwrap(),
        policy_digest: [4; 32],
        knowledge_version: 7,
        receipt: None,
        submods: BTreeMap::from([("snp".into(), device)]),
    }
}

fn said(decision: &Decision) -> &str {
    match decision {
        Decision::Approve { .. } => "approve",
        Decision::Exempt { .. } => "exempt",
        Decision::Deny(refusal) => refusal.check,
        Decision::Wait(refusal) => refusal.check,
    }
}

#[test]
fn a_result_that_names_key_node_and_cluster_admits() {
    let decision = decide(&asked(), &request(), &[ear()], &facts());
    let result = Box::new(ear());
    let node = "worker-1".to_owned();
    assert_eq!(decision, Decision::Approve { node, result });
}

#[test]
fn what_is_missing_waits_and_what_contradicts_is_denied() {
    let wait = decide(&asked(), &request(), &[], &facts());
    assert!(matches!(&wait, Decision::Wait(it) if it.check == "kube.csr.key"));
    type Change = fn(&mut Ear);
    let changes: [(&str, Change); 5] = [
        ("kube.csr.role", |it| {
            it.confirmation_role = Some(Role::Workload)
        }),
        ("kube.csr.cluster", |it| {
            it.context.insert(CLUSTER_UID.into(), "uid-2".into());
        }),
        ("kube.csr.node", |it| {
            it.context.insert(NODE_NAME.into(), "worker-2".into());
        }),
        ("kube.csr.policy", |it| {
            it.tenant = Name::parse("other").unwrap()
        }),
        ("kube.csr.verdict", |it| {
            let device = it.submods.get_mut("snp").unwrap();
            (device.status, device.failed) = (Status::Contraindicated, vec!["policy.debug".into()]);
        }),
    ];
    for (check, change) in changes {
        let mut other = ear();
        change(&mut other);
        let denied = decide(&asked(), &request(), &[other.clone()], &facts());
        assert!(
            matches!(&denied, Decision::Deny(it) if it.check == check),
            "{denied:?}"
        );
        // One good result among others is enough.
        let admitted = decide(&asked(), &request(), &[other, ear()], &facts());
        assert_eq!(said(&admitted), "approve");
    }
    let mut other_key = ear();
    let other = Jwk::from_bound(&BoundKey::p256(&[1; 32], &[3; 32])).unwrap();
    other_key.confirmation = Some(Confirmation { jwk: other });
    let wait = decide(&asked(), &request(), &[other_key], &facts());
    assert_eq!(said(&wait), "kube.csr.key");
}

#[test]
fn a_policy_that_does_not_count_here_admits_nobody() {
    let facts = Facts {
        policies: vec![vec!["ff".repeat(32)]],
        ..facts()
    };
    let denied = decide(&asked(), &request(), &[ear()], &facts);
    assert_eq!(said(&denied), "kube.csr.policy");
}

#[test]
fn policy_and_witness_must_stand_in_every_list_that_there_is() {
    let (own, digest) = (ear(), hex::encode(ear().policy_digest));
    let (here, other) = (own.issuer.clone(), "https://another".to_owned());
    for (policies, witnesses, wanted) in [
        (
            vec![vec![digest.clone()]],
            vec![vec![here.clone()]],
            "approve",
        ),
        (
            vec![vec![digest.clone()], vec!["ff".repeat(32)]],
            vec![],
            "kube.csr.policy",
        ),
        (
            vec![],
            vec![vec![other.clone(), here.clone()], vec![here.clone()]],
            "approve",
        ),
        (vec![], vec![vec![here], vec![other]], "kube.csr.witness"),
    ] {
        let facts = Facts {
            policies,
            witnesses,
            ..facts()
        };
        let decided = decide(&asked(), &request(), std::slice::from_ref(&own), &facts);
        assert_eq!(said(&decided), wanted);
    }
}

#[test]
fn a_name_that_lives_is_taken_except_for_its_own_renewal() {
    let facts = Facts {
        name_lives: true,
        ..facts()
    };
    let denied = decide(&asked(), &request(), &[ear()], &facts);
    assert!(matches!(&denied, Decision::Deny(it) if it.check == "kube.node.name-taken"));
    let mut renewal = asked();
    renewal.user = "system:node:worker-1".into();
    assert_eq!(
        said(&decide(&renewal, &request(), &[ear()], &facts)),
        "approve"
    );
    renewal.user = "system:node:worker-2".into();
    assert_eq!(
        said(&decide(&renewal, &request(), &[ear()], &facts)),
        "kube.csr.node"
    );
}

#[test]
fn control_plane_names_need_enrolment() {
    let mut facts = Facts {
        control_plane: true,
        ..facts()
    };
    let denied = decide(&asked(), &request(), &[ear()], &facts);
    assert_eq!(said(&denied), "kube.node.enrolment");
    facts.enrolled = true;
    assert_eq!(
        said(&decide(&asked(), &request(), &[ear()], &facts)),
        "approve"
    );
}

#[test]
fn while_the_breaker_is_open_a_failing_renewal_waits() {
    let mut bad = ear();
    bad.submods.get_mut("snp").unwrap().status = Status::Contraindicated;
    let facts = Facts {
        refuses: false,
        ..facts()
    };
    let wait = decide(&asked(), &request(), &[bad], &facts);
    assert!(matches!(&wait, Decision::Wait(it) if it.check == "kube.csr.verdict"));
}

#[test]
fn shapes_that_no_kubelet_asks_for_are_denied() {
    let changes: [fn(&mut Asked, &mut Request); 8] = [
        |_, it| it.organizations.push("system:masters".into()),
        |_, it| it.organizations.clear(),
        |_, it| it.common_names = vec!["system:node:".into()],
        |_, it| it.common_names = vec!["system:node:../x".into()],
        |_, it| it.common_names.push("admin".into()),
        |_, it| it.dns.push("api.example".into()),
        |it, _| it.usages.push("server auth".into()),
        |it, _| it.usages.retain(|usage| usage != "client auth"),
    ];
    for change in changes {
        let (mut asked, mut request) = (asked(), request());
        change(&mut asked, &mut request);
        let denied = decide(&asked, &request, &[ear()], &facts());
        assert_eq!(said(&denied), "kube.csr.malformed", "{request:?}");
    }
}

#[test]
fn a_serving_certificate_is_for_its_own_node_and_its_own_key_s_use() {
    let (mut asked, mut request) = (asked(), request());
    asked.signer = SERVING_SIGNER.into();
    asked.usages = vec!["digital signature".into(), "server auth".into()];
    asked.user = "system:node:worker-1".into();
    request.dns = vec!["worker-1".into()];
    let live = Facts {
        name_lives: true,
        ..facts()
    };
    assert_eq!(
        said(&decide(&asked, &request, &[ear()], &live)),
        "kube.csr.role"
    );
    let mut serving = ear();
    serving.confirmation_role = Some(Role::KubeletServing);
    let results = [serving];
    assert_eq!(said(&decide(&asked, &request, &results, &live)), "approve");
    request.dns = vec!["api.example".into()];
    assert_eq!(
        said(&decide(&asked, &request, &results, &live)),
        "kube.csr.malformed"
    );
    request.dns = vec!["worker-1".into()];
    asked.user = "system:bootstrap:abcdef".into();
    assert_eq!(
        said(&decide(&asked, &request, &results, &live)),
        "kube.csr.node"
    );
}

#[test]
fn only_a_bootstrap_group_that_the_controller_names_needs_no_evidence() {
    let plain = "system:bootstrappers:plain";
    let exempting = Facts {
        exempt: vec![plain.into()],
        ..facts()
    };
    let said = |asked: &Asked, results: &[Ear], facts: &Facts| {
        said(&decide(asked, &request(), results, facts)).to_owned()
    };
    let mut newcomer = asked();
    assert_eq!(said(&newcomer, &[], &exempting), "kube.csr.key");
    newcomer.groups.push(plain.into());
    assert_eq!(said(&newcomer, &[], &facts()), "kube.csr.key");
    assert_eq!(said(&newcomer, &[], &exempting), "exempt");
    // Evidence counts where there is some, for good and for bad.
    assert_eq!(said(&newcomer, &[ear()], &exempting), "approve");
    let mut bad = ear();
    bad.tenant = Name::parse("other").unwrap();
    assert_eq!(said(&newcomer, &[bad], &exempting), "kube.csr.policy");
    for (facts, check) in [
        (
            Facts {
                attested_before: true,
                ..exempting.clone()
            },
            "kube.node.name-taken",
        ),
        (
            Facts {
                name_lives: true,
                ..exempting.clone()
            },
            "kube.node.name-taken",
        ),
        (
            Facts {
                control_plane: true,
                ..exempting.clone()
            },
            "kube.node.enrolment",
        ),
    ] {
        assert_eq!(said(&newcomer, &[], &facts), check);
    }
}

#[test]
fn a_node_that_renews_without_evidence_must_have_joined_so() {
    let plain = "system:bootstrappers:plain";
    let mut renewal = asked();
    renewal.user = "system:node:worker-1".into();
    // What a node says of its groups is not asked.
    renewal.groups = vec!["system:nodes".into(), plain.into()];
    let exempting = Facts {
        exempt: vec![plain.into()],
        ..facts()
    };
    assert_eq!(
        said(&decide(&renewal, &request(), &[], &exempting)),
        "kube.csr.key"
    );
    let mut joined = exempting.clone();
    joined.exempted_by = Some(plain.into());
    assert_eq!(said(&decide(&renewal, &request(), &[], &joined)), "exempt");
    // A group that is no longer exempt renews nobody.
    joined.exempt = vec!["system:bootstrappers:windows".into()];
    assert_eq!(
        said(&decide(&renewal, &request(), &[], &joined)),
        "kube.csr.key"
    );
    // Nobody shows a serving certificate without evidence.
    joined.exempt = vec![plain.into()];
    renewal.signer = SERVING_SIGNER.into();
    renewal.usages = vec!["digital signature".into(), "server auth".into()];
    let mut serving = request();
    serving.dns = vec!["worker-1".into()];
    assert_eq!(
        said(&decide(&renewal, &serving, &[], &joined)),
        "kube.csr.key"
    );
}

#[test]
fn a_key_that_is_declared_compromised_is_not_renewed_whatever_it_shows() {
    let facts = Facts {
        compromised: true,
        refuses: false,
        ..facts()
    };
    let mut renewal = asked();
    renewal.user = "system:node:worker-1".into();
    for asked in [asked(), renewal] {
        let denied = decide(&asked, &request(), &[ear()], &facts);
        assert!(matches!(&denied, Decision::Deny(it) if it.check == "kube.node.failed"));
    }
}
