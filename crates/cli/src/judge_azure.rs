//! Machines behind Azure's paravisor: which parts belong together, and what is demanded of each.
//!
//! Takes the parts out of their wrapping and hands them on; never asks Azure for anything.

use zeuge_appraise::{Facts, Kind, Verdict};
use zeuge_evidence::{
    Malformed, UnixTime,
    azure::{EVIDENCE, Evidence, Hardware, HclReport, RuntimeClaims},
    snp,
    tpm::{Attest, ClockInfo},
};
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::{
    Binding, Endorsements, Error,
    azure::{ALL_PCRS, Context, Demand, claimed_key, verify},
    crypto::AWS_LC,
    tpm::{Nonce, Selection, check_quote_signature, qualifying_data},
};

use crate::{
    judge::{Setting, behind, skipped, wanted},
    judge_tpm,
};

/// The members of a bundle of ours that this page looks at.
pub(crate) const MEMBERS: [Media; 7] = [
    Media::AzureHcl,
    Media::ImaList,
    Media::IntelCollateral,
    Media::SnpCertificates,
    Media::TcgEventLog,
    Media::TdxQuote,
    Media::TpmQuote,
];

/// The verdict on a file: an HCL report, or the JSON around it.
///
/// # Errors
/// A sentence, where this machine cannot go on.
pub(crate) fn file(bytes: &[u8], setting: &Setting) -> Result<Verdict, String> {
    match Evidence::read(bytes) {
        Ok(evidence) => judge(&evidence, setting.endorsements.clone(), setting),
        Err(malformed) => Ok(refused(&malformed.into(), setting.at)),
    }
}

/// The verdict on a bundle of ours that holds an HCL report.
///
/// # Errors
/// As [`file()`].
pub(crate) fn members(bundle: &Bundle, setting: &Setting) -> Result<Verdict, String> {
    let mut heap = setting.endorsements.clone();
    match gathered(bundle, &mut heap) {
        Ok(evidence) => judge(&evidence, heap, setting),
        Err(error) => Ok(refused(&error, setting.at)),
    }
}

fn refused(error: &Error, at: UnixTime) -> Verdict {
    Verdict::refused(Kind::Azure, error, at)
}

/// A member that nobody would look at, or that stands twice, is a refusal.
fn gathered(bundle: &Bundle, heap: &mut Endorsements) -> Result<Evidence, Error> {
    let bad = |because| Malformed::invalid(EVIDENCE, 0, "the bundle", because);
    let mut seen = std::collections::BTreeSet::new();
    for member in bundle.members().values() {
        if !MEMBERS.contains(&member.media) {
            return Err(bad("a member beside an HCL report is of a kind not read there").into());
        }
        if !seen.insert(member.media) {
            return Err(bad("it holds two members of one kind").into());
        }
    }
    if let Some(collateral) = bundle.only(Media::IntelCollateral) {
        heap.add("evidence", collateral);
    }
    let mut certificates = Vec::new();
    if let Some(table) = bundle.only(Media::SnpCertificates) {
        for entry in &snp::CertificateTable::parse(table)?.entries {
            certificates.push(entry.data.to_vec());
        }
    }
    let logs = [Media::TcgEventLog, Media::ImaList];
    let quote = if seen.contains(&Media::TpmQuote) || logs.iter().any(|log| seen.contains(log)) {
        judge_tpm::strongest(judge_tpm::joined(bundle)?)
    } else {
        None
    };
    let hcl = bundle.only(Media::AzureHcl);
    Ok(Evidence {
        version: None,
        hcl: hcl.unwrap_or_default().to_vec(),
        quote,
        certificates,
        td_quote: bundle.only(Media::TdxQuote).map(<[u8]>::to_vec),
    })
}

