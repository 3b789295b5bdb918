//! Is this TDX machine, or this SGX enclave, the one that was wanted?
//!
//! Status and advisories are facts that verification drew from Intel's signed documents; whether
//! they are acceptable is decided here. A status that nobody accepted is refused, never ignored.

use sha2::{Digest as _, Sha384};
use zeuge_evidence::{UnixTime, dcap::Body, sgx::EnclaveReport, tdx::TdReport};
use zeuge_verify::{
    Binding,
    dcap::{BootLog, QuoteFacts, Revocation, TcbStatus},
};

use crate::{
    BindingProfile, Facts, Finding, Findings, Kind, NotProved, RootNamed, Verdict, Wanted,
    document::Hex,
    hardware, outlook,
    reference::{SgxReference, TdxReference},
    snp::{must_be_off, toy, unbound},
};

/// The ids of this file (those that it shares with SEV-SNP stand there).
pub const CHECKS: &[&str] = &[
    "dcap.collateral.rollback",
    "dcap.crl.fresh",
    "policy.advisories",
    "policy.evaluation-number",
    "policy.isv-svn",
    "policy.mr-config-id",
    "policy.mr-owner",
    "policy.mr-seam",
    "policy.rtmr",
    "policy.service-td",
    "policy.tcb-status",
    "policy.td-attributes",
];

/// The register of the mark that the boot is over: the one that is left to software.
const CLOSED_RTMR: usize = 3;
/// What it is extended with, before it is hashed.
const CLOSED_MARK: &[u8] = b"zeuge:closed";

/// Judges proven facts; every check goes through [`Findings::check`].
pub(crate) fn judge(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) -> Verdict {
    judge_as(facts, BindingProfile::Direct, wanted, findings)
}

/// As [`judge`], of evidence that is bound as `profile` says: only reference values of that
/// profile count.
pub(crate) fn judge_as(
    facts: &QuoteFacts,
    profile: BindingProfile,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) -> Verdict {
    unbound(&facts.binding, findings);
    toy(&facts.root, findings);
    revocation(facts, wanted, findings);
    platform(facts, wanted, findings);
    outlook::check(facts, wanted, findings);
    let kind = match &facts.claims {
        Body::Tdx(report) => {
            trust_domain(report, profile, wanted, findings);
            Kind::Tdx
        }
        Body::Sgx(report) => {
            enclave(report, wanted, findings);
            Kind::Sgx
        }
    };
    crate::google::judge(&facts.firmware, wanted, findings);
    let all = Facts::from(facts.clone());
    if let Some(registry) = wanted.hardware {
        hardware::check(registry, &all, findings);
    }
    let list = std::mem::replace(findings, Findings::new(&[])).into_list();
    let mut verdict = Verdict::of(all, list, wanted.at);
    verdict.kind = kind;
    verdict.roots = vec![RootNamed::from(&facts.root)];
    verdict.roots.extend(crate::google::root(&facts.firmware));
    verdict.not_proved = not_proved(facts, wanted);
    verdict.notes = notes(facts);
    verdict.notes.extend(allowed(facts, wanted));
    verdict
}

/// The advisories that count for nothing here because the owner says so, with his reasons.
fn allowed(facts: &QuoteFacts, wanted: &Wanted<'_>) -> Vec<String> {
    let policy = &wanted.policy.intel;
    let advisories = facts.standing.advisories.iter();
    let allowed = advisories.filter_map(|id| policy.allowance(id, wanted.at));
    allowed
        .map(|allowed| {
            format!(
                "the policy allows {} until {}: {}",
                allowed.id, allowed.until, allowed.because
            )
        })
        .collect()
}

/// How the platform stands, and of which state of knowledge that is.
pub(crate) fn platform(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    status(facts, wanted, findings);
    documents(facts, wanted, findings);
}

fn revocation(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("dcap.crl.fresh", || {
        let lists = [
            ("Intel's root", &facts.root_revocation),
            ("the PCK CA", &facts.pck_revocation),
        ];
        let because = lists
            .iter()
            .find_map(|(name, list)| stale(name, list, wanted));
        Some(
            match (because, &wanted.policy.intel.dangerous_without_crl) {
                (None, _) => Finding::pass("dcap.crl.fresh"),
                (Some(because), None) => Finding::fail("dcap.crl.fresh", because)
                    .difference("no fresh list", "both lists before their nextUpdate"),
                (Some(because), Some(reason)) => Finding::warn(
                    "dcap.crl.fresh",
                    format!("{because}; accepted by dangerous_without_crl: {reason}"),
                ),
            },
        )
    });
}

