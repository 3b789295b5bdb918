//! Azure's confidential machines: from the challenge through the paravisor's virtual TPM to the
//! root of AMD or Intel.
//!
//! *Flow*: nonce → TPM quote → AK → runtime claims → report data → SNP report, or TDREPORT and the
//! quote of the same trust domain → pinned root.
//!
//! *Guarantees*: the CPU's report commits to the very claims that name the key that signed the
//! quote, so quote and report are one machine (`proven`, DESIGN §5.3).
//!
//! *Caveats*: report and measurement are those of the **paravisor**, Microsoft's code at the
//! highest privilege inside the machine. The boot of the guest stands in the quote's PCRs, which
//! the paravisor could write as it likes. Its report is made at boot, or when the guest writes user
//! data; the quote is what is fresh. Never fetches, never asks Azure's metadata service.

mod broken;

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    UnixTime,
    azure::{Evidence, Hardware, HclReport, KEY_AK, LocalTdReport, RuntimeClaims, VmConfiguration},
    dcap::{Body, Quote},
    snp::Report,
    tpm::{
        Attest, ClockInfo, HashAlgorithm, PcrSelection, PcrSet, QuoteBundle, Signature,
        qualified_name,
    },
};

use crate::{
    Anchors, Binding, Endorsements, Error, Trail, Unavailable, Verified,
    composite::Cpu,
    crypto::CryptoProvider,
    tpm::{self, AttestationKey, Nonce, Selection, TpmFacts, TpmRoots},
};

pub use broken::{Broken, Difference};

/// The ids of the checks in this file.
pub const CHECKS: &[&str] = &[
    "azure.ak.claimed",
    "azure.ak.signer",
    "azure.claims.hash",
    "azure.quote.available",
    "azure.report.machine",
    "azure.td-quote.available",
    "azure.td-quote.report",
    "azure.user-data",
];

/// What every client of the virtual TPM quotes: the whole SHA-256 bank.
pub const ALL_PCRS: [PcrSelection; 1] = [PcrSelection {
    bank: HashAlgorithm::SHA256,
    pcrs: PcrSet(0x00ff_ffff),
}];

/// What the caller asked for.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The quote's qualifying data.
    pub nonce: Nonce<'a>,
    /// What the guest must have written into the report itself (NV index 0x01400002), where that
    /// is demanded. Version 2 of the JSON demands the nonce there by itself.
    pub user_data: Option<&'a [u8; 64]>,
    /// The PCRs, usually [`ALL_PCRS`].
    pub selection: Selection<'a>,
    /// Clock and counters of an earlier quote of the same session: resets and restarts must not
    /// have changed since, and the clock must not stand before it.
    pub previous: Option<ClockInfo>,
    /// The latest clock and counters ever seen of this AK: a reset since is fine, an earlier stand
    /// is a machine that was set back with its virtual TPM.
    pub held: Option<ClockInfo>,
    /// Keys whose signatures on files of the IMA list count.
    pub ima_signers: &'a [AttestationKey],
}

/// What is proven about one machine of Azure's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureFacts {
    /// What the CPU said, about the paravisor.
    pub cpu: Cpu,
    /// What the virtual TPM said, about the guest; `None` where only the report was brought.
    pub tpm: Option<Box<TpmFacts>>,
    /// The machine's configuration in the paravisor's words.
    pub vm: VmConfiguration,
    /// What the guest wrote into the report, filled up with zeros.
    pub user_data: Option<[u8; 64]>,
    /// SHA-256 of the AK's public key, as the claims name it.
    pub ak_key: Option<[u8; 32]>,
    /// Whether the quote names the key that the paravisor's template gives for the claimed AK: a
    /// restricted one that never leaves the virtual TPM. `None` without a quote.
    pub ak_is_primary: Option<bool>,
    /// Version of the HCL report's header.
    pub hcl_version: u32,
    /// Why no binding was demanded; `None` when one was.
    pub unbound: Option<String>,
}

/// Where verification looks.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What somebody brought.
    pub endorsements: &'a Endorsements,
    /// The makers' roots.
    pub anchors: &'a Anchors,
    /// The instant.
    pub at: UnixTime,
    /// Who checks signatures.
    pub crypto: &'a CryptoProvider,
}