fn judge(
    evidence: &Evidence,
    mut heap: Endorsements,
    setting: &Setting,
) -> Result<Verdict, String> {
    let mut notes = Vec::new();
    if let Some(makers) = &setting.makers {
        let hcl = HclReport::parse(&evidence.hcl);
        let report = hcl
            .as_ref()
            .ok()
            .filter(|hcl| hcl.hardware == Hardware::Snp)
            .and_then(|hcl| snp::Report::parse(hcl.report).ok());
        match report {
            None => notes.push("--fetch asks AMD alone; nothing was fetched".to_owned()),
            Some(report) => {
                for certificate in &evidence.certificates {
                    heap.add("evidence", certificate);
                }
                let binding = Binding::ReportData(report.claims.report_data);
                let proof = makers.prove(&report, &heap, &binding)?;
                let told = |(key, problem): (String, &zeuge_collateral::Problem)| {
                    format!("{key}: {}: {problem}", problem.check())
                };
                notes.extend(proof.problems().map(told));
                if let Some(problem) = &proof.rollback {
                    return Ok(behind(problem, Kind::Snp, notes, setting.at));
                }
                heap = proof.heap;
            }
        }
    }
    let mut verdict = match prove(evidence, &heap, setting) {
        Ok(verdict) => verdict,
        Err(error) => refused(&error, setting.at),
    };
    verdict.notes.extend(notes);
    Ok(verdict)
}

/// The clock in the caller's earlier evidence of the same machine, once the AK that the present
/// claims name is known to have signed it.
fn previous(evidence: &Evidence, setting: &Setting) -> Result<Option<ClockInfo>, Error> {
    let Some(file) = &setting.tpm.previous else {
        return Ok(None);
    };
    let missing = |because| Malformed::invalid(EVIDENCE, 0, "the earlier evidence", because);
    let earlier = match Bundle::parse(file) {
        Ok(bundle) => gathered(&bundle, &mut Endorsements::new())?,
        Err(_) => Evidence::read(file)?,
    };
    let quote = earlier
        .quote
        .ok_or_else(|| missing("it holds no quote of the virtual TPM"))?;
    let hcl = HclReport::parse(&evidence.hcl)?;
    let claims = RuntimeClaims::parse(hcl.claims)?;
    let key = claimed_key(&claims)
        .ok_or_else(|| missing("the claims of the later evidence name no key of its kind"))?;
    check_quote_signature(&quote.attest, &quote.signature, &key, &AWS_LC)?;
    Ok(Some(Attest::parse(&quote.attest)?.clock))
}

fn prove(evidence: &Evidence, heap: &Endorsements, setting: &Setting) -> Result<Verdict, Error> {
    let (nonce, user_data) = match (&setting.tpm.nonce, &setting.binding) {
        (Some(nonce), _) => (Some(nonce.clone()), None),
        // Our own agent binds the report itself, and the quote to the same bytes.
        (None, Binding::ReportData(binding)) => {
            (Some(qualifying_data(binding).to_vec()), Some(binding))
        }
        (None, Binding::Unbound { .. }) => (None, None),
    };
    let nonce = match (&nonce, &setting.binding) {
        (Some(nonce), _) => Nonce::Exact(nonce),
        (None, Binding::Unbound { because }) => Nonce::Unbound { because },
        (None, Binding::ReportData(_)) => Nonce::Exact(&[]),
    };
    let pcrs = setting.tpm.pcrs.as_slice();
    let signers = setting.policy.tpm.ima_signers();
    let demand = Demand {
        nonce,
        user_data,
        selection: Selection::Exactly(if pcrs.is_empty() { &ALL_PCRS } else { pcrs }),
        previous: previous(evidence, setting)?,
        held: None,
        ima_signers: &signers,
    };
    let context = Context {
        endorsements: heap,
        anchors: &setting.anchors,
        at: setting.at,
        crypto: &AWS_LC,
    };
    let verified = verify(evidence, &demand, context)?;
    let facts = Facts::from(verified.fact().clone());
    let mut verdict = zeuge_appraise::judge(&facts, verified.trail().passed(), &wanted(setting));
    verdict.notes.extend(skipped(heap));
    Ok(verdict)
}
