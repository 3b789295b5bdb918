//! Quotes of TPMs: whose roots count for which tenant, and the way from a bundle's members to what
//! is proven.
//!
//! A key is believed because the owners' registry names it, or because a maker or cloud certified
//! it; never because it was seen before, or because it was activated and nobody approved it.

use zeuge_appraise::tpm::OwnRoot;
use zeuge_evidence::Malformed;
use zeuge_evidence::tpm::{ClockInfo, Public, QuoteBundle};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::Anchors;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::tpm::{
    AkTrust, Context, Demand, Nonce, Selection, TpmRoots, claimed_key, qualifying_data, verify,
};

use crate::appraisal::{Asked, Evidence, Judge, Proven, SIM_TENANT};
use crate::refusal::Refusal;

/// Whose clock it is. The owner's name for the TPM is part of it: a TPM that was cleared counts
/// from zero again, and counts as new once its owner gave the entry another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockOf {
    /// The tenant.
    pub tenant: String,
    /// The registry's name for the TPM; empty where it has none.
    pub machine: String,
    /// SHA-256 of the AK's public key.
    pub ak: [u8; 32],
}

/// Where a TPM stood when it was last believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Whose.
    pub of: ClockOf,
    /// The stand.
    pub clock: ClockInfo,
}

/// What is held of the clocks of TPMs; durable, so that a TPM which is set back with its machine
/// (a snapshot) is seen after a restart of the witness too. Written by the transaction of the
/// decision, which never lets a stand go back.
pub trait Clocks: Send + Sync {
    /// The latest stand of this TPM.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn clock(&self, of: &ClockOf) -> Result<Option<ClockInfo>, Refusal>;
}

/// The roots of makers of TPMs, by tenant.
#[derive(Debug)]
pub struct Makers {
    makers: TpmRoots,
    /// Of the toy, for the tenant `sim`.
    sim: Option<TpmRoots>,
}

impl Makers {
    /// The shipped roots and these; a toy's roots count for the tenant `sim` alone.
    ///
    /// # Errors
    /// `x509.certificate` for a root that is none, or more than a fleet needs.
    pub fn new(own: &[OwnRoot], sim: Option<&Anchors>) -> Result<Self, Malformed> {
        let mut makers = TpmRoots::shipped();
        for root in own {
            root.add_to(&mut makers)?;
        }
        Ok(Self {
            makers,
            sim: sim.map(TpmRoots::of),
        })
    }

    pub(crate) fn roots(&self, tenant: &str) -> &TpmRoots {
        match &self.sim {
            Some(sim) if tenant == SIM_TENANT => sim,
            _ => &self.makers,
        }
    }
}

/// The quote of a bundle with the logs that are members of their own.
pub(crate) fn quoted(bundle: &Bundle) -> Result<QuoteBundle, Refusal> {
    let refuse = |because: &str| Refusal::new("bundle.evidence", 403, because);
    let file = bundle
        .only(Media::TpmQuote)
        .ok_or_else(|| refuse("a bundle holds one TPM quote at most"))?;
    let mut quotes = QuoteBundle::read(file).map_err(zeuge_verify::Error::from)?;
    let (Some(mut quote), true) = (quotes.pop(), quotes.is_empty()) else {
        return Err(refuse("the member with the TPM quote holds several"));
    };
    for (media, place) in [
        (Media::TcgEventLog, &mut quote.eventlog),
        (Media::ImaList, &mut quote.ima),
    ] {
        let mut members = bundle.members().values();
        if !members.any(|member| member.media == media) {
            continue;
        }
        let log = bundle
            .only(media)
            .ok_or_else(|| refuse("a bundle holds one log of a kind at most"))?;
        if place.replace(log.to_vec()).is_some() {
            return Err(refuse("a log stands in the quote and beside it"));
        }
    }
    Ok(quote)
}

/// The TPM names of the keys whose quotes are in a bundle, as its binding must list them.
///
/// # Errors
/// `tpm.bundle`, `tpm.public`; `bundle.evidence` for several quotes or logs of a kind.
pub(crate) fn attestation_keys(bundle: &Bundle) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut members = bundle.members().values();
    if !members.any(|member| member.media == Media::TpmQuote) {
        return Ok(Vec::new());
    }
    let Some(public) = quoted(bundle)?.ak_public else {
        return Ok(Vec::new());
    };
    let public = Public::parse(&public).map_err(zeuge_verify::Error::from)?;
    Ok(public.name().into_iter().collect())
}

impl Judge {
    /// Verifies the one quote of a TPM.
    pub(crate) fn tpm(&self, bundle: &Bundle, asked: &Asked<'_>) -> Result<Proven, Refusal> {
        let quote = quoted(bundle)?;
        let wishes = asked
            .wishes
            .ok_or_else(|| Refusal::store(&"a quote was judged without its owner's documents"))?;
        let policy = &wishes.policy.tpm;
        let registry = wishes.hardware.as_ref();
        let key = claimed_key(&quote)?;
        let name = registry.and_then(|it| it.name_of_ak(key.name.as_deref(), &key.key_sha256()));
        let of = ClockOf {
            tenant: asked.tenant.to_owned(),
            machine: name.unwrap_or_default().to_owned(),
            ak: key.key_sha256(),
        };
        let enrolled = registry.map_or_else(Vec::new, zeuge_appraise::HardwareRegistry::aks);
        let trust = AkTrust {
            activation: None,
            enrolled: &enrolled,
            dangerous_unproven: policy.dangerous_allow_unproven_ak.as_deref(),
        };
        let (nonce, signers) = (qualifying_data(&asked.report_data), policy.ima_signers());
        let demand = Demand {
            nonce: Nonce::Exact(&nonce),
            // The machine chooses, the policy says what must be among it: what was not quoted has
            // no value here.
            selection: Selection::AsQuoted {
                because: "the policy demands no PCRs ([tpm] pcrs)",
            },
            previous: None,
            held: asked.clocks.clock(&of)?,
            replayed: Demand::BOOT,
            ima_signers: &signers,
            dangerous_sha1_bank: policy.dangerous_allow_sha1_bank.as_deref(),
        };
        let endorsements = self.at_hand();
        let context = Context {
            endorsements: &endorsements,
            roots: self.tpm_makers.roots(asked.tenant),
            at: asked.at,
            crypto: &AWS_LC,
        };
        let verified = verify(&quote, &demand, trust, context)?;
        let clock = verified.fact().clock;
        Ok(Proven {
            evidence: Evidence::Tpm(Box::new(verified)),
            stand: Some(Stand { of, clock }),
            seen: None,
            ahead: None,
            // Certificates of the key come in the quote itself.
            endorsements: Vec::new(),
            epoch: Some(wishes.epoch),
        })
    }
}
