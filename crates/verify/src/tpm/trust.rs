//! Why an AK is believed to live in a genuine TPM.
//!
//! Three reasons, each written down in the facts; without one the verdict is `tpm.ak.trust` (or
//! `tpm.ak.proof`, where nobody brought any), and only an option that names its danger goes on without. Never trusts a key because it was seen
//! before.

use zeuge_evidence::{
    tpm::{EkIdentity, certificate_in},
    x509::Certificate,
};

use super::{
    Broken,
    chain::{self, Context, Fault},
    credential::Activation,
    ek::EkFacts,
    key::AttestationKey,
};
use crate::{Error, Trail, Unavailable, Verified};

/// An AK that the owner's signed documents name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolledAk {
    /// By its TPM name.
    Name(Vec<u8>),
    /// By SHA-256 of its public key ([`AttestationKey::key_sha256`]), for evidence that carries
    /// no `TPMT_PUBLIC`. The owner then vouches for its attributes too.
    Key([u8; 32]),
}

/// The reasons that the caller holds. A certificate of the AK comes with the bundle.
#[derive(Debug, Clone, Copy, Default)]
pub struct AkTrust<'a> {
    /// A credential that this TPM opened for the AK.
    pub activation: Option<&'a Activation>,
    /// AKs that the owner enrolled.
    pub enrolled: &'a [EnrolledAk],
    /// Goes on without any reason, for the one that somebody wrote here. It shows in every
    /// verdict.
    pub dangerous_unproven: Option<&'a str>,
}

/// The reason that held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustBasis {
    /// The TPM with this EK opened a credential for the AK.
    Activated(Box<EkFacts>),
    /// A maker, or a cloud for its own vTPM, certified the AK.
    Certified(Box<EkFacts>),
    /// A report of the CPU commits to the AK: it was made inside the measured part of the machine.
    CommittedByReport,
    /// The owner's signed documents name the AK, by this entry.
    EnrolledByOwner(EnrolledAk),
    /// No reason: whoever made this key made this quote.
    DangerousUnproven {
        /// Why somebody went on.
        because: String,
    },
}

impl TrustBasis {
    /// Whether the reason covers the key's name, and with it its attributes. A certificate, or an
    /// enrolment by the bare key, covers the key alone: attributes beside it are only claimed.
    #[must_use]
    pub const fn covers_name(&self) -> bool {
        matches!(
            self,
            Self::Activated(_) | Self::EnrolledByOwner(EnrolledAk::Name(_))
        )
    }
}