/// Verifies one machine's evidence at an instant.
///
/// # Errors
/// The first check that fails, in the order: form of the parts, `azure.claims.hash`, those of the
/// CPU ([`crate::snp()`], or `azure.td-quote.available`, `azure.td-quote.report` and
/// [`crate::quote()`]), `azure.quote.available`, `azure.report.machine`, `azure.ak.claimed`,
/// `azure.ak.signer`, those of the quote ([`tpm::verify`], without those about trust in the AK), `azure.user-data`.
pub fn verify(
    evidence: &Evidence,
    demand: &Demand<'_>,
    context: Context<'_>,
) -> Result<Verified<AzureFacts>, Error> {
    let hcl = HclReport::parse(&evidence.hcl)?;
    let claims = RuntimeClaims::parse(hcl.claims)?;
    let mut trail = Trail::new();
    let wanted = hcl.claims_report_data();
    trail.check("azure.claims.hash", || commits(&hcl, &wanted))?;
    let cpu = cpu(
        evidence,
        &hcl,
        &Binding::ReportData(wanted),
        context,
        &mut trail,
    )?;
    trail.check("azure.quote.available", || {
        match (&evidence.quote, demand.nonce) {
            (None, Nonce::Exact(_)) => Err(Unavailable {
                check: "azure.quote.available",
                what: "a quote of the machine's virtual TPM over your challenge".to_owned(),
                remedy: "the HCL report answers no challenge: send it with a quote by the AK at \
                         0x81000003",
            }
            .into()),
            _ => Ok(()),
        }
    })?;
    let claimed = claimed_key(&claims);
    let quoted = match &evidence.quote {
        Some(quote) => Some(quoted(
            quote,
            claimed.as_ref(),
            demand,
            context,
            &mut trail,
        )?),
        None => None,
    };
    user_data(
        evidence.version,
        &claims,
        quoted.as_ref(),
        demand,
        &mut trail,
    )?;
    let (tpm, ak_is_primary) = match quoted {
        Some((facts, is_primary)) => (Some(Box::new(facts)), Some(is_primary)),
        None => (None, None),
    };
    let facts = AzureFacts {
        cpu,
        tpm,
        vm: claims.vm,
        user_data: claims.user_data,
        ak_key: claimed.map(|key| key.key_sha256()),
        ak_is_primary,
        hcl_version: hcl.version,
        unbound: match demand.nonce {
            Nonce::Exact(_) => None,
            Nonce::Unbound { because } => Some(because.to_owned()),
        },
    };
    Ok(Verified::assertion(facts, trail))
}

/// The key of the paravisor's virtual TPM, as these claims name it; believed by nobody before
/// [`verify`] is through.
#[must_use]
pub fn claimed_key(claims: &RuntimeClaims) -> Option<AttestationKey> {
    let key = claims.key(KEY_AK)?;
    let name = primary_name(&key.modulus, key.exponent);
    Some(AttestationKey::of_rsa(&key.modulus, key.exponent, name))
}

/// The report was made for these claims.
fn commits(hcl: &HclReport<'_>, wanted: &[u8; 64]) -> Result<(), Error> {
    let found = hcl.report_data();
    if found == *wanted {
        return Ok(());
    }
    Err(Broken::ClaimsHash(Difference::new(hex::encode(found), hex::encode(wanted))).into())
}

/// The hardware report, down to its maker's root.
fn cpu(
    evidence: &Evidence,
    hcl: &HclReport<'_>,
    binding: &Binding,
    context: Context<'_>,
    trail: &mut Trail,
) -> Result<Cpu, Error> {
    let Context {
        endorsements,
        anchors,
        at,
        crypto,
    } = context;
    let mut heap = endorsements.clone();
    let beside = evidence.certificates.iter();
    let beside: Vec<_> = beside.map(|der| ("VCEK".to_owned(), der.clone())).collect();
    let broken = heap.add_beside(&beside);
    match hcl.hardware {
        Hardware::Snp => {
            let report = Report::parse(hcl.report)?;
            let outcome = crate::snp(&report, &heap, anchors, binding, at, crypto);
            let verified = crate::snp::unless_broken_beside(outcome, &broken)?;
            trail.extend(verified.trail().clone());
            Ok(Cpu::Snp(Box::new(verified.fact().clone())))
        }
        Hardware::Tdx => {
            let local = LocalTdReport::parse(hcl.report)?;
            trail.check("azure.td-quote.available", || match evidence.td_quote {
                Some(_) => Ok(()),
                None => Err(no_td_quote().into()),
            })?;
            // Where the check was taken away, there is still nothing to read.
            let bytes = evidence.td_quote.as_deref().unwrap_or_default();
            let quote = Quote::parse(bytes)?;
            trail.check("azure.td-quote.report", || same_domain(&quote, &local))?;
            let verified = crate::quote(&quote, &heap, anchors, binding, at, crypto)?;
            trail.extend(verified.trail().clone());
            Ok(Cpu::Quote(Box::new(verified.fact().clone())))
        }
    }
}