fn stale(name: &str, list: &Revocation, wanted: &Wanted<'_>) -> Option<String> {
    let Revocation::Checked {
        this_update,
        next_update,
        ..
    } = list
    else {
        return Some(format!("no revocation list of {name} is at hand"));
    };
    let Some(next_update) = next_update else {
        return Some(format!(
            "the revocation list of {name} does not say when the next is due"
        ));
    };
    let age = i64::from(wanted.policy.crl_age_days_max).saturating_mul(86_400);
    if wanted.at > *next_update {
        Some(format!(
            "the revocation list of {name} ended at {next_update}"
        ))
    } else if wanted.at > this_update.plus(age) {
        Some(format!(
            "the revocation list of {name} is older than the policy allows"
        ))
    } else {
        None
    }
}

fn status(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let policy = &wanted.policy.intel;
    let found = facts.standing.status;
    // spec: dcap.policy.status
    findings.check("policy.tcb-status", || {
        let accepted = policy
            .accepted_statuses
            .iter()
            .any(|word| word == found.as_str());
        let date = facts.standing.tcb_date;
        let grace = date.is_some_and(|date| in_grace(date, policy.grace_days, wanted.at));
        Some(match found {
            TcbStatus::UpToDate => Finding::pass("policy.tcb-status"),
            // No policy accepts what Intel revoked or does not know.
            TcbStatus::Revoked | TcbStatus::TcbNotSupported => refuse(found),
            _ if accepted => Finding::warn(
                "policy.tcb-status",
                format!(
                    "Intel calls this platform {}; the policy accepts it",
                    found.as_str()
                ),
            ),
            // The enclave's own code is measured and may mitigate; Intel leaves that open.
            TcbStatus::SwHardeningNeeded => Finding::warn(
                "policy.tcb-status",
                "Intel says that the software must mitigate something on this platform",
            ),
            TcbStatus::OutOfDate if grace => Finding::warn(
                "policy.tcb-status",
                "the platform is out of date, within the policy's days of grace",
            ),
            _ => refuse(found),
        })
    });
    findings.check("policy.advisories", || {
        let open = |id: &&String| !policy.allows(id, wanted.at);
        let open: Vec<_> = facts
            .standing
            .advisories
            .iter()
            .filter(open)
            .cloned()
            .collect();
        Some(if open.is_empty() {
            Finding::pass("policy.advisories")
        } else {
            Finding::warn(
                "policy.advisories",
                "published weaknesses apply to this platform",
            )
            .difference(open.join(" "), "none, or each allowed by the policy")
        })
    });
}

/// Of which state of Intel's knowledge the documents are.
fn documents(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    let found = facts.evaluation_number;
    let older = |id: &'static str, because: &str, least: u32| {
        Some(if found >= least {
            Finding::pass(id)
        } else {
            Finding::fail(id, because).difference(found.to_string(), format!("at least {least}"))
        })
    };
    findings.check("policy.evaluation-number", || {
        let least = wanted.policy.intel.minimum_evaluation_number?;
        let because = "the documents tell an older state";
        older("policy.evaluation-number", because, least)
    });
    findings.check("dcap.collateral.rollback", || {
        let because = "newer documents about such platforms have been seen than these";
        older(
            "dcap.collateral.rollback",
            because,
            wanted.evaluation_number_seen?,
        )
    });
}

fn in_grace(date: UnixTime, days: u32, at: UnixTime) -> bool {
    days > 0 && at <= date.plus(i64::from(days).saturating_mul(86_400))
}

fn refuse(found: TcbStatus) -> Finding {
    Finding::fail(
        "policy.tcb-status",
        "Intel's status of this platform is not accepted",
    )
    .difference(
        found.as_str(),
        "UpToDate, or a status that the policy accepts",
    )
}

