//! Verdicts as they travel: `zeuge.verdict.v1` and the EAR for relying parties.
//!
//! Adds what only the witness knows: that nobody outside holds a checkpoint of its log. Judges
//! nothing; a token never says more than its verdict.

use std::collections::BTreeMap;

use zeuge_appraise::{Knowledge, Verdict};
use zeuge_protocol::api;
use zeuge_protocol::binding::{Binding, Role};
use zeuge_protocol::ear::{self, Confirmation, Ear, Jwk, VerifierId};
use zeuge_protocol::name::Name;
use zeuge_protocol::request::{DAEMONSET, PLACEMENT};

use crate::refusal::Refusal;
use crate::witness::Witness;

/// What stands in every verdict of a witness whose log was compared with no checkpoint that is held
/// outside (DESIGN §5.6).
const ALONE: &str = "Nobody outside this witness holds a checkpoint of its log: if its data \
                     folder were replaced by an older one, nothing here would show it.";

/// What stands in a verdict whose request says that its agent runs in a pod of a DaemonSet. Who does
/// not say so gains nothing: without a kubelet's key no result counts for a node.
const IN_A_POD: &str = "That this machine is the Kubernetes node of that name, or what ran before the \
                        agent: it runs in a pod that the kubelet started, inside of what the API server \
                        controls, and no key of the kubelet was shown.";

/// What a token needs beside the verdict.
pub(crate) struct Session<'a> {
    pub(crate) witness: &'a Witness,
    pub(crate) binding: &'a Binding,
    pub(crate) audience: &'a str,
    pub(crate) context: &'a BTreeMap<String, String>,
    pub(crate) tenant: &'a Name,
    pub(crate) nonce: &'a [u8; 32],
    pub(crate) policy_digest: [u8; 32],
    pub(crate) now: i64,
}

/// The verdict as `zeuge.verdict.v1`, with both lists of its assessment empty: [`crate::told`] puts
/// them in.
#[must_use]
pub fn verdict(
    witness: &Witness,
    verdict: &Verdict,
    knowledge: &Knowledge,
    context: &BTreeMap<String, String>,
) -> api::Verdict {
    let mut out = zeuge_report::verdict_alone(verdict, None, knowledge);
    if !witness.is_compared {
        out.not_proved.push(ALONE.to_owned());
    }
    if context.get(PLACEMENT).is_some_and(|it| it == DAEMONSET) {
        out.not_proved.push(IN_A_POD.to_owned());
    }
    out
}

/// In which form the Attestation Result is wanted (by `Accept`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a JWT inside the signed answer, beside verdict and receipt.
    Answer,
    /// The same, with the digest of the assessment in its place.
    Minimal,
    /// The JWT alone.
    Jwt,
    /// The CWT alone.
    Cwt,
}

/// The Attestation Result, where the request names an audience.
pub(crate) fn token(session: &Session<'_>, verdict: &Verdict, receipt: &str) -> Option<Ear> {
    if session.audience.is_empty() {
        return None;
    }
    let roles = [
        Role::Tls,
        Role::Workload,
        Role::KubeletServing,
        Role::KubeletClient,
    ];
    let confirmation = roles
        .into_iter()
        .find_map(|role| Some((role, Jwk::from_bound(session.binding.key(role)?)?)));
    let policy = format!("sha256:{}", hex::encode(session.policy_digest));
    let device = zeuge_report::appraisal(verdict, vec![policy]);
    Some(Ear {
        profile: ear::PROFILE.to_owned(),
        issuer: session.witness.issuer(),
        audience: session.audience.to_owned(),
        issued: session.now,
        expires: session.now.saturating_add(ear::LIFETIME_SECS_MAX),
        nonce: Some(zeuge_protocol::text::base64url(session.nonce)),
        verifier_id: VerifierId {
            developer: "tag:zeuge.invalid,2026".to_owned(),
            build: concat!("zeuged ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        confirmation_role: confirmation.as_ref().map(|(role, _)| *role),
        confirmation: confirmation.map(|(_, jwk)| Confirmation { jwk }),
        context: session.context.clone(),
        tenant: session.tenant.clone(),
        policy_digest: session.policy_digest,
        knowledge_version: verdict.knowledge.version,
        receipt: Some(receipt.to_owned()),
        submods: BTreeMap::from([(verdict.kind.word().to_owned(), device)]),
    })
}

/// Signs an Attestation Result as it is wanted: text of a JWT, bytes of a CWT.
///
/// # Errors
/// `token.malformed`, `token.status` when the claims contradict themselves.
pub(crate) fn sign(witness: &Witness, ear: &Ear, form: Form) -> Result<Vec<u8>, Refusal> {
    let key = witness.keys.ear.first();
    let key = key.ok_or_else(|| Refusal::store(&"there is no EAR key"))?;
    Ok(match form {
        Form::Cwt => ear::cwt::sign(ear, key)?,
        Form::Answer | Form::Minimal | Form::Jwt => ear::jwt::sign(ear, key)?.into_bytes(),
    })
}