// spec: tpm.ak.trust
pub(super) fn basis(
    key: &AttestationKey,
    certificate: Option<&[u8]>,
    extra: &[Vec<u8>],
    trust: AkTrust<'_>,
    context: Context<'_>,
    trail: &mut Trail,
) -> Result<TrustBasis, Error> {
    let activated = trust
        .activation
        .filter(|activation| Some(activation.ak_name()) == key.name.as_deref());
    let enrolled = trust.enrolled.iter().find(|enrolled| match enrolled {
        EnrolledAk::Name(name) => Some(name) == key.name.as_ref(),
        EnrolledAk::Key(digest) => *digest == key.key_sha256(),
    });
    let basis = if let Some(activation) = activated {
        Some(TrustBasis::Activated(Box::new(activation.ek().clone())))
    } else if let Some(enrolled) = enrolled {
        Some(TrustBasis::EnrolledByOwner(enrolled.clone()))
    } else if let Some(certificate) = certificate {
        let verified = certified(key, certificate, extra, context)?;
        trail.extend(verified.trail().clone());
        Some(TrustBasis::Certified(Box::new(verified.fact().clone())))
    } else {
        trust
            .dangerous_unproven
            .map(|because| TrustBasis::DangerousUnproven {
                because: because.to_owned(),
            })
    };
    // Nobody vouches for or against this key: something is missing, and nothing is wrong yet.
    let no_reason = trust.activation.is_none() && trust.enrolled.is_empty();
    trail.check("tpm.ak.proof", || match &basis {
        None if no_reason => Err(Unavailable {
            check: "tpm.ak.proof",
            what: format!(
                "a proof that the AK ({}) lives in a genuine TPM",
                key.text()
            ),
            remedy: "send the AK's certificate, enrol it by activation, or name it in the \
                     owner's registry",
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ak.trust", || match &basis {
        Some(_) => Ok(()),
        None => Err(Broken::AkNotTrusted { found: key.text() }.into()),
    })?;
    // The checks above have refused it already.
    basis.ok_or_else(|| {
        let found = "no chain".to_owned();
        Broken::AkChain { found }.into()
    })
}

/// Verifies a certificate of an AK (IAK, Google, Azure) for this key, through endorsements.
///
/// # Errors
/// `tpm.ek.format`, `x509.certificate`, `tpm.ak.certificate`, `tpm.ak.issuer`, `tpm.ak.chain`,
/// `tpm.ak.validity`; the first that fails.
pub fn verify_ak_certificate(
    key: &AttestationKey,
    file: &[u8],
    context: Context<'_>,
) -> Result<Verified<EkFacts>, Error> {
    certified(key, file, &[], context)
}

fn certified(
    key: &AttestationKey,
    file: &[u8],
    extra: &[Vec<u8>],
    context: Context<'_>,
) -> Result<Verified<EkFacts>, Error> {
    let der = certificate_in(file)?;
    let certificate = Certificate::parse(&der)?;
    let identity = EkIdentity::of(&certificate)?;
    let mut trail = Trail::new();
    trail.check("tpm.ak.certificate", || {
        is_for(key, &certificate, &identity)
    })?;
    let found = chain::path(&certificate, extra, context);
    trail.check("tpm.ak.issuer", || match &found {
        Err(Fault::Missing { issuer }) => Err(Unavailable {
            check: "tpm.ak.issuer",
            what: format!("the certificate of the AK's issuer {issuer:?}"),
            remedy: "whoever issued the AK certificate publishes it",
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ak.chain", || match &found {
        Err(Fault::NoWay { last }) => Err(Broken::AkChain {
            found: format!("the chain ends at {last}"),
        }
        .into()),
        Err(Fault::Revoked { which }) => Err(Broken::AkChain {
            found: format!("withdrawn by its issuer: {which}"),
        }
        .into()),
        _ => Ok(()),
    })?;
    trail.check("tpm.ak.validity", || match &found {
        Err(Fault::Expired { which }) => Err(Broken::AkValidity {
            found: which.clone(),
            wanted: context.at.to_string(),
        }
        .into()),
        _ => Ok(()),
    })?;
    // The checks above have refused it already.
    let path = found.map_err(|_| Broken::AkCertificate {
        found: "no chain".to_owned(),
        wanted: "a chain".to_owned(),
    })?;
    let facts = EkFacts {
        root: path.root.root.clone(),
        issuers: path.issuers,
        revocation: path.revocation,
        identity,
        certificate: super::ek::sha256(&der),
        key: AttestationKey::of_certificate(&certificate)?,
    };
    Ok(Verified::assertion(facts, trail))
}

// spec: tpm.ak.certificate
/// Google's AK certificates carry no extended usage, Azure's carry 2.23.133.8.3: a certificate is
/// one for attesting when its key usage says "signs", or, without key usage, when the TCG's
/// extended usage says so.
fn is_for(
    key: &AttestationKey,
    certificate: &Certificate<'_>,
    identity: &EkIdentity,
) -> Result<(), Error> {
    let refuse = |found: &str, wanted: String| {
        Err(Broken::AkCertificate {
            found: found.to_owned(),
            wanted,
        }
        .into())
    };
    let certified = AttestationKey::of_certificate(certificate)?;
    if (certified.kind, &certified.key) != (key.kind, &key.key) {
        return refuse(&certified.text(), key.text());
    }
    if matches!(certificate.basic_constraints()?, Some(constraints) if constraints.authority) {
        return refuse("an authority", "a key that attests".to_owned());
    }
    let attests = match certificate.key_usage()? {
        Some(usage) => usage.digital_signature(),
        None => identity.usages.iter().any(|oid| oid == "2.23.133.8.3"),
    };
    if attests {
        Ok(())
    } else {
        refuse("a key for something else", "a key that attests".to_owned())
    }
}