fn trust_domain(
    report: &TdReport,
    profile: BindingProfile,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) {
    let attributes = report.td_attributes;
    let policy = &wanted.policy.intel;
    must_be_off(
        findings,
        // spec: dcap.policy.td-debug
        "policy.debug",
        attributes.under_debug(),
        "the host may read this trust domain's memory (TDATTRIBUTES, TD under debug)",
        policy.dangerous_allow_debug.as_deref(),
    );
    must_be_off(
        findings,
        "policy.migration",
        attributes.migratable(),
        "a migration TD may take this trust domain to another machine (MIGRATABLE)",
        policy.dangerous_allow_migration.as_deref(),
    );
    findings.check("policy.td-attributes", || {
        // spec: dcap.tdx.td-attributes-reserved
        // The lowest eight are the group "under debug", which has a check of its own.
        let unknown = attributes.unknown() & !0xff;
        Some(if !attributes.sept_ve_disable() {
            Finding::warn(
                "policy.td-attributes",
                "SEPT_VE_DISABLE is not set: the host can use missing pages against the guest",
            )
        } else if unknown != 0 {
            let because = "bits are set that no published document gives a meaning";
            Finding::warn("policy.td-attributes", because)
                .difference(format!("{unknown:#018x}"), "none")
        } else {
            Finding::pass("policy.td-attributes")
        })
    });
    started(report, profile, wanted, findings);
}

/// MRTD, registers, module and configuration: narrowed down step by step, so that in the end one
/// and the same reference value holds in all.
fn started(
    report: &TdReport,
    profile: BindingProfile,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) {
    let values = wanted.reference_values.tdx.iter();
    let values: Vec<_> = values
        .filter(|value| value.binding_profile == profile)
        .collect();
    let nearest = values.first().and_then(|value| value.mr_td.first());
    let nearest = nearest.map(|value| hex::encode(value.0));
    let is_known = |value: &&TdxReference| value.mr_td.iter().any(|v| v.0 == report.mr_td);
    let known: Vec<_> = values.into_iter().filter(is_known).collect();
    let found = hex::encode(report.mr_td);
    measurement(!known.is_empty(), found, nearest, wanted, findings);
    let known = narrowed(findings, "policy.rtmr", known, |value| rtmr(value, report));
    let known = narrowed(findings, "policy.mr-seam", known, |value| {
        differs(&value.mr_seam, &report.mr_seam)
    });
    let known = narrowed(findings, "policy.mr-config-id", known, |value| {
        differs(&value.mr_config_id, &report.mr_config_id)
    });
    let known = narrowed(findings, "policy.mr-owner", known, |value| {
        owner(value, report)
    });
    service_td(&known, report, findings);
}

/// Who owns the trust domain, as the host said when it built it.
fn owner(value: &TdxReference, report: &TdReport) -> Option<Difference> {
    let named = |name: &str, (found, wanted): Difference| (format!("{name} {found}"), wanted);
    let config = || {
        let difference = differs(&value.mr_owner_config, &report.mr_owner_config)?;
        Some(named("MROWNERCONFIG", difference))
    };
    let difference = differs(&value.mr_owner, &report.mr_owner);
    difference
        .map(|difference| named("MROWNER", difference))
        .or_else(config)
}

/// The hashes of the service TDs that are bound to a trust domain: MRSERVICETD (zeros where TDX 1.0
/// has no such field), and those of body type 4 that name one.
fn bound_service_tds(report: &TdReport) -> Vec<[u8; 48]> {
    let first = report.td15.as_ref();
    let mut out = vec![first.map_or([0; 48], |td15| td15.mr_service_td)];
    if let Some(more) = &report.service_td {
        let hashes = [more.init_service_td_hash, more.cur_service_td_hash];
        out.extend(hashes.into_iter().filter(|hash| *hash != [0; 48]));
    }
    out
}

/// The first bound service TD that the value does not allow.
fn another_service_td(value: &TdxReference, report: &TdReport) -> Option<Difference> {
    let bound = bound_service_tds(report);
    bound
        .iter()
        .find_map(|hash| differs(&value.mr_service_td, hash))
}

