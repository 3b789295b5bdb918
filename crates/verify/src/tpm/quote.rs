//! The quote itself, from signature to logs, in one order.
//!
//! The signature is checked over the received bytes. The selection must be the one that was asked
//! for: a digest over other PCRs could be relabelled. Values count only when they hash to the
//! signed digest, logs only when they replay to those values.

use std::collections::BTreeMap;

use zeuge_evidence::{
    eventlog::facts::BootFacts,
    tpm::{
        Attest, Body, ClockInfo, HashAlgorithm, ObjectAttributes, PcrSelection, PcrSet,
        QuoteBundle, Signature, TAG_QUOTE, TPM_GENERATED_VALUE,
    },
};

use super::{
    Broken,
    chain::Context,
    key::AttestationKey,
    replay::{self, ImaFacts, PcrEvent},
    trust::{self, AkTrust, TrustBasis},
};
use crate::{Error, Trail, Unavailable, Verified, crypto::CryptoProvider, x509::KeyKind};

/// What the qualifying data must be.
#[derive(Debug, Clone, Copy)]
pub enum Nonce<'a> {
    /// Exactly these bytes, never padded or cut.
    Exact(&'a [u8]),
    /// Anything, for a reason that somebody wrote down.
    Unbound {
        /// Why no nonce is demanded.
        because: &'a str,
    },
}

/// Which PCRs must have been quoted.
#[derive(Debug, Clone, Copy)]
pub enum Selection<'a> {
    /// Exactly these, in any order of banks.
    Exactly(&'a [PcrSelection]),
    /// Whatever was quoted, for a reason that somebody wrote down.
    AsQuoted {
        /// Why no selection is demanded.
        because: &'a str,
    },
}

/// What the caller asked for.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The qualifying data.
    pub nonce: Nonce<'a>,
    /// The PCRs.
    pub selection: Selection<'a>,
    /// Clock and counters of the last quote of this session: the TPM must not have been reset
    /// since.
    pub previous: Option<ClockInfo>,
    /// The latest clock and counters ever seen of this key: a reset since is fine, an earlier
    /// stand is not.
    pub held: Option<ClockInfo>,
    /// PCRs that the boot log must explain, where they were quoted.
    pub replayed: PcrSet,
    /// Keys whose signatures on files of the IMA list count; which one signed is a fact.
    pub ima_signers: &'a [AttestationKey],
    /// Accepts a SHA-1 bank, for a reason that somebody wrote down.
    pub dangerous_sha1_bank: Option<&'a str>,
}

impl Demand<'_> {
    /// The PCRs that firmware, loaders and stub extend, and nobody after them: 0 to 9, 12 to 14.
    /// The kernel and systemd extend 10, 11 and 15 while the machine runs.
    pub const BOOT: PcrSet = PcrSet(0b0111_0011_1111_1111);
}

/// What a verified quote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmFacts {
    /// The AK's TPM name, where the trust in it covers the name.
    pub ak_name: Option<Vec<u8>>,
    /// SHA-256 of the AK's public key.
    pub ak_key: [u8; 32],
    /// The AK's attributes, covered by its name; `None` where only its certifier or the owner
    /// vouches for them.
    pub ak_attributes: Option<ObjectAttributes>,
    /// Why the AK is believed.
    pub trust: TrustBasis,
    /// The qualifying data, as signed.
    pub nonce: Vec<u8>,
    /// Why no nonce was demanded; `None` when it was.
    pub unbound: Option<String>,
    /// Clock and counters.
    pub clock: ClockInfo,
    /// The TPM's firmware version.
    pub firmware_version: u64,
    /// Why no selection was demanded; `None` when one was.
    pub unasked: Option<String>,
    /// Why SHA-1 was accepted; `None` where no such bank was quoted.
    pub dangerous_sha1_bank: Option<String>,
    /// The signed PCR values, per bank.
    pub pcrs: BTreeMap<HashAlgorithm, BTreeMap<u32, Vec<u8>>>,
    /// What the boot log says; `None` without a log.
    pub boot: Option<BootFacts>,
    /// The signed PCRs that the boot log explains. Records of other registers prove nothing.
    pub explained: PcrSet,
    /// The records of those PCRs, in order.
    pub events: Vec<PcrEvent>,
    /// What the IMA list says; `None` without a list.
    pub ima: Option<ImaFacts>,
}

