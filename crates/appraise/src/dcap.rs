//! Is this TDX machine, or this SGX enclave, the one that was wanted?
//!
//! Status and advisories are facts that verification drew from Intel's signed documents; whether
//! they are acceptable is decided here. A status that nobody accepted is refused, never ignored.

use zeuge_evidence::{UnixTime, dcap::Body, sgx::EnclaveReport, tdx::TdReport};
use zeuge_verify::{
    Binding,
    dcap::{QuoteFacts, Revocation, TcbStatus},
};

use crate::{
    Facts, Finding, Findings, Kind, NotProved, RootNamed, Verdict, Wanted,
    reference::{SgxReference, TdxReference},
    snp::{must_be_off, toy, unbound},
};

/// The ids of this file (those that it shares with SEV-SNP stand there).
pub const CHECKS: &[&str] = &[
    "dcap.crl.fresh",
    "policy.advisories",
    "policy.evaluation-number",
    "policy.tcb-status",
    "policy.td-attributes",
];

/// Judges proven facts; every check goes through [`Findings::check`].
pub(crate) fn judge(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) -> Verdict {
    unbound(&facts.binding, findings);
    toy(&facts.root, findings);
    revocation(facts, wanted, findings);
    status(facts, wanted, findings);
    let kind = match &facts.claims {
        Body::Tdx(report) => {
            trust_domain(report, wanted, findings);
            Kind::Tdx
        }
        Body::Sgx(report) => {
            enclave(report, wanted, findings);
            Kind::Sgx
        }
    };
    let list = std::mem::replace(findings, Findings::new(&[])).into_list();
    let mut verdict = Verdict::of(Facts::from(facts.clone()), list, wanted.at);
    verdict.kind = kind;
    verdict.roots = vec![RootNamed::from(&facts.root)];
    verdict.not_proved = not_proved(facts);
    verdict.notes = notes(facts);
    verdict
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
    findings.check("policy.evaluation-number", || {
        let least = policy.minimum_evaluation_number?;
        let found = facts.evaluation_number;
        Some(if found >= least {
            Finding::pass("policy.evaluation-number")
        } else {
            Finding::fail(
                "policy.evaluation-number",
                "the documents tell an older state",
            )
            .difference(found.to_string(), format!("at least {least}"))
        })
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

fn trust_domain(report: &TdReport, wanted: &Wanted<'_>, findings: &mut Findings) {
    let TdReport {
        td_attributes: attributes,
        mr_td,
        rtmr,
        mr_seam,
        mr_config_id,
        ..
    } = report;
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
        Some(if attributes.sept_ve_disable() {
            Finding::pass("policy.td-attributes")
        } else {
            Finding::warn(
                "policy.td-attributes",
                "SEPT_VE_DISABLE is not set: the host can use missing pages against the guest",
            )
        })
    });
    let values = &wanted.reference_values.tdx;
    let fits = |value: &&TdxReference| {
        value.mr_td.iter().any(|v| v.0 == *mr_td)
            && rtmr.iter().enumerate().all(|(index, register)| {
                value
                    .rtmr
                    .get(&index.to_string())
                    .is_none_or(|allowed| allowed.iter().any(|v| v.0 == *register))
            })
            && (value.mr_seam.is_empty() || value.mr_seam.iter().any(|v| v.0 == *mr_seam))
            && (value.mr_config_id.is_empty()
                || value.mr_config_id.iter().any(|v| v.0 == *mr_config_id))
    };
    let nearest = values.first().and_then(|value| value.mr_td.first());
    let nearest = nearest.map(|value| hex::encode(value.0));
    let found = hex::encode(mr_td);
    measurement(
        values.iter().any(|value| fits(&value)),
        found,
        nearest,
        wanted,
        findings,
    );
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
    let fits = |value: &SgxReference| {
        let by_content = value.mr_enclave.iter().any(|v| v.0 == report.mr_enclave);
        let by_signer = value
            .mr_signer
            .is_some_and(|signer| signer.0 == report.mr_signer)
            && value.isv_prod_id == Some(report.isv_prod_id);
        (by_content || by_signer) && report.isv_svn >= value.minimum_isv_svn
    };
    let nearest = values.first().and_then(|value| value.mr_enclave.first());
    let nearest = nearest.map(|value| hex::encode(value.0));
    let found = hex::encode(report.mr_enclave);
    measurement(values.iter().any(fits), found, nearest, wanted, findings);
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

fn not_proved(facts: &QuoteFacts) -> Vec<NotProved> {
    let mut out = vec![
        NotProved::Threats,
        NotProved::MakerKeys,
        NotProved::Hands,
        NotProved::OwnMachine,
    ];
    if let Body::Tdx(_) = facts.claims {
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
    let end = facts.collateral_until;
    out.push(format!(
        "Intel's documents about this platform count until {end}"
    ));
    out
}
