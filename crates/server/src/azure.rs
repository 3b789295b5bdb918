//! Machines behind Azure's paravisor: the members of a bundle that belong together, and the way
//! from them to what is proven.
//!
//! Never takes the paravisor's report for the guest's own: that is said by its virtual TPM, whose
//! key the report commits to. Never asks Azure for anything.

use std::collections::BTreeSet;

use zeuge_evidence::Malformed;
use zeuge_evidence::azure::{EVIDENCE, Evidence as Parts, Hardware, HclReport, RuntimeClaims};
use zeuge_evidence::dcap::Quote;
use zeuge_evidence::snp::Report;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::azure::{ALL_PCRS, Context, Demand, claimed_key, verify};
use zeuge_verify::composite::Cpu;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::dcap::QuoteFacts;
use zeuge_verify::tpm::{Nonce, Selection, qualifying_data};
use zeuge_verify::{Endorsements, Error};

use crate::appraisal::{Asked, Evidence, Judge, Proven};
use crate::refusal::Refusal;
use crate::tpm::{ClockOf, Stand};
use crate::{quote, snp, tpm};

/// The members that are looked at beside an HCL report.
const MEMBERS: [Media; 7] = [
    Media::AzureHcl,
    Media::ImaList,
    Media::IntelCollateral,
    Media::SnpCertificates,
    Media::TcgEventLog,
    Media::TdxQuote,
    Media::TpmQuote,
];

/// What the makers added to what was at hand.
struct Obtained {
    heap: Endorsements,
    seen: Option<u32>,
    ahead: Option<Box<QuoteFacts>>,
    /// What could not be obtained, in one line.
    told: String,
}

impl Judge {
    /// Verifies the one machine behind a paravisor in a bundle. Its quote must answer the binding,
    /// and so must the report: the guest writes the binding into NV index 0x01400002.
    pub(crate) fn azure(&self, bundle: &Bundle, asked: &Asked<'_>) -> Result<Proven, Refusal> {
        let parts = parts(bundle)?;
        let (mut heap, mut endorsements) = self.with_certificates(bundle)?;
        let brought = bundle.only(Media::IntelCollateral);
        if let Some(collateral) = brought {
            heap.add("evidence", collateral);
        }
        let obtained = self.obtained(&parts, heap, asked)?;
        let signers = asked.wishes.map(|wishes| wishes.policy.tpm.ima_signers());
        let signers = signers.unwrap_or_default();
        let nonce = qualifying_data(&asked.report_data);
        let of = clock_of(&parts, asked)?;
        let held = of.as_ref().map(|of| asked.clocks.clock(of)).transpose()?;
        let demand = Demand {
            nonce: Nonce::Exact(&nonce),
            user_data: Some(&asked.report_data),
            selection: Selection::Exactly(&ALL_PCRS),
            previous: None,
            held: held.flatten(),
            ima_signers: &signers,
        };
        let context = Context {
            endorsements: &obtained.heap,
            anchors: self.line(asked.tenant).anchors(),
            at: asked.at,
            crypto: &AWS_LC,
        };
        let verified = verify(&parts, &demand, context)
            .map_err(|error| snp::because_of(Refusal::from(error), &obtained.told))?;
        let quoted = verified.fact().tpm.as_ref();
        let stand = of.zip(quoted).map(|(of, facts)| Stand {
            of,
            clock: facts.clock,
        });
        match &verified.fact().cpu {
            Cpu::Snp(facts) => endorsements.extend(snp::counted(facts, &obtained.heap)),
            Cpu::Quote(facts) => {
                endorsements.extend(quote::counted(facts, &obtained.heap));
                endorsements.extend(brought.map(<[u8]>::to_vec));
            }
        }
        Ok(Proven {
            evidence: Evidence::Azure(Box::new(verified)),
            seen: obtained.seen,
            ahead: obtained.ahead,
            endorsements,
            epoch: asked.wishes.map(|wishes| wishes.epoch),
            stand,
        })
    }

    /// Obtains what the CPU's report lacks. Whether the report is about these claims is none of its
    /// business: what it carries is taken as it stands, and verified afterwards.
    fn obtained(
        &self,
        parts: &Parts,
        heap: Endorsements,
        asked: &Asked<'_>,
    ) -> Result<Obtained, Refusal> {
        let hcl = HclReport::parse(&parts.hcl).map_err(Error::from)?;
        let carried = hcl.report_data();
        match (hcl.hardware, &parts.td_quote) {
            (Hardware::Snp, _) => {
                let report = Report::parse(hcl.report).map_err(Error::from)?;
                let proof = self.snp_proof(&report, &heap, carried, asked)?;
                let told = snp::told(&proof);
                if let Some(problem) = &proof.rollback {
                    return Err(snp::because_of(snp::behind(problem), &told));
                }
                Ok(Obtained {
                    heap: proof.heap,
                    seen: None,
                    ahead: None,
                    told,
                })
            }
            (Hardware::Tdx, Some(bytes)) => {
                let quote = Quote::parse(bytes).map_err(Error::from)?;
                let proof = self.quote_proof(&quote, &heap, carried, asked)?;
                let told = quote::told(&proof);
                if let Some(problem) = &proof.rollback {
                    return Err(snp::because_of(snp::behind(problem), &told));
                }
                Ok(Obtained {
                    heap: proof.heap,
                    seen: proof.seen.map(|seen| seen.evaluation_number),
                    ahead: proof.ahead.map(Box::new),
                    told,
                })
            }
            (Hardware::Tdx, None) => Ok(Obtained {
                heap,
                seen: None,
                ahead: None,
                told: String::new(),
            }),
        }
    }
}

/// Whose clock the quote shows: that of the key in the claims, or what came of it when its owners
/// say that it was cleared.
fn clock_of(parts: &Parts, asked: &Asked<'_>) -> Result<Option<ClockOf>, Refusal> {
    let hcl = HclReport::parse(&parts.hcl).map_err(Error::from)?;
    let claims = RuntimeClaims::parse(hcl.claims).map_err(Error::from)?;
    let Some(key) = claimed_key(&claims) else {
        return Ok(None);
    };
    let machine = claims.vm.unique_id.as_deref().unwrap_or_default();
    let cleared = asked
        .wishes
        .and_then(|wishes| wishes.policy.azure.cleared_as(machine));
    Ok(Some(ClockOf {
        tenant: asked.tenant.to_owned(),
        machine: cleared.unwrap_or_default().to_owned(),
        ak: key.key_sha256(),
    }))
}

/// The parts of the machine's evidence. A member that nobody would look at, or that stands twice,
/// is a refusal.
fn parts(bundle: &Bundle) -> Result<Parts, Refusal> {
    let bad = |because| {
        let malformed = Malformed::invalid(EVIDENCE, 0, "the bundle", because);
        Err(Refusal::from(Error::from(malformed)))
    };
    let mut seen = BTreeSet::new();
    for member in bundle.members().values() {
        if !MEMBERS.contains(&member.media) {
            return bad("a member beside an HCL report is of a kind not read there");
        }
        if !seen.insert(member.media) {
            return bad("it holds two members of one kind");
        }
    }
    let quoted = [Media::TpmQuote, Media::TcgEventLog, Media::ImaList];
    let quote = match quoted.iter().any(|media| seen.contains(media)) {
        true => Some(tpm::quoted(bundle)?),
        false => None,
    };
    Ok(Parts {
        version: None,
        hcl: bundle.only(Media::AzureHcl).unwrap_or_default().to_vec(),
        quote,
        certificates: Vec::new(),
        td_quote: bundle.only(Media::TdxQuote).map(<[u8]>::to_vec),
    })
}
