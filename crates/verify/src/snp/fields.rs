//! The fields of a report that say who signed it and what it can mean, before any certificate.
//!
//! Never looks at a wish: debug bits, floors and measurements belong to appraisal.

use zeuge_evidence::snp::{Claims, Cpuid, Product, SigningKey, TcbBytes};

use crate::{Error, Trail, amd::Broken};

/// VMPL of a report that the host asked for (SNP_HV_REPORT_REQ).
const VMPL_OF_HOST: u32 = u32::MAX;
const VMPL_MAX: u32 = 3;
/// ECDSA on P-384 with SHA-384, the only algorithm there is.
const ECDSA_P384_SHA384: u32 = 1;

/// Runs the checks on the report's own fields. Returns the product that the report names; `None`
/// for version 2, which names none.
pub(super) fn check(trail: &mut Trail, claims: &Claims) -> Result<Option<Product>, Error> {
    // spec: sev-snp.vmpl.host
    trail.check("snp.host-requested", || {
        refuse_if(claims.vmpl == VMPL_OF_HOST, || Broken::HostRequested)
    })?;
    // spec: sev-snp.vmpl.range
    trail.check("snp.vmpl.range", || {
        let found = claims.vmpl;
        refuse_if(found > VMPL_MAX, || Broken::VmplOutOfRange { found })
    })?;
    // spec: sev-snp.signature.algorithm
    trail.check("snp.signature-algorithm", || {
        let found = claims.signature_algo;
        let unknown = found != ECDSA_P384_SHA384;
        refuse_if(unknown, || Broken::SignatureAlgorithmUnknown { found })
    })?;
    key_info_checks(trail, claims)?;
    let known = |cpuid: &Cpuid| Product::from_cpuid(cpuid.family, cpuid.model);
    if let Some(cpuid) = &claims.cpuid {
        trail.check("snp.product", || {
            let (family, model) = (cpuid.family, cpuid.model);
            refuse_if(known(cpuid).is_none(), || Broken::ProductUnknown {
                found: format!(
                    "family {family:#04x} model {model:#04x} stepping {}",
                    cpuid.stepping
                ),
            })
        })?;
    }
    // spec: sev-snp.tcb.order
    trail.check("snp.tcb.order", || tcb_order(claims))?;
    Ok(claims.cpuid.as_ref().and_then(known))
}

fn key_info_checks(trail: &mut Trail, claims: &Claims) -> Result<(), Error> {
    let key_info = claims.key_info;
    // spec: sev-snp.key-info.reserved
    trail.check("snp.key-info.reserved", || {
        let found = key_info.0;
        refuse_if(key_info.reserved_bits() != 0, || Broken::KeyInfoReserved {
            found,
        })
    })?;
    // spec: sev-snp.key-info.masked
    trail.check("snp.key-info.masked", || {
        refuse_if(key_info.mask_chip_key(), || Broken::ChipKeyMasked)
    })?;
    // spec: sev-snp.key-info.signing-key
    trail.check("snp.key-info.signing-key", || {
        match key_info.signing_key() {
            SigningKey::Vcek | SigningKey::Vlek => Ok(()),
            SigningKey::Reserved(found) => Err(Broken::SigningKeyUnknown { found }.into()),
            SigningKey::None => Err(Broken::SigningKeyUnknown { found: 7 }.into()),
        }
    })
}

/// REPORTED_TCB ≤ COMMITTED_TCB ≤ CURRENT_TCB and LAUNCH_TCB ≤ CURRENT_TCB, component by
/// component. Every component is one byte in either layout, so the layout does not matter here;
/// comparing the eight bytes as one number would let a high one hide a low one.
fn tcb_order(claims: &Claims) -> Result<(), Error> {
    let reported = ("REPORTED_TCB", &claims.reported_tcb);
    let committed = ("COMMITTED_TCB", &claims.committed_tcb);
    let current = ("CURRENT_TCB", &claims.current_tcb);
    let launch = ("LAUNCH_TCB", &claims.launch_tcb);
    for (lower, upper) in [
        (reported, committed),
        (committed, current),
        (launch, current),
    ] {
        let exceeds = lower
            .1
            .0
            .iter()
            .zip(upper.1.0)
            // spec: sev-snp.tcb.component-wise
            .any(|(low, high)| *low > high);
        let text = |(name, tcb): (&str, &TcbBytes)| format!("{name} {}", hex::encode(tcb.0));
        refuse_if(exceeds, || Broken::TcbOrder {
            found: text(lower),
            wanted: format!("at most {}", text(upper)),
        })?;
    }
    Ok(())
}

fn refuse_if(broken: bool, rule: impl FnOnce() -> Broken) -> Result<(), Error> {
    if broken { Err(rule().into()) } else { Ok(()) }
}