/// The qualifying data that stands for a binding: SHA-256 of its 64 bytes (DESIGN §5.3).
#[must_use]
pub fn qualifying_data(binding: &[u8; 64]) -> [u8; 32] {
    super::ek::sha256(binding)
}

/// Checks only that the key signed these bytes. It says nothing about the key, the nonce or the
/// values: use [`verify`] for belief.
///
/// # Errors
/// `tpm.signature-format`, `tpm.quote.signature`.
pub fn check_quote_signature(
    attest: &[u8],
    signature: &[u8],
    key: &AttestationKey,
    crypto: &CryptoProvider,
) -> Result<(), Error> {
    key.verify(attest, &Signature::parse_any(signature)?, crypto)
}

/// Verifies one quote with what came along.
///
/// # Errors
/// The first check that fails, in the order: form of the parts, `tpm.quote.available`, `tpm.ak.available`, `tpm.ak.key`,
/// `tpm.ak.attributes`, `tpm.quote.signature`, `tpm.quote.magic`, `tpm.quote.type`,
/// `tpm.quote.nonce`, `tpm.quote.selection`, `tpm.quote.bank`, `tpm.quote.pcr-digest`,
/// `tpm.quote.reset`, `tpm.quote.clock`, trust in the AK, `tpm.eventlog.replay`,
/// `tpm.ima.replay`.
pub fn verify(
    bundle: &QuoteBundle,
    demand: &Demand<'_>,
    ak_trust: AkTrust<'_>,
    context: Context<'_>,
) -> Result<Verified<TpmFacts>, Error> {
    let key = |trail: &mut Trail| attestation_key(bundle, trail);
    proven(bundle, demand, context, key, |key, trail| {
        trust::basis(
            key,
            bundle.ak_certificate.as_deref(),
            &bundle.certificates,
            ak_trust,
            context,
            trail,
        )
    })
}

/// As [`verify`], by a key to which a proven report of the CPU commits.
pub(crate) fn verify_committed(
    bundle: &QuoteBundle,
    demand: &Demand<'_>,
    key: &AttestationKey,
    context: Context<'_>,
) -> Result<Verified<TpmFacts>, Error> {
    let key = |trail: &mut Trail| {
        may_attest(key, trail)?;
        Ok(key.clone())
    };
    proven(bundle, demand, context, key, |_, _| {
        Ok(TrustBasis::CommittedByReport)
    })
}

/// Everything but where the key comes from and why it is believed.
fn proven(
    bundle: &QuoteBundle,
    demand: &Demand<'_>,
    context: Context<'_>,
    key: impl FnOnce(&mut Trail) -> Result<AttestationKey, Error>,
    basis: impl FnOnce(&AttestationKey, &mut Trail) -> Result<TrustBasis, Error>,
) -> Result<Verified<TpmFacts>, Error> {
    let mut trail = Trail::new();
    let attest = Attest::parse(&bundle.attest)?;
    trail.check("tpm.quote.available", || {
        if bundle.signature.is_empty() {
            return Err(Unavailable {
                check: "tpm.quote.available",
                what: "the TPM's signature over this statement".to_owned(),
                remedy: "TPM2_Quote returns it beside the statement: put both into one file",
            }
            .into());
        }
        Ok(())
    })?;
    let signature = Signature::parse_any(&bundle.signature)?;
    let key = key(&mut trail)?;
    // spec: tpm.signature.over-received
    trail.check("tpm.quote.signature", || {
        key.verify(attest.bytes, &signature, context.crypto)
    })?;
    statement(&attest, demand, &mut trail)?;
    let pcrs = values(&attest, &signature, bundle, demand, &mut trail)?;
    counters(attest.clock, demand, &mut trail)?;
    let trust = basis(&key, &mut trail)?;
    let boot = replay::boot(bundle, &pcrs, demand.replayed, &mut trail)?;
    let ima = replay::ima(bundle, &pcrs, &mut trail)?;
    let ima = ima.map(|ima| ima.with_signers(demand.ima_signers, context.crypto));
    let facts = TpmFacts {
        ak_key: key.key_sha256(),
        ak_attributes: key.attributes.filter(|_| trust.covers_name()),
        ak_name: key.name.clone().filter(|_| trust.covers_name()),
        trust,
        nonce: attest.extra_data.to_vec(),
        unbound: match demand.nonce {
            Nonce::Exact(_) => None,
            Nonce::Unbound { because } => Some(because.to_owned()),
        },
        clock: attest.clock,
        firmware_version: attest.firmware_version,
        unasked: match demand.selection {
            Selection::Exactly(_) => None,
            Selection::AsQuoted { because } => Some(because.to_owned()),
        },
        dangerous_sha1_bank: demand
            .dangerous_sha1_bank
            .filter(|_| pcrs.contains_key(&HashAlgorithm::SHA1))
            .map(str::to_owned),
        pcrs,
        boot: boot.facts,
        explained: boot.explained,
        events: boot.events,
        ima,
    };
    Ok(Verified::assertion(facts, trail))
}

