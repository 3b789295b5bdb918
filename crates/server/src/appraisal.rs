//! From a bundle to verified facts and a verdict, for one tenant.
//!
//! Chooses anchors by tenant: only the tenant `sim` may chain to a toy's root, and only when the
//! witness was told so. What is neither in the bundle nor at hand, `zeuge-collateral` has in its
//! cache or asks for, under the budget of the source that sent the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use zeuge_appraise::{
    Facts, HardwareRegistry, Knowledge, Policy, ReferenceValues, ReleaseRule, Verdict, Wanted,
    findings,
};
use zeuge_collateral::{Channel, Collateral};
use zeuge_evidence::UnixTime;
use zeuge_log::hash::sha256;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::{Kind, OwnerSet};
use zeuge_verify::{
    Endorsements, SnpFacts, Verified,
    azure::AzureFacts,
    composite::{self, CompositeFacts, Cpu, VerifiedCpu},
    dcap::QuoteFacts,
    nitro::NitroFacts,
    tpm::TpmFacts,
};

use crate::endorsements::{self, Counted};
use crate::refusal::Refusal;
use crate::snp::Tables;
use crate::told::{Assessments, Told};
use crate::tpm::{Clocks, Makers, Stand};

/// The only tenant whose evidence may chain to a toy's root.
pub const SIM_TENANT: &str = "sim";
/// A folder of endorsements: a few files per chip; more is a mistake.
const FILES_MAX: usize = 4096;
/// The largest file of endorsements: a revocation list or a dump of collateral.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the owners of one tenant want, as of one epoch.
#[derive(Debug)]
pub struct Wishes {
    /// The epoch.
    pub epoch: u64,
    /// Who the owners are.
    pub owners: OwnerSet,
    /// The policy, or the floor.
    pub policy: Policy,
    /// SHA-256 of the policy's text; of nothing where there is none.
    pub policy_digest: [u8; 32],
    /// The reference values, or none.
    pub reference_values: ReferenceValues,
    /// The enrolled chips, where there is a registry.
    pub hardware: Option<HardwareRegistry>,
    /// The owners' threat knowledge, where they signed any.
    pub knowledge: Option<Arc<Knowledge>>,
    /// The release rules by path.
    pub rules: BTreeMap<String, ReleaseRule>,
    /// The texts of what verdicts depend on, for the archive.
    pub texts: Vec<(Kind, Vec<u8>)>,
    /// Kind and name of documents that the owners have not signed anew since the log was recovered.
    pub unconfirmed: BTreeSet<(Kind, String)>,
}

impl Wishes {
    /// The threat knowledge that counts: the owners', unless this program brings newer along.
    #[must_use]
    pub fn knowledge(&self) -> &Knowledge {
        let built_in = Knowledge::built_in();
        match &self.knowledge {
            Some(own) if own.id().version >= built_in.id().version => own,
            _ => built_in,
        }
    }

    /// The text of [`Wishes::knowledge`].
    #[must_use]
    pub fn knowledge_text(&self) -> &[u8] {
        let digest = self.knowledge().id().digest;
        let own = self.texts.iter().find(|(kind, text)| {
            *kind == Kind::ThreatKnowledge && sha256(&[text.as_slice()]) == digest
        });
        own.map_or(Knowledge::built_in_text().as_bytes(), |(_, text)| text)
    }

    /// What a machine is measured against, where such a number was seen.
    #[must_use]
    pub const fn wanted<'a>(
        &'a self,
        at: UnixTime,
        evaluation_number_seen: Option<u32>,
        ahead: Option<&'a QuoteFacts>,
    ) -> Wanted<'a> {
        Wanted {
            policy: &self.policy,
            reference_values: &self.reference_values,
            hardware: self.hardware.as_ref(),
            evaluation_number_seen,
            ahead,
            hardware_only: None,
            at,
        }
    }
}

/// What is proven about one machine.
#[derive(Debug)]
pub enum Evidence {
    /// An SEV-SNP report.
    Snp(Box<Verified<SnpFacts>>),
    /// A quote of TDX or SGX.
    Quote(Box<Verified<QuoteFacts>>),
    /// A quote of a TPM.
    Tpm(Box<Verified<TpmFacts>>),
    /// A CPU and a TPM that answer one binding.
    Composite(Box<Verified<CompositeFacts>>),
    /// A machine behind Azure's paravisor: a CPU about the paravisor, its virtual TPM about the
    /// guest.
    Azure(Box<Verified<AzureFacts>>),
    /// A document of AWS's Nitro hypervisor.
    Nitro(Box<Verified<NitroFacts>>),
}

