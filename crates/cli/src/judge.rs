//! One file's way through the rooms: bytes, evidence, what is proven, the verdict.
//!
//! Chooses the platform and nothing else.

use zeuge_appraise::{
    Facts, Finding, HardwareRegistry, Kind, Policy, ReferenceValues, Verdict, Wanted, Word,
};
use zeuge_evidence::{Malformed, UnixTime, What, dcap, kind, ratls::Carried, snp};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error,
    composite::{self, VerifiedCpu},
    crypto::AWS_LC,
};

use crate::{
    args,
    collateral::Line,
    input::INPUT_BYTES_MAX,
    judge_azure, judge_nitro,
    judge_tpm::{self, TpmSetting},
};

/// What all files of one call share.
pub(crate) struct Setting {
    pub(crate) endorsements: Endorsements,
    pub(crate) anchors: Anchors,
    pub(crate) binding: Binding,
    pub(crate) policy: Policy,
    /// Digests of the policy's text, as tokens name it; none for the built-in floor.
    pub(crate) policy_ids: Vec<String>,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) hardware: Option<HardwareRegistry>,
    /// The highest tcbEvaluationDataNumber that was seen for such platforms.
    pub(crate) seen: Option<u32>,
    pub(crate) hardware_only: Option<String>,
    pub(crate) tpm: TpmSetting,
    pub(crate) at: UnixTime,
    /// The way to the makers, where they may be asked.
    pub(crate) makers: Option<Line>,
}

/// What the file is, by the caller's word or by its bytes.
enum Platform {
    Azure,
    Nitro,
    Snp,
    Quote(Kind),
    Bundle,
    Tpm,
    Unknown,
}

fn platform(bytes: &[u8], wanted: args::Kind) -> Platform {
    use kind::Kind as Seen;
    match wanted {
        args::Kind::Snp => Platform::Snp,
        args::Kind::Tdx => Platform::Quote(Kind::Tdx),
        args::Kind::Sgx => Platform::Quote(Kind::Sgx),
        args::Kind::Bundle => Platform::Bundle,
        args::Kind::Tpm => match kind::detect(bytes) {
            Seen::Bundle => Platform::Bundle,
            _ => Platform::Tpm,
        },
        args::Kind::Azure => match kind::detect(bytes) {
            Seen::Bundle => Platform::Bundle,
            _ => Platform::Azure,
        },
        args::Kind::Nitro => match kind::detect(bytes) {
            Seen::Bundle => Platform::Bundle,
            _ => Platform::Nitro,
        },
        args::Kind::Auto => match kind::detect(bytes) {
            Seen::SnpReport | Seen::SnpJson | Seen::SnpProtobuf => Platform::Snp,
            Seen::TdxQuote(_) | Seen::TdxProtobuf => Platform::Quote(Kind::Tdx),
            Seen::SgxQuote(_) | Seen::QuoteJson => Platform::Quote(Kind::Sgx),
            Seen::Certificate | Seen::Pem => in_certificate(bytes),
            Seen::Bundle => Platform::Bundle,
            Seen::AzureHcl | Seen::AzureJson => Platform::Azure,
            Seen::NitroCose => Platform::Nitro,
            Seen::TpmAttest | Seen::TpmJson | Seen::TpmQuote => Platform::Tpm,
            _ => Platform::Unknown,
        },
    }
}

/// A certificate with a quote (RA-TLS); other certificates are no evidence.
fn in_certificate(bytes: &[u8]) -> Platform {
    match Carried::read(bytes) {
        Ok(None) => Platform::Unknown,
        Ok(Some(carried)) => match kind::detect(&carried.quote) {
            kind::Kind::TdxQuote(_) => Platform::Quote(Kind::Tdx),
            _ => Platform::Quote(Kind::Sgx),
        },
        Err(_) => Platform::Quote(Kind::Sgx),
    }
}

/// The verdict on one file.
///
/// # Errors
/// A sentence, for a kind that this program does not support yet.
pub(crate) fn judge(
    bytes: &[u8],
    wanted: args::Kind,
    setting: &Setting,
) -> Result<Verdict, String> {
    if bytes.len() > INPUT_BYTES_MAX {
        let what = What::TooLong {
            limit: INPUT_BYTES_MAX,
            found: bytes.len(),
        };
        return Ok(unrecognised(
            Malformed::new(kind::UNKNOWN, INPUT_BYTES_MAX, what),
            setting,
        ));
    }
    match platform(bytes, wanted) {
        Platform::Azure => judge_azure::file(bytes, setting),
        Platform::Nitro => Ok(judge_nitro::file(bytes, setting)),
        Platform::Snp => snp(bytes, setting),
        Platform::Quote(kind) => quote(bytes, Beside::default(), kind, setting),
        Platform::Bundle => bundle(bytes, setting),
        Platform::Tpm => Ok(judge_tpm::file(bytes, setting)),
        Platform::Unknown => {
            let because = "it is no evidence of a known form; name its kind with --kind";
            let malformed = Malformed::invalid(kind::UNKNOWN, 0, "the input", because);
            Ok(unrecognised(malformed, setting))
        }
    }
}