/// A service TD may act upon the trust domain that it is bound to (migrate it, for instance): one
/// that no reference value names is a warning, one that contradicts them is refused.
fn service_td(known: &[&TdxReference], report: &TdReport, findings: &mut Findings) {
    // spec: dcap.policy.service-td
    findings.check("policy.service-td", || {
        let id = "policy.service-td";
        let bound = bound_service_tds(report);
        let found = bound.iter().find(|hash| **hash != [0; 48]);
        let good = known
            .iter()
            .find(|value| another_service_td(value, report).is_none());
        if let (None, Some(value)) = (good, known.first()) {
            let (found, wanted) = another_service_td(value, report)?;
            let because = "no reference value that fits otherwise allows this";
            return Some(Finding::fail(id, because).difference(found, wanted));
        }
        let pinned = good.is_some_and(|value| !value.mr_service_td.is_empty());
        Some(match found {
            Some(found) if !pinned => Finding::warn(
                id,
                "a service TD is bound to this trust domain, and nobody said that it may be",
            )
            .difference(
                hex::encode(found),
                "none, or one that a reference value names",
            ),
            _ => Finding::pass(id),
        })
    });
}

/// Keeps those that have nothing against the machine; all of them where each has something.
fn narrowed<'v, V>(
    findings: &mut Findings,
    id: &'static str,
    values: Vec<&'v V>,
    against: impl Fn(&V) -> Option<Difference>,
) -> Vec<&'v V> {
    let (good, bad): (Vec<&V>, Vec<&V>) = values
        .into_iter()
        .partition(|value| against(value).is_none());
    findings.check(id, || {
        if !good.is_empty() {
            return Some(Finding::pass(id));
        }
        let (found, wanted) = bad.first().and_then(|value| against(value))?;
        let because = "no reference value that fits otherwise allows this";
        Some(Finding::fail(id, because).difference(found, wanted))
    });
    if good.is_empty() { bad } else { good }
}

/// What was found, and what a reference value wants instead.
type Difference = (String, String);

/// The first register that the value pins to something else.
fn rtmr(value: &TdxReference, report: &TdReport) -> Option<Difference> {
    report.rtmr.iter().enumerate().find_map(|(index, found)| {
        let allowed = value.rtmr.get(&index.to_string())?;
        let (found, wanted) = differs(allowed, found)?;
        Some((format!("RTMR{index} {found}"), wanted))
    })
}

/// Whether one of the values is there; none means any.
fn differs<const N: usize>(allowed: &[Hex<N>], found: &[u8; N]) -> Option<Difference> {
    if allowed.is_empty() || allowed.iter().any(|value| value.0 == *found) {
        return None;
    }
    let wanted: Vec<_> = allowed.iter().map(|value| hex::encode(value.0)).collect();
    Some((hex::encode(found), wanted.join(" or ")))
}

/// Whether a trust domain is this one, in everything that the value pins; never a paravisor's.
pub(crate) fn is_trust_domain(value: &TdxReference, report: &TdReport) -> bool {
    value.binding_profile == BindingProfile::Direct
        && value.mr_td.iter().any(|v| v.0 == report.mr_td)
        && rtmr(value, report).is_none()
        && differs(&value.mr_seam, &report.mr_seam).is_none()
        && differs(&value.mr_config_id, &report.mr_config_id).is_none()
        && owner(value, report).is_none()
        && another_service_td(value, report).is_none()
}

/// RTMR3 must show that the boot is not over: zero, as one of these reference values pins it, or
/// explained by a boot log without the mark. Nothing sets the register back, so a mark that was made
/// stays in whatever it became.
pub(crate) fn still_open<'a>(
    report: &TdReport,
    boot: Option<&BootLog>,
    values: impl Iterator<Item = &'a TdxReference>,
) -> Finding {
    let [.., found] = &report.rtmr;
    let index = CLOSED_RTMR.to_string();
    let pinned = values
        .filter_map(|value| value.rtmr.get(&index))
        .flatten()
        .any(|value| value.0 == *found);
    let mark: [u8; 48] = Sha384::digest(CLOSED_MARK).into();
    let logged = boot.is_some_and(|boot| {
        let mut records = boot.events.iter().filter(|event| event.rtmr == CLOSED_RTMR);
        boot.explained == [true; 4] && records.all(|event| event.digest != mark)
    });
    if pinned || logged || *found == [0; 48] {
        return Finding::pass("release.closed");
    }
    let closed: [u8; 48] = Sha384::new_with_prefix([0; 48])
        .chain_update(mark)
        .finalize()
        .into();
    let because = if closed == *found {
        "the machine has said that its boot is over"
    } else {
        "the register that marks the end of the boot holds something that neither a reference value \
         names nor a boot log explains"
    };
    let found = format!("RTMR{CLOSED_RTMR} {}", hex::encode(found));
    let wanted = format!("RTMR{CLOSED_RTMR} as it was before the mark");
    Finding::fail("release.closed", because).difference(found, wanted)
}