/// The key that a bundle says its quote is signed with, believed by nobody yet: for looking up what
/// is held of it.
///
/// # Errors
/// `tpm.ak.available`, `tpm.ak.key`, `tpm.ak.attributes`, and those of the key's form.
pub fn claimed_key(bundle: &QuoteBundle) -> Result<AttestationKey, Error> {
    attestation_key(bundle, &mut Trail::new())
}

fn attestation_key(bundle: &QuoteBundle, trail: &mut Trail) -> Result<AttestationKey, Error> {
    let missing = || -> Error {
        Unavailable {
            check: "tpm.ak.available",
            what: "the public part of the key that signed the quote".to_owned(),
            remedy: "put ak_public or ak_certificate into the bundle",
        }
        .into()
    };
    let source = bundle.ak_public.as_ref().or(bundle.ak_certificate.as_ref());
    trail.check("tpm.ak.available", || {
        source.map(|_| ()).ok_or_else(missing)
    })?;
    let key = match (&bundle.ak_public, &bundle.ak_certificate) {
        (Some(public), _) => AttestationKey::read(public)?,
        (None, Some(certificate)) => {
            let der = zeuge_evidence::tpm::certificate_in(certificate)?;
            AttestationKey::of_certificate(&zeuge_evidence::x509::Certificate::parse(&der)?)?
        }
        // The check above has refused it already.
        (None, None) => {
            let found = "no key".to_owned();
            return Err(Broken::AkKey { found }.into());
        }
    };
    may_attest(&key, trail)?;
    Ok(key)
}

fn may_attest(key: &AttestationKey, trail: &mut Trail) -> Result<(), Error> {
    // spec: tpm.ak.length
    trail.check("tpm.ak.key", || {
        if key.kind == KeyKind::Rsa && key.bits < 2048 {
            let found = format!("RSA of {} bits", key.bits);
            return Err(Broken::AkKey { found }.into());
        }
        Ok(())
    })?;
    trail.check("tpm.ak.attributes", || attests_only(key))
}

// spec: tpm.ak.attributes
/// Attributes are known only from a `TPMT_PUBLIC`; where none came along, whoever certified or
/// enrolled the key vouches for them.
pub(super) fn attests_only(key: &AttestationKey) -> Result<(), Error> {
    let Some(attributes) = key.attributes else {
        return Ok(());
    };
    let good = attributes.fixed_tpm()
        && attributes.fixed_parent()
        && attributes.sensitive_data_origin()
        && attributes.restricted()
        && attributes.sign()
        && !attributes.decrypt();
    if good {
        Ok(())
    } else {
        let found = attributes.to_string();
        Err(Broken::AkAttributes { found }.into())
    }
}

fn statement(attest: &Attest<'_>, demand: &Demand<'_>, trail: &mut Trail) -> Result<(), Error> {
    // spec: tpm.attest.magic
    trail.check("tpm.quote.magic", || match attest.magic {
        TPM_GENERATED_VALUE => Ok(()),
        found => Err(Broken::QuoteMagic { found }.into()),
    })?;
    // spec: tpm.attest.type
    trail.check("tpm.quote.type", || match attest.kind {
        TAG_QUOTE => Ok(()),
        found => Err(Broken::QuoteType { found }.into()),
    })?;
    if let Nonce::Exact(wanted) = demand.nonce {
        // spec: tpm.quote.nonce
        trail.check("tpm.quote.nonce", || {
            if attest.extra_data == wanted {
                return Ok(());
            }
            Err(Broken::QuoteNonce {
                found: hex::encode(attest.extra_data),
                wanted: hex::encode(wanted),
            }
            .into())
        })?;
    }
    Ok(())
}

/// Banks and PCRs as one set per bank; empty banks do not count.
fn merged(selections: &[PcrSelection]) -> BTreeMap<HashAlgorithm, u32> {
    let mut out: BTreeMap<HashAlgorithm, u32> = BTreeMap::new();
    for selection in selections.iter().filter(|one| !one.pcrs.is_empty()) {
        *out.entry(selection.bank).or_default() |= selection.pcrs.0;
    }
    out
}