fn unrecognised(malformed: Malformed, setting: &Setting) -> Verdict {
    Verdict::refused(Kind::Unknown, &Error::Malformed(malformed), setting.at)
}

pub(crate) fn wanted(setting: &Setting) -> Wanted<'_> {
    Wanted {
        policy: &setting.policy,
        reference_values: &setting.reference_values,
        hardware: setting.hardware.as_ref(),
        evaluation_number_seen: setting.seen,
        ahead: None,
        hardware_only: setting.hardware_only.as_deref(),
        at: setting.at,
    }
}

fn snp(bytes: &[u8], setting: &Setting) -> Result<Verdict, String> {
    match try_snp(bytes, setting) {
        Ok(verdict) => Ok(verdict),
        Err(Stop::Refused(error)) => Ok(Verdict::refused(Kind::Snp, &error, setting.at)),
        Err(Stop::Local(sentence)) => Err(sentence),
    }
}

/// Why there is no verdict on proven facts.
enum Stop {
    /// Verification refuses.
    Refused(Error),
    /// This machine cannot go on.
    Local(String),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

fn try_snp(bytes: &[u8], setting: &Setting) -> Result<Verdict, Stop> {
    let evidence = snp::Evidence::read(bytes)?;
    let mut heap = setting.endorsements.clone();
    let broken = heap.add_beside(&evidence.endorsements);
    let report = snp::Report::parse(&evidence.report)?;
    let mut notes = Vec::new();
    let outcome = match &setting.makers {
        None => zeuge_verify::snp::snp(
            &report,
            &heap,
            &setting.anchors,
            &setting.binding,
            setting.at,
            &AWS_LC,
        ),
        Some(makers) => {
            let proof = makers
                .prove(&report, &heap, &setting.binding)
                .map_err(Stop::Local)?;
            notes.extend(proof.problems().map(told));
            if let Some(problem) = &proof.rollback {
                return Ok(behind(problem, Kind::Snp, notes, setting.at));
            }
            heap = proof.heap;
            proof.outcome
        }
    };
    let verified = match zeuge_verify::snp::unless_broken_beside(outcome, &broken) {
        Ok(verified) => verified,
        Err(error) => {
            let mut verdict = Verdict::refused(Kind::Snp, &error, setting.at);
            verdict.notes = notes;
            return Ok(verdict);
        }
    };
    let facts = Facts::from(verified.fact().clone());
    let mut verdict = zeuge_appraise::judge(&facts, verified.trail().passed(), &wanted(setting));
    verdict.notes.extend(evidence.notes);
    verdict.notes.extend(skipped(&heap));
    verdict.notes.extend(notes);
    Ok(verdict)
}

/// The verdict on evidence that holds only under an older list than one already seen.
pub(crate) fn behind(
    problem: &zeuge_collateral::Problem,
    kind: Kind,
    notes: Vec<String>,
    at: UnixTime,
) -> Verdict {
    let (found, wanted) = problem.difference();
    let finding = Finding::fail(problem.check(), problem.to_string());
    let finding = finding.difference(found, wanted);
    let mut verdict = Verdict::stopped(Word::Untrusted, kind, finding, at);
    verdict.notes = notes;
    verdict
}

/// Files in which no endorsement was found; a folder may hold many, so they are counted.
pub(crate) fn skipped(heap: &Endorsements) -> Option<String> {
    let first = heap.skipped.first()?;
    let more = match heap.skipped.len().saturating_sub(1) {
        0 => String::new(),
        1 => " and in 1 other file".to_owned(),
        others => format!(" and in {others} other files"),
    };
    Some(format!("no endorsement was found in {first}{more}"))
}

/// What came with a quote in the same bundle.
#[derive(Clone, Copy, Default)]
struct Beside<'a> {
    collateral: Option<&'a [u8]>,
    /// The area that the CCEL table points to.
    event_log: Option<&'a [u8]>,
}

fn quote(
    bytes: &[u8],
    beside: Beside<'_>,
    kind: Kind,
    setting: &Setting,
) -> Result<Verdict, String> {
    match try_quote(bytes, beside, kind, setting) {
        Ok(verdict) => Ok(verdict),
        Err(Stop::Refused(error)) => Ok(Verdict::refused(kind, &error, setting.at)),
        Err(Stop::Local(sentence)) => Err(sentence),
    }
}