fn no_td_quote() -> Unavailable {
    Unavailable {
        check: "azure.td-quote.available",
        what: "the quote of the trust domain whose TDREPORT lies in the HCL report".to_owned(),
        remedy: "the machine gets it from Azure's metadata service (/acc/tdquote) or its own \
                 quoting service",
    }
}

/// A TDREPORT proves nothing away from its machine; the quote of the same domain does.
fn same_domain(quote: &Quote<'_>, local: &LocalTdReport) -> Result<(), Error> {
    let mr_td = match &quote.body {
        Body::Tdx(report) => Some(report.mr_td),
        Body::Sgx(_) => None,
    };
    if mr_td == Some(local.mr_td) && *quote.report_data() == local.report_data {
        return Ok(());
    }
    let printed = |mr_td: &[u8], data: &[u8]| {
        format!(
            "MRTD {}, REPORTDATA {}",
            hex::encode(mr_td),
            hex::encode(data)
        )
    };
    Err(Broken::TdQuoteReport(Difference::new(
        printed(&mr_td.unwrap_or([0; 48]), quote.report_data()),
        printed(&local.mr_td, &local.report_data),
    ))
    .into())
}

/// The quote by the claimed key, and whether it names the key that the template gives.
fn quoted(
    quote: &QuoteBundle,
    claimed: Option<&AttestationKey>,
    demand: &Demand<'_>,
    context: Context<'_>,
    trail: &mut Trail,
) -> Result<(TpmFacts, bool), Error> {
    let beside = beside(quote)?;
    let attest = Attest::parse(&quote.attest)?;
    // A signature that cannot be read is refused where it is read.
    let signature = Signature::parse_any(&quote.signature).ok();
    let signed = |key: &AttestationKey| {
        let verify = |signature| key.verify(attest.bytes, signature, context.crypto);
        signature
            .as_ref()
            .is_some_and(|signature| verify(signature).is_ok())
    };
    let names = |name: &Vec<u8>| qualified_name(ENDORSEMENT, name);
    let name = claimed.and_then(|key| key.name.as_ref());
    let expected = name.and_then(names).unwrap_or_default();
    let is_primary = attest.qualified_signer == expected;
    let is_own = is_primary || signature.is_none() || claimed.is_some_and(signed);
    trail.check("azure.report.machine", || {
        // Whoever answers is a machine: by the key that it brought, or by your own question.
        let brought = beside.iter().any(signed);
        let asked = match demand.nonce {
            Nonce::Exact(nonce) => !nonce.is_empty() && nonce == attest.extra_data,
            Nonce::Unbound { .. } => false,
        };
        if claimed.is_none() || is_own || !(brought || asked) {
            return Ok(());
        }
        let found = format!(
            "a report for {}",
            claimed.map(AttestationKey::text).unwrap_or_default()
        );
        let signer = hex::encode(attest.qualified_signer);
        Err(
            Broken::ReportMachine(Difference::new(found, format!("the machine of {signer}")))
                .into(),
        )
    })?;
    trail.check("azure.ak.claimed", || is_claimed(&beside, claimed))?;
    // The check above has refused it already.
    let key = claimed.ok_or_else(|| Broken::AkClaimed(Difference::new("no key", KEY_AK)))?;
    trail.check("azure.ak.signer", || {
        if is_own {
            return Ok(());
        }
        let found = hex::encode(attest.qualified_signer);
        Err(Broken::AkSigner(Difference::new(found, hex::encode(&expected))).into())
    })?;
    let roots = TpmRoots::none();
    let verified = tpm::verify_committed(
        quote,
        &tpm::Demand {
            nonce: demand.nonce,
            selection: demand.selection,
            previous: demand.previous,
            held: demand.held,
            replayed: tpm::Demand::BOOT,
            ima_signers: demand.ima_signers,
            dangerous_sha1_bank: None,
        },
        key,
        tpm::Context {
            endorsements: context.endorsements,
            roots: &roots,
            at: context.at,
            crypto: context.crypto,
        },
    )?;
    trail.extend(verified.trail().clone());
    Ok((verified.fact().clone(), is_primary))
}