fn printed(selections: &[PcrSelection]) -> String {
    let all: Vec<String> = selections.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "nothing".to_owned()
    } else {
        all.join("+")
    }
}

type Values = BTreeMap<HashAlgorithm, BTreeMap<u32, Vec<u8>>>;

fn values(
    attest: &Attest<'_>,
    signature: &Signature<'_>,
    bundle: &QuoteBundle,
    demand: &Demand<'_>,
    trail: &mut Trail,
) -> Result<Values, Error> {
    let Body::Quote {
        selections,
        pcr_digest,
    } = &attest.body
    else {
        // The check of the type has refused it already.
        return Err(Broken::QuotePcrDigest {
            found: "no PCR digest".to_owned(),
            wanted: "a quote".to_owned(),
        }
        .into());
    };
    if let Selection::Exactly(wanted) = demand.selection {
        // spec: tpm.quote.selection
        trail.check("tpm.quote.selection", || {
            if merged(selections) == merged(wanted) {
                return Ok(());
            }
            Err(Broken::QuoteSelection {
                found: printed(selections),
                wanted: printed(wanted),
            }
            .into())
        })?;
    }
    // spec: tpm.quote.bank
    trail.check("tpm.quote.bank", || {
        let weak = selections
            .iter()
            .any(|one| one.bank == HashAlgorithm::SHA1 && !one.pcrs.is_empty());
        if weak && demand.dangerous_sha1_bank.is_none() {
            let found = printed(selections);
            return Err(Broken::QuoteBank { found }.into());
        }
        Ok(())
    })?;
    let (pcrs, concatenated) = chosen(selections, bundle);
    trail.check("tpm.quote.pcr-digest", || {
        let found = concatenated.map_err(|missing| Broken::QuotePcrDigest {
            found: missing,
            wanted: hex::encode(pcr_digest),
        })?;
        // spec: tpm.quote.digest
        // The digest is by the hash of the signature, whatever the bank.
        let found = signature.hash.digest(&[&found]).unwrap_or_default();
        if found == *pcr_digest {
            return Ok(());
        }
        Err(Broken::QuotePcrDigest {
            found: hex::encode(found),
            wanted: hex::encode(pcr_digest),
        }
        .into())
    })?;
    Ok(pcrs)
}

/// The values of the signed selection, by PCR and one after the other; or which one is missing.
fn chosen(selections: &[PcrSelection], bundle: &QuoteBundle) -> (Values, Result<Vec<u8>, String>) {
    let mut pcrs = Values::new();
    let mut all = Vec::new();
    for selection in selections {
        for index in selection.pcrs.iter() {
            let value = bundle
                .pcrs
                .iter()
                .find(|value| value.bank == selection.bank && value.index == index);
            let Some(value) = value.filter(|v| Some(v.value.len()) == selection.bank.size()) else {
                return (pcrs, Err(format!("no value of {}:{index}", selection.bank)));
            };
            all.extend(&value.value);
            pcrs.entry(selection.bank)
                .or_default()
                .insert(index, value.value.clone());
        }
    }
    (pcrs, Ok(all))
}

/// Resets count up until the TPM is cleared, restarts since the last reset; the clock may fall back
/// a little at a reset, never within one.
const fn stand(clock: ClockInfo) -> (u32, u32, u64) {
    (clock.reset_count, clock.restart_count, clock.clock)
}

// spec: tpm.clock.counters
// spec: tpm.clock.order
fn counters(now: ClockInfo, demand: &Demand<'_>, trail: &mut Trail) -> Result<(), Error> {
    if let Some(before) = demand.previous {
        trail.check("tpm.quote.reset", || {
            let found = (now.reset_count, now.restart_count);
            let wanted = (before.reset_count, before.restart_count);
            if found == wanted {
                return Ok(());
            }
            Err(Broken::QuoteReset { found, wanted }.into())
        })?;
    }
    let earlier = [demand.previous, demand.held].into_iter().flatten();
    let Some(latest) = earlier.map(stand).max() else {
        return Ok(());
    };
    trail.check("tpm.quote.clock", || {
        if stand(now) >= latest {
            return Ok(());
        }
        Err(Broken::QuoteClock {
            found: stand(now),
            wanted: latest,
        }
        .into())
    })
}