fn try_quote(
    bytes: &[u8],
    beside: Beside<'_>,
    kind: Kind,
    setting: &Setting,
) -> Result<Verdict, Stop> {
    let mut heap = setting.endorsements.clone();
    if let Some(collateral) = beside.collateral {
        heap.add("evidence", collateral);
    }
    let carried = carried(bytes)?;
    let bytes = carried.as_ref().map_or(bytes, |carried| &carried.quote);
    let evidence = dcap::Evidence::read(bytes)?;
    let quote = dcap::Quote::parse(&evidence.quote)?;
    let (mut notes, mut ahead, mut seen) = (Vec::new(), None, setting.seen);
    let (anchors, binding) = (&setting.anchors, &setting.binding);
    let outcome = match &setting.makers {
        None => zeuge_verify::dcap::quote(&quote, &heap, anchors, binding, setting.at, &AWS_LC),
        Some(makers) => {
            let proof = makers
                .prove_quote(&quote, &heap, binding)
                .map_err(Stop::Local)?;
            notes.extend(proof.problems().map(told));
            if let Some(problem) = &proof.rollback {
                return Ok(behind(problem, kind, notes, setting.at));
            }
            seen = proof.seen.map(|seen| seen.evaluation_number);
            ahead = proof.ahead;
            proof.outcome
        }
    };
    let log = beside.event_log.or(evidence.event_log.as_deref());
    let outcome = outcome.and_then(|verified| match log {
        Some(log) => zeuge_verify::dcap::with_event_log(&verified, log),
        None => Ok(verified),
    });
    let verified = match outcome {
        Ok(verified) => verified,
        Err(error) => {
            let mut verdict = Verdict::refused(kind, &error, setting.at);
            verdict.notes = notes;
            return Ok(verdict);
        }
    };
    let facts = Facts::from(verified.fact().clone());
    let wanted = Wanted {
        evaluation_number_seen: seen,
        ahead: ahead.as_ref(),
        ..wanted(setting)
    };
    let mut passed = verified.trail().passed().to_vec();
    if let Some(carried) = &carried {
        let trail = zeuge_verify::ratls::bound(carried, quote.report_data(), setting.at)?;
        passed.extend(trail.passed());
        notes.extend(carried.notes.iter().cloned());
        notes.push("the quote speaks for the key of the certificate around it".to_owned());
    }
    let mut verdict = zeuge_appraise::judge(&facts, &passed, &wanted);
    verdict.notes.extend(evidence.notes);
    verdict.notes.extend(notes);
    Ok(verdict)
}

/// The certificate that carries the quote, where it is one.
fn carried(bytes: &[u8]) -> Result<Option<Carried>, Malformed> {
    match kind::detect(bytes) {
        kind::Kind::Certificate | kind::Kind::Pem => Carried::read(bytes),
        _ => Ok(None),
    }
}

/// What stood in the way of obtaining something, for people.
fn told((key, problem): (String, &zeuge_collateral::Problem)) -> String {
    format!("{key}: {}: {problem}", problem.check())
}

/// Members of bundles that are verified here; clouds' own forms are told apart before.
const LOOKED_AT: [Media; 9] = [
    Media::SnpReport,
    Media::SnpCertificates,
    Media::TdxQuote,
    Media::SgxQuote,
    Media::IntelCollateral,
    Media::CcEventLog,
    Media::TpmQuote,
    Media::TcgEventLog,
    Media::ImaList,
];

/// A bundle of ours with the evidence of one device. A member that nobody would look at is a
/// refusal: silence about it would read as consent.
fn bundle(bytes: &[u8], setting: &Setting) -> Result<Verdict, String> {
    let refused = |because| {
        let malformed = Malformed::invalid(kind::UNKNOWN, 0, "the bundle", because);
        Ok(unrecognised(malformed, setting))
    };
    let Ok(bundle) = Bundle::parse(bytes) else {
        return refused("it is no CMW collection of the agreed form");
    };
    if let Some(verdict) = cloud(&bundle, setting) {
        return verdict;
    }
    let mut members = bundle.members().values();
    if members.any(|member| !LOOKED_AT.contains(&member.media)) {
        return refused("it holds a member of a kind that is not verified yet");
    }
    let only = |media| bundle.only(media);
    let holds = |media| {
        bundle
            .members()
            .values()
            .any(|member| member.media == media)
    };
    let collateral = only(Media::IntelCollateral);
    if collateral.is_none() && holds(Media::IntelCollateral) {
        return refused("it holds collateral of Intel's more than once");
    }
    let event_log = only(Media::CcEventLog);
    if holds(Media::CcEventLog) && (event_log.is_none() || only(Media::TdxQuote).is_none()) {
        return refused("a CCEL belongs beside one TDX quote, and only one does");
    }
    let beside = Beside {
        collateral,
        event_log,
    };
    let tpm = [Media::TpmQuote, Media::TcgEventLog, Media::ImaList];
    let others = [Media::SnpReport, Media::TdxQuote, Media::SgxQuote];
    if tpm.into_iter().any(holds) {
        if !others.into_iter().any(holds) && !holds(Media::SnpCertificates) && collateral.is_none()
        {
            return Ok(judge_tpm::members(&bundle, setting));
        }
        if collateral.is_some() {
            return refused("collateral of Intel's beside a TPM is not verified yet");
        }
        return beside_tpm(&bundle, setting);
    }
    match (
        only(Media::SnpReport),
        only(Media::TdxQuote),
        only(Media::SgxQuote),
    ) {
        (Some(report), None, None) if collateral.is_none() => {
            let table = bundle.only(Media::SnpCertificates).unwrap_or_default();
            snp(&[report, table].concat(), setting)
        }
        (None, Some(bytes), None) => quote(bytes, beside, Kind::Tdx, setting),
        (None, None, Some(bytes)) => quote(bytes, beside, Kind::Sgx, setting),
        _ => refused("it does not hold the evidence of exactly one device"),
    }
}

