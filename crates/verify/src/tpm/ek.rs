//! Endorsement keys: the certificate that a TPM's maker gave it.
//!
//! Never says anything about an AK: an EK certificate beside a quote proves nothing until the AK
//! is bound to it (see [`super::credential`]).

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    tpm::{EkIdentity, certificate_in},
    x509::Certificate,
};

use super::{
    Broken,
    chain::{self, Context, Fault, Revocation},
    key::AttestationKey,
};
use crate::{Error, Trail, Unavailable, Verified, anchors::Root, x509::KeyKind};

/// A TPM as its maker certified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkFacts {
    /// The root that the chain ends in: maker, jurisdiction, fingerprint, toy or not.
    pub root: Root,
    /// Authorities between root and EK.
    pub issuers: usize,
    /// Whether the issuers on the way were asked about withdrawals.
    pub revocation: Revocation,
    /// What the certificate says about the chip.
    pub identity: EkIdentity,
    /// SHA-256 of the certificate.
    pub certificate: [u8; 32],
    /// The certified key.
    pub key: AttestationKey,
}

/// Verifies a file that holds an EK certificate (DER, PEM, an NV area, the wrapping of TPM 1.2).
///
/// # Errors
/// `tpm.ek.format`, `x509.certificate`, `tpm.ek.available`, `tpm.ek.chain`, `tpm.ek.validity`,
/// `tpm.ek.revoked`, `tpm.ek.key`; the first that fails.
pub fn verify_ek(file: &[u8], context: Context<'_>) -> Result<Verified<EkFacts>, Error> {
    let der = certificate_in(file)?;
    let certificate = Certificate::parse(&der)?;
    let mut trail = Trail::new();
    let found = chain::path(&certificate, &[], context);
    trail.check("tpm.ek.available", || match &found {
        Err(Fault::Missing { issuer }) => Err(Unavailable {
            check: "tpm.ek.available",
            what: format!("the certificate of the EK's issuer {issuer:?}"),
            remedy: "the maker publishes it beside its root",
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ek.chain", || match &found {
        Err(Fault::NoWay { last }) => Err(Broken::EkChain {
            found: format!("the chain ends at {last}"),
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ek.validity", || match &found {
        Err(Fault::Expired { which }) => Err(Broken::EkValidity {
            found: which.clone(),
            wanted: context.at.to_string(),
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ek.revoked", || match &found {
        Err(Fault::Revoked { which }) => Err(Broken::EkRevoked {
            found: which.clone(),
        }
        .into()),
        _ => Ok(()),
    })?;
    // The checks above have refused it already.
    let path = found.map_err(|_| Broken::EkKey {
        found: "no chain".to_owned(),
        wanted: "a chain".to_owned(),
    })?;
    let key = AttestationKey::of_certificate(&certificate)?;
    trail.check("tpm.ek.key", || is_ek(&certificate, &key))?;
    let facts = EkFacts {
        root: path.root.root.clone(),
        issuers: path.issuers,
        revocation: path.revocation,
        identity: EkIdentity::of(&certificate)?,
        certificate: sha256(&der),
        key,
    };
    Ok(Verified::assertion(facts, trail))
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

// spec: tpm.ek.usage
/// An EK decrypts. Usages do not decide alone: real EK certificates may lack the TCG's extended
/// usage, so the key usage tells an EK from an AK where it is present.
fn is_ek(certificate: &Certificate<'_>, key: &AttestationKey) -> Result<(), Error> {
    let wanted = "a certified key for decrypting, RSA of 2048 bits or more or P-256 or longer";
    let refuse = |found: String| {
        Err(Broken::EkKey {
            found,
            wanted: wanted.to_owned(),
        }
        .into())
    };
    if key.kind == KeyKind::Rsa && key.bits < 2048 {
        return refuse(format!("RSA of {} bits", key.bits));
    }
    if matches!(certificate.basic_constraints()?, Some(constraints) if constraints.authority) {
        return refuse("the certificate of an authority".to_owned());
    }
    // Bit 2 keyEncipherment, bit 4 keyAgreement.
    match certificate.key_usage()? {
        Some(usage) if usage.0 & 0b1_0100 == 0 => refuse("a key for signing".to_owned()),
        _ => Ok(()),
    }
}
