//! The keys of Intel's that sign documents: certificates named "TCB Signing" under the pinned root.

use zeuge_evidence::{UnixTime, x509::Certificate};

use super::{
    Broken, Context, Difference,
    chain::{Ground, is_named, name},
    lists,
};
use crate::{
    Error, Trail, Unavailable,
    x509::{is_valid_at, signed_by},
};

const SIGNER_NAME: &str = "SGX TCB Signing";

/// The keys that may sign TCB Info and QE Identity at the instant.
///
/// Intel renews the certificate of one key, so every certificate at hand is looked at, and one
/// that is in force now vouches for documents that were signed before it.
pub(crate) fn tcb_signers(
    trail: &mut Trail,
    context: &Context<'_>,
    ground: &Ground<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let root = &ground.root;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut good: Option<Trail> = None;
    let mut failures = Vec::new();
    for held in &context.heap.certificates {
        let Ok(candidate) = Certificate::parse(&held.bytes) else {
            continue;
        };
        if !is_named(&candidate, SIGNER_NAME) || candidate.issuer.raw != root.subject.raw {
            continue;
        }
        let mut own = Trail::new();
        match check_signer(&mut own, context, ground, &candidate) {
            Ok(()) => {
                good.get_or_insert(own);
                if !keys.iter().any(|key| key == candidate.public_key.key) {
                    keys.push(candidate.public_key.key.to_vec());
                }
            }
            Err(error) => failures.push(error),
        }
    }
    if let Some(own) = good {
        trail.extend(own);
        return Ok(keys);
    }
    // A certificate of Intel's that is out of its window is nearer than one of somebody else's.
    let nearest = failures
        .iter()
        .position(|error| error.check() != "dcap.tcb-signer.signature");
    if let Some(index) = nearest.or((!failures.is_empty()).then_some(0)) {
        return Err(failures.swap_remove(index));
    }
    // spec: dcap.tcb-signer.at-hand
    trail.check("dcap.tcb-signer.available", || {
        Err(no_signer("dcap.tcb-signer.available", context.at))
    })?;
    // Without the check above: nobody is known to have signed the documents.
    Err(Broken::TcbSignerSignatureBad(Difference::new("nobody", name(&root.subject))).into())
}

fn no_signer(check: &'static str, at: UnixTime) -> Error {
    Error::Unavailable(Unavailable {
        check,
        what: format!("a certificate of Intel's TCB signing key in force at {at}"),
        remedy: "it comes with every answer of Intel's provisioning certification service",
    })
}

fn check_signer(
    trail: &mut Trail,
    context: &Context<'_>,
    ground: &Ground<'_>,
    candidate: &Certificate<'_>,
) -> Result<(), Error> {
    // spec: dcap.tcb-signer.signature
    trail.check("dcap.tcb-signer.signature", || {
        signed_by(candidate, &ground.root.public_key, context.crypto).map_err(|_| {
            let difference = Difference::new(name(&candidate.subject), name(&ground.root.subject));
            Broken::TcbSignerSignatureBad(difference).into()
        })
    })?;
    // spec: dcap.tcb-signer.validity
    trail.check("dcap.tcb-signer.validity", || {
        if is_valid_at(candidate, context.at) {
            return Ok(());
        }
        Err(no_signer("dcap.tcb-signer.validity", context.at))
    })?;
    let signed = lists::signed(&ground.lists);
    // spec: dcap.tcb-signer.revoked
    trail.check("dcap.tcb-signer.revoked", || {
        lists::not_listed(&signed, candidate).map_err(|d| Broken::TcbSignerRevoked(d).into())
    })
}
