//! The endorsements that an accepted verification rested on, each a leaf when it is first seen: so
//! a maker that certified two things for one identity has said so in public (DESIGN §1).
//!
//! Only what counted is written, never what merely lay beside the evidence. Whom a statement is
//! about stands in its leaf as a salted commitment; nothing here names tenants or people.

use zeuge_log::leaf::Leaf;
use zeuge_verify::Endorsements;
use zeuge_verify::amd;
use zeuge_verify::anchors::fingerprint;
use zeuge_verify::dcap::{self, QuoteFacts};
use zeuge_verify::snp::{Signer, SnpFacts};
use zeuge_verify::tpm::{TpmFacts, TrustBasis};

use crate::refusal::Refusal;
use crate::sequencer::{NewLeaf, salted};

/// A statement of a maker that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// What it is, such as `vcek`.
    pub kind: &'static str,
    /// SHA-256 of the certificate or list; of the signed part of one of Intel's documents.
    pub fingerprint: [u8; 32],
    /// SHA-256 of the certificate that vouches for it: of its issuer, or for Intel's documents of
    /// the root.
    pub issuer: [u8; 32],
    /// Whom it is about: a chip, a product, a family of platforms.
    pub identity: Vec<u8>,
}

/// A leaf that is written unless this statement was seen before.
#[derive(Debug, Clone)]
pub struct FirstSeen {
    /// Names the statement.
    pub fingerprint: [u8; 32],
    /// Its leaf.
    pub leaf: NewLeaf,
}

/// The name of the key with which Intel signs documents, as it stands in its certificate; no fact
/// of a quote names that certificate.
const DOCUMENT_SIGNER: &[u8] = b"SGX TCB Signing";
/// Certificates of that key that are kept: one, or two while Intel changes it.
const SIGNERS_MAX: usize = 4;

/// Of what was at hand, the certificates and lists that counted, for the archive: with them, the
/// evidence and Intel's documents the same comes out again.
pub(crate) fn kept(heap: &Endorsements, counted: &[Counted]) -> Vec<Vec<u8>> {
    let is_counted = |bytes: &[u8]| {
        let fingerprint = fingerprint(bytes);
        counted.iter().any(|one| one.fingerprint == fingerprint)
    };
    let held = heap.certificates.iter().chain(&heap.revocation_lists);
    let held = held.filter(|held| is_counted(&held.bytes));
    let mut kept: Vec<_> = held.map(|held| held.bytes.clone()).collect();
    if counted.iter().any(|one| one.kind == "tcb-info") {
        let signs = |bytes: &[u8]| {
            let mut parts = bytes.windows(DOCUMENT_SIGNER.len());
            parts.any(|part| part == DOCUMENT_SIGNER)
        };
        let signers = heap.certificates.iter().filter(|held| signs(&held.bytes));
        kept.extend(signers.take(SIGNERS_MAX).map(|held| held.bytes.clone()));
    }
    kept
}

impl Counted {
    /// Its leaf, under a fresh salt.
    ///
    /// # Errors
    /// `log.leaf`, which cannot happen for the kinds of this file.
    pub fn first_seen(self) -> Result<FirstSeen, Refusal> {
        let opening = salted("identity", &self.identity);
        let leaf = Leaf::EndorsementSeen {
            kind: self.kind.to_owned(),
            fingerprint: self.fingerprint,
            issuer: self.issuer,
            identity: opening.commit(),
        };
        Ok(FirstSeen {
            fingerprint: self.fingerprint,
            leaf: NewLeaf::new(leaf, vec![opening])?,
        })
    }
}

/// What a TPM's quote rested on: the certificate of its AK, where one counted. An AK that the owners'
/// registry names rests on their word, whose leaf is the document's.
#[must_use]
pub fn of_tpm(facts: &TpmFacts) -> Vec<Counted> {
    let (TrustBasis::Certified(certified) | TrustBasis::Activated(certified)) = &facts.trust else {
        return Vec::new();
    };
    vec![Counted {
        kind: "tpm-ak",
        fingerprint: certified.certificate,
        issuer: certified.root.fingerprint,
        identity: facts.ak_key.to_vec(),
    }]
}

/// What an SNP report rested on: leaf, intermediate, and the list of the root.
#[must_use]
pub fn of_snp(facts: &SnpFacts) -> Vec<Counted> {
    let root = facts.root.fingerprint;
    let product = facts.product.name().as_bytes().to_vec();
    let (leaf, intermediate, identity) = match &facts.signer {
        Signer::Vcek { chip_id } => ("vcek", "ask", chip_id.to_vec()),
        Signer::Vlek { csp_id } => ("vlek", "asvk", csp_id.as_bytes().to_vec()),
    };
    let mut counted = vec![
        Counted {
            kind: leaf,
            fingerprint: facts.leaf_fingerprint,
            issuer: facts.intermediate_fingerprint,
            identity,
        },
        Counted {
            kind: intermediate,
            fingerprint: facts.intermediate_fingerprint,
            issuer: root,
            identity: product.clone(),
        },
    ];
    if let amd::Revocation::Checked { fingerprint, .. } = &facts.revocation {
        counted.push(Counted {
            kind: "amd-crl",
            fingerprint: *fingerprint,
            issuer: root,
            identity: product,
        });
    }
    counted
}

/// What a quote rested on: PCK certificate, its issuer, both lists, both documents.
#[must_use]
pub fn of_quote(facts: &QuoteFacts) -> Vec<Counted> {
    let (root, issuer) = (facts.root.fingerprint, facts.pck_issuer_fingerprint);
    let family = facts.platform.fmspc.to_vec();
    let authority = facts.pck_issuer.as_bytes().to_vec();
    let one = |kind, fingerprint, issuer, identity: &Vec<u8>| Counted {
        kind,
        fingerprint,
        issuer,
        identity: identity.clone(),
    };
    let chip = facts.platform.ppid.to_vec();
    let mut counted = vec![
        one("pck", facts.pck_fingerprint, issuer, &chip),
        one("pck-ca", issuer, root, &authority),
        one("tcb-info", facts.tcb_info.fingerprint, root, &family),
        one(
            "qe-identity",
            facts.qe_identity.fingerprint,
            root,
            &authority,
        ),
    ];
    for (kind, list, by) in [
        ("intel-root-crl", &facts.root_revocation, root),
        ("intel-pck-crl", &facts.pck_revocation, issuer),
    ] {
        if let dcap::Revocation::Checked { fingerprint, .. } = list {
            counted.push(one(kind, *fingerprint, by, &authority));
        }
    }
    counted
}