/// Whether an enclave is this one, of whatever ISVSVN.
fn is_this_enclave(value: &SgxReference, report: &EnclaveReport) -> bool {
    let by_content = value.mr_enclave.iter().any(|v| v.0 == report.mr_enclave);
    let by_signer = value
        .mr_signer
        .is_some_and(|signer| signer.0 == report.mr_signer)
        && value.isv_prod_id == Some(report.isv_prod_id);
    by_content || by_signer
}

/// Whether an enclave is this one, in everything that the value pins.
pub(crate) fn is_enclave(value: &SgxReference, report: &EnclaveReport) -> bool {
    is_this_enclave(value, report) && report.isv_svn >= value.minimum_isv_svn
}

fn enclave(report: &EnclaveReport, wanted: &Wanted<'_>, findings: &mut Findings) {
    must_be_off(
        findings,
        "policy.debug",
        report.attributes.debug(),
        "a debugger may read this enclave (ATTRIBUTES.DEBUG)",
        wanted.policy.intel.dangerous_allow_debug.as_deref(),
    );
    let values = &wanted.reference_values.sgx;
    let nearest = values.first().and_then(|value| value.mr_enclave.first());
    let nearest = nearest.map(|value| hex::encode(value.0));
    let is_known = |value: &&SgxReference| is_this_enclave(value, report);
    let known: Vec<_> = values.iter().filter(is_known).collect();
    let found = hex::encode(report.mr_enclave);
    measurement(!known.is_empty(), found, nearest, wanted, findings);
    narrowed(findings, "policy.isv-svn", known, |value| {
        (report.isv_svn < value.minimum_isv_svn).then(|| {
            let least = format!("at least {}", value.minimum_isv_svn);
            (report.isv_svn.to_string(), least)
        })
    });
}

fn measurement(
    known: bool,
    found: String,
    nearest: Option<String>,
    wanted: &Wanted<'_>,
    findings: &mut Findings,
) {
    findings.check("policy.measurement", || {
        Some(match (known, wanted.hardware_only) {
            (true, _) => Finding::pass("policy.measurement"),
            (false, Some(reason)) => Finding::unchecked("policy.measurement", reason),
            (false, None) => {
                let because = "this measurement is in none of the reference values";
                let nearest = nearest.unwrap_or_else(|| "a known one".to_owned());
                Finding::fail("policy.measurement", because).difference(found, nearest)
            }
        })
    });
}

fn not_proved(facts: &QuoteFacts, wanted: &Wanted<'_>) -> Vec<NotProved> {
    let mut out = vec![NotProved::MakerKeys, NotProved::Hands];
    if wanted.hardware.is_none() {
        out.push(NotProved::OwnMachine);
    }
    // Without a log that adds up to all four, somebody's word is needed for what they stand for.
    let explained = facts
        .boot
        .as_ref()
        .is_some_and(|boot| boot.explained == [true; 4]);
    if matches!(facts.claims, Body::Tdx(_)) && !explained {
        out.push(NotProved::Registers);
    }
    if matches!(facts.binding, Binding::Unbound { .. }) {
        out.push(NotProved::Freshness);
    }
    out
}

fn notes(facts: &QuoteFacts) -> Vec<String> {
    let mut out = facts.notes.clone();
    if facts.trailing_bytes > 0 {
        out.push(format!(
            "{} bytes follow the quote; nobody signed them",
            facts.trailing_bytes
        ));
    }
    if let Body::Tdx(report) = &facts.claims
        && let Some(newer) = &report.td15
        && newer.mr_service_td != [0; 48]
    {
        let service = hex::encode(newer.mr_service_td);
        out.push(format!(
            "a service TD is bound to this trust domain and may act upon it: MRSERVICETD {service}"
        ));
    }
    let end = facts.collateral_until;
    out.push(format!(
        "Intel's documents about this platform count until {end}"
    ));
    out
}