/// `TPM_RH_ENDORSEMENT`: the paravisor's AK is a primary of this hierarchy.
const ENDORSEMENT: u32 = 0x4000_000b;

/// The keys that came with the quote: by itself, in a certificate, in both, or none.
fn beside(quote: &QuoteBundle) -> Result<Vec<AttestationKey>, Error> {
    let mut keys = Vec::new();
    if let Some(public) = &quote.ak_public {
        keys.push(AttestationKey::read(public)?);
    }
    if let Some(file) = &quote.ak_certificate {
        let der = zeuge_evidence::tpm::certificate_in(file)?;
        let certificate = zeuge_evidence::x509::Certificate::parse(&der)?;
        keys.push(AttestationKey::of_certificate(&certificate)?);
    }
    Ok(keys)
}

/// The key in the claims is the one that came with the quote, where one did.
fn is_claimed(beside: &[AttestationKey], claimed: Option<&AttestationKey>) -> Result<(), Error> {
    let Some(key) = claimed else {
        let found = "claims without such a key";
        return Err(Broken::AkClaimed(Difference::new(found, KEY_AK)).into());
    };
    let is_other = |other: &&AttestationKey| (other.kind, &other.key) != (key.kind, &key.key);
    match beside.iter().find(is_other) {
        None => Ok(()),
        Some(other) => Err(Broken::AkClaimed(Difference::new(other.text(), key.text())).into()),
    }
}

/// The name of an AK that the paravisor makes from its template: fixedTPM, fixedParent,
/// sensitiveDataOrigin, userWithAuth, noDA, restricted, sign; RSASSA with SHA-256.
fn primary_name(modulus: &[u8], exponent: u32) -> Option<Vec<u8>> {
    if exponent != 65_537 {
        return None;
    }
    let length = u16::try_from(modulus.len()).ok()?;
    let bits = length.checked_mul(8)?;
    let mut public = vec![0x00, 0x01, 0x00, 0x0b, 0x00, 0x05, 0x04, 0x72, 0x00, 0x00];
    public.extend([0x00, 0x10, 0x00, 0x14, 0x00, 0x0b]);
    public.extend(bits.to_be_bytes());
    // The exponent's default is written as zero.
    public.extend([0; 4]);
    public.extend(length.to_be_bytes());
    public.extend(modulus);
    let mut name = vec![0x00, 0x0b];
    name.extend(Sha256::digest(&public));
    Some(name)
}

/// What the report itself must hold of this session.
fn user_data(
    version: Option<u8>,
    claims: &RuntimeClaims,
    quoted: Option<&(TpmFacts, bool)>,
    demand: &Demand<'_>,
    trail: &mut Trail,
) -> Result<(), Error> {
    let from_nonce = quoted.filter(|_| version == Some(2)).map(|(facts, _)| {
        let mut out = [0; 64];
        for (target, byte) in out.iter_mut().zip(&facts.nonce) {
            *target = *byte;
        }
        out
    });
    let wishes: Vec<[u8; 64]> = demand
        .user_data
        .copied()
        .into_iter()
        .chain(from_nonce)
        .collect();
    if wishes.is_empty() {
        return Ok(());
    }
    let found = claims.user_data.unwrap_or([0; 64]);
    trail.check("azure.user-data", || {
        match wishes.iter().find(|wanted| **wanted != found) {
            None => Ok(()),
            Some(wanted) => Err(Broken::UserData(Difference::new(
                hex::encode(found),
                hex::encode(wanted),
            ))
            .into()),
        }
    })
}