impl Evidence {
    fn facts(&self) -> Facts {
        match self {
            Self::Snp(verified) => Facts::from(verified.fact().clone()),
            Self::Quote(verified) => Facts::from(verified.fact().clone()),
            Self::Tpm(verified) => Facts::from(verified.fact().clone()),
            Self::Composite(verified) => Facts::from(verified.fact().clone()),
            Self::Azure(verified) => Facts::from(verified.fact().clone()),
            Self::Nitro(verified) => Facts::from(verified.fact().clone()),
        }
    }

    fn passed(&self) -> &[&'static str] {
        match self {
            Self::Snp(verified) => verified.trail().passed(),
            Self::Quote(verified) => verified.trail().passed(),
            Self::Tpm(verified) => verified.trail().passed(),
            Self::Composite(verified) => verified.trail().passed(),
            Self::Azure(verified) => verified.trail().passed(),
            Self::Nitro(verified) => verified.trail().passed(),
        }
    }

    /// The makers' statements that counted.
    pub(crate) fn counted(&self) -> Vec<Counted> {
        match self {
            Self::Snp(verified) => endorsements::of_snp(verified.fact()),
            Self::Quote(verified) => endorsements::of_quote(verified.fact()),
            Self::Tpm(verified) => endorsements::of_tpm(verified.fact()),
            Self::Composite(verified) => {
                let mut counted = of_cpu(&verified.fact().cpu);
                counted.extend(endorsements::of_tpm(&verified.fact().tpm));
                counted
            }
            // The paravisor's key has no certificate that counted: the report vouches for it.
            Self::Azure(verified) => of_cpu(&verified.fact().cpu),
            // The certificates of Nitro's chain live for hours to weeks and name no chip; the root
            // is pinned.
            Self::Nitro(_) => Vec::new(),
        }
    }

    /// The machine by its chip, for who has no name for it.
    pub(crate) fn chip(&self) -> String {
        match self {
            Self::Snp(verified) => hex::encode(verified.fact().claims.chip_id),
            Self::Quote(verified) => hex::encode(verified.fact().platform.ppid),
            Self::Tpm(verified) => hex::encode(verified.fact().ak_key),
            Self::Composite(verified) => chip_of(&verified.fact().cpu),
            Self::Azure(verified) => chip_of(&verified.fact().cpu),
            // Instance and enclave, in AWS's words.
            Self::Nitro(verified) => verified.fact().module_id.clone(),
        }
    }
}

fn of_cpu(cpu: &Cpu) -> Vec<Counted> {
    match cpu {
        Cpu::Snp(facts) => endorsements::of_snp(facts),
        Cpu::Quote(facts) => endorsements::of_quote(facts),
    }
}

fn chip_of(cpu: &Cpu) -> String {
    match cpu {
        Cpu::Snp(facts) => hex::encode(facts.claims.chip_id),
        Cpu::Quote(facts) => hex::encode(facts.platform.ppid),
    }
}

/// What came out for one bundle.
#[derive(Debug)]
pub struct Appraised {
    /// What is proven.
    pub evidence: Evidence,
    /// The highest tcbEvaluationDataNumber seen for such platforms.
    pub seen: Option<u32>,
    /// What the same quote proves under newer documents than those in force.
    pub ahead: Option<Box<QuoteFacts>>,
    /// The verdict without any release rule; its threats stand in `told`.
    pub verdict: Verdict,
    /// How threats and adversaries stand.
    pub told: Arc<Told>,
    /// The machine, by the owner's name or by its chip.
    pub machine: String,
    /// What endorsed it, for the archive.
    pub endorsements: Vec<Vec<u8>>,
    /// Clock and counters of its TPM, to be held against the next quote.
    pub stand: Option<Stand>,
}

/// One bundle whose evidence holds, and is not yet judged.
#[derive(Debug)]
pub struct Proven {
    /// What is proven.
    pub(crate) evidence: Evidence,
    /// The highest tcbEvaluationDataNumber seen for such platforms.
    pub(crate) seen: Option<u32>,
    /// What the same quote proves under newer documents than those in force.
    pub(crate) ahead: Option<Box<QuoteFacts>>,
    /// What endorsed it, for the archive.
    pub(crate) endorsements: Vec<Vec<u8>>,
    /// The epoch whose documents were believed while it was proven (a TPM's key by the registry);
    /// `None` where none were.
    pub(crate) epoch: Option<u64>,
    /// Clock and counters of the TPM.
    pub(crate) stand: Option<Stand>,
}