/// The verdict on a bundle of a CPU and a TPM.
fn beside_tpm(bundle: &Bundle, setting: &Setting) -> Result<Verdict, String> {
    if setting.makers.is_some() {
        return Err("--fetch is not supported for a CPU and a TPM in one bundle".to_owned());
    }
    let outcome = pair(bundle, setting);
    Ok(outcome.unwrap_or_else(|error| Verdict::refused(Kind::Composite, &error, setting.at)))
}

/// The verdict on a bundle of a cloud's own form, if it is one.
fn cloud(bundle: &Bundle, setting: &Setting) -> Option<Result<Verdict, String>> {
    if bundle.only(Media::AzureHcl).is_some() {
        return Some(judge_azure::members(bundle, setting));
    }
    let document = bundle.only(Media::NitroDocument)?;
    if bundle.members().len() > 1 {
        // docs/decisions/0031-aws-two-answers.md
        let because = match bundle.only(Media::SnpReport) {
            Some(_) => {
                "it holds an SEV-SNP report and a Nitro document, and nothing can show that they are \
                 of one machine: verify them one after the other"
            }
            None => "it holds more than a Nitro document",
        };
        let malformed = Malformed::invalid(kind::UNKNOWN, 0, "the bundle", because);
        return Some(Ok(unrecognised(malformed, setting)));
    }
    Some(Ok(judge_nitro::member(document, setting)))
}

/// A CPU and a TPM that answered one challenge: each is proven by itself, then both together.
fn pair(bundle: &Bundle, setting: &Setting) -> Result<Verdict, Error> {
    let all = |wanted: Media| {
        let members = bundle.members().values();
        members.filter(move |member| member.media == wanted)
    };
    let mut heap = setting.endorsements.clone();
    for table in all(Media::SnpCertificates) {
        for entry in &snp::CertificateTable::parse(&table.value)?.entries {
            heap.add("evidence", entry.data);
        }
    }
    let (anchors, binding, at) = (&setting.anchors, &setting.binding, setting.at);
    let mut reports = Vec::new();
    for member in all(Media::SnpReport) {
        let report = snp::Report::parse(&member.value)?;
        reports.push(zeuge_verify::snp::snp(
            &report, &heap, anchors, binding, at, &AWS_LC,
        )?);
    }
    let mut quotes = Vec::new();
    for member in all(Media::TdxQuote).chain(all(Media::SgxQuote)) {
        let quote = dcap::Quote::parse(&member.value)?;
        let verified = zeuge_verify::dcap::quote(&quote, &heap, anchors, binding, at, &AWS_LC)?;
        quotes.push(match bundle.only(Media::CcEventLog) {
            Some(log) => zeuge_verify::dcap::with_event_log(&verified, log)?,
            None => verified,
        });
    }
    let mut tpms = Vec::new();
    if all(Media::TpmQuote).count() == 1 {
        tpms.push(judge_tpm::prove_member(bundle, setting)?);
    }
    let reports = reports.iter().map(VerifiedCpu::Snp);
    let cpus: Vec<_> = reports
        .chain(quotes.iter().map(VerifiedCpu::Quote))
        .collect();
    let tpms: Vec<_> = tpms.iter().collect();
    let verified = composite::join(&cpus, &tpms)?;
    let facts = Facts::from(verified.fact().clone());
    let mut verdict = zeuge_appraise::judge(&facts, verified.trail().passed(), &wanted(setting));
    verdict.notes.extend(skipped(&heap));
    Ok(verdict)
}