/// What is to be proven, and for whom.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// What the evidence must carry.
    pub report_data: [u8; 64],
    /// The owners' documents, where the evidence is believed by them.
    pub wishes: Option<&'a Wishes>,
    /// What is held of the clocks of TPMs.
    pub clocks: &'a dyn Clocks,
    /// Who sent it.
    pub source: &'a str,
    /// The instant.
    pub at: UnixTime,
}

/// Caches by tenant: each has the roots that its content is held against.
#[derive(Debug)]
pub struct Lines {
    /// Of the makers.
    pub makers: Collateral,
    /// Of the toy, for the tenant `sim`.
    pub sim: Option<Collateral>,
}

/// Verifies and judges; holds the caches and the endorsements that are at hand.
#[derive(Debug)]
pub struct Judge {
    lines: Lines,
    folder: Option<PathBuf>,
    held: Mutex<(Vec<Stamp>, Arc<Endorsements>)>,
    assessments: Assessments,
    pub(crate) tables: Tables,
    pub(crate) tpm_makers: Arc<Makers>,
    pub(crate) channel: Channel,
}

/// Name, time and size of a file of endorsements.
type Stamp = (PathBuf, Option<SystemTime>, u64);

impl Judge {
    /// A judge with caches, and a folder of endorsements that is read again when its files change.
    #[must_use]
    pub fn new(
        lines: Lines,
        folder: Option<PathBuf>,
        tpm_makers: Arc<Makers>,
        channel: Channel,
    ) -> Self {
        Self {
            lines,
            folder,
            held: Mutex::default(),
            assessments: Assessments::default(),
            tables: Tables::default(),
            tpm_makers,
            channel,
        }
    }

    /// The caches.
    #[must_use]
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    pub(crate) fn line(&self, tenant: &str) -> &Collateral {
        match &self.lines.sim {
            Some(sim) if tenant == SIM_TENANT => sim,
            _ => &self.lines.makers,
        }
    }

    /// Verifies the one report or quote of a bundle, a TPM's quote, or both as one. May ask the makers, and then takes as long as
    /// they do: call it where waiting holds up nobody, inside a runtime.
    ///
    /// # Errors
    /// `bundle.evidence` when there is not at most one of each, or there is evidence that this
    /// witness cannot judge yet; those of the format; those of `zeuge-verify`;
    /// `collateral.rollback` for what holds only under an older list than one seen.
    pub fn verify(&self, bundle: &Bundle, asked: &Asked<'_>) -> Result<Proven, Refusal> {
        let is_there = |media| {
            let mut members = bundle.members().values();
            members.any(|member| member.media == media)
        };
        if is_there(Media::AzureHcl) {
            return self.azure(bundle, asked);
        }
        if is_there(Media::NitroDocument) {
            return self.nitro(bundle, asked);
        }
        let cpu = match evidence(bundle)? {
            Some((Media::SnpReport, report)) => self.snp(bundle, report, asked)?,
            Some((_, quote)) => self.quote(bundle, quote, asked)?,
            None => return self.tpm(bundle, asked),
        };
        if bundle.only(Media::TpmQuote).is_none() {
            return Ok(cpu);
        }
        let tpm = self.tpm(bundle, asked)?;
        let member = match &cpu.evidence {
            Evidence::Snp(report) => VerifiedCpu::Snp(report),
            Evidence::Quote(quote) => VerifiedCpu::Quote(quote),
            _ => return Ok(cpu),
        };
        let Evidence::Tpm(quote) = &tpm.evidence else {
            return Ok(tpm);
        };
        let joined = composite::join(&[member], &[quote.as_ref()])?;
        Ok(Proven {
            evidence: Evidence::Composite(Box::new(joined)),
            seen: cpu.seen,
            ahead: cpu.ahead,
            endorsements: [cpu.endorsements, tpm.endorsements].concat(),
            epoch: tpm.epoch,
            stand: tpm.stand,
        })
    }

    /// Judges what is proven.
    ///
    /// # Errors
    /// `store.unavailable`, as [`Assessments::of`].
    pub fn judge(
        &self,
        proven: Proven,
        wishes: &Wishes,
        at: UnixTime,
    ) -> Result<Appraised, Refusal> {
        let Proven {
            evidence,
            seen,
            ahead,
            endorsements,
            epoch: _,
            stand,
        } = proven;
        let facts = evidence.facts();
        let wanted = wishes.wanted(at, seen, ahead.as_deref());
        let mut verdict = findings(&facts, evidence.passed(), &wanted);
        let told = self.assessments.of(&mut verdict, wishes.knowledge())?;
        let registry = wishes.hardware.as_ref();
        let named = registry.and_then(|registry| registry.name_of(&facts));
        let machine = named.map_or_else(|| evidence.chip(), str::to_owned);
        Ok(Appraised {
            evidence,
            seen,
            ahead,
            verdict,
            told,
            machine,
            endorsements,
            stand,
        })
    }

    /// What lies in the folder, read again if a file changed.
    pub(crate) fn at_hand(&self) -> Arc<Endorsements> {
        let Some(folder) = &self.folder else {
            return Arc::default();
        };
        let stamps = stamps(folder);
        let Ok(mut held) = self.held.lock() else {
            return Arc::default();
        };
        if held.0 != stamps {
            let mut heap = Endorsements::new();
            for (path, _, _) in &stamps {
                match fs::read(path) {
                    Ok(bytes) => {
                        let name = path.file_name().unwrap_or_default();
                        heap.add(&name.to_string_lossy(), &bytes);
                    }
                    Err(error) => tracing::warn!(path = %path.display(), %error, "not readable"),
                }
            }
            *held = (stamps, Arc::new(heap));
        }
        Arc::clone(&held.1)
    }
}

fn stamps(folder: &Path) -> Vec<Stamp> {
    let Ok(entries) = fs::read_dir(folder) else {
        tracing::warn!(folder = %folder.display(), "the folder of endorsements is not readable");
        return Vec::new();
    };
    let mut stamps: Vec<Stamp> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let meta = fs::metadata(entry.path()).ok()?;
            (meta.is_file() && meta.len() <= FILE_BYTES_MAX)
                .then(|| (entry.path(), meta.modified().ok(), meta.len()))
        })
        .take(FILES_MAX)
        .collect();
    stamps.sort();
    stamps
}

/// The one report or quote of a CPU in a bundle; `None` where a TPM speaks alone. Other evidence is
/// refused by name: what is not judged must not look as if it had been.
fn evidence(bundle: &Bundle) -> Result<Option<(Media, &[u8])>, Refusal> {
    let kinds = [
        (Media::SnpReport, Media::SnpCertificates),
        (Media::TdxQuote, Media::IntelCollateral),
        (Media::SgxQuote, Media::IntelCollateral),
    ];
    let held = |media| bundle.only(media).map(|bytes| (media, bytes));
    let found = kinds
        .iter()
        .find_map(|(media, beside)| Some((held(*media)?, *beside)));
    let members = || bundle.members().values().map(|member| member.media);
    let tpm = bundle.only(Media::TpmQuote).is_some();
    let Some((found, beside)) = found
        .map(|(found, beside)| (Some(found), Some(beside)))
        .or(tpm.then_some((None, None)))
    else {
        let because =
            "a bundle must hold exactly one SNP report, TDX quote, SGX quote or TPM quote";
        let refusal = Refusal::new("bundle.evidence", 403, because);
        let other = members().next().map_or("nothing", Media::as_str);
        return Err(refusal.difference(other, Media::SnpReport.as_str()));
    };
    let media = found.map(|(media, _)| media);
    let of_tpm =
        |media| tpm && matches!(media, Media::TpmQuote | Media::TcgEventLog | Media::ImaList);
    // The boot log of a trust domain; a second one would be believed by nobody.
    let log = media == Some(Media::TdxQuote) && bundle.only(Media::CcEventLog).is_some();
    let of_td = |media| log && media == Media::CcEventLog;
    let known = |held| Some(held) == media || Some(held) == beside || of_tpm(held) || of_td(held);
    let other = members().find(|held| !known(*held));
    if let Some(other) = other {
        let because = "this witness cannot judge such evidence beside the other yet";
        let known = media.unwrap_or(Media::TpmQuote);
        return Err(Refusal::new("bundle.evidence", 403, because)
            .difference(other.as_str(), known.as_str()));
    }
    Ok(found)
}
